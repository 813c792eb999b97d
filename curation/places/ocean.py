"""Where the open sea is for sure: what a hole in a mosaic of heights may be filled with.

GLO-30 has no tiles where there is only sea. But it has none either where a mirror lacks them, nor over Armenia and
Azerbaijan, which its public edition leaves out; and lakes are water, and not at 0 m. So a hole is sea only where the land
mask says so (`places.land`: GLOBE's, cells of 1/120°, in which lakes and the Caspian are land), by a margin.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from curation.model import Location
from curation.places import grid
from curation.recipe.atlas import PER_DEG

MARGIN_DEG = 1 / PER_DEG
"""Sea is sure only so far from the mask's land: one cell, some 930 m of latitude (and as far of longitude), which is what
its coast is known to. Measured against the list of GLO-30's 26,450 tiles: of all cells in tiles that are not there (Armenia
and Azerbaijan aside) it calls 126 land, on 13 tiles, and with the margin 432, on 28: so little real sea is left open. Islets
smaller than a cell are not in the mask: 445 tiles have no other land."""

ICE_BELOW_LAT = -60.0
"""South of it nothing is sure: the mask takes the ice shelves for sea, which rise some 50 m above it."""


def is_sea(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether points are open sea for sure, as bool of their shape. Longitudes may run beyond ±180."""
    row = np.floor((90 - np.asarray(lat, dtype=np.float64)) * PER_DEG).astype(np.int64)
    column = np.floor((np.asarray(lon, dtype=np.float64) % 360) * PER_DEG).astype(np.int64)
    # Many points lie in few cells.
    cells, of_cell = np.unique(np.stack([row.ravel(), column.ravel()]), axis=1, return_inverse=True)
    sea = np.array([_is_sea_cell(int(r), int(c)) for r, c in cells.T], dtype=bool)
    return sea[of_cell.ravel()].reshape(row.shape)


def _is_sea_cell(row: int, column: int) -> bool:
    """Whether a cell of the mask (from the north pole, and from Greenwich eastwards) and all within the margin are sea."""
    # Its package brings geopandas with it: three seconds, which only a worker that has met a hole shall pay.
    from curation.places import land

    lon, lat = (column + 0.5) / PER_DEG, 90 - (row + 0.5) / PER_DEG
    if lat < ICE_BELOW_LAT:
        return False
    wide = math.ceil(1 / max(math.cos(math.radians(lat)), 0.01))  # cells grow narrow towards the poles
    across, along = np.meshgrid(np.arange(-wide, wide + 1) / PER_DEG, np.arange(-1, 2) * MARGIN_DEG)
    return not land.is_land(lon + across, np.clip(lat + along, -90, 90)).any()


def sea_of(pixels: NDArray[np.bool_], location: Location, step: float) -> NDArray[np.bool_]:
    """Those of a location's pixels (y, x) that are open sea for sure by their centres.

    Args:
        pixels: which are asked for.
        location: whose they are.
        step: side of a pixel, in units of the location's CRS.
    """
    found = np.zeros_like(pixels)
    row, column = np.nonzero(pixels)
    if len(row):
        x, y = location.x0_m + (column + 0.5) * step, location.y0_m - (row + 0.5) * step
        lon, lat = grid.transformer(location.epsg, 4326).transform(x, y)
        found[row, column] = is_sea(np.asarray(lon), np.asarray(lat))
    return found
