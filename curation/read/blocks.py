"""Which bytes of a file a set of windows needs, each once and in few requests. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

GAP_BYTES = 16 * 2**10
"""Two ranges nearer than this are one request: the bytes between cost less than a round trip."""

MOST_BYTES = 8 * 2**20
"""A request asks for no more, so that several run at a time and one that fails costs little."""


class Span(NamedTuple):
    """A range of a file."""

    start: int
    stop: int


def most_bytes(span: Span) -> int:
    """What a span takes at most, with the bytes between two ranges of one request."""
    return span.stop - span.start + GAP_BYTES


class PixelWindow(NamedTuple):
    """Columns and rows of a raster."""

    col: int
    row: int
    width: int
    height: int


def of_window(window: PixelWindow, block_width: int, block_height: int) -> Iterator[tuple[int, int]]:
    """(column, row) of the blocks that a window touches, row by row."""
    for row in range(window.row // block_height, (window.row + window.height - 1) // block_height + 1):
        for col in range(window.col // block_width, (window.col + window.width - 1) // block_width + 1):
            yield col, row


def coalesced(spans: Iterable[Span]) -> list[Span]:
    """The spans in as few as may be: those that overlap or are near are one, up to `MOST_BYTES` together.

    Each of those given lies in one of those returned.
    """
    out: list[Span] = []
    for span in sorted(set(spans)):
        last = out[-1] if out else None
        if last is not None and span.stop <= last.stop:
            continue
        near = last is not None and span.start - last.stop <= GAP_BYTES
        if last is not None and near and (span.start < last.stop or span.stop - last.start <= MOST_BYTES):
            out[-1] = Span(last.start, span.stop)
        else:
            out.append(span)
    return out
