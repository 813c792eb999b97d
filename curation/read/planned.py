"""Which blocks reads will take that are planned, and how often each: what is kept for them, until they are done."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from curation.read.blocks import Span, most_bytes
from curation.read.sparse import SparseFile

Wanted: TypeAlias = Mapping[SparseFile, Counter[Span]]
"""By file where blocks are, and how often reads take each."""


def by_file(spans: Iterable[tuple[SparseFile, Span]]) -> dict[SparseFile, Counter[Span]]:
    """Spans by the file that they are of, and how often each is there."""
    out: dict[SparseFile, Counter[Span]] = {}
    for file, span in spans:
        out.setdefault(file, Counter())[span] += 1
    return out


def together(parts: Iterable[tuple[SparseFile, Counter[Span]]]) -> dict[SparseFile, Counter[Span]]:
    """How often reads take each block, of all of some."""
    out: dict[SparseFile, Counter[Span]] = {}
    for file, spans in parts:
        out.setdefault(file, Counter()).update(spans)
    return out


class PlannedReads:
    """What groups of reads take that come one after the other.

    A group that is done has no plan any more, whatever it read: a read may have failed, or was not needed, or took a block
    twice. Else what nobody reads would fill the room for what is fetched ahead.
    """

    def __init__(self) -> None:
        self._groups: deque[Wanted] = deque()
        self._left: dict[SparseFile, Counter[Span]] = {}
        """How often all of them take each block."""
        self._foreseen: set[tuple[SparseFile, Span]] = set()
        """What the group at work was found to take beside."""
        self._held: set[tuple[SparseFile, Span]] = set()
        """What later groups take, and is here already."""

    def add(self, group: Wanted) -> None:
        """The next group."""
        self._groups.append(group)
        for file, spans in group.items():
            self._left.setdefault(file, Counter()).update(spans)
            for span, reads in spans.items():
                planned = 0 if (file, span) in self._held else file.planned.get(span, 0)
                file.plan(span, planned + reads)
                self._held.discard((file, span))

    @property
    def held_bytes(self) -> int:
        """What is held for later groups takes at most."""
        return sum(most_bytes(span) for _, span in self._held)

    def hold(self, spans: Mapping[SparseFile, Iterable[Span]]) -> None:
        """What comes now and groups will take that are added later: it stays until then."""
        for file, span in ((file, span) for file, its in spans.items() for span in its if span not in file.planned):
            file.plan(span, 1)
            self._held.add((file, span))

    def foresee(self, reads: Wanted) -> None:
        """What the group at work takes next, unless it is planned."""
        for file, spans in reads.items():
            for span, count in spans.items():
                file.plan(span, max(file.planned.get(span, 0), count))
                self._foreseen.add((file, span))

    def done(self) -> None:
        """The first group is read."""
        group = self._groups.popleft()
        for file, spans in group.items():
            self._left[file].subtract(spans)
        its = {(file, span) for file, spans in group.items() for span in spans}
        for file, span in its | self._foreseen:
            file.plan(span, self._left[file][span] if file in self._left else 0)
        self._foreseen.clear()

    def clear(self) -> None:
        """Nothing is planned any more."""
        every = {(file, span) for file, spans in self._left.items() for span in spans}
        for file, span in every | self._foreseen | self._held:
            file.plan(span, 0)
        self._groups.clear()
        self._left.clear()
        self._foreseen.clear()
        self._held.clear()
