"""What a JPEG 2000 file says of itself: its boxes, and the main header of its codestream.

Numbers of paragraphs are those of ISO/IEC 15444-1 (ITU-T T.800): boxes annex I, markers annex A, the geometry of tiles annex
B. What is said may be anything: it is bounded before it is believed.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from curation.read.blocks import Span
from curation.read.sparse import BrokenError

SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
"""What JP2 files begin with (I.5.1)."""

Take = Callable[[int, int], bytes]
"""So many bytes of the file from a place on, fewer only where it ends."""

SOC, SIZ, COD, COC, QCD, QCC, POC, RGN = 0xFF4F, 0xFF51, 0xFF52, 0xFF53, 0xFF5C, 0xFF5D, 0xFF5F, 0xFF5E
CAP, TLM, PLM, PLT, PPM, PPT, CRG, COM = 0xFF50, 0xFF55, 0xFF57, 0xFF58, 0xFF60, 0xFF61, 0xFF63, 0xFF64
SOT, SOD, EOC = 0xFF90, 0xFF93, 0xFFD9
"""Markers (A.2)."""

DECIDING = frozenset((CAP, COD, COC, QCD, QCC, RGN, POC))
"""Segments of the main header without which a tile cannot be decoded; the others only help to find things, or comment."""

_MOST_BOXES = 256
_MOST_BOX_BYTES = 4 * 2**20
"""Of all boxes that say where a file lies: those of Sentinel-2 have two thousand."""

_MOST_HEADER_BYTES = 2**24 + 2**20
"""Of a main header: room for 256 TLM segments of 64 KiB, which is as many as there may be."""

_MOST_SEGMENTS = 2**15
"""Of a main header: a style and a quantisation for each of 16384 components, which is as many as there may be."""

MOST_TILES = 65535
"""What the number of a tile has room for (A.4.2)."""

MOST_CODE_BLOCKS = 2**20
"""Of a tile. Of 1024 × 1024 pixels in blocks of 64 × 64 there are 350; what is decoded holds some hundred bytes for each."""

_GEOJP2 = bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03")
"""UUID of the box that holds a GeoTIFF of one pixel (GeoJP2)."""

_OPACITY = (1, 2)
"""Types of a channel that is opacity, associated or not (I.5.3.6)."""


class NotReadError(Exception):
    """It is JPEG 2000, and whole as far as can be seen, in a form that is not read here."""


class Boxes(NamedTuple):
    """What is read of the boxes of a file."""

    place: bytes
    """Boxes that may say where it lies (GeoJP2, GMLJP2), whole and in their order; empty where there is none."""
    alpha: int | None
    """1-based component that is opacity."""
    codestream: Span


def boxes(take: Take, size: int) -> Boxes:
    """What the boxes of a file of so many bytes say.

    Raises:
        BrokenError: they lead out of the file, are too many, or none of them is a codestream.
    """
    place, alpha, codestream = b"", None, None
    for kind, span, header in _walked(take, Span(0, size)):
        if kind == b"jp2c" and codestream is None:
            codestream = Span(span.start + header, span.stop)
        elif kind in (b"jp2h", b"asoc", b"uuid"):
            length = span.stop - span.start
            if kind == b"uuid" and take(span.start + header, 16) != _GEOJP2:
                continue
            if length + len(place) > _MOST_BOX_BYTES:
                raise BrokenError(f"has boxes of {length + len(place)} bytes, expected {_MOST_BOX_BYTES} at most")
            data = take(span.start, length)
            if kind == b"jp2h":
                alpha = _opacity(data, header)
            elif data[:4] == bytes(4):  # "to the end of the file", which others follow where it is looked at
                place += struct.pack(">I", length) + data[4:]
            else:
                place += data
    if codestream is None:
        raise BrokenError("none of its boxes is a codestream (jp2c)")
    return Boxes(place, alpha, codestream)


def _walked(take: Take, within: Span) -> Iterator[tuple[bytes, Span, int]]:
    """Type, place and length of the header of each box (I.4)."""
    at, count = within.start, 0
    while at < within.stop:
        head = take(at, 16)
        length, kind = struct.unpack(">I4s", head[:8]) if len(head) >= 8 else (0, b"")
        header = 8
        if length == 1 and len(head) == 16:
            header, length = 16, struct.unpack(">Q", head[8:])[0]
        elif length == 0:
            length = within.stop - at  # it is the last
        count += 1
        if not kind or length < header or at + length > within.stop or count > _MOST_BOXES:
            raise BrokenError(
                f"its box {kind!r} at byte {at} has {length} bytes: it leads out of the {within.stop} that there are, or is "
                f"one of more than {_MOST_BOXES}"
            )
        yield kind, Span(at, at + length), header
        at += length


def _opacity(data: bytes, header: int) -> int | None:
    """Which component is opacity, by the header box of a file."""
    for kind, span, inner in _walked(lambda at, n: data[at : at + n], Span(header, len(data))):
        if kind == b"cdef":
            body = data[span.start + inner + 2 : span.stop]
            for component, what, _ in struct.iter_unpack(">HHH", body[: len(body) // 6 * 6]):
                if what in _OPACITY:
                    return int(component) + 1
    return None


class Grid(NamedTuple):
    """Where the image and its tiles lie on the reference grid (B.2, B.3), in pixels."""

    x1: int
    y1: int
    x0: int
    y0: int
    tile_width: int
    tile_height: int
    tile_x0: int
    tile_y0: int

    @property
    def across(self) -> int:
        """Tiles side by side."""
        return -(-(self.x1 - self.tile_x0) // self.tile_width)

    @property
    def down(self) -> int:
        """Rows of tiles."""
        return -(-(self.y1 - self.tile_y0) // self.tile_height)

    def tile(self, number: int) -> tuple[int, int, int, int]:
        """Left, upper, right and lower edge of a tile, within the image."""
        row, col = divmod(number, self.across)
        left, top = self.tile_x0 + col * self.tile_width, self.tile_y0 + row * self.tile_height
        right, bottom = min(left + self.tile_width, self.x1), min(top + self.tile_height, self.y1)
        return max(left, self.x0), max(top, self.y0), right, bottom


@dataclass(frozen=True, slots=True)
class Header:
    """The main header of a codestream."""

    capabilities: int
    """Rsiz, as it stands."""
    grid: Grid
    components: int
    precision: int
    """Bits of a sample, the sign's among them."""
    is_signed: bool
    segments: tuple[tuple[int, bytes], ...]
    """Marker and body of those that a tile is decoded with, in their order."""
    lengths: tuple[bytes, ...]
    """Bodies of the TLM segments."""
    tiles: Span
    """From the first tile-part to the end of the codestream."""


