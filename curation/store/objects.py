"""The only code that makes bytes visible: a folder or an object store, addressed by `/`-separated keys.

Whatever is published appears whole or not at all: locally through a temporary file, fsync and rename; on an object store
through one PUT.

obstore's threads do not survive a fork: in a process forked after they began, its calls would wait for ever. They raise
`ForkedError` here instead; `curation.stream.helper` is the way round.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import logging
import os
import re
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from stat import S_ISREG
from typing import Any, Literal, ParamSpec, TypeVar

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    InvalidPathError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)

from curation.errors import CurationError, PassingError, ReadError, StorageError, TrustError
from curation.errors.printable import printable, remember, unsigned
from curation.errors.words import shortened
from curation.store import full, local, trust

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_TEMP_SUFFIX = ".part"

COPY_BYTES = 4 * 2**30
"""Larger objects are not copied by the store itself: S3 does so up to 5 GiB."""

_MISSING = (NotFoundError, FileNotFoundError)
"""What obstore raises where there is no object: it has both."""

_FINAL = (
    InvalidPathError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)
"""What obstore raises where asking again changes nothing."""

_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
"""Environment variables by which obstore finds stores of one's own."""

UNTRUSTED = "invalid peer certificate"
"""How errors end that come from a certificate which is not trusted."""

_NO_CONNECTION = re.compile(
    r'"((?:failed to lookup address information|Connection refused|Network is unreachable)[^"]*)"'
)
"""Why there is no connection, in what obstore tells a programmer of an error."""

_began = False
"""Whether obstore was used in this process, or in one that it was forked from."""
_lost = False
"""Whether that was before a fork."""


_TASKS = Path("/proc/self/task")


def _before_fork() -> None:
    """Notices obstore's threads where somebody else began them in this process: zarr, or its user."""
    global _began
    with contextlib.suppress(OSError):  # no such folder, or a thread that ended meanwhile
        _began = _began or any((task / "comm").read_bytes().startswith(b"tokio") for task in _TASKS.iterdir())


class _Made:
    """Holds a store of obstore."""

    __slots__ = ("__weakref__", "store")

    def __init__(self, store: Any) -> None:
        self.store = store


_made: weakref.WeakSet[_Made] = weakref.WeakSet()
_inherited: list[_Made] = []
"""Of the parent of this process: never let go of, since that would tell threads which are not here, and wait for ever."""


def _after_fork() -> None:
    global _lost
    _lost = _began
    if _lost:
        _inherited.extend(_made)


os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


def lost_to_fork() -> bool:
    """Whether obstore cannot be used in this process, since it was forked after obstore's threads began."""
    return _lost


class ForkedError(ReadError):
    """An object store was asked for in a process that was forked after its parent had used one."""


class ReplacedError(ReadError):
    """The object is another than the one that was asked for."""


@dataclass(frozen=True, slots=True)
class Client:
    """How patient the client of an object store is."""

    connect_s: float = 5.0
    """Seconds to wait for a connection."""
    read_s: float = 30.0
    """Seconds to wait for the next bytes."""
    retries: int | None = None
    """Of obstore, with its own backoff; its default (10) where None."""

    @property
    def whole_s(self) -> float:
        """Seconds that one request may take in all: obstore's own 30 would cut off what is merely large."""
        return max(300.0, 10 * self.read_s)


@dataclass(frozen=True, slots=True)
class Stat:
    """What a store says of an object without reading it."""

    key: str
    size: int
    """Bytes."""
    etag: str
    """Changes whenever the object is written."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was published: enough to tell later whether it is still that."""

    key: str
    size: int
    """Bytes."""
    sha256: str
    etag: str
    """The store's own mark of this very writing."""


_FULL = re.compile(r"(?i)\bquota|QuotaExceeded|InsufficientStorage|StorageFull|status code: 507|507 Insufficient")
"""What stores say that take no more: the status 507, or a 403 with such a code (S3's, Ceph's, MinIO's, Azure's)."""


