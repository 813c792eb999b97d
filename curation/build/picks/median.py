"""The median of what is clear, band by band."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.build.composite import AllLayers, Composed, CompositePick, Layers


class Median(CompositePick):
    """Robust to what a mask missed; but bands are of several dates, so that no pixel may have had such a spectrum.

    Of an even number it is the mean of the two in the middle. Of radar it lies below the mean: see `stac_queries/README.md`.
    """

    def layers(self) -> Layers:
        """All of them, at a time."""
        return _Sorted()


class _Sorted(AllLayers):
    def composed(self) -> Composed:
        seen = np.stack(self._seen)
        count = seen.sum(axis=0)
        bands = [self._median(np.stack([x[b] for x in self._layers]), seen, count) for b in range(len(self._layers[0]))]
        return Composed(np.stack(bands), count)

    def _median(self, layers: NDArray[Any], seen: NDArray[np.bool_], count: NDArray[np.integer]) -> NDArray[np.float64]:
        """(y, x) of one band (layer, y, x)."""
        # What is not seen comes last. Every dtype of arrays is exact in float32.
        ordered = np.sort(np.where(seen, layers.astype(np.float32), np.float32(np.inf)), axis=0)
        middle = np.stack([np.maximum(count - 1, 0) // 2, count // 2])
        values = np.where(count > 0, np.take_along_axis(ordered, middle, axis=0), 0)
        return values.mean(axis=0, dtype=np.float64)  # type: ignore[no-any-return]
