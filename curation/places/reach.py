"""How far footprints reach from their centre on the sphere: what keeps them apart counts on it. Pure."""

from __future__ import annotations

import math

import numpy as np

from curation.errors import ConfigError
from curation.places import overlap
from curation.places.grids import Places, by_value
from curation.places.nearby import EARTH_RADIUS_KM, arc
from curation.recipe.footprint import CELL_DEG, GridSpec

STRETCH = 1.05
"""A metre of a CRS is at most so many metres on the mean sphere: 1.0061 in UTM (scale 0.9996, and a sphere that is 1.0057
times as large as the ellipsoid's meridian at the equator), 1.03 in the equal-area grids of continents."""


def reach_km(grid: GridSpec) -> float:
    """The farthest that a footprint reaches from its centre on the sphere, km: no less, wherever it lies."""
    if grid.size_deg is not None:  # longer along the equator than anywhere
        return math.radians(CELL_DEG / math.sqrt(2)) * EARTH_RADIUS_KM
    return grid.size / math.sqrt(2) * STRETCH / 1000


def check_reach(found: Places, grid: GridSpec, where: str) -> None:
    """Passes where no footprint in metres reaches farther than `reach_km` says; in UTM none does.

    Raises:
        ConfigError: one does, as in a CRS that shrinks the ground.
    """
    limit = reach_km(grid)
    for code, rows in by_value(found.epsg):
        if grid.size_deg is not None or 32601 <= code <= 32660 or 32701 <= code <= 32760:
            continue
        of = found.take(rows)
        lon, lat = overlap.outlines(of.epsg, of.x0_m, of.y0_m, grid.size, points_per_side=4)
        km = EARTH_RADIUS_KM * arc(np.radians(of.lat)[:, None], np.radians(lat), np.radians(lon - of.lon[:, None]))
        bad = ~(km.max(axis=1) <= limit)
        if bad.any():
            k = int(np.argmax(bad))
            raise ConfigError(
                f"{where}: the footprint of EPSG:{code} at lon {of.lon[k]:.4f}, lat {of.lat[k]:.4f} reaches "
                f"{km[k].max():.3f} km from its centre, where {grid.size:g} m may reach {limit:.3f}: its CRS shrinks the "
                "ground there, so no split could keep train and val apart; give it in UTM"
            )
