"""A recipe with its sources, resolved: what one dataset is."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curation.errors import ConfigError
from curation.model import STATIC, Season
from curation.recipe import annotations as recipe_annotations
from curation.recipe import atlas, digests, domains, exclude, files, foreign, shares, sourcefiles, steps
from curation.recipe.annotations import Annotation
from curation.recipe.arrays import ArraySpec
from curation.recipe.bounds import LEAST_PX
from curation.recipe.counting import check_counted
from curation.recipe.derived import Derived, resolved
from curation.recipe.digests import digest
from curation.recipe.footprint import divides, nearest_sizes
from curation.recipe.forms import CatalogForm
from curation.recipe.levels import levels
from curation.recipe.masked import used
from curation.recipe.schema import Recipe
from curation.recipe.seasons import MOST_DAYS
from curation.recipe.sources import Shift, SourceSpec
from curation.recipe.toml import read_toml
from curation.recipe.uses import arrays_of, check_followed, check_shares, inputs, placed, stored
from curation.store import local, paths

_NOT_PIXELS: Any = {
    "title": True,
    "licence": True,
    "comment": True,
    "catalogs": True,
    "bands": True,
    "arrays": {"__all__": {"times", "level", "convention"}},
    "kind": {"footprint_km": True, "classes": {"__all__": {"label"}}, "min_quality": {"__all__": {"source"}}},
}
"""Keys of a source that change no pixel: words for people, forms in other catalogs, what bands and numbers are and classes
count as, how many times numbers are stored, and how far train and val lie apart."""


class Dataset:
    """A recipe together with the sources it uses, resolved: what every stage is given.

    A recipe with children has two levels, each with sources, footprint and cubes of its own (`levels`): roots and their
    children. One of a single level is its own only level.
    """

    def __init__(self, recipe: Recipe, specs: dict[str, SourceSpec], path: Path, level: str = "") -> None:
        self.recipe = recipe
        self.specs = {n: used(specs[n], use, path) for n, use in recipe.sources.items()}
        self.path = path
        self.level = level
        """`children`, or empty: of roots, of a single level, and of all levels together."""
        self.read: dict[str, dict[str, ArraySpec]] = {
            name: arrays_of(spec, recipe.sources[name], path) for name, spec in self.specs.items()
        }
        """Source → name → array, as they are read of scenes: bands chosen, on one grid where the recipe asks for it."""
        self.arrays = {name: stored(spec, self.read[name], path) for name, spec in self.specs.items()}
        """Likewise, as they are stored: what its pick makes of those that are read."""
        self.levels: tuple[Dataset, ...] = (self,)
        """Its levels, the roots first."""
        self.derived: dict[str, Derived] = {}
        """Arrays that are calculated when samples are packed, by name: of all levels together; a level has none itself."""
        if not level:
            self._check_buffer()
        if recipe.children is not None:
            self.levels = tuple(Dataset(r, specs, path, name) for name, r in levels(recipe).items())
            self._check_shift()
            self.derived = self._derived()
            return
        for name, spec in self.specs.items():
            check_followed(spec, self.specs, f"{path}: [sources.{name}]", level)
        check_counted(self)
        for key, source in (("annual", recipe.labels.annual), ("seasonal", recipe.labels.seasonal)):
            want = STATIC if key == "annual" else "seasonal"
            if source and (not self.specs[source].kind.legend or self.specs[source].timeless != (want == STATIC)):
                raise ConfigError(f"{path}: [labels] {key} = {source!r}: expected a {want} source with classes")
        for spec in self.specs.values():
            self._check_relief(spec)
            check_shares(spec, recipe.sources[spec.name], f"{path}: [sources.{spec.name}] min_share")
            if self.recipe.sources[spec.name].direction_from is not None and not spec.pick.one_way:
                raise ConfigError(
                    f"{path}: [sources.{spec.name}] direction_from: {spec.title} keeps to no one orbit direction, so that "
                    "none is decided; leave it out"
                )
            if self.wants_precise(spec.name) and not spec.kind.states_orbit:
                raise ConfigError(
                    f"{path}: [sources.{spec.name}] orbits = 'precise': scenes of {spec.title} do not say where their orbit "
                    "is from, which those of a radar do; leave it out"
                )
            sides = {a.px(recipe.grid.size) for a in self.arrays[spec.name].values()}
            if fault := spec.kind.check_grid(recipe.grid.size_deg, sides):
                raise ConfigError(f"{path}: [sources.{spec.name}], on footprints of [{level or 'grid'}]: {fault}")
        self._check_size()
        steps.check(self.specs, self.arrays, recipe.grid.size, path)
        self._check_facts()
        if not level:
            self._check_shift()
            self.derived = self._derived()

    def _derived(self) -> dict[str, Derived]:
        maps = {n: [c.name for c in its.kind.legend] for n, its in self.levels[0].specs.items() if its.kind.legend}
        shares.check(self.recipe.pack.shares, maps, self.levels[0].seasons_of, self.path)
        sides = ((one, one.recipe.grid.size) for one in self.levels)
        known = [i for one, size in sides for i in inputs(one.specs, one.arrays, size, one.seasons_of, one.level)]
        return resolved(self.recipe.derived, known, self.path)

    def _check_size(self) -> None:
        """Passes where the finest pixels cover the footprint and no more; coarser ones may reach beyond it."""
        size_m = self.recipe.grid.size_m
        finest = min(
            (
                (a.res_m, n, a.bands)
                for n, arrays in self.arrays.items()
                for a in arrays.values()
                if a.res_m is not None
            ),
            default=None,
        )
        if finest is None:
            return
        res_m, source, bands = finest
        if size_m is None:
            raise ConfigError(
                f"{self.path}: [sources.{source}]: pixels of {res_m:g} m on a footprint in degrees; say how many a side has "
                "with size_px"
            )
        if not divides(size_m, res_m):
            raise ConfigError(
                f"{self.path}: [{self.level or 'grid'}] size_m = {size_m:g}: no multiple of {res_m:g} m, the finest pixels "
                f"({source} {bands}); the nearest that are: {nearest_sizes(size_m, res_m)}"
            )

    def _check_facts(self) -> None:
        """Passes where no two sources measure what is called the same: heights are the patch's, whatever DEM they are of."""
        of: dict[str, str] = {}
        for name, spec in self.specs.items():
            for fact in [*spec.kind.facts(name), *spec.pick.facts(spec, None)]:
                if (other := of.setdefault(fact.name, name)) != name:
                    raise ConfigError(
                        f"{self.path}: [sources.{other}] and [sources.{name}] both give {fact.name!r}, expected one "
                        "source of it; leave one of them out"
                    )

    def _check_buffer(self) -> None:
        """Passes where the buffer is no less than the widest pixel of any source of a sample, its children's included."""
        rule = self.recipe.split
        if not rule.two_sides:
            return
        wide = {name: spec.widest_km(self.recipe.sources[name].bands) for name, spec in self.specs.items()}
        source, km = max(wide.items(), key=lambda kv: kv[1], default=("", 0.0))
        if rule.buffer_km < km:
            raise ConfigError(
                f"{self.path}: [split] buffer_km = {rule.buffer_km:g}: a pixel of {source!r} is up to {km:g} km wide on the "
                f"ground, so that one could have a part in train and in val; say buffer_km = {km:g}, or more"
            )

    def _check_shift(self) -> None:
        """Passes where a limit of the shift decides anything."""
        limit = self.recipe.quality.max_shift_px
        if limit is None or any(level.shift_of(s) for level in self.levels for s in level.specs):
            return
        raise ConfigError(
            f"{self.path}: [quality] max_shift_px = {limit:g}: no shift is measured, since that wants a source that is the "
            f"nearest to another, both with an array of the same pixels, {LEAST_PX} along a side or more; leave it out"
        )

    def _check_relief(self, spec: SourceSpec) -> None:
        """Passes where heights are there that a source is judged by, and nothing is asked of relief that means nothing."""
        if self.recipe.sources[spec.name].relief and not spec.kind.corrects_relief:
            raise ConfigError(
                f"{self.path}: [sources.{spec.name}] relief: {spec.title} lies where it says, whatever the relief, or says "
                "nothing of it; leave it out"
            )
        judge = spec.kind.judged_by
        if judge is not None and (judge not in self.specs or not self.specs[judge].timeless):
            raise ConfigError(
                f"{self.path}: [sources.{spec.name}] is displaced by relief, and judged by the heights of {judge!r}, which "
                f"the recipe does not use{f' among the {self.level}' if self.level else ''}; add it"
            )

    @property
    def name(self) -> str:
        """Name of the dataset."""
        return self.recipe.name

    def folder(self, region: str) -> str:
        """What cubes and ledgers of this level lie below: the region's name, of children `<region>.children`."""
        return paths.folder(region, self.level)

    def level_of(self, folder: str) -> Dataset:
        """The level whose cubes lie below a folder."""
        return next((one for one in self.levels if one.level == paths.level_of(folder)), self)

    def sources(self, season: str) -> list[SourceSpec]:
        """The sources of a season's cube: those without time for `static`, else those with; deciding ones first."""
        found = [s for s in self.specs.values() if s.timeless == (season == STATIC) and self._has(s.name, season)]
        return sorted(found, key=lambda s: s.pick.follows is not None)

    def sought(self, source: str, season: str) -> Season:
        """What a source is searched in for a season: where it goes with another, `max_gap_days` more each way.

        Its partner lies in the season; of one near the window's edge the nearest scene may lie beyond.
        """
        its = self.recipe.season(season)
        if self.specs[source].pick.follows is None:
            return its
        return its.widened(dt.timedelta(days=min(self.recipe.quality.max_gap_days, MOST_DAYS)))

    def looks_at(self, source: str, season: str) -> list[str]:
        """The seasons whose scenes decide what is picked of a source for a season, its own among them.

        A source of one orbit direction looks at all that this follows from.
        """
        others = self.directed_by(source)
        return [s for s in self.season_names() if s == season or s in others] if others else [season]

    def directed_by(self, source: str) -> list[str]:
        """The seasons whose counts together decide a place's orbit direction; none of a source that keeps to no one."""
        if not self.specs[source].pick.one_way:
            return []
        said = self.recipe.sources[source].direction_from
        return [s for s in self.season_names() if said is None or s in said]

    def dates_of(self, season: str) -> dict[str, str]:
        """Column of locations → a season that lies around its dates, of all dates that a season's pixels follow from.

        The season's own comes first, then those of the seasons that its sources look at.
        """
        out: dict[str, str] = {}
        for name in [season, *(n for spec in self.sources(season) for n in self.looks_at(spec.name, season))]:
            column = self.recipe.season(name).column
            if column is not None:
                out.setdefault(column, name)
        return out

    @property
    def looked_at(self) -> dict[str, str]:
        """Column of places → what looks at it, as of the recipe; those that pixels of its sources follow from, too."""
        return {c: f"[sources.{n}]" for n, s in self.specs.items() for c in s.place_columns} | self.recipe.looked_at

    def min_valid(self, source: str) -> float:
        """Least fraction of pixels with data that a source of a patch may have; more than none anyway."""
        own = self.recipe.sources[source].min_valid
        if own is not None:
            return own
        return self.specs[source].pick.least_valid(self.recipe.quality.min_valid)

    def wants_precise(self, source: str) -> bool:
        """Whether scenes of a source are wanted that were made with a precise orbit, and no others."""
        return self.recipe.sources[source].orbits == "precise"

    def judges(self, season: str) -> list[SourceSpec]:
        """Sources of heights that those of a season's cube are judged by."""
        names = dict.fromkeys(s.kind.judged_by for s in self.sources(season) if s.kind.judged_by)
        return [self.specs[name] for name in names]

    def shift_of(self, source: str) -> Shift | None:
        """What a source's shift against the one it goes with is measured on; None where it is not.

        The first two data arrays of the same pixels, at least `LEAST_PX` along a side.
        """
        pick, size = self.specs[source].pick, self.recipe.grid.size
        for name, array in self.arrays[source].items() if pick.measures_shift and pick.follows else ():
            for other, reference in self.arrays[pick.follows or ""].items():
                alike = array.is_data and reference.is_data and reference.pixel == array.pixel
                if alike and array.px(size) >= LEAST_PX:
                    return Shift(other, name, array, array.px(size))
        return None

    @functools.cached_property
    def step_bytes(self) -> int:
        """Decoded bytes of a patch's arrays that have a time axis; of its levels those of a sample's places together."""
        if self.levels == (self,):
            return steps.patch_bytes(self.specs, self.arrays, self.recipe.grid.size)
        children = self.recipe.children
        return sum(one.step_bytes * (children.per_cell if children and one.level else 1) for one in self.levels)

    @property
    def slab_patches(self) -> int:
        """Patches per slab of a season: those of the recipe, or as many as have room where there is a time axis."""
        return steps.together(self.recipe.cube.slab_patches, self.step_bytes, steps.SLAB_BYTES)

    @property
    def samples_per_shard(self) -> int:
        """Samples per shard: those of the recipe, or as many as have room where there is a time axis."""
        one = self.step_bytes * len(self.recipe.seasons)
        return steps.together(self.recipe.pack.samples_per_shard, one, steps.SHARD_BYTES)

    def _has(self, source: str, season: str) -> bool:
        only = self.recipe.sources[source].seasons
        return season == STATIC or only is None or season in only

    def season_names(self) -> list[str]:
        """The recipe's seasons that any of the sources has, in order, without `static`."""
        return [s for s in self.recipe.seasons if self.sources(s)]

    def cube_seasons(self) -> list[str]:
        """The seasons that there is a cube of, `static` first."""
        return ([STATIC] if self.sources(STATIC) else []) + self.season_names()

    def seasons_of(self, source: str) -> list[str]:
        """The seasons of a source, in the recipe's order; `static` alone of one without time."""
        if self.specs[source].timeless:
            return [STATIC]
        return [s for s in self.recipe.seasons if self._has(source, s)]

    def pixels_parts(self, catalogs: Mapping[str, str], forms: Mapping[str, CatalogForm | None]) -> dict[str, Any]:
        """All that changes a cube, as plain JSON values.

        Args:
            catalogs: source → identity of the catalog that is asked for it.
            forms: source → how that catalog offers it; forms of other catalogs do not count.
        """
        if len(self.levels) > 1:
            return {level.level or "roots": level.pixels_parts(catalogs, forms) for level in self.levels}
        r, used = self.recipe, self.season_names()
        asked = {name: catalogs[name] for name in r.sources}
        return {
            # One for all is told once: who names them, and how, changes no pixel.
            "catalog": asked if len(set(asked.values())) > 1 else next(iter(asked.values())),
            "grid": r.grid.model_dump(mode="json"),
            "seasons": {k: s.model_dump(mode="json") for k, s in r.seasons.items() if k in used},
            "sources": {
                name: [
                    use.model_dump(mode="json"),
                    self.specs[name].model_dump(mode="json", exclude=_NOT_PIXELS),
                    form.model_dump(mode="json") if (form := forms.get(name)) else None,
                ]
                for name, use in r.sources.items()
            },
            "quality": r.quality.model_dump(mode="json"),
            "cube": r.cube.model_dump(mode="json"),
        }

    def pixels_digest(self, catalogs: Mapping[str, str], forms: Mapping[str, CatalogForm | None]) -> str:
        """Digest of `pixels_parts`."""
        return digest(self.pixels_parts(catalogs, forms))

    def of_cube(
        self, parts: Mapping[str, Any], season: str, specs: Sequence[SourceSpec] | None = None
    ) -> dict[str, Any]:
        """What of `pixels_parts`, this recipe's or those that a cube was built by, a cube of a season follows from.

        Args:
            parts: all that changes a cube.
            season: the cube's.
            specs: those of its sources that are looked at; all where None.
        """
        specs = self.sources(season) if specs is None else specs
        sources = {s.name: s.pick.one_way for s in specs}
        return digests.of_cube(parts, season, sources, [s.kind.judged_by for s in specs if s.kind.judged_by])

    def release_digest(self) -> str:
        """Digest of `release_parts`, and of what samples are told to be of, which is in tables alone."""
        asked = domains.names(self.recipe)
        return digest(self.release_parts() | ({"domains": domains.parts(self.recipe, self.path)} if asked else {}))

    def release_parts(self) -> dict[str, Any]:
        """All that changes shards on top of cubes: labels, split, packing, annotations, what is derived, seed."""
        r = self.recipe
        return (
            {k: getattr(r, k).model_dump(mode="json") for k in ("labels", "split", "pack")}
            | {"annotations": {n: [a.spec.model_dump(mode="json"), a.sha256] for n, a in self.annotations.items()}}
            | ({"exclude": exclude.read(r.exclude, self.path)} if r.exclude else {})
            | ({"derived": {n: its.follows_from for n, its in self.derived.items()}} if self.derived else {})
            | {"seed": r.seed, "classes": {n: [c.model_dump() for c in s.kind.legend] for n, s in self.specs.items()}}
        )

    @functools.cached_property
    def annotations(self) -> dict[str, Annotation]:
        """What samples carry beside pixels, by name, with the code that makes it: read once, and never executed here.

        Raises:
            ConfigError: a file of code is not there, or does not lie in the folder of the recipe.
        """
        return recipe_annotations.read(self.recipe.annotations, self.path)

    def places_parts(self) -> dict[str, Any]:
        """All that changes the draw of locations, as plain JSON values; of files the digests of their content."""
        r = self.recipe
        content = b"".join(p.read_bytes() for p in local.parts(self.places_file())) if r.places.file else b""
        return {
            "places": r.places.model_dump(mode="json", exclude={"regions_of"}),
            **r.grid.model_dump(mode="json"),
            **({"children": r.children.model_dump(mode="json", exclude={"sources"})} if r.children else {}),
            "seed": r.seed,
            "file": hashlib.sha256(content).hexdigest(),
            **r.places.balance_parts(self.path),
            **({"atlas": tables} if (tables := self._atlas()) else {}),
        }

    def _atlas(self) -> dict[str, str]:
        """Files of the atlas that the draw reads, with the digests of their content."""
        r = self.recipe
        samplers = {r.places.sampler} | ({r.children.sampler} if r.children else set())
        used: list[atlas.Released] = [atlas.CITIES] * ("gaussian-cities" in samplers)
        used += [atlas.LAND] * bool(samplers - {"grid", "file"})
        used += [atlas.CLIMATE] * bool(r.places.balance and r.places.balance.domain)
        return {table.file: table.sha256 for table in used}

    def places_digest(self) -> str:
        """Digest of `places_parts`."""
        return digest(self.places_parts())

    def local_folders(self) -> tuple[str, ...]:
        """Where hrefs may lead to local files, beside the folder of a local catalog."""
        return tuple(str((self.path.parent / Path(f).expanduser()).absolute()) for f in self.recipe.search.local)

    def places_file(self) -> Path:
        """The file of given places, beside the recipe.

        Raises:
            ConfigError: it is not there.
        """
        assert self.recipe.places.file is not None
        path = (self.path.parent / self.recipe.places.file).resolve()
        where = f"{self.path}: [places] file = {self.recipe.places.file!r}"
        if not path.exists():
            made = f"; `curate import FROM --as {self.path}` makes it" if foreign.is_foreign(self.path) else ""
            raise ConfigError(f"{where}: no such file {path}{made}")
        local.check(path, f"{where}: {path}")
        return path


def load_dataset(name_or_path: str, archive: str = "") -> Dataset:
    """The dataset of a recipe: a name under `manifests/`, or a path to a `recipe.toml` (or to its folder).

    Of a foreign dataset `archive` is the folder or file that it lies in; only who builds wants it.

    Raises:
        ConfigError: there is no such recipe, or it or one of its sources says something impossible.
    """
    path = files.recipe_path(name_or_path)
    if foreign.is_foreign(path):
        return Dataset(*foreign.resolved(path, archive), path)
    recipe = read_toml(path, Recipe)
    read = sourcefiles.read_used(recipe.sources, path)
    specs = {name: placed(spec, recipe.places, path) for name, spec in read.items()}
    if specs != read:  # their shapes are found by their rows
        recipe = recipe.model_copy(update={"places": recipe.places.model_copy(update={"numbered": True})})
    return Dataset(recipe, specs, path)
