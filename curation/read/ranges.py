"""Ranges of a file's bytes, from a server, an object store or a disk: all that was asked for, or an error that says why.

Failures that may pass are tried again here and nowhere else, by what they are: a server's pause is kept to, a signature
that is refused is replaced, and nothing remembers that a URL once failed.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import random
import re
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import obstore
import urllib3
import urllib3.connection
import urllib3.exceptions

from curation.errors import AccessError, PassingError, ReadError, SettingsError, TrustError
from curation.errors.causes import one_line
from curation.errors.printable import printable
from curation.read import http, login
from curation.read.http import FailedTryError, NoRoomError, check, got
from curation.read.signing import FileAddress, forget_signature, signed
from curation.recipe.access import BucketAccess
from curation.store import hrefs, local
from curation.store.bucket import Client, ReplacedError
from curation.store.objects import Store
from curation.store.refusals import brief

log = logging.getLogger(__name__)


ATTEMPTS = 5
"""How often a range is asked for."""

PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
"""The pause after the first try that failed, about, each later one twice as long; and the longest that is waited out."""
_NO_BUCKET = re.compile(r"Generic URL error|URL did not match any known pattern")
"""What obstore says of a URL that leads to no bucket of its scheme; what else keeps it from making a client are settings."""

_REFUSED_BY_STORE = (obstore.exceptions.PermissionDeniedError, obstore.exceptions.UnauthenticatedError)


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


class Tally:
    """What was asked for of each file, by its name, while it was counted."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, name: str, size: int) -> None:
        """Takes up an answer."""
        with self._lock:
            self.requests[name] += 1
            self.bytes[name] += size


_tallies: list[Tally] = []


@contextlib.contextmanager
def tallied() -> Iterator[Tally]:
    """Counts what this process asks for meanwhile, whichever of its threads does."""
    tally = Tally()
    _tallies.append(tally)
    try:
        yield tally
    finally:
        _tallies.remove(tally)


_CHANGED = "has changed since its head was read; it is read anew"
_NEVER = threading.Event()


def pause(seconds: float, ended: threading.Event) -> None:
    """Waits. Raises PassingError where nobody wants to know any more."""
    if ended.wait(seconds):
        raise PassingError("nobody waits for it any more")


