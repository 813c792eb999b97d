"""One opened TIFF: what its header says, taken down once, where its blocks are, their pixels, and which of them are valid.

A file is a chain of images (IFDs): the first holds the pixels; NewSubfileType tells those that are it in fewer pixels
(overviews), those that say which pixels are valid (masks), and masks of overviews. Each may be anywhere in the chain, or
in a SubIFDs tag.

tifffile reads the header and decodes blocks, from bytes that are all here; GDAL says where the file lies on Earth. GDAL
is not given the file itself: it answers what it cannot read from a file of this program's with a crash or with zeros.
"""

from __future__ import annotations

import io
import logging
import math
import re
import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any, cast

import imagecodecs
import numpy as np
import rasterio
import tifffile
from affine import Affine
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from curation.model import ReadError
from curation.read.blocks import PixelWindow, Span, of_window
from curation.read.sparse import HDF5, Opened, SparseFile, what_it_is

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what matters of a header is checked here

_WHERE = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)
"""Tags that say where a file lies, and what 'no data' is: GeoTIFF 1.1 section 7.1, and GDAL's own two."""

_ORIGINS = (33922, 34264)
"""Those of them without one of which nothing says where the first pixel is: a tie point, or a whole transform."""

_FARTHEST = 1e9
"""No CRS of the Earth has coordinates so large: once around it are 4e7 metres."""

_MOST_PLACES = 1024
"""That are kept."""

_places: OrderedDict[Any, tuple[rasterio.crs.CRS | None, Affine, float | None]] = OrderedDict()
_places_lock = threading.Lock()


COARSE_PX = 256
"""The coarse look takes the coarsest overview that has as many pixels on its longer side: of a Sentinel-2 band of 10980 ×
10980 that of 343 × 343, which is one block of the usual 512 or nine of 128, and 100,000 pixels: enough for a hundredth."""

COARSE_BLOCKS = 16
"""It reads of an image, at most, spread evenly: 4 × 4 of tiles, each sixteenth of strips."""

_REDUCED, _MASK = 1, 4
"""Bits of NewSubfileType: TIFF 6.0, section 8."""

_ALPHA = (1, 2)
"""ExtraSamples that are opacity, associated or not: TIFF 6.0, section 18."""

_MOST_IFDS = 4096
"""A chain of more is damaged."""

MOST_BLOCK_BYTES = 128 * 2**20
"""Of one decoded block, as its header has it: that of 512 × 512 pixels of two bytes is half a megabyte, a DEM of 3601 × 3601
in one piece has 52. A patch is a few hundred pixels wide: who would have to decode more for it is told so."""

MOST_WINDOW_BYTES = 256 * 2**20
"""Of the pixels that one read is of: a whole Sentinel-2 band of 10980 × 10980 has 241 MB. What a header says of where its
pixels are may make a patch a window of any size."""

_MOST_TAG_BYTES = 16 * 2**20
"""Of all tags of an image: room for where a million blocks are, 260,000 pixels a side in blocks of 256."""

_LEAST_PACKED_BYTES = 64 * 2**10
"""What a block may take in a file beside twice its pixels' bytes: LZW makes half as many again of what it cannot pack."""

_JPEG, _LERC = 7, 34887
_PACKINGS = frozenset((1, 2, 3, 4, 5, _JPEG, 8, 32773, 32946, _LERC, 34925, 34926, 50000))
"""Compressions that are read: none, CCITT (three), LZW, JPEG, deflate, PackBits, deflate (old), LERC, LZMA, Zstandard (old,
new). Each is decoded into as many bytes as a block has, or says first of how many pixels it is. JPEG 2000, JPEG XL, WebP and
PNG would be decoded to whatever size they please."""

_TAG_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value, by the type of a tag: TIFF 6.0, section 2, and BigTIFF's three."""

_SUBFILE, _WIDTH, _LENGTH, _SUBIFDS, _GDAL_METADATA = 254, 256, 257, 330, 42112
"""Tags."""

_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
"""Types of a tag's values that may be a number of pixels, or a place in the file."""

