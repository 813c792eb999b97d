"""What cubes tell of patches, read for packing: each row is what its ledger says."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from curation.cubes import labels
from curation.cubes.cube import Cube
from curation.errors import ConfigError
from curation.model import STATIC, Location
from curation.outcomes import PatchOutcome
from curation.pack import angles, passes
from curation.recipe.split import DATATAKE
from curation.store.ledger import Ledger
from curation.work.progress import Counting
from curation.work.run import Run

READ_THREADS = 8
"""Facts are many small objects: so many are read at once."""

DECIMALS = 4
"""Of per cent: a pixel of a patch of 1,000 a side, and well above what float32 rounds, so that limits are met exactly."""


@dataclass(frozen=True, slots=True)
class Cubes:
    """What is built of the regions: folder → season → each."""

    cubes: dict[str, dict[str, Cube]]
    ledgers: dict[str, dict[str, Ledger]]
    outcomes: dict[str, dict[str, dict[str, PatchOutcome]]]
    """By location id."""


def split_facts(run: Run, built: Cubes) -> dict[str, dict[str, list[str]]]:
    """`<source>_<fact>` that the split's rule looks at → id of a root → what each of its patches has of it, of steps each.

    Raises:
        ConfigError: no cube tells it.
    """
    cubes = [c for by in built.cubes.values() for c in by.values() if not c.dataset.level]
    facts = {c.name: {f.name for f in c.facts} for c in cubes}
    asked = {f"{source}_{name}": (source, name) for source, name in run.dataset.recipe.split.facts}
    for fact, (source, _) in asked.items():
        if not any(fact in its for its in facts.values()):
            raise ConfigError(
                f"{run.dataset.path}: [split] looks at {fact}, which no cube tells: say angles = true in "
                f"[sources.{source}], and build it so (radar tells its satellite anyway)"
            )
    out: dict[str, dict[str, list[str]]] = {fact: {} for fact in asked}
    for patch in each_patch(run, built, [c for c in cubes if asked.keys() & facts[c.name]]):
        season = patch.cube.season
        for fact in asked.keys() & facts[patch.cube.name]:
            source, name = asked[fact]
            if patch.outcome.has(source):
                value = angles.value({season: patch.row}, season, source, name)
                texts = [v or "" for v in (value if isinstance(value, list) else [value])]
                out[fact].setdefault(patch.place.id, []).extend(n for text in texts for n in text.split(" "))
    return {fact: of for fact, of in out.items() if of}


def times(run: Run, built: Cubes) -> dict[tuple[str, str, str], tuple[dt.datetime, ...]]:
    """Id of a place, season and source → when its scenes were sensed, where ids alone do not tell their datatake.

    Nothing, and no fact is read for it, where the rule does not ask for datatakes, or ids of all scenes tell theirs.
    """
    if DATATAKE not in run.dataset.recipe.split.kinds(()):
        return {}
    every = [c for by in built.cubes.values() for c in by.values() if c.season != STATIC]
    hidden = [c for c in every if any(_hides(o) for o in built.outcomes[c.folder][c.season].values())]
    return {
        (patch.place.id, patch.cube.season, source): found
        for patch in each_patch(run, built, hidden)
        for source, its in patch.outcome.sources.items()
        if patch.outcome.has(source) and (found := _times(patch.row, source, its.scenes))
    }


def _hides(outcome: PatchOutcome) -> bool:
    return any(passes.hides(scene) for its in outcome.sources.values() for scene in its.scenes)


def _times(row: Mapping[str, Any], source: str, scenes: Sequence[str]) -> tuple[dt.datetime, ...]:
    """When scenes of a source were sensed, of ids that hide their pass; nothing of others, or where it is not known."""
    if (found := row.get(f"{source}_time")) is None or not any(map(passes.hides, scenes)):
        return ()
    seconds = [s for s in np.atleast_1d(np.asarray(found, np.float64)).tolist() if math.isfinite(s)]
    return tuple(dt.datetime.fromtimestamp(s, dt.UTC) for s in seconds[: row.get(f"{source}_steps") or None])


def sample_shares(run: Run, built: Cubes) -> dict[tuple[str, str], dict[str, float]]:
    """(folder, id) of a root → shares of `[pack.shares]` by name, in per cent of its pixels; none of a map it has not.

    A cube is read once, however many shares are of it.
    """
    asked: dict[str, dict[str, tuple[str, list[int]]]] = {}
    for name, its in run.dataset.recipe.pack.shares.items():
        season = its.season_among(run.dataset.levels[0].seasons_of(its.source))
        legend = [c.name for c in run.dataset.specs[its.source].kind.legend]
        counts = [number for number, one in enumerate(legend) if its.counts(one)]
        asked.setdefault(season, {})[name] = its.source, counts
    cubes = [c for by in built.cubes.values() for c in by.values() if not c.dataset.level and c.season in asked]
    out: dict[tuple[str, str], dict[str, float]] = {}
    for patch in each_patch(run, built, cubes):
        for name, (source, counts) in asked[patch.cube.season].items():
            if patch.outcome.has(source):
                row = patch.row
                share = labels.pixel_share(row[f"{source}_fraction"], row[f"{source}_valid_fraction"], counts)
                out.setdefault((patch.cube.folder, patch.place.id), {})[name] = round(100 * share, DECIMALS)
    return out


class _Patch(NamedTuple):
    """What is known of a patch."""

    cube: Cube
    place: Location
    outcome: PatchOutcome
    row: dict[str, Any]
    """Its facts."""


def each_patch(run: Run, built: Cubes, cubes: Sequence[Cube]) -> Iterator[_Patch]:
    """Each patch of cubes that has an outcome, with its facts: no more of them are held than of a few slabs."""
    wanted = {(c.folder, c.season): set(built.ledgers[c.folder][c.season].slabs) for c in cubes}
    for folder, season, slab, rows in _slabs(run, built, wanted):
        cube, outcomes = built.cubes[folder][season], built.outcomes[folder][season]
        for place, row in zip(cube.slab(slab), rows, strict=True):
            if (outcome := outcomes.get(place.id)) is not None:
                yield _Patch(cube, place, outcome, row)


def read_facts(
    run: Run, built: Cubes, wanted: Mapping[tuple[str, str], set[int]]
) -> dict[tuple[str, str, int], dict[str, Any]]:
    """(folder, season, patch) → facts, of the slabs wanted; each row is what its ledger says."""
    out = {}
    for folder, season, slab, rows in _slabs(run, built, wanted):
        first = slab * built.cubes[folder][season].slab_patches
        out.update({(folder, season, first + i): row for i, row in enumerate(rows)})
    return out


def _slabs(
    run: Run, built: Cubes, wanted: Mapping[tuple[str, str], set[int]]
) -> Iterator[tuple[str, str, int, list[dict[str, Any]]]]:
    """Folder, season and number of each slab wanted, in order, and the facts of its patches."""
    todo = [(folder, season, slab) for (folder, season), slabs in wanted.items() for slab in sorted(slabs)]

    def read(job: tuple[str, str, int]) -> list[dict[str, Any]]:
        folder, season, slab = job
        cube = built.cubes[folder][season]
        record = built.ledgers[folder][season].slabs[slab]
        return cube.proven_facts(run.store, record, [p.id for p in cube.slab(slab)])

    ahead = 4 * READ_THREADS
    with ThreadPoolExecutor(READ_THREADS) as pool, Counting("pack: facts", len(todo), "slab") as count:
        for start in range(0, len(todo), ahead):
            part = todo[start : start + ahead]
            for job, rows in zip(part, pool.map(read, part), strict=True):
                yield *job, rows
                count.step()
