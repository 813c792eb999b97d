"""A source as a recipe uses it: what its table in the recipe says otherwise than the source's own file. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.recipe.arrays import ArraySpec
from curation.recipe.derived import Input
from curation.recipe.places import PlacesSpec
from curation.recipe.schema import UseSpec
from curation.recipe.sources import SourceSpec
from curation.recipe.units import scale_of


def called(spec: SourceSpec, name: str, known: Sequence[str], path: Path) -> SourceSpec:
    """The source under the name that the recipe gives it.

    Args:
        spec: the source, as its file says it.
        name: what the recipe calls it.
        known: names of all sources that have a file.
        path: the recipe, which errors name.

    Raises:
        ConfigError: a source cannot be called so, or another is.
    """
    if name == spec.name:
        return spec
    if name in known:
        raise ConfigError(f"{path}: [sources.{name}] of = {spec.name!r}: {name!r} is another source; call it otherwise")
    return varied(spec, {"name": name}, path)


def picked(spec: SourceSpec, use: UseSpec, path: Path) -> SourceSpec:
    """The source with the pick and the facts that the recipe says, checked as its file is; as it is where that says none.

    Args:
        spec: the source, as its file says it or as this gave it.
        use: its table in the recipe.
        path: the recipe, which errors name.

    Raises:
        ConfigError: there is no such pick, it has no such key, or it wants what the source has not.
    """
    said = own_keys(use)
    return varied(spec, said, path) if said else spec


def own_keys(use: UseSpec) -> dict[str, Any]:
    """Keys of the source's own that a recipe says otherwise."""
    return {key: value for key in ("pick", "angles") if (value := getattr(use, key)) is not None}


def placed(spec: SourceSpec, places: PlacesSpec, path: Path) -> SourceSpec:
    """The source with the file of places as its own, where it is made of that; as it is otherwise.

    Raises:
        ConfigError: the recipe has no file of places whose shapes are no footprints.
    """
    forms = {name: form for name, form in spec.catalogs.items() if form.file is not None and form.file.of_places}
    if not forms:
        return spec
    if places.file is None or places.shapes is None:
        raise ConfigError(
            f"{path}: [sources.{spec.name}] is made of the shapes of places: expected [places] file, with shapes = "
            "'centre', 'cover' or 'tile'; footprints have no other shape, and points have none: leave it out"
        )
    made = {}
    for name, form in forms.items():
        assert form.file is not None
        its = {"folder": places.file, "layer": places.layer}
        made[name] = form.model_copy(update={"file": form.file.model_copy(update=its)})
    return spec.model_copy(update={"catalogs": spec.catalogs | made})


def varied(spec: SourceSpec, changes: dict[str, Any], path: Path, made: type[SourceSpec] | None = None) -> SourceSpec:
    """The source with other keys, of a class of its own where `made` is said, checked as its file is.

    Raises:
        ConfigError: it cannot be such a source; the recipe's `path` is told.
    """
    own = {name: getattr(spec, name) for name in type(spec).model_fields}
    try:
        return (made or type(spec)).model_validate(own | changes)
    except ValidationError as err:
        raise ConfigError("; ".join(f"{path}: {_where(spec.name, e)}" for e in err.errors())) from err


def stored(spec: SourceSpec, arrays: dict[str, ArraySpec], path: Path) -> dict[str, ArraySpec]:
    """The arrays of a cube, of those that are read of a source.

    Raises:
        ConfigError: its pick cannot do with these.
    """
    try:
        return spec.pick.stored(spec, arrays)
    except ValueError as err:
        raise ConfigError(f"{path}: [sources.{spec.name}]: {err}") from err


def check_followed(spec: SourceSpec, specs: Mapping[str, SourceSpec], where: str, level: str) -> None:
    """Passes where a source goes with none, or with one that chooses a scene by itself.

    Raises:
        ConfigError: the recipe does not use that other, or it has no scene of its own to go with.
    """
    other = spec.pick.follows
    if other is None:
        return
    if other not in specs:
        among = f" among the {level}" if level else ""
        raise ConfigError(f"{where} is chosen by {other!r}, which the recipe does not use{among}; add it")
    its = specs[other].pick
    if its.follows is not None:
        raise ConfigError(
            f"{where} is chosen by {other!r}, which itself goes with {its.follows!r}; let it go with one that goes with none"
        )
    if not its.has_one_scene or specs[other].timeless:
        raise ConfigError(
            f"{where} is chosen by {other!r}, whose pixels are of several scenes, so that there is none to go with; "
            "give it a pick that stands alone, such as pick = 'nearest' without 'goes_with', or leave it out"
        )