_PER_DATASET = 2
"""GMF_PER_DATASET of GDAL's mask flags: one mask is for all bands."""


class BrokenError(Exception):
    """The bytes are here and cannot be what they should be."""


class OtherFormatError(BrokenError):
    """The bytes are whole, as far as can be seen, and those of something else than a TIFF."""


class Decoded:
    """Blocks that were decoded, of all files of a reader, within a limit: what was used longest ago goes first."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self._blocks: OrderedDict[_Key, NDArray[Any]] = OrderedDict()

    def get(self, key: _Key) -> NDArray[Any] | None:
        """A block, where it is still here."""
        found = self._blocks.get(key)
        if found is not None:
            self._blocks.move_to_end(key)
        return found

    def add(self, key: _Key, pixels: NDArray[Any]) -> None:
        """Keeps one."""
        self._blocks[key] = pixels
        self.bytes += pixels.nbytes
        while self.bytes > self.limit_bytes and len(self._blocks) > 1:
            self.bytes -= self._blocks.popitem(last=False)[1].nbytes

    def forget(self, image: _Image) -> None:
        """Drops all of an image."""
        for key in [k for k in self._blocks if k[0] is image]:
            self.bytes -= self._blocks.pop(key).nbytes


@dataclass(frozen=True, slots=True)
class _Ifd:
    """What tells an image of a chain from the others."""

    at: int
    """Where its entry in the chain is, bytes."""
    kind: int
    """NewSubfileType."""
    width: int
    height: int


class _Image:
    """One image of a chain: where its blocks are, and their pixels."""

    def __init__(self, file: SparseFile, decoded: Decoded, page: Any, what: str) -> None:
        """Takes down what its page says; `what` is it, for errors: empty for a file's first.

        Raises:
            BrokenError: it says what cannot be.
        """
        self.file = file
        self._decoded = decoded
        self._what = what
        if not page.dtype or page.imagedepth != 1:
            raise BrokenError(
                f"{what}{page.bitspersample} bits a sample, {page.imagedepth} deep: no pixels that are read here"
            )
        self._offsets: tuple[int, ...] = page.dataoffsets
        self._sizes: tuple[int, ...] = page.databytecounts
        self._decode = page.decode
        self.width, self.height, self.bands = int(page.imagewidth), int(page.imagelength), int(page.samplesperpixel)
        self.dtype = np.dtype(page.dtype).newbyteorder("=")
        tile = (page.tilewidth, page.tilelength) if page.is_tiled else (self.width, min(page.rowsperstrip, self.height))
        self.block_width, self.block_height = int(tile[0]), int(tile[1])
        if min(self.width, self.height, self.bands, self.block_width, self.block_height) < 1:
            raise BrokenError(
                f"{what}{self.width} × {self.height} pixels in blocks of {self.block_width} × {self.block_height}, "
                f"{self.bands} bands: expected one at least of each"
            )
        self.across, self.down = -(-self.width // self.block_width), -(-self.height // self.block_height)
        self._is_separate = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and self.bands > 1
        self._packing = int(page.compression)
        self._block_px = self.block_width * self.block_height * (1 if self._is_separate else self.bands)
        self._most_packed = 2 * self._block_px * self.dtype.itemsize + _LEAST_PACKED_BYTES
        if page.is_tiled and page.tiledepth != 1:
            raise BrokenError(f"{what}its blocks are {page.tiledepth} deep: no pixels that are read here")
        expected = self.across * self.down * (self.bands if self._is_separate else 1)
        if len(self._offsets) != expected or len(self._sizes) != expected:
            raise BrokenError(
                f"{what}{len(self._offsets)} offsets and {len(self._sizes)} sizes of blocks, expected {expected} of each"
            )
        extra = tuple(int(e) for e in page.extrasamples)
        self.alpha = next((self.bands - len(extra) + i + 1 for i, e in enumerate(extra) if e in _ALPHA), None)
        """1-based band of it that is opacity; 0 there is no pixel."""

    def blocks(self, band: int, window: PixelWindow) -> Iterator[tuple[int, int, Span | None]]:
        """Column, row and place of the blocks of a window; None for those that were never written.

        Raises:
            ReadError: reading it would take more memory than it may.
            BrokenError: a block takes more of the file than it can.
        """
        self._check(window)
        most = self._most_packed
        first = (band - 1) * self.across * self.down if self._is_separate else 0
        for bx, by in of_window(window, self.block_width, self.block_height):
            number = first + by * self.across + bx
            start, size = self._offsets[number], self._sizes[number]
            if size > most:
                raise BrokenError(
                    f"{self._what}block column {bx} row {by} takes {size} bytes of the file, expected {most} at most for "
                    f"{self.block_width} × {self.block_height} pixels"
                )
            yield bx, by, Span(start, start + size) if start and size else None

    def _check(self, window: PixelWindow) -> None:
        """Passes where a window can be read within bounds, by what the header says: nothing is fetched or decoded before.

        Raises:
            ReadError: it cannot.
        """
        where = f"{self.file.name}: {self._what}"
        if self._packing not in _PACKINGS:
            raise ReadError(
                f"{where}is packed by TIFF compression {self._packing} ({_packing_name(self._packing)}), which is not read "
                "here; rewrite it with deflate"
            )
        if (size := self._block_px * self.dtype.itemsize) > MOST_BLOCK_BYTES:
            raise ReadError(
                f"{where}has blocks of {self.block_width} × {self.block_height} pixels, {size} bytes each, all of which "
                f"{window.width} × {window.height} pixels would take; expected {MOST_BLOCK_BYTES} bytes at most; rewrite it "
                "in tiles, as of 512 × 512"
            )
        if (size := window.width * window.height * self.dtype.itemsize) > MOST_WINDOW_BYTES:
            raise ReadError(
                f"{where}has {window.width} × {window.height} pixels where the location is, {size} bytes, expected "
                f"{MOST_WINDOW_BYTES} at most: by its transform its pixels are too small for the source's; leave it out"
            )

    def spans(self, band: int, window: PixelWindow) -> Iterator[tuple[SparseFile, Span]]:
        """Where the blocks of a window inside it are; nothing of those that were never written."""
        return ((self.file, span) for _, _, span in self.blocks(band, window) if span is not None)

    def window(self, bx: int, by: int) -> PixelWindow:
        """The pixels of a block that lie in the image."""
        left, top = bx * self.block_width, by * self.block_height
        return PixelWindow(
            left, top, min(self.block_width, self.width - left), min(self.block_height, self.height - top)
        )

    def read(self, band: int, window: PixelWindow) -> tuple[NDArray[Any], list[PixelWindow]]:
        """The pixels of a window inside it, (y, x) in its dtype, zeros where blocks were never written; and those.

        Raises:
            ReadError: its bytes cannot be had.
            BrokenError: a block cannot be decoded, or not to as many pixels as it should have.
        """
        self._check(window)
        self.file.ask(span for _, span in self.spans(band, window))
        out = np.zeros((window.height, window.width), self.dtype)
        unwritten = []
        for bx, by, span in self.blocks(band, window):
            block = self.window(bx, by)
            c0, c1 = max(window.col, block.col), min(window.col + window.width, block.col + block.width)
            r0, r1 = max(window.row, block.row), min(window.row + window.height, block.row + block.height)
            if span is None:
                unwritten.append(PixelWindow(c0, r0, c1 - c0, r1 - r0))
                continue
            pixels = self._block(band, bx, by, span)
            out[r0 - window.row : r1 - window.row, c0 - window.col : c1 - window.col] = pixels[
                r0 - block.row : r1 - block.row, c0 - block.col : c1 - block.col
            ]
        return out, unwritten

    def _block(self, band: int, bx: int, by: int, span: Span) -> NDArray[Any]:
        """A decoded block, (y, x); at the right and lower edge what lies in the file, at least."""
        plane = band - 1 if self._is_separate else 0
        key = (self, plane, bx, by)
        pixels = self._decoded.get(key)
        if pixels is None:
            where = f"{self._what}block column {bx} row {by}"
            data = self.file.read(span.start, span.stop - span.start)
            if len(data) != span.stop - span.start:
                raise BrokenError(f"ends before byte {span.stop}, where {where} does")
            number = (plane * self.down + by) * self.across + bx
            if (
                stated := _samples_stated(self._packing, data, self._most_packed)
            ) is not None and stated > self._block_px:
                raise BrokenError(f"{where} would decode to {stated} samples, expected {self._block_px} at most")
            try:
                found, _, shape = self._decode(data, number)
            except Exception as err:
                raise BrokenError(f"{where} cannot be decoded: {type(err).__name__}: {err}") from err
            wide, high = self.window(bx, by)[2:]
            if found is None or found.dtype.newbyteorder("=") != self.dtype or shape[1] < high or shape[2] < wide:
                raise BrokenError(f"{where} decodes to {shape}, expected {high} × {wide} pixels")
            pixels = found[0].astype(self.dtype, copy=False)
            self._decoded.add(key, pixels)
        return pixels[:, :, 0 if self._is_separate else band - 1]

    def sample(self) -> list[PixelWindow]:
        """Blocks spread evenly over it, the same of each band: all, where they are few."""
        wide = min(self.across, max(round(COARSE_BLOCKS**0.5), COARSE_BLOCKS // self.down))
        high = min(self.down, COARSE_BLOCKS // wide)

        def spread(count: int, of: int) -> list[int]:
            return [(2 * i + 1) * of // (2 * count) for i in range(count)]

        return [self.window(bx, by) for by in spread(high, self.down) for bx in spread(wide, self.across)]


_Key = tuple[_Image, int, int, int]
"""Image, plane, column and row of a block."""


class _Chain:
    """A file's images, of which each is looked at when it is wanted."""

    def __init__(self, file: SparseFile, decoded: Decoded) -> None:
        """Reads the header.

        Raises:
            ReadError: its bytes cannot be had.
            BrokenError: they are not those of a TIFF.
        """
        self.file = file
        self._decoded = decoded
        head = file.head()
        if (other := what_it_is(head.data)) is not None:
            raise OtherFormatError(f"{other}, expected a TIFF")
        try:
            try:
                self._ifds = _ifds(Opened(file), head.size)
            except BrokenError as err:
                raise BrokenError(f"its header is not a TIFF's: {err}") from None
            with self._tiff() as tiff:
                self.first = tiff.pages.first
            self.image = _Image(file, decoded, self.first, "")
        except (ReadError, BrokenError):
            raise
        except Exception as err:
            raise BrokenError(f"its header is not a TIFF's: {type(err).__name__}: {err}") from err
        self._images: dict[int, _Image] = {}

    def _tiff(self) -> tifffile.TiffFile:
        return tifffile.TiffFile(cast(IO[bytes], Opened(self.file)), name="x.tif", size=self.file.head().size)

    def forget(self) -> None:
        """Drops the blocks that were decoded."""
        for image in (self.image, *self._images.values()):
            self._decoded.forget(image)

    def _at(self, ifd: _Ifd, what: str) -> _Image:
        if ifd.at not in self._images:
            try:
                with self._tiff() as tiff:
                    tiff.filehandle.seek(ifd.at)
                    page = tifffile.TiffPage(tiff, index=1)
                self._images[ifd.at] = _Image(self.file, self._decoded, page, what)
            except (ReadError, BrokenError):
                raise
            except Exception as err:
                raise BrokenError(f"{what}its header is not a TIFF's: {type(err).__name__}: {err}") from err
        return self._images[ifd.at]

    def mask(self) -> _Image | None:
        """The mask of the image, where it has one: the first.

        Raises:
            BrokenError: it is of another size, or of as many bands as there is no rule for.
        """
        found = next((i for i in self._ifds[1:] if i.kind & _MASK and not i.kind & _REDUCED), None)
        if found is None:
            return None
        return _fitting(self._at(found, "its mask: "), self.image)

    def overviews(self) -> Iterator[_Image]:
        """The image in fewer pixels, the coarsest first."""
        width, height = self.image.width, self.image.height
        found = [i for i in self._ifds[1:] if i.kind & _REDUCED and not i.kind & _MASK and 0 < i.width < width]
        for ifd in sorted(found, key=lambda i: (i.width, i.height, i.at)):
            if abs(ifd.height - height * ifd.width / width) > 1 + height / width:
                continue  # a preview, in a frame of its own
            image = self._at(ifd, f"its overview of {ifd.width} × {ifd.height} pixels: ")
            if (image.bands, image.dtype) == (self.image.bands, self.image.dtype):
                yield image

    def reduced_mask(self, width: int, height: int) -> _Image | None:
        """The mask of so many pixels, of an overview."""
        for ifd in self._ifds[1:]:
            if ifd.kind & _MASK and ifd.kind & _REDUCED and (ifd.width, ifd.height) == (width, height):
                return self._at(ifd, f"its mask of {width} × {height} pixels: ")
        return None

    def reduced(self, width: int, height: int) -> _Image | None:
        """The overview of so many pixels."""
        return next((i for i in self.overviews() if (i.width, i.height) == (width, height)), None)


