"""Where a process's CPU goes, by a thread that looks at the others: their stacks by Python, their CPU by the kernel.

What a thread has used since the last look is told to be of the stack that it has now. A look needs the interpreter's lock,
so that code that never lets go of it would be seen where it next does: in the same function, mostly, since the interpreter
is told to change threads as soon as it can. Threads without a Python stack (a library's own) are known by their names alone.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NamedTuple

OURS = f"{os.sep}curation{os.sep}"
TASK = "build_slab"
"""What a thread runs that builds."""
_TASKS = Path("/proc/self/task")


class Place(NamedTuple):
    """Where a thread was."""

    file: str
    """Of the innermost frame of this program, told from `curation/` on; of a thread without one the package at work."""
    function: str
    leaf: str
    """What was called from there, `file:function` of the innermost frame."""


@dataclass(slots=True)
class Profile:
    """What was seen of one process."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    """Of the whole process, the looking included."""
    looking_s: float = 0.0
    """Of the thread that looks."""
    at_work: Counter[Place] = field(default_factory=Counter)
    """CPU seconds by place."""
    native: Counter[str] = field(default_factory=Counter)
    """CPU seconds of threads without a Python stack, by their names."""
    by_thread: Counter[str] = field(default_factory=Counter)
    """CPU seconds by name of the thread."""
    looks: int = 0
    tasks_s: float = 0.0
    """Seconds of threads while they were building a slab; of these they ran, and had no core to run on:"""
    tasks_cpu_s: float = 0.0
    tasks_queued_s: float = 0.0
    waiting: Counter[Place] = field(default_factory=Counter)
    """And the rest of them, by place: for bytes, for the interpreter's lock."""

    def add(self, other: Profile) -> None:
        """Takes up another process's."""
        for name in ("wall_s", "cpu_s", "looking_s", "looks", "tasks_s", "tasks_cpu_s", "tasks_queued_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("at_work", "native", "by_thread", "waiting"):
            getattr(self, name).update(getattr(other, name))


class Sampler:
    """Looks at all threads of this process until it is stopped."""

    def __init__(self, interval_s: float = 0.02) -> None:
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._profile = Profile()
        self._before: dict[int, tuple[int, int]] = {}
        self._looker = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._switch_s = sys.getswitchinterval()

    def start(self) -> None:
        """Begins."""
        sys.setswitchinterval(1e-4)
        self._began, self._cpu = time.perf_counter(), time.process_time()
        self._before = {tid: used for tid in _tids() if (used := _used(tid)) is not None}
        self._at = self._began
        self._looker.start()

    def stop(self) -> Profile:
        """Ends; what was seen."""
        self._ended.set()
        self._looker.join()
        sys.setswitchinterval(self._switch_s)
        self._profile.wall_s = time.perf_counter() - self._began
        self._profile.cpu_s = time.process_time() - self._cpu
        return self._profile

    def _run(self) -> None:
        while not self._ended.wait(self._interval_s):
            self._look()
        self._look()
        self._profile.looking_s = time.thread_time()

    def _look(self) -> None:
        frames = sys._current_frames()
        threads = {t.native_id: t for t in threading.enumerate()}
        now = time.perf_counter()
        passed, self._at = now - self._at, now
        self._profile.looks += 1
        for tid in _tids():
            if tid == self._looker.native_id or (used := _used(tid)) is None:
                continue
            cpu, queued = ((a - b) / 1e9 for a, b in zip(used, self._before.get(tid, (0, 0)), strict=True))
            self._before[tid] = used
            thread = threads.get(tid)
            frame = None if thread is None else frames.get(thread.ident or 0)
            self._take(thread.name if thread else _name(tid), frame, cpu, queued, passed)

    def _take(self, name: str, frame: FrameType | None, cpu: float, queued: float, passed: float) -> None:
        its = self._profile
        its.by_thread[name] += cpu
        if frame is None:
            its.native[name] += cpu
            return
        if cpu:
            its.at_work[place_of(frame)] += cpu
        if any(f.f_code.co_name == TASK for f in _stack(frame)):
            its.tasks_s += passed
            its.tasks_cpu_s += cpu
            its.tasks_queued_s += queued
            its.waiting[place_of(frame)] += max(passed - cpu - queued, 0.0)


def place_of(frame: FrameType) -> Place:
    """Where a stack is in this program, or in which package."""
    leaf = f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}"
    at: FrameType | None = frame
    while at is not None:
        file = at.f_code.co_filename
        if OURS in file:
            return Place("curation/" + file.rpartition(OURS)[2], at.f_code.co_name, leaf)
        at = at.f_back
    packages = [p for f in _stack(frame) if (p := _package(f.f_code.co_filename))]
    return Place(next((p for p in packages if p == "distributed"), packages[0] if packages else "python"), "", leaf)


def _stack(frame: FrameType | None) -> list[FrameType]:
    out = []
    while frame is not None:
        out.append(frame)
        frame = frame.f_back
    return out


def _package(file: str) -> str:
    """The installed package that a file is of; empty of the standard library's."""
    parts = Path(file).parts
    return Path(parts[parts.index("site-packages") + 1]).stem if "site-packages" in parts else ""


def _tids() -> list[int]:
    return [int(task.name) for task in _TASKS.iterdir()]


def _used(tid: int) -> tuple[int, int] | None:
    """Nanoseconds that a thread ran, and that it waited for a core; None of one that has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        ran, queued, _ = (_TASKS / str(tid) / "schedstat").read_text().split()
        return int(ran), int(queued)
    return None


def _name(tid: int) -> str:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return (_TASKS / str(tid) / "comm").read_text().strip()
    return "ended"


_running: list[Sampler] = []


def begin() -> None:
    """Begins in this process: for `Client.run`."""
    _running.append(Sampler())
    _running[-1].start()


def end() -> Profile:
    """Ends what `begin` began."""
    return _running.pop().stop()