def _storing(*expected: type[Exception]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A method of a store, of a key: what it raises but those expected is told as the fault of where things are kept.

    Raises:
        StorageError: by the method; another try changes nothing.
        PassingError: by the method; an object store did not answer in as many tries as obstore makes.
    """

    def told(method: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(method)
        def stored(*args: P.args, **how: P.kwargs) -> T:
            try:
                return method(*args, **how)
            except (OSError, BaseError, EOFError) as err:
                if isinstance(err, (CurationError, EOFError, *expected)):
                    raise
                store, key = args[0], args[1] if len(args) > 1 else ""
                assert isinstance(store, Store)
                raise store._unkept(str(key), err) from err

        return stored

    return told


_NO_FILE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""What reading says of an object that is not there."""

_AGAIN = full.AGAIN

AT_ONCE = 8
"""Objects of one slab written or looked at together."""

BUSY_TRIES, BUSY_PAUSE_S = 5, 0.5
"""How often a write is asked for of a store that says 409 (S3: another request for the same object is under way; try again),
and the pause after the first time, each later one twice as long. Whatever else may pass obstore itself asks for again."""


class Store:
    """A folder (`Store("shards")`) or a bucket (`Store("s3://bucket/prefix")`).

    Object stores take their credentials from the environment, as obstore documents; nothing secret is kept here.
    Plain http is allowed where the URL, or the endpoint that the environment names, is plain http.
    Pickles to its URL and client alone, so that it may cross to a worker.
    """

    def __init__(self, url: str | Path, prefix: str = "", client: Client | None = None) -> None:
        self.url = str(url)  # as it was given: told only as `where` does
        self.prefix = prefix.strip("/")
        self.client = client or Client()
        self.is_local = "://" not in self.url or self.url.startswith("file://")
        if self.is_local:
            self._folder = Path(self.url.removeprefix("file://")).expanduser().absolute()
            self.url = str(self._folder)
        else:
            remember(self.url)
            self._made = _Made(self._make())
            _made.add(self._made)

    def _make(self) -> Any:
        options: Any = {
            "connect_timeout": timedelta(seconds=self.client.connect_s),
            "read_timeout": timedelta(seconds=self.client.read_s),
            "timeout": timedelta(seconds=self.client.whole_s),
        }
        if self._is_plain_http():
            options["allow_http"] = True
        retry: Any = None if self.client.retries is None else {"max_retries": self.client.retries}
        with trust.for_rustls():
            return obstore.store.from_url(self.url, client_options=options, retry_config=retry)

    def _is_plain_http(self) -> bool:
        where = [self.url] if self.url.startswith("http") else [os.environ.get(name, "") for name in _ENDPOINTS]
        return any(w.startswith("http://") for w in where)

    @property
    def _remote(self) -> Any:
        """The store of obstore, whose use is remembered for processes that are forked later."""
        global _began
        if _lost:
            raise ForkedError(
                f"{self.where('')}: this process was forked after its parent had used an object store, whose threads do not "
                "survive a fork: start it with the start method `spawn` or `forkserver`"
            )
        _began = True
        return self._made.store

    def __reduce__(self) -> tuple[type[Store], tuple[str, str, Client]]:
        return (Store, (self.url, self.prefix, self.client))

    def __repr__(self) -> str:
        return f"Store({self.where('')!r})"

    def child(self, prefix: str) -> Store:
        """The same store, below `prefix`."""
        return Store(self.url, self._key(prefix), self.client)

    def where(self, key: str) -> str:
        """How a person names the object: its path, or its URL without what may be secret."""
        url = self.url if self.is_local else unsigned(self.url)
        return f"{url.rstrip('/')}/{self._key(key)}".rstrip("/")

    def _key(self, key: str) -> str:
        return "/".join(filter(None, [self.prefix, key.strip("/")]))

    def _path(self, key: str) -> Path:
        return self._folder / self._key(key)

    def check_writable(self) -> None:
        """Tells early that nothing can be written here. Makes no folder.

        Raises:
            ValueError: it cannot be written, or (an object store) does not answer.
        """
        try:
            if self.is_local:
                folder = self._path("")
                while not folder.exists() and folder != folder.parent:
                    folder = folder.parent
                with tempfile.TemporaryFile(dir=folder):
                    pass
            else:
                self.head("writable")
        except OSError as err:
            told = err if isinstance(err, CurationError) else full.error(err, str(folder), "then run it again")
            raise ValueError(f"cannot be written: {told}") from err
        except StorageError as err:
            raise ValueError(f"cannot be written: {err}") from err

    def check_answers(self) -> None:
        """Tells at once that an object store cannot be reached, where its client would try again for what does not pass.

        Raises:
            ValueError: there is no such host, it takes no connection, or its certificate is not trusted.
        """
        if self.is_local:
            return
        log.info("%s: asking it", self.where(""))
        try:
            Store(self.url, self.prefix, replace(self.client, retries=0)).head("answers")
        except CurationError as err:  # of any other kind: the client that has patience will see
            if trust.refused(err):
                raise ValueError(trust.advice()) from err
            if found := _NO_CONNECTION.search(str(err.__cause__)):
                raise ValueError(f"cannot be reached: {found[1]}; check the address and the network") from err

    def _unkept(self, key: str, err: Exception) -> CurationError:
        """What a person is told of an error of the system's, or of obstore's."""
        where, text = self.where(key), str(err)
        if isinstance(err, OSError) and not isinstance(err, BaseError) and self.is_local:
            return full.error(err, where)
        cause = brief(err)
        if trust.refused(err):
            return StorageError(f"{where}: {trust.advice()} ({cause}), {_AGAIN}")
        if _FULL.search(self._without_names(key, text)):
            return StorageError(
                f"{where}: takes no more ({cause}): make room there, or have its quota raised, {_AGAIN}"
            )
        if isinstance(err, PermissionDeniedError | UnauthenticatedError):
            do = "give credentials in the environment that may list, get, put and delete there"
            return StorageError(f"{where}: is refused ({cause}): {do}, {_AGAIN}")
        if isinstance(err, _MISSING):
            return StorageError(f"{where}: there is no such bucket ({cause}): make it, or choose another, {_AGAIN}")
        if isinstance(err, _FINAL) or (400 <= (code := _status(cause)) < 500 and code not in (408, 425, 429)):
            return StorageError(f"{where}: is refused ({cause}): see to that, {_AGAIN}")
        return PassingError(f"{where}: {cause}; the store did not answer in time: run the same command again")

    def _without_names(self, key: str, text: str) -> str:
        """What a store says of an object, without what the object, its bucket and URLs are called, which is anything."""
        text = re.sub(r"[\w+.-]+://\S+", "", text)
        for name in (self._key(key), *unsigned(self.url).partition("://")[2].split("/")):
            text = text.replace(name, "") if name else text
        return text

    @_storing(*_NO_FILE)
    def get(self, key: str) -> bytes:
        """The object's bytes. Raises FileNotFoundError where there is none."""
        if self.is_local:
            return local.content(self._path(key))
        try:
            return bytes(obstore.get(self._remote, self._key(key)).bytes())
        except _MISSING as err:
            raise FileNotFoundError(self.where(key)) from err

    @_storing(*_NO_FILE)
    def get_range(self, key: str, start: int, length: int) -> bytes:
        """`length` bytes of the object from `start`. Raises FileNotFoundError, or EOFError where it is shorter."""
        if self.is_local:
            with os.fdopen(local.handle(self._path(key)), "rb") as file:
                data = os.pread(file.fileno(), length, start)
        else:
            try:
                data = bytes(obstore.get_range(self._remote, self._key(key), start=start, length=length))
            except _MISSING as err:
                raise FileNotFoundError(self.where(key)) from err
            except BaseError:
                stat = self.head(key)
                if stat is None or start + length <= stat.size:
                    raise
                data = b""  # a range that begins at or beyond the end
        if len(data) != length:
            raise EOFError(f"{self.where(key)}: {len(data)} bytes at {start}, expected {length}: the object is short")
        return data

    def get_ranges(self, key: str, spans: Sequence[tuple[int, int]]) -> list[memoryview]:
        """The bytes of each (start, length) of a remote object, in one go and without a copy.

        Raises:
            FileNotFoundError: there is no such object.
            EOFError: it is shorter than a span says.
            PassingError: it may work when it is tried again.
            ReadError: it will not.
        """
        starts, lengths = [s for s, _ in spans], [n for _, n in spans]
        where, cause = self.where(key), ""
        try:
            if len(spans) == 1:
                got = [obstore.get_range(self._remote, self._key(key), start=starts[0], length=lengths[0])]
            else:
                got = obstore.get_ranges(self._remote, self._key(key), starts=starts, lengths=lengths, coalesce=0)
        except _MISSING as err:
            raise FileNotFoundError(where) from err
        except _FINAL as err:
            raise ReadError(f"{where}: {brief(err)}") from err
        except BaseError as err:
            cause = brief(err)
        else:
            views = [memoryview(data).cast("B") for data in got]
            if [len(v) for v in views] == lengths:
                return views
            cause = f"Requested {sum(lengths)} bytes, got {sum(map(len, views))}"
        code = _status(cause)
        if code == 416 or re.search(r"(?i)\b(range|requested)\b", cause):
            self._check_end(key, max(s + n for s, n in spans), cause)
        else:
            self._check_passing(key, cause)
        raise self._passing(key, cause)

    def get_part(self, key: str, start: int, length: int, etag: str = "") -> tuple[bytes, Stat]:
        """Bytes of a remote object, fewer than `length` only where it ends before, and what it is: one request.

        Args:
            key: of the object.
            start: first byte.
            length: bytes, at least one.
            etag: the store's mark of the content that is asked for; any where empty.

        Raises:
            FileNotFoundError: there is no such object.
            EOFError: it has no byte `start`.
            ReplacedError: it has another content than asked for.
            PassingError: it may work when it is tried again.
            ReadError: it will not.
        """
        where = self.where(key)
        options: Any = {"range": (start, start + length)}
        if etag.startswith('"'):  # a weak mark matches nothing
            options["if_match"] = etag
        try:
            got = obstore.get(self._remote, self._key(key), options=options)
            data, meta, (first, _) = bytes(got.bytes()), got.meta, got.range
        except _MISSING as err:
            raise FileNotFoundError(where) from err
        except PreconditionError as err:
            raise ReplacedError(f"{where}: {brief(err)}") from err
        except _FINAL as err:
            raise ReadError(f"{where}: {brief(err)}") from err
        except BaseError as err:
            cause = brief(err)
            if _status(cause) == 416:
                raise EOFError(f"{where}: has no byte {start} ({cause})") from err
            self._check_passing(key, cause)
            raise self._passing(key, cause) from err
        stat = Stat(key, meta["size"], meta["e_tag"] or "")
        if etag and stat.etag != etag:
            raise ReplacedError(f"{where}: is {stat.etag}, expected {etag}")
        wanted = min(length, stat.size - start)
        if first != start or len(data) != wanted:
            raise PassingError(f"{where}: {len(data)} bytes at {first}, expected {wanted} at {start}")
        return data, stat

    def _check_passing(self, key: str, cause: str) -> None:
        """Passes where an error may pass. Raises ReadError where the store said that the request is wrong."""
        if cause.endswith(UNTRUSTED):
            raise TrustError(f"{self.where(key)}: {trust.advice()} ({cause})")
        code = _status(cause)
        if 400 <= code < 500 and code not in (408, 425, 429):
            raise ReadError(f"{self.where(key)}: {cause}")

    def _passing(self, key: str, cause: str) -> PassingError:
        # obstore does not hand on a server's Retry-After.
        return PassingError(f"{self.where(key)}: {cause}", 1.0 if _status(cause) == 429 else 0.0)

    def _check_end(self, key: str, end: int, cause: str) -> None:
        """Raises EOFError where the object ends before `end`; says nothing where that cannot be found out."""
        try:
            stat = self.head(key)
        except (CurationError, BaseError):
            return
        if stat is None:
            raise FileNotFoundError(self.where(key))
        if stat.size < end:
            raise EOFError(f"{self.where(key)}: {stat.size} bytes, expected at least {end}: it is short ({cause})")

    @_storing()
    def head(self, key: str) -> Stat | None:
        """Size and mark of the object; None where there is none."""
        if self.is_local:
            try:
                st = self._path(key).stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
            if not S_ISREG(st.st_mode):
                return None
            return Stat(key, st.st_size, f"{st.st_ino:x}-{st.st_mtime_ns:x}-{st.st_size:x}")
        try:
            meta = obstore.head(self._remote, self._key(key))
        except _MISSING:
            return None
        return Stat(key, meta["size"], meta["e_tag"] or "")

    def list(self, prefix: str = "") -> Iterator[Stat]:
        """Every published object below `prefix`, in order of key; what a killed writer left half done is not listed."""
        if self.is_local:
            base = self._path(prefix)
            root = self._folder / self.prefix
            found = [p for p in self._files(base) if p.is_file() and not p.name.endswith(_TEMP_SUFFIX)]
            for key in sorted(p.relative_to(root).as_posix() for p in found):
                stat = self.head(key)
                if stat is not None:
                    yield stat
            return
        cut = len(self.prefix) + 1 if self.prefix else 0
        for meta in sorted(self._objects(prefix), key=lambda m: m["path"]):
            yield Stat(meta["path"][cut:], meta["size"], meta["e_tag"] or "")

    def _files(self, base: Path) -> Iterator[Path]:
        """All files below a folder. One that cannot be looked into is not an empty one: nobody knows what is there."""

        def refuse(err: OSError) -> None:
            if not isinstance(err, _NO_FILE):
                raise self._unkept(base.relative_to(self._folder / self.prefix).as_posix(), err) from err

        for folder, _, names in os.walk(base, onerror=refuse):
            yield from (Path(folder) / name for name in names)

    @_storing()
    def _objects(self, prefix: str) -> Sequence[Any]:
        return [m for batch in obstore.list(self._remote, prefix=self._key(prefix)) for m in batch]

    @_storing()
    def publish(self, key: str, data: bytes) -> Receipt:
        """Makes `data` the object's content, in place of any earlier one; gives the receipt."""
        if self.is_local:
            with self._temporary(key, data) as temp:
                os.replace(temp, self._path(key))  # noqa: PTH105 - atomic by name, as the module promises
            self._sync_folder(key)
            stat = self.head(key)
            etag = stat.etag if stat else ""
        else:
            etag = self._put(key, data, "overwrite")
        return Receipt(key, len(data), hashlib.sha256(data).hexdigest(), etag)

    def publish_all(self, objects: Mapping[str, bytes]) -> Sequence[Receipt]:
        """Publishes each, some at a time: an object store answers many at once, and so does a disk. Receipts in order."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(self.publish, objects.keys(), objects.values()))

    def heads(self, keys: Sequence[str]) -> Sequence[Stat | None]:
        """`head` of each, in order; some at a time where each is a request."""
        if self.is_local:
            return list(map(self.head, keys))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(self.head, keys))

    @_storing(FileExistsError)
    def publish_new(self, key: str, data: bytes) -> Receipt:
        """Publishes `data` only where the object does not exist yet; of two at once, one wins.

        A reply may be lost though the object was made. What is there then is compared with `data`, so that nobody takes
        himself for another; who must never take another for himself, either, puts an id of his own into the bytes.

        Raises:
            FileExistsError: the object exists, with other bytes; it is left as it is.
        """
        if self.is_local:
            with self._temporary(key, data) as temp:
                try:
                    os.link(temp, self._path(key))  # link, unlike rename, refuses an existing name
                except FileExistsError:
                    # A file server whose reply was lost is asked again, and finds what it made itself.
                    if not self._path(key).samefile(temp):
                        raise
            self._sync_folder(key)
            stat = self.head(key)
            etag = stat.etag if stat else ""
        else:
            etag = self._put(key, data, "create")
        return Receipt(key, len(data), hashlib.sha256(data).hexdigest(), etag)

    @_storing(FileNotFoundError)
    def move(self, key: str, to: str) -> Stat:
        """Makes the object be called `to`, in place of any earlier one; gives what the store says of it there.

        On an object store this is a copy that the store makes itself (through this process where it is larger than stores
        copy at once), and a removal: `to` appears whole or not at all.

        Raises:
            FileNotFoundError: there is no such object.
        """
        if self.is_local:
            self._path(to).parent.mkdir(parents=True, exist_ok=True)
            os.replace(self._path(key), self._path(to))  # noqa: PTH105 - atomic by name, as the module promises
            self._sync_folder(to)
            self._sync_folder(key)
        else:
            before = self.head(key)
            if before is None:
                raise FileNotFoundError(self.where(key))
            if before.size > COPY_BYTES:
                self.publish(to, self.get(key))
            else:
                self._asked_again(to, lambda: obstore.copy(self._remote, self._key(key), self._key(to)))
        stat = self.head(to)
        if stat is None:
            raise FileNotFoundError(self.where(to))
        if not self.is_local:
            self.delete(key)
        return stat

    @_storing()
    def delete(self, key: str) -> None:
        """Removes the object, where there is one."""
        if self.is_local:
            self._path(key).unlink(missing_ok=True)
        else:
            with contextlib.suppress(*_MISSING):
                self._asked_again(key, lambda: obstore.delete(self._remote, self._key(key)))

    def _put(self, key: str, data: bytes, mode: Literal["create", "overwrite"]) -> str:
        """Makes `data` the object's content; gives the store's mark of it.

        obstore asks again where a reply was lost, and may then be told of its own writing: that the object exists (412), or
        that there is no such upload any more (404, of an object in parts). So what is there decides, and not what was said.
        """

        def put() -> str:
            try:
                return obstore.put(self._remote, self._key(key), data, mode=mode)["e_tag"] or ""
            except _FINAL:
                raise
            except (BaseError, *_MISSING) as err:
                is_there, mark = self._is_stored(key, data)
                if mark is not None:
                    return mark
                if is_there and mode == "create":
                    raise FileExistsError(self.where(key)) from err
                raise

        return self._asked_again(key, put)

    def _is_stored(self, key: str, data: bytes) -> tuple[bool, str | None]:
        """Whether there is an object, and its mark where its bytes are these."""
        try:
            got = obstore.get(self._remote, self._key(key))
        except _MISSING:
            return False, None
        if got.meta["size"] != len(data):
            return True, None
        at, same = 0, True
        for piece in got.stream():
            same = same and data[at : at + len(piece)] == bytes(piece)
            at += len(piece)
        return True, (got.meta["e_tag"] or "") if same and at == len(data) else None

    def _asked_again(self, key: str, write: Callable[[], T]) -> T:
        """What a write returns, asked for again where the store is busy with another one.

        Raises:
            PassingError: it still is, after `BUSY_TRIES`.
        """
        for attempt in range(BUSY_TRIES):
            try:
                return write()
            except AlreadyExistsError as err:  # so obstore calls each 409
                if attempt == BUSY_TRIES - 1:
                    raise PassingError(
                        f"{self.where(key)}: could not be written in {BUSY_TRIES} tries: {brief(err)}; rerun the command to "
                        "try again"
                    ) from err
            time.sleep(BUSY_PAUSE_S * 2**attempt)
        raise AssertionError("unreachable")

    @contextlib.contextmanager
    def _temporary(self, key: str, data: bytes) -> Iterator[str]:
        """A file of `data` on disk, in the folder of `key`; removed where it was not renamed."""
        folder = self._path(key).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as err:  # not what `publish_new` means by it
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from err
        handle, temp = tempfile.mkstemp(dir=folder, prefix=".", suffix=_TEMP_SUFFIX)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temp, 0o644)  # noqa: PTH101 - mkstemp makes files that only their owner reads
            yield temp
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temp)  # noqa: PTH108

    def _sync_folder(self, key: str) -> None:
        handle = os.open(self._path(key).parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _status(cause: str) -> int:
    """The HTTP status that an error of obstore tells; 0 where it tells none."""
    found = re.search(r"status code: (\d+)", cause)
    return int(found[1]) if found else 0


def brief(err: Exception) -> str:
    """The first line of an error of obstore, printable, without an answer's XML, and with why no connection was made."""
    text = next(iter(str(err).splitlines()), "").partition(": <?xml")[0]
    why = "" if not trust.refused(err) else f": {UNTRUSTED}"
    found = _NO_CONNECTION.search(str(err))
    if found:
        why = f": {found[1]}"
    return f"{type(err).__name__}: {shortened(printable(text.strip()), 400)}{why}"
