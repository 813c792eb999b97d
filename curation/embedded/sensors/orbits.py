"""Sentinel-5P: which orbits there are, and where their pixels lie.

The swath is TROPOMI's: an inclination of 98.7°, 2,600 km wide, pixels of equal view angle, hence four times as wide at the
edges. It has fewer and larger pixels than the real one (14 km along the track and 7 km below the satellite), because the
whole year has to fit on a laptop.

What each month is for:

    April       the track over Africa and Europe has no orbit
    July        one orbit over Africa and Europe is there reprocessed (RPRO), offline (OFFL) and in three near-real-time
                pieces (NRTI): only RPRO is right
    September   one orbit over the Americas is there as OFFL and NRTI: here OFFL is right
    November    no orbit at all
    others      one to three orbits of each track; in winter the north lies in the dark, and in summer the south
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from curation.embedded.world import sphere, tables
from curation.embedded.world.world import TRACKS, Track

COLLECTION = "sentinel-5p-l2-netcdf"

INCLINATION_DEG = 98.7
PERIOD_S = 6089.9
"""From one northward crossing of the equator to the next."""
DRIFT = 25.37 / 360
"""How far the Earth turns below the orbit, per part of a revolution."""
ALTITUDE_M = 824_000.0
VIEW_DEG = 53.6
"""View angle of the swath's edges: 1,300 km from the track."""

FROM_DEG, TO_DEG = -72.0, 100.0
"""The sunlit part of an orbit that files hold, as angles along the orbit from the equator: to beyond its northernmost."""
STEP_KM = 14.0
"""From one scanline to the next; real ones are 5.5 km apart."""
ROWS = round((TO_DEG - FROM_DEG) * sphere.KM_PER_DEG / STEP_KM)
"""Scanlines of an orbit."""
STEP_DEG = (TO_DEG - FROM_DEG) / ROWS
"""From one scanline to the next, along the orbit."""
UVIS, SWIR = 225, 215
"""Pixels across the swath of the two spectrometers: ultraviolet to near infrared, and short-wave infrared."""
NRTI_S = 300
"""Near-real-time products come in pieces of so many seconds."""

GRID_DEG = 1 / 1024
"""Coordinates are rounded to this (about 100 m), so that files stay small."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pass5:
    """One orbit."""

    track: str
    date: str
    """UTC date on which it crosses the equator northwards."""
    shift: float = 0.0
    """Degrees east of its track's crossing."""
    modes: tuple[str, ...] = ("OFFL",)
    """In which it was processed, the best first."""

    @property
    def on(self) -> Track:
        """The track itself."""
        return next(t for t in TRACKS if t.name == self.track)

    @property
    def crossing_lon(self) -> float:
        """Degrees east, where it crosses the equator northwards."""
        return self.on.crossing_lon + self.shift


PASSES = tuple(
    Pass5(track, row["date"], row.get("shift", 0.0), tuple(row.get("modes", ["OFFL"])))
    for track, rows in tables.beside(__file__)["passes"].items()
    for row in rows
)


