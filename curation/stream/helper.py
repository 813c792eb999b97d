"""Reads of an object store by another program, where obstore must not or cannot be used in this process.

obstore's threads do not survive a fork. What a dataset is opened with is therefore read by this program, so that workers
forked later may use obstore themselves. Where obstore was used here before the fork, this program signs URLs for them, and
reads what `curation.store.direct` does not.

One program per process, started when it is first needed. Each thread that asks has a connection of its own, a thread of
its own at the other end, and memory that both see: requests, errors and whole objects go through the connection, ranges
are copied once. This file is that program too.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import mmap
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from curation.errors import PassingError, ReadError
from curation.store import local
from curation.store.afterwards import Leavings
from curation.store.bucket import Client
from curation.store.objects import Store
from curation.store.refusals import brief

_HEAD = struct.Struct("<IQ")
"""Of a request: length of its JSON; bytes of the memory that comes with it, 0 where that is the one of before.
Of an answer: kind of error, or 0; length of what follows, which is JSON, or a whole object."""

_ERRORS: tuple[type[Exception], ...] = (FileNotFoundError, EOFError, ReadError, PassingError)

_SETTINGS = (
    *("AWS_", "GOOGLE_", "AZURE_", "HTTP_", "HTTPS_", "ALL_", "NO_", "http_", "https_", "all_", "no_"),
    *("SSL_", "REQUESTS_", "CURL_"),
)
"""Beginnings of the environment variables that `Store` looks at: credentials, endpoints, proxies, certificates."""

_SILENCE_S = 60.0
"""Seconds more than the client itself may take, after which a helper is given up."""


class Helper:
    """The program that reads for this process; for many threads at once, each with a channel of its own."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            # Started by path, since `-m` would import the package, and torch with it; -P, since its folder is no package.
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__).resolve()), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self._control = ours
        self._lock = threading.Lock()
        self._settings = _settings()

    def is_current(self) -> bool:
        """Whether it still runs, and began with the credentials that the environment names now."""
        return self.is_alive() and self._settings == _settings()

    @property
    def pid(self) -> int:
        """Of the program."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether it still runs; one that ended is reaped."""
        with self._lock:
            return self._process.poll() is None

    def how(self) -> str:
        """What became of it, for a message; waits a moment, since a connection closes before its process ends."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        return "did not answer" if self.is_alive() else f"ended (exit code {self._process.returncode})"

    def connect(self) -> socket.socket:
        """A connection of its own, with a thread at the other end."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            try:
                socket.send_fds(self._control, [b"+"], [theirs.fileno()])
            except OSError:
                ours.close()
                raise
        return ours

    def let_go(self) -> None:
        """Closes this process's end: in a forked child, the program is its parent's."""
        self._control.close()

    def close(self) -> None:
        """Ends the program, and waits until it has."""
        self.let_go()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Channel:
    """One thread's way to the helper of this process: a connection, and memory that only grows."""

    def __init__(self) -> None:
        self._program: Helper | None = None
        self._connection: list[socket.socket] = []
        """One, or none."""
        self._memory: mmap.mmap | None = None
        _connections.when_gone(self, _close, self._connection)

    def get_ranges(self, store: Store, key: str, spans: Sequence[tuple[int, int]]) -> list[memoryview]:
        """As `Store.get_ranges`; the bytes are valid until the next call.

        Raises:
            PassingError: also where the program ended, or did not answer.
        """
        self._answer("ranges", store, key, spans)
        memory = memoryview(self._memory or b"")
        return [memory[at : at + length] for at, (_, length) in zip(_places(spans), spans, strict=False)]

    def signed(self, store: Store, key: str, seconds: float) -> str | None:
        """As `Bucket.signed`; raises as `get_ranges` does."""
        return self._answer("sign", store, key, [(0, int(seconds))]).decode() or None

    def get(self, store: Store, key: str) -> bytes:
        """As `Store.get`; raises as `get_ranges` does."""
        return self._answer("get", store, key)

    def size(self, store: Store, key: str) -> int | None:
        """Bytes of an object; None where there is none. Raises as `get_ranges` does."""
        found: int | None = json.loads(self._answer("size", store, key))
        return found

    def _answer(self, what: str, store: Store, key: str, spans: Sequence[tuple[int, int]] = ()) -> bytes:
        program = helper()
        try:
            kind, body = self._ask(program, what, store, key, spans)
        except OSError as err:
            raise PassingError(
                f"{store.where(key)}: the helper process that reads for this one {program.how()}"
            ) from err
        if kind:
            wait_s, message = json.loads(body)
            error = _ERRORS[kind - 1]
            raise error(message, wait_s) if error is PassingError else error(message)
        return body

    def _ask(
        self, program: Helper, what: str, store: Store, key: str, spans: Sequence[tuple[int, int]]
    ) -> tuple[int, bytes]:
        _connections.settle()
        request = json.dumps([what, store.url, store.prefix, asdict(store.client), key, list(spans)]).encode()
        if self._program is not program:  # it was replaced, or is the parent's
            self.close()
            self._program = program
        connection = self._connection.pop() if self._connection else program.connect()
        try:
            connection.settimeout(2 * store.client.whole_s + _SILENCE_S)
            total = _places(spans)[-1]
            if self._memory is None or len(self._memory) < total:
                handle = local.memory(total)
                try:
                    self._memory = mmap.mmap(handle, total)
                    socket.send_fds(connection, [_HEAD.pack(len(request), total)], [handle])
                finally:
                    os.close(handle)
            else:
                connection.sendall(_HEAD.pack(len(request), 0))
            connection.sendall(request)
            kind, size = _HEAD.unpack(_exactly(connection, _HEAD.size))
            body = _exactly(connection, size)
        except BaseException:  # what comes next would be the answer to this request
            connection.close()
            self._memory = None
            raise
        self._connection.append(connection)
        return kind, body

    def close(self) -> None:
        """Closes the connection; memory goes with the last view of it."""
        _close(self._connection)
        self._memory = None


