"""Objects of an object store, over obstore: each appears whole or not at all, by one PUT."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from curation.errors import CurationError, PassingError, ReadError, TrustError
from curation.errors.printable import unsigned
from curation.store import forks, trust
from curation.store.refusals import FINAL, MISSING, UNTRUSTED, brief, status
from curation.store.stat import Stat

T = TypeVar("T")

COPY_BYTES = 4 * 2**30
"""Larger objects are not copied by the store itself: S3 does so up to 5 GiB."""

_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
"""Environment variables by which obstore finds stores of one's own."""

_UNSIGNED = "skip_signature"
"""How what is set ends where a store is to be read without keys."""

BUSY_TRIES, BUSY_PAUSE_S = 5, 0.5
"""How often a write is asked for of a store that says 409 (S3: another request for the same object is under way; try again),
and the pause after the first time, each later one twice as long. Whatever else may pass obstore itself asks for again."""


_BEFORE_ANY = ("AWS_ENDPOINT_URL_S3",)
"""What obstore takes from the environment before what it is told."""

_making = threading.Lock()


@contextlib.contextmanager
def _without(names: Sequence[str]) -> Iterator[None]:
    """While it lasts the environment lacks some variables; no store is made meanwhile by another thread."""
    with _making:
        before = {n: v for n in names if (v := os.environ.pop(n, None)) is not None}
        try:
            yield
        finally:
            os.environ.update(before)


def _after_fork() -> None:
    global _making
    _making = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class ReplacedError(ReadError):
    """The object is another than the one that was asked for."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a store is reached, whatever the environment says of others."""

    config: Mapping[str, Any]
    """Of obstore, by its names."""
    credentials: Callable[[], Any] | None = None
    """Gives what lets one in whenever a request is signed, as obstore's credential providers do; else the config says it."""


@dataclass(frozen=True, slots=True)
class Client:
    """How patient the client of an object store is."""

    connect_s: float = 5.0
    """Seconds to wait for a connection."""
    read_s: float = 30.0
    """Seconds to wait for the next bytes."""
    retries: int | None = None
    """Of obstore, with its own backoff; its default (10) where None."""
    settings: Settings | None = None
    """Of a store that is reached otherwise than the environment says; what that says where None."""

    @property
    def whole_s(self) -> float:
        """Seconds that one request may take in all: obstore's own 30 would cut off what is merely large."""
        return max(300.0, 10 * self.read_s)


