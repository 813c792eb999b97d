"""Pixels that were decoded, kept for who reads beside them."""

from __future__ import annotations

from typing import Any

from cachetools import LRUCache
from numpy.typing import NDArray

AFTERWARDS_BYTES = 16 * 2**20
"""Of blocks whose planned reads are all done, at most: a patch may look at one again for another reason."""


class Decoded(LRUCache[tuple[Any, ...], NDArray[Any]]):
    """Arrays of all files of a reader that may be read again, within a limit of bytes: what was used longest ago goes first.

    A few of those that no plan wants any more stay beside them. A key begins with whose it is.
    """

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(limit_bytes, getsizeof=_bytes)
        self._afterwards: LRUCache[tuple[Any, ...], NDArray[Any]] = LRUCache(
            min(limit_bytes, AFTERWARDS_BYTES), getsizeof=_bytes
        )

    def found(self, key: tuple[Any, ...]) -> NDArray[Any] | None:
        """An array that is kept, of either kind."""
        pixels = self.get(key)
        return self._afterwards.get(key) if pixels is None else pixels

    def add(self, key: tuple[Any, ...], pixels: NDArray[Any], *, again: bool = True) -> None:
        """Keeps an array, unless it alone is more than the limit; `again` says whether it may well be wanted."""
        for cache in (self, self._afterwards):
            cache.pop(key, None)
        into = self if again else self._afterwards
        if pixels.nbytes <= into.maxsize:
            into[key] = pixels

    def forget(self, owner: object) -> None:
        """Drops all of an owner."""
        for cache in (self, self._afterwards):
            for key in [k for k in cache if k[0] is owner]:
                del cache[key]


def _bytes(pixels: NDArray[Any]) -> int:
    return int(pixels.nbytes)
