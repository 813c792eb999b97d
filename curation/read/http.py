"""One request over HTTP: with deadlines, to its end, or an error that says why."""

from __future__ import annotations

import contextlib
import email.utils
import functools
import http.client
import io
import math
import os
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode, urljoin, urlsplit

import urllib3
import urllib3.connection
import urllib3.exceptions

from curation.errors import ConfigError, PassingError, ReadError, SettingsError, StorageError, TrustError
from curation.errors.causes import first_line, one_line
from curation.errors.printable import printable
from curation.errors.words import shortened
from curation.store import hrefs, trust

T = TypeVar("T")

CONNECT_S, READ_S = 20.0, 60.0
"""How long a connection may take, and the next bytes of an answer."""

SLOWEST = 20_000
"""Bytes per second: an answer has `READ_S` and what its bytes take at this rate. A line of 10 Mbit/s shared by 64 requests
is as fast."""

_MOST_REDIRECTS = 5

_PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))
_REFUSED = frozenset((401, 403))
_NO_ROOM = 507

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class NoRoomError(PassingError, StorageError):
    """A server has no room to make what was asked for (the embedded Earth, whose cache folder is full)."""


class FailedTryError(Exception):
    """A try that failed and may go well again."""

    def __init__(self, cause: str, *, wait_s: float = 0.0, refused: bool = False) -> None:
        super().__init__(cause)
        self.wait_s = wait_s
        self.refused = refused


class Pass:
    """What lets one in at each server that a request comes to, redirects included: this one nowhere."""

    def headers(self, url: str) -> Mapping[str, str]:
        """What is sent to a URL, and to that URL alone."""
        del url
        return {}

    def answered(self, url: str, response: urllib3.BaseHTTPResponse) -> None:
        """Takes up what a server answered with."""

    def forget(self) -> None:
        """Drops what was refused."""


