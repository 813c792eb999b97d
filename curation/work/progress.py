"""What a person sees of long work: a live line at a terminal, plain lines where output is piped. Both say the same.

Nothing takes long in silence: what is counted says how far it is, how fast, how many bytes, and how long it will take;
what cannot be counted says what it is and how long it has been at it.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import ClassVar, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task
from rich.table import Column
from rich.text import Text

from curation.errors.words import plural

log = logging.getLogger(__name__)

CONSOLE = Console(stderr=True)
"""Where live lines and log lines go at a terminal: one console, or they would write over each other."""


def at_terminal() -> bool:
    """Whether a live line can be shown.

    In a notebook none can, whatever its standard error says of itself: rich would want widgets that may not be installed.
    """
    return sys.stderr.isatty() and not CONSOLE.is_jupyter


PLAIN_EVERY_S = 10.0
"""How often a plain line is written at first. Later at every twentieth of the time that has gone by, but each minute."""

SHORT_S = 2.0
"""What takes no longer than this needs no line that says that it is over."""


def _pause_s(gone_s: float) -> float:
    """Seconds to the next plain line."""
    return max(PLAIN_EVERY_S, min(gone_s / 20, 60.0))


class _Shown(ABC):
    """Something under way, shown until it is left: subclasses say what, by `line()`."""

    title: str
    _bar = False
    """Whether the live line has a bar; else it has a spinner."""
    _live_one: _Shown | None = None
    """Of all, the one that has the terminal's live line: the outermost."""
    _under_way: ClassVar[list[_Shown]] = []
    """All that are, in the order in which they began."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._over = threading.Event()
        self._ticker: threading.Thread | None = None
        self._live: Progress | None = None

    @property
    def seconds(self) -> float:
        """Since it began."""
        return max(time.monotonic() - self._started, 1e-9)

    @abstractmethod
    def line(self) -> str:
        """How it stands, in one line, without its title."""

    def _share(self) -> tuple[float | None, float]:
        """All there is to do, where that is known, and what is done."""
        return None, 0

    @property
    def innermost(self) -> _Shown:
        """What is told in its place while it is under way."""
        return self

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        _Shown._under_way.append(self)
        if not at_terminal():
            self._ticker = threading.Thread(target=self._tick, name="curation-progress", daemon=True)
            self._ticker.start()
        elif _Shown._live_one is None:
            _Shown._live_one = self
            first = BarColumn(bar_width=16) if self._bar else SpinnerColumn()
            self._live = Progress(_Line(self), first, _Rest(self), console=CONSOLE, transient=True)
            self._live.add_task(self.title, total=self._share()[0])
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        _Shown._under_way.remove(self)
        if self._live is not None:
            _Shown._live_one = None
            self._live.stop()
        if kind is None:
            self._end()

    @abstractmethod
    def _end(self) -> None:
        """Says that it is over."""

    def _tick(self) -> None:
        while not self._over.wait(_pause_s(self.seconds)):
            if self.innermost is self:
                log.info("%s: %s", self.title, self.line())

    def _update(self) -> None:
        if self._live is not None:
            total, done = self._share()
            self._live.update(self._live.task_ids[0], total=total, completed=done)


class _Line(ProgressColumn):
    """The title."""

    def __init__(self, shown: _Shown) -> None:
        super().__init__(Column(no_wrap=True))
        self.shown = shown

    def render(self, task: Task) -> Text:
        """What stands before the bar."""
        return Text(self.shown.innermost.title)


class _Rest(ProgressColumn):
    """How it stands, cut where the terminal ends."""

    max_refresh = 0.25

    def __init__(self, shown: _Shown) -> None:
        super().__init__(Column(no_wrap=True, overflow="ellipsis", ratio=1))
        self.shown = shown

    def render(self, task: Task) -> Text:
        """What stands behind the bar."""
        return Text(self.shown.innermost.line(), overflow="ellipsis", no_wrap=True)


class Doing(_Shown):
    """Work that cannot be counted: `with Doing("locate: drawing 300,000 locations"): ...`."""

    def __init__(self, title: str, *, often_short: bool = False) -> None:
        """Begins nothing yet.

        Args:
            title: what is done.
            often_short: whether to say so in a line of its own only where it takes long.
        """
        super().__init__()
        self.title = title
        self._often_short = often_short

    def __enter__(self) -> Self:
        """Says what is being done."""
        if not self._often_short:
            log.info("%s", self.title)
        return super().__enter__()

    @property
    def innermost(self) -> _Shown:
        """The last that began within it and is not over, which is what is done; else itself."""
        under_way = [*_Shown._under_way]  # a ticker asks while others end
        return under_way[-1] if self in under_way else self

    def line(self) -> str:
        """How long it has been at it."""
        return f"{clock(self.seconds)} so far"

    def _end(self) -> None:
        if self.seconds > SHORT_S:
            log.info("%s: done in %s", self.title, clock(self.seconds))


class Counting(_Shown):
    """Counts outcomes of one piece of work and shows them: `with Counting("title", total, "patch") as c: c.add(...)`.

    A total of None: nobody knows how much there is.
    """

    def __init__(
        self, title: str, total: int | None, noun: str, bytes_are: str = "", doing: Callable[[], str] | None = None
    ) -> None:
        """Counts nothing yet.

        Args:
            title: what is done.
            total: how many pieces there are to do.
            noun: what one piece is.
            bytes_are: what becomes of the bytes that are counted: `stored`, `read`.
            doing: what is being done while nothing is finished yet; a few words, or empty.
        """
        super().__init__()
        self.title, self.total, self.noun, self.bytes_are = title, total, noun, bytes_are
        self.counts: Counter[str] = Counter()
        self.done = 0
        self.size = 0
        """Bytes."""
        self._doing = doing
        self._lock = threading.Lock()
        self._bar = total is not None

    def add(self, reasons: Iterable[str], size: int = 0) -> None:
        """Counts outcomes, one reason each, and so many bytes."""
        fresh = list(reasons)
        with self._lock:
            self.counts.update(fresh)
        self.step(len(fresh), size)

    def step(self, n: int = 1, size: int = 0) -> None:
        """Counts `n` pieces as done, and so many bytes."""
        with self._lock:
            self.done += n
            self.size += size
        self._update()

    def line(self) -> str:
        """Where the work stands, how fast it goes and how long it will take, in one line."""
        with self._lock:
            done, size, counts = self.done, self.size, self.counts.most_common()
        seconds = self.seconds
        many = plural(self.noun, 2)
        of = f"{done} {plural(self.noun, done)}" if self.total is None else f"{done}/{self.total} {many}"
        parts = [of]
        if done:
            parts.append(f"{done / seconds:.3g} {many}/s")
        if size:
            parts.append(
                " ".join(filter(None, [shown_bytes(size), self.bytes_are, f"at {shown_bytes(size / seconds)}/s"]))
            )
        parts.append(clock(seconds))
        if self.total is not None and 0 < done < self.total:
            parts.append(f"about {clock(seconds * (self.total - done) / done)} left")
        if not done and self._doing is not None:
            parts.append(self._doing())
        parts += [f"{reason} {n}" for reason, n in counts]
        return "  ".join(filter(None, parts))

    def _share(self) -> tuple[float | None, float]:
        return self.total, self.done

    def _end(self) -> None:
        if self.total != 0:
            log.info("%s: %s", self.title, self.line())


def clock(seconds: float) -> str:
    """A time span for a person: `8 s`, `1:05`, `2:03:00`, `3 d 4 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def shown_bytes(size: float) -> str:
    """A number of bytes for a person: `83 B`, `1.2 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 99.95 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
