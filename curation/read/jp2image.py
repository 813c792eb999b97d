"""One opened JPEG 2000: where it lies, its tiles as blocks, and its pixels.

A tile is fetched, and decoded, apart from all others: as a codestream of its own, by OpenJPEG through imagecodecs. GDAL says
where the file lies, of its boxes and one pixel.
"""

from __future__ import annotations

import functools
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import imagecodecs
import numpy as np
import rasterio
from affine import Affine
from cachetools import LRUCache
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from curation.errors import ReadError
from curation.read import jp2, jp2parts
from curation.read.blocks import Span
from curation.read.decoded import Decoded
from curation.read.image import Image
from curation.read.jp2 import Header
from curation.read.jp2parts import Parts
from curation.read.signing import FileAddress
from curation.read.sparse import BrokenError, SparseFile

_MOST_INDICES = 4096
"""Files whose tile-parts a process knows from one slab to the next: of Sentinel-2 20 kB each."""

MOST_TILE_SAMPLES = 2**25
"""Of one tile, or of a file that is in one: OpenJPEG takes some ten bytes for each. A band of 5490 × 5490 in one piece has
30 million; one of 10980 × 10980 would fill a worker."""

_indices: LRUCache[tuple[FileAddress, str, int], Future[Parts]] = LRUCache(_MOST_INDICES)
_indices_lock = threading.Lock()


def is_jp2(head: bytes) -> bool:
    """Whether a file is JPEG 2000, by its first bytes; a bare codestream says nowhere where it lies, and is none."""
    return head.startswith(jp2.SIGNATURE)


class Jp2Image(Image):
    """The image of a codestream; a block is a tile."""

    def __init__(self, file: SparseFile, decoded: Decoded, header: Header, alpha: int | None) -> None:
        """Takes down what its header says, and begins to look where its tiles are."""
        super().__init__(file, decoded, "")
        its = header.grid
        self._header = header
        self.width, self.height, self.bands = its.x1 - its.x0, its.y1 - its.y0, header.components
        self.block_width, self.block_height = min(its.tile_width, self.width), min(its.tile_height, self.height)
        self.dtype = np.dtype(("i" if header.is_signed else "u") + ("1" if header.precision <= 8 else "2"))
        self.alpha = alpha if alpha is not None and alpha <= self.bands else None
        self._parts = _index(file, header)

    def _spans(self, plane: int, bx: int, by: int) -> Sequence[Span]:
        number = by * self.across + bx
        found = self._parts.result().get(number)
        if found is None:
            raise BrokenError(f"block column {bx} row {by} has no tile-part: it ends before it, or is damaged")
        return found

    def _check_packing(self) -> None:
        if self.block_px > MOST_TILE_SAMPLES:
            raise ReadError(
                f"{self.file.name}: has tiles of {self.block_width} × {self.block_height} pixels, {self.block_px} samples, "
                f"expected {MOST_TILE_SAMPLES} at most; rewrite it in tiles, as of 1024 × 1024"
            )

    def _unpacked(self, data: memoryview, plane: int, bx: int, by: int, where: str) -> NDArray[Any]:
        try:
            stream = jp2parts.alone(self._header, by * self.across + bx, bytes(data))
        except BrokenError as err:
            raise BrokenError(f"{where}: {err}") from None
        try:
            found: NDArray[Any] = imagecodecs.jpeg2k_decode(stream)
        except Exception as err:
            raise BrokenError(f"{where} cannot be decoded: {type(err).__name__}: {err}") from err
        return found.reshape(*found.shape[:2], -1)


def _index(file: SparseFile, header: Header) -> Future[Parts]:
    """Where the tile-parts of a file are: by its list of them, else walked from one to the next, once a process.

    Whoever waits for it is told what fails, as `SparseFile.read` raises it, or BrokenError.
    """
    done: Future[Parts] = Future()
    if (found := jp2parts.listed(header)) is not None:
        done.set_result(found)
        return done
    head = file.head()
    key = file.address, head.version, head.size
    with _indices_lock:
        its = _indices.get(key)
        if its is None:
            its = file.apart(lambda take: jp2parts.walked(header, take))
            if file.address.is_remote and head.version:  # else another content under the same name would not show
                _indices[key] = its

    def forget() -> None:
        with _indices_lock:
            if _indices.get(key) is its:
                del _indices[key]

    file.with_head.append(forget)  # bytes that were wrong on their way may have been taken for a list
    its.add_done_callback(lambda done: forget() if done.cancelled() or done.exception() is not None else None)
    return its


class Jp2:
    """A JPEG 2000 file, as a chain of images that has one: it has no mask."""

    def __init__(self, file: SparseFile, decoded: Decoded) -> None:
        """Reads its boxes and the main header of its codestream.

        Raises:
            ReadError: its bytes cannot be had, or it is of a form that is not read here.
            BrokenError: it is damaged.
        """
        self._decoded = decoded
        try:
            self._boxes = jp2.boxes(file.read, file.head().size)
            self.image: Image = Jp2Image(
                file, decoded, jp2.header(file.read, self._boxes.codestream), self._boxes.alpha
            )
        except jp2.NotReadError as err:
            raise ReadError(f"{file.name}: {err}; rewrite it as a TIFF") from None

    def forget(self) -> None:
        """Drops the blocks that were decoded."""
        self._decoded.forget(self.image)

    def place(self) -> tuple[rasterio.crs.CRS | None, Affine, float | None]:
        """CRS, transform and nodata, of which it has none: as GDAL reads them. Raises BrokenError."""
        return (*_place(self._boxes.place), None) if self._boxes.place else (None, Affine.identity(), None)

    def mask(self) -> Image | None:
        """None."""
        return None

    def overviews(self) -> Iterator[Image]:
        """None."""
        return iter(())

    def reduced_mask(self, width: int, height: int) -> Image | None:
        """None."""
        del width, height
        return None


_BEFORE = (
    jp2.SIGNATURE
    + b"\0\0\0\x14ftypjp2 \0\0\0\0jp2 "
    + b"\0\0\0\x2djp2h"
    + b"\0\0\0\x16ihdr\0\0\0\1\0\0\0\1\0\1\7\7\0\0"
    + b"\0\0\0\x0fcolr\1\0\0\0\0\0\x11"
)
"""What a file of one pixel begins with: signature, type, and that it is one of a byte (I.5)."""


@functools.cache
def _pixel() -> bytes:
    """The codestream of it, in its box."""
    return b"\0\0\0\0jp2c" + bytes(imagecodecs.jpeg2k_encode(np.zeros((1, 1), "u1"), codecformat="j2k"))


@functools.lru_cache(maxsize=1024)  # the bands of a scene have the same
def _place(boxes: bytes) -> tuple[rasterio.crs.CRS | None, Affine]:
    """CRS and transform of a file that has these boxes.

    Raises:
        BrokenError: they cannot be read, or give no place to its pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with MemoryFile(_BEFORE + boxes + _pixel(), ext=".jp2") as memory, memory.open() as dataset:
                crs, transform = dataset.crs, dataset.transform
    except Exception as err:
        raise BrokenError(f"its boxes do not say where it lies: {type(err).__name__}: {err}") from err
    return crs, transform


def _after_fork() -> None:
    """A child has none of the threads that would finish what its parent began."""
    global _indices, _indices_lock
    _indices_lock = threading.Lock()
    _indices = LRUCache(_MOST_INDICES)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
