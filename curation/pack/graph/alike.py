"""Who is alike, of hundreds of thousands of vectors of hundreds of numbers: looked for in blocks, some are missed. Pure.

All are halved along a direction at the median, again and again, until few are left together; within such a block each is
compared with each. With several sets of directions, those that one division parts are together in another. Directions are
the same each time, and medians do not depend on an order, so neither do the neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from curation.pack.graph.nearest import CHUNK, Allowed
from curation.places.grids import Floats, Ints

TREES = 6
"""Divisions, each along directions of its own."""

BLOCK = 1024
"""Vectors that are compared each with each."""

SPARE = 27
"""So many more than wanted are kept of each block: those that do not count are among them."""


def alike(points: Floats, k: int, *, allowed: Allowed) -> tuple[Ints, Ints, Floats]:
    """Of each point the k nearest that are found and count.

    Args:
        points: (n, d), no two the same.
        k: how many.
        allowed: who counts.

    Returns:
        Whose neighbour, which point that is, and how far it is: in order of the first.
    """
    n = len(points)
    if n < 2:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    found = [_compared(points, rows, k + SPARE) for tree in range(TREES) for rows in _blocks(points, tree)]
    one, other, apart = (np.concatenate(p) for p in zip(*found, strict=True))
    _, first = np.unique(one * n + other, return_index=True)
    one, other, apart = one[first], other[first], apart[first]
    some = np.concatenate(
        [allowed(one[i : i + CHUNK], other[i : i + CHUNK]) for i in range(0, max(len(one), 1), CHUNK)]
    )
    one, other, _ = _first(one[some], other[some], apart[some], 2 * k)
    # What was compared many at once may differ in its last bits from one machine to another: of the nearest, again.
    far = np.concatenate(
        [_far(points, one[i : i + BLOCK], other[i : i + BLOCK]) for i in range(0, max(len(one), 1), BLOCK)]
    )
    return _first(one, other, far, k)


def _far(points: Floats, one: Ints, other: Ints) -> Floats:
    return np.asarray(np.sqrt(((points[one] - points[other]) ** 2).sum(axis=1)))


def _first(one: Ints, other: Ints, far: Floats, k: int) -> tuple[Ints, Ints, Floats]:
    """The k nearest of each."""
    order = np.lexsort([other, far, one])
    one, other, far = one[order], other[order], far[order]
    begins = np.flatnonzero(np.r_[True, one[1:] != one[:-1]]) if len(one) else np.empty(0, np.int64)
    rank = np.arange(len(one)) - np.repeat(begins, np.diff(np.r_[begins, len(one)]))
    return one[rank < k], other[rank < k], far[rank < k]


def _blocks(points: Floats, tree: int) -> Iterator[Ints]:
    """All points in blocks, in order: halved along one direction at each depth."""
    draw = np.random.default_rng(tree)
    rows = [np.arange(len(points))]
    while len(rows[0]) > BLOCK:
        along = points @ draw.normal(size=points.shape[1])
        rows = [half for block in rows for half in _halved(block, along[block])]
    yield from rows


def _halved(block: Ints, along: Floats) -> tuple[Ints, Ints]:
    """The larger half first."""
    middle = (len(block) + 1) // 2
    order = np.argsort(along, kind="stable")
    return np.sort(block[order[:middle]]), np.sort(block[order[middle:]])


def _compared(points: Floats, rows: Ints, most: int) -> tuple[Ints, Ints, Floats]:
    """Of each of a block the nearest of it, and squared distances."""
    its = points[rows] - points[rows].mean(axis=0)
    square = (its**2).sum(axis=1)
    apart = square[:, None] + square - 2 * its @ its.T
    np.fill_diagonal(apart, np.inf)
    most = min(most, len(rows) - 1)
    which = np.argpartition(apart, most - 1, axis=1)[:, :most] if most > 0 else np.empty((len(rows), 0), np.int64)
    one = np.repeat(rows, which.shape[1])
    return one, rows[which].ravel(), np.take_along_axis(apart, which, axis=1).ravel()
