"""One patch of a cube as a PNG: what each source shows of it, or why there is nothing, and what was measured."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.cubes import complete, contents, windows
from curation.cubes.contents import CubeContents
from curation.errors import ConfigError, DamageError
from curation.model import Location, iso
from curation.outcomes import PatchOutcome, Status
from curation.pack import split as splits
from curation.pack.captions import packed
from curation.places import grid
from curation.places.locations import Locations
from curation.recipe import synthetic
from curation.recipe.dataset import Dataset
from curation.recipe.facts import FILL
from curation.recipe.sources import SourceSpec
from curation.report import panels, picture
from curation.store import paths
from curation.store.ledger import cube_names
from curation.store.objects import Store


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture that was written."""

    where: str
    damage: tuple[str, ...]
    """What of the patch is not as its ledger recorded it; the picture says so in its place."""
    png: bytes = field(default=b"", repr=False, compare=False)


def write(dataset: Dataset, store: Store, patch: str, out: Path | None, *, caption: bool = False) -> Shown:
    """The picture of a patch, written to `<ID>-<SEASON>.png` in the current folder, or to `out`.

    Every chunk that is drawn or told is checked against the ledger's hash of it first.

    Args:
        dataset: the recipe it was built by.
        store: its folder, `<root>/<dataset>`.
        patch: `REGION/SEASON/ID`, as ledgers and logs name it.
        out: a local file to write instead.
        caption: whether its captions stand beside it, with the facts that each tells, as the shards have them.

    Raises:
        ConfigError: there is no such patch (near matches are told), it is not built yet, or `out` is a folder; captions
            are asked for, and no shard has any of it.
        DamageError: its cube's ledger or identity is not what was recorded.
    """
    if out is not None and out.is_dir():
        raise ConfigError(f"--out {out}: is a folder, expected the name of a file")
    cube, location = _found(dataset, store, patch)
    target = (out or Path(f"{location}-{cube.cube.season}.png")).absolute()
    where = Store(target.parent)
    said = _captions(dataset, store, cube, location) if caption else []
    split, wrong = _split(dataset, store, cube, location)
    data, damage = _png(cube, location, split, _sample(dataset, store, cube, location), said)
    damage = (*damage, *wrong)
    where.publish(target.name, data)
    return Shown(where.where(target.name), damage, data)


def png(cube: CubeContents, location: str) -> bytes:
    """The picture of a decided patch."""
    return _png(cube, location, "", "")[0]


def _split(dataset: Dataset, store: Store, cube: CubeContents, location: str) -> tuple[str, tuple[str, ...]]:
    """What the location is of, for a person: as packed, or as planned; and what of that is damaged."""

    def places() -> Locations:
        """Those of all regions that are built: what is of one may lie near to what is of another."""
        first = dict(reversed(contents.named(dataset, store)[0]))
        every = (contents.opened(dataset, store, *key).cube.locations for key in sorted(first.items()))
        return Locations.of({p.id: p for its in every for p in its}.values())

    try:
        found = splits.known(dataset.recipe, store, places)
    except DamageError as err:
        return "split not known", (str(err),)
    return found.side_in_words(cube.cube.locations[cube.numbers[location]]), ()


def _sample(dataset: Dataset, store: Store, cube: CubeContents, location: str) -> str:
    """What the location has come to by the recipe's rule, as packing has it; of a child by its own patches."""
    built, its_cube = set(cube_names(store)), cube.cube
    family = {
        f: level for level in dataset.levels if (f := level.folder(its_cube.region)) and not its_cube.dataset.level
    }
    opened: dict[tuple[str, str], CubeContents] = {}
    try:
        for folder, level in (family or {its_cube.folder: its_cube.dataset}).items():
            for season in (s for s in level.cube_seasons() if (folder, s) in built):
                opened[folder, season] = contents.opened(dataset, store, folder, season)
    except DamageError as err:
        return f"not known: {err}"

    def outcome(folder: str, season: str, name: str) -> PatchOutcome | None:
        its = opened.get((folder, season))
        return its.outcomes.get(name) if its else None

    if its_cube.dataset.level:
        seasons = its_cube.dataset.cube_seasons()
        rule = dataset.recipe.pack.complete
        found = complete.judged(rule, {s: outcome(its_cube.folder, s, location) for s in seasons})
    else:
        places = {
            folder: [p for p in its.cube.locations if location in (p.id, p.parent)]
            for (folder, _), its in opened.items()
        }
        found = complete.standings(dataset, its_cube.region, places, outcome)[0].verdict
    return found.state if found.reason is None else f"{found.state}: {found.reason}"


