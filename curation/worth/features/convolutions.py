"""Features by convolutions with random filters, which need no weights from anywhere: the same numbers for the same seed."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.format.index import ArrayEntry
from curation.worth.features.patches import FeaturePatch, quantity
from curation.worth.features.table import Vectors

FILTERS, SIDE_PX, SCALES = 16, 3, (1, 2)
"""So many filters of so many pixels a side, at each scale: pixels, and means of 2 × 2 of them."""

RANGES: Mapping[str, tuple[float, float]] = {
    "reflectance": (0.15, 0.15),
    "dB": (-12.0, 6.0),
    "linear power": (0.1, 0.15),
}
"""End of a unit → about which value, and by how much, land varies: fixed, so that two datasets are scaled alike. Only the
order of magnitude matters, since filters are random."""


@dataclass(frozen=True, slots=True)
class Convolutions:
    """Mean over a patch of each filter's response above zero, filters drawn from a normal distribution and of unit norm.

    Drawn by numpy's PCG64, convolved by torch in float64 and rounded to float32 at the end, so that it hardly matters in
    which order a machine adds up.
    """

    seed: int = 0
    arrays: Mapping[str, ArrayEntry] = field(default_factory=dict)
    name: str = "convolutions"

    @property
    def settings(self) -> Any:
        """The seed."""
        return {"seed": self.seed}

    def prepared(self, arrays: Mapping[str, ArrayEntry]) -> Convolutions:
        """Any arrays do."""
        return replace(self, arrays=dict(arrays))

    def names(self) -> tuple[str, ...]:
        """`<array>.<scale>px.filter<n>`."""
        return tuple(f"{n}.{s}px.filter{i:02d}" for n in self.arrays for s in SCALES for i in range(FILTERS))

    def vectors(self, patches: Sequence[FeaturePatch]) -> Vectors:
        """(n, D); of a time axis of the mean over its steps."""
        return np.stack([np.concatenate([self._of_array(p, n) for n in self.arrays]) for p in patches])

    def filters(self, array: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Those of an array, (scale, filter, band, y, x), and the bias of each, (scale, filter)."""
        bands = len(self.arrays[array].bands)
        rng = np.random.default_rng([self.seed, zlib.crc32(array.encode())])
        weights = rng.standard_normal((len(SCALES), FILTERS, bands, SIDE_PX, SIDE_PX))
        bias = rng.uniform(-1, 1, (len(SCALES), FILTERS))
        return weights / np.sqrt((weights**2).sum((2, 3, 4), keepdims=True)), bias

    def _of_array(self, patch: FeaturePatch, name: str) -> Vectors:
        import torch  # only where it is asked for: the room is used without it, too
        from torch.nn import functional

        pixels = patch.pixels[name].astype(np.float64)
        if pixels.ndim == 4:
            pixels = _mean_of_steps(pixels)
        known: NDArray[np.bool_] = np.all(np.isfinite(pixels), 0)
        middle, spread = next((r for u, r in RANGES.items() if quantity(self.arrays[name])[1].endswith(u)), (0.0, 1.0))
        filled = np.where(np.isfinite(pixels), pixels, np.nanmean(pixels, (1, 2), keepdims=True))
        scaled = torch.from_numpy((filled - middle) / spread)[None]
        weights, bias = self.filters(name)
        out = []
        for scale, kernel, beside in zip(SCALES, weights, bias, strict=True):
            image = functional.avg_pool2d(scaled, scale) if min(known.shape) >= scale * SIDE_PX else scaled
            weight = functional.interpolate(torch.from_numpy(known.astype(np.float64))[None, None], image.shape[-2:])
            padded = functional.pad(image, (1, 1, 1, 1), "replicate")
            found = functional.conv2d(padded, torch.from_numpy(kernel), torch.from_numpy(beside)).clamp_min(0)
            total = weight.sum()
            out.append((found * weight).sum((0, 2, 3)) / total if total else found.mean((0, 2, 3)))
        values: NDArray[np.float32] = torch.cat(out).numpy().astype(np.float32)
        return values


def _mean_of_steps(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(pixels)
    count = known.sum(0)
    total = np.where(known, pixels, 0).sum(0)
    return np.where(count, total / np.maximum(count, 1), np.nan)
