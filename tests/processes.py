"""Processes that tests start: they end with the block that starts them, whichever way that ends."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

MARK = "CURATION_TESTS_STARTED"
"""A variable of the environment, inherited, that says in which block a process was started."""
END_S = 120
"""Seconds within which what is killed must be gone."""


@contextlib.contextmanager
def started(
    command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, **how: Any
) -> Iterator[subprocess.Popen[Any]]:
    """A process, as `subprocess.Popen` starts it, for as long as the block lasts.

    However the block ends (an assertion, or pytest's time limit while it waits for the process), the process is then killed
    with all that it started, even what outlived it; it is waited for, and its pipes are closed. A test that leaves one is
    told by Python only when the garbage is collected, which fails another test; and `with subprocess.Popen(…)` waits for
    ever for a process that nobody told to end.

    That a process ends by itself, and what it leaves running, is for the block to assert: after it, nothing is left.

    Raises:
        AssertionError: something is still running `END_S` after it was killed.
    """
    mark = uuid.uuid4().hex
    process = subprocess.Popen(command, env={**(os.environ if env is None else env), MARK: mark}, **how)
    try:
        yield process
    finally:
        try:
            _kill(process, mark)
        finally:
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with contextlib.suppress(OSError):  # what was not written yet, to one that reads no more
                        pipe.close()


def _kill(process: subprocess.Popen[Any], mark: str) -> None:
    """Kills a process and its family, and waits until all have ended."""
    family = _family(process, mark)
    process.kill()
    deadline = time.monotonic() + END_S
    process.wait(END_S)
    while family:
        assert time.monotonic() < deadline, f"still running {END_S} s after it was killed: {family}"
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        time.sleep(0.01)
        # Looked for again: one may have started others meanwhile.
        family = list({*_family(process, mark), *filter(_runs, family)})


def _family(process: subprocess.Popen[Any], mark: str) -> list[psutil.Process]:
    """What runs of all that a process has started, and that these have, whoever their parent is by now; without itself."""
    found = {p for p in psutil.process_iter() if p.pid != process.pid and _environment(p).get(MARK) == mark}
    if process.poll() is None:  # its pid is its own still; who overwrote its environment, to have a title, is its child
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= set(psutil.Process(process.pid).children(recursive=True))
    return [p for p in found if _runs(p)]


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):  # gone, or not ours
        return {}


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end_children() -> None:
    """Kills what `multiprocessing` started here that is no daemon: Python waits for it at its end, for ever if need be."""
    for process in multiprocessing.active_children():
        if not process.daemon:
            process.kill()
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
    with started(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=_takes_signals
    ) as process:
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
        deadline = time.monotonic() + 120
        while left := [*filter(_runs, family), *_group(process.pid)]:
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
            if os.getpgid(process.pid) == pid and _runs(process):
                found.append(process)
    return found
