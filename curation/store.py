"""The only code that makes bytes visible: a folder or an object store, addressed by `/`-separated keys.

Whatever is published appears whole or not at all: locally through a temporary file, fsync and rename; on an object store
through one PUT.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError

_TEMP_SUFFIX = ".part"

_MISSING = (NotFoundError, FileNotFoundError)
"""What obstore raises where there is no object: it has both."""


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


class Store:
    """A folder (`Store("shards")`) or a bucket (`Store("s3://bucket/prefix")`).

    Object stores take their credentials from the environment, as obstore documents; nothing secret is kept here.
    Pickles to its URL alone, so that it may cross to a worker.
    """

    def __init__(self, url: str | Path, prefix: str = "") -> None:
        self.url = str(url)
        self.prefix = prefix.strip("/")
        self.is_local = "://" not in self.url or self.url.startswith("file://")
        if self.is_local:
            self._folder = Path(self.url.removeprefix("file://")).expanduser().absolute()
            self.url = str(self._folder)
        else:
            self._remote: Any = obstore.store.from_url(self.url)

    def __reduce__(self) -> tuple[type[Store], tuple[str, str]]:
        return (Store, (self.url, self.prefix))

    def __repr__(self) -> str:
        return f"Store({self.where('')!r})"

    def child(self, prefix: str) -> Store:
        """The same store, below `prefix`."""
        return Store(self.url, self._key(prefix))

    def where(self, key: str) -> str:
        """How a person names the object: its path or URL."""
        return f"{self.url.rstrip('/')}/{self._key(key)}".rstrip("/")

    def _key(self, key: str) -> str:
        return "/".join(filter(None, [self.prefix, key.strip("/")]))

    def _path(self, key: str) -> Path:
        return self._folder / self._key(key)

    def check_writable(self) -> None:
        """Tells early that nothing can be written here. Makes the folder where there is none.

        Raises:
            ValueError: it cannot be written, or (an object store) does not answer.
        """
        try:
            if self.is_local:
                folder = self._path("")
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
            else:
                self.head("writable")
        except (OSError, BaseError) as err:
            reason = str(err).split("Debug source")[0].strip()
            raise ValueError(f"cannot be written: {type(err).__name__}: {reason}") from err

    def get(self, key: str) -> bytes:
        """The object's bytes. Raises FileNotFoundError where there is none."""
        if self.is_local:
            return self._path(key).read_bytes()
        try:
            return bytes(obstore.get(self._remote, self._key(key)).bytes())
        except _MISSING as err:
            raise FileNotFoundError(self.where(key)) from err

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """`length` bytes of the object from `start`. Raises FileNotFoundError, or EOFError where it is shorter."""
        if self.is_local:
            with self._path(key).open("rb") as file:
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

    def head(self, key: str) -> Stat | None:
        """Size and mark of the object; None where there is none."""
        if self.is_local:
            try:
                st = self._path(key).stat()
            except (FileNotFoundError, NotADirectoryError):
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
            found = [p for p in base.rglob("*") if p.is_file() and not p.name.endswith(_TEMP_SUFFIX)]
            for key in sorted(p.relative_to(root).as_posix() for p in found):
                stat = self.head(key)
                if stat is not None:
                    yield stat
            return
        cut = len(self.prefix) + 1 if self.prefix else 0
        objects = [m for batch in obstore.list(self._remote, prefix=self._key(prefix)) for m in batch]
        for meta in sorted(objects, key=lambda m: m["path"]):
            yield Stat(meta["path"][cut:], meta["size"], meta["e_tag"] or "")

    def publish(self, key: str, data: bytes) -> Receipt:
        """Makes `data` the object's content, in place of any earlier one; gives the receipt."""
        if self.is_local:
            with self._temporary(key, data) as temp:
                os.replace(temp, self._path(key))  # noqa: PTH105 - atomic by name, as the module promises
            self._sync_folder(key)
            stat = self.head(key)
            etag = stat.etag if stat else ""
        else:
            etag = obstore.put(self._remote, self._key(key), data)["e_tag"] or ""
        return Receipt(key, len(data), hashlib.sha256(data).hexdigest(), etag)

    def publish_new(self, key: str, data: bytes) -> Receipt:
        """Publishes `data` only where the object does not exist yet; of two at once, one wins.

        Raises:
            FileExistsError: the object exists; it is left as it is.
        """
        if self.is_local:
            with self._temporary(key, data) as temp:
                os.link(temp, self._path(key))  # link, unlike rename, refuses an existing name
            self._sync_folder(key)
            stat = self.head(key)
            etag = stat.etag if stat else ""
        else:
            try:
                etag = obstore.put(self._remote, self._key(key), data, mode="create")["e_tag"] or ""
            except AlreadyExistsError as err:
                raise FileExistsError(self.where(key)) from err
        return Receipt(key, len(data), hashlib.sha256(data).hexdigest(), etag)

    def delete(self, key: str) -> None:
        """Removes the object, where there is one."""
        if self.is_local:
            self._path(key).unlink(missing_ok=True)
        else:
            with contextlib.suppress(*_MISSING):
                obstore.delete(self._remote, self._key(key))

    @contextlib.contextmanager
    def _temporary(self, key: str, data: bytes) -> Iterator[str]:
        """A file of `data` on disk, in the folder of `key`; removed where it was not renamed."""
        folder = self._path(key).parent
        folder.mkdir(parents=True, exist_ok=True)
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
