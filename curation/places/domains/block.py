"""Split blocks on the sphere: bands of latitude from the south pole up, each cut into blocks about as wide as high. Pure.

The sphere is cut into bands of `block_deg` of latitude from the south pole up, each band into
`round(360 cos(lat) / block_deg)` blocks of equal longitude (`lat`: the band's middle).
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from curation.places.grids import Floats, Ints


def bands(block_deg: float) -> int:
    """Number of bands."""
    return math.ceil(180.0 / block_deg - 1e-9)


def band_of(lat: Floats, block_deg: float) -> Ints:
    """Band of each latitude, degrees; the north pole is of the last."""
    return np.minimum(((lat + 90.0) / block_deg).astype(np.int64), bands(block_deg) - 1)


def edges(band: Ints, block_deg: float) -> tuple[Floats, Floats]:
    """South and north edge of bands, degrees; the last band may be a lower one."""
    south: Floats = -90.0 + band.astype(np.float64) * block_deg
    return south, np.minimum(south + block_deg, 90.0)


def columns(band: Ints, block_deg: float) -> Ints:
    """Number of blocks in bands: at least one."""
    south, north = edges(band, block_deg)
    return np.maximum(1, np.rint(360.0 * np.cos(np.radians((south + north) / 2)) / block_deg)).astype(np.int64)


def names(lon: Floats, lat: Floats, block_deg: float) -> NDArray[np.str_]:
    """The block of each point in degrees, by its band from the south pole up and its column from 180° W: `141-250`."""
    _, band, column = at(np.asarray(lon, np.float64), np.asarray(lat, np.float64), block_deg)
    return np.array([f"{b}-{c}" for b, c in zip(band.tolist(), column.tolist(), strict=True)], np.str_)


def shares(lon: Floats, lat: Floats, seed: int, block_deg: float, salt: str = "") -> Floats:
    """A number in [0, 1) of the block of each point in degrees (n,), that follows from seed, block and salt alone."""
    _, band, column = at(np.asarray(lon, np.float64), np.asarray(lat, np.float64), block_deg)
    key, where = np.unique(band * (1 << 32) + column, return_inverse=True)
    salted = f"{seed}/{salt}" if salt else str(seed)
    return np.array([share(salted, k >> 32, k & 0xFFFFFFFF) for k in key.tolist()], np.float64)[where]


def at(lon: Floats, lat: Floats, block_deg: float) -> tuple[Floats, Ints, Ints]:
    """Degrees east of the antimeridian, band and column of points."""
    east = np.clip((lon + 180.0) % 360.0, 0.0, np.nextafter(360.0, 0))
    band = band_of(lat, block_deg)
    wide = columns(band, block_deg)
    return east, band, np.minimum((east * wide / 360.0).astype(np.int64), wide - 1)


def share(seed: int | str, band: int, column: int) -> float:
    """A number in [0, 1) that follows from seed and block alone, the same on every platform and version."""
    digest = hashlib.blake2b(f"{seed}/{band}/{column}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) * 2.0**-53  # 53 bits, or the largest would round up to 1
