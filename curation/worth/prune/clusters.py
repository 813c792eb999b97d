"""Samples in clusters of like ones, and how many of each stay where so many are wanted. Pure, by a seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curation.places.grids import Floats, Ints
from curation.worth.prune.neighbours import Values

MOST_SEEDED, ROUNDS, ROWS = 20_000, 20, 1 << 15
"""Rows that centres are found by; rounds at most; rows that are looked at together."""


def clusters(values: Values, count: int, seed: int) -> tuple[Ints, Floats]:
    """Cluster of each row [N], and how far it is from its centre (root mean square) [N]: k-means, Lloyd's rounds.

    Centres are found by rows that are drawn, begun as k-means++ has it; then all rows are dealt to them, a block at a time.

    Args:
        values: standardised [N, D].
        count: of clusters; of fewer distinct rows fewer.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    rows = np.arange(len(values))
    if len(rows) > MOST_SEEDED:
        rows = np.sort(rng.choice(len(values), MOST_SEEDED, replace=False))
    drawn = values[rows].astype(np.float64)
    centres = _first(drawn, min(count, len(rows)), rng)
    which, _ = _assigned(drawn, centres)
    for _ in range(ROUNDS):
        centres, before = _moved(drawn, which, centres), which
        which, _ = _assigned(drawn, centres)
        if np.array_equal(before, which):
            break
    which, far = _assigned(values, centres)
    return which, np.sqrt(far / max(values.shape[1], 1))


def _first(values: Floats, count: int, rng: np.random.Generator) -> Floats:
    chosen = [int(rng.integers(len(values)))] if len(values) else []
    far = ((values - values[chosen[0]]) ** 2).sum(axis=1) if chosen else np.empty(0)
    while len(chosen) < count and far.sum() > 0:
        chosen.append(int(rng.choice(len(values), p=far / far.sum())))
        far = np.minimum(far, ((values - values[chosen[-1]]) ** 2).sum(axis=1))
    return values[chosen]


def _assigned(values: Values | Floats, centres: Floats) -> tuple[Ints, Floats]:
    which, far = np.zeros(len(values), np.int64), np.zeros(len(values))
    own = (centres**2).sum(axis=1)
    for i in range(0, len(values), ROWS):
        block = values[i : i + ROWS].astype(np.float64)
        square = (block**2).sum(axis=1)[:, None] + own[None] - 2 * block @ centres.T
        which[i : i + ROWS] = square.argmin(axis=1)
        far[i : i + ROWS] = np.maximum(square.min(axis=1), 0)
    return which, far


def _moved(values: Floats, which: Ints, centres: Floats) -> Floats:
    """The means of their rows; of a cluster without any, where it was."""
    total, counts = np.zeros_like(centres), np.bincount(which, minlength=len(centres))
    np.add.at(total, which, values)
    return np.asarray(np.where(counts[:, None] > 0, total / np.maximum(counts, 1)[:, None], centres))


def quotas(sizes: Ints, total: int) -> Ints:
    """How many of each group stay, so many in all: small groups whole, of the others alike many, as far as that goes.

    What is over goes to the largest.
    """
    left, out = min(total, int(sizes.sum())), np.zeros(len(sizes), np.int64)
    for done, group in enumerate(np.argsort(sizes, kind="stable")):
        out[group] = min(int(sizes[group]), left // (len(sizes) - done))
        left -= int(out[group])
    return out


def chosen(group: Ints, mixed: Ints, total: int) -> Ints:
    """Rows that stay, sorted: of each group its quota, the first by a rank that mixes them.

    Args:
        group: of each row [N].
        mixed: rank of each row [N].
        total: how many stay.
    """
    names, which, sizes = np.unique(group, return_inverse=True, return_counts=True)
    most = quotas(sizes, total)
    by = np.lexsort((mixed, which.ravel()))
    starts = np.cumsum(sizes) - sizes
    nth = np.arange(len(group)) - np.repeat(starts, sizes)
    return np.sort(by[nth < np.repeat(most, sizes)]) if len(names) else np.empty(0, np.int64)


def joined(columns: Sequence[Ints]) -> Ints:
    """One number for each combination of several groupings [N]."""
    return np.asarray(np.unique(np.column_stack(columns), axis=0, return_inverse=True)[1], np.int64).ravel()