@dataclass(frozen=True, slots=True)
class Orbit:
    """An orbit, or a part of it: what one file holds."""

    acquired: Pass5
    first: int
    """Its first scanline."""
    count: int
    """Its number of scanlines."""

    @property
    def crossing(self) -> dt.datetime:
        """When it crosses the equator: 13:30, local time."""
        day = dt.datetime.fromisoformat(self.acquired.date).replace(tzinfo=dt.UTC)
        return day + dt.timedelta(hours=(13.5 - self.acquired.crossing_lon / 15) % 24)

    def time(self, row: float) -> dt.datetime:
        """When a scanline is seen; a scanline's middle is at .5."""
        angle = FROM_DEG + (self.first + row) * STEP_DEG
        return self.crossing + dt.timedelta(milliseconds=round(angle / 360 * PERIOD_S * 1000))

    @property
    def number(self) -> int:
        """As real orbits were counted in 2021."""
        began = dt.datetime(2020, 3, 3, 1, 35, 47, tzinfo=dt.UTC)
        return 12367 + int((self.crossing - began).total_seconds() // PERIOD_S)


def whole(acquired: Pass5) -> Orbit:
    """All of an orbit that files hold."""
    return Orbit(acquired, 0, ROWS)


def pieces(acquired: Pass5) -> list[Orbit]:
    """Three near-real-time pieces, one after the other, from 36° along the orbit on."""
    count = round(NRTI_S / PERIOD_S * 360 / STEP_DEG)
    first = round((36 - FROM_DEG) / STEP_DEG)
    return [Orbit(acquired, first + k * count, count) for k in range(3)]


# ---- where the pixels are


@dataclass(frozen=True, slots=True)
class Swath:
    """Where the pixels of an orbit are; coordinates in degrees, arrays of (scanline, ground_pixel)."""

    lon: Floats
    lat: Floats
    lon_bounds: Floats
    """(scanline, ground_pixel, 4): corners counter-clockwise from the first scanline's left one."""
    lat_bounds: Floats
    below_lon: Floats
    """(scanline,): below the satellite."""
    below_lat: Floats
    view: Floats
    """(ground_pixel,): zenith angle of the satellite, seen from the pixel."""


def _satellite(angle: Floats, crossing_lon: float) -> tuple[Floats, Floats]:
    """Below the satellite at angles (degrees) along its orbit: unit vectors (n, 3), and the directions to the right."""

    def below(u: Floats) -> Floats:
        tilt = np.radians(INCLINATION_DEG)
        lat = np.degrees(np.arcsin(np.sin(tilt) * np.sin(u)))
        lon = crossing_lon + np.degrees(np.arctan2(np.cos(tilt) * np.sin(u), np.cos(u)) - DRIFT * u)
        return sphere.vector(lon, lat)

    u = np.radians(angle)
    at = below(u)
    ahead = below(u + 1e-4) - below(u - 1e-4)
    return at, sphere.unit(np.cross(ahead, at))


def _across(pixels: int, at: Floats) -> tuple[Floats, Floats]:
    """Arc from the track (radians, right is positive) and zenith angle (degrees) at positions across the swath (0 to 1)."""
    view = np.radians(VIEW_DEG) * (2 * at / pixels - 1)
    zenith = np.arcsin((1 + ALTITUDE_M / 1000 / sphere.RADIUS_KM) * np.sin(view))
    return zenith - view, np.abs(np.degrees(zenith))


def _placed(rows: Floats, columns: Floats, acquired: Pass5, pixels: int) -> tuple[Floats, Floats]:
    """Longitude and latitude (degrees, rounded) at positions along and across the swath: (rows, columns)."""
    at, right = _satellite(FROM_DEG + rows * STEP_DEG, acquired.crossing_lon)
    arc, _ = _across(pixels, columns)
    lon, lat = sphere.lonlat(sphere.moved(at[:, None], right[:, None], arc[None, :]))
    return sphere.wrapped(np.round(lon / GRID_DEG) * GRID_DEG), np.round(lat / GRID_DEG) * GRID_DEG


@lru_cache(maxsize=2)
def swath(orbit: Orbit, pixels: int) -> Swath:
    """Where the pixels of an orbit's part are."""
    rows = orbit.first + np.arange(orbit.count + 1.0)
    columns = np.arange(pixels + 1.0)
    lon, lat = _placed(rows[:-1] + 0.5, columns[:-1] + 0.5, orbit.acquired, pixels)
    at, _ = _satellite(FROM_DEG + (rows[:-1] + 0.5) * STEP_DEG, orbit.acquired.crossing_lon)
    corners = [
        np.stack([x[:-1, :-1], x[:-1, 1:], x[1:, 1:], x[1:, :-1]], axis=-1)
        for x in _placed(rows, columns, orbit.acquired, pixels)
    ]
    _, view = _across(pixels, columns[:-1] + 0.5)
    return Swath(lon, lat, corners[0], corners[1], *sphere.lonlat(at), view)


@lru_cache(maxsize=256)
def footprint(orbit: Orbit) -> sphere.Shape:
    """The swath's outline."""
    rows = np.unique(np.append(np.arange(orbit.first, orbit.first + orbit.count, 10.0), orbit.first + orbit.count))
    columns = np.linspace(0, UVIS, 16)
    lon, lat = _placed(rows, columns, orbit.acquired, UVIS)

    def ring(x: Floats) -> Floats:
        return np.concatenate([x[0, :-1], x[:-1, -1], x[-1, :0:-1], x[:0:-1, 0]])

    return sphere.outline(ring(lon), ring(lat))
