"""The bytes of one Zarr shard: chunks one after another, and an index of where they lie. Pure.

Zarr v3 sharding codec with the index at the end: per chunk an offset and a length (little-endian uint64, both 2^64-1 for a
chunk that is not stored), then a CRC-32C of these. Put together here rather than by a library so that a chunk once written
is kept byte for byte when its shard is written again, whatever version of the codec wrote it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import google_crc32c

from curation.errors import DamageError

_ABSENT = 2**64 - 1


def index_size(slots: int) -> int:
    """Bytes of the index of a shard of so many chunks."""
    return 16 * slots + 4


def assemble(chunks: Mapping[int, bytes], slots: int) -> bytes:
    """A shard of `slots` chunks of which those given are stored, in order of slot."""
    parts, index, at = [], [(_ABSENT, _ABSENT)] * slots, 0
    for slot in sorted(chunks):
        index[slot] = (at, len(chunks[slot]))
        parts.append(chunks[slot])
        at += len(chunks[slot])
    packed = b"".join(struct.pack("<QQ", *entry) for entry in index)
    return b"".join(parts) + packed + struct.pack("<I", google_crc32c.value(packed))


def parse_index(data: bytes, slots: int, where: str) -> dict[int, tuple[int, int]]:
    """Slot → offset and length of each stored chunk, from the last `index_size(slots)` bytes of a shard.

    Raises:
        DamageError: the bytes are not such an index.
    """
    packed, crc = data[:-4], data[-4:]
    if len(data) != index_size(slots) or struct.unpack("<I", crc)[0] != google_crc32c.value(packed):
        raise DamageError(f"{where}: the index at the end of the Zarr shard is damaged")
    entries = list(struct.iter_unpack("<QQ", packed))
    return {slot: entry for slot, entry in enumerate(entries) if entry != (_ABSENT, _ABSENT)}


def runs(index: Mapping[int, tuple[int, int]], most_bytes: int) -> list[list[int]]:
    """Slots in the order given, in groups of such that stand one after the other, each of so many bytes, at most, or one.

    Args:
        index: slot → offset and length.
        most_bytes: of a group.
    """
    out: list[list[int]] = []
    for slot, (offset, length) in index.items():
        first, last = (index[out[-1][0]], index[out[-1][-1]]) if out else ((0, 0), (0, -1))
        if offset == sum(last) and offset + length - first[0] <= most_bytes:
            out[-1].append(slot)
        else:
            out.append([slot])
    return out


def parse(data: bytes, slots: int, where: str) -> dict[int, bytes]:
    """Slot → bytes of each stored chunk of a whole shard.

    Raises:
        DamageError: the index is damaged, or tells of bytes that are not there.
    """
    index = parse_index(data[-index_size(slots) :], slots, where)
    if any(offset + length > len(data) - index_size(slots) for offset, length in index.values()):
        raise DamageError(f"{where}: the index tells of chunks beyond the shard's end")
    return {slot: data[offset : offset + length] for slot, (offset, length) in index.items()}
