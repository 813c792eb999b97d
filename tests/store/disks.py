"""Disks that are full, small or read-only, for real: mounted for the time of a test."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Disk:
    """A mounted file system of its own."""

    folder: Path

    def resize(self, size: str) -> None:
        """Gives it another size, such as `64m`."""
        _mount("-o", f"remount,size={size}", str(self.folder))

    def fill(self, leave_bytes: int = 0) -> Path:
        """Fills it up but for so many bytes; what it is filled with, to be removed."""
        ballast = self.folder / "ballast"
        free = os.statvfs(self.folder)
        with ballast.open("wb") as file, contextlib.suppress(OSError):
            file.write(bytes(max(free.f_bavail * free.f_frsize - leave_bytes, 0)))
        return ballast

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        """It cannot be written meanwhile."""
        _mount("-o", "remount,ro", str(self.folder))
        try:
            yield
        finally:
            _mount("-o", "remount,rw", str(self.folder))


@contextlib.contextmanager
def mounted(folder: Path, size: str) -> Iterator[Disk]:
    """A disk of so many bytes at a folder, which is made. Skips where nothing may be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _mount("-t", "tmpfs", "-o", f"size={size}", "none", str(folder))
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("nothing may be mounted here: run the tests as root, or as `unshare -rm python -m pytest …`")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _mount(*args: str) -> None:
    subprocess.run(["mount", *args], check=True, capture_output=True)
