"""Kernel inception distance: MMD² under the cubic polynomial kernel, unbiased, of whichever features are given."""

from __future__ import annotations

from collections.abc import Sequence

from curation.worth.distance.estimate import DistanceEstimate, Looks
from curation.worth.distance.measures import kernels
from curation.worth.distance.pair import Floats, Pair


def kernel(x: Floats, y: Floats) -> Floats:
    """(x·y / D + 1)³, as Bińkowski et al. (2018) have it."""
    found: Floats = (x @ y.T / x.shape[1] + 1) ** 3
    return found


def estimates(pair: Pair, looks: Looks) -> Sequence[DistanceEstimate]:
    """KID, over all rows and not over subsets."""
    return [kernels.estimate("kid", pair, kernel, looks)]
