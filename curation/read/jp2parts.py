"""Where the tiles of a JPEG 2000 codestream are, and one of them as a codestream of its own."""

from __future__ import annotations

import struct
from typing import NamedTuple

from curation.read import jp2
from curation.read.blocks import Span
from curation.read.jp2 import Header, Take
from curation.read.sparse import BrokenError

SOT_BYTES = 12
"""The segment that begins a tile-part (A.4.2)."""

_LEAST_PART_BYTES = SOT_BYTES + 2

_STEP_BYTES = 64 * 2**10
"""What is asked for at a time where tile-parts are shorter: several beginnings in one request."""

MOST_STEPS = 1024
"""Requests that looking for tile-parts may cost. Sentinel-2 has 121 of them."""

MOST_PARTS = 2**16
"""Of a file: one for each of as many tiles as there may be. Each is some hundred bytes while its file is known."""

_MOST_OF_TILE = 255
"""What the number of a tile's parts has room for (A.4.2)."""


class TilePart(NamedTuple):
    """A tile-part, as its SOT segment has it."""

    tile: int
    size: int
    """Bytes, the segment's among them; 0: up to the end of the codestream."""
    number: int
    """Of the tile's, from 0."""


def part(head: bytes) -> TilePart | None:
    """What a tile-part begins with; None where nothing does."""
    if len(head) < SOT_BYTES or head[:4] != struct.pack(">HH", jp2.SOT, 10):
        return None
    tile, size, number = struct.unpack(">HIB", head[4:11])
    return TilePart(tile, size, number)


Parts = dict[int, list[Span]]
"""Tile → its tile-parts, in their order."""


def listed(header: Header) -> Parts | None:
    """Where tile-parts are by the TLM segments of the main header (A.7.1); None where there are none, or these do not fit.

    Whether what they lead to is the tile is seen when it is read.
    """
    count = header.grid.across * header.grid.down
    found: Parts = {}
    at = header.tiles.start
    total = 0
    for body in sorted(header.lengths, key=lambda b: b[:1]):
        if len(body) < 2:
            return None
        wide, long = body[1] >> 4 & 3, 4 if body[1] & 0x40 else 2
        if wide == 3 or (len(body) - 2) % (wide + long):
            return None
        for n in range(2, len(body), wide + long):
            tile = int.from_bytes(body[n : n + wide], "big") if wide else total
            size = int.from_bytes(body[n + wide : n + wide + long], "big")
            total += 1
            if tile >= count or size < _LEAST_PART_BYTES or total > MOST_PARTS:
                return None
            found.setdefault(tile, []).append(Span(at, at + size))
            at += size
    ends = at in (header.tiles.stop, header.tiles.stop - 2)  # an end (EOC) may be missing
    return found if len(found) == count and ends else None


def walked(header: Header, take: Take) -> Parts:
    """Where tile-parts are, from one to the next.

    Raises:
        BrokenError: one leads out of the codestream, or is none; or there are more than are looked for.
    """
    count = header.grid.across * header.grid.down
    found: Parts = {}
    at, stop = header.tiles
    held, held_at, steps, size, total = b"", at, 0, 0, 0
    while at + SOT_BYTES <= stop:  # what is shorter is the end
        if at + SOT_BYTES > held_at + len(held):
            steps += 1
            if steps > MOST_STEPS:
                raise BrokenError(
                    f"has tile-parts that {MOST_STEPS} requests do not find, and no list of them (TLM): rewrite it with one"
                )
            held_at, held = at, take(at, min(_STEP_BYTES if 0 < 4 * size < _STEP_BYTES else SOT_BYTES, stop - at))
        head = held[at - held_at : at - held_at + SOT_BYTES]
        if head[:2] == struct.pack(">H", jp2.EOC):
            break
        its = part(head)
        if its is None:
            raise BrokenError(f"has {head!r} at byte {at}, expected a tile-part")
        size = its.size or stop - at
        if its.tile >= count or size < _LEAST_PART_BYTES or at + size > stop:
            raise BrokenError(
                f"its tile-part at byte {at} is of tile {its.tile} of {count} and has {size} bytes, of {stop - at} that "
                "there are: it ends within it, or is damaged"
            )
        found.setdefault(its.tile, []).append(Span(at, at + size))
        at += size
        total += 1
        if total > MOST_PARTS:
            raise BrokenError(f"has more than {MOST_PARTS} tile-parts, which is as many as are looked for")
    return found


