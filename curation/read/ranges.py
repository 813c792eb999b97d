"""Ranges of a file's bytes, from a server, an object store or a disk: all that was asked for, or an error that says why.

Failures that may pass are tried again here and nowhere else, by what they are: a server's pause is kept to, a signature
that is refused is replaced, and nothing remembers that a URL once failed.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import email.utils
import errno
import functools
import http.client
import io
import json
import logging
import math
import os
import random
import re
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urljoin, urlparse, urlsplit

import obstore
import urllib3
import urllib3.connection
import urllib3.exceptions
from planetary_computer import sas
from planetary_computer.settings import Settings
from planetary_computer.utils import parse_blob_url

from curation import hrefs, localfiles, trust
from curation.causes import first_line, one_line
from curation.model import ConfigError, PassingError, ReadError, StorageError, TrustError, shortened
from curation.printable import printable
from curation.store import Client, ReplacedError, Store

log = logging.getLogger(__name__)
T = TypeVar("T")


ATTEMPTS = 5
"""How often a range is asked for."""

PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
"""The pause after the first try that failed, about, each later one twice as long; and the longest that is waited out."""

CONNECT_S, READ_S = 20.0, 60.0
"""How long a connection may take, and the next bytes of an answer."""

SLOWEST = 20_000
"""Bytes per second: an answer has `READ_S` and what its bytes take at this rate. A line of 10 Mbit/s shared by 64 requests
is as fast."""

PER_HOST = 32
"""Requests of a process that one host has at a time, where nobody says otherwise."""

_MOST_REDIRECTS = 5

_PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))
_REFUSED = frozenset((401, 403))
_NO_ROOM = 507
_REFUSED_BY_STORE = (obstore.exceptions.PermissionDeniedError, obstore.exceptions.UnauthenticatedError)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file is."""

    url: str
    """Unsigned; a path, or a URL (http, https, s3, gs, az), as `hrefs.located` has it."""
    sign: str = "none"
    """`none` or `planetary-computer`."""
    per_host: int = PER_HOST
    """Requests of this process that its host has at a time."""

    @property
    def is_remote(self) -> bool:
        """Whether it is elsewhere."""
        return "://" in self.url

    @property
    def host(self) -> str:
        """Whose slots a request for it takes: a server's, a bucket's; empty for disks."""
        try:
            return urlsplit(self.url).netloc if self.is_remote else ""
        except ValueError:  # no URL; whoever fetches it is told
            return ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Bytes of a file."""

    data: bytes
    size: int
    """Of the whole file, bytes."""
    version: str
    """A mark of this very content; empty where there is none."""


class ChangedError(PassingError):
    """The file is not the one whose head was read any more."""


class _NoRoomError(PassingError, StorageError):
    """A server has no room to make what was asked for (the embedded Earth, whose cache folder is full)."""


class _FailedTryError(Exception):
    """A try that failed and may go well again."""

    def __init__(self, cause: str, *, wait_s: float = 0.0, refused: bool = False) -> None:
        super().__init__(cause)
        self.wait_s = wait_s
        self.refused = refused


@contextlib.contextmanager
def blamed(*names: str) -> Iterator[None]:
    """Turns whatever is raised within into a ReadError that names files: what a catalog or a server says may raise anything.

    A ReadError stays what it is, and so does a lack of memory, which is no file's fault.
    """
    try:
        yield
    except (ReadError, MemoryError):
        raise
    except Exception as err:
        raise ReadError(f"{' and '.join(names)}: could not be read: {one_line(err)}") from err


_CHANGED = "has changed since its head was read; it is read anew"
_NEVER = threading.Event()


def pause(seconds: float, ended: threading.Event) -> None:
    """Waits. Raises PassingError where nobody wants to know any more."""
    if ended.wait(seconds):
        raise PassingError("nobody waits for it any more")


def fetch(
    place: Place, start: int, length: int, name: str, version: str = "", ended: threading.Event = _NEVER
) -> Answer:
    """A range of a file: `length` bytes from `start`, fewer only where the file ends before.

    Args:
        place: where the file is.
        start: first byte.
        length: bytes.
        name: of the file, as a person knows it; what errors call it.
        version: the content that is expected, as an earlier answer gave it.
        ended: is set when nobody waits for it any more.

    Raises:
        ChangedError: the server has another content by now.
        PassingError: it could not be read, in as many tries as the message says, for what may pass.
        ReadError: it could not be read, and asking again changes nothing.
    """
    with blamed(name):
        return _fetched(place, start, length, name, version, ended)


def _fetched(place: Place, start: int, length: int, name: str, version: str, ended: threading.Event) -> Answer:
    for attempt in range(ATTEMPTS):
        try:
            if place.url.startswith(("http://", "https://")):
                return _over_http(place, start, length, version)
            if place.is_remote:
                if hrefs.scheme_of(place.url) not in hrefs.BUCKETS:  # obstore would open folders, too
                    raise ReadError("no URL of anything that is read from")
                return _from_store(place.url, start, length, version)
            return _from_disk(Path(place.url), start, length, version)
        except ChangedError as err:
            raise ChangedError(f"{name}: {err}") from None
        except _NoRoomError:
            raise
        except ReadError as err:
            kind = next(k for k in (PassingError, TrustError, ReadError) if isinstance(err, k))
            raise kind(f"{name}: could not be read in {attempt + 1} tries: {err}") from None
        except _FailedTryError as err:
            if attempt == ATTEMPTS - 1:
                raise PassingError(
                    f"{name}: could not be read in {ATTEMPTS} tries: {err}; rerun the command to try again"
                ) from None
            log.info("%s: try %d failed (%s)", name, attempt + 1, err)
            if err.wait_s > LONGEST_PAUSE_S:
                raise PassingError(
                    f"{name}: could not be read in {attempt + 1} tries: {err}: the server asks for a pause of "
                    f"{err.wait_s:.0f} s; rerun the command after that"
                ) from None
            pause_s = PAUSE_S * 2**attempt * random.uniform(0.75, 1.25)
            pause(max(min(pause_s, LONGEST_PAUSE_S), err.wait_s), ended)
    raise AssertionError("unreachable")


# ---- disk and object stores ------------------------------------------------------------------------------------------


def _from_disk(path: Path, start: int, length: int, version: str) -> Answer:
    try:
        with os.fdopen(localfiles.handle(path), "rb") as file:
            stat = os.fstat(file.fileno())
            mark = f"{stat.st_ino}-{stat.st_mtime_ns}-{stat.st_size}"
            wanted = max(min(length, stat.st_size - start), 0)
            data = os.pread(file.fileno(), wanted, start)
    except ReadError:  # an OSError, too
        raise
    except (FileNotFoundError, NotADirectoryError) as err:
        raise ReadError(f"{type(err).__name__}: {err}") from None
    except OSError as err:  # of the disk or the network it hangs on; unless it is the path's
        kind = ReadError if err.errno in (errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL) else PassingError
        raise kind(f"{type(err).__name__}: {err}") from None
    if version and mark != version:
        raise ChangedError(_CHANGED)
    if len(data) != wanted:
        raise _FailedTryError(f"{len(data)} bytes at {start}, expected {wanted}")
    return Answer(data, stat.st_size, mark)


@functools.lru_cache(maxsize=64)
def _store(bucket: str) -> Store:
    return Store(bucket, client=Client(CONNECT_S, READ_S, retries=0))  # tried again here, and nowhere else


def _from_store(url: str, start: int, length: int, version: str) -> Answer:
    scheme, _, path = url.partition("://")
    bucket, _, key = path.partition("/")
    try:
        data, stat = _store(f"{scheme}://{bucket}").get_part(key, start, length, version)
    except FileNotFoundError as err:
        raise ReadError(f"there is no such object: {err}") from None
    except EOFError:
        raise ReadError(f"has no byte {start}: it is shorter than its header says") from None
    except ReplacedError:
        raise ChangedError(_CHANGED) from None
    except PassingError as err:
        raise _FailedTryError(str(err), wait_s=err.wait_s) from None
    except ReadError as err:  # an OSError, too
        if isinstance(err.__cause__, _REFUSED_BY_STORE):
            raise PassingError(str(err)) from None
        raise
    except (OSError, obstore.exceptions.BaseError) as err:
        raise _FailedTryError(f"{one_line(err)}") from None
    return Answer(data, stat.size, stat.etag)


# ---- servers ---------------------------------------------------------------------------------------------------------


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


_pools: dict[tuple[int, str, int, ssl.SSLContext | None], urllib3.PoolManager] = {}
_pools_lock = threading.Lock()


def _pool(scheme: str, host: str, per_host: int) -> urllib3.PoolManager:
    """The connections of this process, through the proxy that the environment names for a host."""
    proxy = "" if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get(scheme, "")
    try:
        trusted = trust.context() if "https" in (scheme, hrefs.scheme_of(proxy)) else None
    except ConfigError as err:
        raise TrustError(str(err)) from None
    key = (os.getpid(), proxy, per_host, trusted)
    with _pools_lock:
        pool = _pools.get(key)
        if pool is None:
            how: dict[str, Any] = {"maxsize": per_host, "block": True, "ssl_context": trusted}
            pool = (
                urllib3.ProxyManager(proxy, proxy_ssl_context=trusted, **how) if proxy else urllib3.PoolManager(**how)
            )
            pool.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
            _pools[key] = pool
        return pool


def _over_http(place: Place, start: int, length: int, version: str) -> Answer:
    url = _signed(place)
    headers = {"Range": f"bytes={start}-{start + length - 1}", "Accept-Encoding": "identity"}
    if version.startswith('"'):
        headers["If-Match"] = version
    try:
        return _got(url, headers, length, place.per_host, lambda response: _answer(response, start, length, version))
    except _FailedTryError as err:
        if err.refused:
            _forget_signature(place, url)
        raise


def _got(
    url: str, headers: Mapping[str, str], length: int, per_host: int, take: Callable[[urllib3.BaseHTTPResponse], T]
) -> T:
    """What `take` makes of a server's answer, of which it takes `length` bytes at most.

    Raises:
        _FailedTryError: the answer did not come, or not in time.
    """
    allowed_s = READ_S + length / SLOWEST
    try:
        for _ in range(_MOST_REDIRECTS + 1):
            parts = urlsplit(url)
            response = _pool(parts.scheme, parts.hostname or "", per_host).request(
                "GET",
                url,
                headers=headers,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(connect=CONNECT_S, read=allowed_s),
                retries=False,
                redirect=False,
            )
            if not (where := response.get_redirect_location()):
                break
            # Followed here: urllib3 does not give the slot of the host back where it leads to no URL.
            response.close()
            response.release_conn()
            url = urljoin(url, where)
            if not url.startswith(("http://", "https://")):
                raise ReadError(f"HTTP {response.status}: leads to {printable(url)}, expected http or https")
        else:
            raise _FailedTryError(f"HTTP {response.status}: more than {_MOST_REDIRECTS} redirects, one after the other")
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
        raise _FailedTryError(
            f"the server is too slow: expected up to {length} bytes within {allowed_s:.1f} s, "
            f"some of them every {READ_S:g} s"
        ) from None
    except (urllib3.exceptions.HTTPError, OSError) as err:
        if trust.refused(err):
            raise TrustError(f"{parts.hostname}: {trust.advice()} ({first_line(err)})") from None
        raise _FailedTryError(f"{one_line(err)}") from None


def _check(response: urllib3.BaseHTTPResponse) -> str:
    """The status, as an error would tell it. Raises where it is not one of success."""
    status, told = response.status, f"HTTP {response.status} {response.reason or ''}".strip()
    if status in _PASSING:
        raise _FailedTryError(told, wait_s=_retry_after_s(response.headers))
    if status in _REFUSED:  # a signature has a term, and some servers say 403 where they mean 429
        raise _FailedTryError(told, refused=True)
    if status == _NO_ROOM:
        said = response.read(1000).decode(errors="replace").strip()
        raise _NoRoomError(shortened(f"{printable(response.geturl() or '')}: {said or told}", 600))
    if status not in (200, 206):
        raise (PassingError if status >= 500 else ReadError)(told)
    return told


def _answer(response: urllib3.BaseHTTPResponse, start: int, length: int, version: str) -> Answer:
    status = response.status
    if status == 412:
        raise ChangedError(_CHANGED)
    if status == 416:
        raise ReadError(f"HTTP 416 {response.reason or ''}: has no byte {start}: it is shorter than its header says")
    told = _check(response)
    if encoding := response.headers.get("Content-Encoding", "identity").replace("identity", ""):
        raise ReadError(f"{told}: came as {encoding}, which was not asked for")
    content_length = _count(response.headers.get("Content-Length"), told)
    if status == 200 and start == 0 and 0 <= content_length <= length:  # a small file, whole
        first, size, promised = 0, content_length, content_length
    elif status == 200:
        raise _FailedTryError(
            f"{told}: the server gave the whole file instead of bytes {start} to {start + length - 1}"
        )
    else:
        found = re.fullmatch(
            r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", response.headers.get("Content-Range", "")
        )
        if not found:
            raise _FailedTryError(f"{told}: Content-Range {response.headers.get('Content-Range')!r}")
        first, size, promised = int(found[1]), int(found[3]), int(found[2]) - int(found[1]) + 1
    wanted = min(length, size - start)
    if first != start or promised != wanted or content_length not in (-1, wanted):
        raise _FailedTryError(f"{told}: {promised} bytes at {first}, expected {wanted} at {start}")
    data = response.read(wanted)
    if len(data) != wanted:
        raise _FailedTryError(f"{told}: {len(data)} bytes at {start}, expected {wanted}")
    mark = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
    if version and mark != version:
        raise ChangedError(_CHANGED)
    return Answer(data, size, mark)


def _count(value: str | None, told: str) -> int:
    """The number of bytes that a header states; -1 where there is none. Raises where it is no number."""
    if not value:
        return -1
    if not re.fullmatch(r"[0-9]{1,18}", value.strip()):
        raise _FailedTryError(f"{told}: Content-Length {value[:40]!r}")
    return int(value)


def _retry_after_s(headers: Mapping[str, str]) -> float:
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
    return 0.0 if until is None else max(until - _answered_s(headers), 0.0)


def _answered_s(headers: Mapping[str, str]) -> float:
    """When an answer was given, by the clock of who gave it: seconds since 1970; by the clock here where it does not say."""
    answered = _moment_s(headers.get("Date"))
    return time.time() if answered is None else answered


def _moment_s(date: str | None) -> float | None:
    """Seconds since 1970 of a header's date; None where it is none."""
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return email.utils.parsedate_to_datetime(date or "").timestamp()
    return None


