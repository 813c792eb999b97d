"""The only code that makes bytes visible: a folder or an object store, addressed by `/`-separated keys.

Whatever is published appears whole or not at all: locally through a temporary file, fsync and rename (`folder`); on an
object store through one PUT (`bucket`).
"""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, TypeVar

from obstore.exceptions import BaseError

from curation.errors import CurationError
from curation.errors.printable import remember
from curation.store import full, refusals, trust
from curation.store.bucket import Bucket, Client
from curation.store.folder import NO_FILE, Folder
from curation.store.stat import Receipt, Stat

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

AT_ONCE = 8
"""Objects of one slab written or looked at together."""


def _storing(*expected: type[Exception]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A method of a store, of a key: what it raises but those expected is told as the fault of where things are kept.

    Raises:
        StorageError: by the method; another try changes nothing.
        PassingError: by the method; an object store did not answer in as many tries as obstore makes.
    """

    def translating(method: Callable[P, T]) -> Callable[P, T]:
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

    return translating


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
            folder = Path(self.url.removeprefix("file://")).expanduser().absolute()
            self.url = str(folder)
            self._backend: Folder | Bucket = Folder(folder / self.prefix)
        else:
            remember(self.url)
            self._backend = Bucket(self.url, self.prefix, self.client)

    def __reduce__(self) -> tuple[type[Store], tuple[str, str, Client]]:
        return (Store, (self.url, self.prefix, self.client))

    def __repr__(self) -> str:
        return f"Store({self.where('')!r})"

    def child(self, prefix: str) -> Store:
        """The same store, below `prefix`."""
        return Store(self.url, "/".join(filter(None, [self.prefix, prefix.strip("/")])), self.client)

    def where(self, key: str) -> str:
        """How a person names the object: its path, or its URL without what may be secret."""
        return self._backend.where(key)

    def check_writable(self) -> None:
        """Tells early that nothing can be written here. Makes no folder.

        Raises:
            ValueError: it cannot be written, or (an object store) does not answer.
        """
        try:
            if isinstance(self._backend, Folder):
                self._backend.check_writable()
            else:
                self.head("writable")
        except CurationError as err:
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
            if found := refusals.NO_CONNECTION.search(str(err.__cause__)):
                raise ValueError(f"cannot be reached: {found[1]}; check the address and the network") from err

    def _unkept(self, key: str, err: Exception) -> CurationError:
        """What a person is told of an error of the system's, or of obstore's."""
        if isinstance(self._backend, Bucket):
            return refusals.translated(err, self.where(key), self._backend.names(key))
        if isinstance(err, OSError):
            return full.error(err, self.where(key))
        raise err

    @_storing(*NO_FILE)
    def get(self, key: str) -> bytes:
        """The object's bytes. Raises FileNotFoundError where there is none."""
        return self._backend.get(key)

    @_storing(*NO_FILE)
    def get_range(self, key: str, start: int, length: int) -> bytes:
        """`length` bytes of the object from `start`. Raises FileNotFoundError, or EOFError where it is shorter."""
        data = self._backend.get_range(key, start, length)
        if len(data) != length:
            raise EOFError(f"{self.where(key)}: {len(data)} bytes at {start}, expected {length}: the object is short")
        return data

    @property
    def bucket(self) -> Bucket:
        """The store where it is an object store: for reads that only those have."""
        assert isinstance(self._backend, Bucket), f"{self.where('')} is a folder"
        return self._backend

    @_storing()
    def head(self, key: str) -> Stat | None:
        """Size and mark of the object; None where there is none."""
        return self._backend.head(key)

    def list(self, prefix: str = "") -> Iterator[Stat]:
        """Every published object below `prefix`, in order of key; what a killed writer left half done is not listed."""
        yield from self._listed(prefix)

    @_storing()
    def list_beginning(self, prefix: str, digits: str) -> Sequence[Stat]:
        """Every object below `prefix` whose key goes on with these digits there; a store that can lists them alone."""
        return self._backend.listed_beginning(prefix, digits)

    @_storing()
    def _listed(self, prefix: str) -> Sequence[Stat]:
        return self._backend.listed(prefix)

    @_storing()
    def half_done(self) -> Sequence[tuple[str, int]]:
        """Key and bytes of what a killed writer left half done, or one is writing now; object stores show nothing such."""
        return self._backend.half_done() if isinstance(self._backend, Folder) else []

    @_storing()
    def publish(self, key: str, data: bytes) -> Receipt:
        """Makes `data` the object's content, in place of any earlier one; gives the receipt."""
        return Receipt(key, len(data), hashlib.sha256(data).hexdigest(), self._backend.put(key, data))

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
        return Receipt(key, len(data), hashlib.sha256(data).hexdigest(), self._backend.put_new(key, data))

    @_storing(FileNotFoundError)
    def move(self, key: str, to: str) -> Stat:
        """Makes the object be called `to`, in place of any earlier one; gives what the store says of it there.

        On an object store this is a copy that the store makes itself (through this process where it is larger than stores
        copy at once), and a removal: `to` appears whole or not at all.

        Raises:
            FileNotFoundError: there is no such object.
        """
        stat = self._backend.move(key, to)
        if stat is None:
            raise FileNotFoundError(self.where(to))
        return stat

    @_storing()
    def delete(self, key: str) -> None:
        """Removes the object, where there is one."""
        self._backend.delete(key)

    @_storing()
    def forget_empty(self, prefix: str) -> None:
        """Removes folders below `prefix` in which there is no object any more; buckets have none."""
        if isinstance(self._backend, Folder):
            self._backend.forget_empty(prefix)
