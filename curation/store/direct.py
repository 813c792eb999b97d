"""Ranges of objects from their server straight to where they are wanted: no copy but the kernel's.

obstore gives each range memory of its own, which costs a copy and new pages, and its threads do not survive a fork. So what
is usual is read here over a socket: HTTP/1.1, no proxy, an answer that has just the bytes that were asked for. What is not
is `LeftError`, and obstore's to ask for: it follows redirects, goes through proxies, and knows what refusals mean.
"""

from __future__ import annotations

import os
import re
import select
import socket
import ssl
import struct
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from curation.errors import ConfigError, PassingError
from curation.store import hrefs, trust
from curation.store.afterwards import Leavings
from curation.store.bucket import Client
from curation.store.objects import Store

LINES = 4
"""Connections of a thread, so that ranges of one sample do not wait for one another."""

GAP_BYTES = 1 << 18
"""Ranges with no more between them are one request, which costs as much CPU as reading so many bytes (`python -m
tests.benchmarks.streaming.remote`), and a round trip."""

SIGNED_S, _REUSED_S = 3600.0, 300.0
"""How long a signed URL lets one in, and how long it is used: what signs it may end before it."""

_MOST_LEFT = 3
"""So often in a row obstore may read what could not be read straight, before it is asked for all."""

_HEAD_BYTES = 1 << 16
"""Of the head of an answer, at most."""

_MOST_VIEWS = 512
"""Of one call to the kernel, which takes 1024."""

_PASSING = frozenset((408, 425, 429))
"""Statuses below 500 that may pass."""

_SPAN = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")

_sockets = Leavings()
"""Of threads that read no more."""


class LeftError(Exception):
    """An answer, or a way to it, that is not dealt with here."""


@dataclass(frozen=True, slots=True)
class Address:
    """What is asked for, and of whom."""

    scheme: str
    host: str
    port: int
    authority: str
    """Host and port as the URL has them, which a signature may be of."""
    target: str = field(repr=False)
    """Path and query: may be what lets one in."""

    @property
    def server(self) -> tuple[str, str, int]:
        """Who has the connection."""
        return self.scheme, self.host, self.port


class Scatter(NamedTuple):
    """Consecutive bytes of an object, and where they go."""

    start: int
    views: list[memoryview]
    """Writable bytes, filled one after the other."""

    @property
    def length(self) -> int:
        """Bytes."""
        return sum(map(len, self.views))


def address_of(url: str) -> Address | None:
    """Where a URL leads over a connection of one's own; None of one with a password or a fragment, or through a proxy."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme not in hrefs.SERVERS or not re.fullmatch(r"[!-~]+", parts.netloc + target):
        return None
    if not parts.hostname or "@" in parts.netloc or parts.fragment or _is_proxied(parts.scheme, parts.hostname):
        return None
    return Address(parts.scheme, parts.hostname, port, parts.netloc, target)


def _is_proxied(scheme: str, host: str) -> bool:
    proxies = urllib.request.getproxies()
    return bool(proxies.get(scheme) or proxies.get("all")) and not urllib.request.proxy_bypass(host)


class Addresses:
    """Where the objects of a store are asked for straight; for many threads at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[float, Address | None]] = {}
        """Key → until when, and where; None: not straight."""
        self._left = 0

    def of(self, key: str, sign: Callable[[str, float], str | None]) -> Address | None:
        """Where an object is asked for; None where that is left to obstore.

        Args:
            key: of the object.
            sign: gives a URL that lets one in for so many seconds, of a bucket's object; None where there is none.
        """
        if self._left >= _MOST_LEFT:
            return None
        until, found = self._known.get(key, (0.0, None))
        if until < (now := time.monotonic()):
            url = self._url(key) if hrefs.scheme_of(self._store.url) in hrefs.SERVERS else sign(key, SIGNED_S)
            found = None if url is None else address_of(url)
            self._known[key] = now + _REUSED_S, found
        return found

    def _url(self, key: str) -> str | None:
        base = self._store.url
        if "?" in base or "#" in base:
            return None
        return "/".join([base.rstrip("/"), *filter(None, [self._store.prefix, quote(key)])])

    def forget(self, key: str) -> None:
        """Drops where an object was asked for, with the signature, which may have ended."""
        self._known.pop(key, None)

    def took(self, *, by_store: bool) -> None:
        """Notes that something was read: straight, or by obstore, since it could not be read so."""
        self._left = self._left + 1 if by_store else 0