# ---- signatures ------------------------------------------------------------------------------------------------------

_LEAST_TERM_S = 60
"""A token that ends sooner is replaced."""

_TOKEN_BYTES = 2**16
"""An answer with a token is shorter."""

_tokens: dict[str, Future[sas.SASToken]] = {}
"""Tokens that were asked for and did not come yet, by where."""
_terms: dict[str, tuple[str, float]] = {}
"""Where a token is from → the token, and until when it is good by `time.monotonic`. How long it is, the server's own clock
says: one here that is wrong, or is set, would have each request ask for another, or keep one that has ended."""
_tokens_lock = threading.Lock()


def _signed(place: Place) -> str:
    """A place's URL with a signature where one is needed, as `planetary_computer.sign_url` makes it.

    Tokens are asked for here: that library would do so without a time-out, ten times in one try.
    """
    parts = urlparse(place.url)
    if place.sign == "none" or not parts.netloc.endswith(sas.BLOB_STORAGE_DOMAIN):
        return place.url
    url = "/".join((str(Settings.get().sas_url), *parse_blob_url(parts)))
    return str(_token(url).sign(place.url).href)


def _token(url: str) -> sas.SASToken:
    """The token that is kept, or a new one: one request for it at a time, what comes of it is for all who wait."""
    with _tokens_lock:
        token = sas.TOKEN_CACHE.get(url)
        if token is not None and _left_s(url, token) >= _LEAST_TERM_S:
            return token
        coming = _tokens.get(url)
        asked = _tokens[url] = Future() if coming is None else coming
    if coming is None:
        try:
            token, term_s = _new_token(url)
        except BaseException as err:  # noqa: BLE001 - raised below
            with _tokens_lock:
                del _tokens[url]
            asked.set_exception(err)
        else:
            with _tokens_lock:
                sas.TOKEN_CACHE[url] = token
                _terms[url] = token.token, time.monotonic() + term_s
                del _tokens[url]
            asked.set_result(token)
    return asked.result()