class KeyPass(Pass):
    """Headers for the server of one URL: who is redirected to another takes nothing along."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._origin, self._headers = _origin(url), headers

    def headers(self, url: str) -> Mapping[str, str]:
        """As of `Pass`."""
        return self._headers if _origin(url) == self._origin else {}


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


_NOBODYS = Pass()


class _Until(io.RawIOBase):
    """What a socket receives until a moment, however little comes at a time."""

    def __init__(self, received: io.RawIOBase, sock: socket.socket, until: float) -> None:
        self._received = received
        self._sock = sock
        self._until = until

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time of the whole answer is up")
        self._sock.settimeout(min(left, READ_S))
        return self._received.readinto(into)

    def close(self) -> None:
        self._received.close()
        super().close()


class _TimedAnswer(http.client.HTTPResponse):
    """An answer that has the time-out of its socket for all of it, its head included: a socket has it for each byte anew."""

    def __init__(self, sock: socket.socket, *args: Any, **how: Any) -> None:
        super().__init__(sock, *args, **how)
        allowed = sock.gettimeout()
        if allowed is not None:
            self.fp = io.BufferedReader(_Until(self.fp.detach(), sock, time.monotonic() + allowed))


class _Http(urllib3.connection.HTTPConnection):
    response_class = _TimedAnswer


class _Https(urllib3.connection.HTTPSConnection):
    response_class = _TimedAnswer


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Https


_NAMING_PROXIES = tuple(
    name for what in ("http", "https", "all", "no") for name in (f"{what}_proxy", f"{what}_proxy".upper())
)
"""What of the environment says which proxy a host is asked through, as a rule."""


@functools.lru_cache(maxsize=1024)  # else all of the environment is looked through twice for each request
def _proxy(scheme: str, host: str, named: tuple[str | None, ...]) -> str:
    """The proxy that a host is asked through, where the environment names these; empty of none."""
    del named
    return "" if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get(scheme, "")


_pools: dict[tuple[int, str, str, int, ssl.SSLContext | None], urllib3.PoolManager] = {}
_pools_lock = threading.Lock()


def _pool(scheme: str, host: str, per_host: int) -> urllib3.PoolManager:
    """The connections of this process, through the proxy that the environment names for a host."""
    proxy = _proxy(scheme, host, tuple(map(os.environ.get, _NAMING_PROXIES)))
    try:
        trusted = trust.context() if "https" in (scheme, hrefs.scheme_of(proxy)) else None
    except ConfigError as err:
        raise TrustError(str(err)) from None
    # Of a proxy each host has slots of its own: who waits for another's would send a signature that has ended meanwhile.
    key = (os.getpid(), proxy, host if proxy else "", per_host, trusted)
    with _pools_lock:
        pool = _pools.get(key)
        if pool is None:
            how: dict[str, Any] = {"maxsize": per_host, "block": True, "ssl_context": trusted}
            try:
                pool = (
                    urllib3.ProxyManager(proxy, proxy_ssl_context=trusted, **how)
                    if proxy
                    else urllib3.PoolManager(**how)
                )
            except urllib3.exceptions.LocationValueError:  # it may hold a password
                raise SettingsError(
                    f"the proxy that the environment names for {scheme} is no URL of one: mend {scheme}_proxy"
                ) from None
            pool.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
            _pools[key] = pool
        return pool


def got(
    url: str,
    headers: Mapping[str, str],
    length: int,
    per_host: int,
    take: Callable[[urllib3.BaseHTTPResponse], T],
    lets_in: Pass = _NOBODYS,
    form: Mapping[str, str] | None = None,
) -> T:
    """What `take` makes of a server's answer, of which it takes `length` bytes at most.

    Args:
        url: what is asked for.
        headers: sent wherever it leads: nothing that lets anybody in.
        length: bytes.
        per_host: requests that its host has of this process at a time.
        take: reads the answer.
        lets_in: what lets one in, server by server.
        form: fields that are posted, to that URL and nowhere else; a GET where None.

    Raises:
        FailedTryError: the answer did not come, or not in time.
        ReadError: asking again changes nothing.
    """
    allowed_s = READ_S + length / SLOWEST
    try:
        for _ in range(_MOST_REDIRECTS + 1):
            parts = urlsplit(url)
            response = _pool(parts.scheme, parts.hostname or "", per_host).request(
                "GET" if form is None else "POST",
                url,
                body=None if form is None else urlencode(form),
                headers={**headers, **lets_in.headers(url), **({} if form is None else _FORM)},
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(connect=CONNECT_S, read=allowed_s),
                retries=False,
                redirect=False,
            )
            try:
                lets_in.answered(url, response)
            except BaseException:
                response.close()
                response.release_conn()  # a slot of the host
                raise
            if not (where := response.get_redirect_location()):
                break
            # Followed here: urllib3 does not give the slot of the host back where it leads to no URL.
            response.close()
            response.release_conn()
            url = urljoin(url, where)
            if form is not None:
                raise ReadError(f"HTTP {response.status}: leads to {printable(url)}, where no form is sent")
            if not url.startswith(("http://", "https://")):
                raise ReadError(f"HTTP {response.status}: leads to {printable(url)}, expected http or https")
        else:
            raise FailedTryError(f"HTTP {response.status}: more than {_MOST_REDIRECTS} redirects, one after the other")
        is_read = False
        try:
            taken = take(response)
            is_read = True
            return taken
        finally:
            if not is_read:  # what is left of a body must not be taken for the next answer
                response.close()
            response.release_conn()  # a slot of the host, closed or not
    except ReadError:  # an OSError, too
        raise
    except urllib3.exceptions.ReadTimeoutError:
        raise FailedTryError(
            f"the server is too slow: expected up to {length} bytes within {allowed_s:.1f} s, "
            f"some of them every {READ_S:g} s"
        ) from None
    except urllib3.exceptions.LocationValueError as err:  # of no URL that anybody could be asked for
        raise ReadError(f"no URL of a server: {one_line(err)}") from None
    except (urllib3.exceptions.HTTPError, OSError) as err:
        if trust.refused(err):
            raise TrustError(f"{parts.hostname}: {trust.advice()} ({first_line(err)})") from None
        raise FailedTryError(f"{one_line(err)}") from None


def check(response: urllib3.BaseHTTPResponse) -> str:
    """The status, as an error would tell it. Raises where it is not one of success."""
    status, status_line = response.status, f"HTTP {response.status} {response.reason or ''}".strip()
    if status in _PASSING:
        raise FailedTryError(status_line, wait_s=retry_after_s(response.headers))
    if status in _REFUSED:  # a signature has a term, and some servers say 403 where they mean 429
        raise FailedTryError(status_line, refused=True)
    if status == _NO_ROOM:
        said = response.read(1000).decode(errors="replace").strip()
        raise NoRoomError(shortened(f"{printable(response.geturl() or '')}: {said or status_line}", 600))
    if status not in (200, 206):
        raise (PassingError if status >= 500 else ReadError)(status_line)
    return status_line


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds that a server asks to wait: a number, or a date, which is told from the date of its answer.

    Not from the clock here, which may be another's, and may be set while somebody waits.
    """
    value = headers.get("Retry-After")
    if not value:
        return 0.0
    with contextlib.suppress(ValueError):
        seconds = float(value)
        return max(seconds, 0.0) if not math.isnan(seconds) else 0.0
    until = _moment_s(value)
    return 0.0 if until is None else max(until - answered_s(headers), 0.0)


def answered_s(headers: Mapping[str, str]) -> float:
    """When an answer was given, by the clock of who gave it: seconds since 1970; by the clock here where it does not say."""
    answered = _moment_s(headers.get("Date"))
    return time.time() if answered is None else answered


def _moment_s(date: str | None) -> float | None:
    """Seconds since 1970 of a header's date; None where it is none."""
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return email.utils.parsedate_to_datetime(date or "").timestamp()
    return None


def _after_fork() -> None:
    """A child has none of the threads that hold its parent's lock."""
    global _pools_lock
    _pools_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
