"""Why nothing more can be kept where results are kept, and what a person can do about it.

A disk that is full, read-only or not ours ends a run at once: another try changes nothing, and the next slab would be read
for nothing. What is recorded by then stays, and the same command goes on from there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.errors import CurationError, StorageError

AGAIN = "then run the same command again, which goes on from what is recorded"
"""What to do where a command was writing."""

_NOT_OURS = "let this user (uid {uid}) read and write there, or choose another folder"

_REMEDIES = {
    errno.ENOSPC: "make room there (`df` says how much there is, `df -i` how many files)",
    errno.EDQUOT: "remove something of yours, or have your quota raised",
    errno.EROFS: "mount it for writing, or choose another folder",
    errno.EACCES: _NOT_OURS,
    errno.EPERM: _NOT_OURS,
    errno.EFBIG: "allow larger files (`ulimit -f`, or another file system)",
    errno.EIO: "the disk, or the way to it, fails (`dmesg` has more): mend that",
    errno.ESTALE: "mount it again",
    errno.ENOTCONN: "mount it again",
    errno.ENODEV: "mount it again",
    errno.EMFILE: "allow more open files (`ulimit -n`)",
    errno.ENFILE: "allow more open files on this machine",
    errno.ENAMETOOLONG: "choose a folder with a shorter name",
    errno.ENOTDIR: "a file stands where a folder should be: move it away, or choose another folder",
    errno.EEXIST: "a file stands where a folder should be: move it away, or choose another folder",
    errno.ENOENT: "the folder was removed while it was in use: let it be",
}
"""What to do about each, by number."""

_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
"""What SQLite says where its file cannot be written: the low byte of its code."""


def error(err: OSError, where: str, then: str = AGAIN) -> StorageError:
    """What a person is told of an error of the operating system: one line.

    Args:
        err: the error.
        where: the file or folder.
        then: what to do once the cause is mended.
    """
    what = os.strerror(err.errno) if err.errno else f"{type(err).__name__}: {err}"
    do = _REMEDIES.get(err.errno or 0, "see to that").format(uid=os.geteuid() if hasattr(os, "geteuid") else "?")
    return StorageError(f"{where}: {what}: {do}, {then}")


@contextlib.contextmanager
def needed(where: str | Path, then: str = AGAIN) -> Iterator[None]:
    """Tells what the operating system or SQLite says within as the fault of a folder.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        yield
    except CurationError:  # of which some are an OSError
        raise
    except OSError as err:
        raise error(err, str(where), then) from err
    except sqlite3.OperationalError as err:
        if (err.sqlite_errorcode & 0xFF) not in _FULL:
            raise
        raise StorageError(f"{where}: {err}: make room there, or choose another folder, {then}") from err


@contextlib.contextmanager
def temporary(then: str = AGAIN) -> Iterator[None]:
    """As `needed`, of the folder that temporary files go to.

    Raises:
        StorageError: it cannot be written, or there is none that can (a container whose root is read-only).
    """
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError as err:
        said = str(err.strerror).removeprefix("No usable temporary directory found in ")
        raise StorageError(
            f"no folder for temporary files can be written (of {said}): name one that can in TMPDIR, {then}"
        ) from err
    with needed(f"folder of temporary files {folder} (TMPDIR)", then):
        yield


@dataclass(frozen=True, slots=True)
class Final:
    """Work whose want of storage is its result: what is raised, a scheduler would try again."""

    work: Callable[[Any], Any]

    @property
    def __name__(self) -> str:
        """What the work is called: a cluster names its tasks after it."""
        return getattr(self.work, "__name__", type(self.work).__name__)

    def __call__(self, job: Any) -> Any:
        """What the work gives, or why its result cannot be kept."""
        try:
            return self.work(job)
        except StorageError as err:
            return err
