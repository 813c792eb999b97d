"""How a command ends when it is told to: by Ctrl-C, by a batch system, by a terminal that goes away.

The first signal ends the work: it is raised where the command stands, and everything on the way out cleans up after itself.
Whatever comes while that goes on is not raised, since it would tear the cleaning up: what comes within `SAME_S` is the same
wish (a terminal, a shell and `timeout` each tell it), and what comes later ends this process, and all that it started, at
once. Nothing is lost by either: what is written appears whole or not at all.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing.util
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from multiprocessing import resource_tracker
from types import FrameType
from typing import NoReturn

import psutil

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What ends a command: Ctrl-C, what batch systems and `kill` send, and a terminal that goes away."""

SAME_S = 1.0
"""Seconds within which another signal means the same as the first."""


SETTLE_S = 0.3
"""Seconds that other threads have to give back what they were about to, or to start what is then killed, too."""

AGAIN_S = 0.05
"""Seconds after which a signal that was raised in vain is raised again."""

_SILENT_TRACKER = "ignore:resource_tracker:UserWarning"
"""Python's option by which its resource tracker gives back what killed processes left, and says nothing of it."""


class Stopped(KeyboardInterrupt):
    """The command was told to end. A KeyboardInterrupt, so that whoever knows how to end for that does."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def code(self) -> int:
        """The exit code of a command that a signal ended, as shells tell it: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.number


class _Handler:
    """What this process does on a signal."""

    def __init__(self) -> None:
        self.first: tuple[int, float] | None = None
        """The signal that ends the work, and when it came (monotonic seconds)."""

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.first is None:
            self.first = number, time.monotonic()
            # What is broken off half made complains (Dask of its callbacks, Python of coroutines): of use to nobody.
            logging.disable(logging.CRITICAL)
            warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
            raise Stopped(number)
        if time.monotonic() - self.first[1] > SAME_S:
            _end_now(128 + number)


_handler: _Handler | None = None


def install() -> None:
    """From here to its end, a signal ends this process as the module says.

    One that was ignored when the process began (`nohup`) stays so.
    """
    global _handler
    _handler = _Handler()
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handler)
    sys.unraisablehook = _raised_again


def over() -> None:
    """The work is done: a signal that comes while the process ends is raised no more."""
    if _handler is not None and _handler.first is None:
        _handler.first = 0, time.monotonic()


@contextlib.contextmanager
def by_signals() -> Iterator[None]:
    """A signal raises `Stopped` in what is done within, and none does while that cleans up.

    Only a process's main thread may say how signals are taken: in another this does nothing, nor where it is installed.
    """
    global _handler
    if threading.current_thread() is not threading.main_thread() or _handler is not None:
        yield
        return
    before, hook = {n: signal.getsignal(n) for n in SIGNALS}, sys.unraisablehook
    silent = logging.root.manager.disable
    install()
    try:
        yield
    finally:
        for number, how in before.items():
            signal.signal(number, signal.SIG_DFL if how is None else how)
        sys.unraisablehook = hook
        logging.disable(silent)
        _handler = None


def _raised_again(lost: sys.UnraisableHookArgs) -> None:
    """What was raised where nothing can be (a destructor, the garbage collector's callbacks) is raised again elsewhere."""
    if isinstance(lost.exc_value, Stopped) and _handler is not None:
        _handler.first = None
        threading.Timer(AGAIN_S, os.kill, (os.getpid(), lost.exc_value.number)).start()
    elif _handler is None or _handler.first is None:  # else it is of something that was broken off half made
        sys.__unraisablehook__(lost)


@contextlib.contextmanager
def later() -> Iterator[None]:
    """What comes meanwhile is raised at the end: what is begun within would be left half begun.

    Processes that are started within take no Ctrl-C at all, for good: at a terminal it reaches all of them at once, and who
    started them ends them. So it is for threads that are started within, and what they start.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _start_tracker()
    held: list[int] = []
    handlers = {n: signal.getsignal(n) for n in SIGNALS}
    for number, how in handlers.items():
        if how not in (signal.SIG_IGN, signal.SIG_DFL, None):
            signal.signal(number, lambda n, _: held.append(n))
    # Threads that are there already take the signal all the same, and so does the handler above: blocked it is for the
    # threads and processes that inherit this.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)  # what is pending comes here
        for number, how in handlers.items():
            signal.signal(number, signal.SIG_DFL if how is None else how)
        if held:
            signal.raise_signal(held[0])


def _start_tracker() -> None:
    """Starts what gives back the semaphores of processes that are killed; by itself it would unblock the signal meanwhile.

    Blosc makes one in each worker, and a worker that is busy is killed: that it was given back is no news to anybody.
    """
    sys.warnoptions.append(_SILENT_TRACKER)
    try:
        resource_tracker.ensure_running()
    finally:
        sys.warnoptions.remove(_SILENT_TRACKER)


def _end_now(code: int) -> NoReturn:
    """Ends this process and all that it started; semaphores of theirs are given back first."""
    _kill_children()
    multiprocessing.util._run_finalizers(0)  # type: ignore[attr-defined]
    time.sleep(SETTLE_S)
    _kill_children()
    shown = "\x1b[?25h" if os.isatty(2) else ""  # a live line hides the cursor
    with contextlib.suppress(OSError):
        os.write(2, f"{shown}curate: stopped at once; the same command goes on from here\n".encode())
    os._exit(code)


def _kill_children() -> None:
    tracker = resource_tracker._resource_tracker._pid  # type: ignore[attr-defined]
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            if child.pid != tracker:  # it ends by itself, when what it looks after is given back
                with contextlib.suppress(psutil.Error):
                    child.kill()
