"""Who works on what: runs of neighbouring items for one worker after the other. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Iterable
from itertools import islice
from typing import Generic, TypeVar

A = TypeVar("A")

RUN = 8
"""Items in a row for one worker: neighbouring slabs share scenes, whose headers and searches a worker keeps."""


class Queues(Generic[A]):
    """Deals the items of a stream, which are taken from it only as they are needed: at most `RUN` per worker wait here.

    An error of the stream ends it; it is kept, for those that were dealt before to be finished first.
    """

    def __init__(self, items: Iterable[A]) -> None:
        self._items = iter(items)
        self._queues: dict[Hashable, deque[A]] = {}
        self.error: Exception | None = None
        """What ended the stream, where it did not end by itself."""

    def take(self, worker: Hashable) -> deque[A]:
        """The lane of a worker with its next item at its left; empty where nothing is left for anybody."""
        queue = self._queues.setdefault(worker, deque())
        if not queue:
            try:
                queue.extend(islice(self._items, RUN))
            except Exception as err:  # noqa: BLE001 - the caller raises it when it is time
                self.error = err
                self._items = iter(())
        if not queue:
            longest = max(self._queues.values(), key=len)
            if longest:
                queue.append(longest.pop())  # its far end: what its owner would come to last
        return queue

    def keep(self, workers: Collection[Hashable]) -> None:
        """Forgets workers that are gone; what waited for them is dealt to others."""
        for worker in self._queues.keys() - set(workers):
            left = self._queues.pop(worker)
            if left:
                self._queues.setdefault(None, deque()).extend(left)
