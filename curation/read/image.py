"""One image of a file: its blocks, where they are and what they hold; and those of TIFFs."""

from __future__ import annotations

import abc
import math
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from curation.errors import ReadError
from curation.read.blocks import PixelWindow, Span, of_window
from curation.read.decoded import Decoded
from curation.read.sparse import BrokenError, SparseFile

COARSE_BLOCKS = 16
"""It reads of an image, at most, spread evenly: 4 × 4 of tiles, each sixteenth of strips."""

_ALPHA = (1, 2)
"""ExtraSamples that are opacity, associated or not: TIFF 6.0, section 18."""

MOST_BLOCK_BYTES = 128 * 2**20
"""Of one decoded block, as its header has it: that of 512 × 512 pixels of two bytes is half a megabyte, a DEM of 3601 × 3601
in one piece has 52. A patch is a few hundred pixels wide: who would have to decode more for it is told so."""

MOST_WINDOW_BYTES = 256 * 2**20
"""Of the pixels that one read is of: a whole Sentinel-2 band of 10980 × 10980 has 241 MB. What a header says of where its
pixels are may make a patch a window of any size."""

_LEAST_PACKED_BYTES = 64 * 2**10
"""What a block may take in a file beside twice its pixels' bytes: LZW makes half as many again of what it cannot pack."""

_JPEG, _LERC = 7, 34887
_CCITT = (2, 3, 4)
_PACKINGS = frozenset((1, *_CCITT, 5, _JPEG, 8, 32773, 32946, _LERC, 34925, 34926, 50000))
"""Compressions that are read: none, CCITT (three), LZW, JPEG, deflate, PackBits, deflate (old), LERC, LZMA, Zstandard (old,
new). Each is decoded into as many bytes as a block has, or says first of how many pixels it is. JPEG 2000, JPEG XL, WebP and
PNG would be decoded to whatever size they please."""

_TAKEN_WHOLE = (1, _JPEG, _LERC)
"""Compressions whose packed bytes are copied first: those without any, whose pixels they are, would keep all that came with
them for as long as the block is kept; of the others what they state is looked at here, which wants bytes."""


