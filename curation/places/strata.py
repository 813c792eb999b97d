"""Classes of a map by which a draw is balanced: what each point is of, and in which order classes take turns."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio.errors import RasterioError

from curation.errors import ConfigError
from curation.errors.causes import one_line
from curation.errors.words import did_you_mean
from curation.places.domains import climate
from curation.places.land import is_land
from curation.places.regions import Region
from curation.recipe.places import BalanceSpec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

POINTS, GLOBE_KM2 = 2**18, 510_065_600.0
"""How many points tell how much land there is of a class on a region, and the Earth's surface: each is of 1,946 km²."""

GOLDEN = (1 + 5**0.5) / 2

MOST_PX = 2**30
"""Of a raster, which is held whole: a global one of 30 arc seconds has 0.9 · 2³⁰."""


@dataclass(frozen=True, slots=True)
class Strata:
    """What a draw is balanced by."""

    codes: NDArray[np.integer]
    """(y, x)."""
    to_pixel: Affine
    """From coordinates of its CRS to column and row."""
    crs: CRS
    weights: Mapping[int, int]
    """Class → its part of a round, ascending."""
    where: str
    """What errors begin with."""
    called: tuple[str, ...] = ()
    """Names of classes 1, 2 … of a map whose classes have them."""

    def of(self, lon: Floats, lat: Floats) -> Ints:
        """The class of each point in degrees, -1 of one that is wanted of none: in no class of `weights`, or beyond it."""
        x, y = Transformer.from_crs(4326, self.crs, always_xy=True).transform(lon, lat)
        a, b, c, d, e, f = self.to_pixel[:6]
        found = np.full(len(lon), -1, np.int64)
        for turn in (-360, 360, 0) if self.crs.is_geographic else (0,):  # a raster of degrees may be of 0 to 360
            with np.errstate(invalid="ignore"):  # what has no place in the CRS is infinite there
                column, row = a * (x + turn) + b * y + c, d * (x + turn) + e * y + f
                inside = (column >= 0) & (row >= 0) & (column < self.codes.shape[1]) & (row < self.codes.shape[0])
            found[inside] = self.codes[row[inside].astype(np.int64), column[inside].astype(np.int64)]
        found[~np.isin(found, [*self.weights])] = -1
        return found

    @property
    def names(self) -> Mapping[int, str]:
        """Class → how a person knows it."""
        return {code: self.called[code - 1] if self.called else f"class {code}" for code in self.weights}

    def labels(self, lon: Floats, lat: Floats) -> pa.Array:
        """The class of each point as a column has it: its name, empty of none, or the number of one without, -1 of none."""
        found = self.of(lon, lat)
        if not self.called:
            return pa.array(found, pa.int64())
        return pa.array([self.called[code - 1] if code > 0 else "" for code in found.tolist()], pa.string())


@dataclass(frozen=True, slots=True)
class OnRegions:
    """Classes, each on each of some regions: the same questions are asked of it as of `Strata`."""

    strata: Strata | None
    """None: regions alone."""
    regions: tuple[Region, ...]
    """A place is of the first that holds it."""
    weights: Mapping[int, int]
    """`class × regions + region`, by their numbers, → its part of a round, ascending."""
    where: str

    def of(self, lon: Floats, lat: Floats) -> Ints:
        """The class and region of each point as one number, -1 of one that is wanted of none."""
        found = _numbered(self.strata, self.regions, lon, lat)
        found[~np.isin(found, [*self.weights])] = -1
        return found

    @property
    def names(self) -> Mapping[int, str]:
        """How a person knows each."""
        of_class = self.strata.names if self.strata else {0: "places"}
        return {
            c: f"{of_class[c // len(self.regions)]} on {self.regions[c % len(self.regions)].name}" for c in self.weights
        }


Balance = Strata | OnRegions
"""What a draw is balanced by."""


def turns(weights: Mapping[int, int], count: int) -> Ints:
    """The class of each of so many places: at each the one that is furthest behind its part; of equals the least code.

    So a shorter draw is the beginning of a longer one, and each beginning is as balanced as whole numbers let it be.
    """
    codes, parts = np.array([*weights]), np.array([*weights.values()])
    total, taken, period = int(parts.sum()), np.zeros(len(parts), np.int64), []
    for k in range(min(total, count)):
        turn = int(np.argmax(parts * (k + 1) - taken * total))
        taken[turn] += 1
        period.append(codes[turn])
    return np.resize(np.array(period, np.int64), count)