class Raster:
    """A file's first image, with its mask and its overviews. For one thread at a time, like the file below it.

    Which of its pixels are valid it says as GDAL does: a mask decides, of the file or in a file beside it (`.msk`), the
    file's own first, and then a pixel that holds the nodata value is one as any other; where there is none, the nodata value
    does. What is fully transparent is not valid, whatever else is declared.
    """

    def __init__(self, file: SparseFile, decoded: Decoded, beside: SparseFile | None = None) -> None:
        """Reads the header.

        Args:
            file: the TIFF.
            decoded: where blocks are kept.
            beside: its mask in a file of its own, where there is one.

        Raises:
            ReadError: its bytes cannot be had, or are those of a swath.
            BrokenError: they are not those of a TIFF, or its mask is not one.
        """
        self.href = file.name
        if file.head().data.startswith(HDF5):
            raise ReadError(
                f"{self.href}: is netCDF-4 (HDF5), expected a TIFF: a swath's pixels lie on no grid, whatever projection "
                "its item states; give the source reader = 'swath' and a table [swath] in stac_queries/"
            )
        self._chain = _Chain(file, decoded)
        self._image = self._chain.image
        self.width, self.height, self.bands = self._image.width, self._image.height, self._image.bands
        self.dtype = self._image.dtype
        try:
            self.crs, self.transform, self.nodata = _place(self._chain.first)
        except Exception as err:
            raise BrokenError(f"its header is not a TIFF's: {type(err).__name__}: {err}") from err
        if self.crs is not None and not _is_place(self.transform):
            raise BrokenError(f"its header gives no place to its pixels: transform {tuple(self.transform)[:6]}")
        self.epsg: int | None = self.crs.to_epsg() if self.crs else None
        self.is_geographic = bool(self.crs and self.crs.is_geographic)
        self._mask = self._chain.mask()
        self._beside: _Chain | None = None
        self._flags: dict[int, int] = {}
        if self._mask is None and beside is not None:
            try:
                self._beside = _Chain(beside, decoded)
                _fitting(self._beside.image, self._image)
                self._flags = _mask_flags(self._beside.first)
            except BrokenError as err:
                raise type(err)(f"its mask {beside.name}: {err}") from err

    def close(self) -> None:
        """Drops the blocks that were decoded."""
        self._chain.forget()
        if self._beside is not None:
            self._beside.forget()

    def inside(self, window: PixelWindow) -> PixelWindow | None:
        """What of a window lies in the file."""
        col, row = max(window.col, 0), max(window.row, 0)
        right, bottom = min(window.col + window.width, self.width), min(window.row + window.height, self.height)
        return PixelWindow(col, row, right - col, bottom - row) if right > col and bottom > row else None

    def _masked_by(self, band: int) -> tuple[_Image, int] | None:
        """The mask of a band, and which of its bands that is."""
        if self._mask is not None:
            return self._mask, 1 if self._mask.bands == 1 else band
        flags = self._flags.get(band, self._flags.get(1, 0) if self._flags.get(1, 0) & _PER_DATASET else None)
        if self._beside is None or flags is None:
            return None
        mask = self._beside.image
        return mask, 1 if flags & _PER_DATASET or mask.bands == 1 else band

    def spans(self, band: int, window: PixelWindow) -> Iterator[tuple[SparseFile, Span]]:
        """Which bytes of which file a window inside it takes, those that say what is valid among them."""
        return _spans(self._image, self._masked_by(band), band, window)

    def read(self, band: int, window: PixelWindow) -> NDArray[Any]:
        """The pixels of a window inside the file, (y, x) in the file's dtype, those that are not valid among them.

        Raises:
            ReadError: its bytes cannot be had, or a block was never written, the file declares no nodata and its mask says
                that the block is valid.
            BrokenError: a block cannot be decoded, or not to as many pixels as it should have.
        """
        return self._read(self._image, self._masked_by(band), band, window)

    def valid(self, band: int, window: PixelWindow, pixels: NDArray[Any]) -> NDArray[np.bool_]:
        """(y, x) True where pixels that `read` gave are valid, by what the file declares. Raises as `read` does."""
        return self._valid(self._image, self._masked_by(band), band, window, pixels)

    def _read(self, image: _Image, mask: tuple[_Image, int] | None, band: int, window: PixelWindow) -> NDArray[Any]:
        pixels, unwritten = image.read(band, window)
        for block in unwritten:  # a writer's way to say that none of it is valid
            at = (
                slice(block.row - window.row, block.row - window.row + block.height),
                slice(block.col - window.col, block.col - window.col + block.width),
            )
            if self.nodata is not None:
                pixels[at] = self.nodata
            elif mask is None or mask[0].read(mask[1], block)[0].any():
                raise ReadError(
                    f"{self.href}: block column {block.col // image.block_width} row {block.row // image.block_height} was "
                    f"never written and the file declares no nodata{'' if mask is None else ' where its mask says so'}: "
                    "its zeros would be invented; report it to the provider"
                )
        return pixels

    def _valid(
        self, image: _Image, mask: tuple[_Image, int] | None, band: int, window: PixelWindow, pixels: NDArray[Any]
    ) -> NDArray[np.bool_]:
        if mask is not None:
            valid: NDArray[np.bool_] = (
                mask[0].read(mask[1], window)[0] != 0
            )  # a block of a mask that was never written is 0, to GDAL, too
        elif self.nodata is not None:
            valid = ~np.isnan(pixels) if np.isnan(self.nodata) else pixels != self.nodata
        else:
            valid = np.ones(pixels.shape, bool)
        if image.alpha is not None and image.alpha != band:
            valid &= image.read(image.alpha, window)[0] != 0
        return valid

    def _level(self, band: int) -> tuple[_Image, tuple[_Image, int] | None]:
        """The image that the coarse look is at, and its mask: the coarsest that is fine enough, masked if the file is."""
        mask = self._masked_by(band)
        for image in self._chain.overviews():
            if max(image.width, image.height) < COARSE_PX:
                continue
            if mask is None:
                return image, None
            reduced = (
                self._chain.reduced_mask(image.width, image.height)
                if self._beside is None
                else self._beside.reduced(image.width, image.height)
            )
            if reduced is not None and reduced.bands == mask[0].bands:
                return image, (reduced, mask[1])
        return self._image, mask

    def coarse_spans(self, band: int) -> Iterator[tuple[SparseFile, Span]]:
        """Which bytes of which file the coarse look takes."""
        image, mask = self._level(band)
        for window in image.sample():
            yield from _spans(image, mask, band, window)

    def coarse(self, band: int) -> NDArray[Any]:
        """(n,) valid pixels of the whole file, in its dtype, of a level's blocks spread evenly. Raises as `read`."""
        image, mask = self._level(band)
        windows = image.sample()
        for file, spans in by_file(s for w in windows for s in _spans(image, mask, band, w)).items():
            file.ask(spans)
        out = []
        for window in windows:
            pixels = self._read(image, mask, band, window)
            out.append(pixels[self._valid(image, mask, band, window, pixels)])
        return np.concatenate(out)


