"""Which footprints may stay: none overlaps another, and of two that would the earlier one wins. Pure."""

from __future__ import annotations

import math

import numpy as np
import shapely
from numpy.typing import NDArray

from curation.places import grid, nearby
from curation.places.grids import Floats, Ints, Places, by_value, joined
from curation.places.nearby import Nearby

_MOST_PAIRS = 1_000_000
"""Candidates with more near pairs than this are halved: it bounds memory however crowded they are, and changes no result."""

_LEAST_RADIUS_M = 6_335_000.0
"""No radius of curvature of the Earth is smaller, so an angle from it is never too small."""

_LEAST_SCALE = 0.9995
"""UTM lengths over lengths on the ground are never below (0.9996 at the central meridian)."""

_FALSE_NORTHING_M = 10_000_000.0


class Placed:
    """UTM footprints of one size of which no two overlap; sharing an edge is no overlap.

    Trees of growing size, merged like the digits of a binary counter, so that adding many small groups stays cheap.
    """

    def __init__(self, size_m: float) -> None:
        self.size_m = size_m
        self._angle = min(size_m * math.sqrt(2) / _LEAST_SCALE / _LEAST_RADIUS_M * 1.001, math.pi)
        """Centres farther apart than this, radians, cannot have footprints that overlap."""
        self._levels: list[tuple[Places, Nearby]] = []

    def admit(self, candidates: Places) -> NDArray[np.bool_]:
        """Which candidates are kept, as bool: in their order, each that overlaps none kept before it."""
        free = self._free_of_placed(candidates)
        free[free] = self._admit_free(candidates.take(free))
        return free

    def _free_of_placed(self, new: Places) -> NDArray[np.bool_]:
        free = np.ones(len(new), dtype=bool)
        for placed, there in self._levels:
            mine, its = there.pairs(new.lon, new.lat, self._angle)
            free[mine[overlapping(new.take(mine), placed.take(its), self.size_m)]] = False
        return free

    def _admit_free(self, new: Places) -> NDArray[np.bool_]:
        """`admit` of candidates that overlap none that is kept yet."""
        free = np.ones(len(new), dtype=bool)
        if not len(new):
            return free
        if nearby.crowded(new.lon, new.lat, self._angle, _MOST_PAIRS):
            half = len(new) // 2
            return np.concatenate([self.admit(new.take(slice(0, half))), self.admit(new.take(slice(half, None)))])
        pairs = np.column_stack(Nearby(new.lon, new.lat).pairs(new.lon, new.lat, self._angle))
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
        pairs = pairs[overlapping(new.take(pairs[:, 0]), new.take(pairs[:, 1]), self.size_m)]
        for earlier, later in pairs[np.argsort(pairs[:, 1], kind="stable")].tolist():
            if free[earlier]:  # final by now: its own pairs with earlier ones came before
                free[later] = False
        self._add(new.take(free))
        return free

    def _add(self, places: Places) -> None:
        while self._levels and len(self._levels[-1][0]) <= 2 * len(places):
            places = joined([self._levels.pop()[0], places])
        if len(places):
            self._levels.append((places, Nearby(places.lon, places.lat)))


def overlapping(a: Places, b: Places, size_m: float) -> NDArray[np.bool_]:
    """Whether the footprints of each pair of UTM places overlap, as bool.

    In one zone (north and south of the equator alike, which differ in the false northing alone) exact: axis-aligned
    squares, whose touching edges do not overlap. Across zones b's outline is put into a's zone; touching counts there.
    """
    out = np.zeros(len(a), dtype=bool)
    same = a.epsg % 100 == b.epsg % 100
    dx, dy = a.x0_m - b.x0_m, _northing(a) - _northing(b)
    out[same] = (np.abs(dx[same]) < size_m) & (np.abs(dy[same]) < size_m)
    across = np.flatnonzero(~same)
    if len(across):
        out[across] = _overlapping_across(a.take(across), b.take(across), size_m)
    return out


def _northing(places: Places) -> Floats:
    return places.y0_m - np.where(places.epsg >= 32700, _FALSE_NORTHING_M, 0.0)


def _overlapping_across(a: Places, b: Places, size_m: float) -> NDArray[np.bool_]:
    lon, lat = outlines(b.epsg, b.x0_m, b.y0_m, size_m, points_per_side=4)
    rings = np.empty((*lon.shape, 2))
    for code, rows in by_value(a.epsg):
        x, y = grid.transformer(4326, code).transform(lon[rows], lat[rows])
        rings[rows] = np.stack([x, y], axis=-1)
    squares = shapely.box(a.x0_m, a.y0_m - size_m, a.x0_m + size_m, a.y0_m)
    return np.asarray(shapely.intersects(squares, shapely.polygons(rings)))


def outlines(epsg: Ints, x0_m: Floats, y0_m: Floats, size_m: float, points_per_side: int) -> tuple[Floats, Floats]:
    """Longitudes and latitudes (n, 4 × points_per_side) of outlines, from the north-west corner clockwise, open."""
    t = np.linspace(0, 1, points_per_side, endpoint=False)
    right = np.concatenate([t, np.ones_like(t), 1 - t, np.zeros_like(t)]) * size_m
    down = np.concatenate([np.zeros_like(t), t, np.ones_like(t), 1 - t]) * size_m
    lon, lat = np.empty((len(epsg), len(right))), np.empty((len(epsg), len(right)))
    for code, rows in by_value(epsg):
        x, y = x0_m[rows, None] + right, y0_m[rows, None] - down
        lon[rows], lat[rows] = grid.transformer(code, 4326).transform(x, y)
    return lon, lat
