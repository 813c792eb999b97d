"""Files of which only some bytes are here: fetched ahead where a plan asks for them, else when they are wanted."""

from __future__ import annotations

import bisect
import io
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from cachetools import LRUCache

from curation.read import ranges
from curation.read.blocks import Span, coalesced
from curation.read.heads import Heads
from curation.read.pieces import Pieces
from curation.read.ranges import Answer
from curation.read.signing import FileAddress

T = TypeVar("T")

HEAD_BYTES = 32 * 2**10
"""The first request of a file: the headers of a Cloud-Optimised GeoTIFF of 10980 × 10980 pixels, overviews included."""


class BrokenError(Exception):
    """The bytes are here and cannot be what they should be."""


_PAGE_BYTES = 64 * 2**10
"""What is read ahead of a small read that no plan foresaw."""

_MOST_HEADS = 2048
"""Heads that a process keeps from one slab to the next: 64 MiB."""

_heads: LRUCache[FileAddress, Future[Answer]] = LRUCache(_MOST_HEADS)
_heads_lock = threading.Lock()


class Counts:
    """What reading cost so far: the same for all files of a reader."""

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0
        self.unplanned = 0
        """Requests for bytes that no plan foresaw."""
        self.saved = 0
        """Heads that were kept from before, and not asked for."""
        self._lock = threading.Lock()

    def add(self, answer: Answer, *, planned: bool) -> None:
        """Takes up one answer."""
        with self._lock:
            self.requests += 1
            self.bytes += len(answer.data)
            self.unplanned += not planned

    def add_saved(self) -> None:
        """Takes up a head that was kept."""
        with self._lock:
            self.saved += 1


