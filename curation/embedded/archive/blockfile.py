"""Cloud-Optimised GeoTIFFs that exist only as their blocks: each block is made when bytes of it are first asked for.

Blocks are not compressed, so all of them have one size and a file's header says where each lies before any has been
made. The scenes of the cells are such files: a patch reads a few blocks of a scene, and only those are rendered.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.embedded.world.grids import Grid

OVERVIEW = 4
"""The one overview's pixels are so many times larger; nearest neighbour."""

HEADER_BYTES = 1 << 16
"""Where blocks begin: a reader that takes the head of a file takes no block with it."""

_GHOST = b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n"
_LAYOUT = b"LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n"
_LAYOUT += b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED\nKNOWN_INCOMPATIBLE_EDITION=NO\n "
"""What GDAL writes into such files, and calls them 'COG' by (last byte: room for the edition flag to grow)."""

_SHORT, _LONG, _ASCII, _DOUBLE = 3, 4, 2, 12
_FORMAT = {_SHORT: "H", _LONG: "I", _DOUBLE: "d"}

Blocks = Callable[[int, int], NDArray[Any]]
"""Row and column of a block to its pixels, (block, block), or (block, block, band) of several bands."""


@dataclass(frozen=True)
class BlockFile:
    """Where everything lies in one such file."""

    grid: Grid
    """Its pixels; a whole number of blocks each way."""
    block: int
    """Pixels along a block's side: a multiple of 16."""
    dtype: str
    """Of its pixels, as numpy names it."""
    nodata: float | None = None
    bands: int = 1
    """All of a pixel lie together; of several the first three are red, green and blue."""

    def __post_init__(self) -> None:
        if self.block % 16 or self.grid.height % self.block or self.grid.width % self.block:
            raise ValueError(f"{self.grid}: expected whole blocks of {self.block} pixels, a multiple of 16")

    @property
    def _levels(self) -> tuple[tuple[int, int, int], ...]:
        """Factor, rows and columns of blocks: of the image and of its overview."""
        down, across = self.grid.height // self.block, self.grid.width // self.block
        if min(down, across) == 1:
            return ((1, down, across),)
        return ((1, down, across), (OVERVIEW, -(-down // OVERVIEW), -(-across // OVERVIEW)))

    @cached_property
    def _block_bytes(self) -> int:
        return self.block * self.block * self.bands * np.dtype(self.dtype).itemsize

    @cached_property
    def _slot_bytes(self) -> int:
        """A block with its size before it and its last four bytes again behind it, as the layout says."""
        return self._block_bytes + 8

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        """Where the blocks of each level begin: the overview's come first, as in other such files."""
        overview = sum(rows * cols for _, rows, cols in self._levels[1:]) * self._slot_bytes
        return (HEADER_BYTES + overview, HEADER_BYTES)[: len(self._levels)]

    @cached_property
    def size(self) -> int:
        """Bytes of the whole file."""
        _, rows, cols = self._levels[0]
        return self._starts[0] + rows * cols * self._slot_bytes

    @cached_property
    def header(self) -> bytes:
        """Everything before the first block: `HEADER_BYTES` bytes."""
        ghost = _GHOST % len(_LAYOUT) + _LAYOUT
        ghost += b"\0" * (-len(ghost) % 8)
        out = struct.pack("<2sHI", b"II", 42, 8 + len(ghost)) + ghost
        for level in range(len(self._levels)):
            out += self._directory(level, len(out), last=level == len(self._levels) - 1)
        if len(out) > HEADER_BYTES:
            raise ValueError(f"{self.grid}: header of {len(out)} bytes, expected at most {HEADER_BYTES}")
        return out.ljust(HEADER_BYTES, b"\0")

    def _directory(self, level: int, at: int, *, last: bool) -> bytes:
        """One image file directory with its values behind it, to lie at an offset."""
        factor, rows, cols = self._levels[level]
        pixel = np.dtype(self.dtype)
        first = self._starts[level]
        tags: list[tuple[int, int, Any]] = [
            (254, _LONG, [int(level > 0)]),  # a reduced image
            (256, _LONG, [-(-self.grid.width // factor)]),
            (257, _LONG, [-(-self.grid.height // factor)]),
            (258, _SHORT, [8 * pixel.itemsize] * self.bands),
            (259, _SHORT, [1]),  # no compression
            (262, _SHORT, [1 if self.bands == 1 else 2]),  # black is zero, or red, green and blue
            (277, _SHORT, [self.bands]),
            (284, _SHORT, [1]),
            (322, _LONG, [self.block]),
            (323, _LONG, [self.block]),
            (324, _LONG, [first + k * self._slot_bytes + 4 for k in range(rows * cols)]),
            (325, _LONG, [self._block_bytes] * (rows * cols)),
            *(
                [(338, _SHORT, [0] * (self.bands - 3))] if self.bands > 3 else []
            ),  # more bands, none of them transparency
            (339, _SHORT, [{"u": 1, "i": 2, "f": 3}[pixel.kind]] * self.bands),
        ]
        if level == 0:
            tags += [
                (33550, _DOUBLE, [self.grid.dx, self.grid.dy, 0.0]),
                (33922, _DOUBLE, [0.0, 0.0, 0.0, self.grid.x0, self.grid.y0, 0.0]),
                # Projected, pixel is area, and the CRS by its EPSG code (GeoTIFF 1.1, 7.1.2).
                (34735, _SHORT, [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, self.grid.epsg]),
            ]
        if self.nodata is not None:
            tags.append((42113, _ASCII, f"{self.nodata:g}\0".encode()))
        entries, values = b"", b""
        behind = at + 2 + 12 * len(tags) + 4
        for code, kind, value in tags:
            data = value if kind == _ASCII else struct.pack(f"<{len(value)}{_FORMAT[kind]}", *value)
            if len(data) > 4:
                where = behind + len(values)
                values += data + b"\0" * (-len(data) % 8)
                data = struct.pack("<I", where)
            entries += struct.pack("<HHI", code, kind, len(value)) + data.ljust(4, b"\0")
        length = behind - at + len(values)
        padding = -(at + length) % 8
        following = 0 if last else at + length + padding
        return struct.pack("<H", len(tags)) + entries + struct.pack("<I", following) + values + b"\0" * padding

    def read(self, start: int, stop: int, blocks: Blocks) -> bytes:
        """Bytes start to stop of the file; `blocks` is asked for the blocks that they are of, or are an overview of."""
        out = [self.header[start:stop]]
        at, stop = max(start, HEADER_BYTES), min(stop, self.size)
        while at < stop:
            level = next(k for k, first in enumerate(self._starts) if at >= first)
            number, within = divmod(at - self._starts[level], self._slot_bytes)
            row, col = divmod(number, self._levels[level][2])
            pixels = blocks(row, col) if level == 0 else self._overview(row, col, blocks)
            data = np.ascontiguousarray(pixels, dtype=np.dtype(self.dtype).newbyteorder("<")).tobytes()
            slot = struct.pack("<I", len(data)) + data + data[-4:]
            out.append(slot[within : within + stop - at])
            at += len(out[-1])
        return b"".join(out)

    def _overview(self, row: int, col: int, blocks: Blocks) -> NDArray[Any]:
        """A block of the overview, from up to 16 of the image."""
        _, down, across = self._levels[0]
        out = np.zeros((self.block, self.block, *([self.bands] if self.bands > 1 else [])), dtype=self.dtype)
        small = self.block // OVERVIEW
        for r in range(min(OVERVIEW, down - row * OVERVIEW)):
            for c in range(min(OVERVIEW, across - col * OVERVIEW)):
                part = blocks(row * OVERVIEW + r, col * OVERVIEW + c)[::OVERVIEW, ::OVERVIEW]
                out[r * small : (r + 1) * small, c * small : (c + 1) * small] = part
        return out