def by_file(spans: Iterable[tuple[SparseFile, Span]]) -> dict[SparseFile, set[Span]]:
    """Spans by the file that they are of."""
    out: dict[SparseFile, set[Span]] = {}
    for file, span in spans:
        out.setdefault(file, set()).add(span)
    return out


def _spans(
    image: _Image, mask: tuple[_Image, int] | None, band: int, window: PixelWindow
) -> Iterator[tuple[SparseFile, Span]]:
    yield from image.spans(band, window)
    if mask is not None:
        yield from mask[0].spans(mask[1], window)
    if image.alpha is not None:
        yield from image.spans(image.alpha, window)


def _fitting(mask: _Image, image: _Image) -> _Image:
    """The mask, where it is one of the image's.

    Raises:
        BrokenError: it is not.
    """
    if (mask.width, mask.height) != (image.width, image.height):
        raise BrokenError(
            f"its mask has {mask.width} × {mask.height} pixels, expected {image.width} × {image.height} as its image has: "
            "which pixels are valid is not known"
        )
    if mask.bands not in (1, image.bands):
        raise BrokenError(f"its mask has {mask.bands} bands, expected one, or {image.bands} as its image has")
    return mask


def _mask_flags(page: Any) -> dict[int, int]:
    """Band → GDAL's flags of its mask, as a file of masks declares them."""
    tag = page.tags.get(_GDAL_METADATA)
    found = re.findall(r'name="INTERNAL_MASK_FLAGS_(\d+)"[^>]*>\s*(\d+)', "" if tag is None else str(tag.value))
    return {int(band): int(flags) for band, flags in found}


