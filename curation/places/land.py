"""Land or sea, from the 1 km mask of the atlas, GLOBE's: where points lie, and what windows hold."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from curation.recipe import atlas
from curation.recipe.atlas import PER_DEG

__all__ = ["PER_DEG", "any_land", "is_land", "windows"]

Ints = NDArray[np.int64]

_SHAPE = atlas.LAND_SHAPE
_ROWS_AT_ONCE = 400


def is_land(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether points are on land, as bool of their shape; most lakes count as land.

    Longitudes may run beyond ±180; a point belongs to the 1/120° cell whose north-west corner is at or before it.
    """
    row = np.clip(((90.0 - np.asarray(lat)) * PER_DEG).astype(np.int64), 0, _SHAPE[0] - 1)
    column = np.clip((((np.asarray(lon) + 180.0) % 360.0) * PER_DEG).astype(np.int64), 0, _SHAPE[1] - 1)
    turns = np.searchsorted(atlas.land_turns(), (row * _SHAPE[1] + column).astype(np.uint32), side="right")
    return np.asarray(turns % 2 == 1)


def any_land(north: Ints, south: Ints, west: Ints, width: int) -> NDArray[np.bool_]:
    """Whether there is land in windows of the mask, as bool of shape (len(north), len(west)).

    Windows are mask cells: rows `north` <= r < `south` from the north pole, of which those beyond a pole do not count, and
    `width` columns from each `west` on, counted from -180° and running on across the antimeridian.
    """
    land, columns = _bits(), _SHAPE[1]
    out = np.empty((len(north), len(west)), dtype=bool)
    first = west % columns
    for k, (top, bottom) in enumerate(zip(north.clip(0).tolist(), south.clip(0).tolist(), strict=True)):
        some = np.unpackbits(np.bitwise_or.reduce(land[top:bottom], axis=0))
        counted = np.concatenate([[0], np.cumsum(np.tile(some, 2), dtype=np.int64)])
        out[k] = counted[first + width] > counted[first]
    return out


def windows(north: Ints, west: Ints, side: int) -> NDArray[np.bool_]:
    """The mask itself in square windows of `side` mask cells, as bool (n, side, side), north up; True is land.

    Rows are counted from the north pole and lie within the mask; columns from -180°, running on across the antimeridian.
    """
    row = (north[:, None] + np.arange(side))[:, :, None]
    column = ((west[:, None] + np.arange(side)) % _SHAPE[1])[:, None, :]
    land = (_bits()[row, column // 8] >> (7 - column % 8).astype(np.uint8)) & 1
    return np.asarray(land == 1)


@functools.lru_cache(maxsize=1)
def _bits() -> NDArray[np.uint8]:
    """The mask, north to south and west to east, eight cells to a byte; 1 is land. 117 MB: for windows only."""
    runs = atlas.land_turns().astype(np.int64).reshape(-1, 2)  # of land: its first cell, and the first after it
    bits = np.empty((_SHAPE[0], _SHAPE[1] // 8), dtype=np.uint8)
    for first in range(0, _SHAPE[0], _ROWS_AT_ONCE):
        start, stop = first * _SHAPE[1], min(first + _ROWS_AT_ONCE, _SHAPE[0]) * _SHAPE[1]
        its = runs[np.searchsorted(runs[:, 0], start) : np.searchsorted(runs[:, 0], stop)]
        lengths = np.diff(its.ravel(), prepend=start, append=stop)
        land = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
        bits[first : first + _ROWS_AT_ONCE] = np.packbits(land.reshape(-1, _SHAPE[1]), axis=1)
    bits.flags.writeable = False
    return bits
