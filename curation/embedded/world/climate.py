"""The climate of the world: monthly means of temperature and precipitation, of latitude, height and month.

A plain picture of the real one: it is warm at the equator and where the ground is low, has seasons away from it, opposite in
the two hemispheres, and rains where the sun stands high and between 40 and 60 degrees. It is made: it shows no real place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.embedded.world import noise, terrain
from curation.embedded.world.grids import Grid
from curation.embedded.world.regions import REGIONS

EQUATOR_K, POLE_K = 300.0, 256.0
"""Of the air at sea level, yearly means (zonal means of the real Earth: about 299 and 253)."""

SWING_K = 16.0
"""Half of the difference of July and January that there would be at the poles."""

LAPSE_K_PER_M = 0.0065
"""The standard atmosphere's."""

WARMEST = 6.5
"""Months after the middle of January that the northern hemisphere is warmest: three weeks after the sun is highest."""

REACH_DEG = 0.25
"""Beyond the box of a region its height is that of the ground around: so far nodes are the region's."""

Floats = NDArray[np.float64]


def height_m(grid: Grid) -> Floats:
    """Metres above the geoid at the centres of a grid of degrees, (lat, lon); 0 at sea.

    They are the world's, and in the regions half-way up their hills.
    """
    out: Floats = np.maximum(terrain.over(grid), 0)
    lon = (grid.x0 + (np.arange(grid.width) + 0.5) * grid.dx + 180) % 360 - 180
    lat = grid.y0 - (np.arange(grid.height) + 0.5) * grid.dy
    for region in REGIONS:
        w, s, e, n = region.bbox
        rows, columns = (np.abs(at - (a + b) / 2) <= (b - a) / 2 + REACH_DEG for at, a, b in ((lat, s, n), (lon, w, e)))
        out[np.ix_(rows, columns)] = region.base_m + region.relief_m / 2
    return out


def temperature_k(lat: Floats, height: Floats, year: int, month: int) -> Floats:
    """2 m temperature in kelvin, (lat, lon).

    Args:
        lat: degrees, (lat,).
        height: metres, (lat, lon).
        year: each is warmer or colder as a whole than others, by up to 1 K.
        month: 1 to 12.
    """
    sine = np.sin(np.radians(lat))
    mean = EQUATOR_K - (EQUATOR_K - POLE_K) * np.abs(sine) ** 3
    season = SWING_K * np.sign(sine) * np.abs(sine) ** 1.5 * np.cos(2 * np.pi * (month - 1 - WARMEST) / 12)
    out: Floats = (mean + season + _of_year(year))[:, None] - LAPSE_K_PER_M * height
    return out


def precipitation_m(lat: Floats, lon: Floats, year: int, month: int) -> Floats:
    """Metres of water a day, (lat, lon): a belt of rain that follows the sun, one of westerlies, and a little everywhere."""
    belt = 9.0 * np.cos(2 * np.pi * (month - 1 - WARMEST) / 12)
    daily_mm = 0.3 + 6.0 * np.exp(-(((lat - belt) / 11) ** 2)) + 2.2 * np.exp(-(((np.abs(lat) - 50) / 14) ** 2))
    wetness = 1 + 0.3 * np.sin(np.radians(3 * lon)) + 0.1 * _of_year(year)
    out: Floats = daily_mm[:, None] * wetness[None, :] / 1000
    return out


def _of_year(year: int) -> float:
    return float(np.random.default_rng(noise.seed_of("climate", year)).uniform(-1, 1))
