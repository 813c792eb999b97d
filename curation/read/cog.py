"""Raster scenes to pixels on a location's grid.

Where a scene's pixels are the grid's own they are cropped: no resampling at all. Otherwise they are cropped with a margin
and warped once, straight from their own CRS, with transformer tolerance 0. Nothing that failed to be read becomes nodata.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

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

from curation import grid, hrefs
from curation.model import Location, PassingError, ReadError
from curation.read import ranges
from curation.read.blocks import GAP_BYTES, PixelWindow, Span
from curation.read.ranges import PER_HOST, ChangedError, Place
from curation.read.raster import BrokenError, Decoded, OtherFormatError, Raster, by_file
from curation.read.sparse import Counts, Pieces, SparseFile
from curation.sources import ArraySpec

log = logging.getLogger(__name__)
T = TypeVar("T")


TRIES = 2
"""How often a file is read whose bytes came whole and cannot be decoded, or that changed meanwhile: the second time anew."""

AHEAD_BYTES = 256 * 2**20
"""Packed bytes that a reader fetches ahead, at most; and keeps for the patches behind."""

DECODED_BYTES = 128 * 2**20
"""Pixels of blocks that a reader keeps for the patches beside, at most."""

EXACT_PX = 1e-9
"""Transformer tolerance, source pixels: as good as none. rasterio 1.4 makes no WarpedVRT of a tolerance of 0, and its
`reproject` takes no notice of the tolerance: it locates pixels to an eighth of a pixel only."""

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
    holds: tuple[float, float] | None = None
    """Longitude and latitude, degrees, of a place that its item's footprint holds, where there is an item."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A crop of a scene's own pixels."""

    pixels: NDArray[Any]
    """(y, x) in the array's dtype, with its nodata where the file has none."""
    transform: Affine
    """Geographic longitudes run on across the antimeridian (179.9, 180.1), on the location's side of it."""
    crs: rasterio.crs.CRS
    exact: bool
    """The pixels are the grid's own."""


class Read(NamedTuple):
    """One asset that will be read."""

    asset: Asset
    array: ArraySpec
    location: Location | None
    """The patch's; None for the coarse look at the whole file."""


