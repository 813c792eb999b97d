"""Pieces of rasters onto a grid: where they lie, how they are joined, how they are warped. Pure."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cachetools
import numpy as np
import rasterio
import rasterio.windows
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj.exceptions import ProjError
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from curation.model import Location
from curation.places import grid
from curation.read.blocks import PixelWindow
from curation.read.raster import Raster
from curation.read.sparse import BrokenError
from curation.recipe.arrays import ArraySpec

EXACT_PX = 1e-9
"""Transformer tolerance, source pixels: as good as none. rasterio 1.4 makes no WarpedVRT of a tolerance of 0, and its
`reproject` takes no notice of the tolerance: it locates pixels to an eighth of a pixel only."""

_LEAST_WEIGHT = 1e-6
"""Weight from which on a pixel takes part in another: less is what float32 and the transformer round, not interpolation."""

AREAS_BYTES = 32 * 2**20
"""Areas of crops on grids that a process keeps, at most: six of a picture of 2200 pixels a side."""

_MARGIN_PX = 3
"""Source pixels kept around a crop that will be warped: bilinear needs one, averaging its half footprint."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A crop of a scene's own pixels."""

    pixels: NDArray[Any]
    """(y, x) in the array's dtype, with its nodata where the file has none."""
    transform: Affine
    """Geographic longitudes run on across the antimeridian (179.9, 180.1), on the location's side of it."""
    crs: rasterio.crs.CRS
    exact: bool
    """The pixels are the grid's own."""
    void: NDArray[np.bool_] | None = None
    """(y, x) True where a file has a pixel without data, not where it ends; None where that is nowhere."""


