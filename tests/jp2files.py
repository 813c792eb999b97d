"""JPEG 2000 files as archives have them: in tiles, with lists of these (TLM, PLT) and without, in few parts or many."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.io import MemoryFile

LOSSLESS = {"QUALITY": "100", "REVERSIBLE": "YES"}

SENTINEL2: dict[str, Any] = {
    **LOSSLESS,
    "blockxsize": 1024,
    "blockysize": 1024,
    "NBITS": 15,
    "RESOLUTIONS": 6,
    "PROGRESSION": "LRCP",
    "PRECINCTS": ",".join(["{256,256}"] * 6),
    "PLT": "YES",
}
"""How ESA packs Sentinel-2, as was found in products: with PLT, of late with TLM as well (OSGeo/gdal issue 14516)."""


def packed(pixels: NDArray[Any], transform: Affine, crs: int | str, **how: Any) -> bytes:
    """A JP2 of (band, y, x) pixels, by GDAL; lossless where `how` does not say else."""
    count, height, width = pixels.shape
    crs = f"EPSG:{crs}" if isinstance(crs, int) else crs
    profile = {"driver": "JP2OpenJPEG", **LOSSLESS} | how
    with MemoryFile(ext=".jp2") as memory:
        with memory.open(
            width=width, height=height, count=count, dtype=pixels.dtype, crs=crs, transform=transform, **profile
        ) as file:
            file.write(pixels)
        return bytes(memory.read())


def as_gdal(data: bytes | Path) -> NDArray[Any]:
    """(band, y, x) as GDAL decodes it."""
    if isinstance(data, Path):
        with rasterio.open(data) as file:
            return file.read()
    with MemoryFile(data, ext=".jp2") as memory, memory.open() as file:
        return file.read()


def codestream_at(data: bytes) -> int:
    """Where the codestream of a file begins."""
    return data.index(b"\xff\x4f\xff\x51")


def _segments(data: bytes, at: int, until: int) -> tuple[list[tuple[int, bytes]], int]:
    """Marker and body of the segments from a place up to a marker, and where that is."""
    found = []
    while (marker := struct.unpack(">H", data[at : at + 2])[0]) != until:
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        found.append((marker, data[at + 4 : at + 2 + length]))
        at += 2 + length
    return found, at


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">HH", marker, len(body) + 2) + body


def _lengths(body: bytes) -> list[int]:
    """What a PLT segment says: the length of each packet."""
    out, value = [], 0
    for byte in body[1:]:
        value = value << 7 | byte & 127
        if not byte & 128:
            out.append(value)
            value = 0
    return out


def reparted(data: bytes, parts: int = 1, *, tlm: bool = False, plt: bool = False, last_is_open: bool = False) -> bytes:
    """A file written with PLT whose tiles are in so many tile-parts each: all first ones, then all second ones, and so on.

    Args:
        data: it, with one tile-part a tile.
        parts: of each tile.
        tlm: whether the main header lists them.
        plt: whether the first tile-part of each tile lists all packets' lengths still: only of one part.
        last_is_open: whether the last one says no length, but runs to the end.
    """
    start = codestream_at(data)
    main, at = _segments(data, start + 2, 0xFF90)
    tiles = []
    while data[at : at + 2] == b"\xff\x90":
        tile, size = struct.unpack(">HI", data[at + 4 : at + 10])
        own, body = _segments(data, at + 12, 0xFF93)
        lists = [s for s in own if s[0] == 0xFF58]
        lengths = [n for _, s in sorted(lists, key=lambda s: s[1][0]) for n in _lengths(s)]
        packets = data[body + 2 : at + size]
        assert sum(lengths) == len(packets)
        cuts = np.cumsum([0, *lengths])[np.linspace(0, len(lengths), parts + 1).astype(int)]
        tiles.append((tile, own, [packets[a:b] for a, b in itertools.pairwise(cuts)]))
        at += size
    out, table = [], []
    for n in range(parts):
        for tile, own, pieces in tiles:
            mine = [s for s in own if s[0] != 0xFF58 or plt] if n == 0 else []
            inner = b"".join(_segment(*s) for s in mine) + b"\xff\x93" + pieces[n]
            is_last = n == parts - 1 and tile == tiles[-1][0]
            size = 0 if last_is_open and is_last else 12 + len(inner)
            out.append(struct.pack(">HHHIBB", 0xFF90, 10, tile, size, n, parts if n == parts - 1 else 0) + inner)
            table.append((tile, 12 + len(inner)))
    head = b"".join(_segment(*s) for s in main if s[0] != 0xFF55)
    if tlm:
        rows = [struct.pack(">HI", *row) for row in table]
        half = len(rows) // 2
        for number, some in enumerate((rows[:half], rows[half:])):
            head += _segment(0xFF55, bytes((number, 0x60)) + b"".join(some))
    stream = b"\xff\x4f" + head + b"".join(out) + b"\xff\xd9"
    box = start - 8
    assert data[box + 4 : start] == b"jp2c"
    return data[:box] + struct.pack(">I", len(stream) + 8) + b"jp2c" + stream
