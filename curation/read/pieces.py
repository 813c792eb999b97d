"""Bytes that were asked for ahead, of all files of a reader: what bounds them, and what goes where they are many."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import Protocol

from curation.read.blocks import Span


class Holder(Protocol):
    """A file that has pieces."""

    def drop(self, start: int) -> None:
        """Forgets the piece that begins there."""


class _Piece:
    """Bytes that were asked for ahead."""

    __slots__ = ("_is_through", "data", "reads", "size")

    def __init__(self, size: int, data: Future[bytes], reads: int) -> None:
        self.size = size
        self.data = data
        self._is_through = False
        self.reads = reads
        """How many reads of blocks in it are planned and have not been."""

    def is_running(self) -> bool:
        """Whether its request is under way; once it is through it is so for good, which is asked of all pieces often."""
        self._is_through = self._is_through or self.data.done()
        return not self._is_through and self.data.running()


class Pieces:
    """Bytes that were asked for ahead, of all files of a reader, within a limit.

    What no planned read wants any more goes first, of those what was planned longest ago. A piece counts from when it is
    asked for until its bytes are gone: where its request runs, until that is through, whether anybody waits for it or
    not. So what runs is not dropped to make room: it would make none.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self._lock = threading.Lock()
        self._order: OrderedDict[tuple[Holder, int], _Piece] = OrderedDict()

    @property
    def room_bytes(self) -> int:
        """What a new plan may have: all but what is running, and what an earlier one still wants."""
        idle = sum(its.size for its in self._order.values() if not its.reads and not its.is_running())
        return self.limit_bytes - self.bytes + idle

    def add(self, file: Holder, span: Span, data: Future[bytes], reads: int) -> None:
        """Takes down a new piece, of which so many reads are planned, and drops others that have no room any more."""
        self._count(span.stop - span.start)
        if self.bytes > self.limit_bytes:
            idle = [key for key, its in self._order.items() if not its.is_running()]
            for key in sorted(idle, key=lambda key: self._order[key].reads > 0):
                if self.bytes <= self.limit_bytes:
                    break
                self._drop(key)
        self._order[file, span.start] = _Piece(span.stop - span.start, data, reads)

    def keep(self, file: Holder, start: int) -> None:
        """Makes a piece the newest: it is planned for again."""
        self._order.move_to_end((file, start))

    def plan(self, file: Holder, start: int, reads: int) -> None:
        """So many more reads of a piece are planned; fewer where they have been."""
        self._order[file, start].reads += reads

    def forget(self, file: Holder) -> None:
        """Drops all of a file."""
        for key in [k for k in self._order if k[0] is file]:
            self._drop(key)

    def _drop(self, key: tuple[Holder, int]) -> None:
        its = self._order.pop(key)
        key[0].drop(key[1])
        its.data.cancel()
        its.data.add_done_callback(lambda _: self._count(-its.size))  # at once, unless it is running

    def _count(self, size: int) -> None:
        with self._lock:
            self.bytes += size
