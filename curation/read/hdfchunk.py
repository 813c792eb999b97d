"""What a packed chunk of HDF5 comes to, before HDF5 unpacks it: it would make as many bytes as it is told to.

HDF5 knows how large a chunk is, and unpacks what is more: a megabyte may be a gigabyte of zeros.
"""

from __future__ import annotations

import math
import zlib

import h5py

FILTERS = {1: "deflate", 2: "shuffle", 3: "Fletcher-32", 4: "szip"}
"""Filters that are read, by their number: those of netCDF-4 whose bytes can be counted beforehand."""

_DEFLATE, _CHECKSUM, _SZIP = 1, 3, 4

_DEFLATE_RATIO = 1032
"""Bytes that a deflated one makes at most: 258 of two bits (RFC 1951)."""

_PIECE_BYTES = 2**20
"""Unpacked at a time to count them."""


def surplus(dataset: h5py.Dataset, skipped: int, packed: bytes) -> str | None:
    """Why a chunk must not be unpacked, as it would make more bytes than it should have; None where it may be.

    Args:
        dataset: whose chunk it is, packed by `FILTERS` alone.
        skipped: filters that were not used for it, a bit each.
        packed: its bytes.
    """
    plan = dataset.id.get_create_plist()
    size = math.prod(dataset.chunks) * dataset.dtype.itemsize
    used = [plan.get_filter(n)[0] for n in range(plan.get_nfilters()) if not skipped >> n & 1]
    packers = [number for number in used if number in (_DEFLATE, _SZIP)]
    if len(packers) > 1:
        return f"is packed {len(packers)} times over: {', '.join(FILTERS[n] for n in packers)}"
    most = size + 4 * len(used)  # a checksum has four bytes, and may be packed with the rest
    made = len(packed)
    if packers == [_SZIP]:
        made = int.from_bytes(packed[:4], "little")  # what it makes stands before it
    elif packers == [_DEFLATE] and len(packed) * _DEFLATE_RATIO > 2 * most:
        made = _inflated(packed[:-4] if used[-1] == _CHECKSUM else packed, most)
    return f"its chunk would be unpacked to {made} bytes or more, expected {size}" if made > most else None


def _inflated(packed: bytes, most: int) -> int:
    """How many bytes a deflated chunk makes, counted a little at a time, until they are more than `most`.

    Of one that is broken so many as come: HDF5 is told the same, and says so.
    """
    unpacker, rest, made = zlib.decompressobj(), packed, 0
    try:
        while rest and made <= most and not unpacker.eof:
            made += len(unpacker.decompress(rest, _PIECE_BYTES))
            rest = unpacker.unconsumed_tail
    except zlib.error:
        return made
    return made