def joined(parts: Sequence[Scatter], between: memoryview) -> list[Scatter]:
    """Parts in as few requests as pay: those that follow one another with little between are one.

    Args:
        parts: in any order.
        between: `GAP_BYTES` of memory, for what nobody wants.
    """
    found: list[Scatter] = []
    end = -1
    for start, views in parts:
        if found and end <= start <= end + len(between):
            gap = [between[: start - end]] if start > end else []
            found[-1] = Scatter(found[-1].start, [*found[-1].views, *gap, *views])
        else:
            found.append(Scatter(start, list(views)))
        end = found[-1].start + found[-1].length
    return found


class Lines:
    """The connections of one thread, kept from one request to the next."""

    def __init__(self) -> None:
        self._open: list[socket.socket] = []
        self._owner: tuple[int, tuple[str, str, int] | None] = (0, None)
        """Process and server of those that are open: a fork must not speak on its parent's."""
        _sockets.when_gone(self, _close, self._open)

    def fill(self, address: Address, parts: Sequence[Scatter], client: Client, where: str) -> None:
        """Fills parts of an object, several requests at a time.

        Args:
            address: where it is asked for.
            parts: what goes where.
            client: how patient to be.
            where: the object, as a person knows it.

        Raises:
            LeftError: this is to be asked for otherwise.
            FileNotFoundError: there is no such object.
            EOFError: it is shorter than a part says.
            PassingError: it may work when it is tried again.
        """
        _sockets.settle()
        try:
            self._begin(address)
            for first in range(0, len(parts), LINES):
                self._some(address, parts[first : first + LINES], client, where)
        except BaseException as err:
            _close(self._open)  # what comes next would be the answer to this
            if isinstance(err, OSError) and not isinstance(err, FileNotFoundError | PassingError):
                raise _as_error(err, where) from err
            raise

    def _begin(self, address: Address) -> None:
        owner = (os.getpid(), address.server)
        if self._owner != owner:
            _close(self._open)
            self._owner = owner

    def _drop_readable(self) -> None:
        """Closes connections on which something came that nobody asked for: an end, or what would pass for an answer."""
        poll = select.poll()
        for line in self._open:
            poll.register(line, select.POLLIN)
        readable = {number for number, _ in poll.poll(0)}
        for line in self._open:
            if line.fileno() in readable:
                line.close()
        self._keep_open()

    def _keep_open(self) -> None:
        self._open[:] = [line for line in self._open if line.fileno() >= 0]

    def _some(self, address: Address, parts: Sequence[Scatter], client: Client, where: str) -> None:
        until = time.monotonic() + client.whole_s
        self._drop_readable()
        reused = len(self._open)
        while len(self._open) < len(parts):
            self._open.append(_connected(address, client))
        stale = [not _sent(self._open[n], address, part) for n, part in enumerate(parts)]
        for n, part in enumerate(parts):
            try:
                if stale[n]:
                    raise ConnectionResetError
                head, body = _head(self._open[n], until)
            except ConnectionError:
                if n >= reused:
                    raise
                # The server had closed what was kept: that is no failure of this request's.
                self._open[n].close()
                self._open[n] = _connected(address, client)
                _sent(self._open[n], address, part)
                head, body = _head(self._open[n], until)
            _check(head, part, where)
            _receive(self._open[n], part.views, body, until)
            if head.closes:
                self._open[n].close()
        self._keep_open()


def _close(sockets: list[socket.socket]) -> None:
    while sockets:
        sockets.pop().close()


def _as_error(err: OSError, where: str) -> Exception:
    """What an error of the system's is for whoever asked."""
    if trust.refused(err):
        return LeftError(str(err))
    if isinstance(err, TimeoutError | BlockingIOError):
        return PassingError(f"{where}: the server did not answer in time")
    return PassingError(f"{where}: {err.strerror or err}")


# ---- one connection --------------------------------------------------------------------------------------------------


def _connected(address: Address, client: Client) -> socket.socket:
    """A connection on which each call waits `read_s` at most; raises OSError."""
    line = socket.create_connection((address.host, address.port), client.connect_s)
    try:
        if address.scheme == "https":
            try:
                line = trust.context().wrap_socket(line, server_hostname=address.host)
            except ConfigError as err:
                raise LeftError(str(err)) from err
            line.settimeout(client.read_s)
        else:  # the kernel's own: Python's would ask before each call whether there is anything
            line.settimeout(None)
            # 0 would be without end, and a whole second is none of the microseconds
            limit = struct.pack("ll", *divmod(max(round(client.read_s * 1e6), 1), 1_000_000))
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    except BaseException:
        line.close()
        raise
    return line


