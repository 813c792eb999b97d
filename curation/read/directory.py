"""The directories of a TIFF: its images, before any is opened."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from curation.read.sparse import BrokenError, Opened

_MOST_IFDS = 4096
"""A chain of more is damaged."""

_MOST_TAG_BYTES = 16 * 2**20
"""Of all tags of an image: room for where a million blocks are, 260,000 pixels a side in blocks of 256."""

_TAG_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value, by the type of a tag: TIFF 6.0, section 2, and BigTIFF's three."""

_SUBFILE, _WIDTH, _LENGTH, _SUBIFDS, GDAL_METADATA = 254, 256, 257, 330, 42112
"""Tags."""

_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
"""Types of a tag's values that may be a number of pixels, or a place in the file."""


class OtherFormatError(BrokenError):
    """The bytes are whole, as far as can be seen, and those of something else than a TIFF."""


@dataclass(frozen=True, slots=True)
class Ifd:
    """What tells an image of a chain from the others."""

    at: int
    """Where its entry in the chain is, bytes."""
    kind: int
    """NewSubfileType."""
    width: int
    height: int


def ifds(handle: Opened, size: int) -> list[Ifd]:
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
    out: list[Ifd] = []
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
            if (bytes_ := length * _TAG_BYTES.get(kind, 0)) > field:
                end = struct.unpack(pointer, value)[0] + bytes_
                if end > size:  # tifffile would pass over the tag, and a file that is cut would state no CRS
                    raise BrokenError(f"is cut: ends at byte {size}, and tag {code} of its image at byte {at} at {end}")
            if code in (_SUBFILE, _WIDTH, _LENGTH) and kind in _INTEGERS:
                (found[code],) = struct.unpack_from(f"{order}{_INTEGERS[kind]}", value)
            elif code == _SUBIFDS and kind in _INTEGERS:
                form = f"{order}{min(length, _MOST_IFDS)}{_INTEGERS[kind]}"
                if struct.calcsize(form) > field:
                    handle.seek(struct.unpack(pointer, value)[0])
                    value = handle.read(struct.calcsize(form))
                inner += struct.unpack_from(form, value)
        out.append(Ifd(at, found.get(_SUBFILE, 0), found.get(_WIDTH, 0), found.get(_LENGTH, 0)))
        todo = [*inner, *struct.unpack_from(pointer, data, count * entry), *todo]
    return out
