"""Sentinel-5P: which orbits there are, what each pixel holds, and their level-2 files in the real products' structure.

The swath is TROPOMI's: an inclination of 98.7°, 2,600 km wide, pixels of equal view angle, hence four times as wide at the
edges. Its files have fewer and larger pixels than real ones (14 km along the track and 7 km below the satellite), because
the whole year has to fit on a laptop.

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
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from curation.embedded import netcdf, noise, sphere
from curation.embedded.world import CELLS, TRACKS, Track

COLLECTION = "sentinel-5p-l2-netcdf"

FILL = 9.969209968386869e36
"""What stands for a missing float in every product."""
INT_FILL = -2147483647

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
CHUNK_ROWS = 32
NRTI_S = 300
"""Near-real-time products come in pieces of so many seconds."""

GRID_DEG = 1 / 1024
"""Coordinates are rounded to this (about 100 m), so that files stay small."""

DARK_DEG = 88.0
"""Nothing is retrieved where the sun stands lower than this zenith angle."""

MODES = {"RPRO": ("03", "020400", "Reprocessing"), "OFFL": ("02", "020200", "Offline"), "NRTI": ("02", "020200", "NRT")}
"""Processing mode: its collection number, processor version, and name in the metadata."""
WRONG = {"RPRO": 1.0, "OFFL": 1.25, "NRTI": 1.6}
"""What an orbit's column is multiplied by in a mode that a better one supersedes: mixing them shows."""

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


_RPRO = ("RPRO",)

PASSES = (
    # ---- africa-europe: none in April and November
    Pass5("africa-europe", "2021-01-14"),
    Pass5("africa-europe", "2021-02-09", -1.0, _RPRO),
    Pass5("africa-europe", "2021-02-25", 1.0),
    Pass5("africa-europe", "2021-03-12"),
    Pass5("africa-europe", "2021-05-10", 0.5),
    Pass5("africa-europe", "2021-06-03", -1.5),
    Pass5("africa-europe", "2021-06-13", 0.0, _RPRO),
    Pass5("africa-europe", "2021-06-26", 1.5),
    Pass5("africa-europe", "2021-07-15", 0.0, ("RPRO", "OFFL", "NRTI")),
    Pass5("africa-europe", "2021-08-08", -0.5),
    Pass5("africa-europe", "2021-09-11", 1.0),
    Pass5("africa-europe", "2021-09-22", -1.0),
    Pass5("africa-europe", "2021-10-12"),
    Pass5("africa-europe", "2021-12-09"),
    # ---- americas: none in November
    Pass5("americas", "2021-01-20"),
    Pass5("americas", "2021-02-17", 0.5),
    Pass5("americas", "2021-03-06", -1.0),
    Pass5("americas", "2021-03-23", 1.0, _RPRO),
    Pass5("americas", "2021-04-15"),
    Pass5("americas", "2021-05-12", -0.5, _RPRO),
    Pass5("americas", "2021-06-20"),
    Pass5("americas", "2021-07-09", 1.0),
    Pass5("americas", "2021-07-28", -1.0),
    Pass5("americas", "2021-08-16"),
    Pass5("americas", "2021-09-13", 0.0, ("OFFL", "NRTI")),
    Pass5("americas", "2021-10-05", -1.5),
    Pass5("americas", "2021-10-14"),
    Pass5("americas", "2021-10-30", 1.5),
    Pass5("americas", "2021-12-18"),
    # ---- pacific: none in November; one an hour into June, UTC
    Pass5("pacific", "2021-01-11"),
    Pass5("pacific", "2021-02-12", 0.5),
    Pass5("pacific", "2021-03-15", 0.0, _RPRO),
    Pass5("pacific", "2021-04-10", -1.0),
    Pass5("pacific", "2021-04-27", 1.0),
    Pass5("pacific", "2021-05-18"),
    Pass5("pacific", "2021-06-01"),
    Pass5("pacific", "2021-07-10", -0.5),
    Pass5("pacific", "2021-08-04", 1.0),
    Pass5("pacific", "2021-08-19", -1.0),
    Pass5("pacific", "2021-09-16"),
    Pass5("pacific", "2021-10-21", 0.0, _RPRO),
    Pass5("pacific", "2021-12-07", 0.5),
    Pass5("pacific", "2021-12-22", -0.5),
)


@dataclass(frozen=True, slots=True)
class Field:
    """What a product's column looks like, in its unit."""

    mean: float
    """Of the background at the equator."""
    polar: float
    """Relative change from the equator to the poles."""
    yearly: float
    """Relative swing through the year, opposite in the two hemispheres."""
    plume: float
    """Highest value that a plume adds."""
    sigma: float
    """Noise of one pixel."""


