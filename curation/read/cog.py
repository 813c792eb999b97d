"""Raster scenes to pixels on a location's grid.

Where a scene's pixels are the grid's own they are cropped: no resampling at all. Otherwise they are cropped with a margin
and warped once, straight from their own CRS, with transformer tolerance 0. Nothing that failed to be read becomes nodata.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import planetary_computer
import rasterio
import rasterio.windows
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader, MemoryFile
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from curation import grid
from curation.model import Location, ReadError
from curation.sources import ArraySpec

log = logging.getLogger(__name__)
T = TypeVar("T")

GDAL_ENV = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # a HEAD and a GET per open instead of a listing
    "GDAL_HTTP_CONNECTTIMEOUT": "20",
    "GDAL_HTTP_TIMEOUT": "120",  # GDAL's own default is to wait for ever
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_CACHEMAX": 256 * 2**20,
    "CPL_VSIL_CURL_CACHE_SIZE": str(64 * 2**20),
    "GDAL_NUM_THREADS": "1",  # the workers' threads are the parallelism
}
"""GDAL's configuration while reading; given to each read, nothing global."""

ATTEMPTS = 4
"""How often a read is tried; the pause before try n is about 2^n / 2 seconds."""

EXACT_PX = 1e-9
"""Transformer tolerance, source pixels: as good as none. (rasterio 1.4 makes no warp at all of a tolerance of 0.)"""

_MARGIN_PX = 3
"""Source pixels kept around a crop that will be warped: bilinear needs one, averaging its half footprint."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of a scene, to be read."""

    href: str
    """Unsigned; relative hrefs are told from the catalog's base."""
    sign: str
    """`none` or `planetary-computer`."""
    band: int = 1
    """1-based band of the file."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A crop of a scene's own pixels."""

    pixels: NDArray[Any]
    """(y, x), with the array's nodata where the file has none."""
    transform: Affine
    crs: rasterio.crs.CRS
    exact: bool
    """The pixels are the grid's own."""


class Reader:
    """Reads assets for one task; keeps each file open from one patch to the next. Not shared between threads."""

    def __init__(self, base: str) -> None:
        self.base = base
        self._open: dict[str, DatasetReader] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for dataset in self._open.values():
            dataset.close()
        self._open.clear()

    def read(
        self, assets: Sequence[Asset], array: ArraySpec, location: Location, *, zero_is_nodata: bool = False
    ) -> tuple[NDArray[Any], bool]:
        """One band on the location's grid at `array.res_m`, and whether it was warped.

        Several assets are one mosaic: where an earlier one has no data a later one fills. Assets that share a pixel grid
        are joined before warping, so that no seam is left between them.

        Returns:
            (y, x) in `array.dtype`, `array.nodata` where no asset has data; True where anything was resampled.

        Raises:
            ReadError: an asset cannot be read, is of another dtype, or has blocks that were never written.
        """
        pieces = [p for a in assets if (p := self._piece(a, array, location, zero_is_nodata)) is not None]
        out = np.full(grid.geobox(location, array.res_m).shape, array.nodata, array.dtype)
        warped = False
        for group in _joined(pieces, array.nodata):
            pixels = group.pixels if group.exact else _warp(group, array, location)
            warped |= not group.exact
            hole = out == array.nodata
            out[hole] = pixels[hole]
        return out, warped

    def _piece(self, asset: Asset, array: ArraySpec, location: Location, zero_is_nodata: bool) -> Piece | None:
        """The asset's pixels that the location needs; None where the two do not meet."""

        def crop(dataset: DatasetReader) -> Piece | None:
            _check_dtype(dataset, array, asset)
            target = grid.geobox(location, array.res_m)
            at = grid.offset_px(location, dataset.transform, dataset.crs.to_epsg(), array.res_m)
            window = (*at, target.width, target.height) if at else _window(dataset, target, location)
            if window is None:
                return None
            pixels = _crop(dataset, asset, window, array.nodata)
            if zero_is_nodata:
                pixels[pixels == 0] = array.nodata
            transform = rasterio.windows.transform(Window(*window), dataset.transform)
            return Piece(pixels, transform, dataset.crs, at is not None)

        return self._retried(asset, crop)

    def _retried(self, asset: Asset, use: Callable[[DatasetReader], T]) -> T:
        """What `use` makes of the opened asset; a failure is tried again with a fresh signature and nothing cached."""
        for attempt in range(ATTEMPTS):
            # GDAL answers a URL that once failed from its cache for the life of the process, so a retry must not ask it.
            env = GDAL_ENV | ({"CPL_VSIL_CURL_NON_CACHED": "/vsicurl/"} if attempt else {})
            try:
                with rasterio.Env(**env):
                    return use(self._dataset(asset))
            except (RasterioError, OSError) as err:
                if isinstance(err, ReadError):
                    raise
                self._close(asset)
                if attempt == ATTEMPTS - 1:
                    cause = _unsigned(str(err))
                    raise ReadError(
                        f"{asset.href}: could not be read in {ATTEMPTS} tries: {type(err).__name__}: {cause}; "
                        "rerun the command to try again"
                    ) from None  # the cause may hold a signed URL
                log.info("%s: try %d failed (%s)", asset.href, attempt + 1, type(err).__name__)
                time.sleep(2**attempt / 2 * random.uniform(0.75, 1.25))
        raise AssertionError("unreachable")

    def _dataset(self, asset: Asset) -> DatasetReader:
        if asset.href not in self._open:
            whole = "://" in asset.href or asset.href.startswith("/")
            href = asset.href if whole else f"{self.base.rstrip('/')}/{asset.href}"
            if asset.sign == "planetary-computer":
                href = planetary_computer.sign_url(href)
            self._open[asset.href] = rasterio.open(href)
        return self._open[asset.href]

    def _close(self, asset: Asset) -> None:
        dataset = self._open.pop(asset.href, None)
        if dataset is not None:
            dataset.close()


