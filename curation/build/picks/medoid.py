"""The medoid of what is clear: of the spectra that a pixel had the one that is nearest to all others."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.build.composite import AllLayers, Composed, CompositePick, Layers
from curation.recipe.arrays import ArraySpec
from curation.recipe.sources import SourceSpec

SAME = 1e-9
"""Sums of distances that differ by less, relatively, are equal: only by the order in which they were added."""


class Medoid(CompositePick):
    """The spectrum with the least sum of Euclidean distances to the others, over all bands; of equals the best ranked.

    It is one that was seen, on one date (Flood 2013, Seasonal Composite Landsat TM/ETM+ Images Using the Medoid, Remote
    Sensing 5(12), 6481-6500, doi:10.3390/rs5126481).
    """

    dates: ClassVar[bool] = True

    def stored(self, source: SourceSpec, arrays: dict[str, ArraySpec]) -> dict[str, ArraySpec]:
        """As of any composite, of one array of all bands: each pixel has one spectrum."""
        data = {name: a.label for name, a in arrays.items() if a.is_data}
        if len(data) != 1:
            raise ValueError(
                f"pick = 'medoid' chooses whole spectra, and its bands are in {len(data)} arrays ({', '.join(data)}); put "
                "them on one grid with 'res_m' (or 'size_px'), or name 'bands' of one resolution"
            )
        return super().stored(source, arrays)

    def layers(self) -> Layers:
        """All of them, at a time."""
        return _Spectra()


class _Spectra(AllLayers):
    def composed(self) -> Composed:
        seen = np.stack(self._seen)
        sums = np.where(seen, 0.0, np.inf)
        for one in range(len(seen)):
            for other in range(one):
                both = seen[one] & seen[other]
                far = self._distance(one, other)
                for at in (one, other):
                    sums[at][both] += far[both]
        number = (sums <= sums.min(axis=0) * (1 + SAME)).argmax(axis=0)  # the first of equals
        pixels = np.take_along_axis(np.stack(self._layers), number[None, None], axis=0)[0]
        return Composed(pixels, seen.sum(axis=0), number)

    def _distance(self, one: int, other: int) -> NDArray[np.float64]:
        """(y, x) between two spectra, band by band so that little is in memory."""
        total = np.zeros(self._seen[one].shape)
        for a, b in zip(self._layers[one], self._layers[other], strict=True):
            total += np.square(a.astype(np.float64) - b)
        return np.sqrt(total)