@dataclass(frozen=True, slots=True)
class Product:
    """One kind of level-2 product."""

    name: str
    """As the catalog calls it."""
    code: str
    """Six letters, as file names have it."""
    title: str
    """Title of the item's asset."""
    summary: str
    """Title of the file."""
    variable: str
    """Of the column, in the group PRODUCT."""
    long_name: str
    standard_name: str | None
    unit: str
    factor: float | None
    """Molecules per square centimetre of one unit, where that makes sense."""
    pixels: int
    """Across the swath."""
    levels: dict[str, int]
    """Further dimensions of the group PRODUCT."""
    min_quality: int
    """Least qa_value, in hundredths, at which the column is the truth and noise."""
    institution: str
    doi: str
    extras: dict[str, Any]
    """What the item has as `s5p:<name>`."""
    field: Field

    @property
    def precision(self) -> str:
        """The variable of the column's precision."""
        return f"{self.variable.removesuffix('_bias_corrected')}_precision"


_UVIS, _SWIR = 225, 215
_CRB = {"geolocation_grid_from_band": 3, "cloud_mode": "crb"}
_PER_MOL = 6.022141e19

PRODUCTS = (
    Product(
        "no2", "NO2___", "Nitrogen Dioxide Total Column", "TROPOMI/S5P NO2 1-Orbit L2 Swath 7x3.5km",
        "nitrogendioxide_tropospheric_column", "Tropospheric vertical column of nitrogen dioxide",
        "troposphere_mole_content_of_nitrogen_dioxide", "mol m-2", _PER_MOL, _UVIS,
        {"polynomial_exponents": 6, "intensity_offset_polynomial_exponents": 1, "layer": 34, "vertices": 2}, 75,
        "KNMI", "10.5270/S5P-s4ljg54",
        {
            "geolocation_grid_from_band": 4,
            "input_band": ["L1B_RA_BD4", "L2__FRESCO", "L2__AER_AI", "L2__CLOUD_", "L2__O22CLD"],
            "irradiance_accompanied": "L1B_IR_UVN",
        },
        Field(1.6e-5, -0.5, 0.25, 1.8e-4, 9e-6),
    ),
    Product(
        "co", "CO____", "Carbon Monoxide Total Column", "TROPOMI/S5P CO Column 1-Orbit L2 Swath 7x7km",
        "carbonmonoxide_total_column", "Vertically integrated CO column",
        "atmosphere_mole_content_of_carbon_monoxide", "mol m-2", _PER_MOL, _SWIR, {"layer": 50}, 50,
        "KNMI/SRON", "10.5270/S5P-1hkp7rp",
        {
            "geolocation_grid_from_band": 7,
            "input_band": ["L1B_RA_BD7", "L1B_RA_BD8"],
            "irradiance_accompanied": "L1B_IR_SIR",
        },
        Field(0.034, -0.25, 0.12, 0.03, 1.2e-3),
    ),
    Product(
        "so2", "SO2___", "Sulphur Dioxide Total Column", "TROPOMI/S5P Sulphur Dioxide SO2",
        "sulfurdioxide_total_vertical_column", "total vertical column of sulfur dioxide for the polluted scenario",
        "atmosphere_mole_content_of_sulfur_dioxide", "mol m-2", _PER_MOL, _UVIS, {"layer": 34}, 50,
        "DLR-ATP", "10.5270/S5P-yr8kdpp", _CRB, Field(4e-5, 0.2, 0.3, 4e-3, 5e-4),
    ),
    Product(
        "o3", "O3____", "Ozone Total Column", "TROPOMI/S5P Ozone Total Column",
        "ozone_total_vertical_column", "total ozone column",
        "atmosphere_mole_content_of_ozone", "mol m-2", _PER_MOL, _UVIS, {"layer": 14, "level": 15}, 50,
        "DLR-ATP", "10.5270/S5P-fqouvyz", _CRB, Field(0.118, 0.3, 0.12, 0.012, 1e-3),
    ),
    Product(
        "ch4", "CH4___", "Methane Total Column", "TROPOMI/S5P Methane 1-Orbit L2 Swath 7x7km",
        "methane_mixing_ratio_bias_corrected", "corrected column-averaged dry-air mole fraction of methane",
        None, "1e-9", None, _SWIR, {"layer": 12, "level": 13}, 50, "KNMI/SRON", "10.5270/S5P-3p6lnwd",
        {
            "geolocation_grid_from_band": 7,
            "input_band": ["L1B_RA_BD7", "L1B_RA_BD8", "L1B_RA_BD6", "L2__CO____", "L2__FRESCO", "L2__NP_BD6", "L2__NP_BD7"],
            "irradiance_accompanied": ["L1B_IR_SIR", "L1B_IR_UVN"],
        },
        Field(1860.0, -0.02, 0.01, 90.0, 12.0),
    ),
    Product(
        "hcho", "HCHO__", "Formaldehyde Total Column", "TROPOMI/S5P Tropospheric Formaldehyde HCHO",
        "formaldehyde_tropospheric_vertical_column", "vertical column of formaldehyde",
        "troposphere_mole_content_of_formaldehyde", "mol m-2", _PER_MOL, _UVIS, {"layer": 34}, 50,
        "DLR-ATP", "10.5270/S5P-tjlxfd2", _CRB, Field(9e-5, -0.6, 0.3, 3e-4, 8e-5),
    ),
    Product(
        "aer-ai", "AER_AI", "Ultraviolet Aerosol Index", "TROPOMI/S5P Aerosol Index 1-Orbit L2 Swath 7x3.5km",
        "aerosol_index_354_388", "Aerosol index from 388 and 354 nm",
        None, "1", None, _UVIS, {}, 50, "KNMI", "10.5270/S5P-0wafvaf",
        {"geolocation_grid_from_band": 3, "input_band": "L1B_RA_BD3", "irradiance_accompanied": "L1B_IR_UVN"},
        Field(-0.9, 0.3, 0.2, 4.0, 0.15),
    ),
)  # fmt: skip

