"""What becomes of obstore in a process that is forked.

Its threads do not survive a fork: in a process forked after they began, its calls would wait for ever. They raise
`ForkedError` here instead; `curation.stream.helper` is the way round.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from pathlib import Path
from typing import Any

from curation.errors import ReadError

_began = False
"""Whether obstore was used in this process, or in one that it was forked from."""
_lost = False
"""Whether that was before a fork."""


_TASKS = Path("/proc/self/task")


def _before_fork() -> None:
    """Notices obstore's threads where somebody else began them in this process: zarr, or its user."""
    global _began
    with contextlib.suppress(OSError):  # no such folder, or a thread that ended meanwhile
        _began = _began or any((task / "comm").read_bytes().startswith(b"tokio") for task in _TASKS.iterdir())


class Made:
    """Holds a store of obstore."""

    __slots__ = ("__weakref__", "store")

    def __init__(self, store: Any) -> None:
        self.store = store
        _made.add(self)


_made: weakref.WeakSet[Made] = weakref.WeakSet()
_inherited: list[Made] = []
"""Of the parent of this process: never let go of, since that would tell threads which are not here, and wait for ever."""


def _after_fork() -> None:
    global _lost
    _lost = _began
    if _lost:
        _inherited.extend(_made)


os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


def lost_to_fork() -> bool:
    """Whether obstore cannot be used in this process, since it was forked after obstore's threads began."""
    return _lost


def used() -> None:
    """Says that obstore is used now, for processes that are forked later."""
    global _began
    _began = True


class ForkedError(ReadError):
    """An object store was asked for in a process that was forked after its parent had used one."""