class Reader:
    """Reads assets for one task; keeps each file open from one patch to the next. Not shared between threads."""

    def __init__(
        self,
        base: str,
        ahead_bytes: int = AHEAD_BYTES,
        per_host: int = PER_HOST,
        folders: Sequence[str] | None = None,
    ) -> None:
        """Prepares reading.

        Args:
            base: what relative hrefs are told from.
            ahead_bytes: packed bytes that it may fetch ahead.
            per_host: requests that one host has of all readers of this process at a time.
            folders: where hrefs may lead to local files, as `hrefs.located` has it.
        """
        self.base = base
        self._folders = folders
        self.counts = Counts()
        self._per_host = per_host
        self._pieces = Pieces(ahead_bytes)
        self._ended = threading.Event()
        self._files: dict[str, SparseFile] = {}
        self._decoded = Decoded(DECODED_BYTES)
        self._rasters: dict[str, Raster] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for href in list(self._rasters):
            self._close(href)
        for file in self._files.values():
            self._pieces.forget(file)  # what nobody read is not fetched any more
        self._files.clear()

    def read(
        self, assets: Sequence[Asset], array: ArraySpec, location: Location, *, zero_is_nodata: bool = False
    ) -> tuple[NDArray[Any], bool]:
        """One band on the location's grid of the array's pixels, and whether it was warped.

        Several assets are one mosaic: where an earlier one has no data a later one fills. Assets that share a pixel grid
        are joined before warping, so that no seam is left between them.

        Returns:
            (y, x) in `array.dtype`, `array.nodata` where no asset has data; True where anything was resampled.

        Raises:
            ReadError: an asset cannot be read, is of another dtype, or has blocks that were never written.
        """
        with ranges.blamed(*(a.href for a in assets)):
            return self._read(assets, array, location, zero_is_nodata)

    def _read(
        self, assets: Sequence[Asset], array: ArraySpec, location: Location, zero_is_nodata: bool
    ) -> tuple[NDArray[Any], bool]:
        pieces = [p for a in assets if (p := self._piece(a, array, location, zero_is_nodata)) is not None]
        if len(pieces) == 1 and pieces[0].exact:
            return pieces[0].pixels, False
        out = np.full(grid.geobox(location, array.step(location.size_m)).shape, array.nodata, array.dtype)
        groups = _joined(pieces, array.nodata)
        layers = [_on_grid(group, groups, array, location) for group, _ in groups]
        if len(groups) > 1:
            # Two pieces on different pixel grids both reach half a pixel into each other: each speaks for its own area.
            of = {i: layer for (_, members), layer in zip(groups, layers, strict=True) for i in members}
            for i, piece in enumerate(pieces):
                hole = (out == array.nodata) & _area(piece.transform, piece.pixels.shape, piece.crs, array, location)
                out[hole] = of[i][hole]
        for layer in layers:
            hole = out == array.nodata
            out[hole] = layer[hole]
        return out, any(not group.exact for group, _ in groups)

    def covered(self, assets: Sequence[Asset], array: ArraySpec, location: Location) -> NDArray[np.bool_]:
        """(y, x) True where an asset that was read reaches, whether it has data there or not. Raises as `read` does."""
        out = np.zeros((array.px(location.size_m),) * 2, bool)
        for asset in assets:
            out |= self._retried(asset, functools.partial(_reached, asset, array, location))
        return out

    def coarse(self, asset: Asset, array: ArraySpec) -> NDArray[Any]:
        """What a fixed, coarse look at the whole file sees of a band: the values of its valid pixels, for statistics.

        It follows from the file alone: not from patches, nor from what was read before. It is of the coarsest overview that
        has `COARSE_PX` pixels on its longer side, or of the image where there is none; and of that of `COARSE_BLOCKS` blocks
        at most, spread evenly. Fetch it ahead with `Read(asset, array, None)`.

        Returns:
            (n,) in `array.dtype`, as the file holds them, in an order that is the same for all files of one layout. n may be
            0. What the file declares missing, what is `array.nodata` and what is not finite is left out.

        Raises:
            ReadError: as `read` does.
        """

        def look(raster: Raster) -> NDArray[Any]:
            _check(raster, array, asset)
            values: NDArray[Any] = raster.coarse(asset.band).astype(array.dtype, copy=False)
            known = values != array.nodata
            if values.dtype.kind == "f":
                known &= np.isfinite(values)
            found: NDArray[Any] = values[known]
            return found

        return self._retried(asset, look)

    def prefetch(self, groups: Sequence[Sequence[Read]]) -> int:
        """Begins to fetch what groups of reads need: the blocks of all together, each once, neighbours in one request.

        It says nothing of what fails: whoever reads it is told.

        Args:
            groups: in the order in which they will be read.

        Returns:
            How many of them, from the first: as many as have room, and one at least.
        """
        for asset in {read.asset.href: read.asset for group in groups for read in group}.values():
            with contextlib.suppress(ReadError):  # it leads nowhere
                self._file(asset).ask_head()
        wanted: dict[SparseFile, set[Span]] = {}
        room = self._pieces.room_bytes
        total = count = 0
        for group in groups:
            more: dict[SparseFile, set[Span]] = {}
            for read in group:
                for file, spans in self._spans(read).items():
                    new = spans - wanted.get(file, set())
                    if sum(span.stop - span.start for span in new) <= room:  # else it is fetched as it is read
                        more.setdefault(file, set()).update(new)
            # With the bytes between two ranges of one request, of which there are no more than so many.
            total += sum(span.stop - span.start + GAP_BYTES for spans in more.values() for span in spans)
            if count and total > room:
                break
            for file, spans in more.items():
                wanted.setdefault(file, set()).update(spans)
            count += 1
        for file, found in wanted.items():
            file.keep(found)  # all of them, before anything that is new needs room
        for file, found in wanted.items():
            with contextlib.suppress(ReadError):  # as below
                file.ask(found)
        return count

    def _spans(self, read: Read) -> dict[SparseFile, set[Span]]:
        """Which bytes of which file a read takes; nothing where that cannot be told, for whatever reason."""
        with contextlib.suppress(
            Exception
        ):  # whoever reads it meets the same, and says for which source of which patch
            raster = self._raster(read.asset)
            if read.location is None:
                return by_file(raster.coarse_spans(read.asset.band))
            window, _ = _wanted(raster, read.array, read.location)
            inside = None if window is None else raster.inside(window)
            if inside is not None:
                return by_file(raster.spans(read.asset.band, inside))
        return {}

    def _piece(self, asset: Asset, array: ArraySpec, location: Location, zero_is_nodata: bool) -> Piece | None:
        """The asset's pixels that the location needs; None where the two do not meet."""

        def crop(raster: Raster) -> Piece | None:
            crs = _check(raster, array, asset)
            window, is_exact = _wanted(raster, array, location)
            if window is None or raster.inside(window) is None:
                _check_place(raster, crs, asset)
                return None
            pixels = self._crop(raster, asset, window, array)
            if zero_is_nodata:
                pixels[pixels == 0] = array.nodata
            t = rasterio.windows.transform(Window(*window), raster.transform)
            if raster.is_geographic:
                turn = 360 * round((location.lon - t.c) / 360)
                t = Affine(t.a, t.b, t.c + turn, t.d, t.e, t.f)
            return Piece(pixels, t, crs, is_exact)

        return self._retried(asset, crop)

    def _crop(self, raster: Raster, asset: Asset, window: PixelWindow, array: ArraySpec) -> NDArray[Any]:
        """The pixels of a window, (y, x) in `array.dtype`, which may reach beyond the file: there it is nodata."""
        inside = raster.inside(window)
        if inside is None:
            return np.full((window.height, window.width), array.nodata, array.dtype)
        raw = raster.read(asset.band, inside)
        pixels = raw.astype(array.dtype, copy=False)
        pixels[~raster.valid(asset.band, inside, raw)] = array.nodata
        if inside == window:
            return pixels
        out = np.full((window.height, window.width), array.nodata, array.dtype)
        row, col = inside.row - window.row, inside.col - window.col
        out[row : row + inside.height, col : col + inside.width] = pixels
        return out

    def _retried(self, asset: Asset, use: Callable[[Raster], T]) -> T:
        """What `use` makes of the opened asset.

        Raises:
            ReadError: its bytes could not be had, or cannot be decoded, fetched anew either; or `use` raised it.
        """
        with ranges.blamed(asset.href):
            return self._tried(asset, use)

    def _tried(self, asset: Asset, use: Callable[[Raster], T]) -> T:
        file = self._file(asset)
        for attempt in range(TRIES):
            try:
                return use(self._raster(asset))
            except (ReadError, BrokenError) as err:
                self._close(asset.href)
                # Where it could not be opened either is to blame: both are asked for anew, whoever wants them next.
                file.forget()
                if (beside := self._beside(asset)) is not None:
                    beside.forget()
                if isinstance(err, ReadError) and not isinstance(err, ChangedError):
                    raise
                if attempt == TRIES - 1 and isinstance(err, OtherFormatError):
                    raise ReadError(f"{asset.href}: {err}; it was asked for {TRIES} times") from None
                if attempt == TRIES - 1:
                    kind = PassingError if isinstance(err, PassingError) else ReadError
                    raise kind(
                        f"{asset.href}: could not be read in {TRIES} tries: {err}; where a rerun says so again the file is "
                        "damaged: report it to the provider"
                    ) from None
                log.info("%s: read anew (%s)", asset.href, err)
        raise AssertionError("unreachable")

    def _file(self, asset: Asset) -> SparseFile:
        file = self._files.get(asset.href)
        if file is None:
            url = hrefs.located(asset.href, self.base, self._folders)
            file = self._files[asset.href] = SparseFile(
                Place(url, asset.sign, self._per_host), asset.href, self.counts, self._pieces, self._ended
            )
        return file

    def _raster(self, asset: Asset) -> Raster:
        """The asset, opened. Raises as `Raster` does."""
        if asset.href not in self._rasters:
            self._rasters[asset.href] = Raster(self._file(asset), self._decoded, self._beside(asset))
        return self._rasters[asset.href]

    def _beside(self, asset: Asset) -> SparseFile | None:
        """The file's mask in a file of its own, where there is one: looked for on disks, where that costs nothing."""
        place = self._file(asset).place
        if place.is_remote:
            return None
        beside = Path(f"{place.url}.msk")
        return self._file(replace(asset, href=str(beside.absolute()))) if beside.exists() else None

    def _close(self, href: str) -> None:
        """Drops an opened file, where it was open."""
        raster = self._rasters.pop(href, None)
        if raster is not None:
            raster.close()


