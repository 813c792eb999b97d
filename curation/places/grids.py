"""Places as columns: many square grids at once, and the vectorised form of `grid.snapped`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.places import grid

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Places:
    """Square grids of one size as columns of equal length."""

    epsg: Ints
    """CRS of each."""
    x0_m: Floats
    """West edges."""
    y0_m: Floats
    """North edges."""
    lon: Floats
    """Centres, degrees east, -180 <= lon < 180."""
    lat: Floats
    """Centres, degrees north."""

    def __len__(self) -> int:
        return len(self.epsg)

    def take(self, index: NDArray[np.bool_] | Ints | slice) -> Places:
        """The places at `index`, which numpy understands."""
        return Places(self.epsg[index], self.x0_m[index], self.y0_m[index], self.lon[index], self.lat[index])


def joined(parts: Sequence[Places]) -> Places:
    """The places of `parts` one after the other."""
    if not parts:
        none = np.empty(0)
        return Places(np.empty(0, dtype=np.int64), none, none, none, none)
    columns = ("epsg", "x0_m", "y0_m", "lon", "lat")
    return Places(*(np.concatenate([getattr(p, name) for p in parts]) for name in columns))


def of_grids(epsg: Ints, x0_m: Floats, y0_m: Floats, size_m: float) -> Places:
    """The places of grids given by west and north edge."""
    lon, lat = np.empty(len(epsg)), np.empty(len(epsg))
    for code, rows in by_value(epsg):
        to_lonlat = grid.transformer(code, 4326)
        lon[rows], lat[rows] = to_lonlat.transform(x0_m[rows] + size_m / 2, y0_m[rows] - size_m / 2)
    return Places(epsg, x0_m, y0_m, wrap(lon), lat)


def snap(lon: Floats, lat: Floats, size_m: float) -> Places:
    """The snapped grids nearest to points: `grid.snapped` for many. Raises as it does."""
    epsg = utm_epsgs(lon, lat)
    x0, y0 = np.empty(len(lon)), np.empty(len(lon))
    if len(lon):
        grid.snapped(float(lon[0]), float(lat[0]), size_m)  # refuses an impossible size
    for code, rows in by_value(epsg):
        x, y = grid.transformer(4326, code).transform(lon[rows], lat[rows])
        base = grid.SOUTH_OFFSET_M if code >= 32700 else 0
        whole = grid.covered_m(size_m, grid.STEP_M)
        x0[rows] = np.rint((x - size_m / 2) / grid.STEP_M) * grid.STEP_M
        y0[rows] = np.rint((y - (whole - size_m / 2) - base) / grid.STEP_M) * grid.STEP_M + base + whole
    return of_grids(epsg, x0, y0, size_m)


def utm_epsgs(lon: Floats, lat: Floats) -> Ints:
    """`grid.utm_epsg` for many points. Raises as it does, of the first point beyond UTM's limits."""
    beyond = ~has_utm(lat)
    if beyond.any():
        k = int(np.flatnonzero(beyond)[0])
        grid.zone(float(lon[k]), float(lat[k]))
    lon = wrap(lon)
    zone = ((lon + 180.0) // 6).astype(np.int64) + 1
    zone[(lat >= 56) & (lat < 64) & (lon >= 3) & (lon < 12)] = 32
    svalbard = (lat >= 72) & (lon >= 0) & (lon < 42)
    zone[svalbard] = np.select([lon[svalbard] < 9, lon[svalbard] < 21, lon[svalbard] < 33], [31, 33, 35], 37)
    return np.where(lat >= 0, 32600, 32700) + zone


def has_utm(lat: Floats) -> NDArray[np.bool_]:
    """Whether points lie within UTM's limits."""
    return (lat >= grid.MIN_LAT) & (lat < grid.MAX_LAT)


def wrap(lon: Floats) -> Floats:
    """Longitudes as -180 <= lon < 180."""
    with np.errstate(invalid="ignore"):  # far outside a CRS coordinates are infinite, and so is what is made of them
        east = (lon + 180.0) % 360.0
    return np.where(east < 360.0, east, 0.0) - 180.0  # the remainder of a tiny negative number rounds to 360


def by_value(codes: Ints) -> Iterator[tuple[int, Ints]]:
    """Each distinct code with the rows that have it, both ascending."""
    order = np.argsort(codes, kind="stable")
    distinct, first = np.unique(codes[order], return_index=True)
    for code, rows in zip(distinct, np.split(order, first[1:]), strict=False):
        yield int(code), rows
