"""What a person sees of long work: a live line at a terminal, plain lines where output is piped."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

log = logging.getLogger(__name__)

PLAIN_EVERY_S = 10.0
"""How often a plain line is written."""


class Counting:
    """Counts outcomes of one piece of work and shows them: `with Counting("title", total, "patches") as c: c.add(...)`.

    A total of None: nobody knows how much there is.
    """

    def __init__(self, title: str, total: int | None, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.counts: Counter[str] = Counter()
        self.done = 0
        self._started = self._told = time.monotonic()
        self._live: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._live = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[counts]}"),
                console=Console(stderr=True),
            )
            self._live.start()
            self._task = self._live.add_task(self.title, total=self.total, counts="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        if kind is None:
            log.info("%s: %s", self.title, self.line())

    def add(self, reasons: Iterable[str]) -> None:
        """Counts outcomes, one reason each."""
        fresh = list(reasons)
        self.counts.update(fresh)
        self.step(len(fresh))

    def step(self, n: int = 1) -> None:
        """Counts `n` pieces as done."""
        self.done += n
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=self.done, counts=self._reasons())
        elif self.done != self.total and time.monotonic() - self._told > PLAIN_EVERY_S:  # the end has a line of its own
            self._told = time.monotonic()
            log.info("%s: %s", self.title, self.line())

    def line(self) -> str:
        """Where the work stands, in one line."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        of = "" if self.total is None else f"/{self.total}"
        rate = f"{self.done / seconds:.1f} {self.unit}/s"
        return "  ".join(filter(None, [f"{self.done}{of} {self.unit}", rate, self._reasons()]))

    def _reasons(self) -> str:
        return "  ".join(f"{reason} {n}" for reason, n in self.counts.most_common())