def _check(raster: Raster, array: ArraySpec, asset: Asset) -> rasterio.crs.CRS:
    """The file's CRS, where it says where its pixels are, and has the band in a dtype that the array's holds.

    Raises:
        ReadError: it does not.
    """
    if raster.crs is None:
        raise ReadError(
            f"{asset.href}: states no CRS, so where its pixels are is not known (ground control points are not used); "
            "read a terrain-corrected or projected product instead"
        )
    if asset.band > raster.bands:
        raise ReadError(f"{asset.href}: has {raster.bands} bands, expected a band {asset.band}; mend asset_bands")
    if not np.can_cast(raster.dtype, array.dtype, "safe"):
        raise ReadError(
            f"{asset.href}: pixels are {raster.dtype}, expected {array.dtype} ({array.unit}); "
            "the source's file in stac_queries/ does not describe this catalog's pixels"
        )
    return raster.crs


def _check_place(raster: Raster, crs: rasterio.crs.CRS, asset: Asset) -> None:
    """Passes where a file that a location does not meet lies where its item says, as far as that is known.

    Raises:
        BrokenError: it does not, so that it may well have the location's pixels: they are not nodata.
    """
    if asset.holds is None:
        return
    cols, rows = _seen(raster.transform, raster.width, crs, 4326, np.array(asset.holds[:1]), np.array(asset.holds[1:]))
    if not (0 <= cols[0] <= raster.width and 0 <= rows[0] <= raster.height):
        lon, lat = asset.holds
        raise BrokenError(
            f"its header puts it elsewhere than its item does: longitude {lon:.4f}, latitude {lat:.4f} would be at "
            f"column {cols[0]:.0f} row {rows[0]:.0f} of {raster.width} × {raster.height} pixels"
        )


