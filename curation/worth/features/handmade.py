"""Features that anyone can name: what each band is like over a patch, and how it varies at several scales."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from curation.format.index import ArrayEntry
from curation.worth.features.patches import FeaturePatch, Pixels
from curation.worth.features.table import Vectors

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BLOCKS = (2, 4, 8)
"""Sides of blocks, pixels: how much of a band's spread is left between their means says at which scale it varies."""

INDICES: Mapping[str, tuple[str, str]] = {
    "ndvi": ("nir", "red"),
    "ndwi": ("green", "nir"),
    "ndmi": ("nir", "swir16"),
    "nbr": ("nir", "swir22"),
    "ndbi": ("swir16", "nir"),
}
"""Normalised differences, by STAC's common names; of bands of one array, which lie on one grid."""

_NARROW = {"nir": "nir08"}
"""What stands for a band in an array that has not the wide one."""

_OF_BANDS = (
    *("mean", "std", *(f"q{round(q * 100):02d}" for q in QUANTILES)),
    *("gradient", "roughness", *(f"std_of_{b}px" for b in BLOCKS)),
)

SMALL = 1e-6
"""Beside reflectance and power: what keeps a quotient from being one by zero."""


@dataclass(frozen=True, slots=True)
class Handmade:
    """What each band is like: mean, spread, quantiles, and texture at several scales; and normalised differences.

    Of each band mean, standard deviation and quantiles, mean gradient, local standard deviation (3 × 3 px), and the
    standard deviation of means of blocks; of an array's normalised differences mean and standard deviation.
    """

    arrays: Mapping[str, ArrayEntry] = field(default_factory=dict)
    name: str = "handmade"

    @property
    def settings(self) -> Any:
        """Nothing that somebody chooses."""
        return {}

    def prepared(self, arrays: Mapping[str, ArrayEntry]) -> Handmade:
        """Any arrays do."""
        return replace(self, arrays=dict(arrays))

    def names(self) -> tuple[str, ...]:
        """`<array>.<band>.<statistic>`, and `<array>.<index>.mean`, `.std`."""
        out = []
        for name, entry in self.arrays.items():
            out += [f"{name}.{band}.{statistic}" for band in entry.bands for statistic in _OF_BANDS]
            out += [f"{name}.{index}.{statistic}" for index, _, _ in _pairs(entry) for statistic in ("mean", "std")]
        return tuple(out)

    def vectors(self, patches: Sequence[FeaturePatch]) -> Vectors:
        """(n, D); of a time axis the mean over its steps."""
        return np.stack([np.concatenate(list(self._of_arrays(p))) for p in patches])

    def _of_arrays(self, patch: FeaturePatch) -> Iterator[Vectors]:
        for name, entry in self.arrays.items():
            pixels = patch.pixels[name]
            steps = [s for s in (pixels if pixels.ndim == 4 else pixels[None]) if np.isfinite(s).any((1, 2)).all()]
            nothing = np.full(_count(entry), np.nan, np.float32)  # where no step has all bands
            found = [of_array(step, entry) for step in steps] or [nothing]
            yield np.asarray(np.mean(found, 0, dtype=np.float64), np.float32)


def _count(entry: ArrayEntry) -> int:
    return len(entry.bands) * len(_OF_BANDS) + 2 * len(_pairs(entry))


def of_array(pixels: Pixels, entry: ArrayEntry) -> Vectors:
    """The features of one array: of its bands, then of its normalised differences.

    Args:
        pixels: (band, y, x), NaN where there is no data; each band has some.
        entry: what it is.
    """
    values = [number for band in pixels for number in of_band(band)]
    for _, a, b in _pairs(entry):
        values += _moments(_difference(pixels[a].astype(np.float64), pixels[b].astype(np.float64)))
    return np.asarray(values, np.float32)


def of_band(band: Pixels) -> list[float]:
    """Statistics of one band (y, x), in the order of `_OF_BANDS`; of valid pixels, pairs, and blocks."""
    pixels = band.astype(np.float64)
    known = pixels[np.isfinite(pixels)]
    steps = [np.abs(np.diff(pixels, axis=axis)) for axis in (0, 1)]
    gradient = _mean(np.concatenate([s.ravel() for s in steps]))
    blocks = [_std(block_means(pixels, side)) for side in BLOCKS]
    return [known.mean(), known.std(), *np.quantile(known, QUANTILES), gradient, _roughness(pixels), *blocks]


def block_means(pixels: Any, side: int) -> Any:
    """Means of blocks of so many pixels a side (y, x), over the valid ones; NaN where these are less than half of a block.

    What does not fill a block is left out; of what is smaller than one there is one mean, of all.
    """
    y, x = (n // side * side for n in pixels.shape)
    if not y or not x:
        return np.nanmean(pixels, keepdims=True)
    blocks = pixels[:y, :x].reshape(y // side, side, x // side, side)
    known = np.isfinite(blocks)
    count, total = known.sum((1, 3)), np.where(known, blocks, 0).sum((1, 3))
    return np.where(count * 2 >= side**2, total / np.maximum(count, 1), np.nan)


def _roughness(pixels: Any) -> float:
    """The mean standard deviation of 3 × 3 pixels."""
    if min(pixels.shape) < 3:
        return 0.0
    windows = [pixels[i : pixels.shape[0] - 2 + i, j : pixels.shape[1] - 2 + j] for i in range(3) for j in range(3)]
    mean = sum(windows) / 9
    return _mean(np.sqrt(sum((w - mean) ** 2 for w in windows) / 9))


def _mean(values: Any) -> float:
    """0 where a patch is too small to have any; NaN, and so no row, where all that it has are missing."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else np.nan if values.size else 0.0


def _std(values: Any) -> float:
    """Likewise."""
    known = values[np.isfinite(values)]
    return float(known.std()) if known.size else np.nan if values.size else 0.0


def _moments(values: Any) -> list[float]:
    return [_mean(values), _std(values)]


def _difference(a: Any, b: Any) -> Any:
    """(a − b) / (a + b) of what is not negative, from −1 to 1."""
    a, b = np.maximum(a, 0), np.maximum(b, 0)
    return (a - b) / (a + b + SMALL)


def _pairs(entry: ArrayEntry) -> list[tuple[str, int, int]]:
    """Normalised differences that an array has the bands of: name, and which bands."""
    names: dict[str, int] = {}
    for number, band in enumerate(entry.canonical):
        if band.common_name is not None:
            names.setdefault(band.common_name, number)
    at = {n: names.get(n, names.get(_NARROW.get(n, ""))) for pair in INDICES.values() for n in pair}
    found = [(index, at[a], at[b]) for index, (a, b) in INDICES.items()]
    return [(index, a, b) for index, a, b in found if a is not None and b is not None]
