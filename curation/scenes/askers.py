"""Threads that ask catalogs, and for which nobody waits who wants no more: one may not answer for minutes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class Askers:
    """As a `ThreadPoolExecutor`, but what is running is left to itself at the end: a command that is told to end does.

    What is left alone goes on until it has its answer, or the process ends: whatever it writes must be whole at any moment.
    """

    def __init__(self, most: int) -> None:
        """At most so many threads, each started when it is wanted."""
        self._most = most
        self._todo: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._is_left = threading.Event()

    def submit(self, call: Callable[P, T], *args: P.args, **how: P.kwargs) -> Future[T]:
        """What a call will give, or raise."""
        future: Future[T] = Future()

        def run() -> None:
            if self._is_left.is_set() or not future.set_running_or_notify_cancel():
                future.cancel()
                return
            try:
                future.set_result(call(*args, **how))
            except BaseException as err:  # noqa: BLE001 - it is raised where it is waited for
                future.set_exception(err)

        self._todo.put(run)
        if len(self._threads) < self._most:
            self._threads.append(threading.Thread(target=self._work, name="curation-asker", daemon=True))
            self._threads[-1].start()
        return future

    def _work(self) -> None:
        while (run := self._todo.get()) is not None:
            run()
            del run  # or what was asked for last would be held until something else is

    def leave(self) -> None:
        """Begins nothing more. Waits for nobody."""
        self._is_left.set()
        for _ in self._threads:
            self._todo.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
