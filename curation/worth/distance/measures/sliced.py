"""Sliced Wasserstein distance of order 2: over random directions, the root of the mean squared distance in one dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from curation.worth.distance.estimate import DistanceEstimate, Looks, by_halves, refusal, sized
from curation.worth.distance.measures.kernels import MOST_ROWS
from curation.worth.distance.pair import Flags, Floats, Pair

DIRECTIONS = 1000
"""That the value is over."""

FEW_DIRECTIONS = 100
"""The first of them, that interval and floor are over."""

AT_ONCE = 100
"""Directions that rows are projected on together."""


def directions(count: int, dimensions: int, seed: int) -> Floats:
    """(D, count) unit vectors, uniform on the sphere."""
    found = np.random.default_rng(seed).standard_normal((count, dimensions)).T
    unit: Floats = found / np.sqrt((found**2).sum(0))
    return unit


def distance(x: Floats, y: Floats, along: Floats) -> float:
    """The distance of rows (n, D) and (m, D) along directions (D, L); exact for any n and m, by steps of both quantiles."""
    levels = np.unique(np.concatenate([np.arange(1, len(x) + 1) / len(x), np.arange(1, len(y) + 1) / len(y)]).round(12))
    steps = np.diff(levels, prepend=0)
    middle = levels - steps / 2
    a, b = (np.minimum((middle * len(v)).astype(np.int64), len(v) - 1) for v in (x, y))
    total = 0.0
    for first in range(0, along.shape[1], AT_ONCE):
        some = along[:, first : first + AT_ONCE]
        apart = np.sort(x @ some, axis=0)[a] - np.sort(y @ some, axis=0)[b]
        total += float((steps @ apart**2).sum())
    return float(np.sqrt(total / along.shape[1]))


def estimates(pair: Pair, looks: Looks) -> Sequence[DistanceEstimate]:
    """In standard deviations of the report's scale. It is never 0: the floor says what n alone makes of it."""
    pair = pair.at_most(MOST_ROWS, looks.rng("sliced", "rows"))
    its = sized("sliced", pair)
    if why := refusal(pair):
        return [replace(its, refused=why)]
    along = directions(DIRECTIONS, pair.x.shape[1], looks.seed)
    few = along[:, :FEW_DIRECTIONS]

    def of_few(part: Pair, is_b: Flags) -> float:
        return distance(part.x[~is_b], part.x[is_b], few)

    found = by_halves(its, pair, of_few, looks)
    value = distance(pair.x[~pair.is_b], pair.x[pair.is_b], along)
    moved = value - found.value
    return [replace(found, value=value, low=found.low + moved, high=found.high + moved)]