def header(take: Take, stream: Span) -> Header:
    """The main header of a codestream.

    Raises:
        NotReadError: it is of a form that is not read here.
        BrokenError: it is damaged, or says what cannot be.
    """
    if take(stream.start, 2) != struct.pack(">H", SOC):
        raise BrokenError(f"its codestream at byte {stream.start} begins with {take(stream.start, 4)!r}")
    at, size, count = stream.start + 2, b"", 0
    segments: list[tuple[int, bytes]] = []
    lengths: list[bytes] = []
    while True:
        head = take(at, 4)
        marker, length = struct.unpack(">HH", head) if len(head) == 4 else (0, 0)
        if marker == SOT:
            break
        if not SOC < marker < SOT or length < 2 or at + 2 + length > stream.stop:
            raise BrokenError(f"its main header has {head!r} at byte {at}, expected a marker and its length")
        count += 1
        if at - stream.start > _MOST_HEADER_BYTES or count > _MOST_SEGMENTS:
            raise BrokenError(
                f"its main header has more than {_MOST_HEADER_BYTES} bytes, or than {_MOST_SEGMENTS} segments: {count} "
                f"up to byte {at}"
            )
        body = take(at + 4, length - 2)
        if marker == PPM:
            raise NotReadError("its packet headers are packed in the main header (PPM), which is not read here")
        if marker == SIZ and not size:
            size = body
        elif marker in DECIDING:
            segments.append((marker, body))
        elif marker == TLM:
            lengths.append(body)
        at += 2 + length
    return _sized(size, tuple(segments), tuple(lengths), Span(at, stream.stop))


def _sized(size: bytes, segments: tuple[tuple[int, bytes], ...], lengths: tuple[bytes, ...], tiles: Span) -> Header:
    """What the SIZ segment says (A.5.1)."""
    if len(size) < 36:
        raise BrokenError("its main header has no size (SIZ)")
    capabilities, *numbers, count = struct.unpack(">H8IH", size[:36])
    found = Grid(*numbers)
    kinds = [size[36 + 3 * n : 39 + 3 * n] for n in range(count)]
    if not count or len(size) != 36 + 3 * count:
        raise BrokenError(f"its size (SIZ) has {len(size)} bytes, expected {36 + 3 * count} for {count} components")
    if not (
        found.tile_x0 <= found.x0 < found.x1
        and found.tile_y0 <= found.y0 < found.y1
        and found.x0 < found.tile_x0 + found.tile_width
        and found.y0 < found.tile_y0 + found.tile_height
    ):
        raise BrokenError(f"its image and tiles lie nowhere: {found}")
    if found.across * found.down > MOST_TILES:
        raise BrokenError(f"has {found.across} × {found.down} tiles, expected {MOST_TILES} at most: {found}")
    if (found.tile_x0, found.tile_y0) != (found.x0, found.y0):
        raise NotReadError("its tiles do not begin where its image does, which is not read here")
    if any(kind[1:] != b"\x01\x01" for kind in kinds) or len(set(kinds)) > 1:
        raise NotReadError("its components are not alike, or have fewer pixels than the image, which is not read here")
    precision, is_signed = (kinds[0][0] & 0x7F) + 1, bool(kinds[0][0] & 0x80)
    if precision > 16:
        raise NotReadError(f"its samples have {precision} bits, expected 16 at most")
    return Header(capabilities, found, count, precision, is_signed, segments, lengths, tiles)