def _left_s(url: str, token: sas.SASToken) -> float:
    """Seconds that a token is still good for; by its date and the clock here where it was not asked for here."""
    known, until = _terms.get(url, ("", 0.0))
    return until - time.monotonic() if known == token.token else float(token.ttl())


def _new_token(url: str) -> tuple[sas.SASToken, float]:
    """A token, and for how many seconds it is good."""

    def take(response: urllib3.BaseHTTPResponse) -> tuple[sas.SASToken, float]:
        told = _check(response)
        data = response.read(_TOKEN_BYTES)
        try:
            token = sas.SASToken(**json.loads(data))
            ends = token.expiry if token.expiry.tzinfo else token.expiry.replace(tzinfo=dt.UTC)
            return token, ends.timestamp() - _answered_s(response.headers)
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise _FailedTryError(f"{told}: {len(data)} bytes that are no token") from None  # but may hold one

    key = Settings.get().subscription_key
    headers = {"Accept-Encoding": "identity"} | ({"Ocp-Apim-Subscription-Key": key} if key else {})
    try:
        return _got(url, headers, _TOKEN_BYTES, PER_HOST, take)
    except TrustError as err:
        raise TrustError(f"no signature was given by {url}: {err}") from None
    except ReadError as err:  # whatever it is: the file is not to blame
        raise PassingError(f"no signature was given by {url}: {err}") from None
    except _FailedTryError as err:
        raise _FailedTryError(f"no signature was given by {url}: {err}", wait_s=err.wait_s) from None


def _forget_signature(place: Place, used: str) -> None:
    """Drops the token that a signed URL was refused with from what the signing library keeps, and no fresher one."""
    if place.sign == "none":
        return
    with _tokens_lock:
        for key in [k for k, v in sas.TOKEN_CACHE.items() if v.token in used]:
            del sas.TOKEN_CACHE[key]


def _after_fork() -> None:
    """A child has none of the threads that hold its parent's locks and wait for its tokens."""
    global _pools_lock, _tokens_lock
    _pools_lock, _tokens_lock = threading.Lock(), threading.Lock()
    _tokens.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
