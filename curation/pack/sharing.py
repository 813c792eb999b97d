"""What sides of a split have in common: ground, which they must not, scenes and coarse cells, which is told. Pure."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from curation.model import Location, parse_time
from curation.pack import passes
from curation.pack.sides import TIERS
from curation.places import era5_cells, overlap
from curation.places.grids import Floats
from curation.places.nearby import Nearby, nearest
from curation.recipe.footprint import CELL_DEG
from curation.recipe.places import CELL_SAMPLER
from curation.recipe.schema import Recipe
from curation.recipe.split import DATATAKE, EVENT, UNSHARED_CELL, Tiers


@dataclass(frozen=True, slots=True)
class Uses:
    """A sample, and what it uses that another may use, too."""

    id: str
    split: str
    things: Mapping[str, Collection[str]]
    """Kind (a source, or `era5-cell`) → names: ids of scenes, or of cells."""


@dataclass(frozen=True, slots=True)
class PackedUses:
    """What a packed sample tells that a sample of another part might share."""

    uses: Uses
    place: Location
    """Where it lies; what else a location has is not told."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What more than one side uses, of one kind: train with what is unlabelled is one, val another, test the third."""

    count: int
    """Scenes or cells."""
    train: int
    """Samples of train, and unlabelled ones, that use one of them: those that are learnt from."""
    val: int
    """Samples of val and test that do: those that are held out."""


def of_meta(meta: Mapping[str, Any], split: str, kinds: Collection[str]) -> PackedUses:
    """What a sample's `meta.json` tells of these kinds, its children's with it. Raises KeyError where it says no place."""
    things: dict[str, set[str]] = {}
    for its in (meta, *meta.get("children", ())):
        for part in (its.get("static", {}), *its.get("seasons", {}).values()):
            for source, facts in part.get("sources", {}).items():
                scenes = facts.get("scenes", ())
                things.setdefault(source, set()).update(scenes)
                if DATATAKE in kinds:
                    things.setdefault(DATATAKE, set()).update(passes.of_scenes(scenes, _times(facts)))
    if (event := meta.get("columns", {}).get(EVENT)) is not None:
        things[EVENT] = {str(event)}
    lon, lat, x0_m, y0_m, size_m = (float(meta[k]) for k in ("lon", "lat", "x0_m", "y0_m", "size_m"))
    place = Location(meta["id"], lon, lat, int(meta["epsg"]), x0_m, y0_m, size_m, region="")
    return PackedUses(Uses(meta["id"], split, {k: v for k, v in things.items() if k in kinds}), place)


def _times(facts: Mapping[str, Any]) -> list[dt.datetime]:
    """When scenes of a source were sensed, as `meta.json` tells it of a patch."""
    found = [*([facts["time"]] if facts.get("time") else []), *facts.get("times", ())]
    return [parse_time(text) for text in found]


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


def shared(samples: Iterable[Uses], tiers: Tiers = TIERS) -> dict[str, Shared]:
    """Kind → what samples of more than one side, a tier each, use."""
    samples = list(samples)
    *held, learnt = _sides(samples, tiers)
    out = {}
    for kind in sorted({k for s in samples for k in s.things}):
        used = Counter(name for side in (*held, learnt) for name in _used(side, kind))
        names = {name for name, n in used.items() if n > 1}
        of_each = [
            sum(not names.isdisjoint(s.things.get(kind, ())) for s in side)
            for side in (learnt, [s for side in held for s in side])
        ]
        out[kind] = Shared(len(names), *of_each)
    return out


def left_out(samples: Iterable[Uses], kinds: Collection[str], tiers: Tiers = TIERS) -> dict[str, str]:
    """Id → `shared:<kind>` of each sample that uses what it may not, since another side does.

    As with ground (`sides.keep_apart`) each tier gives way to what is left of those before it.
    """
    first, *others = _sides(list(samples), tiers)
    stay, out = first, dict[str, str]()
    for side in others:
        out |= _giving_way(side, stay, kinds)
        stay = [*stay, *(s for s in side if s.id not in out)]
    return out


def _giving_way(samples: Sequence[Uses], to: Sequence[Uses], kinds: Collection[str]) -> dict[str, str]:
    """Id → `shared:<kind>` of those samples that use what others do; of several kinds the first."""
    out: dict[str, str] = {}
    for kind in kinds:
        theirs = _used(to, kind)
        for s in samples:
            if not theirs.isdisjoint(s.things.get(kind, ())):
                out.setdefault(s.id, f"shared:{kind}")
    return out


def near_pairs(places: Sequence[Location], side: Sequence[str], angle: float, tiers: Tiers = TIERS) -> int:
    """Pairs of roots of two tiers whose centres lie nearer than an angle, radians.

    Train and what is unlabelled are of one: nothing is judged by either.
    """
    lon, lat = (np.array([getattr(p, k) for p in places], np.float64) for k in ("lon", "lat"))
    return near_at(lon, lat, side, angle, tiers)


def near_at(lon: Floats, lat: Floats, side: Sequence[str], angle: float, tiers: Tiers) -> int:
    """`near_pairs` of centres in degrees."""
    tier = _tier_of(tiers)
    of = np.array([tier[s] for s in side], np.int64)
    found = 0
    for n in range(1, len(tiers)):
        mine, before = np.flatnonzero(of == n), np.flatnonzero(of < n)
        near = mine[nearest(lon[mine], lat[mine], lon[before], lat[before], angle) <= angle * (1 - 1e-9)]
        found += len(Nearby(lon[before], lat[before]).pairs(lon[near], lat[near], angle * (1 - 1e-9))[0])
    return found


def summary(found: Mapping[str, Shared]) -> str:
    """What sides use in common, for a person."""
    parts = [
        f"{its.count} {'cells of 0.25°' if kind == UNSHARED_CELL else f'scenes of {kind}'}"
        f" (samples: {its.train} learnt from, {its.val} held out)"
        for kind, its in found.items()
        if its.count
    ]
    return "; ".join(["no ground", *parts])


def _tier_of(tiers: Tiers) -> dict[str, int]:
    """Part → number of its tier."""
    return {part: n for n, tier in enumerate(tiers) for part in tier}


def _sides(samples: list[Uses], tiers: Tiers) -> list[list[Uses]]:
    """Samples of each tier; those of the last are learnt from."""
    tier, out = _tier_of(tiers), [list[Uses]() for _ in tiers]
    for s in samples:
        out[tier[s.split]].append(s)
    return out


def _used(samples: Iterable[Uses], kind: str) -> set[str]:
    """What of a kind samples use."""
    return {name for s in samples for name in s.things.get(kind, ())}