def _unsigned(message: str) -> str:
    """The first line of a message, each URL in it without its query: signatures stand there."""
    line = message.splitlines()[0] if message else ""
    return " ".join(word.split("?")[0] for word in line.split(" "))


def _check_dtype(dataset: DatasetReader, array: ArraySpec, asset: Asset) -> None:
    found = dataset.dtypes[asset.band - 1]
    if not np.can_cast(found, array.dtype, "safe"):
        raise ReadError(
            f"{asset.href}: pixels are {found}, expected {array.dtype} ({array.unit}); "
            "the source's file in stac_queries/ does not describe this catalog's pixels"
        )


def _window(dataset: DatasetReader, target: GeoBox, location: Location) -> tuple[int, int, int, int] | None:
    """Column, row, width, height of the source pixels that a warp onto `target` needs, inside the file; None for none."""
    n = 17
    cols, rows = np.meshgrid(np.linspace(0, target.width, n), np.linspace(0, target.height, n))
    x = target.affine.c + target.affine.a * cols.ravel()
    y = target.affine.f + target.affine.e * rows.ravel()
    lon, lat = grid.transformer(location.epsg, dataset.crs.to_wkt()).transform(x, y)
    if dataset.crs.is_geographic:
        # Longitudes on the file's own side of the antimeridian.
        middle = dataset.transform.c + dataset.transform.a * dataset.width / 2
        lon = middle + (np.asarray(lon) - middle + 180) % 360 - 180
    inverse = ~dataset.transform
    sx = inverse.a * np.asarray(lon) + inverse.b * np.asarray(lat) + inverse.c
    sy = inverse.d * np.asarray(lon) + inverse.e * np.asarray(lat) + inverse.f
    scale = max(np.ptp(sx), np.ptp(sy)) / max(target.shape)
    margin = _MARGIN_PX + int(np.ceil(scale))
    left, top = int(np.floor(sx.min())) - margin, int(np.floor(sy.min())) - margin
    right, bottom = int(np.ceil(sx.max())) + margin, int(np.ceil(sy.max())) + margin
    left, top = max(left, 0), max(top, 0)
    right, bottom = min(right, dataset.width), min(bottom, dataset.height)
    return (left, top, right - left, bottom - top) if right > left and bottom > top else None


def _crop(dataset: DatasetReader, asset: Asset, window: tuple[int, int, int, int], nodata: float) -> NDArray[Any]:
    """The pixels of a window, (y, x) in the file's dtype, which may reach beyond the file: there it is nodata."""
    col, row, width, height = window
    c0, r0 = max(col, 0), max(row, 0)
    c1, r1 = min(col + width, dataset.width), min(row + height, dataset.height)
    if c1 <= c0 or r1 <= r0:
        return np.full((height, width), nodata, np.result_type(dataset.dtypes[asset.band - 1]))
    inside = Window(c0, r0, c1 - c0, r1 - r0)
    _check_blocks(dataset, asset, inside)
    pixels: NDArray[Any] = dataset.read(asset.band, window=inside)
    declared = dataset.nodatavals[asset.band - 1]
    if declared is not None and declared != nodata:
        pixels = np.where(np.isnan(pixels) if np.isnan(declared) else pixels == declared, nodata, pixels)
    if (c0, r0, c1, r1) == (col, row, col + width, row + height):
        return pixels
    out = np.full((height, width), nodata, pixels.dtype)
    out[r0 - row : r1 - row, c0 - col : c1 - col] = pixels
    return out


