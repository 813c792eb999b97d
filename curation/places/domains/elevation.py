"""The elevation band of a place, from heights that its own data tell. Pure."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.places.grids import Floats

EDGES_M = (0, 200, 500, 1000, 2000, 3000, 4500)
"""Heights above EGM2008 at which one band ends and the next begins, which has the edge: lowland up to 200 m, hills to 500,
uplands, and mountains as UNEP's classes of 2002 have them above 1,000 m (at 1,500, 2,500 and 4,500 there; 2,000 and 3,000
here, so that each band has land enough to be left out)."""

BANDS = (
    "below 0 m",
    *(f"{low}-{high} m" for low, high in itertools.pairwise(EDGES_M)),
    f"{EDGES_M[-1]} m and above",
)
"""Names of the bands, the lowest first."""


def find(height_m: Floats) -> NDArray[Any]:
    """The bands (names of `BANDS`) of heights in metres, (n,); empty where a height is not known (NaN)."""
    height = np.asarray(height_m, np.float64)
    found = np.array(BANDS)[np.searchsorted(EDGES_M, height, side="right").clip(0, len(BANDS) - 1)]
    return np.where(np.isfinite(height), found, "")