def alone(header: Header, number: int, data: bytes) -> bytes:
    """One tile as a codestream of one tile, which lies where it lay on the reference grid: it decodes to the same pixels.

    Args:
        header: of the codestream that it is of.
        number: the tile's.
        data: its tile-parts, one after the other.

    Raises:
        BrokenError: these are not the tile's, or not all.
    """
    left, top, right, bottom = edges = header.grid.tile(number)
    parts = _opened(number, data)
    jp2.check_pieces(header, tuple(s for segments, _ in parts for s in segments), edges, len(data))
    kind = struct.pack(">BBB", header.precision - 1 | (0x80 if header.is_signed else 0), 1, 1)
    siz = struct.pack(
        ">H8IH",
        *(header.capabilities, right, bottom, left, top),
        *(right - left, bottom - top, left, top, header.components),
    )
    out = [struct.pack(">H", jp2.SOC), _segment(jp2.SIZ, siz + kind * header.components)]
    out += [_segment(marker, body) for marker, body in header.segments]
    for n, (segments, packets) in enumerate(parts):
        inner = b"".join(_segment(marker, body) for marker, body in segments) + struct.pack(">H", jp2.SOD) + packets
        out += [struct.pack(">HHHIBB", jp2.SOT, 10, 0, SOT_BYTES + len(inner), n, len(parts)), inner]
    return b"".join([*out, struct.pack(">H", jp2.EOC)])


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">HH", marker, len(body) + 2) + body


class _Opened(NamedTuple):
    """A tile-part."""

    segments: tuple[tuple[int, bytes], ...]
    """Marker and body of those that it is decoded with, in their order."""
    packets: bytes


def _opened(tile: int, data: bytes) -> list[_Opened]:
    """The tile-parts of a tile.

    Raises:
        BrokenError: some are another's, out of their order, missing or cut.
    """
    out: list[_Opened] = []
    at = stated = 0
    while at < len(data):
        its = part(data[at : at + SOT_BYTES])
        if its is None or its.tile != tile or its.number != len(out):
            raise BrokenError(f"is no tile-part {len(out)} of tile {tile}: {data[at : at + SOT_BYTES]!r}")
        size = its.size or len(data) - at
        inner = data[at + SOT_BYTES : at + size]
        if size < SOT_BYTES or len(inner) != size - SOT_BYTES:
            raise BrokenError(f"has a tile-part of {size} bytes, of {len(data) - at} that there are")
        if not its.size and inner.endswith(struct.pack(">H", jp2.EOC)):
            inner = inner[:-2]
        stated = data[at + SOT_BYTES - 1] or stated
        out.append(_headed(inner))
        at += size
    if not out or len(out) > _MOST_OF_TILE or stated not in (0, len(out)):
        raise BrokenError(
            f"has {len(out)} tile-parts, of {stated or f'{_MOST_OF_TILE} at most'} that tile {tile} should have"
        )
    return out


_OF_PARTS = jp2.DECIDING | {jp2.PPT}
"""Segments of tile-parts that are kept: PLT and comments are not."""


def _headed(inner: bytes) -> _Opened:
    """The header of a tile-part, and what is behind it."""
    at = 0
    segments = []
    while (head := inner[at : at + 4])[:2] != struct.pack(">H", jp2.SOD):
        marker, length = struct.unpack(">HH", head) if len(head) == 4 else (0, 0)
        if not jp2.SOC < marker < jp2.SOT or length < 2 or at + 2 + length > len(inner):
            raise BrokenError(f"has {head!r} in the header of a tile-part, expected a marker and its length")
        if marker in _OF_PARTS:
            segments.append((marker, inner[at + 4 : at + 2 + length]))
        at += 2 + length
    return _Opened(tuple(segments), inner[at + 2 :])
