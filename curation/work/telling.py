"""Where what is logged goes: progress on standard error, at a terminal beside a live line, else as plain lines."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from rich.logging import RichHandler

from curation.errors.printable import Printable
from curation.work.progress import CONSOLE, at_terminal


def handler() -> logging.Handler:
    """What writes log lines to standard error, printable."""
    its: logging.Handler
    if at_terminal():
        its = RichHandler(console=CONSOLE, show_path=False, show_level=False, markup=False)
        its.setFormatter(logging.Formatter("%(message)s"))
    else:
        its = logging.StreamHandler()
        its.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    its.addFilter(Printable())
    return its


def by_command(*, verbose: bool) -> None:
    """From here on, progress is written to standard error, and nowhere else."""
    root = logging.getLogger("curation")
    root.handlers[:] = [handler()]
    root.propagate = False
    root.setLevel(logging.DEBUG if verbose else logging.INFO)


@contextlib.contextmanager
def shown() -> Iterator[None]:
    """Progress is written to standard error meanwhile, unless whoever calls has said where lines go: so in a notebook."""
    root = logging.getLogger("curation")
    if root.hasHandlers():
        yield
        return
    its, level = handler(), root.level
    root.addHandler(its)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(its)
        root.setLevel(level)