def _packing_name(packing: int) -> str:
    """What a compression is called."""
    try:
        return tifffile.COMPRESSION(packing).name
    except ValueError:
        return "of no name known here"


def _samples_stated(packing: int, data: bytes, most_bytes: int) -> int | None:
    """How many samples a packed block would decode to; None where it is decoded into as many as there is room for.

    Raises:
        BrokenError: it should say so, and does not, or is packed twice and has more bytes than `most_bytes` between.
    """
    if packing == _LERC:
        if data[:4] == b"\x28\xb5\x2f\xfd":
            data = bytes(imagecodecs.zstd_decode(data, out=most_bytes))
        elif data[:1] == b"\x78":
            data = zlib.decompressobj().decompress(data, most_bytes)
        # A blob (Lerc2; Esri's lerc, doc/FileFormat) begins with its name, version, checksum since version 3, rows, columns,
        # and since version 4 values a pixel. There may be one for each band.
        version = int.from_bytes(data[6:10], "little")
        numbers = data[14 if version >= 3 else 10 :][: 12 if version >= 4 else 8]
        if not data.startswith(b"Lerc2 ") or len(numbers) not in (8, 12):
            raise BrokenError("a block is not one of LERC, version 2")
        return int(math.prod(struct.unpack(f"<{len(numbers) // 4}I", numbers))) * data.count(b"Lerc2 ")
    if packing != _JPEG:
        return None
    at = 2
    while data.startswith(b"\xff\xd8") and at + 10 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in (0xFF, 0x01, 0xD8):  # fill, and markers without a body
            at += 1 if marker == 0xFF else 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame: ITU T.81, B.2.2
            high, wide, samples = struct.unpack(">HHB", data[at + 5 : at + 10])
            return int(high) * int(wide) * int(samples)
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise BrokenError("a block of JPEG does not say of how many pixels it is")