def _pixel(transform: Affine, x: Any, y: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Columns and rows of points, counted in pixels from the outer corner of the first."""
    inverse, x, y = ~transform, np.asarray(x), np.asarray(y)
    return inverse.a * x + inverse.b * y + inverse.c, inverse.d * x + inverse.e * y + inverse.f


def _located(
    transform: Affine, width: int, crs: rasterio.crs.CRS, target: GeoBox, location: Location, cols: Any, rows: Any
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Columns and rows, in a raster, of points given by columns and rows of the target."""
    x = target.affine.c + target.affine.a * np.ravel(cols)
    y = target.affine.f + target.affine.e * np.ravel(rows)
    return _seen(transform, width, crs, location.epsg, x, y)


def _seen(
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


def _wanted(raster: Raster, array: ArraySpec, location: Location) -> tuple[PixelWindow | None, bool]:
    """The window of a file that a location needs (None for none), and whether its pixels are the grid's own.

    It may reach beyond the file where it is an exact crop. Nothing is wanted of a file without a CRS.
    """
    at = grid.offset_px(location, raster.transform, raster.epsg, array.step(location.size_m))
    if at is not None:
        n = array.px(location.size_m)
        return PixelWindow(*at, n, n), True
    if raster.crs is None:
        return None, False
    return _window(raster, raster.crs, grid.geobox(location, array.step(location.size_m)), location), False


def _window(raster: Raster, crs: rasterio.crs.CRS, target: GeoBox, location: Location) -> PixelWindow | None:
    """The source pixels that a warp onto `target` needs, inside the file; None for none."""
    n = 17
    cols, rows = np.meshgrid(np.linspace(0, target.width, n), np.linspace(0, target.height, n))
    sx, sy = _located(raster.transform, raster.width, crs, target, location, cols, rows)
    if not (np.isfinite(sx).all() and np.isfinite(sy).all()):
        return None
    scale = max(np.ptp(sx), np.ptp(sy)) / max(target.shape)
    margin = _MARGIN_PX + int(np.ceil(scale))
    left, top = int(np.floor(sx.min())) - margin, int(np.floor(sy.min())) - margin
    right, bottom = int(np.ceil(sx.max())) + margin, int(np.ceil(sy.max())) + margin
    left, top = max(left, 0), max(top, 0)
    right, bottom = min(right, raster.width), min(bottom, raster.height)
    return PixelWindow(left, top, right - left, bottom - top) if right > left and bottom > top else None


def _joined(pieces: Sequence[Piece], nodata: float) -> list[tuple[Piece, list[int]]]:
    """Pieces with those that share CRS and pixel grid joined into one, and which they are; earlier ones win."""
    out: list[tuple[Piece, list[int]]] = []
    for n, piece in enumerate(pieces):
        for i, (other, members) in enumerate(out):
            if (at := _same_grid(other, piece)) is not None:
                out[i] = _union(other, piece, at, nodata), [*members, n]
                break
        else:
            out.append((piece, [n]))
    return out


def _same_grid(a: Piece, b: Piece) -> tuple[int, int] | None:
    """Column and row of b's first pixel counted from a's, where both lie on one pixel grid."""
    s, t = a.transform, b.transform
    alike = np.allclose((s.a, s.b, s.d, s.e), (t.a, t.b, t.d, t.e), rtol=1e-7, atol=0)
    if a.exact != b.exact or a.crs != b.crs or not alike:
        return None
    col, row = (float(v) for v in _pixel(s, t.c, t.f))
    # Published tiles state their corners to about 1e-9 degrees: a thousandth of a pixel tells the same grid from another.
    return (round(col), round(row)) if abs(col - round(col)) < 1e-3 and abs(row - round(row)) < 1e-3 else None


def _union(a: Piece, b: Piece, at: tuple[int, int], nodata: float) -> Piece:
    left, top = min(0, at[0]), min(0, at[1])
    right = max(a.pixels.shape[1], at[0] + b.pixels.shape[1])
    bottom = max(a.pixels.shape[0], at[1] + b.pixels.shape[0])
    out = np.full((bottom - top, right - left), nodata, a.pixels.dtype)
    for piece, (col, row) in ((b, at), (a, (0, 0))):
        h, w = piece.pixels.shape
        part = out[row - top : row - top + h, col - left : col - left + w]
        part[piece.pixels != nodata] = piece.pixels[piece.pixels != nodata]
    transform = rasterio.windows.transform(Window(left, top, 1, 1), a.transform)
    return Piece(out, transform, a.crs, a.exact)


def _area(
    transform: Affine, shape: tuple[int, ...], crs: rasterio.crs.CRS, array: ArraySpec, location: Location
) -> NDArray[np.bool_]:
    """(y, x) True where the centre of the grid's pixel lies in a raster of that shape."""
    target = grid.geobox(location, array.step(location.size_m))
    height, width = shape
    cols, rows = np.meshgrid(np.arange(target.width) + 0.5, np.arange(target.height) + 0.5)
    x, y = _located(transform, width, crs, target, location, cols, rows)
    inside: NDArray[np.bool_] = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return inside.reshape(target.shape)


def _reached(asset: Asset, array: ArraySpec, location: Location, raster: Raster) -> NDArray[np.bool_]:
    """`_area` of an opened file. Raises as `_check` does."""
    shape = raster.height, raster.width
    return _area(raster.transform, shape, _check(raster, array, asset), array, location)


def _on_grid(
    piece: Piece, groups: Sequence[tuple[Piece, list[int]]], array: ArraySpec, location: Location
) -> NDArray[Any]:
    """The piece on the location's grid, (y, x) in `array.dtype`: as it is where exact, else resampled once."""
    if piece.exact:
        return piece.pixels
    method = resampling(array, piece.crs, piece.transform, location)
    if method in (Resampling.bilinear, Resampling.average):
        piece = _rimmed(piece, [other for other, _ in groups if other is not piece], array.nodata)
    target = grid.geobox(location, array.step(location.size_m))
    return _warped(piece, (target.height, target.width), target.affine, f"EPSG:{location.epsg}", method, array.nodata)


def _rimmed(piece: Piece, others: Sequence[Piece], nodata: float) -> Piece:
    """The piece with a rim of what others hold beyond its edges, so that it is interpolated, not cut off, up to them."""
    if not others:
        return piece
    n = _MARGIN_PX
    rim = np.pad(np.zeros(piece.pixels.shape, bool), n, constant_values=True)
    out = np.pad(piece.pixels, n, constant_values=nodata)
    transform = rasterio.windows.transform(Window(-n, -n, 1, 1), piece.transform)
    for other in others:
        there = _warped(other, (out.shape[0], out.shape[1]), transform, piece.crs, Resampling.bilinear, nodata)
        hole = rim & (out == nodata)
        out[hole] = there[hole]
    return replace(piece, pixels=out, transform=transform)


def _warped(
    piece: Piece, shape: tuple[int, int], transform: Affine, crs: Any, method: Resampling, nodata: float
) -> NDArray[Any]:
    """The piece on a grid, (y, x) in its dtype, by GDAL's warper, each pixel located exactly."""
    height, width = piece.pixels.shape
    source_crs, source_transform = _about_antimeridian(piece)
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": piece.pixels.dtype}
    with MemoryFile() as memory:
        with memory.open(**profile, transform=source_transform, nodata=nodata) as file:
            file.write(piece.pixels, 1)
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
            pixels: NDArray[Any] = vrt.read(1)
    return pixels


def _about_antimeridian(piece: Piece) -> tuple[rasterio.crs.CRS, Affine]:
    """CRS and transform of a piece; where it runs across the antimeridian, with longitudes counted from there.

    GDAL looks for 179.9°W at -179.9 and would find nothing in a piece that has it at 180.1.
    """
    t = piece.transform
    west, east = t.c, t.c + t.a * piece.pixels.shape[1]
    if not piece.crs.is_geographic or (west >= -180 and east <= 180):
        return piece.crs, t
    wkt = re.sub(r',AUTHORITY\["[^"]*","[^"]*"\]', "", piece.crs.to_wkt(version="WKT1_GDAL"))
    crs = rasterio.crs.CRS.from_wkt(wkt.replace('PRIMEM["Greenwich",0]', 'PRIMEM["Antimeridian",180]'))
    return crs, Affine(t.a, t.b, t.c - math.copysign(180, west), t.d, t.e, t.f)


def resampling(array: ArraySpec, crs: rasterio.crs.CRS, transform: Affine, location: Location) -> Resampling:
    """The declared method for going from a scene's pixel size to the array's: `down` where it is clearly coarser."""
    res_m = math.hypot(transform.b, transform.e) * (111_195.0 if crs.is_geographic else 1.0)
    own_m, _ = grid.pixel_m(location, array.step(location.size_m))
    return Resampling[array.down if own_m >= 1.5 * res_m else array.up]
