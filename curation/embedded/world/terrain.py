"""The height of the world: one smooth function of longitude and latitude, the same for every tile and every scene.

It is a sum of products of waves in longitude and in latitude, a whole number of them around the globe, so that it goes on
across the antimeridian; over a grid of degrees it is a product of two small matrices. Tiles of GLO-30 sample it, and
the slopes and shores that the cells' scenes show are its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curation.embedded.world import noise
from curation.embedded.world.grids import Grid

MEAN_M = 620.0
"""Of land, above the geoid."""

OCTAVES = ((1.9, 150.0, 6), (0.62, 62.0, 7), (0.21, 17.0, 8), (0.074, 2.6, 8))
"""Wavelength in degrees, amplitude in metres and number of waves. Together less than `MEAN_M`: sea is only in `SEAS`."""

SEA_M = -60.0
"""Height that the function has in open sea; products say 0 there."""

STEP_M = 1 / 64
"""GLO-30's heights are rounded to it: what lies below the noise of radar would only cost space."""

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sea:
    """A sea, in degrees: inside the box, but for an island."""

    west: float
    south: float
    east: float
    north: float
    shore: float
    """Over how many degrees the land falls to it, outside the box."""
    island: tuple[float, float, float] | None = None
    """Longitude, latitude, and radius in degrees of latitude of the hill that rises from it."""


SEAS = (
    # East of a cell's middle: the tile there is wholly sea, so it does not exist. It is open sea in the real world, too: by
    # that one is told whether a tile that is not there is sea.
    Sea(-57.01, -52.4, -55.5, -50.6, 0.06),
    # An island that is smaller than its cell.
    Sea(-48.0, -62.5, -43.0, -59.0, 0.3, (-45.5, -60.5, 0.06)),
)


@cache
def _waves() -> tuple[Doubles, Doubles, Doubles, Doubles, Doubles]:
    """Amplitude, and waves around the globe and phase in longitude and in latitude: five of (waves,)."""
    rng = np.random.default_rng(noise.seed_of("terrain"))
    rows = []
    for length, height, count in OCTAVES:
        for _ in range(count):
            around, along = (float(np.round(360 / length * (0.7 + 0.6 * rng.random()))) for _ in range(2))
            rows.append((height / np.sqrt(count), around, 2 * np.pi * rng.random(), along, 2 * np.pi * rng.random()))
    amplitude, around, phase_x, along, phase_y = np.array(rows).T
    return amplitude, around, phase_x, along, phase_y


def _factors(lon: Doubles, lat: Doubles) -> tuple[Doubles, Doubles]:
    """The waves along longitudes (waves, n), and those along latitudes (waves, m), with their amplitude."""
    amplitude, around, phase_x, along, phase_y = (v[:, None] for v in _waves())
    x, y = np.radians(lon)[None], np.radians(lat)[None]
    return np.sin(around * x + phase_x), amplitude * np.sin(along * y + phase_y)


def _ramp(value: Doubles, low: float, high: float, shore: float) -> Doubles:
    """1 between low and high, 0 further than `shore` from there, smooth between."""
    t = np.clip(1 - np.maximum(low - value, value - high) / shore, 0, 1)
    out: Doubles = t * t * (3 - 2 * t)
    return out


def _shares(sea: Sea, lon: Doubles, lat: Doubles) -> list[tuple[Doubles, Doubles]]:
    """How much of each place is sea, as a sum of products: pairs of factors of longitude and latitude."""
    # On the sea's own side of the antimeridian.
    middle = (sea.west + sea.east) / 2
    lon = middle + (lon - middle + 180) % 360 - 180
    box = _ramp(lon, sea.west, sea.east, sea.shore), _ramp(lat, sea.south, sea.north, sea.shore)
    pairs = [box]
    if sea.island is not None:
        at_lon, at_lat, radius = sea.island
        wide = radius / np.cos(np.radians(at_lat))
        hill = np.exp(-(((lon - at_lon) / wide) ** 2)), np.exp(-(((lat - at_lat) / radius) ** 2))
        pairs.append((-box[0] * hill[0], box[1] * hill[1]))
    return pairs


def height(lon: ArrayLike, lat: ArrayLike) -> Doubles:
    """Metres above the geoid of points, in the shape of the two; at or below 0 it is sea."""
    x, y = np.broadcast_arrays(np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64))
    across, along = _factors(x.ravel(), y.ravel())
    out = MEAN_M + np.einsum("kn,kn->n", across, along)
    sea = np.zeros_like(out)
    for each in SEAS:
        for a, b in _shares(each, x.ravel(), y.ravel()):
            sea += a * b
    return _with_sea(out, sea).reshape(x.shape)


def _with_sea(land: Doubles, sea: Doubles) -> Doubles:
    return land * (1 - sea) + SEA_M * sea


def over(grid: Grid) -> Doubles:
    """`height` at the centres of a grid of degrees: (height, width)."""
    lon: Doubles = grid.x0 + (np.arange(grid.width, dtype=np.float64) + 0.5) * grid.dx
    lat: Doubles = grid.y0 - (np.arange(grid.height, dtype=np.float64) + 0.5) * grid.dy
    across, along = _factors(lon, lat)
    out = along.T @ across
    out += MEAN_M
    pairs = [pair for each in SEAS for pair in _shares(each, lon, lat)]
    # Most tiles are far from any sea.
    pairs = [(a, b) for a, b in pairs if a.any() and b.any()]
    if not pairs:
        return out
    sea = np.array([b for _, b in pairs]).T @ np.array([a for a, _ in pairs])
    return _with_sea(out, sea)


def elevation(grid: Grid) -> NDArray[np.float32]:
    """GLO-30 over a grid of degrees: float32 metres, 0 at sea, on steps of 1/64 m."""
    out = over(grid)
    np.maximum(out, 0, out=out)
    out /= STEP_M
    np.rint(out, out=out)
    out *= STEP_M
    return out.astype(np.float32)


def is_sea(grid: Grid) -> bool:
    """Whether there is no land on a grid of degrees."""
    if not any(b[0].any() and b[1].any() for each in SEAS for b in _shares(each, *_edges(grid))):
        return False
    coarse = Grid(4326, grid.x0, grid.y0, grid.dx * grid.width / 300, grid.dy * grid.height / 300, 300, 300)
    return bool((over(coarse) <= 0).all())


def _edges(grid: Grid) -> tuple[Doubles, Doubles]:
    """Longitudes and latitudes along a grid of degrees, some hundredths of a degree apart."""
    west, south, east, north = grid.bounds
    return np.linspace(west, east, 101), np.linspace(south, north, 101)
