"""Which process runs on which core, and what each has used."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil


def halves() -> tuple[set[int], set[int]]:
    """The cores that a server and who asks it are given; the same for both where there is one core."""
    cores = sorted(os.sched_getaffinity(0))
    return ({cores[0]}, {cores[1]}) if len(cores) > 1 else (set(cores), set(cores))


@contextlib.contextmanager
def on(cores: set[int]) -> Iterator[None]:
    """This thread on some cores, and what it starts meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move(cores: set[int]) -> None:
    """All threads of this process to some cores."""
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), cores)


def cpu_s(pids: Sequence[int]) -> float:
    """User and system seconds that processes have used, their children's not among them."""
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(t.user + t.system for t in times)


def servers() -> list[int]:
    """Children of this process that serve the embedded Earth."""
    return [p.pid for p in psutil.Process().children() if "curation.embedded" in p.cmdline()]
