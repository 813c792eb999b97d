"""Files of this machine's that grow line by line: one writer at a time, each line safe on disk before the next."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from curation.errors import ConfigError

T = TypeVar("T")


class AppendedFile(Generic[T]):
    """A file, open to have whole lines added to it; half a line of a killed command is cut off.

    Args:
        where: of it; made where it is not there.
        check: called when nobody else writes it any more: raises where what stands in it is not to be gone on with.
        instead: what else a user may do than wait, where another command writes it.

    Raises:
        ConfigError: another command writes it, or it cannot be written.
    """

    def __init__(self, where: Path, check: Callable[[], T], instead: str) -> None:
        self._where, self._check, self._instead = where, check, instead

    def __enter__(self) -> AppendedFile[T]:
        try:
            self._fd = os.open(self._where, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as err:
            raise ConfigError(f"{self._where}: cannot be written: {err.strerror}") from err
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            os.close(self._fd)
            raise ConfigError(f"{self._where}: another command writes it now; wait, or {self._instead}") from err
        try:
            self.checked = self._check()  # another command may have written it since it was looked at
            """What `check` gave."""
        except BaseException:
            os.close(self._fd)
            raise
        self.size = _whole(self._fd)
        """Bytes of whole lines."""
        os.ftruncate(self._fd, self.size)
        os.lseek(self._fd, self.size, os.SEEK_SET)
        return self

    def write(self, line: bytes) -> None:
        """Adds a line, which ends in a newline; where it cannot be written whole, nothing of it is.

        Raises:
            OSError: the disk is full, say.
        """
        left = line
        try:
            while left:
                left = left[os.write(self._fd, left) :]
            os.fsync(self._fd)
        except OSError:  # else the next line would be the end of half of this one
            os.ftruncate(self._fd, self.size)
            os.lseek(self._fd, self.size, os.SEEK_SET)
            raise
        self.size += len(line)

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _whole(fd: int) -> int:
    """Bytes of a file up to the end of its last whole line."""
    end = os.fstat(fd).st_size
    while end:
        start = max(end - _STEP, 0)
        at = os.pread(fd, end - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0


_STEP = 1 << 16
"""Bytes that are looked at together."""