def _pixel(transform: Affine, x: Any, y: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Columns and rows of points, counted in pixels from the outer corner of the first."""
    inverse, x, y = ~transform, np.asarray(x), np.asarray(y)
    return inverse.a * x + inverse.b * y + inverse.c, inverse.d * x + inverse.e * y + inverse.f


def located(
    transform: Affine, width: int, crs: rasterio.crs.CRS, target: GeoBox, epsg: int, cols: Any, rows: Any
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Columns and rows, in a raster, of points given by columns and rows of the target."""
    x = target.affine.c + target.affine.a * np.ravel(cols)
    y = target.affine.f + target.affine.e * np.ravel(rows)
    return seen(transform, width, crs, epsg, x, y)


def seen(
    transform: Affine, width: int, crs: rasterio.crs.CRS, epsg: int, x: NDArray[Any], y: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Columns and rows, in a raster, of points of another CRS; infinite where the raster's CRS does not reach.

    Raises:
        BrokenError: the raster's CRS is none that points can be put into.
    """
    try:
        x, y = grid.transformer(epsg, crs.to_wkt()).transform(x, y)
    except ProjError as err:
        raise BrokenError(f"its header states a CRS that cannot be used: {err}") from err
    if crs.is_geographic:
        # Longitudes on the raster's own side of the antimeridian.
        middle = transform.c + transform.a * width / 2
        x = middle + (np.asarray(x) - middle + 180) % 360 - 180
    return _pixel(transform, x, y)


def window_of(raster: Raster, crs: rasterio.crs.CRS, target: GeoBox, location: Location) -> PixelWindow | None:
    """The source pixels that a warp onto `target` needs, inside the file; None for none."""
    n = 17
    cols, rows = np.meshgrid(np.linspace(0, target.width, n), np.linspace(0, target.height, n))
    sx, sy = located(raster.transform, raster.width, crs, target, location.epsg, cols, rows)
    if not (np.isfinite(sx).all() and np.isfinite(sy).all()):
        return None
    scale = max(np.ptp(sx), np.ptp(sy)) / max(target.shape)
    margin = _MARGIN_PX + int(np.ceil(scale))
    left, top = int(np.floor(sx.min())) - margin, int(np.floor(sy.min())) - margin
    right, bottom = int(np.ceil(sx.max())) + margin, int(np.ceil(sy.max())) + margin
    left, top = max(left, 0), max(top, 0)
    right, bottom = min(right, raster.width), min(bottom, raster.height)
    return PixelWindow(left, top, right - left, bottom - top) if right > left and bottom > top else None


def joined(crops: Sequence[Crop], nodata: float) -> list[tuple[Crop, list[int]]]:
    """Pieces with those that share CRS and pixel grid joined into one, and which they are; earlier ones win."""
    out: list[tuple[Crop, list[int]]] = []
    for n, crop in enumerate(crops):
        for i, (other, members) in enumerate(out):
            if (at := _same_grid(other, crop)) is not None:
                out[i] = _union(other, crop, at, nodata), [*members, n]
                break
        else:
            out.append((crop, [n]))
    return out


def _same_grid(a: Crop, b: Crop) -> tuple[int, int] | None:
    """Column and row of b's first pixel counted from a's, where both lie on one pixel grid."""
    s, t = a.transform, b.transform
    alike = np.allclose((s.a, s.b, s.d, s.e), (t.a, t.b, t.d, t.e), rtol=1e-7, atol=0)
    if a.exact != b.exact or a.crs != b.crs or not alike:
        return None
    col, row = (float(v) for v in _pixel(s, t.c, t.f))
    # Published tiles state their corners to about 1e-9 degrees: a thousandth of a pixel tells the same grid from another.
    return (round(col), round(row)) if abs(col - round(col)) < 1e-3 and abs(row - round(row)) < 1e-3 else None


def _union(a: Crop, b: Crop, at: tuple[int, int], nodata: float) -> Crop:
    left, top = min(0, at[0]), min(0, at[1])
    right = max(a.pixels.shape[1], at[0] + b.pixels.shape[1])
    bottom = max(a.pixels.shape[0], at[1] + b.pixels.shape[0])
    out = np.full((bottom - top, right - left), nodata, a.pixels.dtype)
    void = np.zeros(out.shape, bool)
    for crop, (col, row) in ((b, at), (a, (0, 0))):
        h, w = crop.pixels.shape
        part = out[row - top : row - top + h, col - left : col - left + w]
        part[crop.pixels != nodata] = crop.pixels[crop.pixels != nodata]
        if crop.void is not None:
            void[row - top : row - top + h, col - left : col - left + w] |= crop.void
    transform = rasterio.windows.transform(Window(left, top, 1, 1), a.transform)
    void &= out == nodata
    return Crop(out, transform, a.crs, a.exact, void if void.any() else None)


def area_of(
    transform: Affine, shape: tuple[int, ...], crs: rasterio.crs.CRS, array: ArraySpec, location: Location
) -> NDArray[np.bool_]:
    """(y, x) True where the centre of the grid's pixel lies in a raster of that shape; read-only."""
    return _area(transform, shape, crs, grid.geobox(location, array.step(location.size_m)), location.epsg)


area_cache: cachetools.LRUCache[Any, NDArray[np.bool_]] = cachetools.LRUCache(
    AREAS_BYTES, lambda area: int(area.nbytes)
)


@cachetools.cached(area_cache, lock=threading.Lock())
def _area(
    transform: Affine, shape: tuple[int, ...], crs: rasterio.crs.CRS, target: GeoBox, epsg: int
) -> NDArray[np.bool_]:
    """`area_of`, kept: all bands of a picture ask for the same, and each pixel of it is a point to be projected."""
    height, width = shape
    cols, rows = np.meshgrid(np.arange(target.width) + 0.5, np.arange(target.height) + 0.5)
    x, y = located(transform, width, crs, target, epsg, cols, rows)
    inside: NDArray[np.bool_] = ((x >= 0) & (x < width) & (y >= 0) & (y < height)).reshape(target.shape)
    inside.flags.writeable = False
    return inside


def mosaic(
    crops: Sequence[Crop], array: ArraySpec, location: Location, between_known: bool
) -> tuple[NDArray[Any], bool]:
    """Crops of one band on the location's grid, (y, x), later ones where earlier ones have no data; whether any warped."""
    if len(crops) == 1 and crops[0].exact:
        return crops[0].pixels, False
    out = np.full(grid.geobox(location, array.step(location.size_m)).shape, array.nodata, array.dtype)
    groups = joined(crops, array.nodata)
    layers = [on_grid(group, groups, array, location, between_known=between_known) for group, _ in groups]
    if len(groups) > 1:
        # Two crops on different pixel grids both reach half a pixel into each other: each speaks for its own area.
        of = {i: layer for (_, members), layer in zip(groups, layers, strict=True) for i in members}
        for i, its in enumerate(crops):
            hole = (out == array.nodata) & area_of(its.transform, its.pixels.shape, its.crs, array, location)
            out[hole] = of[i][hole]
    for layer in layers:
        hole = out == array.nodata
        out[hole] = layer[hole]
    return out, any(not group.exact for group, _ in groups)


def on_grid(
    crop: Crop,
    groups: Sequence[tuple[Crop, list[int]]],
    array: ArraySpec,
    location: Location,
    *,
    between_known: bool = False,
) -> NDArray[Any]:
    """The crop on the location's grid, (y, x) in `array.dtype`: as it is where exact, else resampled once.

    GDAL interpolates beside a pixel without data from those that are left, as if they lay further on: `between_known` has
    no data where it would, so that a slope beside a void is no other than elsewhere.
    """
    if crop.exact:
        return crop.pixels
    method = resampling(array, crop.crs, crop.transform, location)
    own = crop
    if method in (Resampling.bilinear, Resampling.average):
        crop = _rimmed(crop, [other for other, _ in groups if other is not crop], array.nodata)
    target = grid.geobox(location, array.step(location.size_m))
    where = (target.height, target.width), target.affine, f"EPSG:{location.epsg}", method
    out = _warped(crop, *where, array.nodata)
    if between_known and own.void is not None and method is Resampling.bilinear:
        out[_warped(replace(own, pixels=own.void.astype("float32")), *where, -1) > _LEAST_WEIGHT] = array.nodata
    return out


def _rimmed(crop: Crop, others: Sequence[Crop], nodata: float) -> Crop:
    """The crop with a rim of what others hold beyond its edges, so that it is interpolated, not cut off, up to them."""
    if not others:
        return crop
    n = _MARGIN_PX
    rim = np.pad(np.zeros(crop.pixels.shape, bool), n, constant_values=True)
    out = np.pad(crop.pixels, n, constant_values=nodata)
    transform = rasterio.windows.transform(Window(-n, -n, 1, 1), crop.transform)
    for other in others:
        there = _warped(other, (out.shape[0], out.shape[1]), transform, crop.crs, Resampling.bilinear, nodata)
        hole = rim & (out == nodata)
        out[hole] = there[hole]
    return replace(crop, pixels=out, transform=transform)


def are_alike(bands: Sequence[Sequence[Crop]], nodata: float) -> bool:
    """Whether bands, each of one crop, may be warped together: they lie alike, and none has a gap anywhere.

    Of several bands with gaps GDAL weighs a pixel by the gaps of all; without any each comes out as if it were alone.
    """
    if len(bands) < 2 or any(len(crops) != 1 or crops[0].exact for crops in bands):
        return False
    first = bands[0][0]
    return all(
        (c.transform, c.pixels.shape, c.crs) == (first.transform, first.pixels.shape, first.crs)
        and not _may_have_gaps(c.pixels, nodata)
        for (c,) in bands
    )


def _may_have_gaps(pixels: NDArray[Any], nodata: float) -> bool:
    """Whether GDAL may take a pixel for missing, which it does of floats that are as good as nodata, too."""
    if pixels.dtype.kind != "f":
        return bool((pixels == nodata).any())
    return not np.isfinite(pixels).all() or bool(np.isclose(pixels, nodata).any())


def on_grid_alike(crops: Sequence[Crop], array: ArraySpec, location: Location) -> NDArray[Any]:
    """Crops that `are_alike` on the location's grid, (band, y, x): each as `on_grid` has it, all located once."""
    first = crops[0]
    target = grid.geobox(location, array.step(location.size_m))
    method = resampling(array, first.crs, first.transform, location)
    return _warped_all(
        crops, (target.height, target.width), target.affine, f"EPSG:{location.epsg}", method, array.nodata
    )


def _warped(
    crop: Crop, shape: tuple[int, int], transform: Affine, crs: Any, method: Resampling, nodata: float
) -> NDArray[Any]:
    """The crop on a grid, (y, x) in its dtype."""
    pixels: NDArray[Any] = _warped_all([crop], shape, transform, crs, method, nodata)[0]
    return pixels


def _warped_all(
    crops: Sequence[Crop], shape: tuple[int, int], transform: Affine, crs: Any, method: Resampling, nodata: float
) -> NDArray[Any]:
    """Crops that lie alike on a grid, (band, y, x) in their dtype, by GDAL's warper, each pixel located exactly."""
    bands = np.stack([crop.pixels for crop in crops])
    count, height, width = bands.shape
    source_crs, source_transform = _about_antimeridian(crops[0])
    profile = {"driver": "GTiff", "height": height, "width": width, "count": count, "dtype": bands.dtype}
    with MemoryFile() as memory:
        with memory.open(**profile, transform=source_transform, nodata=nodata) as file:
            file.write(bands)
        with (
            memory.open() as source,
            WarpedVRT(
                source,
                src_crs=source_crs,  # told here, since GeoTIFF cannot hold every one
                crs=crs,
                transform=transform,
                height=shape[0],
                width=shape[1],
                resampling=method,
                src_nodata=nodata,
                nodata=nodata,
                tolerance=EXACT_PX,
                # Left to itself GDAL widens the bilinear kernel by how the two windows' sizes compare, so that a turned
                # grid or another crop would blur, and shift by up to a tenth of a pixel. `down` is what smooths.
                XSCALE=1,
                YSCALE=1,
            ) as vrt,
        ):
            pixels: NDArray[Any] = vrt.read()
    return pixels


def _about_antimeridian(crop: Crop) -> tuple[rasterio.crs.CRS, Affine]:
    """CRS and transform of a crop; where it runs across the antimeridian, with longitudes counted from there.

    GDAL looks for 179.9°W at -179.9 and would find nothing in a crop that has it at 180.1.
    """
    t = crop.transform
    west, east = t.c, t.c + t.a * crop.pixels.shape[1]
    if not crop.crs.is_geographic or (west >= -180 and east <= 180):
        return crop.crs, t
    wkt = re.sub(r',AUTHORITY\["[^"]*","[^"]*"\]', "", crop.crs.to_wkt(version="WKT1_GDAL"))
    crs = rasterio.crs.CRS.from_wkt(wkt.replace('PRIMEM["Greenwich",0]', 'PRIMEM["Antimeridian",180]'))
    return crs, Affine(t.a, t.b, t.c - math.copysign(180, west), t.d, t.e, t.f)


def resampling(array: ArraySpec, crs: rasterio.crs.CRS, transform: Affine, location: Location) -> Resampling:
    """The declared method for going from a scene's pixel size to the array's: `down` where it is clearly coarser."""
    res_m = math.hypot(transform.b, transform.e) * (111_195.0 if crs.is_geographic else 1.0)
    own_m, _ = grid.pixel_m(location, array.step(location.size_m))
    return Resampling[array.down if own_m >= 1.5 * res_m else array.up]


def wanted_of(raster: Raster, array: ArraySpec, location: Location) -> tuple[PixelWindow | None, bool]:
    """The window of a file that a location needs (None for none), and whether its pixels are the grid's own.

    It may reach beyond the file where it is an exact crop. Nothing is wanted of a file without a CRS.
    """
    at = grid.offset_px(location, raster.transform, raster.epsg, array.step(location.size_m))
    if at is not None:
        n = array.px(location.size_m)
        return PixelWindow(*at, n, n), True
    if raster.crs is None:
        return None, False
    return window_of(raster, raster.crs, grid.geobox(location, array.step(location.size_m)), location), False
