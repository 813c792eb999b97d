"""Maximum mean discrepancy under a sum of Gaussian kernels, unbiased: negative values are right where nothing differs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curation.worth.distance.estimate import DistanceEstimate, Looks
from curation.worth.distance.measures import kernels
from curation.worth.distance.pair import Floats, Pair, squares

BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Times the report's median distance: one alone would be blind to what is finer or coarser."""


def kernel(median: float) -> kernels.Kernel:
    """The mean of the Gaussians, 1 of a row with itself."""

    def of(x: Floats, y: Floats) -> Floats:
        apart = squares(x, y)
        total = sum((np.exp(apart / (-2 * (median * b) ** 2)) for b in BANDWIDTHS), np.zeros(apart.shape))
        return total / len(BANDWIDTHS)

    return of


def estimates(pair: Pair, looks: Looks) -> Sequence[DistanceEstimate]:
    """MMD², which has no unit."""
    return [kernels.estimate("mmd", pair, kernel(pair.median), looks)]
