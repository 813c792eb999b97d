"""Ranges of objects below a folder or URL, from whatever process asks.

obstore's threads do not survive a fork: in a forked process (DataLoader's workers, by default) its first call would hang
for ever. There, this file is started as a program of its own that reads in their place; see `_Helper`.
"""

from __future__ import annotations

import io
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import obstore

from curation.model import ReadError
from curation.store import Store

_forked = False
_helpers: dict[tuple[str, str], _Helper] = {}
_helpers_lock = threading.Lock()


def _after_fork() -> None:
    """In a forked child: obstore is out of bounds, and the parent's helpers are the parent's."""
    global _forked, _helpers, _helpers_lock
    _forked, _helpers, _helpers_lock = True, {}, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def open_store(url: str) -> Store:
    """The store of a folder or URL, plain http included."""
    store = Store(url)
    if url.startswith("http://"):  # obstore refuses http:// unless told otherwise; a server on loopback has no other
        store._remote = obstore.store.from_url(url, client_options={"allow_http": True})
    return store


class Scratch:
    """Memory of one thread that only grows, so that it stays in the processor's cache."""

    def __init__(self) -> None:
        self._memory = memoryview(bytearray(0))

    def reserve(self, size: int) -> memoryview:
        """So many writable bytes, valid until the next call."""
        if len(self._memory) < size:
            self._memory = memoryview(bytearray(size))
        return self._memory[:size]


class Fetcher:
    """Reads ranges of one store's objects, for many threads at once, each with a scratch of its own."""

    def __init__(self, url: str) -> None:
        self._store = open_store(url)
        self.is_local = self._store.is_local

    def into(self, key: str, start: int, views: Sequence[memoryview]) -> None:
        """Fills the views with consecutive bytes of a local object. Raises as `ranges` does."""
        handle = os.open(self._store.where(key), os.O_RDONLY | os.O_CLOEXEC)
        try:
            for first in range(0, len(views), 512):
                some = list(views[first : first + 512])
                wanted = sum(map(len, some))
                got = os.preadv(handle, some, start)
                while got < wanted:
                    done, rest = got, []
                    for view in some:
                        rest += [view[min(done, len(view)) :]]
                        done = max(done - len(view), 0)
                    if not (n := os.preadv(handle, [v for v in rest if v], start + got)):
                        raise EOFError(
                            f"{self._store.where(key)}: {got} bytes at {start}, expected {wanted}: it is short"
                        )
                    got += n
                start += wanted
        finally:
            os.close(handle)

    def ranges(
        self, key: str, spans: Sequence[tuple[int, int]], scratch: Scratch, *, fresh: bool = False
    ) -> list[memoryview]:
        """The bytes of each (start, length) of an object, valid until the scratch is used again.

        Local files are read into one buffer that is reused, so that it stays in the processor's cache.

        Raises:
            FileNotFoundError: there is no such object.
            EOFError: it is shorter than a span says.
            ReadError: it could not be read.
        """
        if not self._store.is_local:
            return [memoryview(self._remote_range(key, start, length)) for start, length in spans]
        places, total = [], 0
        for _, length in spans:
            places.append(total)
            total += -(-length // 64) * 64  # keeps the alignment that payloads have in the tar
        memory = scratch.reserve(total)
        views = [memory[at : at + length] for at, (_, length) in zip(places, spans, strict=True)]
        handle = os.open(self._store.where(key), os.O_RDONLY | os.O_CLOEXEC)
        try:
            for view, (start, length) in zip(views, spans, strict=True):
                got = 0
                while got < length and (n := os.preadv(handle, [view[got:]], start + got)):
                    got += n
                if got < length:
                    raise EOFError(f"{self._store.where(key)}: {got} bytes at {start}, expected {length}: it is short")
        finally:
            os.close(handle)
        return views

    def _remote_range(self, key: str, start: int, length: int) -> bytes | bytearray:
        if not _forked:
            return self._store.get_range(key, start, length)
        where = (self._store.url, self._store.prefix)
        with _helpers_lock:
            if where not in _helpers:
                _helpers[where] = _Helper(self._store.url)
            return _helpers[where].get_range(key, start, length)


class _Helper:
    """A program of its own, without forked threads, that reads ranges and hands them over through a pipe.

    It ends when its pipe closes, so also when its owner is killed. A request is (length of key, start, length, key); an
    answer is (kind of error or 0, length, bytes or message).
    """

    _REQUEST = struct.Struct("<IQQ")
    _ANSWER = struct.Struct("<BQ")
    _ERRORS: tuple[type[Exception], ...] = (FileNotFoundError, EOFError, ReadError)

    def __init__(self, url: str) -> None:
        # Started by path, since `-m` would import the package, and torch with it; -P, since its folder is no package.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).resolve()), url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def get_range(self, key: str, start: int, length: int) -> bytearray:
        """As `Store.get_range`."""
        into, out = cast(io.FileIO, self._process.stdin), cast(io.FileIO, self._process.stdout)
        name = key.encode()
        try:
            into.write(self._REQUEST.pack(len(name), start, length) + name)
            kind, size = self._ANSWER.unpack(_exactly(out, self._ANSWER.size))
            body = _exactly(out, size)
        except (BrokenPipeError, EOFError) as err:
            code = self._process.poll()
            raise ReadError(f"{key}: the helper process that reads for this worker ended (exit code {code})") from err
        if kind:
            raise self._ERRORS[kind - 1](body.decode())
        return body

    @classmethod
    def serve(cls, url: str) -> None:
        """Answers requests on standard input until it closes."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the owner decides
        store = open_store(url)
        requests, answers = io.FileIO(0, "rb"), io.FileIO(1, "wb")
        while head := requests.read(cls._REQUEST.size):
            size, start, length = cls._REQUEST.unpack(head)
            key = _exactly(requests, size).decode()
            kind = 0
            try:
                body = store.get_range(key, start, length)
            except Exception as err:  # noqa: BLE001 - every error is handed over and raised there
                kind = next((i for i, e in enumerate(cls._ERRORS, 1) if isinstance(err, e)), len(cls._ERRORS))
                body = (str(err) if isinstance(err, cls._ERRORS) else f"{type(err).__name__}: {err}").encode()
            answers.write(cls._ANSWER.pack(kind, len(body)))
            left = memoryview(body)
            while left:
                left = left[answers.write(left) :]


def _exactly(file: io.FileIO, size: int) -> bytearray:
    """`size` bytes of the file. Raises EOFError where it ends before."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        got = file.readinto(view)
        if not got:
            raise EOFError(f"pipe closed, {len(view)} of {size} bytes missing")
        view = view[got:]
    return data


if __name__ == "__main__":
    _Helper.serve(sys.argv[1])
