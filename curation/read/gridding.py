"""Footprints of a swath averaged on the pixels of a cell. Pure.

Everything happens in the plane of longitude and sine of latitude (Lambert's cylindrical equal-area projection: Snyder
1987, "Map projections: a working manual", equations 10-1 and 10-2): there pixels of a cell are rectangles, footprints are
quadrilaterals with straight sides, and an area is what it is on the sphere. Overlaps are exact. A side that is straight
there leaves the great circle by about 5 m for a footprint of 7 km at 78°, and by about 50 m for one of 15 km at 85°.

Longitudes are unwrapped around the cell's centre, so the antimeridian is a meridian like any other. A footprint that holds a
pole, or is 180° wide or wider, is no quadrilateral in that plane and is left out.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NO_CODE = -1
"""The code of a footprint, or of a pixel, that has none."""

QUALITY_SLACK = 1e-6
"""A quality that is so little below the threshold is not below it: 75 hundredths are not exact in single precision."""

_LEAST_SHARE = 1e-9
"""Of a pixel: an overlap of less is what rounding makes of two that only touch."""

_PAIRS = 1 << 17
"""Footprints × pixels that are looked at together: some 30 MB."""


@dataclass(frozen=True, slots=True)
class Footprints:
    """What one file, or several of one orbit, saw at n places."""

    lon: Floats
    """(n, 4) degrees east, of the corners in order around, either way; NaN where unknown."""
    lat: Floats
    """(n, 4) degrees north."""
    values: Floats
    """(bands, n) in the unit of the bands; NaN where there is no value."""
    quality: Floats | None = None
    """(n,), NaN where unknown; None where the product has none."""
    codes: Ints | None = None
    """(n,) class codes, `NO_CODE` where there is none; None where the product has no classes."""

    def __post_init__(self) -> None:
        n = len(self.lon)
        found = {"lon": self.lon.shape, "lat": self.lat.shape, "values": self.values.shape[1:]}
        found |= {k: v.shape for k in ("quality", "codes") if (v := getattr(self, k)) is not None}
        expected = {"lon": (n, 4), "lat": (n, 4), "values": (n,), "quality": (n,), "codes": (n,)}
        if wrong := [k for k, shape in found.items() if shape != expected[k]]:
            raise ValueError(f"footprints: {wrong[0]} is {found[wrong[0]]}, expected {expected[wrong[0]]}")

    def __len__(self) -> int:
        return len(self.lon)


@dataclass(frozen=True, slots=True)
class Gridded:
    """Pixels of a cell, row 0 in the north and column 0 in the west."""

    mean: Floats
    """(bands, y, x) weighted by area; NaN where no footprint with a value reaches."""
    weight: Floats
    """(bands, y, x) area of the overlaps that the mean is of, in areas of the pixel: 1 is covered once."""
    spread: Floats
    """(bands, y, x) standard deviation of the footprints about that mean, weighted by area; NaN where there are not two."""
    orbits: Ints
    """(y, x) orbits of which at least one footprint was used, of any band."""
    days: Ints
    """(y, x) days of those orbits."""
    footprints: Ints
    """(y, x) footprints used, of any band."""
    quality_mean: Floats
    """(y, x) weighted by area, of the footprints used; NaN where there are none, or none has a quality."""
    quality_min: Floats
    """(y, x) least of them."""
    codes: Ints
    """(y, x) the code with the largest overlapped area, the smaller of two alike; `NO_CODE` where there is none."""


class Accumulator:
    """Adds up footprints of many orbits on the pixels of one cell."""

    def __init__(
        self, west: float, north: float, size_deg: float, size_px: int, bands: int, min_quality: float | None = None
    ) -> None:
        """Begins with nothing.

        Args:
            west: west edge, degrees east; may lie beyond ±180.
            north: north edge, degrees north; what lies beyond a pole stays empty.
            size_deg: side, degrees of longitude and of latitude.
            size_px: pixels along a side.
            bands: of the footprints' values.
            min_quality: footprints of less are left out, and those whose quality is not known.
        """
        self.west, self.north, self.size_deg, self.size_px = west, north, size_deg, size_px
        self.min_quality = min_quality
        self._n = size_px * size_px
        self._weight = np.zeros((bands, self._n))
        self._sum = np.zeros((bands, self._n))
        self._squares = np.zeros((bands, self._n))
        """Of the distances from the mean, weighted."""
        self._values = np.zeros((bands, self._n), np.int64)
        self._footprints = np.zeros(self._n, np.int64)
        self._orbits: dict[Hashable, NDArray[np.bool_]] = {}
        self._days: dict[Hashable, NDArray[np.bool_]] = {}
        self._quality_weight = np.zeros(self._n)
        self._quality_sum = np.zeros(self._n)
        self._quality_min = np.full(self._n, np.inf)
        self._codes: dict[int, Floats] = {}

    def add(self, footprints: Footprints, orbit: Hashable = 0, day: Hashable = 0) -> bool:
        """Adds what one file saw; True where any of it was used.

        A footprint with an unknown corner, or of too little quality, is left out; one without a value in a band is left
        out of that band. Negative values are values.

        Args:
            footprints: in any order; those that do not reach the cell change nothing.
            orbit: what orbit they are of: files of the same one count once.
            day: and of what day: likewise.
        """
        bands = len(self._weight)
        if len(footprints.values) != bands:
            raise ValueError(f"footprints have {len(footprints.values)} bands, expected {bands}")
        quality, codes = footprints.quality, footprints.codes
        is_good = np.ones(len(footprints), bool)
        if quality is not None:
            is_good = np.isfinite(quality)
        if self.min_quality is not None:
            if quality is None:
                raise ValueError(f"footprints have no quality, expected one to hold against {self.min_quality:g}")
            with np.errstate(invalid="ignore"):
                is_good &= quality >= self.min_quality - QUALITY_SLACK
        has_value = np.isfinite(footprints.values)
        is_used = is_good & (has_value.any(axis=0) if bands else True)
        wanted = is_used if codes is None else is_used | (codes != NO_CODE)
        which = np.flatnonzero(wanted)
        values = np.where(has_value, footprints.values, 0.0)
        mine = self._orbits.setdefault(orbit, np.zeros(self._n, bool))
        today = self._days.setdefault(day, np.zeros(self._n, bool))
        is_any = False
        for index, pixel, share in overlaps(
            footprints.lon[which], footprints.lat[which], self.west, self.north, self.size_deg, self.size_px
        ):
            f = which[index]
            if codes is not None:
                self._add_codes(codes[f], pixel, share)
            used = is_used[f]
            f, p, w = f[used], pixel[used], share[used]
            for band in range(bands):
                valid = w * has_value[band, f]
                weight, total = np.bincount(p, valid, self._n), np.bincount(p, valid * values[band, f], self._n)
                self._add_squares(band, p, valid, values[band, f], weight, total)
                self._weight[band] += weight
                self._sum[band] += total
            if bands:
                self._footprints += np.bincount(p, minlength=self._n)
            mine[p] = today[p] = True
            is_any |= bool(len(p))
            if quality is not None and bands:
                self._quality_weight += np.bincount(p, w, self._n)
                self._quality_sum += np.bincount(p, w * quality[f], self._n)
                np.minimum.at(self._quality_min, p, quality[f])
        return is_any

    def _add_squares(
        self, band: int, pixel: Ints, w: Floats, values: Floats, weight: NDArray[Any], total: NDArray[Any]
    ) -> None:
        """Distances from the mean, of these and then of both together (Chan, Golub and LeVeque 1983).

        Mean squares less squares of the mean would be a difference of large numbers: of methane the spread is a hundredth
        of the column.
        """

        def mean(sums: Floats, of: Floats) -> Floats:
            return np.divide(sums, of, out=np.zeros(self._n), where=of > 0)

        before, mine = self._weight[band], mean(total, weight)
        apart = mine - mean(self._sum[band], before)
        self._squares[band] += np.bincount(pixel, w * (values - mine[pixel]) ** 2, self._n)
        self._squares[band] += apart**2 * mean(before * weight, before + weight)
        self._values[band] += np.bincount(pixel[w > 0], minlength=self._n)

    def _add_codes(self, codes: Ints, pixel: Ints, share: Floats) -> None:
        for code in np.unique(codes[codes != NO_CODE]):
            of = codes == code
            found = self._codes.setdefault(int(code), np.zeros(self._n))
            found += np.bincount(pixel[of], share[of], self._n)

    def result(self) -> Gridded:
        """The pixels so far; more may be added afterwards."""
        shape = (self.size_px, self.size_px)

        def mean(total: Floats, weight: Floats) -> Floats:
            return np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)

        codes = np.full(self._n, NO_CODE, np.int64)
        most = np.zeros(self._n)
        for code in sorted(self._codes):
            larger = self._codes[code] > most
            codes[larger], most[larger] = code, self._codes[code][larger]
        orbits, days = (
            sum((o.astype(np.int64) for o in each.values()), np.zeros(self._n, np.int64))
            for each in (self._orbits, self._days)
        )
        spread = np.where(self._values > 1, np.sqrt(mean(self._squares, self._weight)), np.nan)
        return Gridded(
            mean(self._sum, self._weight).reshape(-1, *shape),
            self._weight.copy().reshape(-1, *shape),
            spread.reshape(-1, *shape),
            orbits.reshape(shape),
            days.reshape(shape),
            self._footprints.copy().reshape(shape),
            mean(self._quality_sum, self._quality_weight).reshape(shape),
            np.where(np.isfinite(self._quality_min), self._quality_min, np.nan).reshape(shape),
            codes.reshape(shape),
        )


def overlaps(
    lon: Floats, lat: Floats, west: float, north: float, size_deg: float, size_px: int
) -> Iterator[tuple[Ints, Ints, Floats]]:
    """Which footprints reach which pixels of a cell, and with how much, in parts.

    Args:
        lon: (n, 4) degrees east, corners in order around.
        lat: (n, 4) degrees north.
        west: west edge of the cell, degrees.
        north: north edge, degrees.
        size_deg: side, degrees.
        size_px: pixels along a side.

    Yields:
        Index of the footprint; index of the pixel, row by row from the north-west; area of the overlap in areas of the
        pixel. Each pair once, and only where there is an overlap.
    """
    step = size_deg / size_px
    index, lon, lat = _usable(lon, lat, west + size_deg / 2)
    x = (lon - west) / step
    edges = np.sin(np.radians(np.clip(north - step * np.arange(size_px + 1), -90, 90)))
    y = np.sin(np.radians(lat))
    x, y = _uncrossed(x, y)
    area = _signed_area(x, y)
    c0 = np.clip(np.floor(x.min(axis=1)), 0, size_px).astype(np.int64)
    c1 = np.clip(np.ceil(x.max(axis=1)), 0, size_px).astype(np.int64)
    # edges fall: rows are counted along their negative
    r0 = np.clip(np.searchsorted(-edges, -y.max(axis=1), "right") - 1, 0, size_px)
    r1 = np.clip(np.searchsorted(-edges, -y.min(axis=1), "left"), 0, size_px)
    wide, high = np.maximum(c1 - c0, 0), np.maximum(r1 - r0, 0)
    pairs = np.where(area != 0, wide * high, 0)
    ends = np.cumsum(pairs)
    for start in range(0, int(ends[-1]) if len(ends) else 0, _PAIRS):
        number = np.arange(start, min(start + _PAIRS, int(ends[-1])))
        f = np.searchsorted(ends, number, "right")
        within = number - (ends[f] - pairs[f])
        row, col = r0[f] + within // wide[f], c0[f] + within % wide[f]
        height = edges[row] - edges[row + 1]
        share = _covered(x[f] - col[:, None], y[f] - edges[row + 1][:, None], height) * np.sign(area[f])
        used = share > _LEAST_SHARE
        yield index[f[used]], (row * size_px + col)[used], np.minimum(share[used], 1.0)


def _usable(lon: Floats, lat: Floats, centre: float) -> tuple[Ints, Floats, Floats]:
    """Index and corners of the footprints that are quadrilaterals in the plane, unwrapped around a longitude."""
    known = np.isfinite(lon).all(axis=1) & np.isfinite(lat).all(axis=1) & (np.abs(lat) <= 90).all(axis=1)
    index = np.flatnonzero(known)
    lon, lat = lon[index], lat[index]
    side = _turn(np.roll(lon, -1, axis=1) - lon)
    run = np.concatenate([np.zeros((len(lon), 1)), np.cumsum(side[:, :3], axis=1)], axis=1)
    goes_round = np.abs(side.sum(axis=1)) > 180  # the longitudes do not come back: a pole is inside
    used = ~goes_round & (np.ptp(run, axis=1) < 180) if len(lon) else goes_round
    index, lon, lat, run = index[used], lon[used], lat[used], run[used]
    lon = lon[:, :1] + run
    return index, lon - 360 * np.round((lon.mean(axis=1, keepdims=True) - centre) / 360), lat


def _turn(degrees: Floats) -> Floats:
    """Differences of longitude, the short way round."""
    return (degrees + 180) % 360 - 180


def _signed_area(x: Floats, y: Floats) -> Floats:
    """Of quadrilaterals (n, 4): positive where corners run clockwise as `_covered` counts them."""
    nx, ny = np.roll(x, -1, axis=1), np.roll(y, -1, axis=1)
    area: Floats = ((nx - x) * (ny + y)).sum(axis=1) / 2
    return area


def _uncrossed(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Quadrilaterals whose sides do not cross: corners that a product gives in another order are put in order."""

    def left(a: int, b: int, c: int) -> Floats:
        found: Floats = (x[:, b] - x[:, a]) * (y[:, c] - y[:, a]) - (y[:, b] - y[:, a]) * (x[:, c] - x[:, a])
        return found

    def cross(a: int, b: int, c: int, d: int) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = (left(a, b, c) * left(a, b, d) < 0) & (left(c, d, a) * left(c, d, b) < 0)
        return found

    order = np.tile(np.arange(4), (len(x), 1))
    order[cross(0, 1, 2, 3)] = (0, 2, 1, 3)
    order[cross(1, 2, 3, 0)] = (0, 1, 3, 2)
    return np.take_along_axis(x, order, axis=1), np.take_along_axis(y, order, axis=1)


