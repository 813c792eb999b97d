"""How far apart places must lie to be unlike: the range of a variogram. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.places.grids import Floats
from curation.places.nearby import EARTH_RADIUS_KM, unit

OF_SILL = 0.95
"""The range is the least distance at which so much of the sill is reached: the practical range, as for models that come near
their sill and never reach it (Chilès and Delfiner 2012, 2.5.1)."""

MOST_PLACES, BINS, LEAST_PAIRS = 2000, 16, 30
"""Places whose pairs are looked at, classes of distance, and pairs of a class below which it says nothing (Journel and
Huijbregts 1978)."""


@dataclass(frozen=True, slots=True)
class Variogram:
    """Half the mean squared difference of pairs by how far apart they lie."""

    km: Floats
    """Mean distance of the pairs of each class, ascending."""
    gamma: Floats
    """Semivariance of each."""
    sill: float
    """Variance of all places: what pairs come to that have nothing to do with one another."""
    range_km: float | None
    """From where on they are unlike; None where they are not within half of the farthest distance, or there are too few."""


def of(lon: Floats, lat: Floats, values: NDArray[np.float64], seed: int = 0) -> Variogram | None:
    """The variogram of values (n, k) at points in degrees; None of fewer than ten, or of values that are all the same.

    Of many places some are looked at, which a seed says. Values are what they are: whoever wants each to count alike divides
    by its deviation first.
    """
    if len(lon) < 10:
        return None
    at = np.sort(np.random.default_rng(seed).permutation(len(lon))[:MOST_PLACES])
    points, own = unit(lon[at], lat[at]), values[at]
    sill = float(own.var(axis=0, ddof=1).sum())
    if not sill > 0:
        return None
    a, b = np.triu_indices(len(at), 1)
    km = 2 * EARTH_RADIUS_KM * np.arcsin(np.minimum(np.linalg.norm(points[a] - points[b], axis=1) / 2, 1))
    half = 0.5 * ((own[a] - own[b]) ** 2).sum(axis=1)
    least, most = max(float(km.min()), 1e-3), float(km.max()) / 2
    if most <= least:
        return None
    number = np.digitize(km, np.geomspace(least, most, BINS + 1)[1:])
    count = np.bincount(number, minlength=BINS + 1)[:BINS]
    ok = count >= min(LEAST_PAIRS, len(a) // BINS)
    means = [np.bincount(number, weights=w, minlength=BINS + 1)[:BINS][ok] / count[ok] for w in (km, half)]
    return Variogram(means[0], means[1], sill, _range(means[0], means[1], sill))


def _range(km: Floats, gamma: Floats, sill: float) -> float | None:
    """Where the line through the classes first reaches `OF_SILL` of the sill."""
    reached = np.flatnonzero(gamma >= OF_SILL * sill)
    if not len(reached):
        return None
    k = int(reached[0])
    if k == 0:
        return float(km[0])
    part = (OF_SILL * sill - gamma[k - 1]) / (gamma[k] - gamma[k - 1])
    return math.exp(math.log(km[k - 1]) + float(part) * (math.log(km[k]) - math.log(km[k - 1])))