def _sent(line: socket.socket, address: Address, part: Scatter) -> bool:
    """Asks for a part; whether the connection took it."""
    request = (
        f"GET {address.target} HTTP/1.1\r\nHost: {address.authority}\r\nUser-Agent: curation\r\nAccept: */*\r\n"
        f"Accept-Encoding: identity\r\nRange: bytes={part.start}-{part.start + part.length - 1}\r\n\r\n"
    )
    try:
        line.sendall(request.encode("ascii"))
    except ConnectionError:
        return False
    return True


class _Head(NamedTuple):
    """Of an answer."""

    status: int
    headers: Mapping[str, str]
    """By name in lower case; what came twice has a comma between."""
    closes: bool
    """Whether the connection is of no use after it."""


def _head(line: socket.socket, until: float) -> tuple[_Head, bytes]:
    """The head of an answer, and what came of its body with it. Raises ConnectionError where nothing comes."""
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        if len(data) > _HEAD_BYTES:
            raise LeftError(f"a head of more than {_HEAD_BYTES} bytes")
        _check_time(until)
        more = line.recv(4096)
        if not more:
            raise ConnectionResetError("closed before it answered")
        data += more
    first, *fields = data[:end].decode("latin-1").split("\r\n")
    status = re.fullmatch(r"HTTP/1\.([01]) ([0-9]{3})(?: .*)?", first)
    if not status:
        raise LeftError("no answer of HTTP/1.1")
    headers: dict[str, str] = {}
    for name, value in _fields(fields):
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    closes = status[1] == "0" or "close" in headers.get("connection", "").lower()
    return _Head(int(status[2]), headers, closes), data[end + 4 :]


def _fields(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, _, value = line.partition(":")
        yield name.strip().lower(), value.strip()


def _check(head: _Head, part: Scatter, where: str) -> None:
    """Passes where an answer has just what was asked for. Raises as `Lines.fill` does."""
    if head.status in (404, 410):
        raise FileNotFoundError(where)
    if head.status in _PASSING or head.status >= 500:
        raise PassingError(f"{where}: HTTP {head.status}", _pause_s(head))
    found = _SPAN.fullmatch(head.headers.get("content-range", ""))
    packed = head.headers.get("content-encoding", "identity") != "identity" or "transfer-encoding" in head.headers
    length = head.headers.get("content-length", "")
    if head.status != 206 or not found or packed or not re.fullmatch(r"[0-9]{1,18}", length):
        raise LeftError(f"HTTP {head.status}")
    first, last, size = map(int, found.groups())
    end = part.start + part.length
    if size < end:
        raise EOFError(f"{where}: {size} bytes, expected at least {end}: it is short")
    if (first, last + 1) != (part.start, end) or int(length) != part.length:
        raise PassingError(f"{where}: {length} bytes, {first} to {last}, expected {part.start} to {end - 1}")


def _pause_s(head: _Head) -> float:
    """Seconds that the server asks to wait; a second where it only says that it is too much."""
    said = head.headers.get("retry-after", "")
    return float(said) if re.fullmatch(r"[0-9]{1,6}", said) else 1.0 if head.status == 429 else 0.0


def _check_time(until: float) -> None:
    if time.monotonic() > until:
        raise TimeoutError


def rest(views: Sequence[memoryview], done: int) -> list[memoryview]:
    """What is left of views of which so many bytes are filled."""
    left = []
    for view in views:
        if done < len(view):
            left.append(view[done:])
        done = max(done - len(view), 0)
    return left


def _receive(line: socket.socket, views: Sequence[memoryview], body: bytes, until: float) -> None:
    """Fills views with a body of which the beginning is here. Raises ConnectionError where it ends before."""
    at = 0
    for view in views:
        view[: len(body) - at] = body[at : at + len(view)]
        at = min(at + len(view), len(body))
    if at < len(body):
        raise LeftError("more came than was asked for")
    left = rest(views, at)
    while left:
        _check_time(until)
        if isinstance(line, ssl.SSLSocket):
            got = line.recv_into(left[0])
        else:  # all of it at once: whoever is woken for each piece waits for Python's lock each time
            got = line.recvmsg_into(left[:_MOST_VIEWS], 0, socket.MSG_WAITALL)[0]
        if not got:
            raise ConnectionResetError("closed within an answer")
        left = rest(left, got)
