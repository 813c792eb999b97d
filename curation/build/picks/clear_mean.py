"""The mean of what is clear."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.build.composite import Composed, CompositePick, Layers


class ClearMean(CompositePick):
    """Band by band. Of radar that is the mean of linear power, which is what speckle is to be averaged in."""

    def layers(self) -> Layers:
        """Sums."""
        return _Sums()


class _Sums(Layers):
    def __init__(self) -> None:
        self._sum: NDArray[np.float64] | None = None
        self._count: NDArray[np.integer] | None = None

    def add(self, number: int, pixels: NDArray[Any], seen: NDArray[np.bool_]) -> None:
        values = np.where(seen, pixels, 0).astype(np.float64)
        self._sum = values if self._sum is None else self._sum + values
        self._count = seen.astype(np.int64) if self._count is None else self._count + seen

    def composed(self) -> Composed:
        assert self._sum is not None
        assert self._count is not None
        return Composed(self._sum / np.maximum(self._count, 1), self._count)
