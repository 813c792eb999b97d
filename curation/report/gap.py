"""How a score falls with the distance to what was learnt from, with intervals over places. Pure.

Of a place counts the mean of what is said of it, however many seasons or pixels that is of: what lies at one place is no
further evidence. Intervals are the 2.5th and 97.5th percentiles of means of places drawn again with replacement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from curation.places.grids import Floats

SEED, DRAWS = 0, 2000

MOST_DRAWN = 1_000_000
"""Places that are drawn at once, some 24 MB."""

MOST_BINS, LEAST_PLACES = 8, 10
"""Classes of distance, and places of one below which it is none of its own: of fewer an interval says nothing."""


@dataclass(frozen=True, slots=True)
class MeanScore:
    """A mean over places, and its interval of 95 %."""

    places: int
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class AtDistance:
    """The mean of places whose distance lies between two."""

    km: tuple[float, float, float]
    """Least, median, greatest."""
    score: MeanScore


@dataclass(frozen=True, slots=True)
class Trend:
    """Whether scores go with distance."""

    rank_correlation: float
    """Spearman's, of places: below 0 where scores fall with distance."""
    low: float
    high: float
    p: float
    """Share of random orders in which it is at least as far from 0."""


def mean(scores: Floats, weights: Floats | None = None, seed: int = SEED) -> MeanScore:
    """The (weighted) mean of scores of places, at least one, with its interval."""
    weights = np.ones(len(scores)) if weights is None else weights
    low, high = np.percentile(_drawn_means(scores * weights, weights, seed), [2.5, 97.5]).tolist()
    return MeanScore(len(scores), float((scores * weights).sum() / weights.sum()), low, high)


def _drawn_means(weighted: Floats, weights: Floats, seed: int) -> Floats:
    """Means of places drawn again; so many draws at once that memory is bounded, however many places there are."""
    rng, n = np.random.default_rng(seed), len(weights)
    at_once = max(1, MOST_DRAWN // n)
    out = np.empty(DRAWS)
    for start in range(0, DRAWS, at_once):
        at = rng.integers(0, n, (min(at_once, DRAWS - start), n))
        out[start : start + at_once] = weighted[at].sum(axis=1) / np.maximum(weights[at].sum(axis=1), 1e-300)
    return out


def by_distance(km: Floats, scores: Floats, seed: int = SEED) -> list[AtDistance]:
    """Means by classes of distance with about as many places each, the nearest first; one class of few places."""
    order = np.argsort(km, kind="stable")
    bins = max(1, min(MOST_BINS, len(km) // LEAST_PLACES))
    out = []
    for of in np.array_split(order, bins):
        if len(of):
            least, middle, most = np.percentile(km[of], [0, 50, 100]).tolist()
            out.append(AtDistance((least, middle, most), mean(scores[of], seed=seed)))
    return out


def trend(km: Floats, scores: Floats, seed: int = SEED) -> Trend | None:
    """Spearman's rank correlation of score and distance; None of few places, or where either is the same for all."""
    if len(km) < LEAST_PLACES or len({*km.tolist()}) < 2 or len({*scores.tolist()}) < 2:
        return None
    rng, n = np.random.default_rng(seed), len(km)
    far, ranks = rankdata(km), rankdata(scores)
    found = _correlation(far, ranks)
    again = [_of_draw(km, scores, rng.integers(0, n, n)) for _ in range(DRAWS // 4)]
    drawn = np.array([a for a in again if a is not None])
    chance = np.array([_correlation(far, rng.permutation(ranks)) for _ in range(DRAWS // 4)])
    low, high = np.percentile(drawn, [2.5, 97.5]).tolist()
    p = (1 + int((np.abs(chance) >= abs(found) - 1e-12).sum())) / (1 + len(chance))
    return Trend(found, low, high, p)


def _of_draw(km: Floats, scores: Floats, at: NDArray[np.int64]) -> float | None:
    a, b = rankdata(km[at]), rankdata(scores[at])
    return _correlation(a, b) if a.std() > 0 and b.std() > 0 else None


def _correlation(a: Floats, b: Floats) -> float:
    return float(((a - a.mean()) * (b - b.mean())).mean() / (a.std() * b.std()))