def on_regions(strata: Strata | None, regions: Sequence[Region], least_km2: float, where: str) -> OnRegions:
    """Each class on each region that has so much land of it, by points spread evenly over the globe.

    Raises:
        ConfigError: none has.
    """
    found = _numbered(strata, regions, *_land_points())
    codes, counts = np.unique(found[found >= 0], return_counts=True)
    enough = counts * (GLOBE_KM2 / POINTS) >= least_km2
    parts = strata.weights if strata else {0: 1}
    weights = {int(c): parts[int(c) // len(regions)] for c in codes[enough]}
    if not weights:
        raise ConfigError(
            f"{where}: no region has {least_km2:,g} km² of land of any class; say a smaller least_km2, or other regions"
        )
    return OnRegions(strata, tuple(regions), weights, where)


def _numbered(strata: Strata | None, regions: Sequence[Region], lon: Floats, lat: Floats) -> Ints:
    """`class × regions + region` of each point; -1 of one that is of no class that is wanted, or in no region."""
    its = np.zeros(len(lon), np.int64) if strata is None else strata.of(lon, lat)
    region = np.full(len(lon), -1, np.int64)
    for number, one in enumerate(regions):
        left = np.flatnonzero(region < 0)
        region[left[one.contains(lon[left], lat[left])]] = number
    return np.where((its < 0) | (region < 0), -1, its * len(regions) + region)


@functools.cache
def _land_points() -> tuple[Floats, Floats]:
    """Longitudes and latitudes of the land among points of a Fibonacci lattice: each stands for as much ground."""
    k = np.arange(POINTS, dtype=np.float64)
    lat: Floats = np.degrees(np.arcsin(1 - (2 * k + 1) / POINTS))
    lon: Floats = (k * (360 / GOLDEN)) % 360 - 180
    there = is_land(lon, lat)
    return lon[there], lat[there]


def read(path: Path, spec: BalanceSpec, where: str) -> Strata:
    """The raster of a recipe, whole.

    Args:
        path: of the file.
        spec: what the recipe says of it.
        where: what errors begin with.

    Raises:
        ConfigError: it is no raster of one band of whole numbers with a CRS, is too large, or lacks a class that is wanted.
    """
    try:
        with rasterio.open(path) as file:
            dtype = np.dtype(file.dtypes[0])
            if file.count != 1 or file.crs is None or dtype.kind not in "iu":
                raise ConfigError(
                    f"{where}: {file.count} bands of {dtype}, CRS {file.crs}; expected a raster of classes: one "
                    "band of whole numbers, with a CRS"
                )
            if file.width * file.height > MOST_PX:
                raise ConfigError(
                    f"{where}: {file.width} × {file.height} pixels, expected {MOST_PX:,} at most, which are held whole: "
                    "make a coarser one (gdalwarp -r mode)"
                )
            codes, nodata, crs = file.read(1), file.nodata, CRS.from_user_input(file.crs)
            to_pixel = ~file.transform
    except (RasterioError, OSError) as err:
        raise ConfigError(f"{where}: cannot be read as a raster: {one_line(err)}") from err
    known = {str(int(c)): int(c) for c in np.unique(codes) if c != nodata}
    weights = _weights(spec, known, where)
    if any(c < 0 for c in weights):
        raise ConfigError(f"{where}: class {min(weights)} is below 0: number classes from 0, or name others in strata")
    return Strata(codes, to_pixel, crs, weights, where)


def of_climates(spec: BalanceSpec, where: str) -> Strata:
    """Köppen and Geiger's zones, of the map that comes along.

    Args:
        spec: what the recipe says of it.
        where: what errors begin with.

    Raises:
        ConfigError: the recipe names a zone that there is not.
        DamageError: the map is not the file that was released.
    """
    known = {zone: code for code, zone in enumerate(climate.ZONES, 1)}
    for name in map(str, spec.without):
        if name not in known:
            raise ConfigError(
                f"{where}: has no class {name}, which 'without' names; {did_you_mean(name, known)}it has {', '.join(known)}"
            )
    step = 1 / climate.PX_PER_DEG
    to_pixel = ~Affine(step, 0, -180, 0, -step, 90)
    return Strata(climate.codes(), to_pixel, CRS.from_epsg(4326), _weights(spec, known, where), where, climate.ZONES)


def _weights(spec: BalanceSpec, known: Mapping[str, int], where: str) -> dict[int, int]:
    """Class → its part of a round, ascending, of a map that has these. Raises ConfigError where the recipe names others."""
    parts = spec.parts([*known])
    if lacking := [name for name in parts if name not in known]:
        raise ConfigError(
            f"{where}: has no class {', '.join(lacking)}, which strata name; {did_you_mean(lacking[0], known)}it has "
            f"{', '.join([*known][:40])}"
        )
    return dict(sorted((known[name], part) for name, part in parts.items()))
