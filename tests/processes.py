"""Processes that tests start: they end with the block that starts them, whichever way that ends."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

MARK = "CURATION_TESTS_STARTED"
"""A variable of the environment, inherited, that says in which block a process was started."""
END_S = 30
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
