"""A Blosc 1 buffer, whole or some of its blocks alone. Pure.

Its header of 16 bytes (version, version of the compressor's format, flags, bytes of an item; then, little-endian, how many
bytes it holds, those of a block, and its own) is followed by where each block begins, 4 bytes each, and by the blocks.
Each is packed for itself, so that some of them, with a header of their own, are a buffer again
(https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from numcodecs import blosc

_HEADER = struct.Struct("<4B3I")
HEADER = _HEADER.size

_PLAIN = 0x02
"""Flag of a buffer that was not packed: it has no blocks."""

_UNSPLIT = 0x10
"""Flag of blocks whose bytes were not dealt out to a stream per byte of an item; those of the last block, where it is a
shorter one, never are."""


def decode(payload: memoryview, out: memoryview, wanted: Sequence[tuple[int, int]] | None = None) -> None:
    """Unpacks a buffer into `out`, which is as long as what it holds.

    Args:
        payload: the buffer.
        out: where to.
        wanted: (first byte, the one behind the last) of what will be looked at; all where None. Blocks that hold none of it
            are left out: there `out` stays what it was.

    Raises:
        RuntimeError: it cannot be unpacked.
        ValueError: likewise.
    """
    runs = None if wanted is None else _runs(payload, wanted)
    if runs is None:
        blosc.decompress(payload, out)
        return
    for buffer, start, stop in _buffers(payload, runs):
        blosc.decompress(buffer, out[start:stop])


def has_blocks(payload: memoryview) -> bool:
    """Whether some of a buffer can be unpacked without the rest."""
    *_, flags, _, inside, block, _ = _HEADER.unpack_from(payload)
    return 0 < block < inside and not flags & _PLAIN


def _runs(payload: memoryview, wanted: Sequence[tuple[int, int]]) -> list[tuple[int, int]] | None:
    """(first block, the one behind the last) of those that hold what is wanted; None where all is to be unpacked."""
    *_, inside, block, packed = _HEADER.unpack_from(payload)
    if not has_blocks(payload):
        return None
    count = -(-inside // block)
    if _bounds(payload, count, packed) is None:
        return None
    runs: list[tuple[int, int]] = []
    for start, stop in sorted(wanted):
        first, behind = start // block, min(-(-stop // block), count)
        if runs and first <= runs[-1][1]:
            runs[-1] = runs[-1][0], max(runs[-1][1], behind)
        else:
            runs.append((first, behind))
    return None if runs == [(0, count)] else runs


def _bounds(payload: memoryview, count: int, packed: int) -> list[int] | None:
    """Where each block begins, and the last one ends; None where they do not follow one another."""
    if HEADER + 4 * count > packed:
        return None
    bounds = [HEADER + 4 * count, *struct.unpack_from(f"<{count}I", payload, HEADER), packed]
    return bounds[1:] if all(a <= b for a, b in pairwise(bounds)) else None


def _buffers(payload: memoryview, runs: Sequence[tuple[int, int]]) -> Iterator[tuple[bytes, int, int]]:
    """(buffer of its own, its first byte in what the whole one holds, the one behind its last) of each run of blocks."""
    *versions, flags, item, inside, block, packed = _HEADER.unpack_from(payload)
    bounds = _bounds(payload, -(-inside // block), packed) or []
    for first, behind in runs:
        start, stop = first * block, min(behind * block, inside)
        blocks, head = payload[bounds[first] : bounds[behind]], HEADER + 4 * (behind - first)
        if stop - start < block:  # the last one alone: a block of its own size, which is not split either
            header = _HEADER.pack(*versions, flags | _UNSPLIT, item, stop - start, stop - start, head + len(blocks))
        else:
            header = _HEADER.pack(*versions, flags, item, stop - start, block, head + len(blocks))
        begins = [at - bounds[first] + head for at in bounds[first:behind]]
        yield b"".join((header, struct.pack(f"<{len(begins)}I", *begins), blocks)), start, stop


def content(payload: Any) -> tuple[int, int]:
    """(bytes that a buffer says it holds, its own), of at least as many as a header has."""
    return struct.unpack_from("<I4xI", payload, 4)
