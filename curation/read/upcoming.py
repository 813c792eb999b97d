"""What groups of reads take that are still to come: how many of them have room, in which requests, and in which order."""

from __future__ import annotations

import bisect
import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from curation.errors import ReadError
from curation.read.blocks import Span, coalesced, most_bytes
from curation.read.planned import Wanted, together
from curation.read.sparse import SparseFile

R = TypeVar("R")

LOOK = 64
"""Groups behind those that have room that are looked at: what they take right beside these comes in the same requests."""


@dataclass(slots=True)
class AskedTogether:
    """What is asked for together."""

    groups: list[Wanted] = field(default_factory=list)
    """Those that have room."""
    turns: dict[SparseFile, dict[Span, int]] = field(default_factory=dict)
    """File → span → the number of the first group that takes it."""
    beside: dict[SparseFile, list[Span]] = field(default_factory=dict)
    """What later groups take alone."""

    def requests(self) -> Iterator[tuple[SparseFile, Span]]:
        """What is to be asked for: that first which the first groups wait for, whatever file it is of."""
        found: list[tuple[int, SparseFile, Span]] = []
        for file, turns in self.turns.items():
            with contextlib.suppress(ReadError):  # whoever reads it meets the same
                requests = file.requests([*turns, *self.beside.get(file, ())])
                found += [(turn, file, its) for turn, its in zip(_turns(requests, turns), requests, strict=True)]
        return ((file, its) for _, file, its in sorted(found, key=lambda its: its[0]))


def _turns(requests: Sequence[Span], turns: Mapping[Span, int]) -> list[int]:
    """Of each request, in order of their place, the first turn of the spans in it."""
    starts, first = [its.start for its in requests], [sys.maxsize] * len(requests)
    for span, turn in turns.items():
        i = bisect.bisect_right(starts, span.start) - 1
        if i >= 0 and span.start < requests[i].stop:
            first[i] = min(first[i], turn)
    return first


class Upcoming(Generic[R]):
    """Groups of reads that come one after the other, of which nothing was asked for yet."""

    def __init__(
        self, groups: Sequence[Sequence[R]], spans_of: Callable[[R], Wanted], is_known: Callable[[R], bool]
    ) -> None:
        """Prepares it.

        Args:
            groups: in their order.
            spans_of: which bytes of which file a read takes; waits for the file's head.
            is_known: whether it need not wait.
        """
        self._groups, self._spans_of, self._is_known = groups, spans_of, is_known
        self._at = 0
        self._found: dict[int, list[Wanted]] = {}

    @property
    def left(self) -> int:
        """How many groups there are."""
        return len(self._groups) - self._at

    def take(self, room_bytes: int, least: int, beside_bytes: int) -> AskedTogether:
        """The first groups: as many as have room, and so many at least; and what later ones take beside them.

        Args:
            room_bytes: for both.
            least: groups.
            beside_bytes: of that, for what later groups take.
        """
        batch, total = AskedTogether(), 0
        while self.left:
            its = self._spans(self._at)
            new = _new(its, batch, room_bytes)
            total += sum(map(most_bytes, (s for file, spans in new.items() for s in spans - file.planned.keys())))
            if len(batch.groups) >= least and total > room_bytes - beside_bytes:
                self._look(batch, beside_bytes)
                break
            self._take(batch, its, new)
        return batch

    def _take(self, batch: AskedTogether, its: Sequence[Wanted], new: Mapping[SparseFile, set[Span]]) -> None:
        for file, spans in new.items():
            batch.turns.setdefault(file, {}).update(dict.fromkeys(spans, len(batch.groups)))
        batch.groups.append(together(_pairs(its)))
        del self._found[self._at]
        self._at += 1

    def _look(self, batch: AskedTogether, room_bytes: int) -> None:
        """Adds what later groups take and comes in the same requests, as far as their files' heads are here."""
        later: dict[SparseFile, set[Span]] = {}
        for number in range(self._at, min(self._at + LOOK, len(self._groups))):
            if not all(map(self._is_known, self._groups[number])):
                break
            for file, spans in _pairs(self._spans(number)):
                if file in batch.turns:
                    later.setdefault(file, set()).update(spans.keys() - batch.turns[file].keys() - file.planned.keys())
        for file, more in later.items():
            for its in _beside(batch.turns[file], more):
                room_bytes -= most_bytes(its)
                if room_bytes < 0:
                    return
                batch.beside.setdefault(file, []).append(its)

    def _spans(self, number: int) -> list[Wanted]:
        """What each read of a group takes."""
        if number not in self._found:
            self._found[number] = [self._spans_of(read) for read in self._groups[number]]
        return self._found[number]


def _pairs(found: Iterable[Wanted]) -> Iterator[tuple[SparseFile, Counter[Span]]]:
    return (pair for its in found for pair in its.items())


def _new(its: Sequence[Wanted], batch: AskedTogether, room_bytes: int) -> dict[SparseFile, set[Span]]:
    """What a group takes that is not asked for; but what one read alone has no room for is fetched as it is read."""
    new: dict[SparseFile, set[Span]] = {}
    for file, spans in _pairs(its):
        more = spans.keys() - batch.turns.get(file, {}).keys()
        if sum(span.stop - span.start for span in more) <= room_bytes:
            new.setdefault(file, set()).update(more)
    return new


def _beside(turns: Mapping[Span, int], later: set[Span]) -> list[Span]:
    """Those of later spans that come in one request with spans that have a turn."""
    starts = [its.start for its in coalesced([*turns, *later])]
    mine = {bisect.bisect_right(starts, its.start) for its in turns}
    return [its for its in sorted(later) if bisect.bisect_right(starts, its.start) in mine]
