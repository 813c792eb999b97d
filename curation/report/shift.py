"""How unlike labels of two groups of places are, and by chance; and weights that undo it. Pure.

Each place counts once, with its labels as shares of one: of several seasons their mean. Divergences are plug-in estimates,
which are too large by about `(K - 1) / (8 ln 2) (1 / n + 1 / m)` bits where labels are of one class each (K classes, n and m
places; Miller 1955), and by less where they are shares. So beside each stands what the same estimate comes to when places
are dealt to the two groups at random, many times, by a seed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from curation.places.grids import Floats

SEED = 0
"""Of what is drawn, unless another is said."""

DRAWS = 200
"""How many times places are dealt at random: a 95th percentile of it is known to about two hundredths of its rank."""

MOST_GROUPS, MOST_PLACES = 12, 2000
"""Groups of which pairs are compared, the largest, and places of each that are dealt at random, evenly over all: what these
come to by chance is brought to the number of all, as the bias is."""


@dataclass(frozen=True, slots=True)
class ShiftPair:
    """How unlike two groups are."""

    groups: tuple[str, str]
    places: tuple[int, int]
    """Of each that have labels."""
    js_bits: float
    """Jensen–Shannon divergence of mean shares, in bits: 0 of the same, 1 of what has no class in common."""
    chance_bits: float
    """What it is on average where the same places are dealt to two groups of these sizes at random."""
    chance_95_bits: float
    """The 95th percentile of that: what is less may be chance."""
    plug_in_bits: float
    """The bias of the estimate by theory, were labels of one class each: no less than `chance_bits`, about."""
    total_variation: float
    """Half the sum of what shares differ by: how much of one would have to be of other classes."""

    @property
    def above_chance_bits(self) -> float:
        """The divergence without its bias; a little below 0 is as good as 0."""
        return self.js_bits - self.chance_bits


def shares(rows: Floats) -> tuple[NDArray[np.bool_], Floats]:
    """Which rows (n, K) of amounts of classes have some, and these as shares of one."""
    total = np.where(np.isfinite(rows), rows, 0).sum(axis=1) if rows.size else np.zeros(len(rows))
    known = np.isfinite(rows).all(axis=1) & (total > 0)
    return known, rows[known] / total[known, None]


def js_bits(p: Floats, q: Floats) -> NDArray[np.float64]:
    """Jensen–Shannon divergence of shares along the last axis, bits."""
    middle = (p + q) / 2
    return (_entropy(middle) - (_entropy(p) + _entropy(q)) / 2).clip(0, 1)


def _entropy(p: Floats) -> NDArray[np.float64]:
    safe = np.where(p > 0, p, 1.0)
    return np.asarray(-(p * np.log2(safe)).sum(axis=-1), np.float64)


def between(groups: Mapping[str, Floats], seed: int = SEED) -> list[ShiftPair]:
    """Each pair of groups of rows (places, K) of shares; of more than `MOST_GROUPS` the largest. None has no row."""
    largest = sorted(groups, key=lambda name: (-len(groups[name]), name))[:MOST_GROUPS]
    named = [name for name in groups if name in largest and len(groups[name])]
    return [_pair((a, b), groups[a], groups[b], seed) for a, b in itertools.combinations(named, 2)]


def _pair(names: tuple[str, str], a: Floats, b: Floats, seed: int) -> ShiftPair:
    n, m = len(a), len(b)
    pool, rng = np.concatenate([_evenly(a), _evenly(b)]), np.random.default_rng(seed)
    first = len(_evenly(a))
    total, drawn = pool.sum(axis=0), np.empty(DRAWS)
    for k in range(DRAWS):
        one = pool[rng.permutation(len(pool))[:first]].sum(axis=0)
        drawn[k] = js_bits(one / first, (total - one) / (len(pool) - first))
    drawn *= (1 / n + 1 / m) / (1 / first + 1 / (len(pool) - first))  # as of all places, where not all are looked at
    p, q = a.mean(axis=0), b.mean(axis=0)
    classes = int(((p > 0) | (q > 0)).sum())
    plug_in = (classes - 1) / (8 * math.log(2)) * (1 / n + 1 / m)
    tv = float(np.abs(p - q).sum() / 2)
    low, high = float(drawn.mean()), float(np.percentile(drawn, 95))
    return ShiftPair(names, (n, m), float(js_bits(p, q)), low, high, plug_in, tv)


def _evenly(rows: Floats) -> Floats:
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_PLACES)).round().astype(np.int64)]


@dataclass(frozen=True, slots=True)
class LabelWeights:
    """Weights by which a group's labels are on average those of another."""

    weights: Floats
    """Of each row of the group, (n,), with mean one."""
    effective: float
    """How many places of equal weight tell as much: (Σw)² / Σw² (Kish)."""
    left_bits: float
    """Divergence that is left between the weighted group and the other: of classes that the group has none of."""
    unmatched: float
    """Share of the other group's labels that is of such classes."""


def matched(group: Floats, like: Floats) -> LabelWeights:
    """Weights for rows (n, K) of shares by which their mean is that of others.

    Where each place is of one class they are frequencies of `like` over those of the group; of shares in general, of which
    that is a case, those that are nearest to equal ones by relative entropy (entropy balancing, Hainmueller 2012). Classes
    that the group has none of cannot be matched; the others are, in proportion.
    """
    wanted = like.mean(axis=0)
    there = group.mean(axis=0) > 0
    unmatched = float(wanted[~there].sum())
    target = np.where(there, wanted, 0.0)
    target = target / target.sum() if target.sum() > 0 else group.mean(axis=0)
    centred = (group - target)[:, there]

    def slope(tilt: Floats) -> tuple[float, Floats]:
        raised = centred @ tilt
        top = float(raised.max())
        weights = np.exp(raised - top)
        return top + math.log(weights.sum()) + _RIDGE * float(tilt @ tilt), (weights @ centred) / weights.sum() + (
            2 * _RIDGE * tilt
        )

    found = minimize(
        slope, np.zeros(centred.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 2000}
    )
    raised = centred @ found.x
    weights = np.exp(raised - raised.max())
    weights *= len(weights) / weights.sum()
    mean = (weights[:, None] * group).mean(axis=0)
    return LabelWeights(
        weights, float(weights.sum() ** 2 / (weights**2).sum()), float(js_bits(mean, wanted)), unmatched
    )


_RIDGE = 1e-9
"""Keeps the tilt finite where no weights would do."""