def _captions(dataset: Dataset, store: Store, cube: CubeContents, location: str) -> list[tuple[str, str]]:
    """Captions of a patch's season, or of its sample, each with the facts that it tells, as rows beside a picture.

    Raises:
        ConfigError: no shard has any of it.
        DamageError: the shard is not what was packed.
    """
    name, _ = packed.needed(dataset, store)
    found = dict(packed.read(dataset, store, name, (location,))).get(location)
    if found is None:
        raise ConfigError(
            f"patch of {location!r}: no sample of the shards has captions of it: pack it, or leave --caption out"
        )
    rows = [("Captions", "")]
    for text, facts in packed.rows(packed.of_season(found, cube.cube.season)):
        rows += [("caption", text), ("tells", ", ".join(facts))]
    return rows


def _png(
    cube: CubeContents, location: str, split: str, sample: str, said: Sequence[tuple[str, str]] = ()
) -> tuple[bytes, tuple[str, ...]]:
    """The picture of a decided patch, and what of it is damaged.

    `split` and `sample` are what its location has come to, `said` further rows beside it.
    """
    outcome = cube.outcomes[location]
    place = cube.cube.locations[cube.numbers[location]]
    shown = panels.of_patch(cube, location) if outcome.status is Status.OK else []
    facts = [*said, *_facts(cube, outcome, sample)]
    if about := synthetic.about(cube.asked):
        facts = [("", about), *facts]
    state = outcome.status.name.lower()
    why = "" if outcome.status is Status.OK else panels.why(outcome)
    made = "synthetic" if synthetic.synthetic(cube.asked) else ""
    where = panels.place_in_words(place)
    subtitle = " · ".join(s for s in (cube.cube.dataset.name, made, cube.name, split, where, state) if s)
    damage = [p.damage for p in shown if p.damage]
    damage += [text for name, text in facts if name == _FACTS_DAMAGED]
    return picture.png(location, subtitle, why, shown, facts, grid.side_m(place)), tuple(damage)


