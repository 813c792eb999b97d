"""Children of ERA5 cells: UTM places that lie wholly within them. Pure, but for the land mask.

The one global draw is cut up by cells; a cell that it leaves without any is filled. So nothing of a child depends on which
other cells are asked for, and since its footprint lies within its cell it overlaps no child of another.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.places import era5_cells, grids, land, overlap, sampling
from curation.places.grids import Floats, Ints, Places
from curation.places.overlap import Placed
from curation.recipe.atlas import PER_DEG
from curation.recipe.footprint import CELL_DEG
from curation.recipe.schema import ChildrenSpec

log = logging.getLogger(__name__)

TRIES = 64
"""Draws for a filling place, of which each lies on land and may lie too near to the cell's edge; then there is none."""

_AT_ONCE = 4096
"""Cells filled at a time; no result depends on it."""

_MARGIN_M = 1.0
"""Footprints keep this from their cell's edges: between the points of their outline sides curve by less."""

_WORDS = 4
"""Numbers per try."""

_LEAST_DEG_M, _MOST_DEG_M = 110_500.0, 111_750.0
"""Bounds of the length of a degree along a meridian, and along the equator."""

Bools = NDArray[np.bool_]
Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Children:
    """The children of cells, by cell in the order given, then by rank."""

    cell: Ints
    """Which of the cells given each belongs to."""
    rank: Ints
    """Its place among the children of its cell."""
    places: Places
    """Its grid, in the MGRS zone of its own centre."""


def of_cells(cells: Ints, spec: ChildrenSpec, seed: int) -> Children:
    """The children of cells, given by their numbers.

    They are the first `spec.per_cell` of the global draw whose footprint lies wholly within the cell; a cell without any
    gets `spec.fill` that are uniform within it: on the land of the 1 km mask (at the grid's centre) where the cell has some,
    else anywhere. What fills a cell follows from seed and cell alone. Some cells get fewer, or none: where land lies only
    at the edge, where a cell is narrower than a footprint, and beyond UTM's limits.

    Raises:
        ConfigError: as `sampling.drawn` does.
    """
    of_draw = _of_draw(cells, spec, seed)
    empty = np.flatnonzero(np.bincount(of_draw.cell, minlength=len(cells)) == 0)
    filled = _fill(cells[empty], spec, seed)
    cell = np.concatenate([of_draw.cell, empty[filled.cell]])
    rank = np.concatenate([of_draw.rank, filled.rank])
    order = np.lexsort([rank, cell])
    without = np.setdiff1d(np.arange(len(cells)), cell)
    log.info(
        "children: %d of the draw in %d cells, %d in %d cells that it left without; none in %d cells (%d beyond UTM)",
        len(of_draw.cell),
        len(cells) - len(empty),
        len(filled.cell),
        len(np.unique(filled.cell)),
        len(without),
        (~_has_utm(cells[without])).sum(),
    )
    return Children(cell[order], rank[order], grids.joined([of_draw.places, filled.places]).take(order))


def within(found: Places, cells: Ints, size_m: float) -> Bools:
    """Whether the footprints of UTM places lie wholly within the cells of these numbers, a metre from their edges."""
    lon, lat = era5_cells.nodes(cells)
    away_m = _from_edge_m(found.lon, found.lat, lon, lat, _LEAST_DEG_M)
    at_most_m = _from_edge_m(found.lon, found.lat, lon, lat, _MOST_DEG_M)
    out = away_m > size_m * 0.7072 * 1.005 + _MARGIN_M  # however it is turned
    # Of the few others the outline says it.
    todo = np.flatnonzero(~out & (at_most_m > size_m / 2 * 0.995))
    side = overlap.outlines(found.epsg[todo], found.x0_m[todo], found.y0_m[todo], size_m, points_per_side=4)
    out[todo] = (_from_edge_m(*side, lon[todo, None], lat[todo, None], _LEAST_DEG_M) > _MARGIN_M).all(axis=1)
    return out


def _from_edge_m(lon: Floats, lat: Floats, node_lon: Floats, node_lat: Floats, deg_m: float) -> Floats:
    """How far inside a cell points lie, by a length of the degree; negative outside."""
    east_deg = CELL_DEG / 2 - np.abs((lon - node_lon + 180.0) % 360.0 - 180.0)
    north_deg = CELL_DEG / 2 - np.abs(lat - node_lat)
    inside: Floats = np.minimum(east_deg * np.cos(np.radians(lat)), north_deg) * deg_m
    return inside


def _of_draw(cells: Ints, spec: ChildrenSpec, seed: int) -> Children:
    """The children that the global draw gives."""
    found = sampling.drawn(spec, seed, spec.size_m)
    order = np.argsort(cells)
    number = era5_cells.numbers_at(found.lon, found.lat)
    at = np.searchsorted(cells, number, sorter=order).clip(max=max(len(cells) - 1, 0))
    rows = np.flatnonzero(cells[order[at]] == number) if len(cells) else np.empty(0, dtype=np.int64)
    inside = within(found.take(rows), number[rows], spec.size_m)
    log.info("children: %d of %d draws lie in the cells, %d of them wholly", len(rows), len(found), inside.sum())
    rows = rows[inside]
    cell = order[at[rows]]
    by_cell = np.argsort(cell, kind="stable")
    rows, cell = rows[by_cell], cell[by_cell]
    rank = np.arange(len(cell)) - np.searchsorted(cell, cell)
    first = rank < spec.per_cell
    return Children(cell[first], rank[first], found.take(rows[first]))