def _covered(x: Floats, y: Floats, height: Floats) -> Floats:
    """Signed area of quadrilaterals within the rectangle from (0, 0) to (1, height), in areas of the rectangle.

    Green's theorem: for each x the length of the section within the rectangle is the sum, over the sides above and below it,
    of ± their y held to 0 ... height. So each side adds the integral of that over the part of it that lies in 0 ... 1.

    Args:
        x: (n, 4).
        y: (n, 4), in the unit of `height`.
        height: (n,), may be 0.
    """
    h = np.where(height > 0, height, 1.0)[:, None]
    y = y / h
    x2, y2 = np.roll(x, -1, axis=1), np.roll(y, -1, axis=1)
    direction = np.sign(x2 - x)
    swap = direction < 0
    xa, xb = np.where(swap, x2, x), np.where(swap, x, x2)
    ya, yb = np.where(swap, y2, y), np.where(swap, y, y2)
    slope = np.divide(yb - ya, xb - xa, out=np.zeros_like(x), where=xb > xa)
    left, right = np.clip(xa, 0, 1), np.clip(xb, 0, 1)
    ua, ub = ya + slope * (left - xa), ya + slope * (right - xa)
    low, high = np.minimum(ua, ub), np.maximum(ua, ub)
    rise = np.maximum(high - low, np.finfo(float).tiny)
    with np.errstate(over="ignore"):
        t0, t1 = np.clip(-low / rise, 0, 1), np.clip((1 - low) / rise, 0, 1)
    inside = (t1 - t0) * (np.clip(low + t0 * rise, 0, 1) + np.clip(low + t1 * rise, 0, 1)) / 2
    share: Floats = (direction * (right - left) * (inside + 1 - t1)).sum(axis=1)
    return np.where(height > 0, share, 0.0)


