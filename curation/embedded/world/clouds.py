"""Clouds of an acquisition: made once per region and date, so that tiles and products of one datatake agree."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.special
import shapely
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from curation.embedded.archive.scenes import CLEAR, Lit, Overpass, swath
from curation.embedded.world import noise
from curation.embedded.world.ground import COARSE, COARSE_M, upsampled
from curation.embedded.world.regions import Region, frame, transformer

WEATHER = 4
"""The large shapes of clouds are made at 160 m, four times the coarse pixels of the ground."""

DETAIL = 0.16
"""Strength of the wisps below 160 m, in standard deviations of the large shapes."""

SOFT = 0.42
"""From where a cloud begins to where it is opaque, in the same unit."""

SEEN = 0.15
"""Opacity from which the classification calls a pixel cloud (thin ones too)."""

Floats = NDArray[np.float32]


@lru_cache(maxsize=64)
def _weather(region: Region, date: str) -> Floats:
    rows, cols = (-(-n // (COARSE * WEATHER)) for n in frame(region).shape)
    return noise.power_law((rows, cols), 1.65, noise.seed_of("weather", region.seed, date), cut=0.008)


@lru_cache(maxsize=32)
def _in_box(region: Region, rows: int, cols: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the 160 m pixels of the frame lie in the region's box: 0 to 1 eastwards, and northwards."""
    west, south, east, north = region.bbox
    x = (np.arange(cols) + 0.5 - cols / 2) * COARSE_M * WEATHER
    y = (rows / 2 - np.arange(rows) - 0.5) * COARSE_M * WEATHER
    to_lonlat = transformer(frame(region).crs, "EPSG:4326")
    lon, lat = to_lonlat.transform(*np.meshgrid(x, y))
    # On the box's own side of the antimeridian.
    lon = np.where(lon - west > 180, lon - 360, np.where(east - lon > 180, lon + 360, lon))
    return (lon - west) / (east - west), (lat - south) / (north - south)


@lru_cache(maxsize=64)
def thickness(region: Region, acquired: Overpass) -> Floats:
    """How far each 160 m pixel of the frame is above the onset of cloud, in `SOFT` units: 1 and more is opaque."""
    sky, field = acquired.sky, _weather(region, acquired.date)
    u, v = _in_box(region, field.shape[0], field.shape[1])
    out = np.full(field.shape, -np.inf, dtype=np.float32)
    if sky.cover >= 1:
        out = 1.6 + 0.5 * field
    elif sky.cover > 0:
        lifted = field.copy()
        if sky.over is not None:
            lifted += 7 * _within(u, v, sky.over) - 7
        inside = (u > 0) & (u < 1) & (v > 0) & (v < 1)
        # The onset that gives the wanted cover over the region, the opacity at which cloud is seen allowed for.
        onset = float(np.quantile(lifted[inside], 1 - sky.cover)) - SOFT * _opacity_at(SEEN)
        out = (lifted - onset) / SOFT
    if sky.always is not None:
        inside_always = _within(u, v, sky.always)
        out = np.maximum(out, 3.2 * inside_always - 1.2 + 0.5 * field)
    return out.astype(np.float32)


def _within(
    u: NDArray[np.float64], v: NDArray[np.float64], box: tuple[float, float, float, float]
) -> NDArray[np.float64]:
    """1 well inside the box, 0 outside, with a slope of several kilometres between, so that no cloud is cut straight."""
    w, s, e, n = box
    away = np.maximum(np.maximum(w - u, u - e), np.maximum(s - v, v - n))
    return np.clip(0.5 - away / 0.24, 0, 1)


def opacity(thick: Floats) -> Floats:
    """Opacity (0 to 1) of a thickness; soft at both ends."""
    t = np.clip(thick, 0, 1)
    out: Floats = t * t * (3 - 2 * t)
    return out


def _opacity_at(value: float) -> float:
    """The thickness of an opacity."""
    return float(np.interp(value, opacity(np.linspace(0, 1, 1001, dtype=np.float32)), np.linspace(0, 1, 1001)))


def covered_share(scene: Lit) -> float:
    """Share of the scene's valid area under cloud (0 to 1), from the large shapes and what wisps do on average."""
    if scene.acquired.sky == CLEAR:
        return 0.0
    thick = thickness(scene.region, scene.acquired)
    row, col = _valid_pixels(scene.region, scene.grid.epsg, swath(scene))
    at = thick[np.clip(row, 0, thick.shape[0] - 1), np.clip(col, 0, thick.shape[1] - 1)]
    return float(scipy.special.ndtr((at - _opacity_at(SEEN)) / (DETAIL / SOFT)).mean())


@lru_cache(maxsize=64)
def _valid_pixels(region: Region, epsg: int, shape: shapely.Polygon) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns among the frame's 160 m pixels of points about 400 m apart in a polygon of a scene's CRS."""
    w, s, e, n = shape.bounds
    px, py = np.meshgrid(np.arange(w + 200, e, 400), np.arange(n - 200, s, -400))
    keep = shapely.contains_xy(shape, px, py)
    convert = transformer(f"EPSG:{epsg}", frame(region).crs).transform
    row, col = frame(region).pixel(*convert(px[keep], py[keep]))
    step = COARSE * WEATHER
    return (row / step).astype(np.int64), (col / step).astype(np.int64)


def sun(scene: Lit) -> tuple[float, float]:
    """Zenith and azimuth of the sun in degrees at the scene's centre and time (good to about a degree)."""
    w, s, e, n = scene.region.bbox
    lat, lon = np.radians((s + n) / 2), (w + e) / 2
    declination = np.radians(-23.44 * np.cos(2 * np.pi * (scene.doy + 10) / 365.25))
    hour = scene.time.hour + scene.time.minute / 60 + lon / 15
    angle = np.radians(15 * (hour - 12))
    up = np.sin(lat) * np.sin(declination) + np.cos(lat) * np.cos(declination) * np.cos(angle)
    east = -np.cos(declination) * np.sin(angle)
    north = np.cos(lat) * np.sin(declination) - np.sin(lat) * np.cos(declination) * np.cos(angle)
    return float(np.degrees(np.arccos(up))), float(np.degrees(np.arctan2(east, north)) % 360)


@lru_cache(maxsize=8)
def in_frame(region: Region, acquired: Overpass, zenith: float, azimuth: float) -> tuple[Floats, Floats] | None:
    """Opacity of cloud and depth of cloud shadow on the ground, by 40 m pixel of the frame; None under a clear sky."""
    if acquired.sky.cover == 0 and acquired.sky.always is None:
        return None
    rows, cols = (n // COARSE for n in frame(region).shape)
    thick = upsampled(np.maximum(thickness(region, acquired), -9), 0, rows, WEATHER)[:, :cols]
    detail = noise.rolled(noise.texture(), (rows, cols), noise.seed_of("wisps", region.seed, acquired.date))
    thick = thick + detail * np.float32(DETAIL / SOFT)
    cloud = opacity(thick)
    # Shadows fall away from the sun; low winter suns would throw them out of the picture, so clouds hang lower then.
    reach = min(1_400 * np.tan(np.radians(zenith)), 2_600) / COARSE_M
    down = round(reach * np.cos(np.radians(azimuth)))
    left = round(reach * np.sin(np.radians(azimuth)))
    shade = np.zeros_like(cloud)
    far = (slice(max(0, down), rows + min(0, down)), slice(max(0, -left), cols + min(0, -left)))
    near = (slice(max(0, -down), rows + min(0, -down)), slice(max(0, left), cols + min(0, left)))
    shade[far] = cloud[near]
    return cloud, gaussian_filter(shade, 0.7)
