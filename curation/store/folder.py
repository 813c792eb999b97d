"""Objects as files below a folder: each appears whole or not at all, by a temporary file, fsync and rename."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from stat import S_ISREG

from curation.store import full, local
from curation.store.stat import Stat

NO_FILE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""What reading says of an object that is not there."""

_TEMP_SUFFIX = ".part"


class Folder:
    """The files of a store. Errors are the system's."""

    def __init__(self, path: Path) -> None:
        self._folder = path

    def where(self, key: str) -> str:
        """The object's path."""
        return str(self._path(key))

    def _path(self, key: str) -> Path:
        return self._folder / key.strip("/")

    def check_writable(self) -> None:
        """Makes a file that nobody sees, in the folder or in the nearest above it that there is; makes no folder.

        Raises:
            StorageError: nothing can be written there.
        """
        folder = self._folder
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as err:
            raise full.error(err, str(folder), "then run it again") from err

    def get(self, key: str) -> bytes:
        """The file's bytes. Raises FileNotFoundError where there is none."""
        return local.content(self._path(key))

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Up to `length` bytes from `start`."""
        with os.fdopen(local.handle(self._path(key)), "rb") as file:
            return os.pread(file.fileno(), length, start)

    def head(self, key: str) -> Stat | None:
        """Size and mark of the file; None where there is none."""
        try:
            st = self._path(key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not S_ISREG(st.st_mode):
            return None
        return Stat(key, st.st_size, f"{st.st_ino:x}-{st.st_mtime_ns:x}-{st.st_size:x}")

    def listed(self, prefix: str) -> list[Stat]:
        """Every published file below `prefix`, in order of key."""
        return self._stats(_files(self._path(prefix)))

    def listed_beginning(self, prefix: str, digits: str) -> list[Stat]:
        """Every published file below `prefix` whose key goes on with these digits there."""
        try:
            there = [p for p in self._path(prefix).iterdir() if p.name.startswith(digits)]
        except NO_FILE:
            return []
        return self._stats(file for p in there for file in (_files(p) if p.is_dir() else [p]))

    def _stats(self, files: Iterable[Path]) -> list[Stat]:
        """What is to be said of those that are published, in order of key."""
        found = [p for p in files if p.is_file() and not p.name.endswith(_TEMP_SUFFIX)]
        stats = map(self.head, sorted(p.relative_to(self._folder).as_posix() for p in found))
        return [stat for stat in stats if stat is not None]

    def half_done(self) -> list[tuple[str, int]]:
        """Key and bytes of each file that was being written when somebody was killed, or that somebody is writing now."""
        found = []
        for path in _files(self._folder):
            if path.name.startswith(".") and path.name.endswith(_TEMP_SUFFIX):
                with contextlib.suppress(FileNotFoundError):  # it was written meanwhile
                    found.append((path.relative_to(self._folder).as_posix(), path.lstat().st_size))
        return sorted(found)

    def put(self, key: str, data: bytes) -> str:
        """Makes `data` the file's content, in place of any earlier one; its mark."""
        with self._temporary(key, data) as temp:
            os.replace(temp, self._path(key))  # noqa: PTH105 - atomic by name, as the module promises
        return self._published(key)

    def put_new(self, key: str, data: bytes) -> str:
        """The same, only where there is no file yet. Raises FileExistsError."""
        with self._temporary(key, data) as temp:
            try:
                os.link(temp, self._path(key))  # link, unlike rename, refuses an existing name
            except FileExistsError:
                # A file server whose reply was lost is asked again, and finds what it made itself.
                if not self._path(key).samefile(temp):
                    raise
        return self._published(key)

    def _published(self, key: str) -> str:
        self._sync_folder(key)
        stat = self.head(key)
        return stat.etag if stat else ""

    def move(self, key: str, to: str) -> Stat | None:
        """Makes the file be called `to`, in place of any earlier one; what it is there."""
        self._path(to).parent.mkdir(parents=True, exist_ok=True)
        os.replace(self._path(key), self._path(to))  # noqa: PTH105 - atomic by name, as the module promises
        self._sync_folder(to)
        self._sync_folder(key)
        return self.head(to)

    def delete(self, key: str) -> None:
        """Removes the file, where there is one."""
        self._path(key).unlink(missing_ok=True)

    def forget_empty(self, prefix: str) -> None:
        """Removes folders below `prefix` in which no file is any more, the deepest first; `prefix` itself stays."""
        base = self._path(prefix)
        for folder, _, _ in os.walk(base, topdown=False):
            if Path(folder) != base:
                with contextlib.suppress(OSError):  # something is in it, or somebody was faster
                    Path(folder).rmdir()

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


def _files(base: Path) -> Iterator[Path]:
    """All files below a folder. One that cannot be looked into is not an empty one: nobody knows what is there."""

    def refuse(err: OSError) -> None:
        if not isinstance(err, NO_FILE):
            raise err

    for folder, _, names in os.walk(base, onerror=refuse):
        yield from (Path(folder) / name for name in names)