def _facts(cube: CubeContents, outcome: PatchOutcome, sample: str) -> list[tuple[str, str]]:
    """Name and value of all that is recorded of a patch, by source; an empty value makes a heading."""
    place = cube.cube.locations[cube.numbers[outcome.id]]
    out = [("location", ""), ("grid", f"EPSG:{place.epsg} west {place.x0_m:.10g} north {place.y0_m:.10g}")]
    out += [
        ("footprint", f"{place.size_m:g} {cube.cube.dataset.recipe.grid.unit}"),
        *_window(cube, place),
        ("status", outcome.status.name.lower()),
        *([("sample", sample)] if sample else []),
    ]
    try:
        known = cube.facts(cube.numbers[outcome.id] // cube.cube.slab_patches)
        facts = known[cube.numbers[outcome.id] % cube.cube.slab_patches]
    except DamageError as err:
        out.append((_FACTS_DAMAGED, str(err)))
        facts = {}
    for spec in cube.cube.sources:
        out.append((spec.title, ""))
        its = outcome.sources.get(spec.name)
        if its is not None and its.status is not Status.OK:
            out.append(("why", panels.reason(its)))
        if its is not None and its.scenes:
            out.append(("scenes", _few(its.scenes)))
        out += _class_rows(spec, facts)
    shared = {k: v for k, v in facts.items() if k.startswith(("elevation_", "slope_"))}
    return out + [(k.replace("_", " "), f"{v:.4g}") for k, v in shared.items() if v is not None]


def _window(cube: CubeContents, place: Location) -> list[tuple[str, str]]:
    """The date that the season lies around, and its days; nothing where they are the same everywhere."""
    season = cube.cube.its
    if season.column is None:
        return []
    date, window = windows.date_of(season.column, place), season.window(place)
    if date is None or window is None:
        return [(season.column, "none")]
    return [(season.column, iso(date)), ("window", f"{window.start:%Y-%m-%d} to before {window.end:%Y-%m-%d}")]


_FACTS_DAMAGED = "facts damaged"

_UNKNOWN = {str: FILL["string"], int: FILL["int16"]}
"""What stands where nothing was measured, by type; what is NaN in the cube is None by now."""


_MOST_SCENES = 8
"""Of more the first and the last are told."""


def _few(scenes: Sequence[str]) -> str:
    if len(scenes) <= _MOST_SCENES:
        return " ".join(scenes)
    return f"{len(scenes)}, from {scenes[0]} to {scenes[-1]}"


def _span(short: str, values: NDArray[Any]) -> str:
    """What is known of all steps: from the least to the greatest; of texts each once."""
    if values.dtype.kind in "OTU":
        return " ".join(dict.fromkeys(str(v) for v in values if v))
    ends = np.nanmin(values), np.nanmax(values)
    if short == "time":
        lines = [iso(dt.datetime.fromtimestamp(v, dt.UTC).replace(microsecond=0)) for v in ends]
    else:
        lines = [f"{v:.4g}" for v in ends]
    return " to ".join(dict.fromkeys(lines))


def _of_class(name: str, short: str, value: float) -> tuple[str, str]:
    """What is measured of one class: its share, or else what the fact's own name says."""
    name = name.replace("_", " ")
    return (
        (name, f"{100 * value:.1f} %")
        if short == "fraction"
        else (f"{name}, {short.replace('_', ' ')}", f"{value:.4g}")
    )


def _class_rows(spec: SourceSpec, facts: dict[str, Any]) -> list[tuple[str, str]]:
    out, classes = [], [c.name for c in spec.kind.legend]
    steps = None if spec.pick.most_steps is None else facts.get(f"{spec.name}_steps")
    for key, value in facts.items():
        short = key.removeprefix(f"{spec.name}_")
        if short == key or short in ("status", "reason", "scenes") or value is None:
            continue
        if not isinstance(value, np.ndarray) and value == _UNKNOWN.get(type(value)):
            continue
        if isinstance(value, np.ndarray) and steps is not None:
            out += [(short.replace("_", " "), _span(short, value[:steps]))] if steps > 0 else []
        elif isinstance(value, np.ndarray):
            out += [_of_class(n, short, v) for n, v in zip(classes, value.tolist(), strict=True) if v]
        elif short == "time":
            out.append(("time", iso(dt.datetime.fromtimestamp(value, dt.UTC).replace(microsecond=0))))
        else:
            out.append((short.replace("_", " "), f"{value:.4g}" if isinstance(value, float) else str(value)))
    return out


def _found(dataset: Dataset, store: Store, patch: str) -> tuple[CubeContents, str]:
    """The cube and location id that `REGION/SEASON/ID` names.

    Raises:
        ConfigError: there is no such decided patch.
    """
    region, season, location = paths.patch_of(patch)
    names = cube_names(store)
    if not names:
        raise ConfigError(
            f"{store.where('')}: nothing of {dataset.name!r} is built there; build it first, or give the --root it was "
            "built into"
        )
    _one_of("region", region, sorted({r for r, _ in names}), patch)
    _one_of("season", season, sorted({s for r, s in names if r == region}), patch)
    cube = contents.opened(dataset, store, region, season)
    if location not in cube.numbers:
        _one_of("location", location, sorted(cube.outcomes), patch, planned=len(cube.numbers) - len(cube.outcomes))
    if location not in cube.outcomes:
        raise ConfigError(
            f"patch {patch!r}: is pending: it has not been built. Build it with `curate --dataset {dataset.path} --region "
            f"{region} --season {season}`, and the --catalog and --root that the cube was begun with"
        )
    return cube, location


def _one_of(what: str, asked: str, known: Sequence[str], patch: str, *, planned: int = 0) -> None:
    """Passes where `asked` is known; `planned` others are not built yet.

    Raises:
        ConfigError: it is not; the nearest that are known are told.
    """
    if asked in known:
        return
    near = difflib.get_close_matches(asked, known, n=5, cutoff=0.5)
    near_matches = f"near matches: {', '.join(near)}" if near else f"there are {len(known):,}: {', '.join(known[:5])}"
    more = ", …" if not near and len(known) > 5 else ""
    wait = f"; {planned:,} others of the cube are pending" if planned else ""
    raise ConfigError(f"patch {patch!r}: no {what} {asked!r} is built; {near_matches}{more}{wait}")
