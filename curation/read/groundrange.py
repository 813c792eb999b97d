"""Images in ground range (Sentinel-1 GRD) on a location's grid: where their pixels lie, their backscatter, and relief.

Such an image has no transform: its tie points say where some of its samples lie, at a height each. Between them it lies as a
thin-plate spline has it that GDAL puts through them, in metres of the location's zone. It is right for ground of the
heights that the spline has of the tie points; ground that is higher by `h` appears nearer to the sensor by `h` times the
cotangent of the incidence angle, in ground range.

Products count samples from 0 by their middles, which GDAL takes for corners: of 25,611 samples the last tie point of a
recorded product (IPF 002.91) is at 25,610. So what tie points leave free of the image is half before the first of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.transform import GCPTransformer

from curation.model import Location
from curation.places import grid
from curation.read.annotation import Calibration, Noise
from curation.read.blocks import PixelWindow
from curation.read.raster import Raster
from curation.read.sparse import BrokenError

Floats = NDArray[np.float64]

_KNOT_SPACING_M = 160.0
"""Splines are asked for points so far apart, and are taken for linear between them: of terrain that rises by 500 m from one
tie point to the next, 12 km on, that is a hundredth of a pixel."""

_HEIGHTS = 0.1
"""A metre of height, as lines of an image: the spline of lines with heights on top less that of lines is that of heights."""

_COARSER = 1.5
"""From so many image pixels a pixel on they are averaged, as of other rasters (`warp.resampling`)."""

MOST_TIE_POINTS = 1_500
"""The spline takes time by their cube: a recorded scene of IW has 210, one of a strip 294."""

_MARGIN_PX = 2
"""Image pixels around those that are interpolated."""


@dataclass(frozen=True, slots=True)
class TiePoints:
    """Where samples of an image lie."""

    points: tuple[tuple[float, float, float, float, float], ...]
    """Line, sample, x, y and height in metres of each; lines and samples as GDAL counts, from the first one's corner."""
    crs: str
    """Of x and y, as WKT."""
    width: int
    height: int
    """Of the image, pixels."""


@dataclass(frozen=True, slots=True)
class PlacedPixels:
    """Where the middles of a grid's pixels, or of parts of them, appear in an image."""

    rows: Floats
    """(y, x) lines, counted from the corner of the first."""
    cols: Floats
    """(y, x) samples, likewise."""
    height_m: Floats
    """(y, x) heights of the ground that they are right for, above the ellipsoid."""
    samples_per_m: float
    """Along ground range, about the location."""
    parts: int
    """Into so many parts a pixel's sides are cut, each of which is interpolated, and which are averaged."""

    def moved(self, metres: Floats) -> PlacedPixels:
        """The same nearer to the sensor by metres in ground range, (y, x)."""
        return replace(self, cols=self.cols - metres * self.samples_per_m)


def tie_points(raster: Raster) -> TiePoints:
    """The tie points of an image.

    Raises:
        BrokenError: it has none, or they are not of a whole image in ground range.
    """
    found, crs = raster.tie_points()
    if not 4 <= len(found) <= MOST_TIE_POINTS or crs is None:
        raise BrokenError(f"has {len(found)} tie points in CRS {crs}, expected 4 to {MOST_TIE_POINTS}, as of GRD")
    table = np.array([(p.row, p.col, p.x, p.y, p.z or 0.0) for p in found], float)
    if not np.isfinite(table).all():
        raise BrokenError("a tie point of it is no number")
    for axis, size in ((0, raster.height), (1, raster.width)):
        first, last = table[:, axis].min(), table[:, axis].max()
        free = (size - first - last) / 2
        if not -1e-6 <= first <= 1 or not -1e-6 <= free <= 0.5 + 1e-6:
            raise BrokenError(
                f"its tie points reach from {first:g} to {last:g} of {size} {('lines', 'samples')[axis]}, expected from the "
                "first to the last: it is a part of a product, of which nobody knows which"
            )
        table[:, axis] += free
    return TiePoints(tuple(map(tuple, table.tolist())), crs.to_wkt(), raster.width, raster.height)