PLUMES = tuple(k for k in range(len(CELLS)) if k % 4 != 3)
"""Indices of the cells that have a plume: three of four."""
PLUME_KM = 6.5
"""Standard deviation of a plume."""
PLUME_DRIFT_DEG = 0.065
"""It goes once around the cell's node in a year, at this distance."""


def truth(product: str, lon: Floats | float, lat: Floats | float, time: dt.date) -> Floats:
    """What a product's column is at longitudes and latitudes (degrees) in the month of `time`, in the product's unit.

    It is the same all month long, so that a month's mean can be compared with it whatever orbits the month has.
    """
    field = by_name(product).field
    lam, phi = np.broadcast_arrays(np.asarray(lon, dtype=float), np.asarray(lat, dtype=float))
    turn = 2 * np.pi * (time.month - 1) / 12
    sine, cosine = np.sin(np.radians(phi)), np.cos(np.radians(phi))
    out: Floats = field.mean * (
        1 + field.polar * sine**2 + field.yearly * sine * np.cos(turn) + 0.06 * cosine * np.sin(3 * np.radians(lam))
    )
    for k in PLUMES:
        near = np.abs(phi - CELLS[k][1]) < 1
        if near.any():
            east, north = sphere.offset_km(lam[near], phi[near], plume_centre(k, time))
            strength = field.plume * (0.7 + 0.3 * np.cos(turn - k))
            out[near] += strength * np.exp(-(east**2 + north**2) / (2 * PLUME_KM**2))
    return out


def plume_centre(cell: int, time: dt.date) -> tuple[float, float]:
    """Longitude and latitude of the plume around a cell (an index of `CELLS`) in that month."""
    turn = 2 * np.pi * (time.month - 1) / 12 + cell
    lon, lat = CELLS[cell]
    return lon + PLUME_DRIFT_DEG * float(np.cos(turn)), lat + PLUME_DRIFT_DEG * float(np.sin(turn))


def by_name(product: str) -> Product:
    """The product of that name."""
    return next(p for p in PRODUCTS if p.name == product)


# ---- which files there are