class Image(abc.ABC):
    """One image of a file: where its blocks are, and their pixels. What a format is, its subclass says."""

    file: SparseFile
    width: int
    height: int
    bands: int
    dtype: np.dtype[Any]
    block_width: int
    block_height: int
    alpha: int | None = None
    """1-based band of it that is opacity; 0 there is no pixel."""
    planes: int = 1
    """How many blocks there are of the same pixels: one, with all bands in it, or one a band."""

    def __init__(self, file: SparseFile, decoded: Decoded, what: str) -> None:
        """Begins; `what` it is, for errors: empty for a file's first image."""
        self.file = file
        self._decoded = decoded
        self._what = what

    @property
    def across(self) -> int:
        """Blocks side by side."""
        return -(-self.width // self.block_width)

    @property
    def down(self) -> int:
        """Rows of blocks."""
        return -(-self.height // self.block_height)

    @property
    def block_px(self) -> int:
        """Samples of a decoded block."""
        return self.block_width * self.block_height * (1 if self.planes > 1 else self.bands)

    @property
    def most_packed(self) -> int:
        """Bytes that a block takes of a file at most."""
        return 2 * self.block_px * self.dtype.itemsize + _LEAST_PACKED_BYTES

    @abc.abstractmethod
    def _spans(self, plane: int, bx: int, by: int) -> Sequence[Span]:
        """Where a block is, in the order of its bytes; nothing where it was never written. Raises as `blocks`."""

    @abc.abstractmethod
    def _unpacked(self, data: memoryview, plane: int, bx: int, by: int, where: str) -> NDArray[Any]:
        """A block's pixels, (y, x, band), at the right and lower edge what lies in the image, at least; `where` it is.

        Raises:
            BrokenError: they cannot be had of these bytes.
        """

    @abc.abstractmethod
    def _check_packing(self) -> None:
        """Passes where its blocks are packed in a way that is read here. Raises ReadError."""

    def blocks(self, band: int, window: PixelWindow) -> Iterator[tuple[int, int, Sequence[Span]]]:
        """Column, row and places of the blocks of a window; no place for those that were never written.

        Raises:
            ReadError: reading it would take more memory than it may.
            BrokenError: a block takes more of the file than it can.
        """
        self._check(window)
        for bx, by in of_window(window, self.block_width, self.block_height):
            spans = self._spans(self._plane(band), bx, by)
            size = sum(span.stop - span.start for span in spans)
            if size > self.most_packed:
                raise BrokenError(
                    f"{self._what}block column {bx} row {by} takes {size} bytes of the file, expected {self.most_packed} at "
                    f"most for {self.block_width} × {self.block_height} pixels"
                )
            yield bx, by, spans

    def _plane(self, band: int) -> int:
        return band - 1 if self.planes > 1 else 0

    def _check(self, window: PixelWindow) -> None:
        """Passes where a window can be read within bounds, by what the header says: nothing is fetched or decoded before.

        Raises:
            ReadError: it cannot.
        """
        self._check_packing()
        where = f"{self.file.name}: {self._what}"
        if (size := self.block_px * self.dtype.itemsize) > MOST_BLOCK_BYTES:
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
        return ((self.file, span) for _, _, spans in self.blocks(band, window) for span in spans)

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
        blocks = list(self.blocks(band, window))
        self.file.ask(span for _, _, spans in blocks for span in spans)
        out = np.zeros((window.height, window.width), self.dtype)
        unwritten = []
        for bx, by, spans in blocks:
            block = self.window(bx, by)
            c0, c1 = max(window.col, block.col), min(window.col + window.width, block.col + block.width)
            r0, r1 = max(window.row, block.row), min(window.row + window.height, block.row + block.height)
            if not spans:
                unwritten.append(PixelWindow(c0, r0, c1 - c0, r1 - r0))
                continue
            pixels = self._block(band, bx, by, spans)
            out[r0 - window.row : r1 - window.row, c0 - window.col : c1 - window.col] = pixels[
                r0 - block.row : r1 - block.row, c0 - block.col : c1 - block.col
            ]
        return out, unwritten

    def _block(self, band: int, bx: int, by: int, spans: Sequence[Span]) -> NDArray[Any]:
        """A decoded block, (y, x); at the right and lower edge what lies in the file, at least."""
        plane = self._plane(band)
        key = (self, plane, bx, by)
        pixels = self._decoded.found(key)
        if pixels is None:
            where = f"{self._what}block column {bx} row {by}"
            views = [self._packed(span, where) for span in spans]
            data = views[0] if len(views) == 1 else memoryview(b"".join(views))
            pixels = self._unpacked(data, plane, bx, by, where)
            wide, high = self.window(bx, by)[2:]
            if pixels.dtype.newbyteorder("=") != self.dtype or pixels.shape[0] < high or pixels.shape[1] < wide:
                raise BrokenError(
                    f"{where} decodes to {pixels.dtype} of {pixels.shape}, expected {self.dtype} of {high} × {wide} pixels"
                )
            pixels = pixels.astype(self.dtype, copy=False)
        left = [self.file.took(span) for span in spans]
        self._decoded.add(key, pixels, again=0 not in left)  # of all its bytes alike
        return pixels[:, :, 0 if self.planes > 1 else band - 1]

    def _packed(self, span: Span, where: str) -> memoryview:
        data = self.file.view(span.start, span.stop - span.start)
        if len(data) != span.stop - span.start:
            raise BrokenError(f"ends before byte {span.stop}, where {where} does")
        return data

    def sample(self) -> list[PixelWindow]:
        """Blocks spread evenly over it, the same of each band: all, where they are few."""
        wide = min(self.across, max(round(COARSE_BLOCKS**0.5), COARSE_BLOCKS // self.down))
        high = min(self.down, COARSE_BLOCKS // wide)

        def spread(count: int, of: int) -> list[int]:
            return [(2 * i + 1) * of // (2 * count) for i in range(count)]

        return [self.window(bx, by) for by in spread(high, self.down) for bx in spread(wide, self.across)]


class TiffImage(Image):
    """One image of a TIFF's chain."""

    def __init__(self, file: SparseFile, decoded: Decoded, page: Any, what: str) -> None:
        """Takes down what its page says; `what` is it, for errors: empty for a file's first.

        Raises:
            BrokenError: it says what cannot be.
        """
        super().__init__(file, decoded, what)
        if not page.dtype or page.imagedepth != 1:
            raise BrokenError(
                f"{what}{page.bitspersample} bits a sample, {page.imagedepth} deep: no pixels that are read here"
            )
        self._offsets: tuple[int, ...] = page.dataoffsets
        self._sizes: tuple[int, ...] = page.databytecounts
        self._decode = _decoder(page)
        self.width, self.height, self.bands = int(page.imagewidth), int(page.imagelength), int(page.samplesperpixel)
        self.dtype = np.dtype(page.dtype).newbyteorder("=")
        tile = (page.tilewidth, page.tilelength) if page.is_tiled else (self.width, min(page.rowsperstrip, self.height))
        self.block_width, self.block_height = int(tile[0]), int(tile[1])
        if min(self.width, self.height, self.bands, self.block_width, self.block_height) < 1:
            raise BrokenError(
                f"{what}{self.width} × {self.height} pixels in blocks of {self.block_width} × {self.block_height}, "
                f"{self.bands} bands: expected one at least of each"
            )
        self.planes = self.bands if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE else 1
        self._packing = int(page.compression)
        if page.is_tiled and page.tiledepth != 1:
            raise BrokenError(f"{what}its blocks are {page.tiledepth} deep: no pixels that are read here")
        expected = self.across * self.down * self.planes
        if len(self._offsets) != expected or len(self._sizes) != expected:
            raise BrokenError(
                f"{what}{len(self._offsets)} offsets and {len(self._sizes)} sizes of blocks, expected {expected} of each"
            )
        extra = tuple(int(e) for e in page.extrasamples)
        self.alpha = next((self.bands - len(extra) + i + 1 for i, e in enumerate(extra) if e in _ALPHA), None)

    def _number(self, plane: int, bx: int, by: int) -> int:
        return (plane * self.down + by) * self.across + bx

    def _spans(self, plane: int, bx: int, by: int) -> Sequence[Span]:
        number = self._number(plane, bx, by)
        start, size = self._offsets[number], self._sizes[number]
        return [Span(start, start + size)] if start and size else []

    def _check_packing(self) -> None:
        if self._packing not in _PACKINGS:
            raise ReadError(
                f"{self.file.name}: {self._what}is packed by TIFF compression {self._packing} "
                f"({_packing_name(self._packing)}), which is not read here; rewrite it with deflate"
            )

    def _unpacked(self, view: memoryview, plane: int, bx: int, by: int, where: str) -> NDArray[Any]:
        data = bytes(view) if self._packing in _TAKEN_WHOLE else view
        stated = _samples_stated(self._packing, data, self.most_packed) if isinstance(data, bytes) else None
        if stated is not None and stated > self.block_px:
            raise BrokenError(f"{where} would decode to {stated} samples, expected {self.block_px} at most")
        try:
            found = self._decode(data, self._number(plane, bx, by))
        except Exception as err:
            raise BrokenError(f"{where} cannot be decoded: {type(err).__name__}: {err}") from err
        if found is None:
            raise BrokenError(f"{where} decodes to nothing")
        if self._packing in _CCITT and self.dtype == bool:  # which imagecodecs gives a byte a pixel
            found = found != 0
        return found


def _decoder(page: Any) -> Callable[[Any, int], NDArray[Any] | None]:
    """What makes a block's pixels, (y, x, band), of its bytes and its number, by tifffile; None where it has none."""
    decode = page.decode
    if int(page.compression) != _JPEG:
        return lambda data, number: _first(decode(data, number))
    # What blocks have in common, quantization and Huffman tables, stands once in the file: GDAL writes it so.
    tables, bits = page.jpegtables, page.bitspersample
    if page.planarconfig != tifffile.PLANARCONFIG.SEPARATE:
        return lambda data, number: _first(decode(data, number, jpegtables=tables))

    def one_band(data: bytes, number: int) -> NDArray[Any]:
        """A block of one band is in no colour space, whatever the bands are together."""
        del number
        pixels: NDArray[Any] = imagecodecs.jpeg_decode(data, bitspersample=bits, tables=tables)
        return pixels[:, :, np.newaxis] if pixels.ndim == 2 else pixels

    return one_band


def _first(decoded: tuple[NDArray[Any] | None, Any, Any]) -> NDArray[Any] | None:
    """Of what tifffile makes of a block, (depth, y, x, band), the first of its depth."""
    pixels = decoded[0]
    return None if pixels is None else pixels[0]


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
