"""What sides of a split have in common: ground, which they must not, scenes and coarse cells, which is told. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from curation.model import Location
from curation.pack.sides import HELD_OUT, TEST, VAL
from curation.places import era5_cells, overlap
from curation.places.nearby import EARTH_RADIUS_KM, Nearby
from curation.recipe.footprint import CELL_DEG
from curation.recipe.places import CELL_SAMPLER
from curation.recipe.schema import Recipe
from curation.recipe.split import UNSHARED_CELL


@dataclass(frozen=True, slots=True)
class Uses:
    """A sample, and what it uses that another may use, too."""

    id: str
    split: str
    things: Mapping[str, Collection[str]]
    """Kind (a source, or `era5-cell`) → names: ids of scenes, or of cells."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What more than one side uses, of one kind: train with what is unlabelled is one, val another, test the third."""

    count: int
    """Scenes or cells."""
    train: int
    """Samples of train, and unlabelled ones, that use one of them: those that are learnt from."""
    val: int
    """Samples of val and test that do: those that are held out."""


def cells_of(recipe: Recipe, places: Sequence[Location]) -> list[set[str]]:
    """Ids of the ERA5 cells that each root's footprint touches; of a root that is such a cell that one alone."""
    lon, lat = (np.array([getattr(p, k) for p in places], np.float64)[:, None] for k in ("lon", "lat"))
    if recipe.places.sampler != CELL_SAMPLER:
        epsg = np.array([p.epsg for p in places], np.int64)
        x0, y0 = (np.array([getattr(p, k) for p in places], np.float64) for k in ("x0_m", "y0_m"))
        lon, lat = overlap.outlines(epsg, x0, y0, recipe.grid.size, points_per_side=4)
        lon = lon[:, :1] + (lon - lon[:, :1] + 180) % 360 - 180  # each runs on from its first
    west, south, east, north = (f(v, axis=1) for f in (np.min, np.max) for v in (lon, lat))
    (left, bottom), (right, top) = era5_cells.indices_at(west, south), era5_cells.indices_at(east, north)
    wide, high = right - left + 1, top - bottom + 1
    # All cells of each one's bounding box: a cell may reach into a footprint between two points of its outline.
    of = np.repeat(np.arange(len(lon)), wide * high)
    nth = np.arange(len(of)) - np.repeat(np.cumsum(wide * high) - wide * high, wide * high)
    column, row = left[of] + nth % wide[of], bottom[of] + nth // wide[of]
    touched = np.ones(len(of), bool)
    if lon.shape[1] > 1:
        x, y = column * CELL_DEG - 180, row * CELL_DEG - 90
        half = CELL_DEG / 2
        outlines = np.asarray(shapely.polygons(np.stack([lon, lat], axis=-1)))
        touched = shapely.intersects(outlines[of], shapely.box(x - half, y - half, x + half, y + half))
    out: list[set[str]] = [set() for _ in places]
    for i, name in zip(of[touched].tolist(), era5_cells.ids(era5_cells.numbered(column, row)[touched]), strict=True):
        out[i].add(name)
    return out


def shared(samples: Iterable[Uses]) -> dict[str, Shared]:
    """Kind → what samples of more than one side use."""
    samples = list(samples)
    learnt, val, test = _sides(samples)
    out = {}
    for kind in sorted({k for s in samples for k in s.things}):
        of_learnt, of_val, of_test = (_used(side, kind) for side in (learnt, val, test))
        names = of_learnt & of_val | of_learnt & of_test | of_val & of_test
        of_each = [sum(not names.isdisjoint(s.things.get(kind, ())) for s in side) for side in (learnt, [*val, *test])]
        out[kind] = Shared(len(names), *of_each)
    return out


def left_out(samples: Iterable[Uses], kinds: Collection[str]) -> dict[str, str]:
    """Id → `shared:<kind>` of each sample that uses what it may not, since another side does.

    As with ground (`sides.buffered_sides`) test stays whole, val gives way to it, and train and what is unlabelled to
    both: to that of val which is left.
    """
    learnt, val, test = _sides(list(samples))
    out = _giving_way(val, test, kinds)
    return out | _giving_way(learnt, [*(s for s in val if s.id not in out), *test], kinds)


def _giving_way(samples: Sequence[Uses], to: Sequence[Uses], kinds: Collection[str]) -> dict[str, str]:
    """Id → `shared:<kind>` of those samples that use what others do; of several kinds the first."""
    out: dict[str, str] = {}
    for kind in kinds:
        theirs = _used(to, kind)
        for s in samples:
            if not theirs.isdisjoint(s.things.get(kind, ())):
                out.setdefault(s.id, f"shared:{kind}")
    return out


def near_pairs(places: Sequence[Location], side: Sequence[str], reach_km: float) -> int:
    """Pairs of roots of two sides that may share ground: centres are nearer than twice as far as footprints reach.

    Train and what is unlabelled are one side: nothing is judged by either.
    """
    lon, lat = (np.array([getattr(p, k) for p in places], np.float64) for k in ("lon", "lat"))
    learnt, val, test = (np.isin(np.array(side, str), of, invert=of is HELD_OUT) for of in (HELD_OUT, [VAL], [TEST]))
    angle = min(2 * reach_km / EARTH_RADIUS_KM, math.pi) * (1 - 1e-9)
    apart = ((learnt, val | test), (val, test))
    return sum(len(Nearby(lon[b], lat[b]).pairs(lon[a], lat[a], angle)[0]) for a, b in apart)


def summary(found: Mapping[str, Shared]) -> str:
    """What sides use in common, for a person."""
    parts = [
        f"{its.count} {'cells of 0.25°' if kind == UNSHARED_CELL else f'scenes of {kind}'}"
        f" (samples: {its.train} learnt from, {its.val} held out)"
        for kind, its in found.items()
        if its.count
    ]
    return "; ".join(["no ground", *parts])


def _sides(samples: Sequence[Uses]) -> tuple[list[Uses], list[Uses], list[Uses]]:
    """Those that are learnt from, of val, and of test."""
    learnt = [s for s in samples if s.split not in HELD_OUT]
    return learnt, [s for s in samples if s.split == VAL], [s for s in samples if s.split == TEST]


def _used(samples: Iterable[Uses], kind: str) -> set[str]:
    """What of a kind samples use."""
    return {name for s in samples for name in s.things.get(kind, ())}
