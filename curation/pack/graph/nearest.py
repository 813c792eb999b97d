"""Who is nearest to whom, of many points at once, with a rule for those that are as near as one another. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from curation.errors import ConfigError
from curation.places.grids import Floats, Ints

Allowed = Callable[[Ints, Ints], NDArray[np.bool_]]
"""Whether the second of two points counts as a neighbour of the first."""

SPARE = 4
"""So many more than wanted are looked for at first: oneself, and whoever is as near as the last."""

MOST_ASKED = 8192
"""Neighbours looked at of one point: where these are not enough, points lie on one another."""

CHUNK = 1 << 22
"""Distances held at a time (32 MB, and as much of numbers)."""


def nearest(
    points: Floats, k: int, *, most: float = np.inf, tie: float = 0.0, allowed: Allowed | None = None
) -> tuple[Ints, Ints, Floats]:
    """The k nearest of each point but itself, and whoever is as near as the last of them.

    Without the latter who is a neighbour would depend on the order of the points, and on the last bit of a distance.

    Args:
        points: (n, d).
        k: how many.
        most: distance beyond which nobody is a neighbour.
        tie: distances that differ by no more are the same.
        allowed: who counts; all where left out.

    Returns:
        Whose neighbour, which point that is, and how far it is: in order of the first.

    Raises:
        ConfigError: thousands are as near as one another.
    """
    n = len(points)
    if n < 2:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    tree = cKDTree(points)
    todo, asked = np.arange(n), min(k + 1 + SPARE, n)
    found: list[tuple[Ints, Ints, Floats]] = []
    while len(todo):
        left = []
        step = max(CHUNK // asked, 1)
        for rows in (todo[i : i + step] for i in range(0, len(todo), step)):
            whole, its = _of(tree, points, rows, asked, k, most, tie, allowed)
            found.append(its)
            left.append(rows[~whole])
        todo = np.concatenate(left)
        if len(todo) and asked >= MOST_ASKED:
            raise ConfigError(
                f"{len(todo)} nodes have more than {MOST_ASKED} others as near as their {k} nearest: they lie on "
                "one another; leave that kind of edges out"
            )
        asked = min(2 * asked, n, MOST_ASKED)
    parts = [np.concatenate(p) for p in zip(*found, strict=True)]
    order = np.lexsort([parts[1], parts[0]])
    return parts[0][order], parts[1][order], np.asarray(parts[2][order], np.float64)


def _of(
    tree: cKDTree, points: Floats, rows: Ints, asked: int, k: int, most: float, tie: float, allowed: Allowed | None
) -> tuple[NDArray[np.bool_], tuple[Ints, Ints, Floats]]:
    """Which points have all of their neighbours among so many that were asked for; and the neighbours of those."""
    first_few: Any = tree.query(points[rows], np.arange(1, asked + 1), workers=-1)
    distance, other = first_few
    is_one = (other != rows[:, None]) & (distance <= most)
    if allowed is not None:
        at, column = np.nonzero(is_one)
        is_one[at, column] = allowed(rows[at], other[at, column])
    enough = is_one.cumsum(axis=1) >= k
    last = np.where(enough.any(axis=1), distance[np.arange(len(rows)), enough.argmax(axis=1)], np.inf)
    whole = (asked == tree.n) | (distance[:, -1] > np.minimum(last + tie, most))
    at, column = np.nonzero(is_one & (distance <= last[:, None] + tie) & whole[:, None])
    return whole, (rows[at], other[at, column].astype(np.int64), distance[at, column])


def symmetric(one: Ints, other: Ints, count: int) -> tuple[Ints, Ints]:
    """Each pair in both directions, once, sorted by the second and then the first."""
    key = np.unique(np.concatenate([other * count + one, one * count + other]))
    return key % max(count, 1), key // max(count, 1)


def mutual(one: Ints, other: Ints, count: int) -> tuple[Ints, Ints]:
    """The pairs that are there in both directions, in both, sorted by the second and then the first."""
    key = np.intersect1d(other * count + one, one * count + other)
    return key % max(count, 1), key // max(count, 1)
