"""Sentinel-5P: which level-2 products and files there are, and what each of their pixels holds."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.embedded.sensors import netcdf
from curation.embedded.sensors.orbits import (
    PASSES,
    PERIOD_S,
    ROWS,
    STEP_DEG,
    SWIR,
    UVIS,
    Orbit,
    Pass5,
    pieces,
    swath,
    whole,
)
from curation.embedded.world import noise, sphere, tables
from curation.embedded.world.world import CELLS

FILL = 9.969209968386869e36
"""What stands for a missing float in every product."""

DARK_DEG = 88.0
"""Nothing is retrieved where the sun stands lower than this zenith angle."""

MODES = {"RPRO": ("03", "020400", "Reprocessing"), "OFFL": ("02", "020200", "Offline"), "NRTI": ("02", "020200", "NRT")}
"""Processing mode: its collection number, processor version, and name in the metadata."""
WRONG = {"RPRO": 1.0, "OFFL": 1.25, "NRTI": 1.6}
"""What an orbit's column is multiplied by in a mode that a better one supersedes: mixing them shows."""

Floats = NDArray[np.float64]


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
    unit: str
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
    standard_name: str | None = None
    factor: float | None = None
    """Molecules per square centimetre of one unit, where that makes sense."""

    @property
    def precision(self) -> str:
        """The variable of the column's precision."""
        return f"{self.variable.removesuffix('_bias_corrected')}_precision"


PRODUCTS = tuple(Product(**row | {"field": Field(**row["field"])}) for row in tables.beside(__file__)["products"])

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


@cache
def files() -> tuple[File5, ...]:
    """Every file there is."""
    out = []
    for product in PRODUCTS:
        for acquired in PASSES:
            for mode in acquired.modes:
                out += [File5(product, o, mode) for o in (pieces(acquired) if mode == "NRTI" else [whole(acquired)])]
    return tuple(out)


# ---- what their pixels hold


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
    seconds = (np.arange(orbit.count)[:, None] + 0.5 - orbit.count / 2) * STEP_DEG / 360 * PERIOD_S
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
    if orbit.count == ROWS:  # one of them in the middle of a cell
        cells = orbit.acquired.on.cells
        lon, lat = cells[int(gaps.integers(len(cells)))]
        nearest = np.argmax(sphere.vector(at.lon, at.lat) @ sphere.vector(float(lon), float(lat)))
        lost[np.unravel_index(nearest, shape)] = True
    for row, col in zip(gaps.integers(shape[0], size=24), gaps.integers(SWIR - 6, size=24), strict=True):
        lost[row, col : col + 1 + (row % 5)] = True
    missing = gaps.random((shape[0], UVIS))[:, : shape[1]] < 0.004
    missing[gaps.integers(shape[0], size=2)] = True
    quality[missing] = np.where(np.arange(shape[1]) % 2, 0, 100)[None].repeat(shape[0], 0)[missing]  # not always told
    dark = sun > DARK_DEG
    quality[dark] = 0
    column[missing | dark] = FILL
    precision = netcdf.rounded(sigma.astype(np.float32), 6)
    precision[missing | dark] = FILL
    return Pixels(column, precision, quality, cloud.astype(np.float32), sun.astype(np.float32), lost)
