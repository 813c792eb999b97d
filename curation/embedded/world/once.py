"""Values that are made once, however many threads ask, and of which only the last few are kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from cachetools import LRUCache

V = TypeVar("V")


@dataclass(slots=True)
class _Slot(Generic[V]):
    lock: threading.Lock = field(default_factory=threading.Lock)
    value: V | None = None


class OnceCache(Generic[V]):
    """A store of at most `size` values by key; never None."""

    def __init__(self, size: int) -> None:
        self._slots: LRUCache[Hashable, _Slot[V]] = LRUCache(size)
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """The value of the key, made now if it is not kept. Who asks meanwhile waits for it."""
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
        with slot.lock:
            if slot.value is None:
                slot.value = make()
            return slot.value
