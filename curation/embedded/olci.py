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

from curation.embedded import netcdf, noise, sphere
from curation.embedded.world import CELLS

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

BANDS = tuple(f"Oa{k:02d}" for k in range(1, 22))
WAVELENGTHS_NM = (
    400, 412.5, 442.5, 490, 510, 560, 620, 665, 673.75, 681.25, 708.75, 753.75, 761.25, 764.375, 767.5, 778.75, 865,
    885, 900, 940, 1020,
)  # fmt: skip
SOLAR = (
    1515, 1709, 1878, 1929, 1927, 1798, 1650, 1530, 1495, 1470, 1405, 1266, 1249, 1243, 1236, 1177, 955, 930, 895, 825,
    705,
)  # fmt: skip
"""The sun's irradiance in each band, mW m-2 nm-1."""
SCALES = (
    0.0139465, 0.0133873, 0.0121481, 0.0115198, 0.0100953, 0.0123538, 0.00879161, 0.00876539, 0.0095103, 0.00773378,
    0.00675523, 0.0071996, 0.00749684, 0.0086512, 0.00526779, 0.00530267, 0.00493004, 0.00549962, 0.00502847,
    0.00326378, 0.00324118,
)  # fmt: skip
"""Radiance of one count of each band, mW m-2 sr-1 nm-1."""
_CLEAR_AIR = {"Oa13": 0.35, "Oa14": 0.6, "Oa15": 0.75, "Oa19": 0.85, "Oa20": 0.4}
"""Transmittance of the air where oxygen or water vapour absorbs."""
NOISE = 0.05
"""Noise of one pixel, mW m-2 sr-1 nm-1."""

FILL = 65535
INT_FILL = -(2**31)

FLAGS = (
    "land", "coastline", "fresh_inland_water", "tidal_region", "bright", "straylight_risk", "invalid", "cosmetic",
    "duplicated", "sun-glint_risk", "dubious", *(f"saturated@{b}" for b in BANDS),
)  # fmt: skip
"""Meanings of the bits of quality_flags, the highest first."""
BIT = {name: np.uint32(1 << (31 - k)) for k, name in enumerate(FLAGS)}

GEOLOCATION, QUALITY = "geo_coordinates", "qualityFlags"
FILES = (*(f"{b}_radiance" for b in BANDS), GEOLOCATION, QUALITY)
"""Names of a granule's files, without their suffix."""

Floats = NDArray[np.float64]

_SEASONS = ("2021-02-08", "2021-04-24", "2021-07-12", "2021-10-09")
_SKIES = ((0.85, 0.1), (0.2,), (0.15, 0.5), (0.0,), (0.35,))
"""Share under cloud of the one or two granules of a season."""

_KNOTS = (400, 490, 560, 620, 665, 681, 709, 754, 865, 1020)
_SPECTRA = {
    "water": (0.055, 0.05, 0.045, 0.025, 0.02, 0.018, 0.014, 0.01, 0.007, 0.004),
    "soil": (0.07, 0.1, 0.13, 0.17, 0.19, 0.195, 0.21, 0.23, 0.27, 0.31),
    "leaf": (0.025, 0.035, 0.085, 0.05, 0.036, 0.045, 0.17, 0.41, 0.45, 0.44),
    "snow": (0.92, 0.93, 0.93, 0.92, 0.91, 0.91, 0.9, 0.88, 0.84, 0.68),
    "cloud": (0.7, 0.71, 0.71, 0.71, 0.71, 0.71, 0.71, 0.71, 0.7, 0.66),
}


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
    return float(np.interp(WAVELENGTHS_NM[BANDS.index(band)], _KNOTS, _SPECTRA[material]))


