"""Energy distance, 2 E d(x, y) − E d(x, x′) − E d(y, y′), unbiased: it has no bandwidth, and is a second opinion on MMD."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curation.worth.distance.estimate import DistanceEstimate, Looks
from curation.worth.distance.measures import kernels
from curation.worth.distance.pair import Floats, Pair, squares


def kernel(x: Floats, y: Floats) -> Floats:
    """Minus the distance."""
    return -np.sqrt(squares(x, y))


def estimates(pair: Pair, looks: Looks) -> Sequence[DistanceEstimate]:
    """In standard deviations of the report's scale."""
    return [kernels.estimate("energy", pair, kernel, looks)]