def placed(points: TiePoints, location: Location, step_m: float) -> PlacedPixels:
    """Where a location's pixels, `step_m` metres wide, appear in an image: all of them, as `grid.geobox` has them.

    Raises:
        BrokenError: the tie points lie so that no spline goes through them, or in no CRS that points can be taken from.
    """
    at = _Splines.through(points, location)
    side_m = grid.covered_m(location.size_m, step_m)
    px, n = round(side_m / step_m), math.ceil(side_m / _KNOT_SPACING_M) + 1
    knots = np.linspace(0, side_m, n)
    x, y = np.meshgrid(location.x0_m + knots, location.y0_m - knots)
    at_knots = at(x, y)
    step = knots[1]
    (row_y, row_x), (col_y, col_x) = ([float(g.mean()) for g in np.gradient(at_knots[i], step, step)] for i in range(2))
    along_line = math.hypot(row_x, row_y)
    if not along_line:
        raise BrokenError("its tie points lie on one line")
    samples_per_m = abs(row_x * col_y - row_y * col_x) / along_line
    parts = 1
    if step_m * samples_per_m >= _COARSER:
        parts = math.ceil(step_m * samples_per_m)
    middles = (np.arange(px * parts) + 0.5) * side_m / (px * parts)
    rows, cols, height_m = (_between(knots, plane, middles) for plane in at_knots)
    return PlacedPixels(rows, cols, height_m, samples_per_m, parts)