def _radiance(
    band: str, seen: Ground, sunlight: Floats, cloud: Floats | float = 0.0, glint: Floats | float = 0.0
) -> Floats:
    """Radiance of ground under cloud of some opacity (0 to 1), with `glint` added to its reflectance."""
    water, soil, leaf, snow, white = (_spectrum(m, band) for m in ("water", "soil", "leaf", "snow", "cloud"))
    reflectance = np.where(seen.land, soil + (leaf - soil) * seen.green, water)
    reflectance = np.where(seen.snow, snow, reflectance) + glint
    path = 0.11 * (442.5 / WAVELENGTHS_NM[BANDS.index(band)]) ** 4
    air = _CLEAR_AIR.get(band, 1.0)
    top = (1 - cloud) * (path + air * reflectance) + cloud * white * (0.5 + 0.5 * air)
    out: Floats = SOLAR[BANDS.index(band)] / np.pi * sunlight * top
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
    for n, band in enumerate(BANDS):
        rng = np.random.default_rng(noise.seed_of("olci-noise", granule.id, band))
        radiance = _radiance(band, seen.ground, seen.sunlight, seen.cloud, seen.glint)
        radiance += NOISE * rng.standard_normal((SIZE, SIZE))
        counts = np.clip(np.round(radiance / SCALES[n]), 0, FILL - 1).astype(np.uint16)
        counts[(seen.flags & BIT["invalid"]) > 0] = FILL
        name = f"{band}_radiance"
        about = {
            "ancillary_variables": f"{name}_err",
            "add_offset": np.float32(0),
            "coordinates": "time_stamp altitude latitude longitude",
            "long_name": f"TOA radiance for OLCI acquisition band {band}",
            "scale_factor": np.float32(SCALES[n]),
            "standard_name": "toa_upwelling_spectral_radiance",
            "units": "mW.m-2.sr-1.nm-1",
            "valid_max": np.uint16(FILL - 1),
            "valid_min": np.uint16(0),
        }
        title = f"OLCI Level 1b Product, Radiance Data Set, {band}"
        _file(paths[name], granule, title, {name: (counts, FILL, about)})
    lon, lat = geolocation(granule)
    height = np.where(seen.ground.land, 20 + 100 * seen.ground.green, 0).astype(np.int16)
    _file(
        paths[GEOLOCATION],
        granule,
        "OLCI Level 1b Product, Geo Coordinates Data Set",
        {
            "altitude": (height, -(2**15), _coordinate("altitude", "m", np.int16(-1000), np.int16(9000))),
            "latitude": (lat, INT_FILL, _degrees("latitude", "degrees_north", 90)),
            "longitude": (lon, INT_FILL, _degrees("longitude", "degrees_east", 180)),
        },
    )
    _file(
        paths[QUALITY],
        granule,
        "OLCI Level 1b Product, Quality Flags Data Set",
        {
            "quality_flags": (
                seen.flags,
                None,
                {
                    "coordinates": "time_stamp altitude latitude longitude",
                    "flag_masks": np.array([BIT[f] for f in FLAGS], dtype=np.uint32),
                    "flag_meanings": " ".join(FLAGS),
                    "long_name": "Classification and quality flags",
                    "standard_name": "status_flag",
                },
            )
        },
    )


def _coordinate(name: str, unit: str, least: np.integer[Any], most: np.integer[Any]) -> dict[str, Any]:
    return {
        "long_name": f"DEM corrected {name}",
        "standard_name": name,
        "units": unit,
        "valid_max": most,
        "valid_min": least,
    }


def _degrees(name: str, unit: str, half: int) -> dict[str, Any]:
    least, most = np.int32(-half * 10**6), np.int32(half * 10**6)
    return _coordinate(name, unit, least, most) | {"scale_factor": np.float64(1e-6)}


def _file(
    path: Path, granule: Granule, title: str, held: Mapping[str, tuple[NDArray[Any], Any, dict[str, Any]]]
) -> None:
    with netcdf.create(path) as root:
        netcdf.annotate(
            root,
            {
                "absolute_orbit_number": np.uint32(granule.orbit),
                "ac_subsampling_factor": np.uint16(64),
                "al_subsampling_factor": np.uint16(1),
                "comment": "made by the embedded Earth: it shows no real place",
                "contact": "eosupport@copernicus.esa.int",
                "creation_time": f"{granule.made:%Y-%m-%dT%H:%M:%S}Z",
                "institution": "curation",
                "netCDF_version": "4",
                "product_name": f"{granule.id}.SEN3",
                "resolution": "[ 300 300 ]",
                "source": "IPF-OL-1-EO 06.11",
                "start_time": f"{granule.start:%Y-%m-%dT%H:%M:%S.%f}Z",
                "stop_time": f"{granule.end:%Y-%m-%dT%H:%M:%S.%f}Z",
                "title": title,
            },
        )
        dimensions = [netcdf.dimension(root, name, SIZE) for name in ("rows", "columns")]
        for name, (values, fill, about) in held.items():
            netcdf.variable(root, name, values, dimensions, about, fill=fill, chunks=(45, SIZE))
