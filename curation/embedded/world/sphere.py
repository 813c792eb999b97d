"""Points on a sphere: unit vectors, directions along and across a track, and outlines that cross the antimeridian."""

from __future__ import annotations

import datetime as dt

import numpy as np
import shapely
from numpy.typing import NDArray

RADIUS_KM = 6371.0
KM_PER_DEG = np.pi * RADIUS_KM / 180

Floats = NDArray[np.float64]
Shape = shapely.Polygon | shapely.MultiPolygon


def vector(lon: Floats | float, lat: Floats | float) -> Floats:
    """Unit vectors (..., 3) of degrees."""
    lam, phi = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi) + 0 * lam], axis=-1)


def lonlat(points: Floats) -> tuple[Floats, Floats]:
    """Longitude in [-180, 180) and latitude, degrees, of vectors (..., 3)."""
    lon = np.degrees(np.arctan2(points[..., 1], points[..., 0]))
    lat = np.degrees(np.arctan2(points[..., 2], np.hypot(points[..., 0], points[..., 1])))
    return wrapped(lon), lat


def wrapped(lon: Floats) -> Floats:
    """Longitudes in [-180, 180)."""
    out: Floats = (lon + 180) % 360 - 180
    return out


def unit(vectors: Floats) -> Floats:
    """The vectors (..., 3) with length 1."""
    out: Floats = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return out


def moved(start: Floats, towards: Floats, arc: Floats) -> Floats:
    """The points at an arc (radians) from `start` along the great circles in the directions `towards`: (..., 3)."""
    out: Floats = start * np.cos(arc)[..., None] + towards * np.sin(arc)[..., None]
    return out


def offset_km(lon: Floats, lat: Floats, centre: tuple[float, float]) -> tuple[Floats, Floats]:
    """Kilometres east and north of a centre (lon, lat): good to a per cent within a few hundred kilometres."""
    east = wrapped(lon - centre[0]) * KM_PER_DEG * np.cos(np.radians(lat))
    return east, (lat - centre[1]) * KM_PER_DEG


def sun_zenith(lon: Floats, lat: Floats, day_of_year: int, utc_hours: Floats | float) -> Floats:
    """The sun's zenith angle in degrees, good to about a degree."""
    declination = np.radians(-23.44 * np.cos(2 * np.pi * (day_of_year + 10) / 365.25))
    angle = np.radians(15 * (utc_hours + lon / 15 - 12))
    phi = np.radians(lat)
    up = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(angle)
    out: Floats = np.degrees(np.arccos(np.clip(up, -1, 1)))
    return out


def hours(time: dt.datetime) -> float:
    """Hours since midnight."""
    return time.hour + time.minute / 60 + (time.second + time.microsecond / 1e6) / 3600


def waves(
    points: Floats, wavelengths_km: tuple[float, ...], slope: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """A smooth random field at unit vectors (..., 3): about mean 0 and variance 1, a pure function of the place.

    Args:
        points: where.
        wavelengths_km: five waves of each, in directions of their own.
        slope: amplitudes fall as wavelength to this power.
        rng: where directions and phases come from.
    """
    out = np.zeros(points.shape[:-1])
    power = 0.0
    for length in wavelengths_km:
        amplitude = (length / max(wavelengths_km)) ** slope
        for _ in range(5):
            towards = unit(rng.standard_normal(3)) * (2 * np.pi * RADIUS_KM / length)
            out += amplitude * np.sin(points @ towards + rng.uniform(0, 2 * np.pi))
            power += amplitude**2 / 2
    out /= np.sqrt(power)
    return out


def outline(lon: Floats, lat: Floats) -> Shape:
    """The area within a ring of points, as GeoJSON wants it: cut at the antimeridian, and closed over a pole inside it.

    Args:
        lon: degrees, without the first point again.
        lat: degrees.
    """
    lon, lat = np.append(lon, lon[0]), np.append(lat, lat[0])
    lon = np.concatenate([lon[:1], lon[0] + np.cumsum(wrapped(np.diff(lon)))])
    if round((lon[-1] - lon[0]) / 360):  # it runs once around the Earth: the nearer pole is inside
        pole = 90.0 if lat.max() > -lat.min() or lat.max() > 80 else -90.0
        lon, lat = np.append(lon, [lon[-1], lon[0]]), np.append(lat, [pole, pole])
    whole = shapely.make_valid(shapely.Polygon(np.stack([lon, lat], axis=1)))
    parts = []
    for turn in range(-2, 3):
        part = shapely.affinity.translate(whole, 360 * turn)
        parts.append(shapely.intersection(part, shapely.box(-180, -90, 180, 90)))
    pieces = [p for p in shapely.get_parts(shapely.union_all(parts)) if p.geom_type == "Polygon" and p.area > 0]
    return pieces[0] if len(pieces) == 1 else shapely.MultiPolygon(pieces)
