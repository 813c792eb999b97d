"""Decibels of radar backscatter, and what is done where there are none. Pure.

Where the noise that was subtracted is more than what came back, linear power is zero or below: dark water, mostly. Such
pixels are data. Means and resampling take them as they are, since leaving them out would make water brighter; only a
logarithm wants a floor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FLOOR_DB = -40.0
"""Where nobody says otherwise. Sentinel-1's noise is specified to be that of -22 dB or better (ESA, Sentinel-1 SAR technical
guide, "Performance") and was measured at about -30 in the real scenes here, whose darkest pixel of 20 m has -37.9: below -40
a pixel says that nothing came back, and its decibels would say by how little."""


def decibels(power: NDArray[np.floating], nodata: float, floor_db: float = FLOOR_DB) -> NDArray[np.float64]:
    """Linear power in dB, `floor_db` at least, NaN where there is no data; shape as given."""
    db = 10 * np.log10(np.maximum(power.astype(np.float64), 10 ** (floor_db / 10)))
    return np.where((power == nodata) | np.isnan(power), np.nan, db)
