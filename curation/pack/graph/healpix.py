"""HEALPix, nested (Górski et al. 2005): cells of equal area. Arithmetic alone, so that no package is wanted for it. Pure.

A cell's number is the "uniq" one: 4 · 4^order + its nested index, so that those of all orders differ, and a cell's parent
has a quarter of its number.
"""

from __future__ import annotations

import numpy as np

from curation.pack.graph.sphere import lonlat
from curation.places.grids import Floats, Ints

MOST_ORDER = 12
"""Cells 1.6 km wide."""

_RING = np.array([2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4])
_TURN = np.array([1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7])
"""Where the southern corner of each of the twelve faces lies: of rings north to south, and eighths of a turn."""

_OUT = 1e-3
"""How far beyond the middle of a side its neighbour is looked for, of the way from the centre to there."""


def numbers_at(lon: Floats, lat: Floats, order: int) -> Ints:
    """Numbers of the cells that hold points.

    Args:
        lon: degrees; may run beyond ±180.
        lat: degrees, -90 to 90.
        order: cells are a 2^order-th of a face wide.
    """
    side = 1 << order
    z, turn = np.sin(np.radians(lat)), (np.asarray(lon) % 360) / 90
    quarter = np.minimum(np.floor(turn).astype(np.int64), 3)
    # Around a pole 1 - |z| has lost its last digits: cos² / (1 + |z|) is the same.
    wide = side * np.sqrt(3 * np.cos(np.radians(lat)) ** 2 / (1 + np.abs(z)))
    a, b = ((turn - quarter) * wide).astype(np.int64), ((1 - (turn - quarter)) * wide).astype(np.int64)
    a, b = np.minimum(a, side - 1), np.minimum(b, side - 1)
    up = np.floor(side * (0.5 + turn) - side * z * 0.75).astype(np.int64)
    down = np.floor(side * (0.5 + turn) + side * z * 0.75).astype(np.int64)
    one, other = up // side, down // side
    belt = np.where(one == other, one % 4 + 4, np.where(one < other, one % 4, other % 4 + 8))
    polar, north = np.abs(z) > 2 / 3, z >= 0
    face = np.where(polar, np.where(north, quarter, quarter + 8), belt)
    x = np.where(polar, np.where(north, side - 1 - b, a), down % side)
    y = np.where(polar, np.where(north, side - 1 - a, b), side - 1 - up % side)
    return np.asarray(4 * side**2 + face * side**2 + _interleaved(x, order) + 2 * _interleaved(y, order))


def _interleaved(value: Ints, order: int) -> Ints:
    """Bits with a place between each two."""
    out = np.zeros_like(value)
    for bit in range(order):
        out |= (value >> bit & 1) << 2 * bit
    return out


def order_of(number: Ints) -> Ints:
    """Of cells."""
    return np.asarray((np.frexp(np.asarray(number, np.float64))[1] - 3) // 2, np.int64)


def points(number: Ints, x: float, y: float) -> Floats:
    """Points of cells on the unit sphere (n, 3), by where they are in each: 0, 0 its southern corner, 1, 1 its northern."""
    side = (1 << order_of(number)).astype(np.int64)
    face, nested = np.divmod(number - 4 * side**2, side**2)
    column, row = np.zeros_like(nested), np.zeros_like(nested)
    for bit in range(MOST_ORDER):
        column |= (nested >> 2 * bit & 1) << bit
        row |= (nested >> 2 * bit + 1 & 1) << bit
    across, along = (column + x) / side, (row + y) / side
    ring = _RING[face] - across - along
    wide = np.minimum(np.minimum(ring, 4 - ring), 1.0)
    z = np.where(ring < 1, 1 - wide**2 / 3, np.where(ring > 3, wide**2 / 3 - 1, (2 - ring) * 2 / 3))
    # Of a cap 1 - z² is this, to the last digit.
    flat = np.sqrt(np.where(wide < 1, wide**2 * (2 - wide**2 / 3) / 3, 1 - z**2))
    angle = np.pi / 4 * (_TURN[face] * wide + across - along) / np.maximum(wide, 1e-300)
    return np.stack([flat * np.cos(angle), flat * np.sin(angle), z], axis=-1)


def sides(number: Ints) -> tuple[Ints, Floats]:
    """Which cells lie beyond the four sides of each, and how long these are: (n, 4), and radians."""
    centre = points(number, 0.5, 0.5)
    there, far = [], []
    for (x, y), ends in zip(((0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5)), _ENDS, strict=True):
        middle = points(number, x, y)
        out = middle + _OUT * (middle - centre)
        lon, lat = lonlat(out)
        beyond = np.empty(len(number), np.int64)
        for order in np.unique(order_of(number)).tolist():
            own = order_of(number) == order
            beyond[own] = numbers_at(lon[own], lat[own], order)
        there.append(beyond)
        far.append(sum(_arc(middle, points(number, *end)) for end in ends))
    return np.stack(there, axis=1), np.stack(far, axis=1)


_ENDS = (((0, 0), (1, 0)), ((1, 0), (1, 1)), ((0, 1), (1, 1)), ((0, 0), (0, 1)))
"""Corners of each side."""


def _arc(one: Floats, other: Floats) -> Floats:
    return np.asarray(2 * np.arcsin(np.linalg.norm(one - other, axis=-1) / 2))
