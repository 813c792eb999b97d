"""One opened TIFF: what its header says, taken down once, where its blocks are, and their pixels.

tifffile reads the header and decodes blocks, from bytes that are all here; GDAL says where the file lies on Earth. GDAL
is not given the file itself: it answers what it cannot read from a file of this program's with a crash or with zeros.
"""

from __future__ import annotations

import io
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import IO, Any, cast

import numpy as np
import rasterio
import tifffile
from affine import Affine
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from curation.model import ReadError
from curation.read.blocks import PixelWindow, Span, of_window
from curation.read.sparse import HDF5, Opened, SparseFile

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what matters of a header is checked here

_WHERE = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)
"""Tags that say where a file lies, and what 'no data' is: GeoTIFF 1.1 section 7.1, and GDAL's own two."""

_MOST_PLACES = 1024
"""That are kept."""

_places: OrderedDict[Any, tuple[rasterio.crs.CRS | None, Affine, float | None]] = OrderedDict()
_places_lock = threading.Lock()


class BrokenError(Exception):
    """The bytes are here and cannot be what they should be."""


class Decoded:
    """Blocks that were decoded, of all files of a reader, within a limit: what was used longest ago goes first."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self._blocks: OrderedDict[tuple[Raster, int, int, int], NDArray[Any]] = OrderedDict()

    def get(self, key: tuple[Raster, int, int, int]) -> NDArray[Any] | None:
        """A block, where it is still here."""
        found = self._blocks.get(key)
        if found is not None:
            self._blocks.move_to_end(key)
        return found

    def add(self, key: tuple[Raster, int, int, int], pixels: NDArray[Any]) -> None:
        """Keeps one."""
        self._blocks[key] = pixels
        self.bytes += pixels.nbytes
        while self.bytes > self.limit_bytes and len(self._blocks) > 1:
            self.bytes -= self._blocks.popitem(last=False)[1].nbytes

    def forget(self, raster: Raster) -> None:
        """Drops all of a file."""
        for key in [k for k in self._blocks if k[0] is raster]:
            self.bytes -= self._blocks.pop(key).nbytes


class Raster:
    """A file's first image. For one thread at a time, like the file below it."""

    def __init__(self, file: SparseFile, decoded: Decoded) -> None:
        """Reads the header.

        Raises:
            ReadError: its bytes cannot be had, or are those of a swath.
            BrokenError: they are not those of a TIFF.
        """
        self.href = file.name
        self._file = file
        self._decoded = decoded
        if file.head().data.startswith(HDF5):
            raise ReadError(
                f"{self.href}: is netCDF-4 (HDF5), expected a TIFF: a swath's pixels lie on no grid, whatever projection "
                "its item states; give the source reader = 'swath' and a table [swath] in stac_queries/"
            )
        try:
            with tifffile.TiffFile(cast(IO[bytes], Opened(file)), name="x.tif", size=file.head().size) as tiff:
                page = tiff.pages.first
                self._offsets: tuple[int, ...] = page.dataoffsets
                self._sizes: tuple[int, ...] = page.databytecounts
                self._decode = page.decode
                where = _place(page)
        except ReadError:
            raise
        except Exception as err:
            raise BrokenError(f"its header is not a TIFF's: {type(err).__name__}: {err}") from err
        if not page.dtype or page.imagedepth != 1:
            raise BrokenError(
                f"{page.bitspersample} bits a sample, {page.imagedepth} deep: no pixels that are read here"
            )
        self.width, self.height, self.bands = int(page.imagewidth), int(page.imagelength), int(page.samplesperpixel)
        self.dtype = np.dtype(page.dtype).newbyteorder("=")
        tile = (page.tilewidth, page.tilelength) if page.is_tiled else (self.width, min(page.rowsperstrip, self.height))
        self._block_width, self._block_height = int(tile[0]), int(tile[1])
        if min(self.width, self.height, self.bands, self._block_width, self._block_height) < 1:
            raise BrokenError(
                f"{self.width} × {self.height} pixels in blocks of {self._block_width} × {self._block_height}, "
                f"{self.bands} bands: expected one at least of each"
            )
        self._across, self._down = -(-self.width // self._block_width), -(-self.height // self._block_height)
        self._is_separate = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and self.bands > 1
        expected = self._across * self._down * (self.bands if self._is_separate else 1)
        if len(self._offsets) != expected or len(self._sizes) != expected:
            raise BrokenError(
                f"{len(self._offsets)} offsets and {len(self._sizes)} sizes of blocks, expected {expected} of each"
            )
        self.crs, self.transform, self.nodata = where
        if self.crs is not None and not _is_place(self.transform):
            raise BrokenError(f"its header gives no place to its pixels: transform {tuple(self.transform)[:6]}")
        self.epsg: int | None = self.crs.to_epsg() if self.crs else None
        self.is_geographic = bool(self.crs and self.crs.is_geographic)

    def close(self) -> None:
        """Drops the blocks that were decoded."""
        self._decoded.forget(self)

    def inside(self, window: PixelWindow) -> PixelWindow | None:
        """What of a window lies in the file."""
        col, row = max(window.col, 0), max(window.row, 0)
        right, bottom = min(window.col + window.width, self.width), min(window.row + window.height, self.height)
        return PixelWindow(col, row, right - col, bottom - row) if right > col and bottom > row else None

    def _blocks(self, band: int, window: PixelWindow) -> Iterator[tuple[int, int, Span | None]]:
        """Column, row and place of the blocks of a window; None for those that were never written.

        Raises:
            ReadError: such a one, in a file that declares no nodata.
        """
        first = (band - 1) * self._across * self._down if self._is_separate else 0
        for bx, by in of_window(window, self._block_width, self._block_height):
            number = first + by * self._across + bx
            start, size = self._offsets[number], self._sizes[number]
            if start and size:
                yield bx, by, Span(start, start + size)
            elif self.nodata is not None:
                yield bx, by, None  # a writer's way to say that all of it is nodata
            else:
                raise ReadError(
                    f"{self.href}: block column {bx} row {by} was never written and the file declares no nodata: "
                    "its zeros would be invented; report it to the provider"
                )

    def block_spans(self, band: int, window: PixelWindow) -> list[Span]:
        """Where the blocks of a window inside it are.

        Raises:
            ReadError: a block of the window is not in the file, which declares no nodata.
        """
        return [span for _, _, span in self._blocks(band, window) if span is not None]

    def read(self, band: int, window: PixelWindow) -> NDArray[Any]:
        """The pixels of a window inside the file, (y, x) in the file's dtype.

        Raises:
            ReadError: its bytes cannot be had, or a block was never written and the file declares no nodata.
            BrokenError: a block cannot be decoded, or not to as many pixels as it should have.
        """
        self._file.ask(self.block_spans(band, window))
        out = np.empty((window.height, window.width), self.dtype)
        for bx, by, span in self._blocks(band, window):
            left, top = bx * self._block_width, by * self._block_height
            c0, c1 = max(window.col, left), min(window.col + window.width, left + self._block_width)
            r0, r1 = max(window.row, top), min(window.row + window.height, top + self._block_height)
            into = out[r0 - window.row : r1 - window.row, c0 - window.col : c1 - window.col]
            if span is None:
                into[...] = self.nodata
            else:
                into[...] = self._block(band, bx, by, span)[r0 - top : r1 - top, c0 - left : c1 - left]
        return out

    def _block(self, band: int, bx: int, by: int, span: Span) -> NDArray[Any]:
        """A decoded block, (y, x); at the right and lower edge what lies in the file, at least."""
        plane = band - 1 if self._is_separate else 0
        key = (self, plane, bx, by)
        pixels = self._decoded.get(key)
        if pixels is None:
            data = self._file.read(span.start, span.stop - span.start)
            if len(data) != span.stop - span.start:
                raise BrokenError(f"ends before byte {span.stop}, where block column {bx} row {by} does")
            number = (plane * self._down + by) * self._across + bx
            try:
                found, _, shape = self._decode(data, number)
            except Exception as err:
                raise BrokenError(f"block column {bx} row {by} cannot be decoded: {type(err).__name__}: {err}") from err
            wide = min(self._block_width, self.width - bx * self._block_width)
            high = min(self._block_height, self.height - by * self._block_height)
            if found is None or found.dtype.newbyteorder("=") != self.dtype or shape[1] < high or shape[2] < wide:
                raise BrokenError(f"block column {bx} row {by} decodes to {shape}, expected {high} × {wide} pixels")
            pixels = found[0].astype(self.dtype, copy=False)
            self._decoded.add(key, pixels)
        return pixels[:, :, 0 if self._is_separate else band - 1]


def _is_place(transform: Affine) -> bool:
    """Whether a transform lays pixels out on Earth; GDAL gives the identity to a file that states none."""
    is_finite = bool(np.isfinite(tuple(transform)).all())
    return is_finite and not transform.is_degenerate and transform != Affine.identity()


def _place(page: Any) -> tuple[rasterio.crs.CRS | None, Affine, float | None]:
    """CRS, transform and nodata of a page, as GDAL reads them of a file of one pixel that has the page's tags.

    Most files of a scene have the same.
    """
    tags = [page.tags[code] for code in _WHERE if code in page.tags]
    key = (str(page.dtype), *((t.code, t.value) for t in tags))
    with _places_lock:
        if key in _places:
            _places.move_to_end(key)
            return _places[key]
    extra = [(t.code, int(t.dtype), 0 if t.dtype == tifffile.DATATYPE.ASCII else t.count, t.value, True) for t in tags]
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((1, 1), np.dtype(page.dtype).newbyteorder("=")), extratags=extra, metadata=None)
    with MemoryFile(file.getvalue()) as memory, memory.open() as dataset:
        found = dataset.crs, dataset.transform, dataset.nodatavals[0]
    with _places_lock:
        _places[key] = found
        while len(_places) > _MOST_PLACES:
            _places.popitem(last=False)
    return found