def _ifds(handle: Opened, size: int) -> list[_Ifd]:
    """All images of a file, those of SubIFDs tags behind the ones that have them.

    It is walked here, before tifffile sees it, which passes over what leads out of a file (a mask would be lost in silence),
    and takes up tags of whatever size.

    Raises:
        BrokenError: it is no TIFF, the chain leads out of the file, or back into itself, or an image's tags are too large.
    """
    head = handle.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
    version = struct.unpack(f"{order}H", head[2:4])[0] if order and len(head) >= 8 else 0
    if version not in (42, 43):
        raise BrokenError(f"begins with {head[:8]!r}")
    is_big = version == 43
    count_of, entry, pointer = (f"{order}Q", 20, f"{order}Q") if is_big else (f"{order}H", 12, f"{order}I")
    field = 8 if is_big else 4
    handle.seek(8 if is_big else 4)
    todo = [struct.unpack(pointer, handle.read(field))[0]]
    out: list[_Ifd] = []
    seen: set[int] = set()
    while todo:
        at = todo.pop(0)
        if at == 0:
            continue
        if at in seen or at >= size or len(seen) >= _MOST_IFDS:
            raise BrokenError(f"its chain of images leads to byte {at} of {size}: back into itself, or out of the file")
        seen.add(at)
        handle.seek(at)
        (count,) = struct.unpack(count_of, handle.read(struct.calcsize(count_of)))
        if count > (size - at) // entry:
            raise BrokenError(f"its image at byte {at} has {count} tags, more than the file has room for")
        data = handle.read(count * entry + field)
        if len(data) < count * entry + field:
            raise BrokenError(f"ends within its image at byte {at}")
        found: dict[int, int] = {}
        inner: list[int] = []
        total = 0
        for n in range(count):
            code, kind = struct.unpack_from(f"{order}HH", data, n * entry)
            (length,) = struct.unpack_from(pointer, data, n * entry + 4)
            total += length * _TAG_BYTES.get(kind, 8)
            if total > _MOST_TAG_BYTES:
                raise BrokenError(
                    f"its image at byte {at} has tags of {total} bytes up to tag {code}, expected {_MOST_TAG_BYTES} at most"
                )
            value = data[(n + 1) * entry - field : (n + 1) * entry]
            if code in (_SUBFILE, _WIDTH, _LENGTH) and kind in _INTEGERS:
                (found[code],) = struct.unpack_from(f"{order}{_INTEGERS[kind]}", value)
            elif code == _SUBIFDS and kind in _INTEGERS:
                form = f"{order}{min(length, _MOST_IFDS)}{_INTEGERS[kind]}"
                if struct.calcsize(form) > field:
                    handle.seek(struct.unpack(pointer, value)[0])
                    value = handle.read(struct.calcsize(form))
                inner += struct.unpack_from(form, value)
        out.append(_Ifd(at, found.get(_SUBFILE, 0), found.get(_WIDTH, 0), found.get(_LENGTH, 0)))
        todo = [*inner, *struct.unpack_from(pointer, data, count * entry), *todo]
    return out


