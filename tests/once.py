"""What tests share: made once in a run, whichever of its processes comes first, and left as it was by all of them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

Contents = dict[str, tuple[int, int]]
"""Bytes and time of the last change (ns) of each file below a folder, by its path."""


def made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """The folder, made by the process that asks first; the others wait until it stands. Who fails leaves it to the next."""
    stands = folder.with_name(f"{folder.name}.stands")
    with one_at_a_time(folder.with_name(f"{folder.name}.lock")):
        if not stands.exists():
            shutil.rmtree(folder, ignore_errors=True)  # half of it, of one who failed
            make(folder)
            stands.touch()
    return folder


@contextlib.contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """One process is in the block at a time; the others wait for it."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # a child that was forked meanwhile has it open, too


def contents(folder: Path) -> Contents:
    """What is in a folder; a file that is written again with the same bytes is another."""
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            # After each test that shares it: paths as objects would take three times as long.
            path = os.path.join(where, name)  # noqa: PTH118
            stat = os.stat(path)  # noqa: PTH116
            found[path] = stat.st_size, stat.st_mtime_ns
    return found


AS_MADE: dict[str, tuple[Path, Contents]] = {}
"""Folders that tests share, by the fixture that makes each, and what is in them."""


def check(fixtures: Collection[str]) -> None:
    """Passes where what some fixtures made is as it was; what has changed is told once.

    Raises:
        AssertionError: with the paths of files that are new, gone, or others.
    """
    for name in AS_MADE.keys() & set(fixtures):
        folder, before = AS_MADE[name]
        now = contents(folder)
        AS_MADE[name] = folder, now
        changed = sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))
        assert changed == [], f"the test changed what others share ({name}), of which it is to take a copy: {changed}"