def fetch(
    address: FileAddress, start: int, length: int, name: str, version: str = "", ended: threading.Event = _NEVER
) -> Answer:
    """A range of a file: `length` bytes from `start`, fewer only where the file ends before.

    Args:
        address: where the file is.
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
        answer = _fetched(address, start, length, name, version, ended)
    for tally in _tallies:
        tally.add(name, len(answer.data))
    return answer


def _fetched(address: FileAddress, start: int, length: int, name: str, version: str, ended: threading.Event) -> Answer:
    for attempt in range(ATTEMPTS):
        try:
            if address.url.startswith(("http://", "https://")):
                return _over_http(address, start, length, version)
            if address.is_remote:
                if hrefs.scheme_of(address.url) not in hrefs.BUCKETS:  # obstore would open folders, too
                    raise ReadError("no URL of anything that is read from")
                return _from_store(address, start, length, version)
            return _from_disk(Path(address.url), start, length, version)
        except ChangedError as err:
            raise ChangedError(f"{name}: {err}") from None
        except NoRoomError:
            raise
        except ReadError as err:
            kind = next(
                k for k in (PassingError, TrustError, AccessError, SettingsError, ReadError) if isinstance(err, k)
            )
            raise kind(f"{name}: could not be read in {attempt + 1} tries: {err}") from None
        except FailedTryError as err:
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
        with os.fdopen(local.handle(path), "rb") as file:
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
        raise FailedTryError(f"{len(data)} bytes at {start}, expected {wanted}")
    return Answer(data, stat.st_size, mark)


@functools.lru_cache(maxsize=64)
def _store(bucket: str, access: BucketAccess | None, held: tuple[tuple[str, str], ...]) -> Store:
    """The client of a bucket, another where what lets one in is another by now (`held`)."""
    del held
    how = None if access is None else login.bucket_settings(bucket, access)
    client = Client(http.CONNECT_S, http.READ_S, retries=0, settings=how)  # tried again here, and nowhere else
    try:
        return Store(bucket, client=client)
    except obstore.exceptions.BaseError as err:  # nobody was asked: a later try ends the same
        if _NO_BUCKET.search(str(err)):
            raise ReadError(f"{printable(bucket)} names no bucket ({brief(err)})") from None
        raise AccessError(
            f"{printable(bucket)} cannot be asked ({brief(err)}): set in the environment where it is read what lets one in, "
            "such as the account of an Azure container, AZURE_STORAGE_ACCOUNT_NAME"
        ) from None


def _from_store(address: FileAddress, start: int, length: int, version: str) -> Answer:
    scheme, _, path = address.url.partition("://")
    bucket, _, key = path.partition("/")
    access = address.access if isinstance(address.access, BucketAccess) else None
    held = () if access is None else tuple(access.held.values.items())
    if access is not None and (missing := access.missing()):
        raise AccessError(
            f"{scheme}://{bucket} wants keys: {', '.join(missing)} is not set where it is read: set it there"
        )
    try:
        data, stat = _store(f"{scheme}://{bucket}", access, held).bucket.get_part(key, start, length, version)
    except FileNotFoundError as err:
        raise ReadError(f"there is no such object: {err}") from None
    except EOFError:
        raise ReadError(f"has no byte {start}: it is shorter than its header says") from None
    except ReplacedError:
        raise ChangedError(_CHANGED) from None
    except PassingError as err:
        raise FailedTryError(str(err), wait_s=err.wait_s) from None
    except ReadError as err:  # an OSError, too
        if isinstance(err.__cause__, _REFUSED_BY_STORE):
            raise PassingError(str(err)) from None
        raise
    except (OSError, obstore.exceptions.BaseError) as err:
        raise FailedTryError(f"{one_line(err)}") from None
    return Answer(data, stat.size, stat.etag)


def _over_http(address: FileAddress, start: int, length: int, version: str) -> Answer:
    url, lets_in = signed(address), login.pass_of(address.access)
    headers = {"Range": f"bytes={start}-{start + length - 1}", "Accept-Encoding": "identity"}
    if version.startswith('"'):
        headers["If-Match"] = version
    try:
        answer = functools.partial(_answer, start=start, length=length, version=version)
        return got(url, headers, length, address.per_host, answer, lets_in)
    except FailedTryError as err:
        if err.refused:
            forget_signature(address, url)
            lets_in.forget()
        raise


def _answer(response: urllib3.BaseHTTPResponse, start: int, length: int, version: str) -> Answer:
    status = response.status
    if status == 412:
        raise ChangedError(_CHANGED)
    if status == 416:
        raise ReadError(f"HTTP 416 {response.reason or ''}: has no byte {start}: it is shorter than its header says")
    status_line = check(response)
    if encoding := response.headers.get("Content-Encoding", "identity").replace("identity", ""):
        raise ReadError(f"{status_line}: came as {encoding}, which was not asked for")
    content_length = _count(response.headers.get("Content-Length"), status_line)
    if status == 200 and start == 0 and 0 <= content_length <= length:  # a small file, whole
        first, size, promised = 0, content_length, content_length
    elif status == 200:
        asked = f"bytes {start} to {start + length - 1}"
        raise FailedTryError(f"{status_line}: the server gave the whole file instead of {asked}")
    else:
        found = re.fullmatch(
            r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", response.headers.get("Content-Range", "")
        )
        if not found:
            raise FailedTryError(f"{status_line}: Content-Range {response.headers.get('Content-Range')!r}")
        first, size, promised = int(found[1]), int(found[3]), int(found[2]) - int(found[1]) + 1
    wanted = min(length, size - start)
    if first != start or promised != wanted or content_length not in (-1, wanted):
        raise FailedTryError(f"{status_line}: {promised} bytes at {first}, expected {wanted} at {start}")
    data = response.read(wanted)
    if len(data) != wanted:
        raise FailedTryError(f"{status_line}: {len(data)} bytes at {start}, expected {wanted}")
    mark = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
    if version and mark != version:
        raise ChangedError(_CHANGED)
    return Answer(data, size, mark)


def _count(value: str | None, status_line: str) -> int:
    """The number of bytes that a header states; -1 where there is none. Raises where it is no number."""
    if not value:
        return -1
    if not re.fullmatch(r"[0-9]{1,18}", value.strip()):
        raise FailedTryError(f"{status_line}: Content-Length {value[:40]!r}")
    return int(value)