def _is_place(transform: Affine) -> bool:
    """Whether a transform lays pixels out on Earth; GDAL gives the identity to a file that states none."""
    is_finite = bool((np.abs(tuple(transform)) < _FARTHEST).all())  # not a number is not, either
    return is_finite and not transform.is_degenerate and transform != Affine.identity()


def _place(page: Any) -> tuple[rasterio.crs.CRS | None, Affine, float | None]:
    """CRS, transform and nodata of a page, as GDAL reads them of a file of one pixel that has the page's tags.

    Most files of a scene have the same.
    """
    tags = [page.tags[code] for code in _WHERE if code in page.tags]
    values = {t.code: tuple(t.value.tolist()) if isinstance(t.value, np.ndarray) else t.value for t in tags}  # many are
    key = (str(page.dtype), *values.items())
    with _places_lock:
        if key in _places:
            _places.move_to_end(key)
            return _places[key]
    extra = [
        (t.code, int(t.dtype), 0 if t.dtype == tifffile.DATATYPE.ASCII else t.count, values[t.code], True) for t in tags
    ]
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((1, 1), np.dtype(page.dtype).newbyteorder("=")), extratags=extra, metadata=None)
    with MemoryFile(file.getvalue()) as memory, memory.open() as dataset:
        # Of a file that states the size of a pixel alone GDAL says that it begins at the CRS's origin: nobody said so.
        transform = dataset.transform if any(code in values for code in _ORIGINS) else Affine.identity()
        found = dataset.crs, transform, dataset.nodatavals[0]
    with _places_lock:
        _places[key] = found
        while len(_places) > _MOST_PLACES:
            _places.popitem(last=False)
    return found
