"""What cubes tell of patches, read for packing: each row is what its ledger says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from curation.cubes import labels
from curation.cubes.cube import Cube
from curation.errors import ConfigError
from curation.model import Location
from curation.outcomes import PatchOutcome
from curation.pack import angles
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
    out: dict[str, dict[str, list[str]]] = {}
    for source, name in run.dataset.recipe.split.facts:
        fact = f"{source}_{name}"
        cubes = [c for by in built.cubes.values() for c in by.values() if not c.dataset.level]
        having = [c for c in cubes if fact in {f.name for f in c.facts}]
        if not having:
            raise ConfigError(
                f"{run.dataset.path}: [split] looks at {fact}, which no cube tells: say angles = true in "
                f"[sources.{source}], and build it so (radar tells its satellite anyway)"
            )
        for cube, place, row in _each_patch(run, built, having, source):
            value = angles.value({cube.season: row}, cube.season, source, name)
            texts = [v or "" for v in (value if isinstance(value, list) else [value])]
            out.setdefault(fact, {}).setdefault(place.id, []).extend(n for text in texts for n in text.split(" "))
    return out


def sample_shares(run: Run, built: Cubes) -> dict[tuple[str, str], dict[str, float]]:
    """(folder, id) of a root → shares of `[pack.shares]` by name, in per cent of its pixels; none of a map it has not."""
    out: dict[tuple[str, str], dict[str, float]] = {}
    cubes = [c for by in built.cubes.values() for c in by.values() if not c.dataset.level]
    for name, its in run.dataset.recipe.pack.shares.items():
        season = its.season_among(run.dataset.levels[0].seasons_of(its.source))
        legend = [c.name for c in run.dataset.specs[its.source].kind.legend]
        counts = [number for number, one in enumerate(legend) if its.counts(one)]
        for cube, place, row in _each_patch(run, built, [c for c in cubes if c.season == season], its.source):
            share = labels.pixel_share(row[f"{its.source}_fraction"], row[f"{its.source}_valid_fraction"], counts)
            out.setdefault((cube.folder, place.id), {})[name] = round(100 * share, DECIMALS)
    return out


def _each_patch(
    run: Run, built: Cubes, cubes: Sequence[Cube], source: str
) -> Iterator[tuple[Cube, Location, dict[str, Any]]]:
    """Each patch of cubes that has pixels of a source, with its facts."""
    rows = read_facts(run, built, {(c.folder, c.season): set(built.ledgers[c.folder][c.season].slabs) for c in cubes})
    for cube in cubes:
        for number, place in enumerate(cube.locations):
            of = built.outcomes[cube.folder][cube.season].get(place.id)
            if of is not None and of.has(source):
                yield cube, place, rows[cube.folder, cube.season, number]


def read_facts(
    run: Run, built: Cubes, wanted: Mapping[tuple[str, str], set[int]]
) -> dict[tuple[str, str, int], dict[str, Any]]:
    """(folder, season, patch) → facts, of the slabs wanted; each row is what its ledger says."""
    todo = [(region, season, slab) for (region, season), slabs in wanted.items() for slab in sorted(slabs)]

    def read(job: tuple[str, str, int]) -> list[dict[str, Any]]:
        region, season, slab = job
        cube = built.cubes[region][season]
        record = built.ledgers[region][season].slabs[slab]
        return cube.proven_facts(run.store, record, [p.id for p in cube.slab(slab)])

    out = {}
    with ThreadPoolExecutor(READ_THREADS) as pool, Counting("pack: facts", len(todo), "slab") as count:
        for (region, season, slab), rows in zip(todo, pool.map(read, todo), strict=True):
            first = slab * built.cubes[region][season].slab_patches
            out.update({(region, season, first + i): row for i, row in enumerate(rows)})
            count.step()
    return out
