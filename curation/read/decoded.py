"""Pixels that were decoded, kept for who reads beside them."""

from __future__ import annotations

from typing import Any

from cachetools import LRUCache
from numpy.typing import NDArray


class Decoded(LRUCache[tuple[Any, ...], NDArray[Any]]):
    """Arrays of all files of a reader, within a limit of bytes: what was used longest ago goes first.

    A key begins with whose it is.
    """

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(limit_bytes, getsizeof=lambda pixels: pixels.nbytes)

    def add(self, key: tuple[Any, ...], pixels: NDArray[Any]) -> None:
        """Keeps an array, unless it alone is more than the limit."""
        if pixels.nbytes <= self.maxsize:
            self[key] = pixels

    def forget(self, owner: object) -> None:
        """Drops all of an owner."""
        for key in [k for k in self if k[0] is owner]:
            del self[key]