def _check_blocks(dataset: DatasetReader, asset: Asset, window: Window) -> None:
    """Passes where every block of a window is in the file.

    GDAL reads a block that was never written (a crashed writer's) as zeros. Where the file declares nodata that is what
    it means by it; where it does not, it is a hole that nobody recorded.

    Raises:
        ReadError: a block of the window is not in the file.
    """
    if dataset.driver not in ("GTiff", "COG") or dataset.nodatavals[asset.band - 1] is not None:
        return
    height, width = dataset.block_shapes[asset.band - 1]
    for by in range(int(window.row_off) // height, (int(window.row_off + window.height) - 1) // height + 1):
        for bx in range(int(window.col_off) // width, (int(window.col_off + window.width) - 1) // width + 1):
            if dataset.get_tag_item(f"BLOCK_OFFSET_{bx}_{by}", "TIFF", bidx=asset.band) is None:
                raise ReadError(
                    f"{asset.href}: block column {bx} row {by} was never written and the file declares no nodata: "
                    "its zeros would be invented; report it to the provider"
                )


def _joined(pieces: Sequence[Piece], nodata: float) -> list[Piece]:
    """Pieces with those that share CRS and pixel grid joined into one, in order; earlier ones win."""
    out: list[Piece] = []
    for piece in pieces:
        for i, other in enumerate(out):
            if (at := _same_grid(other, piece)) is not None:
                out[i] = _union(other, piece, at, nodata)
                break
        else:
            out.append(piece)
    return out


def _same_grid(a: Piece, b: Piece) -> tuple[int, int] | None:
    """Column and row of b's first pixel counted from a's, where both lie on one pixel grid."""
    if a.exact != b.exact or a.crs != b.crs or not np.allclose(a.transform[:6:4], b.transform[:6:4], rtol=1e-9):
        return None
    col, row = (b.transform.c - a.transform.c) / a.transform.a, (b.transform.f - a.transform.f) / a.transform.e
    # Published tiles state their corners to about 1e-9 degrees: a thousandth of a pixel tells the same grid from another.
    return (round(col), round(row)) if abs(col - round(col)) < 1e-3 and abs(row - round(row)) < 1e-3 else None


def _union(a: Piece, b: Piece, at: tuple[int, int], nodata: float) -> Piece:
    left, top = min(0, at[0]), min(0, at[1])
    right = max(a.pixels.shape[1], at[0] + b.pixels.shape[1])
    bottom = max(a.pixels.shape[0], at[1] + b.pixels.shape[0])
    out = np.full((bottom - top, right - left), nodata, np.result_type(a.pixels, b.pixels))
    for piece, (col, row) in ((b, at), (a, (0, 0))):
        h, w = piece.pixels.shape
        part = out[row - top : row - top + h, col - left : col - left + w]
        part[piece.pixels != nodata] = piece.pixels[piece.pixels != nodata]
    transform = rasterio.windows.transform(Window(left, top, 1, 1), a.transform)
    return Piece(out, transform, a.crs, a.exact)


def _warp(piece: Piece, array: ArraySpec, location: Location) -> NDArray[Any]:
    """The piece on the location's grid, resampled once by GDAL; (y, x) in `array.dtype`."""
    target = grid.geobox(location, array.res_m)
    h, w = piece.pixels.shape
    profile = {"driver": "GTiff", "height": h, "width": w, "count": 1, "dtype": array.dtype}
    with MemoryFile() as memory:
        with memory.open(**profile, crs=piece.crs, transform=piece.transform, nodata=array.nodata) as file:
            file.write(piece.pixels.astype(array.dtype), 1)
        with (
            memory.open() as source,
            WarpedVRT(
                source,
                crs=f"EPSG:{location.epsg}",
                transform=target.affine,
                width=target.width,
                height=target.height,
                resampling=resampling(array, piece.crs, piece.transform, location),
                src_nodata=array.nodata,
                nodata=array.nodata,
                tolerance=EXACT_PX,
            ) as vrt,
        ):
            pixels: NDArray[Any] = vrt.read(1)
    return pixels


def resampling(array: ArraySpec, crs: rasterio.crs.CRS, transform: Affine, location: Location) -> Resampling:
    """The declared method for going from a scene's pixel size to the array's: `down` where it is clearly coarser."""
    res = abs(transform.e) * (111_195.0 if crs.is_geographic else 1.0)
    return Resampling[array.down if array.res_m >= 1.5 * res else array.up]
