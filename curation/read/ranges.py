"""Ranges of a file's bytes, from a server, an object store or a disk: all that was asked for, or an error that says why.

Failures that may pass are tried again here and nowhere else, by what they are: a server's pause is kept to, a signature
that is refused is replaced, and nothing remembers that a URL once failed.
"""

from __future__ import annotations

import contextlib
import email.utils
import functools
import logging
import os
import random
import re
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import planetary_computer.sas
import urllib3
import urllib3.exceptions

from curation.model import ReadError
from curation.store import PassingError, Store

log = logging.getLogger(__name__)


def _without_signatures(record: logging.LogRecord) -> bool:
    """True, the record's URLs cut before their query: signatures stand there."""
    record.msg, record.args = re.sub(r"\?[^\s'\"]+", "", record.getMessage()), ()
    return True


logging.getLogger("urllib3.connectionpool").addFilter(_without_signatures)  # at level DEBUG it tells each URL

ATTEMPTS = 5
"""How often a range is asked for."""

PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
"""The pause after the first try that failed, about, each later one twice as long; and the longest, a server's own too."""

CONNECT_S, READ_S = 20.0, 60.0
"""How long a connection may take, and the next bytes of an answer."""

PER_HOST = 32
"""Requests of this process that one host has at a time."""

_PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))
_REFUSED = frozenset((401, 403))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file is."""

    url: str
    """Unsigned; a path, or a URL (http, https, s3, gs, az)."""
    sign: str = "none"
    """`none` or `planetary-computer`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Bytes of a file."""

    data: bytes
    size: int
    """Of the whole file, bytes."""
    version: str
    """The server's strong mark of this very content; empty where it gives none."""


class ChangedError(ReadError):
    """The file is not the one whose head was read any more."""


class _FailedTryError(Exception):
    """A try that failed and may go well again."""

    def __init__(self, cause: str, *, wait_s: float = 0.0, refused: bool = False) -> None:
        super().__init__(cause)
        self.wait_s = wait_s
        self.refused = refused


_NEVER = threading.Event()


