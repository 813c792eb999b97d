"""Places on the sphere: whose neighbours they are, how far, in which direction, and which cells they lie in. Pure."""

from __future__ import annotations

import numpy as np
from pyproj import Geod

from curation.pack.graph.nearest import nearest, symmetric
from curation.places import era5_cells
from curation.places.grids import Floats, Ints
from curation.places.nearby import EARTH_RADIUS_KM, unit
from curation.recipe.footprint import CELL_DEG

RADIUS_M = 1000 * EARTH_RADIUS_KM

TIE = 1e-3 / RADIUS_M
"""Distances, in radii, that differ by less than a millimetre are the same."""

M_PER_DEG = RADIUS_M * np.pi / 180
"""Of latitude."""

_WGS84 = Geod(ellps="WGS84")


def near(lon: Floats, lat: Floats, k: int, radius_m: float) -> tuple[Ints, Ints]:
    """The k nearest of each place that lie no further than the radius, in both directions.

    They are found as points in space, so that nothing is special about the antimeridian and the poles: a chord is
    2 sin(d / 2R) of a great circle's d.

    Args:
        lon: degrees.
        lat: degrees.
        k: how many; whoever is as near as the last one is taken, too.
        radius_m: great circle of the mean radius.

    Returns:
        Senders and receivers, sorted by (receiver, sender).
    """
    chord = 2 * np.sin(min(radius_m / RADIUS_M, np.pi) / 2)
    one, other, _ = nearest(unit(lon, lat), k, most=chord, tie=TIE)
    return symmetric(one, other, len(lon))


def measured(lon: Floats, lat: Floats, src: Ints, dst: Ints) -> dict[str, Floats]:
    """Distance of each pair along the ellipsoid, and where the sender lies, seen from the receiver.

    Returns:
        `distance_m`; `bearing_sin` (east) and `bearing_cos` (north), both 0 of places that lie on one another.
    """
    bearing, _, distance = _WGS84.inv(lon[dst], lat[dst], lon[src], lat[src])
    apart = np.asarray(distance) > 0
    angle = np.radians(bearing)
    return {
        "distance_m": np.asarray(distance),
        "bearing_sin": np.where(apart, np.sin(angle), 0.0),
        "bearing_cos": np.where(apart, np.cos(angle), 0.0),
    }


def half_deg(lat: Floats, size_m: Floats) -> Floats:
    """Half the width and half the height, degrees, of squares of so many metres: (n, 2)."""
    high = size_m / 2 / M_PER_DEG
    wide = high / np.maximum(np.cos(np.radians(lat)), 1e-9)
    return np.column_stack([np.minimum(wide, 180.0), high])


def cells_of(lon: Floats, lat: Floats, half: Floats) -> tuple[Ints, Ints, Floats]:
    """The cells that footprints lie in.

    Footprints are taken as rectangles of longitude and latitude. The 1,440 nodes of ERA5's grid on a pole are one point,
    so that its cells there are one: that of column 0.

    Args:
        lon: degrees, of centres.
        lat: degrees.
        half: half width and half height of each, degrees, (n, 2).

    Returns:
        Number of the place, number of the cell, and share of the footprint in it; sorted by (cell, place).
    """
    west, east = lon - half[:, 0], lon + half[:, 0]
    south, north = np.maximum(lat - half[:, 1], -90.0), np.minimum(lat + half[:, 1], 90.0)
    (c0, r0), (c1, r1) = era5_cells.indices_at(west, south), era5_cells.indices_at(east, north)
    wide, high = c1 - c0 + 1, r1 - r0 + 1
    place = np.repeat(np.arange(len(lon)), wide * high)
    nth = np.arange(len(place)) - np.repeat(np.cumsum(wide * high) - wide * high, wide * high)
    row, column = r0[place] + nth // wide[place], c0[place] + nth % wide[place]
    shares: Floats = _overlap(west, east, place, column * CELL_DEG - 180.0) * _overlap(
        south, north, place, row * CELL_DEG - 90
    )
    number = merged(era5_cells.numbered(column, row))
    key, which = np.unique(number * max(len(lon), 1) + place, return_inverse=True)
    share: Floats = np.asarray(np.bincount(which, shares, len(key)), np.float64)
    some = share > 1e-9
    key = np.asarray(key[some], np.int64)
    return key % max(len(lon), 1), key // max(len(lon), 1), share[some]


def _overlap(low: Floats, high: Floats, place: Ints, node: Floats) -> Floats:
    """Which share of each span, low to high, lies within half a cell of a node."""
    inside = np.minimum(high[place], node + CELL_DEG / 2) - np.maximum(low[place], node - CELL_DEG / 2)
    return np.asarray(np.maximum(inside, 0.0) / np.maximum(high - low, 1e-12)[place])


def merged(number: Ints) -> Ints:
    """Numbers of cells, all of a pole as one."""
    row = number // era5_cells.COLUMNS
    polar = (row == 0) | (row == era5_cells.ROWS - 1)
    return np.asarray(np.where(polar, row * era5_cells.COLUMNS, number))


def adjacent(number: Ints) -> tuple[Ints, Ints, Floats]:
    """Which cells share an edge, of some.

    Args:
        number: of the cells, sorted, `merged`.

    Returns:
        Both, as positions among these, in both directions; and the length of the edge, metres of a sphere.
    """
    row, column = np.divmod(number, era5_cells.COLUMNS)
    east = era5_cells.numbered(column + 1, row)
    north = merged(era5_cells.numbered(column, np.minimum(row + 1, era5_cells.ROWS - 1)))
    south = merged(era5_cells.numbered(column, np.maximum(row - 1, 0)))
    side = np.full(len(number), CELL_DEG * M_PER_DEG)
    inner = (row > 0) & (row < era5_cells.ROWS - 1)
    at, there, length = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
    for other, edge_m, ok in (
        (east, side, inner),
        (north, side * np.cos(np.radians(row * CELL_DEG - 90 + CELL_DEG / 2)), inner),
        # Northward of each but the southern pole, which is one cell that all of the first ring touch.
        (south, side * np.cos(np.radians(CELL_DEG * row - 90 - CELL_DEG / 2)), inner & (row == 1)),
    ):
        position = np.minimum(np.searchsorted(number, other), max(len(number) - 1, 0))
        found = np.flatnonzero(ok & (number[position] == other)) if len(number) else np.empty(0, np.int64)
        at.append(found)
        there.append(position[found])
        length.append(edge_m[found])
    one, other_one, metres = np.concatenate(at), np.concatenate(there), np.concatenate(length)
    return np.concatenate([one, other_one]), np.concatenate([other_one, one]), np.concatenate([metres, metres])


def lonlat(points: Floats) -> tuple[Floats, Floats]:
    """Degrees of points on the unit sphere (n, 3)."""
    x, y, z = points.T
    return np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))
