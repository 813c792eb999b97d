"""Cells of the Major TOM grid: what they are called that points lie in. Pure.

Definition: Francis and Czerkawski, "Major TOM: Expandable Datasets for Earth Observation", 2024 (arXiv 2402.12095), with
the numbers of its code (github.com/ESA-PhiLab/Major-TOM, `grid.py`). Rows of equal latitude, as many as it takes for none to
be higher than 10 km along a meridian of a sphere; in each columns of equal longitude, as many as it takes for none to be
wider than 10 km at its southern edge. Counted north (`U`, from 0) and south (`D`, from 1) of the equator, east (`R`, from 0)
and west (`L`, from 1) of longitude 0.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RADIUS_KM = 6378.137
"""Of the sphere (`Grid.RADIUS_EQUATOR`)."""

CELL_KM = 10.0
"""Of the grid of the published datasets."""


def ids(lon: Floats, lat: Floats, cell_km: float = CELL_KM) -> list[str]:
    """The cell of each point in degrees, as `451U_946L`.

    In a row with an odd number of columns the easternmost goes on across the antimeridian. The published code stops at 85°
    north and south; here rows go on, as its rule says.
    """
    rows = math.ceil(math.pi * RADIUS_KM / cell_km)
    row = np.floor(lat / (180.0 / rows)).astype(np.int64)
    around_km = 2 * math.pi * RADIUS_KM * np.cos(np.radians(row * (180.0 / rows)))
    columns = np.maximum(np.ceil(around_km / cell_km).astype(np.int64), 1)
    column = np.floor(lon / (360.0 / columns)).astype(np.int64)
    column = (column + columns // 2) % columns - columns // 2
    return [
        f"{abs(r)}{'U' if r >= 0 else 'D'}_{abs(c)}{'R' if c >= 0 else 'L'}"
        for r, c in zip(row.tolist(), column.tolist(), strict=True)
    ]
