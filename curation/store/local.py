"""Files on this machine's disks that somebody named: what is none is told for what it is, and never waited for.

A path may lead to a named pipe, which opens once somebody writes into it, to a device that has no end, or to a folder.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from curation.errors import ConfigError, ReadError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

MOST_BYTES = 256 * 2**20
"""Of a file that a person writes or exports and that is read whole: recipe, regions, places. A quarter of a million places
as a table are 25 MB, all countries in full detail 200. In memory it takes ten times as much."""


class NotAFileError(ReadError):
    """There is something at the path, and it is no file."""


def other(path: Path) -> str | None:
    """What there is at a path that is no file, for a person; None where it is one, or where there is nothing.

    Raises:
        OSError: that cannot be found out.
    """
    try:
        return _other(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _other(mode: int) -> str | None:
    if stat.S_ISREG(mode):
        return None
    return next((what for is_it, what in _KINDS if is_it(mode)), "nothing that is read here")


def handle(path: str | Path) -> int:
    """A file descriptor to read a file from; who gets it closes it.

    Raises:
        NotAFileError: it is something else.
        OSError: there is none, or it cannot be opened.
    """
    kind = _other(os.stat(path).st_mode)  # noqa: PTH116 - a device is not opened to find out that it is one
    if kind is None:
        made = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # nor a pipe waited for that came in between
        kind = _other(os.fstat(made).st_mode)
        if kind is None:
            return made
        os.close(made)
    raise NotAFileError(f"{path} is {kind}, expected a file")


def content(path: str | Path) -> bytes:
    """A file's bytes. Raises as `handle` does."""
    with os.fdopen(handle(path), "rb") as file:
        return file.read()


def check(path: Path, where: str, most_bytes: int = MOST_BYTES) -> None:
    """Passes where a path leads to a file that may be read whole.

    Args:
        path: of it.
        where: what errors begin with.
        most_bytes: that it may have.

    Raises:
        ConfigError: there is none, it is something else, cannot be looked at, or is larger.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"{where}: no such file") from None
    except OSError as err:
        raise ConfigError(f"{where}: cannot be opened: {err.strerror}") from None
    if (kind := _other(found.st_mode)) is not None:
        raise ConfigError(f"{where}: is {kind}, expected a file")
    if found.st_size > most_bytes:
        raise ConfigError(
            f"{where}: {found.st_size} bytes, expected {most_bytes} at most: it is read whole; cut it down"
        )


def parts(path: Path) -> list[Path]:
    """A file, and those beside it that are of it: a Shapefile is several, called alike, of which attributes are one."""
    if path.suffix.lower() != ".shp":
        return [path]
    endings = (".dbf", ".shx", ".prj", ".cpg")
    beside = (p for p in path.parent.iterdir() if p.stem == path.stem and p.suffix.lower() in endings)
    return [path, *sorted(beside, key=lambda p: p.suffix.lower())]


def memory(size: int) -> int:
    """Descriptor of fresh memory that other processes can map. Pages cost nothing until they are written."""
    if hasattr(os, "memfd_create"):  # not bounded by /dev/shm, which containers keep small
        made = os.memfd_create("curation")
    else:
        with tempfile.TemporaryFile() as file:
            made = os.dup(file.fileno())
    os.ftruncate(made, size)
    return made
