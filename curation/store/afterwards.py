"""What is left to do for objects that are gone, until somebody who may wait comes by and does it.

The garbage collector runs at any allocation, on any thread: on one that holds a lock, in the middle of a message to another
process, in a forked child. What runs there must take no lock and wait for nothing. So nothing is done there: that an object
is gone is appended to a deque, which is one step of the interpreter, and whoever next uses the structure does the rest.

Where memory or threads hang on an object, that is too late: there, ownership must do it, without a finalizer.
"""

from __future__ import annotations

import atexit
import logging
import os
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)


class Note(weakref.ref[Any]):
    """What is to be done when an object is gone."""

    __slots__ = ("args", "do")

    do: Callable[..., object]
    args: tuple[Any, ...]


class Leavings:
    """What objects of one structure leave behind; for all threads of a process.

    A forked child begins with nothing: what its parent's objects leave is the parent's to do. What is left at the end of
    the process is done then.
    """

    def __init__(self) -> None:
        self._begin()
        _all.append(self)

    def _begin(self) -> None:
        self._gone: deque[Note] = deque()
        self._notes: dict[int, Note] = {}
        """All that are not done, by `id`: their hash is that of the object."""

    def when_gone(self, thing: object, do: Callable[..., object], *args: Any) -> Note:
        """Notes what `settle` does once `thing` is gone: `do(*args)`, which must not hold it."""
        note = Note(thing, self._gone.append)
        note.do, note.args = do, args
        self._notes[id(note)] = note
        return note

    def now(self, note: Note) -> None:
        """Does what was noted, if it is not done yet."""
        if self._notes.pop(id(note), None) is not None:
            note.do(*note.args)

    def settle(self) -> None:
        """Does what objects that are gone left. Call it where waiting is allowed and no lock is held."""
        while self._gone:
            try:
                note = self._gone.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                self.now(note)
            except Exception:  # who comes by here has no part in it
                log.warning("what was left to do after an object failed: %s%s", note.do, note.args, exc_info=True)


_all: list[Leavings] = []
_of_parents: list[tuple[deque[Note], dict[int, Note]]] = []
"""Kept for ever in a fork: to let go of a descriptor or a file of HDF5 may close it."""


def _after_fork() -> None:
    for leavings in _all:
        _of_parents.append((leavings._gone, leavings._notes))
        leavings._begin()


os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _at_exit() -> None:
    for leavings in _all:
        leavings.settle()
        for note in list(leavings._notes.values()):
            leavings._gone.append(note)
        leavings.settle()
