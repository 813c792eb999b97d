"""Processes that tests start: none outlives its test, whatever happens to that."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import psutil

END_S = 60
"""Until a process that was told to end must have."""


@contextlib.contextmanager
def ended(process: subprocess.Popen[Any]) -> Iterator[subprocess.Popen[Any]]:
    """The process; where the block ends and it has not, it is killed, with all of its group where that is its own.

    `Popen` as a context waits for the process instead: a test that fails in the middle, or runs out of time, would wait for
    one that waits for the test.
    """
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                kill(process.pid)


def kill(pid: int) -> None:
    """Kills a child, and all of its group where it leads one."""
    with contextlib.suppress(ProcessLookupError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)


def end_children() -> None:
    """Kills what `multiprocessing` started here that is no daemon: Python waits for it at its end, for ever if need be."""
    for process in multiprocessing.active_children():
        if not process.daemon and process.pid:
            kill(process.pid)
            process.join(END_S)


def _takes_signals() -> None:
    """As in a terminal, where the tests run in the background of a script, which ignores some."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def stopped(
    command: list[str], sign: str, signals: list[signal.Signals], gap_s: float = 0.2, *, group: bool
) -> tuple[int, list[str]]:
    """Exit code and lines of a command that is sent signals when a line with the sign has come; nothing of it is left.

    With `group`, all of its processes are sent them, as a terminal does.
    """
    started = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=_takes_signals
    )
    with ended(started) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if sign in line:
                break
        family = psutil.Process(process.pid).children(recursive=True)
        for n, number in enumerate(signals):
            if n:
                time.sleep(gap_s)
            try:
                (os.killpg if group else os.kill)(process.pid, number)
            except ProcessLookupError:
                break
        lines += process.stderr.readlines()
        code = process.wait(END_S)
    deadline = time.monotonic() + 20
    while left := [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] or _group(process.pid):
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.1)
    told = "".join(lines)
    for word in ("Traceback", "Exception", "ERROR", "Warning", "semaphore"):
        assert word not in told, told
    return code, lines


def _group(pid: int) -> list[psutil.Process]:
    """What runs in the group that a process led."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getpgid(process.pid) == pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