class _Coding(NamedTuple):
    """What decides how many pieces a component of a tile is in (A.6.1, A.6.2)."""

    layers: int
    levels: int
    block: tuple[int, int]
    """Exponents of width and height of a code-block."""
    precincts: tuple[tuple[int, int], ...]
    """Likewise of precincts, from the lowest resolution."""


def _coding(body: bytes, layers: int) -> _Coding:
    """The parameters of COD and COC that are alike (A.15)."""
    if len(body) < 6:
        raise BrokenError("its coding style (COD) is cut")
    has_precincts, levels, width, height = body[0] & 1, body[1], (body[2] & 15) + 2, (body[3] & 15) + 2
    if levels > 32 or width > 10 or height > 10 or width + height > 12:
        raise BrokenError(
            f"its coding style (COD) has {levels} levels and code-blocks of 2^{width} × 2^{height} samples"
        )
    sizes = body[6:] if has_precincts else b"\xff" * (levels + 1)
    if len(sizes) != levels + 1 or any(not s & 15 or not s >> 4 for s in sizes[1:]):
        raise BrokenError(f"its coding style (COD) has {len(sizes)} sizes of precincts, expected {levels + 1}, none 0")
    return _Coding(layers, levels, (width, height), tuple((s & 15, s >> 4) for s in sizes))


def _codings(
    segments: tuple[tuple[int, bytes], ...], components: int, before: Mapping[int, _Coding]
) -> dict[int, _Coding]:
    """Component → its coding; by -1 that of those that have none of their own. `before` is what a tile's own goes before."""
    found = dict(before)
    for marker, body in segments:
        if marker == COD:
            if len(body) < 10:
                raise BrokenError("its coding style (COD) is cut")
            (layers,) = struct.unpack(">H", body[2:4])
            # What a tile says of all goes before what the main header says of one (A.6.1).
            found = {-1: _coding(body[:1] + body[5:], layers)}
    wide = 1 if components < 257 else 2
    for marker, body in segments:
        if marker == COC and len(body) > wide:
            if -1 not in found:
                raise BrokenError("its main header has no coding style (COD)")
            found[int.from_bytes(body[:wide], "big")] = _coding(body[wide:], found[-1].layers)
    return found


def check_pieces(
    its: Header, own: tuple[tuple[int, bytes], ...], tile: tuple[int, int, int, int], packed_bytes: int
) -> None:
    """Passes where a tile is in no more pieces than it can be: what decodes it makes room for all before it looks at one.

    Args:
        its: the codestream's header.
        own: the tile's segments that go before those.
        tile: its edges, as `Grid.tile` has them.
        packed_bytes: what it takes of the file.

    Raises:
        BrokenError: it is in more; or has more packets than bytes, each of which takes one at least (B.10).
    """
    found = _codings(own, its.components, _codings(its.segments, its.components, {}))
    if -1 not in found:
        raise BrokenError("its main header has no coding style (COD)")
    blocks = packets = 0
    counts = {coding: _pieces(coding, tile) for coding in set(found.values())}
    for component in range(its.components):
        coding = found.get(component, found[-1])
        blocks += counts[coding][0]
        packets += counts[coding][1] * coding.layers
    if blocks > MOST_CODE_BLOCKS or packets > packed_bytes:
        raise BrokenError(
            f"is in {blocks} code-blocks and {packets} packets, expected {MOST_CODE_BLOCKS} at most, and as many packets as "
            f"its {packed_bytes} bytes"
        )


@functools.lru_cache(maxsize=256)
def _pieces(coding: _Coding, tile: tuple[int, int, int, int]) -> tuple[int, int]:
    """How many code-blocks, at most, and precincts a component of a tile is in (B.5 to B.7)."""
    blocks = precincts = 0
    for level, exponents in enumerate(coding.precincts):
        scale = coding.levels - level
        of_level, cells = 1, 1
        for axis in (0, 1):
            first, last = -(-tile[axis] >> scale), -(-tile[axis + 2] >> scale)
            exponent = exponents[axis]
            of_level *= (-(-last >> exponent) - (first >> exponent)) if last > first else 0
            cells *= ((last - first) >> min(coding.block[axis], max(exponent - 1, 0))) + 2
        precincts += of_level
        blocks += cells + 3 * of_level
    return blocks, precincts


def reduced(value: int, times: int) -> int:
    """A coordinate once halved so many times (B.5)."""
    return -(-value >> times)