def _fill(cells: Ints, spec: ChildrenSpec, seed: int) -> Children:
    """Children for cells that have none, by cell and rank."""
    usable = np.flatnonzero(_has_utm(cells))
    usable = usable[
        np.lexsort([cells[usable], cells[usable] % era5_cells.COLUMNS])
    ]  # by longitude: few zones at a time
    parts = [Children(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), grids.joined([]))]
    for start in range(0, len(usable) if spec.fill else 0, _AT_ONCE):
        rows = usable[start : start + _AT_ONCE]
        part = _fill_some(cells[rows], spec, seed)
        parts.append(Children(rows[part.cell], part.rank, part.places))
    cell, rank = (np.concatenate([getattr(p, name) for p in parts]) for name in ("cell", "rank"))
    return Children(cell, rank, grids.joined([p.places for p in parts]))


def _has_utm(cells: Ints) -> Bools:
    """Whether some of each cell lies within UTM's limits."""
    _, lat = era5_cells.nodes(cells)
    return grids.has_utm(lat - CELL_DEG / 2) | grids.has_utm(lat + CELL_DEG / 2)


def _fill_some(cells: Ints, spec: ChildrenSpec, seed: int) -> Children:
    """`_fill` for a few cells, in the order that they are filled in."""
    ground = _Ground(cells, spec.size_m)
    start = _starts(cells, seed)
    placed, count = Placed(spec.size_m), np.zeros(len(cells), dtype=np.int64)
    parts = [Children(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), grids.joined([]))]
    for turn in range(TRIES * spec.fill):
        todo = np.flatnonzero((count < spec.fill) & ground.any)
        if not len(todo):
            break
        lon, lat = ground.points(todo, sampling.open_unit(_words(start[todo], turn * _WORDS, _WORDS)))
        rows, found = sampling.possible(lon, lat, spec.size_m)
        good = within(found, cells[todo[rows]], spec.size_m)
        good &= land.is_land(found.lon, found.lat) | ~ground.has_land[todo[rows]]
        rows, found = todo[rows[good]], found.take(good)
        free = placed.admit(found)
        rows, found = rows[free], found.take(free)
        parts.append(Children(rows, count[rows], found))
        count[rows] += 1
    cell, rank = (np.concatenate([getattr(p, name) for p in parts]) for name in ("cell", "rank"))
    return Children(cell, rank, grids.joined([p.places for p in parts]))


class _Ground:
    """Where in cells the centre of a footprint may lie: their land, or all of them where they have none."""

    def __init__(self, cells: Ints, size_m: float) -> None:
        row, column = np.divmod(cells, era5_cells.COLUMNS)
        half = era5_cells.MASK_PX // 2
        self._top, self._left = (
            (era5_cells.ROWS - 1 - row) * era5_cells.MASK_PX - half,
            column * era5_cells.MASK_PX - half,
        )
        mask: Bools = land.windows(self._top, self._left, era5_cells.MASK_PX)
        self.has_land: Bools = np.asarray(mask.any(axis=(1, 2)))
        """Whether cells have land, as bool."""
        mask |= ~self.has_land[:, None, None]
        # No centre lies nearer to an edge than half a side: what is left out here could only be drawn in vain.
        lat = 90.0 - (self._top[:, None] + np.arange(era5_cells.MASK_PX) + 0.5) / PER_DEG
        widest = np.cos(np.radians(lat)).max(axis=1)
        px = size_m / 2 * 0.99 / _MOST_DEG_M * PER_DEG
        along = np.minimum(
            np.arange(1, era5_cells.MASK_PX + 1), np.arange(era5_cells.MASK_PX, 0, -1)
        )  # its far side from the edge
        mask &= (along > px)[None, :, None]
        mask &= (along[None, :] > px / widest[:, None])[:, None, :]
        self.any: Bools = np.asarray(mask.any(axis=(1, 2)))
        """Whether there is such a place at all, as bool."""
        self._mask = mask
        # Rows by the area of what counts in them: uniform on the sphere.
        self._share = np.cumsum(mask.sum(axis=2) * np.cos(np.radians(lat)), axis=1)

    def points(self, rows: Ints, unit: Floats) -> tuple[Floats, Floats]:
        """A point (lon, lat) in each of the cells `rows` by numbers (n, 4) in (0, 1)."""
        share = self._share[rows]
        row = (share <= (unit[:, 0] * share[:, -1])[:, None]).sum(axis=1)
        counted = np.cumsum(self._mask[rows, row], axis=1)
        column = (counted <= np.floor(unit[:, 1] * counted[:, -1])[:, None]).sum(axis=1)
        lon = (self._left[rows] + column + unit[:, 2]) / PER_DEG - 180.0
        return grids.wrap(lon), 90.0 - (self._top[rows] + row + unit[:, 3]) / PER_DEG


def _starts(cells: Ints, seed: int) -> Words:
    """Where the stream of each cell starts: by seed and number alone, the same on every platform and version."""
    digest = hashlib.blake2b(f"fill/{seed}".encode(), digest_size=8).digest()
    return _mixed(cells.astype(np.uint64) * _GOLDEN + np.uint64(int.from_bytes(digest, "big")))


def _words(start: Words, first: int, count: int) -> Words:
    """Words `first` to `first + count` of streams (n, count): SplitMix64 (Steele, Lea, Flood 2014)."""
    return _mixed(start[:, None] + np.arange(first + 1, first + count + 1, dtype=np.uint64) * _GOLDEN)


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mixed(z: Words) -> Words:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
