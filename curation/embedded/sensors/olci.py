"""Sentinel-3 OLCI: which granules there are, what they show, and their level-1 full-resolution files, one per band.

A granule is a frame of 54 km around a cell, turned along the descending track as a real one is. Each cell has one or two in
each season of 2021, but where the sun is too low there is none, and one cell has none at all. Several show fewer places
than they should: some are cloudy, some lie off their cell, and one autumn has nothing but cloud.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from curation.embedded.sensors import netcdf
from curation.embedded.world import noise, sphere, tables
from curation.embedded.world.world import CELLS

COLLECTION = "sentinel-3-olci-1-efr-ntc"

SIZE = 180
"""Rows and columns of a frame."""
RES_KM = 0.3
INCLINATION_DEG = 98.65
PERIOD_S = 6059.0

WITHOUT = (-60, -3)
"""The cell that no granule shows."""
OVERCAST = ((9, 46.5), "2021-10")
"""The cell and month of which all is cloudy."""
LOW_SUN_DEG = 80.0
"""Beyond this zenith angle of the sun nothing is taken."""

_TABLE = tables.beside(__file__)

BANDS = tuple(_TABLE["bands"])
WAVELENGTHS_NM = {band: about["nm"] for band, about in _TABLE["bands"].items()}
NOISE = 0.05
"""Noise of one pixel, mW m-2 sr-1 nm-1."""

FILL = 65535
FLAGS = (*_TABLE["flags"], *(f"saturated@{b}" for b in BANDS))
"""Meanings of the bits of quality_flags, the highest first."""
BIT = {name: np.uint32(1 << (31 - k)) for k, name in enumerate(FLAGS)}

GEOLOCATION, QUALITY = "geo_coordinates", "qualityFlags"
FILES = (*(f"{b}_radiance" for b in BANDS), GEOLOCATION, QUALITY)
"""Names of a granule's files, without their suffix."""

Floats = NDArray[np.float64]

_SEASONS = ("2021-02-08", "2021-04-24", "2021-07-12", "2021-10-09")
_SKIES = ((0.85, 0.1), (0.2,), (0.15, 0.5), (0.0,), (0.35,))
"""Share under cloud of the one or two granules of a season."""


