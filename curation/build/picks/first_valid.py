"""The best scene, and where it is not clear the next."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.build.composite import Composed, CompositePick, Layers


class FirstValid(CompositePick):
    """Each pixel of the first scene, in order of rank, that sees it: few dates, and seams between them."""

    counts: ClassVar[bool] = False
    dates: ClassVar[bool] = True
    one_by_one: ClassVar[bool] = True

    def layers(self) -> Layers:
        """The first, filled from the next."""
        return _Filled()


class _Filled(Layers):
    def __init__(self) -> None:
        self._pixels: NDArray[Any] | None = None
        self._number: NDArray[np.integer] | None = None

    def add(self, number: int, pixels: NDArray[Any], seen: NDArray[np.bool_]) -> None:
        if self._pixels is None or self._number is None:
            self._pixels, self._number = pixels.copy(), np.where(seen, number, -1)
        else:
            hole = seen & (self._number < 0)
            self._pixels[:, hole], self._number[hole] = pixels[:, hole], number
        self.is_full = bool((self._number >= 0).all())

    def composed(self) -> Composed:
        assert self._pixels is not None
        assert self._number is not None
        return Composed(self._pixels, (self._number >= 0).astype(np.int64), self._number)
