"""The rule of little information: samples whose arrays pack into far less than those of others. Pure.

How far an array can be packed is what it holds beside what is foreseen: open sea, a cloud, one value. Sizes stand in the
table of members, so that no pixel is read; what is packed without a codec says nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.places.grids import Floats


def information(sizes: Floats) -> Floats:
    """Of each sample how many bits it takes more than the median sample, or fewer, in powers of two [N].

    Args:
        sizes: bytes of each member of each sample, packed [N, M]; NaN of what a sample has not. Members that all have the
            same size (nothing is packed) say nothing.

    Returns:
        Mean over its members of log2(size / median of that member); NaN where nothing says anything.
    """
    tells = [m for m in range(sizes.shape[1]) if len(np.unique(sizes[np.isfinite(sizes[:, m]), m])) > 1]
    if not tells:
        return np.full(len(sizes), np.nan)
    of = sizes[:, tells]
    ratios = np.log2(of / np.nanmedian(of, axis=0))
    there = np.isfinite(ratios)
    return np.asarray(np.where(there, ratios, 0).sum(axis=1) / np.where(there.any(axis=1), there.sum(axis=1), np.nan))


def little(information: Floats, share: float) -> NDArray[np.bool_]:
    """Whether a sample holds less than a share of what the median sample does [N]; never where it is not known."""
    with np.errstate(invalid="ignore"):
        return np.asarray(information < np.log2(share))