def check_shares(spec: SourceSpec, use: UseSpec, where: str) -> None:
    """Passes where classes that a patch must have so much of are the map's, and a place without it is refused.

    Raises:
        ConfigError: it begins with `where`.
    """
    wanted = use.min_share or {}
    if wanted and not spec.kind.legend:
        raise ConfigError(f"{where}: {spec.title} is no class map; leave it out, or say it of one")
    if wanted and not use.required:
        raise ConfigError(f"{where}: a place would be taken without the map; leave required = false out")
    known = list(dict.fromkeys(n for c in spec.kind.legend for n in (c.name, c.label) if n))
    if odd := [name for name in wanted if name not in known]:
        hint = did_you_mean(odd[0], known)
        raise ConfigError(f"{where}: {odd[0]!r}: no class of {spec.title}; {hint}it has {', '.join(known)}")


def _where(source: str, error: Any) -> str:
    """What is wrong, and with which key of the pick, or with its name, as the recipe has it."""
    if error["loc"] == ("name",):
        return f"[sources.{source}] of: another name for it, {error['msg'].removeprefix('Value error, ')}"
    keys = [str(k) for k in error["loc"] if k != "pick"]
    at = f"[sources.{source}.pick] {'.'.join(keys)}" if keys else f"[sources.{source}] pick"
    return f"{at}: {error['msg'].removeprefix('Value error, ')}"


def arrays_of(spec: SourceSpec, use: UseSpec, path: Path) -> dict[str, ArraySpec]:
    """The arrays of a source, by name, with the bands and on the grids that the recipe says.

    Raises:
        ConfigError: it has no such band, or bands that are no array together are put on one grid.
    """
    known = [b for a in spec.arrays for b in a.bands]
    if use.bands is not None and (unknown := [b for b in use.bands if b not in known]):
        raise ConfigError(f"{path}: [sources.{spec.name}] bands: no band {unknown}; known bands: {known}")
    chosen = []
    for array in spec.arrays:
        bands = [b for b in array.bands if use.bands is None or b in use.bands or array.is_mask]
        if bands:
            own: dict[str, Any] = {"bands": bands}
            if not array.is_mask and (use.res_m or use.size_px):
                own |= {"res_m": use.res_m, "size_px": use.size_px}
            chosen.append(array.model_copy(update=own))
    merged: dict[str, ArraySpec] = {}
    for array in chosen:
        name = spec.array_name(array)
        if name in merged:
            if _kind(array) != _kind(merged[name]):
                raise ConfigError(
                    f"{path}: [sources.{spec.name}] asks for one grid: bands {merged[name].bands} and {array.bands} differ "
                    "in dtype, nodata, unit or resampling, so they cannot be one array; leave it out, or choose bands"
                )
            array = array.model_copy(update={"bands": merged[name].bands + array.bands})
        merged[name] = array
    return merged


def _kind(array: ArraySpec) -> dict[str, Any]:
    """All that bands of one array have in common."""
    return array.model_dump(exclude={"bands", "res_m", "size_px"})


def inputs(
    specs: Mapping[str, SourceSpec],
    arrays: Mapping[str, Mapping[str, ArraySpec]],
    size: float,
    seasons_of: Callable[[str], Sequence[str]],
    level: str,
) -> list[Input]:
    """All bands of measured values that samples have of a level's sources, from which others may be calculated.

    Args:
        specs: its sources.
        arrays: source → name → array, as cubes have it.
        size: side of its footprints, in units of their CRS.
        seasons_of: the seasons of a source.
        level: what it is called.
    """
    return [
        Input(
            band=spec.band(band).name,
            source=spec.name,
            array=name,
            number=number,
            level=level,
            seasons=() if spec.timeless else tuple(seasons_of(spec.name)),
            pixel=array.pixel,
            res_m=array.res_m,
            px=array.px(size),
            scale=scale_of(array),
            nodata=array.nodata,
            steps=spec.pick.most_steps,
            has_heights=spec.kind.has_heights,
            tells_sun=spec.angles,
            licence=spec.licence,
        )
        for spec in specs.values()
        for name, array in arrays[spec.name].items()
        if array.is_data
        for number, band in enumerate(array.bands)
    ]