@dataclass(frozen=True, slots=True)
class Orbit:
    """A product file's share of an orbit."""

    acquired: Pass5
    first: int
    """Its first scanline."""
    count: int
    """Its number of scanlines."""

    @property
    def crossing(self) -> dt.datetime:
        """When it crosses the equator: 13:30, local time."""
        day = dt.datetime.fromisoformat(self.acquired.date).replace(tzinfo=dt.UTC)
        return day + dt.timedelta(hours=(13.5 - _crossing(self.acquired) / 15) % 24)

    def time(self, row: float) -> dt.datetime:
        """When a scanline is seen; a scanline's middle is at .5."""
        angle = FROM_DEG + (self.first + row) * _step_deg()
        return self.crossing + dt.timedelta(milliseconds=round(angle / 360 * PERIOD_S * 1000))

    @property
    def number(self) -> int:
        """As real orbits were counted in 2021."""
        began = dt.datetime(2020, 3, 3, 1, 35, 47, tzinfo=dt.UTC)
        return 12367 + int((self.crossing - began).total_seconds() // PERIOD_S)


@dataclass(frozen=True, slots=True)
class File5:
    """One file."""

    product: Product
    orbit: Orbit
    mode: str

    @property
    def made(self) -> dt.datetime:
        """When it was processed."""
        later = {"NRTI": dt.timedelta(hours=3), "OFFL": dt.timedelta(days=2), "RPRO": dt.timedelta(days=420)}
        return self.orbit.time(self.orbit.count) + later[self.mode]

    @property
    def id(self) -> str:
        """Its product name."""
        collection, processor, _ = MODES[self.mode]
        # An orbit's name has the whole revolution, of which the sunlit part is only the middle.
        start, stop = self.orbit.time(0), self.orbit.time(self.orbit.count)
        if self.mode != "NRTI":
            dark = dt.timedelta(seconds=PERIOD_S) - (stop - start)
            start, stop = start - dark / 2, stop + dark / 2
        stamps = "_".join(f"{t:%Y%m%dT%H%M%S}" for t in (start, stop))
        end = f"{self.orbit.number:05d}_{collection}_{processor}_{self.made:%Y%m%dT%H%M%S}"
        return f"S5P_{self.mode}_L2__{self.product.code}_{stamps}_{end}"

    @property
    def wrong(self) -> float:
        """What its column is multiplied by: 1, unless there is a better processing of the same orbit."""
        return 1.0 if self.mode == self.orbit.acquired.modes[0] else WRONG[self.mode]


def _track(acquired: Pass5) -> Track:
    return next(t for t in TRACKS if t.name == acquired.track)


def _crossing(acquired: Pass5) -> float:
    """Degrees east, where it crosses the equator northwards."""
    return _track(acquired).crossing_lon + acquired.shift


def _rows() -> int:
    return round((TO_DEG - FROM_DEG) * sphere.KM_PER_DEG / STEP_KM)


def _step_deg() -> float:
    return (TO_DEG - FROM_DEG) / _rows()


def _pieces(acquired: Pass5) -> list[Orbit]:
    """Three near-real-time pieces, one after the other, from 36° along the orbit on."""
    count = round(NRTI_S / PERIOD_S * 360 / _step_deg())
    first = round((36 - FROM_DEG) / _step_deg())
    return [Orbit(acquired, first + k * count, count) for k in range(3)]


@cache
def files() -> tuple[File5, ...]:
    """Every file there is."""
    out = []
    for product in PRODUCTS:
        for acquired in PASSES:
            for mode in acquired.modes:
                whole = [Orbit(acquired, 0, _rows())]
                out += [File5(product, o, mode) for o in (_pieces(acquired) if mode == "NRTI" else whole)]
    return tuple(out)


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
    at, right = _satellite(FROM_DEG + rows * _step_deg(), _crossing(acquired))
    arc, _ = _across(pixels, columns)
    lon, lat = sphere.lonlat(sphere.moved(at[:, None], right[:, None], arc[None, :]))
    return sphere.wrapped(np.round(lon / GRID_DEG) * GRID_DEG), np.round(lat / GRID_DEG) * GRID_DEG


@lru_cache(maxsize=2)
def swath(orbit: Orbit, pixels: int) -> Swath:
    """Where the pixels of an orbit's part are."""
    rows = orbit.first + np.arange(orbit.count + 1.0)
    columns = np.arange(pixels + 1.0)
    lon, lat = _placed(rows[:-1] + 0.5, columns[:-1] + 0.5, orbit.acquired, pixels)
    at, _ = _satellite(FROM_DEG + (rows[:-1] + 0.5) * _step_deg(), _crossing(orbit.acquired))
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
    columns = np.linspace(0, _UVIS, 16)
    lon, lat = _placed(rows, columns, orbit.acquired, _UVIS)

    def ring(x: Floats) -> Floats:
        return np.concatenate([x[0, :-1], x[:-1, -1], x[-1, :0:-1], x[:0:-1, 0]])

    return sphere.outline(ring(lon), ring(lat))


# ---- what the pixels hold


@dataclass(frozen=True, slots=True)
class Pixels:
    """What a file holds besides its geolocation; arrays of (scanline, ground_pixel)."""

    column: NDArray[np.float32]
    """In the product's unit, `FILL` where there is none."""
    precision: NDArray[np.float32]
    quality: NDArray[np.uint8]
    """qa_value in hundredths."""
    cloud: NDArray[np.float32]
    """Cloud fraction, 0 to 1."""
    sun: NDArray[np.float32]
    """Zenith angle of the sun, degrees."""
    lost: NDArray[np.bool_]
    """Pixels whose place is not known."""


def cloud_fraction(acquired: Pass5, lon: Floats, lat: Floats) -> Floats:
    """Cloud fraction (0 to 1) that an orbit sees at longitudes and latitudes: the same for all its products."""
    rng = np.random.default_rng(noise.seed_of("s5p-cloud", acquired.track, acquired.date))
    field = sphere.waves(sphere.vector(lon, lat), (1700, 600, 200, 70), 0.6, rng)
    return np.clip(0.9 * (field - 0.6), 0, 1)


_QUALITY = ((0.02, 100), (0.1, 93), (0.25, 82), (0.45, 74), (0.65, 50), (0.85, 40), (1.01, 7))
"""Below that cloud fraction, that qa_value in hundredths."""


def pixels(file: File5) -> Pixels:
    """What the file holds."""
    orbit, product = file.orbit, file.product
    at = swath(orbit, product.pixels)
    shape = at.lon.shape
    middle = orbit.time(orbit.count / 2)
    seconds = (np.arange(orbit.count)[:, None] + 0.5 - orbit.count / 2) * _step_deg() / 360 * PERIOD_S
    sun = sphere.sun_zenith(at.lon, at.lat, middle.timetuple().tm_yday, sphere.hours(middle) + seconds / 3600)
    cloud = cloud_fraction(orbit.acquired, at.lon, at.lat)
    limits, values = zip(*_QUALITY, strict=True)
    quality = np.array(values, dtype=np.uint8)[np.searchsorted(limits, cloud, side="right")]
    quality[sun > 84.5] //= 2

    value = truth(product.name, at.lon, at.lat, middle) * file.wrong
    # Clouds hide what lies below them: who does not look at the quality gets too little.
    value *= np.where(quality < product.min_quality, 0.4, 1.0)
    rng = np.random.default_rng(noise.seed_of("s5p", file.id))
    sigma = product.field.sigma * (1 + cloud)
    value += sigma * rng.standard_normal(shape)
    column = netcdf.rounded(value.astype(np.float32), 12)

    # What is missing follows from the orbit, not from the product: places, whole scanlines, single retrievals.
    gaps = np.random.default_rng(noise.seed_of("s5p-gaps", orbit.acquired.track, orbit.acquired.date, orbit.first))
    lost = np.zeros(shape, dtype=bool)
    if orbit.count == _rows():  # one of them in the middle of a cell
        cells = _track(orbit.acquired).cells
        lon, lat = cells[int(gaps.integers(len(cells)))]
        nearest = np.argmax(sphere.vector(at.lon, at.lat) @ sphere.vector(float(lon), float(lat)))
        lost[np.unravel_index(nearest, shape)] = True
    for row, col in zip(gaps.integers(shape[0], size=24), gaps.integers(_SWIR - 6, size=24), strict=True):
        lost[row, col : col + 1 + (row % 5)] = True
    missing = gaps.random((shape[0], _UVIS))[:, : shape[1]] < 0.004
    missing[gaps.integers(shape[0], size=2)] = True
    quality[missing] = np.where(np.arange(shape[1]) % 2, 0, 100)[None].repeat(shape[0], 0)[missing]  # not always told
    dark = sun > DARK_DEG
    quality[dark] = 0
    column[missing | dark] = FILL
    precision = netcdf.rounded(sigma.astype(np.float32), 6)
    precision[missing | dark] = FILL
    return Pixels(column, precision, quality, cloud.astype(np.float32), sun.astype(np.float32), lost)


# ---- the files


def write(path: Path, file: File5) -> None:
    """Writes the file in the structure of the real products."""
    with netcdf.create(path) as root:
        netcdf.annotate(root, _globals(file))
        _product(netcdf.group(root, "PRODUCT"), file)
        _metadata(netcdf.group(root, "METADATA"), file)


def _stamp(time: dt.datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}Z"


def _globals(file: File5) -> dict[str, Any]:
    orbit, product = file.orbit, file.product
    start, end = orbit.time(0), orbit.time(orbit.count)
    midnight = _midnight(orbit)
    days = (midnight - dt.datetime(1950, 1, 1, tzinfo=dt.UTC)).days
    at = swath(orbit, product.pixels)
    _, processor, _ = MODES[file.mode]
    version = ".".join(str(int(processor[k : k + 2])) for k in (0, 2, 4))
    return {
        "Conventions": "CF-1.7",
        "institution": product.institution,
        "source": "Sentinel 5 precursor, TROPOMI, space-borne remote sensing, L2",
        "history": f"{file.made:%Y-%m-%d %H:%M:%S} made by the embedded Earth: it shows no real place",
        "summary": product.summary,
        "tracking_id": str(uuid.uuid5(uuid.NAMESPACE_URL, file.id)),
        "id": file.id,
        "time_reference": _stamp(midnight),
        "time_reference_days_since_1950": np.int32(days),
        "time_reference_julian_day": np.float64(days + 2433282.5),
        "time_reference_seconds_since_1970": np.int64(midnight.timestamp()),
        "time_coverage_start": _stamp(start),
        "time_coverage_end": _stamp(end),
        "time_coverage_duration": f"PT{(end - start).total_seconds():.3f}S",
        "time_coverage_resolution": f"PT{_step_deg() / 360 * PERIOD_S:.3f}S",
        "orbit": np.int32(orbit.number),
        "references": "http://www.tropomi.eu/data-products",
        "processor_version": version,
        "keywords_vocabulary": "AGU index terms, http://publications.agu.org/author-resource-center/index-terms/",
        "keywords": "0365 Troposphere, Composition and Chemistry",
        "standard_name_vocabulary": "NetCDF Climate and Forecast Metadata Conventions Standard Name Table",
        "naming_authority": "curation",
        "cdm_data_type": "Swath",
        "date_created": _stamp(file.made),
        "creator_name": "curation",
        "creator_url": "http://www.tropomi.eu",
        "creator_email": "EOSupport@Copernicus.esa.int",
        "project": "Sentinel 5 precursor/TROPOMI",
        "geospatial_lat_min": np.float32(at.lat.min()),
        "geospatial_lat_max": np.float32(at.lat.max()),
        "geospatial_lon_min": np.float32(at.lon[0, 0]),
        "geospatial_lon_max": np.float32(at.lon[0, -1]),
        "license": "No conditions apply",
        "platform": "S5P",
        "sensor": "TROPOMI",
        "spatial_resolution": f"{STEP_KM:g}x7km2",
        "geolocation_grid_from_band": np.int32(product.extras["geolocation_grid_from_band"]),
        "identifier_product_doi": product.doi,
        "identifier_product_doi_authority": "http://dx.doi.org/",
        "algorithm_version": version,
        "title": product.summary,
        "product_version": version,
        "processing_status": "Nominal",
        "Status_MET_2D": "Nominal",
    }


def _midnight(orbit: Orbit) -> dt.datetime:
    return orbit.time(0).replace(hour=0, minute=0, second=0, microsecond=0)


def _product(root: h5py.Group, file: File5) -> None:
    orbit, product = file.orbit, file.product
    at, held = swath(orbit, product.pixels), pixels(file)
    midnight = _midnight(orbit)

    def index(name: str, size: int, long_name: str) -> h5py.Dataset:
        about = {"units": "1", "long_name": long_name, "_FillValue": np.int32(INT_FILL)}
        return netcdf.dimension(root, name, size, np.arange(size, dtype=np.int32), about)

    scanline = index("scanline", orbit.count, "along-track dimension index")
    ground_pixel = index("ground_pixel", product.pixels, "across-track dimension index")
    seconds = int((midnight - dt.datetime(2010, 1, 1, tzinfo=dt.UTC)).total_seconds())
    time = netcdf.dimension(
        root,
        "time",
        1,
        np.array([seconds], dtype=np.int32),
        {
            "units": "seconds since 2010-01-01 00:00:00",
            "standard_name": "time",
            "long_name": "reference time for the measurements",
            "_FillValue": np.int32(INT_FILL),
        },
    )
    corner = index("corner", 4, "pixel corner index")
    for name, size in product.levels.items():
        netcdf.dimension(root, name, size)

    line, plane, quad = (time, scanline), (time, scanline, ground_pixel), (time, scanline, ground_pixel, corner)
    rows = min(CHUNK_ROWS, orbit.count)

    def lay(to: h5py.Group, name: str, values: NDArray[Any], fill: float | None = FILL, **about: Any) -> None:
        dimensions = {1: line, 2: plane, 3: quad}[values.ndim]
        chunks = (1, rows, *values.shape[1:]) if values.ndim > 1 else (1, *values.shape)
        netcdf.variable(to, name, values[None], dimensions, about, fill=fill, chunks=chunks)

    def placed(values: Floats) -> NDArray[np.float32]:
        out = values.astype(np.float32)
        out[held.lost] = FILL
        return out

    geolocations = "/PRODUCT/SUPPORT_DATA/GEOLOCATIONS"
    for name, values, half in (("latitude", at.lat, 90), ("longitude", at.lon, 180)):
        lay(
            root,
            name,
            placed(values),
            long_name=f"pixel center {name}",
            units="degrees_north" if half == 90 else "degrees_east",
            standard_name=name,
            valid_min=np.float32(-half),
            valid_max=np.float32(half),
            bounds=f"{geolocations}/{name}_bounds",
        )
    lay(
        root,
        "qa_value",
        held.quality,
        255,
        units="1",
        scale_factor=np.float32(0.01),
        add_offset=np.float32(0),
        valid_min=np.uint8(0),
        valid_max=np.uint8(100),
        long_name="data quality value",
        comment="A continuous quality descriptor, varying between 0 (no data) and 1 (full quality data). "
        f"Recommend to ignore data with qa_value < {product.min_quality / 100:g}",
        coordinates="longitude latitude",
    )
    standard: dict[str, Any] = {"standard_name": product.standard_name} if product.standard_name else {}
    factor = (
        {"multiplication_factor_to_convert_to_molecules_percm2": np.float32(product.factor)} if product.factor else {}
    )
    column = {
        "units": product.unit,
        **standard,
        "long_name": product.long_name,
        "coordinates": "longitude latitude",
        "ancillary_variables": product.precision,
        **factor,
    }
    lay(root, product.variable, held.column, **column)
    if standard:
        standard["standard_name"] += " standard_error"
    lay(
        root,
        product.precision,
        held.precision,
        **{
            "units": product.unit,
            **standard,
            "long_name": f"Precision of the {product.long_name[0].lower()}{product.long_name[1:]}",
            "coordinates": "longitude latitude",
            **factor,
        },
    )
    milliseconds = [round((orbit.time(k) - midnight).total_seconds() * 1000) for k in range(orbit.count)]
    delta = np.array(milliseconds, dtype=np.int32)
    # The two institutes that make the products disagree on whether it is a scanline's or a pixel's.
    lay(
        root,
        "delta_time",
        delta[:, None].repeat(product.pixels, 1) if product.institution == "DLR-ATP" else delta,
        INT_FILL,
        long_name="offset of start time of measurement relative to time_reference",
        units=f"milliseconds since {midnight:%Y-%m-%d %H:%M:%S}",
    )
    stamps = [f"{orbit.time(k):%Y-%m-%dT%H:%M:%S.%f}Z" for k in range(orbit.count)]
    netcdf.texts(root, "time_utc", stamps, line)
    _support(root, file, at, held, lay, placed)


def _support(
    root: h5py.Group,
    file: File5,
    at: Swath,
    held: Pixels,
    lay: Callable[..., None],
    placed: Callable[[Floats], NDArray[np.float32]],
) -> None:
    geolocations = netcdf.group(root, "SUPPORT_DATA/GEOLOCATIONS")
    lay(geolocations, "satellite_latitude", at.below_lat.astype(np.float32), long_name="sub satellite latitude",
        units="degrees_north")  # fmt: skip
    lay(geolocations, "satellite_longitude", at.below_lon.astype(np.float32), long_name="satellite_longitude",
        units="degrees_east")  # fmt: skip
    lay(geolocations, "satellite_altitude", np.full(at.below_lat.shape, ALTITUDE_M, np.float32),
        long_name="satellite altitude", units="m")  # fmt: skip
    phase = (FROM_DEG + (file.orbit.first + np.arange(file.orbit.count) + 0.5) * _step_deg()) / 360 % 1
    lay(geolocations, "satellite_orbit_phase", phase.astype(np.float32), units="1",
        long_name="fractional satellite orbit phase")  # fmt: skip
    # Whole degrees: nobody needs more, and it packs to nothing.
    for name, angle in (("solar", np.round(held.sun)), ("viewing", np.round(np.broadcast_to(at.view, at.lon.shape)))):
        lay(geolocations, f"{name}_zenith_angle", angle.astype(np.float32), long_name=f"{name} zenith angle",
            standard_name="solar_zenith_angle" if name == "solar" else "platform_zenith_angle", units="degree",
            valid_min=np.float32(0), valid_max=np.float32(180), coordinates="longitude latitude")  # fmt: skip
    unit: dict[str, dict[str, str]] = {"latitude": {}, "longitude": {}}
    if file.product.institution == "DLR-ATP":
        unit = {"latitude": {"units": "degrees_north"}, "longitude": {"units": "degrees_east"}}
    lay(geolocations, "latitude_bounds", placed(at.lat_bounds), **unit["latitude"])
    lay(geolocations, "longitude_bounds", placed(at.lon_bounds), **unit["longitude"])
    lay(geolocations, "geolocation_flags", held.lost.astype(np.uint8) * np.uint8(64), 255, units="1",
        long_name="geolocation flags", coordinates="longitude latitude")  # fmt: skip

    results = netcdf.group(root, "SUPPORT_DATA/DETAILED_RESULTS")
    # As the products have it: the lowest byte tells why there is no value.
    why = np.where(held.column == np.float32(FILL), np.where(held.sun > DARK_DEG, 6, 91), 0).astype(np.uint32)
    lay(results, "processing_quality_flags", why, 0xFFFFFFFF, long_name="Processing quality flags",
        coordinates="longitude latitude")  # fmt: skip
    inputs = netcdf.group(root, "SUPPORT_DATA/INPUT_DATA")
    altitude = np.zeros(at.lon.shape, dtype=np.float32)
    lay(inputs, "surface_altitude", altitude, units="m", standard_name="surface_altitude",
        long_name="surface altitude", coordinates="longitude latitude")  # fmt: skip


def _metadata(root: h5py.Group, file: File5) -> None:
    """The parts of the metadata that say which file this is, in the groups that real files have them in."""
    orbit, product = file.orbit, file.product
    start, end = orbit.time(0), orbit.time(orbit.count)
    _, _, mode = MODES[file.mode]
    version = _globals(file)["processor_version"]
    kind = f"L2__{product.code}"
    tree: dict[str, dict[str, Any]] = {
        "EOP_METADATA": {"gml:id": f"{file.id}.ID", "objectType": "atm:EarthObservation"},
        "EOP_METADATA/eop:metaDataProperty": {
            "objectType": "eop:EarthObservationMetaData",
            "eop:acquisitionType": "NOMINAL",
            "eop:identifier": file.id,
            "eop:doi": product.doi,
            "eop:parentIdentifier": f"urn:ogc:def:EOP:ESA:SENTINEL.S5P_TROP_{kind}",
            "eop:productType": f"S5P_{file.mode}_{product.code}",
            "eop:status": "ACQUIRED",
            "eop:productQualityStatus": "NOMINAL",
            "eop:productQualityDegradationTag": "NOT APPLICABLE",
        },
        "EOP_METADATA/eop:metaDataProperty/eop:processing": {
            "objectType": "eop:ProcessingInformation",
            "eop:processingCenter": "curation",
            "eop:processingDate": f"{file.made:%Y-%m-%d}",
            "eop:processingLevel": "L2",
            "eop:processorName": "curation.embedded",
            "eop:processorVersion": version,
            "eop:nativeProductFormat": "netCDF-4",
            "eop:processingMode": file.mode,
        },
        "EOP_METADATA/om:featureOfInterest": {"objectType": "eop:FootPrint", "gml:id": f"{file.id}.FP"},
        "EOP_METADATA/om:observedProperty": {"nilReason": "inapplicable"},
        "EOP_METADATA/om:phenomenonTime": {
            "gml:beginPosition": _stamp(start),
            "gml:endPosition": _stamp(end),
            "objectType": "gml:TimePeriod",
        },
        "EOP_METADATA/om:procedure": {"gml:id": f"{file.id}.EOE", "objectType": "eop:EarthObservationEquipment"},
        "EOP_METADATA/om:procedure/eop:acquisitionParameters": {
            "eop:orbitNumber": np.int32(orbit.number),
            "objectType": "eop:Acquisition",
        },
        "EOP_METADATA/om:procedure/eop:instrument": {"eop:shortName": "TROPOMI", "objectType": "eop:Instrument"},
        "EOP_METADATA/om:procedure/eop:platform": {"eop:shortName": "Sentinel-5p", "objectType": "eop:Platform"},
        "EOP_METADATA/om:procedure/eop:sensor": {"eop:sensorType": "ATMOSPHERIC", "objectType": "eop:Sensor"},
        "ESA_METADATA/earth_explorer_header": {"objectType": "Earth_Explorer_Header"},
        "ESA_METADATA/earth_explorer_header/fixed_header": {
            "objectType": "Fixed_Header",
            "File_Name": file.id,
            "Mission": "S5P",
            "File_Class": file.mode,
            "File_Type": kind,
            "File_Version": np.int32(1),
        },
        "GRANULE_DESCRIPTION": {
            "GranuleStart": _stamp(start),
            "GranuleEnd": _stamp(end),
            "InstrumentName": "TROPOMI",
            "MissionName": "Sentinel-5 precursor",
            "MissionShortName": "S5P",
            "ProcessLevel": "2",
            "ProcessingCenter": "curation",
            "ProcessingNode": "embedded",
            "ProcessorVersion": version,
            "ProductFormatVersion": np.int32(10100),
            "ProcessingMode": mode,
            "ProductShortName": kind,
            "LongitudeOfDaysideNadirEquatorCrossing": np.float32(_crossing(orbit.acquired)),
        },
        "ISO_METADATA": {
            "gmd:dateStamp": f"{file.made:%Y-%m-%d}",
            "gmd:fileIdentifier": f"urn:ogc:def:EOP:ESA:SENTINEL.S5P_TROP_{kind}",
            "gmd:hierarchyLevelName": "EO Product Collection",
            "objectType": "gmi:MI_Metadata",
        },
        "QA_STATISTICS": {"number_of_groundpixels": np.int32(orbit.count * product.pixels)},
    }
    for path, attributes in tree.items():
        netcdf.group(root, path, attributes)