class Bucket:
    """The objects of a store, below a prefix. Errors are obstore's but where it is said."""

    def __init__(self, url: str, prefix: str, client: Client) -> None:
        self._url, self._prefix, self._client = url, prefix, client
        self._made = forks.Made(self._make())

    def where(self, key: str) -> str:
        """The object's URL, without what may be secret."""
        return f"{unsigned(self._url).rstrip('/')}/{self._key(key)}".rstrip("/")

    def _key(self, key: str) -> str:
        return "/".join(filter(None, [self._prefix, key.strip("/")]))

    def names(self, key: str) -> list[str]:
        """What the object, its bucket and its folders are called."""
        return [self._key(key), *unsigned(self._url).partition("://")[2].split("/")]

    def _make(self) -> Any:
        options: Any = {
            "connect_timeout": timedelta(seconds=self._client.connect_s),
            "read_timeout": timedelta(seconds=self._client.read_s),
            "timeout": timedelta(seconds=self._client.whole_s),
        }
        if self._is_plain_http():
            options["allow_http"] = True
        retry: Any = None if self._client.retries is None else {"max_retries": self._client.retries}
        how: dict[str, Any] = {}
        if (its := self._client.settings) is not None:
            how = {"config": dict(its.config)} | ({"credential_provider": its.credentials} if its.credentials else {})
        with trust.for_rustls(), _without(_BEFORE_ANY if how else ()):
            return obstore.store.from_url(self._url, client_options=options, retry_config=retry, **how)

    def _is_plain_http(self) -> bool:
        if self._client.settings is not None:
            return any(str(v).startswith("http://") for v in self._client.settings.config.values())
        where = [self._url] if self._url.startswith("http") else [os.environ.get(name, "") for name in _ENDPOINTS]
        return any(w.startswith("http://") for w in where)

    @property
    def _remote(self) -> Any:
        """The store of obstore, whose use is remembered for processes that are forked later."""
        if forks.lost_to_fork():
            raise forks.ForkedError(
                f"{self.where('')}: this process was forked after its parent had used an object store, whose threads do not "
                "survive a fork: start it with the start method `spawn` or `forkserver`"
            )
        forks.used()
        return self._made.store

    def get(self, key: str) -> bytes:
        """The object's bytes. Raises FileNotFoundError where there is none."""
        try:
            return bytes(obstore.get(self._remote, self._key(key)).bytes())
        except MISSING as err:
            raise FileNotFoundError(self.where(key)) from err

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Up to `length` bytes from `start`. Raises FileNotFoundError."""
        try:
            return bytes(obstore.get_range(self._remote, self._key(key), start=start, length=length))
        except MISSING as err:
            raise FileNotFoundError(self.where(key)) from err
        except BaseError:
            stat = self.head(key)
            if stat is None or start + length <= stat.size:
                raise
            return b""  # a range that begins at or beyond the end

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
        except MISSING as err:
            raise FileNotFoundError(where) from err
        except FINAL as err:
            raise ReadError(f"{where}: {brief(err)}") from err
        except BaseError as err:
            cause = brief(err)
        else:
            views = [memoryview(data).cast("B") for data in got]
            if [len(v) for v in views] == lengths:
                return views
            cause = f"Requested {sum(lengths)} bytes, got {sum(map(len, views))}"
        code = status(cause)
        if code == 416 or re.search(r"(?i)\b(range|requested)\b", cause):
            self._check_end(key, max(s + n for s, n in spans), cause)
        else:
            self._check_passing(key, cause)
        raise self._passing(key, cause)

    def signed(self, key: str, seconds: float) -> str | None:
        """A URL by which anybody may read the object for so long; secret.

        None where there is none: of a store that is read without keys, or whose keys sign nothing.
        """
        store = self._remote
        kinds = obstore.store.S3Store | obstore.store.GCSStore | obstore.store.AzureStore
        if not isinstance(store, kinds) or any(n.lower().endswith(_UNSIGNED) for n in (*store.config, *os.environ)):
            return None
        try:
            return str(obstore.sign(store, "GET", self._key(key), expires_in=timedelta(seconds=seconds)))
        except BaseError:  # whoever reads it by the store is told why
            return None

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
        except MISSING as err:
            raise FileNotFoundError(where) from err
        except PreconditionError as err:
            raise ReplacedError(f"{where}: {brief(err)}") from err
        except FINAL as err:
            raise ReadError(f"{where}: {brief(err)}") from err
        except BaseError as err:
            cause = brief(err)
            if status(cause) == 416:
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
        code = status(cause)
        if 400 <= code < 500 and code not in (408, 425, 429):
            raise ReadError(f"{self.where(key)}: {cause}")

    def _passing(self, key: str, cause: str) -> PassingError:
        # obstore does not hand on a server's Retry-After.
        return PassingError(f"{self.where(key)}: {cause}", 1.0 if status(cause) == 429 else 0.0)

    def _check_end(self, key: str, end: int, cause: str) -> None:
        """Raises EOFError where the object ends before `end`; says nothing where that cannot be found out."""
        try:
            stat = self.head(key)
        except (CurationError, OSError, BaseError):
            return
        if stat is None:
            raise FileNotFoundError(self.where(key))
        if stat.size < end:
            raise EOFError(f"{self.where(key)}: {stat.size} bytes, expected at least {end}: it is short ({cause})")

    def head(self, key: str) -> Stat | None:
        """Size and mark of the object; None where there is none."""
        try:
            meta = obstore.head(self._remote, self._key(key))
        except MISSING:
            return None
        return Stat(key, meta["size"], meta["e_tag"] or "")

    def listed(self, prefix: str) -> list[Stat]:
        """Every object below `prefix`, in order of key."""
        return self._stats(m for batch in obstore.list(self._remote, prefix=self._key(prefix)) for m in batch)

    def listed_beginning(self, prefix: str, digits: str) -> list[Stat]:
        """Every object below `prefix` whose key goes on with these digits there, as far as the store lists in order of key.

        It is asked from there on, and no further than there.
        """
        folder = self._key(prefix)
        begin = f"{folder}/{digits}"
        # Exclusive: of what comes before, the last; `:` comes after all digits, and `/` before.
        before = folder if digits == "0" else f"{begin[:-1]}{chr(ord(begin[-1]) - 1)}:"
        found = (m for batch in obstore.list(self._remote, prefix=folder, offset=before) for m in batch)
        return self._stats(itertools.takewhile(lambda m: m["path"].startswith(begin), found))

    def _stats(self, found: Iterable[Mapping[str, Any]]) -> list[Stat]:
        """What is to be said of objects, in order of key."""
        cut = len(self._prefix) + 1 if self._prefix else 0
        return [Stat(m["path"][cut:], m["size"], m["e_tag"] or "") for m in sorted(found, key=lambda m: m["path"])]

    def put(self, key: str, data: bytes) -> str:
        """Makes `data` the object's content, in place of any earlier one; its mark."""
        return self._put(key, data, "overwrite")

    def put_new(self, key: str, data: bytes) -> str:
        """The same, only where there is no object yet. Raises FileExistsError."""
        return self._put(key, data, "create")

    def move(self, key: str, to: str) -> Stat | None:
        """Makes the object be called `to`, in place of any earlier one; what it is there, and None where it is not."""
        before = self.head(key)
        if before is None:
            raise FileNotFoundError(self.where(key))
        if before.size > COPY_BYTES:
            self.put(to, self.get(key))
        else:
            self._asked_again(to, lambda: obstore.copy(self._remote, self._key(key), self._key(to)))
        stat = self.head(to)
        if stat is not None:
            self.delete(key)
        return stat

    def delete(self, key: str) -> None:
        """Removes the object, where there is one."""
        with contextlib.suppress(*MISSING):
            self._asked_again(key, lambda: obstore.delete(self._remote, self._key(key)))

    def _put(self, key: str, data: bytes, mode: Literal["create", "overwrite"]) -> str:
        """Makes `data` the object's content; gives the store's mark of it.

        obstore asks again where a reply was lost, and may then be told of its own writing: that the object exists (412), or
        that there is no such upload any more (404, of an object in parts). So what is there decides, and not what was said.
        """

        def put() -> str:
            try:
                return obstore.put(self._remote, self._key(key), data, mode=mode)["e_tag"] or ""
            except FINAL:
                raise
            except (BaseError, *MISSING) as err:
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
        except MISSING:
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