class SparseFile:
    """One file. For one thread at a time; what is fetched ahead comes in threads of its own."""

    def __init__(
        self,
        address: FileAddress,
        name: str,
        counts: Counts,
        pieces: Pieces,
        ended: threading.Event | None = None,
        saved: Heads | None = None,
    ) -> None:
        """Prepares reading; nothing is asked for yet.

        Args:
            address: where it is.
            name: what errors call it.
            counts: where to count requests.
            pieces: what bounds the bytes that are asked for ahead.
            ended: is set when nobody will read any more.
            saved: heads that are kept from before.
        """
        self.address = address
        self.name = name
        self._counts = counts
        self._pieces = pieces
        self._ended = ended or threading.Event()
        self._starts: list[int] = []
        self._spans: list[tuple[int, Future[bytes]]] = []
        """(end, bytes), in the order of `_starts`; they do not overlap."""
        self.planned: dict[Span, int] = {}
        """Blocks that planned reads have not read yet, and how many of them."""
        self._head: Future[Answer] | None = None
        self.with_head: list[Callable[[], object]] = []
        """What forgets what others keep that follows from the file's bytes, as from its head."""
        self._is_lent = False
        """Whether the head is another reader's: good for where blocks are, and checked by the first that is fetched."""
        self._is_proven = False
        """Whether the file was seen to have the head's content since."""
        self._head_used = 0
        """Bytes of the head that say something of the file, as far as was read: blocks that lie in it are none of them."""
        self._saved = saved if address.is_remote else None

    def ask_head(self) -> None:
        """Begins to fetch the head, unless this process has it, or is about to."""
        if self._head is not None:
            return
        with _heads_lock:
            self._head = _heads.get(self.address)
            self._is_lent = self._head is not None
            if self._head is not None:
                return
            head: Future[Answer] = Future()
            _pool(self.address).submit(self._fetch_head, head)
            self._head = _heads[self.address] = head

    def _fetch_head(self, head: Future[Answer]) -> None:
        try:
            if self._saved is not None and (found := self._saved.find(self.address.url)) is not None:
                self._counts.add_saved()
                self._is_lent = True
                head.set_result(found)
                return
            answer = ranges.fetch(self.address, 0, HEAD_BYTES, self.name)  # to its end: other readers may wait for it
        except BaseException as err:  # noqa: BLE001 - whoever reads it is told
            self._forget_head(head)
            head.set_exception(err)
            return
        self._counts.add(answer, planned=True)
        # Only what later answers are compared with lasts: another content under the same name would not show else.
        if not (self.address.is_remote and answer.version and len(answer.data) < answer.size):
            self._forget_head(head)
        head.set_result(answer)

    def _forget_head(self, head: Future[Answer] | None) -> None:
        """Nobody else gets this head any more; one that was asked for after it stays."""
        with _heads_lock:
            if _heads.get(self.address) is head:
                _heads.pop(self.address, None)

    def head(self) -> Answer:
        """The first bytes, with what is known of the whole. Raises as `ranges.fetch` does."""
        self.ask_head()
        assert self._head is not None
        return self._head.result()

    def _had_head(self) -> Answer | None:
        """The head, where it is here."""
        has_come = self._head is not None and self._head.done() and self._head.exception() is None
        return self.head() if has_come else None

    @property
    def is_doubtful(self) -> bool:
        """Whether its head may be of another content: it is another reader's, and nothing came since to compare it with."""
        return self._is_lent and not self._is_proven

    def proven(self, made: T) -> T:
        """What was made of a file that has the content that its head is of: it is looked at where nothing has shown that.

        Raises:
            ChangedError: it has another one than when a reader before fetched the head.
        """
        head = self.head()
        if self.is_doubtful:
            self._fetch(Span(0, len(head.data)), head, planned=True)
        return made

    def keep_head(self) -> None:
        """Keeps what was used of the head for who reads it another time; of one that is lent another has, or does."""
        if self._saved is not None and not self._is_lent and (head := self._had_head()) is not None:
            self._saved.add(self.address.url, replace(head, data=head.data[: self._head_used]))

    def keep(self, spans: Iterable[Span]) -> None:
        """Lets the pieces that spans lie in stay longer than those that no plan wants any more."""
        for start in {start for span in spans for start, _ in self._over(span)}:
            self._pieces.keep(self, start)

    def plan(self, span: Span, reads: int) -> None:
        """A block that lies there will be read so often (`took`); it is asked for after that."""
        more = reads - self.planned.pop(span, 0)
        if reads:
            self.planned[span] = reads
        for start, _ in self._over(span):
            self._pieces.plan(self, start, more)

    def took(self, span: Span) -> int | None:
        """A block is read: for how many planned reads it will be again; None where none was planned."""
        if span not in self.planned:
            return None
        self.plan(span, left := self.planned[span] - 1)
        return left

    def ask(self, spans: Iterable[Span]) -> None:
        """Begins to fetch those of the spans that are not here yet, in few requests."""
        for request in self.requests(spans):
            self.begin(request)

    def requests(self, spans: Iterable[Span]) -> list[Span]:
        """What is to be asked for of the spans that are not here yet, in few requests, in order of their place."""
        head = self.head()
        head_size = self._head_size(head)
        spans = [Span(s.start, min(s.stop, head.size)) for s in spans]  # a damaged header may say anything
        return coalesced(s for s in spans if s.stop > head_size and not self._has(s))

    def begin(self, request: Span) -> None:
        """Begins to fetch what of a request is not here yet."""
        head = self.head()
        for span in self._gaps(Span(max(request.start, self._head_size(head)), request.stop)):
            self._add(span, _pool(self.address).submit(self._fetch, span, head, planned=True))

    def _head_size(self, head: Answer) -> int:
        """How many bytes of the head are this very file's, for sure."""
        return 0 if self._is_lent else len(head.data)

    def _has(self, span: Span) -> bool:
        i = bisect.bisect_right(self._starts, span.start) - 1
        return i >= 0 and self._spans[i][0] >= span.stop

    def _over(self, span: Span) -> Iterator[tuple[int, int]]:
        """Start and end of the pieces that have some of a span."""
        for i in range(max(bisect.bisect_right(self._starts, span.start) - 1, 0), len(self._starts)):
            if self._starts[i] >= span.stop:
                break
            if self._spans[i][0] > span.start:
                yield self._starts[i], self._spans[i][0]

    def _gaps(self, span: Span) -> Iterator[Span]:
        """What of a span lies in no piece."""
        at = span.start
        for start, stop in list(self._over(span)):  # what is found is asked for, and pieces come and go
            if start > at:
                yield Span(at, start)
            at = max(at, stop)
        if at < span.stop:
            yield Span(at, span.stop)

    def _add(self, span: Span, data: Future[bytes]) -> None:
        i = bisect.bisect(self._starts, span.start)
        self._starts.insert(i, span.start)
        self._spans.insert(i, (span.stop, data))
        reads = sum(n for block, n in self.planned.items() if block.start < span.stop and span.start < block.stop)
        self._pieces.add(self, span, data, reads)

    def drop(self, start: int) -> None:
        """Forgets the piece that begins there."""
        i = bisect.bisect_left(self._starts, start)
        del self._starts[i], self._spans[i]

    def _fetch(self, span: Span, head: Answer, *, planned: bool) -> bytes:
        answer = ranges.fetch(self.address, span.start, span.stop - span.start, self.name, head.version, self._ended)
        self._counts.add(answer, planned=planned)
        if answer.size != head.size:
            raise ranges.ChangedError(f"{self.name}: has {answer.size} bytes, expected {head.size}; it is read anew")
        self._is_proven = True
        if len(answer.data) < span.stop - span.start:
            raise ranges.ChangedError(f"{self.name}: ends before byte {span.stop}; it is read anew")
        return answer.data

    def read(self, start: int, size: int) -> bytes:
        """So many bytes, fewer only where the file ends. Raises as `ranges.fetch` does."""
        self._head_used = max(self._head_used, min(start + size, len(self.head().data)))
        return bytes(self.view(start, size))

    def view(self, start: int, size: int) -> memoryview:
        """As `read`, without a copy where they came together: all that came is kept as long as the view is."""
        head = self.head()
        stop = min(start + size, head.size)
        parts = []
        while start < stop:
            part = self._part(Span(start, stop), head)
            if not part:
                raise ranges.ChangedError(f"{self.name}: ends at {start}, expected {head.size} bytes: it changed")
            parts.append(part)
            start += len(part)
        return parts[0] if len(parts) == 1 else memoryview(b"".join(parts))

    def _part(self, span: Span, head: Answer) -> memoryview:
        """The first bytes of a span, as many as one piece or the head has."""
        i = bisect.bisect_right(self._starts, span.start) - 1
        if i < 0 or self._spans[i][0] <= span.start:
            if span.start < len(head.data):
                return memoryview(head.data)[span.start : span.stop]
            # Nobody planned it: headers behind the head, or a format whose blocks only its driver knows.
            room = self._starts[i + 1] if i + 1 < len(self._starts) else head.size
            more = Span(span.start, min(max(span.stop, span.start + _PAGE_BYTES), room))
            done: Future[bytes] = Future()
            done.set_result(self._fetch(more, head, planned=False))
            self._add(more, done)
            i = bisect.bisect_right(self._starts, span.start) - 1
        stop, data = self._spans[i]
        try:
            return memoryview(data.result())[span.start - self._starts[i] : min(stop, span.stop) - self._starts[i]]
        except CancelledError:  # pragma: no cover - a piece that is dropped is not found here any more
            raise AssertionError("a dropped piece was read") from None

    def is_fetched(self, start: int, size: int) -> bool:
        """Whether so many bytes, or all up to the end, can be read at once, without a request and without waiting."""
        if self._head is None or not self._head.done():
            return False
        head = self.head()
        stop = min(start + size, head.size)
        while start < stop:
            i = bisect.bisect_right(self._starts, start) - 1
            if i >= 0 and self._spans[i][0] > start:
                if not self._spans[i][1].done():
                    return False
                start = self._spans[i][0]
            elif start < len(head.data):
                start = len(head.data) if i + 1 == len(self._starts) else min(len(head.data), self._starts[i + 1])
            else:
                return False
        return True

    def apart(self, work: Callable[[Callable[[int, int], bytes]], T]) -> Future[T]:
        """Begins work that reads by itself, one range after the other, in a thread of the file's host.

        It is given what reads so many bytes from a place on, as `read` does; it runs to its end, since others may wait for
        what it finds.
        """
        head = self.head()

        def take(start: int, size: int) -> bytes:
            stop = min(start + size, head.size)
            if stop <= len(head.data):
                self._head_used = max(self._head_used, stop)
                return head.data[start:stop]
            answer = ranges.fetch(self.address, start, stop - start, self.name, head.version)
            self._counts.add(answer, planned=True)
            return answer.data

        return _pool(self.address).submit(work, take)

    def forget(self) -> None:
        """Drops everything, the head as well: it is fetched anew when it is wanted."""
        self._pieces.forget(self)
        self._forget_head(self._head)
        if self._saved is not None and (head := self._had_head()) is not None:
            self._saved.forget(self.address.url, head.version)
        self._head, self._is_proven, self._head_used = None, False, 0
        for forget in self.with_head:
            forget()
        self.with_head.clear()