def pause(seconds: float, ended: threading.Event) -> None:
    """Waits. Raises ReadError where nobody wants to know any more."""
    if ended.wait(seconds):
        raise ReadError("nobody waits for it any more")


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
        ReadError: it could not be read, in as many tries as the message says.
    """
    for attempt in range(ATTEMPTS):
        try:
            if place.url.startswith(("http://", "https://")):
                return _over_http(place, start, length, version)
            if "://" in place.url and not place.url.startswith("file://"):
                return _from_store(place.url, start, length)
            return _from_disk(Path(place.url.removeprefix("file://")), start, length)
        except ChangedError as err:
            raise ChangedError(f"{name}: {err}") from None
        except ReadError as err:
            raise ReadError(f"{name}: could not be read in {attempt + 1} tries: {err}") from None
        except _FailedTryError as err:
            if attempt == ATTEMPTS - 1:
                raise ReadError(
                    f"{name}: could not be read in {ATTEMPTS} tries: {err}; rerun the command to try again"
                ) from None
            log.info("%s: try %d failed (%s)", name, attempt + 1, err)
            if err.refused and place.sign != "none":
                _forget_signature(place)
            pause_s = PAUSE_S * 2**attempt * random.uniform(0.75, 1.25)
            pause(min(max(pause_s, err.wait_s), LONGEST_PAUSE_S), ended)
    raise AssertionError("unreachable")


# ---- disk and object stores ------------------------------------------------------------------------------------------


def _from_disk(path: Path, start: int, length: int) -> Answer:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            wanted = max(min(length, size - start), 0)
            data = os.pread(file.fileno(), wanted, start)
    except OSError as err:
        raise ReadError(f"{type(err).__name__}: {err}") from None
    if len(data) != wanted:
        raise _FailedTryError(f"{len(data)} bytes at {start}, expected {wanted}")
    return Answer(data, size, "")


@functools.lru_cache(maxsize=64)
def _store(url: str) -> Store:
    return Store(url)


def _from_store(url: str, start: int, length: int) -> Answer:
    folder, _, key = url.rpartition("/")
    store = _store(folder)
    try:
        stat = store.head(key)
        if stat is None:
            raise ReadError("FileNotFoundError: there is no such object")
        wanted = max(min(length, stat.size - start), 0)
        return Answer(store.get_range(key, start, wanted) if wanted else b"", stat.size, "")
    except PassingError as err:
        raise _FailedTryError(str(err), wait_s=err.wait_s) from None


# ---- servers ---------------------------------------------------------------------------------------------------------

_pools: dict[tuple[int, str], urllib3.PoolManager] = {}
_pools_lock = threading.Lock()
_sign_lock = threading.Lock()


def _pool(scheme: str, host: str) -> urllib3.PoolManager:
    """The connections of this process, through the proxy that the environment names for a host."""
    proxy = "" if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get(scheme, "")
    with _pools_lock:
        pool = _pools.get((os.getpid(), proxy))
        if pool is None:
            how: dict[str, Any] = {
                "maxsize": PER_HOST,
                "block": True,
                "retries": False,
            }
            pool = urllib3.ProxyManager(proxy, **how) if proxy else urllib3.PoolManager(**how)
            _pools[os.getpid(), proxy] = pool
        return pool


def _over_http(place: Place, start: int, length: int, version: str) -> Answer:
    url = place.url
    if place.sign == "planetary-computer":
        try:
            with _sign_lock:  # the first asks for a token, and the others find it
                url = planetary_computer.sign_url(url)
        except OSError as err:  # requests' own; the endpoint is asked anew at each try
            raise _FailedTryError(f"no signature was given: {_unsigned(err)}") from None
    headers = {"Range": f"bytes={start}-{start + length - 1}", "Accept-Encoding": "identity"}
    if version:
        headers["If-Match"] = version
    parts = urlsplit(url)
    try:
        response = _pool(parts.scheme, parts.hostname or "").request(
            "GET",
            url,
            headers=headers,
            preload_content=False,
            redirect=True,
            timeout=urllib3.Timeout(connect=CONNECT_S, read=READ_S),
        )
        whole = False
        try:
            answer = _answer(response, start, length, version)
            whole = True
        finally:
            if whole:
                response.release_conn()
            else:  # what is left of a body must not be taken for the next answer
                response.close()
    except ReadError:  # an OSError, too
        raise
    except (urllib3.exceptions.HTTPError, OSError) as err:
        raise _FailedTryError(f"{type(err).__name__}: {_unsigned(err)}") from None
    return answer


def _answer(response: urllib3.BaseHTTPResponse, start: int, length: int, version: str) -> Answer:
    status, told = response.status, f"HTTP {response.status} {response.reason or ''}".strip()
    if status in _PASSING:
        raise _FailedTryError(told, wait_s=_retry_after_s(response.headers.get("Retry-After")))
    if status in _REFUSED:  # a signature has a term, and some servers say 403 where they mean 429
        raise _FailedTryError(told, refused=True)
    if status == 412:
        raise ChangedError("has changed since its head was read; it is read anew")
    if status == 416:
        raise ReadError(f"{told}: has no byte {start}: it is shorter than its header says")
    if status == 200:
        raise _FailedTryError(
            f"{told}: the server gave the whole file instead of bytes {start} to {start + length - 1}"
        )
    if status != 206:
        raise ReadError(told)
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", ""))
    if not found or int(found[1]) != start:
        raise _FailedTryError(
            f"{told}: Content-Range {response.headers.get('Content-Range')!r}, expected bytes {start}-…"
        )
    size = int(found[3])
    wanted = min(length, size - start)
    promised = int(found[2]) - start + 1
    if promised != wanted or response.headers.get("Content-Length", str(wanted)) != str(wanted):
        raise _FailedTryError(f"{told}: {promised} bytes at {start}, expected {wanted}")
    data = response.read(wanted)
    if len(data) != wanted:
        raise _FailedTryError(f"{told}: {len(data)} bytes at {start}, expected {wanted}")
    mark = response.headers.get("ETag", "")
    mark = "" if mark.startswith("W/") else mark
    if version and mark and mark != version:
        raise ChangedError("has changed since its head was read; it is read anew")
    return Answer(data, size, mark)


def _retry_after_s(value: str | None) -> float:
    """Seconds that a server asks to wait: a number, or a date."""
    if not value:
        return 0.0
    with contextlib.suppress(ValueError):
        return max(float(value), 0.0)
    with contextlib.suppress(ValueError, TypeError):
        return max(email.utils.parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    return 0.0


def _forget_signature(place: Place) -> None:
    """Drops what the signing library keeps of a place's container, so that the next try asks for a new one."""
    parts = urlsplit(place.url)
    ending = f"/{parts.netloc.split('.')[0]}/{parts.path.lstrip('/').split('/')[0]}"
    for key in [k for k in planetary_computer.sas.TOKEN_CACHE if k.rstrip("/").endswith(ending)]:
        planetary_computer.sas.TOKEN_CACHE.pop(key, None)


def _unsigned(err: Exception) -> str:
    """The first line of an error, each URL in it without its query: signatures stand there."""
    line = (str(err).splitlines() or [""])[0]
    return re.sub(r"\?[^\s'\"]+", "", line)
