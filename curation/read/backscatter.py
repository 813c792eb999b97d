"""Decibels of radar backscatter, what is done where there are none, and what is too much to be any. Pure.

Where the noise that was subtracted is more than what came back, linear power is zero or below: dark water, mostly. Such
pixels are data. Means and resampling take them as they are, since leaving them out would make water brighter; only a
logarithm wants a floor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.errors.codes import Code
from curation.outcomes import Reject
from curation.recipe.bounds import FLOOR_DB

MOST_DB = 40.0
"""Above it nothing is seen. A trihedral of 1.5 m, the usual mark for calibration, has 4 π a⁴ / 3 λ² = 38 dB m² at 5.405 GHz
(Skolnik, Radar Handbook): 18 dB in a pixel of 10 m, where it fills one. Walls that face the sensor have 20 to 30 dB, the
largest ships (10⁶ m²) spread over a pixel of 20 m have 34. A detected product's largest number, 65535, over its calibration
constant of some hundred comes to 40 to 48: what is beyond is saturated, interference, or a fault. The brightest pixel in 318
real bands of farmland has 11, in a chip of Sen1Floods11 (Spain) 26."""

MAX_IMPOSSIBLE_FRACTION = 0.01
"""So many valid pixels of a band may be above it, and are no data then, counted as such: of more it is the scene that is at
fault."""


def possible(power: NDArray[np.floating], nodata: float) -> NDArray[np.floating]:
    """Linear power (band, y, x) of which pixels above `MOST_DB` are nodata, in the same dtype.

    Raises:
        Reject: `impossible`, with the greatest share of the bands that is, where it is more than may be.
    """
    beyond = (power != nodata) & (power > 10 ** (MOST_DB / 10))
    if not beyond.any():
        return power
    share = float((beyond.sum(axis=(1, 2)) / np.maximum((power != nodata).sum(axis=(1, 2)), 1)).max())
    if share > MAX_IMPOSSIBLE_FRACTION:
        raise Reject(Code.IMPOSSIBLE, share)
    return np.where(beyond, power.dtype.type(nodata), power)


def decibels(power: NDArray[np.floating], nodata: float, floor_db: float = FLOOR_DB) -> NDArray[np.float64]:
    """Linear power in dB, `floor_db` at least, NaN where there is no data; shape as given."""
    db = 10 * np.log10(np.maximum(power.astype(np.float64), 10 ** (floor_db / 10)))
    return np.where((power == nodata) | np.isnan(power), np.nan, db)


CENTIDB_NODATA = -32768


def centidb(power: NDArray[np.floating], nodata: float, floor_db: float = FLOOR_DB) -> NDArray[np.int16]:
    """Linear power as int16 hundredths of a decibel, `floor_db` at least, nodata -32768; shape as given."""
    hundredths = np.clip(np.round(100 * decibels(power, nodata, floor_db)), -32767, 32767)
    return np.where(np.isnan(hundredths), CENTIDB_NODATA, hundredths).astype(np.int16)