def _close(connections: list[socket.socket]) -> None:
    while connections:
        connections.pop().close()


_connections = Leavings()
"""Of channels that nobody uses any more."""
_channels = threading.local()


def get(store: Store, key: str) -> bytes:
    """As `Store.get`, of a remote store, by the helper of this process. Raises as `Channel.get_ranges` does."""
    return _own_channel().get(store, key)


def size(store: Store, key: str) -> int | None:
    """Bytes of an object of a remote store, by the helper of this process; None where there is none."""
    return _own_channel().size(store, key)


def _own_channel() -> Channel:
    if not hasattr(_channels, "channel"):
        _channels.channel = Channel()
    found: Channel = _channels.channel
    return found


def _settings() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k.startswith(_SETTINGS)}


def _places(spans: Sequence[tuple[int, int]]) -> list[int]:
    """Where each span's bytes lie in the memory, and where the last end (at least 1); each as aligned as in the tar."""
    places = [0]
    for _, length in spans:
        places.append(places[-1] + -(-length // 64) * 64)
    places[-1] = max(places[-1], 1)
    return places


_helper: Helper | None = None
_helper_lock = threading.Lock()


def helper() -> Helper:
    """The helper of this process, a new one where it ended or the environment changed."""
    global _helper
    with _helper_lock:
        if _helper is None or not _helper.is_current():
            if _helper is not None:
                _helper.close()
            _helper = Helper()
        return _helper


def _after_fork() -> None:
    global _helper, _helper_lock
    if _helper is not None:
        _helper.let_go()
        _helper._process.returncode = 0  # not ours to wait for: without it, Popen warns
    _helper, _helper_lock = None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _at_exit() -> None:
    if _helper is not None:
        _helper.close()


def _exactly(connection: socket.socket, size: int) -> bytes:
    """So many bytes of the connection. Raises ConnectionError where it closes before."""
    data, got = bytearray(size), 0
    while got < size:
        n = connection.recv_into(memoryview(data)[got:])
        if not n:
            raise ConnectionError(f"closed, {size - got} of {size} bytes missing")
        got += n
    return bytes(data)


def _serve(control: socket.socket) -> None:
    """Answers on each connection that comes through `control`, until that closes: so also when its owner is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the owner decides
    stores: dict[str, Store] = {}
    while True:
        try:
            message, handles, _, _ = socket.recv_fds(control, 1, 1)
        except ConnectionError:
            message = b""
        if not message:
            os._exit(0)  # threads may be in the middle of a read that nobody waits for
        for handle in handles:
            threading.Thread(target=_answer, args=(socket.socket(fileno=handle), stores), daemon=True).start()


def _answer(connection: socket.socket, stores: dict[str, Store]) -> None:
    memory = memoryview(bytearray(0))
    with connection, contextlib.suppress(ConnectionError):
        connection.setblocking(True)
        while True:
            head, handles, _, _ = socket.recv_fds(connection, _HEAD.size, 1)
            if not head:
                return
            size, total = _HEAD.unpack(head + _exactly(connection, _HEAD.size - len(head)))
            for handle in handles:
                memory = memoryview(mmap.mmap(handle, total))
                os.close(handle)
            what, url, prefix, client, key, spans = json.loads(_exactly(connection, size))
            body, views = b"", []
            try:
                which = json.dumps([url, prefix, client])
                if which not in stores:
                    stores[which] = Store(url, prefix, Client(**client))
                if what == "ranges":
                    views = stores[which].bucket.get_ranges(key, spans)
                elif what == "sign":
                    body = (stores[which].bucket.signed(key, spans[0][1]) or "").encode()
                elif what == "get":
                    body = stores[which].get(key)
                else:
                    stat = stores[which].head(key)
                    body = json.dumps(None if stat is None else stat.size).encode()
            except Exception as err:  # noqa: BLE001 - every error is handed over and raised there
                kinds = [i for i, e in enumerate(_ERRORS, 1) if isinstance(err, e)] or [1 + _ERRORS.index(ReadError)]
                message = str(err) if isinstance(err, _ERRORS) else f"{stores[which].where(key)}: {brief(err)}"
                body = json.dumps([getattr(err, "wait_s", 0.0), message]).encode()
                connection.sendall(_HEAD.pack(kinds[-1], len(body)) + body)
                continue
            for at, view in zip(_places(spans), views, strict=False):
                memory[at : at + len(view)] = view
            connection.sendall(_HEAD.pack(0, len(body)) + body)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
