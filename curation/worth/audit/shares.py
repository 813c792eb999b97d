"""Shares of a population, and how two readers of it agree, from a sample by strata: values with intervals. Pure.

Every figure is a ratio of two weighted sums over what was marked: a patch's weight is how many of its stratum it stands
for. Variances are those of such ratios by linearisation, stratum by stratum, with the finite-population correction
(Särndal, Swensson and Wretman 1992, chapter 5). A stratum of which one patch was marked says nothing of its own spread: its
deviation is taken from the whole (what R's `survey` calls `lonely.psu = "adjust"`). Intervals of shares are Wilson's at the
sample size that a plain sample of that variance would have (Korn and Graubard 1998), which is never taken to be more than
was marked, or where it is not drawn by (of what a reader sees as water) than its weights let it be (Kish 1965): so they are
not empty where all marks agree.

Chance is in the draw alone: seasons of a place may be as alike as they are. What is told is of the patches of this
dataset, not of places elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z = 1.959964
"""Standard normal deviate of a two-sided interval of 95 %."""

FEW = 5
"""Marks of a stratum that was not marked whole below which it is named: its spread is hardly known."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ShareEstimate:
    """A figure with its interval of 95 %."""

    value: float
    low: float
    high: float
    marks: int
    """That it rests on."""


@dataclass(frozen=True, slots=True)
class MarkedSample:
    """The marked part of a population, by strata."""

    stratum: NDArray[np.int64]
    """(mark,): number of its stratum."""
    sizes: NDArray[np.int64]
    """(stratum,): patches of each in the population."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """(stratum,): marks of each."""
        return np.bincount(self.stratum, minlength=len(self.sizes))

    @property
    def weights(self) -> Numbers:
        """(mark,): how many patches each stands for."""
        found: Numbers = self.sizes[self.stratum] / self.counts[self.stratum]
        return found

    @property
    def covered(self) -> float:
        """Share of the population that lies in strata with a mark."""
        return float(self.sizes[self.counts > 0].sum() / self.sizes.sum())

    def variance(self, deviation: Numbers) -> float:
        """Of a weighted sum whose terms are these, (mark,); they add up to 0."""
        total = 0.0
        for its in np.flatnonzero(self.counts):
            of = deviation[self.stratum == its]
            n, size = len(of), int(self.sizes[its])
            spread = float(of[0] ** 2) if n == 1 else float(np.var(of, ddof=1))
            total += n * (1 - n / size) * spread
        return total


def share(part: NDArray[np.bool_], of: NDArray[np.bool_], sample: MarkedSample) -> ShareEstimate | None:
    """Which share of the patches that are `of` something are `part` of it, too; None where no mark is of one.

    Args:
        part: (mark,).
        of: (mark,).
        sample: where the marks are from.
    """
    if not of.any():
        return None
    weights, both = sample.weights, (part & of).astype(np.float64)
    total = float((weights * of).sum())
    value = float((weights * both).sum() / total)
    variance = sample.variance(weights * (both - value * of) / total)
    return ShareEstimate(value, *_wilson(value, _plain_size(value, variance, of, sample)), int(of.sum()))


def _plain_size(value: float, variance: float, of: NDArray[np.bool_], sample: MarkedSample) -> float:
    """Size of the plain sample that would tell as much; infinite where every patch was marked."""
    touched = np.unique(sample.stratum[of])
    seen = sample.counts[touched].sum() / sample.sizes[touched].sum()
    if seen >= 1:
        return np.inf
    weights = sample.weights[of]
    alike = float(weights.sum() ** 2 / (weights**2).sum())
    found = value * (1 - value) / variance if 0 < value < 1 and variance > 0 else alike
    by_design = not (~of & np.isin(sample.stratum, touched)).any()
    # Which patches are meant may itself be seen in the sample alone ("of what readers see as water"): a few of them that
    # stand for many then decide, and marks are worth no more than their weights let them be.
    return float(min(found, (of.sum() if by_design else alike) / (1 - seen)))


def _wilson(value: float, size: float) -> tuple[float, float]:
    if np.isinf(size):
        return value, value
    middle, half = value + Z**2 / (2 * size), Z * np.sqrt(value * (1 - value) / size + (Z / (2 * size)) ** 2)
    low, high = ((middle + sign * half) / (1 + Z**2 / size) for sign in (-1, 1))
    return float(max(0.0, min(low, value))), float(min(1.0, max(high, value)))


def kappa(one: NDArray[np.int64], other: NDArray[np.int64], sample: MarkedSample) -> ShareEstimate | None:
    """Cohen's kappa of two readers over the population; None where chance alone would have them agree.

    Args:
        one: (mark,): number of the class that the first said.
        other: that of the second.
        sample: of what both marked.
    """
    if not len(one):
        return None
    weights = sample.weights / sample.weights.sum()
    classes = int(max(one.max(), other.max())) + 1
    first, second = (np.bincount(its, weights, classes) for its in (one, other))
    same = (one == other).astype(np.float64)
    alike = bool(same.all())
    agreed, chance = 1.0 if alike else float((weights * same).sum()), float((first * second).sum())
    if chance > 1 - 1e-9:
        return None
    value = (agreed - chance) / (1 - chance)
    by_chance = second[one] + first[other] - 2 * chance
    slope = ((same - agreed) * (1 - chance) - (1 - agreed) * by_chance) / (1 - chance) ** 2
    deviation = float(np.sqrt(sample.variance(weights * slope)))
    low, high = value - Z * deviation, value + Z * deviation
    if alike:  # as far as that share of them may be off
        whole = share(one == other, np.ones(len(one), bool), sample)
        assert whole is not None
        low, high = ((its - chance) / (1 - chance) for its in (whole.low, whole.high))
    return ShareEstimate(value, max(-1.0, low), min(1.0, high), len(one))
