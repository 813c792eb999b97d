"""Land or sea, from the 1 km mask that the package global-land-mask carries.

Its module holds the whole mask unpacked (930 MB) and leaves its file open, so it is never imported: only its data file is
read, a few rows at a time, and kept as bits (117 MB).
"""

from __future__ import annotations

import functools
import importlib.util
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.model import DamageError

Ints = NDArray[np.int64]

PER_DEG = 120
"""Mask cells per degree."""

_SHAPE = (180 * PER_DEG, 360 * PER_DEG)
_ROWS_AT_ONCE = 400


def is_land(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether points are on land, as bool of their shape; most lakes count as land.

    Longitudes may run beyond ±180; a point belongs to the 1/120° cell whose north-west corner is at or before it.
    """
    row = np.clip(((90.0 - np.asarray(lat)) * PER_DEG).astype(np.int64), 0, _SHAPE[0] - 1)
    column = np.clip((((np.asarray(lon) + 180.0) % 360.0) * PER_DEG).astype(np.int64), 0, _SHAPE[1] - 1)
    sea = (_sea()[row, column // 8] >> (7 - column % 8)) & 1
    return np.asarray(sea == 0)


def any_land(north: Ints, south: Ints, west: Ints, width: int) -> NDArray[np.bool_]:
    """Whether there is land in windows of the mask, as bool of shape (len(north), len(west)).

    Windows are mask cells: rows `north` <= r < `south` from the north pole, of which those beyond a pole do not count, and
    `width` columns from each `west` on, counted from -180° and running on across the antimeridian.
    """
    sea, columns = _sea(), _SHAPE[1]
    out = np.empty((len(north), len(west)), dtype=bool)
    first = west % columns
    for k, (top, bottom) in enumerate(zip(north.clip(0).tolist(), south.clip(0).tolist(), strict=True)):
        only_sea = np.unpackbits(np.bitwise_and.reduce(sea[top:bottom], axis=0))
        counted = np.concatenate([[0], np.cumsum(np.tile(only_sea == 0, 2))])
        out[k] = counted[first + width] > counted[first]
    return out


def windows(north: Ints, west: Ints, side: int) -> NDArray[np.bool_]:
    """The mask itself in square windows of `side` mask cells, as bool (n, side, side), north up; True is land.

    Rows are counted from the north pole and lie within the mask; columns from -180°, running on across the antimeridian.
    """
    row = (north[:, None] + np.arange(side))[:, :, None]
    column = ((west[:, None] + np.arange(side)) % _SHAPE[1])[:, None, :]
    sea = (_sea()[row, column // 8] >> (7 - column % 8).astype(np.uint8)) & 1
    return np.asarray(sea == 0)


@functools.lru_cache(maxsize=1)
def _sea() -> NDArray[np.uint8]:
    """The mask, north to south and west to east, eight cells to a byte; 1 is sea."""
    path = _file()
    bits = np.empty((_SHAPE[0], _SHAPE[1] // 8), dtype=np.uint8)
    with zipfile.ZipFile(path) as archive, archive.open("mask.npy") as file:
        np.lib.format.read_magic(file)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        if shape != _SHAPE or fortran or dtype != np.bool_:
            raise DamageError(f"{path}: mask {shape} {dtype}, expected {_SHAPE} bool; reinstall global-land-mask 1.0")
        for first in range(0, _SHAPE[0], _ROWS_AT_ONCE):
            rows = np.frombuffer(file.read(_ROWS_AT_ONCE * _SHAPE[1]), dtype=np.uint8).reshape(-1, _SHAPE[1])
            bits[first : first + len(rows)] = np.packbits(rows, axis=1)
    bits.flags.writeable = False
    return bits


def _file() -> Path:
    spec = importlib.util.find_spec("global_land_mask")  # finds a top-level package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("global_land_mask: not installed; reinstall curation with its dependencies")
    return Path(spec.submodule_search_locations[0]) / "globe_combined_mask_compressed.npz"