@dataclass(frozen=True, slots=True)
class _Splines:
    """Line, sample and height by place, in metres of a location's zone."""

    position: list[GroundControlPoint]
    lifted: list[GroundControlPoint]

    @classmethod
    def through(cls, points: TiePoints, location: Location) -> _Splines:
        rows, cols, x, y, z = np.array(points.points).T
        try:
            x, y = grid.transformer(points.crs, location.epsg).transform(x, y, errcheck=True)
        except Exception as err:  # of what the file states as its CRS, and as places in it
            raise BrokenError(f"its tie points lie nowhere in EPSG:{location.epsg}: {err}") from err
        position = [GroundControlPoint(*p) for p in zip(rows, cols, x, y, strict=True)]
        lifted = [GroundControlPoint(*p) for p in zip(rows + _HEIGHTS * z, cols, x, y, strict=True)]
        return cls(position, lifted)

    def __call__(self, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
        """Lines, samples and heights at places (two arrays of one shape)."""
        rows, cols = _spline(self.position, x, y)
        lifted, _ = _spline(self.lifted, x, y)
        return rows, cols, (lifted - rows) / _HEIGHTS


def _spline(points: Sequence[GroundControlPoint], x: Floats, y: Floats) -> tuple[Floats, Floats]:
    try:
        with GCPTransformer(list(points), tps=True) as spline:
            rows, cols = spline.rowcol(x.ravel(), y.ravel(), op=lambda value: value)
    except rasterio.errors.RasterioError as err:
        raise BrokenError(f"no spline goes through its tie points: {err}") from err
    found = np.array(rows, float).reshape(x.shape), np.array(cols, float).reshape(x.shape)
    if not np.isfinite(found).all():
        raise BrokenError("no spline goes through its tie points")
    return found


def _between(knots: Floats, plane: Floats, at: Floats) -> Floats:
    """(len(at), len(at)) of a plane on knots, linear between them both ways."""
    along = np.stack([np.interp(at, knots, row) for row in plane])
    return np.stack([np.interp(at, knots, column) for column in along.T], axis=1)


def is_inside(points: TiePoints, where: PlacedPixels) -> NDArray[np.bool_]:
    """(y, x) True where a place appears in the image."""
    found: NDArray[np.bool_] = (
        (where.rows >= 0) & (where.rows < points.height) & (where.cols >= 0) & (where.cols < points.width)
    )
    return found


def sigma0(
    raster: Raster, band: int, where: PlacedPixels, calibration: Calibration, noise: Noise, nodata: float
) -> NDArray[np.float32]:
    """(y, x) sigma0 of a grid's pixels, linear power, noise subtracted: bilinear in power, and averaged where it is coarser.

    Zero is a border, no number of backscatter; a pixel that would be interpolated of such a sample, or of one beyond the
    image, is nodata. What is left of backscatter below the noise is negative, and data.

    Raises:
        ReadError: bytes cannot be had.
        BrokenError: a block cannot be decoded, or noise is not stated for all that backscatter is made of.
    """
    out = np.full(where.rows.shape, np.nan)
    window = _window(raster, where)
    if window is not None:
        raw = raster.read(band, window)
        valid = raster.valid(band, window, raw) & (raw != 0)
        # A sample's number is that of its middle, which lies half a sample from its corner.
        rows, cols = where.rows - 0.5 - window.row, where.cols - 0.5 - window.col
        # Noise need not be stated for the border, nor for what nothing is made of.
        valid &= _counting(rows, cols, valid.shape)
        line, sample = np.nonzero(valid)
        lines, samples = line + float(window.row), sample + float(window.col)
        power = np.full(valid.shape, np.nan)
        power[valid] = raw[valid].astype(np.float64) ** 2 - noise.at(lines, samples)
        power[valid] /= calibration.sigma.at(lines, samples) ** 2
        out = _bilinear(power, rows, cols)
    if where.parts > 1:
        out = _averaged(out, where.parts)
    return np.where(np.isnan(out), nodata, out).astype(np.float32)


def _window(raster: Raster, where: PlacedPixels) -> PixelWindow | None:
    left, top = math.floor(where.cols.min()) - _MARGIN_PX, math.floor(where.rows.min()) - _MARGIN_PX
    right, bottom = math.ceil(where.cols.max()) + _MARGIN_PX, math.ceil(where.rows.max()) + _MARGIN_PX
    return raster.inside(PixelWindow(left, top, right - left, bottom - top))


def _bilinear(plane: Floats, rows: Floats, cols: Floats) -> Floats:
    """A plane at rows and columns, counted from its first pixel's middle; NaN where a pixel that counts is, or beyond."""
    out = np.zeros(rows.shape)
    for inside, row, col, weight in _corners(rows, cols, plane.shape):
        found = np.full(rows.shape, np.nan)
        found[inside] = plane[row[inside], col[inside]]
        out += np.where(weight > 0, weight * found, 0.0)
    return out


def _counting(rows: Floats, cols: Floats, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Of a plane of a shape True where something is interpolated of a pixel at these rows and columns."""
    out = np.zeros(shape, bool)
    for inside, row, col, weight in _corners(rows, cols, shape):
        counts = inside & (weight > 0)
        out[row[counts], col[counts]] = True
    return out


def _corners(
    rows: Floats, cols: Floats, shape: tuple[int, ...]
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64], Floats]]:
    """Of each of the four pixels around places: whether it is in the plane, its row, its column, its weight."""
    height, width = shape
    top, left = np.floor(rows), np.floor(cols)
    down, right = rows - top, cols - left
    for row, weight_y in ((top, 1 - down), (top + 1, down)):
        for col, weight_x in ((left, 1 - right), (left + 1, right)):
            inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
            yield inside, row.astype(np.int64), col.astype(np.int64), weight_y * weight_x


def _averaged(parts: Floats, n: int) -> Floats:
    """Means of squares of n × n of what is known in them; NaN where nothing is."""
    blocks = parts.reshape(parts.shape[0] // n, n, parts.shape[1] // n, n)
    known = ~np.isnan(blocks)
    count = known.sum(axis=(1, 3))
    total = np.where(known, blocks, 0.0).sum(axis=(1, 3))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def displacement_m(where: PlacedPixels, calibration: Calibration, height_m: NDArray[Any]) -> Floats:
    """(y, x) metres in ground range by which ground of these heights above the ellipsoid appears nearer to the sensor."""
    cot = calibration.cot_incidence(where.rows - 0.5, where.cols - 0.5)
    return (height_m - where.height_m) * cot
