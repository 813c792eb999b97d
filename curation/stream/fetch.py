"""Ranges of shards below a folder or URL, for many threads at once, from whatever process asks.

Local files are read straight to where they are wanted, and so is what a server gives over HTTP (`curation.store.direct`), of
buckets by URLs that are signed. Everything else goes through obstore, in a forked process through `curation.stream.helper`.
What fails and may pass is asked for again, here and nowhere else.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from curation.errors import PassingError, ReadError
from curation.store import direct, local
from curation.store.afterwards import Leavings
from curation.store.bucket import Client
from curation.store.direct import Addresses, LeftError, Lines, Scatter
from curation.store.forks import lost_to_fork
from curation.store.objects import Store
from curation.stream.cache import DiskCache
from curation.stream.helper import Channel

T = TypeVar("T")

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 15.0
"""Before the second try, and at most; it doubles from one to the next."""

_LOOK_S = 0.1
"""While a failure is waited out, this often it is asked whether anybody still wants what is read."""

_MOST_OPEN = 32
"""Files that a fetcher keeps open."""

_MOST_VIEWS = 512
"""Of one call to the kernel, which takes 1024."""

_jitter = random.Random()

_descriptors = Leavings()
"""Of files that nobody reads any more."""


@dataclass(frozen=True, slots=True)
class Remote:
    """How shards are read that are not on this machine."""

    cache: DiskCache | None = None
    """Where to keep them on local disk, downloaded whole when they are first used."""
    retries: int = 5
    """How often to ask again after a failure that may pass."""
    connect_s: float = 5.0
    """Seconds to wait for a connection."""
    read_s: float = 30.0
    """Seconds to wait for the next bytes."""


class Over:
    """Whether nobody waits any more for what a thread reads: then no failure is tried again.

    Asked, and not told: whoever iterates may be gone without having had the time to say so.
    """

    def __init__(self) -> None:
        self.is_wanted: Callable[[], bool] | None = None
        """Asked now and then; always wanted where None."""

    def wait(self, seconds: float) -> bool:
        """Waits so long, or until it is over; whether it is."""
        until = time.monotonic() + seconds
        while self.is_wanted is None or self.is_wanted():
            left = until - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, _LOOK_S))
        return True


class Scratch:
    """Memory of one thread that only grows, so that it stays in the processor's cache."""

    def __init__(self) -> None:
        self._memory = memoryview(bytearray(0))
        self.channel = Channel()
        """To the helper, in a forked process."""
        self.lines = Lines()
        """To the server, where it is asked straight."""
        self.unwanted = memoryview(bytearray(direct.GAP_BYTES))
        """Where bytes go that lie between those that are wanted."""
        self.over = Over()

    def reserve(self, size: int) -> memoryview:
        """So many writable bytes, valid until the next call."""
        if len(self._memory) < size:  # some more, or each sample that is a little larger would get new pages
            self._memory = memoryview(bytearray(size + size // 8))
        return self._memory[:size]

    def laid_out(self, spans: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Memory for the bytes of each (start, length), valid until the next call, as aligned as payloads are in the tar."""
        places = [0]
        for _, length in spans:
            places.append(places[-1] + -(-length // 64) * 64)
        memory = self.reserve(places[-1])
        return [memory[at : at + length] for at, (_, length) in zip(places, spans, strict=False)]


class Fetcher:
    """Reads ranges of one dataset's shards, for many threads at once, each with a scratch of its own.

    Pickles to its settings, so that it may cross to a worker of any start method.
    """

    def __init__(
        self,
        url: str,
        *,
        shard_sizes: Mapping[str, int],
        shard_sha256: Mapping[str, str],
        remote: Remote = Remote(),
    ) -> None:
        """Prepares reading; nothing is asked for yet.

        Args:
            url: folder or URL that keys are below.
            shard_sizes: bytes of each shard; needed of those that are read through a cache.
            shard_sha256: likewise.
            remote: how to read where `url` is not local.
        """
        self._settings = {"shard_sizes": shard_sizes, "shard_sha256": shard_sha256, "remote": remote}
        self._url = url
        self._store = Store(url, client=Client(remote.connect_s, remote.read_s, retries=0))
        self._sizes, self._sha256, self._retries = shard_sizes, shard_sha256, remote.retries
        self._cache = None if self._store.is_local else remote.cache
        self._files = _OpenFiles()
        self._addresses = None if self._store.is_local else Addresses(self._store)
        self.is_local = self._store.is_local or self._cache is not None
        """Whether bytes come from a file."""
        self.is_remote = not self._store.is_local
        """Whether `fresh` may give other bytes than before, since they come from elsewhere."""

    def __reduce__(self) -> tuple[Callable[..., Fetcher], tuple[str, dict[str, Any]]]:
        return (_fetcher, (self._url, self._settings))

    def ranges(
        self, key: str, spans: Sequence[tuple[int, int]], scratch: Scratch, *, fresh: bool = False
    ) -> list[memoryview]:
        """The bytes of each (start, length) of an object, valid until the scratch is used again.

        Args:
            key: of the object.
            spans: what to read of it.
            scratch: where to; of the calling thread.
            fresh: read it from where it comes from, and drop it from the cache, whose copy was found to be wrong.

        Raises:
            FileNotFoundError: there is no such object.
            EOFError: it is shorter than a span says.
            ReadError: it could not be read, in as many tries as it says.
            ConfigError: it does not fit into the cache.
        """
        if fresh and self._cache is not None:
            self._cache.forget(self._sha256[key])
            self._files.drop(key)
        if not self.is_local or (fresh and self._cache is not None):
            return self._remote(key, spans, scratch)
        views, file = scratch.laid_out(spans), self._file(key)
        for view, (start, _) in zip(views, spans, strict=True):
            self._scatter(key, file, start, [view])
        return views

    def into(self, key: str, parts: Sequence[Scatter], scratch: Scratch) -> None:
        """Fills parts of an object, which may lie outside the scratch. Raises as `ranges` does."""
        if not self.is_local:
            self._again(parts, scratch, partial(self._into_once, key, parts, scratch))
            return
        file = self._file(key)
        for start, views in parts:
            at = start
            for first in range(0, len(views), _MOST_VIEWS):
                some = views[first : first + _MOST_VIEWS]
                self._scatter(key, file, at, some)
                at += sum(map(len, some))

    def _scatter(self, key: str, file: _OpenFile, start: int, views: Sequence[memoryview]) -> None:
        wanted = sum(map(len, views))
        got = os.preadv(file.handle, views, start) if wanted else 0
        while got < wanted:  # a signal, or more than the kernel reads at once
            if not (n := os.preadv(file.handle, direct.rest(views, got), start + got)):
                raise EOFError(f"{self._store.where(key)}: {got} bytes at {start}, expected {wanted}: it is short")
            got += n

    def _file(self, key: str) -> _OpenFile:
        return self._files.get(key, lambda: self._open(key))

    def _open(self, key: str) -> int:
        if self._cache is None:
            return local.handle(self._store.where(key))
        scratch = Scratch()
        return self._cache.open(
            self._store.where(key),
            self._sizes[key],
            self._sha256[key],
            lambda start, length: self._remote(key, [(start, length)], scratch)[0],
        )

    def _remote(self, key: str, spans: Sequence[tuple[int, int]], scratch: Scratch) -> list[memoryview]:
        """The spans from where the shard lies, after as many tries as it takes."""
        parts = [Scatter(start, [view]) for (start, _), view in zip(spans, scratch.laid_out(spans), strict=True)]
        return self._again(parts, scratch, partial(self._once, key, parts, scratch))

    def _once(self, key: str, parts: Sequence[Scatter], scratch: Scratch) -> list[memoryview]:
        """What each part, of one view, has: in that view, or in memory of obstore's."""
        if self._straight(key, parts, scratch):
            return [part.views[0] for part in parts]
        return self._from_store(key, parts, scratch)

    def _into_once(self, key: str, parts: Sequence[Scatter], scratch: Scratch) -> None:
        if self._straight(key, parts, scratch):
            return
        for part, data in zip(parts, self._from_store(key, parts, scratch), strict=True):
            at = 0
            for view in part.views:
                view[:] = data[at : at + len(view)]
                at += len(view)

    def _straight(self, key: str, parts: Sequence[Scatter], scratch: Scratch) -> bool:
        """Fills the parts where the server can be asked straight; whether it did."""
        assert self._addresses is not None, f"{self._url} is a folder"
        address = self._addresses.of(key, partial(self._signed, scratch))
        if address is None:
            return False
        wanted = direct.joined([p for p in parts if p.length], scratch.unwanted)
        try:
            scratch.lines.fill(address, wanted, self._store.client, self._store.where(key))
        except LeftError:
            self._addresses.forget(key)
            return False
        self._addresses.took(by_store=False)
        return True

    def _signed(self, scratch: Scratch, key: str, seconds: float) -> str | None:
        """A URL that lets one read an object of a bucket; None where none can be had, of which the store says why."""
        try:
            if lost_to_fork():
                return scratch.channel.signed(self._store, key, seconds)
            return self._store.bucket.signed(key, seconds)
        except ReadError:
            return None

    def _from_store(self, key: str, parts: Sequence[Scatter], scratch: Scratch) -> list[memoryview]:
        """What each part has, by obstore."""
        spans = [(part.start, part.length) for part in parts]
        if lost_to_fork():
            got = scratch.channel.get_ranges(self._store, key, spans)
        else:
            got = self._store.bucket.get_ranges(key, spans)
        assert self._addresses is not None
        self._addresses.took(by_store=True)
        return got

    def _again(self, parts: Sequence[Scatter], scratch: Scratch, once: Callable[[], T]) -> T:
        """What `once` gives, after as many tries as it takes."""
        tries = 1 + self._retries
        for number in range(1, tries + 1):
            try:
                return once()
            except PassingError as err:
                last = err
            wait_s = min(max(_FIRST_WAIT_S, last.wait_s) * 2 ** (number - 1), _LONGEST_WAIT_S)
            if number < tries and scratch.over.wait(wait_s * _jitter.uniform(0.75, 1.25)):
                raise last
        asked = ", ".join(f"{p.length} at {p.start}" for p in parts[:3]) + (", …" if len(parts) > 3 else "")
        raise ReadError(f"{last}: bytes asked for: {asked}: gave up after {tries} tries") from last


def _fetcher(url: str, settings: dict[str, Any]) -> Fetcher:
    return Fetcher(url, **settings)


class _OpenFile:
    """A file descriptor, closed when nobody uses it any more: never while another thread still reads from it."""

    __slots__ = ("__weakref__", "handle")

    def __init__(self, handle: int) -> None:
        self.handle = handle
        _descriptors.when_gone(self, os.close, handle)


class _OpenFiles:
    """Those of the files used last that are still open. A fork starts with none."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._pid, self._lock = os.getpid(), threading.Lock()
        self._files: OrderedDict[str, _OpenFile] = OrderedDict()

    def get(self, key: str, opened: Callable[[], int]) -> _OpenFile:
        if self._pid != os.getpid():
            self._begin()
        with self._lock:
            file = self._files.get(key)
            if file is not None:
                self._files.move_to_end(key)
                return file
        file = _OpenFile(opened())
        with self._lock:
            self._files[key] = file
            while len(self._files) > _MOST_OPEN:
                self._files.popitem(last=False)
        _descriptors.settle()
        return file

    def drop(self, key: str) -> None:
        if self._pid != os.getpid():
            self._begin()
        with self._lock:
            self._files.pop(key, None)
        _descriptors.settle()
