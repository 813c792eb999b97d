"""What the bands of another sensor see, of the spectra that all ground here has: shares of Sentinel-2's bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from curation.embedded.world.cover import BANDS


def matrix(shares: Mapping[str, Mapping[str, float]]) -> NDArray[np.float32]:
    """Shares by band, as rows over `BANDS`: float32, (band, 12).

    Raises:
        ValueError: those of a band do not add up to 1.
    """
    out = np.array([[of.get(b, 0.0) for b in BANDS] for of in shares.values()], np.float32)
    if odd := [name for name, row in zip(shares, out, strict=True) if abs(row.sum() - 1) > 1e-6]:
        raise ValueError(f"{odd}: shares of {BANDS} that add up to something else than 1; correct the table")
    return out


def seen(response: NDArray[np.float32], spectrum: Sequence[float]) -> NDArray[np.float32]:
    """What of a spectrum, in the order of `BANDS`, each band sees: float32, (band,)."""
    out: NDArray[np.float32] = response @ np.array(spectrum, np.float32)
    return out