class Opened(io.RawIOBase):
    """A sparse file, as libraries read one."""

    def __init__(self, file: SparseFile) -> None:
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As a file's."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at}.get(whence)
        self._at = (self._file.head().size if base is None else base) + offset
        return self._at

    def tell(self) -> int:
        """As a file's."""
        return self._at

    def close(self) -> None:
        """Lets go of the file: what tifffile made of a header refers to itself, and would hold its bytes for long."""
        super().close()
        self.__dict__.pop("_file", None)

    def read(self, size: int = -1) -> bytes:
        """Bytes from where it stands; fewer only where the file ends. Raises ReadError."""
        data = self._file.read(self._at, size if size >= 0 else self._file.head().size)
        self._at += len(data)
        return data

    def readinto(self, into: Any) -> int:
        """As a file's."""
        view = memoryview(into).cast("B")  # of an array of numbers each element is several bytes
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)


_pools: dict[tuple[str, int], ThreadPoolExecutor] = {}
_pools_lock = threading.Lock()


def _pool(address: FileAddress) -> ThreadPoolExecutor:
    """The threads that fetch from a place's host, of this process: a host that stalls has no other's."""
    with _pools_lock:
        key = (address.host, address.per_host)
        if key not in _pools:
            _pools[key] = ThreadPoolExecutor(address.per_host, thread_name_prefix="fetch")
        return _pools[key]


def _after_fork() -> None:
    """A child has none of the threads that would finish what its parent began."""
    global _heads, _heads_lock, _pools_lock
    _heads_lock, _pools_lock = threading.Lock(), threading.Lock()
    _heads = LRUCache(_MOST_HEADS)  # another thread of the parent may have been at work on the old one
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
