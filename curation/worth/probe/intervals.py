"""Intervals of scores by drawing places again, and what a comparison could have seen. Pure.

A place is drawn with all its rows: rows of one place say little more than one of them. What is drawn follows from the seed
alone, so that two encoders are compared on the very same draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm

from curation.places.grids import Floats

COVERAGE = 0.95
POWER = 0.8
AT_ONCE = 1 << 21
"""Weights that are held at a time: 16 MiB."""


@dataclass(frozen=True, slots=True)
class ScoreEstimate:
    """A number and its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True, slots=True)
class ScoreDifference:
    """By how much one encoder's score is above another's, on the same places."""

    value: float
    low: float
    high: float
    seen_from: float
    """Smallest true difference that such a comparison finds four times of five: 2.8 standard errors."""

    @property
    def is_seen(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0


def weights(units: NDArray[np.generic], draws: int, seed: int) -> Iterator[Floats]:
    """How often each row is drawn, (some draws, n) at a time, `draws` of them in all.

    Args:
        units: what is drawn, whole: the place of each row (n,).
        draws: how many.
        seed: of the draws; that many of them are the same however many rows are held at a time.
    """
    names, of_row = np.unique(units, return_inverse=True)
    rng, share = np.random.default_rng(seed), np.full(len(names), 1 / len(names))
    step = max(AT_ONCE // max(len(units), 1), 1)
    for start in range(0, draws, step):
        some = min(step, draws - start)
        yield rng.multinomial(len(names), share, size=some)[:, of_row].astype(np.float64)


def drawn(
    statistic: Callable[[Floats], Mapping[str, Floats]], units: NDArray[np.generic], draws: int, seed: int
) -> dict[str, Floats]:
    """Each number of a statistic of weights (draw, n), of all draws: (draws, …)."""
    parts = [statistic(w) for w in weights(units, draws, seed)]
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def estimate(value: float, draws: Floats, *, reflected: bool = False) -> ScoreEstimate:
    """A score with the interval of its draws (percentiles).

    Args:
        value: the score itself.
        draws: that of each draw; those that cannot be told (NaN) are left out.
        reflected: the basic interval, of a score that drawing again makes larger, as it does a calibration error.
    """
    low, high = _percentiles(draws)
    if reflected:
        return ScoreEstimate(value, max(2 * value - high, 0.0), max(2 * value - low, 0.0))
    return ScoreEstimate(value, low, high)


def difference(value: float, draws: Floats) -> ScoreDifference:
    """A difference with the interval of its draws, and what it could have been seen from."""
    known = draws[~np.isnan(draws)]
    spread = float(known.std(ddof=1)) if len(known) > 1 else float("nan")
    return ScoreDifference(value, *_percentiles(draws), float(norm.ppf((1 + COVERAGE) / 2) + norm.ppf(POWER)) * spread)


@dataclass(frozen=True, slots=True)
class OverSeeds:
    """A difference over trainings that differ by their seed alone."""

    mean: ScoreDifference
    """With the interval over seeds and places together."""
    each: tuple[float, ...]
    """Of each seed."""
    signs_p: float
    """Two-sided sign test over seeds: how likely so many of one sign are by luck; 1 / 2^(n - 1) at the least."""


def over_seeds(values: Floats, draws: Floats, seed: int) -> OverSeeds:
    """A mean difference over trainings, where both places and seeds might have been others.

    Args:
        values: difference of each seed's pair (s,).
        draws: the same of each draw of places (s, draw), of the same places for all seeds.
        seed: by which seeds are drawn again.
    """
    s, count = draws.shape
    chosen = np.random.default_rng(seed).integers(0, s, (s, count))
    means: Floats = np.take_along_axis(draws, chosen, axis=0).mean(axis=0)
    # Drawing s of s again is too narrow by sqrt((s - 1) / s): seeds' part of the spread is widened by what it lacks.
    centre = draws.mean(axis=0)
    widened: Floats = centre + (means - centre) * np.sqrt(s / max(s - 1, 1))
    above, unequal = int((values > 0).sum()), int((values != 0).sum())
    p = float(binomtest(above, unequal).pvalue) if unequal else 1.0
    return OverSeeds(difference(float(values.mean()), widened), tuple(values.tolist()), p)


def _percentiles(draws: Floats) -> tuple[float, float]:
    known = draws[~np.isnan(draws)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)
