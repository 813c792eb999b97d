"""Shards kept on local disk, each downloaded once, whole.

Whoever reads one checks each member of it by the hash that the index has, as of any other file. That of the whole
would find nothing more of what is delivered, and takes its time of each first epoch.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from curation.errors import ConfigError
from curation.store import full

_PIECE = 8 << 20
"""Bytes downloaded at a time."""

_WHOLE, _PART, _LOCK = ".tar", ".part", ".lock"

_THEN = "or give another cache_dir, or a smaller cache_gb, and go on from the last checkpoint"


@dataclass(frozen=True, slots=True)
class DiskCache:
    """A folder of whole shards under their sha256, of which those used longest ago go first.

    For several processes of one machine at once: a lock file per shard lets one download while others wait. Datasets may
    share a folder; the limit is then that of whoever adds to it. A shard that is evicted while it is being read stays
    readable, and on the disk, until its readers let go of it.
    """

    folder: Path
    limit_bytes: int
    """Of all that is kept or being downloaded."""

    def open(self, name: str, size: int, sha256: str, read: Callable[[int, int], memoryview]) -> int:
        """A file descriptor of the shard, downloaded where it is not here yet; who gets it closes it.

        Args:
            name: for messages.
            size: bytes it has.
            sha256: of its bytes, which it is kept under; not compared.
            read: gives so many bytes from a start.

        Raises:
            ConfigError: it is larger than the limit.
            StorageError: the folder takes no more, whatever the limit says.
        """
        if size > self.limit_bytes:
            raise ConfigError(
                f"{name}: {size} bytes, and the cache {self.folder} may keep {self.limit_bytes}: "
                f"give it at least {size} bytes, better enough for the whole split, or read without a cache"
            )
        with full.needed(self.folder, _THEN):
            self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(sha256)
        with self._locked(sha256):
            with contextlib.suppress(FileNotFoundError):
                handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                if os.fstat(handle).st_size == size:
                    os.utime(handle)  # its turn to go is counted from now
                    return handle
                os.close(handle)
            with full.needed(self.folder, _THEN):
                self._reserve(path.with_suffix(_PART), size)
            try:
                _download(path.with_suffix(_PART), size, read)
                handle = os.open(path.with_suffix(_PART), os.O_RDONLY | os.O_CLOEXEC)
                with self._locked("all"):  # who is counting meanwhile would find neither name
                    path.with_suffix(_PART).replace(path)
            except BaseException:
                path.with_suffix(_PART).unlink(missing_ok=True)
                raise
            return handle

    def forget(self, sha256: str) -> None:
        """Removes a shard, so that its next use downloads it."""
        self._path(sha256).unlink(missing_ok=True)

    def _path(self, sha256: str) -> Path:
        return self.folder / f"{sha256}{_WHOLE}"

    @contextlib.contextmanager
    def _locked(self, name: str, *, wait: bool = True) -> Iterator[bool]:
        """Holds a lock against every other process and thread; gives whether it could be had."""
        with full.needed(self.folder, _THEN):
            handle = os.open(self.folder / f"{name}{_LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            try:
                yield True
            finally:
                fcntl.flock(handle, fcntl.LOCK_UN)  # closing is not enough where a fork has the descriptor too
        finally:
            os.close(handle)

    def _reserve(self, part: Path, size: int) -> None:
        """Makes `part` of so many bytes once there is room, evicting what was used longest ago."""
        while True:
            with self._locked("all"):
                room = self.limit_bytes - size
                found, taken = [], 0
                for path in self.folder.iterdir():
                    if path.suffix == _PART and path != part and self._is_abandoned(path):
                        path.unlink(missing_ok=True)
                        continue
                    with contextlib.suppress(FileNotFoundError):
                        stat = path.stat()
                        taken += stat.st_size if path != part else 0
                        if path.suffix == _WHOLE:
                            found.append((stat.st_mtime_ns, stat.st_size, path))
                for _, its, path in sorted(found):
                    if taken <= room:
                        break
                    path.unlink(missing_ok=True)
                    taken -= its
                if taken <= room:
                    with part.open("wb") as file:
                        file.truncate(size)
                    return
            time.sleep(0.05)  # the rest is being downloaded by others, and may be evicted when it is there

    def _is_abandoned(self, part: Path) -> bool:
        """Whether whoever downloaded it was killed."""
        with self._locked(part.stem, wait=False) as held:
            return held


def _download(part: Path, size: int, read: Callable[[int, int], memoryview]) -> None:
    """Fills the file."""
    with part.open("r+b", buffering=0) as file:
        for start in range(0, size, _PIECE):
            piece = read(start, min(_PIECE, size - start))
            with full.needed(part.parent, _THEN):
                _write_all(file, piece)


def _write_all(file: io.FileIO, data: memoryview) -> None:
    """Writes all of it: the system may take less at once, the last of it where the disk is just full."""
    while data:
        data = data[file.write(data) :]