@dataclass(frozen=True, slots=True)
class Granule:
    """One granule."""

    cell: int
    """Index of the cell that it is around."""
    start: dt.datetime
    """When its first row is seen."""
    cover: float
    """Share under cloud, 0 to 1."""
    centre: tuple[float, float]
    """Longitude and latitude, degrees."""
    platform: str
    """A or B."""

    @property
    def end(self) -> dt.datetime:
        """When its last row is seen."""
        return self.start + dt.timedelta(seconds=round(SIZE * RES_KM / sphere.RADIUS_KM / (2 * np.pi) * PERIOD_S))

    @property
    def orbit(self) -> int:
        """Absolute orbit, about as the platforms' were counted."""
        launched = {"A": dt.datetime(2016, 2, 16, 18, tzinfo=dt.UTC), "B": dt.datetime(2018, 4, 25, 18, tzinfo=dt.UTC)}
        return int((self.start - launched[self.platform]).total_seconds() // PERIOD_S)

    @property
    def made(self) -> dt.datetime:
        """When it was processed."""
        return self.start + dt.timedelta(hours=28, minutes=self.cell)

    @property
    def id(self) -> str:
        """Its product name."""
        stamps = "_".join(f"{t:%Y%m%dT%H%M%S}" for t in (self.start, self.end, self.made))
        seconds = round((self.end - self.start).total_seconds())
        frame = 1800 - round(self.centre[1] / 90 * 18) * 50
        return (
            f"S3{self.platform}_OL_1_EFR____{stamps}_{seconds:04d}_{self.cycle:03d}_{self.relative_orbit:03d}_{frame:04d}"
            "_LN1_O_NT_002"
        )

    @property
    def relative_orbit(self) -> int:
        """Within the cycle of 385 orbits."""
        return self.orbit % 385 + 1

    @property
    def cycle(self) -> int:
        """Number of the cycle of 27 days."""
        return self.orbit // 385 + 1


@cache
def granules() -> tuple[Granule, ...]:
    """Every granule there is."""
    out = []
    for k, (lon, lat) in enumerate(CELLS):
        if (lon, lat) == WITHOUT:
            continue
        for season, first in enumerate(_SEASONS):
            skies = (1.0,) if OVERCAST[0] == (lon, lat) and first.startswith(OVERCAST[1]) else _SKIES[(k + season) % 5]
            for n, cover in enumerate(skies):
                day = dt.datetime.fromisoformat(first).replace(tzinfo=dt.UTC) + dt.timedelta(days=k % 4 + 5 * n)
                # Ten o'clock where it crosses the equator southwards.
                start = day + dt.timedelta(hours=(10 - lon / 15) % 24, seconds=round(-lat / 360 * PERIOD_S))
                zenith = sphere.sun_zenith(np.array(lon), np.array(lat), start.timetuple().tm_yday, sphere.hours(start))
                if zenith > LOW_SUN_DEG:
                    continue
                rng = np.random.default_rng(noise.seed_of("olci", k, season, n))
                # The second of a clear season lies so far off that it shows only a part of its cell.
                away = 19.0 if (n, cover) == (1, 0.5) else rng.uniform(0, 6)
                towards = rng.uniform(0, 2 * np.pi)
                centre = _moved_km(lon, lat, away * np.sin(towards), away * np.cos(towards))
                out.append(Granule(k, start.replace(microsecond=0), cover, centre, "AB"[(k + season + n) % 2]))
    return tuple(out)


def _moved_km(lon: float, lat: float, east: float, north: float) -> tuple[float, float]:
    wide = sphere.KM_PER_DEG * float(np.cos(np.radians(lat)))
    return float(sphere.wrapped(np.array(lon + east / wide))), lat + north / sphere.KM_PER_DEG


# ---- where the pixels are


def placed(granule: Granule, rows: Floats, columns: Floats) -> tuple[Floats, Floats]:
    """Longitude and latitude (degrees) of positions in the frame, broadcast together; a pixel's centre is at .5."""
    lon, lat = np.radians(granule.centre)
    at = sphere.vector(*granule.centre)
    east = np.array([-np.sin(lon), np.cos(lon), 0.0])
    north = np.cross(at, east)
    # The track's direction, southwards; the Earth turns below it, which adds some degrees to the west.
    tilt = np.arcsin(np.clip(np.cos(np.radians(INCLINATION_DEG)) / np.cos(lat), -1, 1))
    ahead = np.arctan2(np.sin(tilt) - 0.0701 * np.cos(lat), np.cos(tilt))
    down = east * np.sin(ahead) - north * np.cos(ahead)
    right = east * np.cos(ahead) + north * np.sin(ahead)
    y, x = (rows - SIZE / 2) * RES_KM, (columns - SIZE / 2) * RES_KM
    far = np.maximum(np.hypot(x, y), 1e-9)
    direction = (x / far)[..., None] * right + (y / far)[..., None] * down
    return sphere.lonlat(sphere.moved(at, direction, far / sphere.RADIUS_KM))


def geolocation(granule: Granule) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Longitude and latitude of the pixels' centres as the file has them: (SIZE, SIZE), millionths of a degree."""
    middle = np.arange(SIZE, dtype=float) + 0.5
    lon, lat = placed(granule, *np.meshgrid(middle, middle, indexing="ij"))
    return np.round(lon * 1e6).astype(np.int32), np.round(lat * 1e6).astype(np.int32)


def footprint(granule: Granule) -> sphere.Shape:
    """The frame's outline."""
    side = np.linspace(0, SIZE, 7)[:-1]
    zero, full = np.zeros(6), np.full(6, float(SIZE))
    # Counter-clockwise: down the left side, along the bottom, up, and back along the top.
    rows = np.concatenate([side, full, full - side, zero])
    columns = np.concatenate([zero, side, full, full - side])
    return sphere.outline(*placed(granule, rows, columns))


# ---- what they show


@dataclass(frozen=True, slots=True)
class Ground:
    """Kinds of ground at some places."""

    land: NDArray[np.bool_]
    snow: NDArray[np.bool_]
    green: Floats
    """Share of the land under leaves, 0 to 1."""


def ground(lon: Floats, lat: Floats, time: dt.date) -> Ground:
    """What the ground is at longitudes and latitudes (degrees) on that day."""
    at = sphere.vector(lon, lat)

    def field(name: str, *lengths: float) -> Floats:
        return sphere.waves(at, lengths, 0.8, np.random.default_rng(noise.seed_of("olci", name)))

    turn = 2 * np.pi * (time.timetuple().tm_yday - 196) / 365.25
    summer = np.cos(turn) * np.sin(np.radians(lat))  # -1 to 1
    land = field("land", 90, 30, 11) > -0.45
    snow = land & (-summer > 0.12) & (np.abs(lat) > 50) & (field("snow", 60, 20, 7) > 0.4)
    green = np.clip(0.5 + 0.45 * summer + 0.28 * field("green", 40, 13, 5), 0, 1)
    return Ground(land, snow, green)


def truth(band: str, lon: Floats, lat: Floats, time: dt.datetime) -> Floats:
    """Radiance at the top of a clear atmosphere at longitudes and latitudes (degrees), mW m-2 sr-1 nm-1."""
    return _radiance(band, ground(lon, lat, time), _sunlight(lon, lat, time))


def _sunlight(lon: Floats, lat: Floats, time: dt.datetime) -> Floats:
    """Cosine of the sun's zenith angle, never below that of the lowest sun."""
    zenith = sphere.sun_zenith(lon, lat, time.timetuple().tm_yday, sphere.hours(time))
    return np.maximum(np.cos(np.radians(zenith)), 0.1)


def _spectrum(material: str, band: str) -> float:
    spectra = _TABLE["spectra"]
    return float(np.interp(WAVELENGTHS_NM[band], spectra["nm"], spectra[material]))


def _radiance(
    band: str, seen: Ground, sunlight: Floats, cloud: Floats | float = 0.0, glint: Floats | float = 0.0
) -> Floats:
    """Radiance of ground under cloud of some opacity (0 to 1), with `glint` added to its reflectance."""
    water, soil, leaf, snow, white = (_spectrum(m, band) for m in ("water", "soil", "leaf", "snow", "cloud"))
    reflectance = np.where(seen.land, soil + (leaf - soil) * seen.green, water)
    reflectance = np.where(seen.snow, snow, reflectance) + glint
    path = 0.11 * (442.5 / WAVELENGTHS_NM[band]) ** 4
    air = _TABLE["bands"][band].get("air", 1.0)
    top = (1 - cloud) * (path + air * reflectance) + cloud * white * (0.5 + 0.5 * air)
    out: Floats = _TABLE["bands"][band]["sun"] / np.pi * sunlight * top
    return out


def clouds(granule: Granule, lon: Floats, lat: Floats) -> Floats:
    """Opacity of the granule's clouds at longitudes and latitudes: 0 (none) to 1."""
    if granule.cover in (0.0, 1.0):
        return np.full(lon.shape, granule.cover)
    rng = np.random.default_rng(noise.seed_of("olci-cloud", granule.id))
    field = sphere.waves(sphere.vector(lon, lat), (30, 17, 8, 4), 0.7, rng)
    return np.clip((field - scipy.special.ndtri(1 - granule.cover)) / 0.35, 0, 1)


@dataclass(frozen=True, slots=True)
class View:
    """What a granule shows; arrays of (SIZE, SIZE)."""

    ground: Ground
    sunlight: Floats
    cloud: Floats
    glint: Floats
    flags: NDArray[np.uint32]


def view(granule: Granule) -> View:
    """What the granule shows, at the places that its geolocation states."""
    lon, lat = (v.astype(np.float64) * 1e-6 for v in geolocation(granule))
    seen, cloud = ground(lon, lat, granule.start), clouds(granule, lon, lat)
    rng = np.random.default_rng(noise.seed_of("olci-glint", granule.id))
    sparkle = sphere.waves(sphere.vector(lon, lat), (40, 15), 0.7, rng) > 0.6
    glint = np.where(~seen.land & sparkle & (np.abs(lat) < 35), 0.09, 0.0)
    bright = (cloud > 0) | seen.snow
    marks = {
        "land": seen.land,
        "coastline": binary_dilation(seen.land) & binary_dilation(~seen.land),
        "bright": bright,
        "straylight_risk": binary_dilation(bright, iterations=2) & ~bright,
        "sun-glint_risk": glint > 0,
        "invalid": np.zeros(lon.shape, dtype=bool),
        "duplicated": np.zeros(lon.shape, dtype=bool),
        "dubious": np.zeros(lon.shape, dtype=bool),
    }
    marks["invalid"][:, -5:] = True  # beyond the camera's edge
    marks["duplicated"][:, 60::61] = True
    marks["dubious"][int(rng.integers(SIZE))] = True
    flags = np.zeros(lon.shape, dtype=np.uint32)
    for name, where in marks.items():
        flags[where] |= BIT[name]
    flags[marks["invalid"]] = BIT["invalid"]
    return View(seen, _sunlight(lon, lat, granule.start), cloud, glint, flags)


def bright_percent(granule: Granule) -> float:
    """About how much of the frame is bright: cloud, snow or ice."""
    some = np.arange(3, SIZE, 9, dtype=float) + 0.5
    lon, lat = placed(granule, *np.meshgrid(some, some, indexing="ij"))
    bright = (clouds(granule, lon, lat) > 0) | ground(lon, lat, granule.start).snow
    return round(100 * float(bright.mean()), 6)


# ---- the files


def write(paths: Mapping[str, Path], granule: Granule) -> None:
    """Writes the granule's files to the paths given by name (`FILES`)."""
    seen = view(granule)
    for band in BANDS:
        rng = np.random.default_rng(noise.seed_of("olci-noise", granule.id, band))
        radiance = _radiance(band, seen.ground, seen.sunlight, seen.cloud, seen.glint)
        radiance += NOISE * rng.standard_normal((SIZE, SIZE))
        scale = _TABLE["bands"][band]["scale"]
        counts = np.clip(np.round(radiance / scale), 0, FILL - 1).astype(np.uint16)
        counts[(seen.flags & BIT["invalid"]) > 0] = FILL
        _file(paths, f"{band}_radiance", granule, "radiance", {"radiance": counts}, band=band, scale=scale)
    lon, lat = geolocation(granule)
    height = np.where(seen.ground.land, 20 + 100 * seen.ground.green, 0).astype(np.int16)
    _file(paths, GEOLOCATION, granule, "geolocation", {"altitude": height, "latitude": lat, "longitude": lon})
    masks, meanings = [BIT[f] for f in FLAGS], " ".join(FLAGS)
    _file(paths, QUALITY, granule, "quality", {"quality_flags": seen.flags}, masks=masks, meanings=meanings)


def _file(
    paths: Mapping[str, Path], name: str, granule: Granule, form: str, held: Mapping[str, NDArray[Any]], **values: Any
) -> None:
    """Writes one file of the form that the table has; `held` are its variables' values by the table's names."""
    template = _TABLE["files"][form]
    with netcdf.create(paths[name]) as root:
        title = tables.filled(template["title"], **values)
        netcdf.annotate(root, netcdf.attributes(_TABLE["file"], granule=granule, title=title))
        dimensions = [netcdf.dimension(root, axis, SIZE) for axis in ("rows", "columns")]
        for key, pixels in held.items():
            about = template["variables"][key]
            netcdf.variable(
                root, tables.filled(about["name"], **values), pixels, dimensions,
                netcdf.attributes(about["attributes"], **values), fill=about.get("fill"), chunks=(45, SIZE),
            )  # fmt: skip