def corners(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """Corners of footprints of which only the centres are known: each in the middle of the four centres around it.

    The middle is that of points on the sphere, so neither the antimeridian nor a pole matters. Beyond the outer centres the
    spacing goes on as it was. Where one of the four is not known it is the middle of the two on the other diagonal; where
    more are not, the corner is not known.

    Args:
        lon: (rows, columns) degrees east, two of each at least; NaN where unknown.
        lat: (rows, columns) degrees north.

    Returns:
        Longitudes and latitudes, (rows, columns, 4), in order around; NaN where unknown.

    Raises:
        ValueError: there is only one row or column.
    """
    if min(lon.shape) < 2:
        raise ValueError(f"corners between {lon.shape[0]} × {lon.shape[1]} centres: expected two of each at least")
    points = np.pad(unit_vectors(lon, lat), ((1, 1), (1, 1), (0, 0)))
    for axis in (0, 1):
        p = np.moveaxis(points, axis, 0)
        p[0], p[-1] = 2 * p[1] - p[2], 2 * p[-2] - p[-3]
    down, up = points[:-1, :-1] + points[1:, 1:], points[:-1, 1:] + points[1:, :-1]
    middle = np.where(np.isnan(down), up, np.where(np.isnan(up), down, (down + up) / 2))
    at_lon, at_lat = lon_lat(middle)
    first, last = slice(None, -1), slice(1, None)
    around = ((first, first), (first, last), (last, last), (last, first))
    out_lon = np.stack([at_lon[w] for w in around], axis=-1)
    out_lat = np.stack([at_lat[w] for w in around], axis=-1)
    unknown = np.isnan(lon) | np.isnan(lat)
    out_lon[unknown], out_lat[unknown] = np.nan, np.nan
    return out_lon, out_lat


def unit_vectors(lon: Floats, lat: Floats) -> Floats:
    """Points of the unit sphere, (..., 3), of longitudes and latitudes in degrees."""
    a, b = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(b) * np.cos(a), np.cos(b) * np.sin(a), np.sin(b)], axis=-1)


def lon_lat(points: Floats) -> tuple[Floats, Floats]:
    """Longitudes and latitudes in degrees of points (..., 3) in any distance from the Earth's centre."""
    x, y, z = np.moveaxis(points, -1, 0)
    return np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))
