"""What kernel measures share: sums over pairs of places in blocks, and all draws as products of one matrix. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from curation.worth.distance.estimate import DistanceEstimate, Looks, finished, refusal, sized
from curation.worth.distance.pair import Floats, Ints, Pair

Kernel = Callable[[Floats, Floats], Floats]
"""Rows (n, D) and (m, D) → (n, m)."""

MOST_ROWS = 8000
"""Of both sides together, that pairs are made of: of more, places are drawn at random, and the estimate's sizes say so."""

MOST_UNITS = 1500
"""Places whose sums are held apart: of more, some share a number, and count as one place."""

BLOCK_ROWS = 512
"""Rows that a kernel is worked out for at a time: so many times all of them is what is held."""


def group_sums(x: Floats, group: Ints, count: int, kernel: Kernel, block: int = BLOCK_ROWS) -> Floats:
    """(count, count) sums of a kernel over all pairs of rows of two groups.

    Args:
        x: (n, D).
        group: (n,) of each row, from 0 to `count` - 1; each has some.
        count: of groups.
        kernel: symmetric.
        block: rows at a time.
    """
    order = np.argsort(group, kind="stable")
    x, group = x[order], group[order]
    starts = np.searchsorted(group, np.arange(count))
    out = np.zeros((count, count))
    for first in range(0, len(x), block):
        own = group[first : first + block]
        sums = np.add.reduceat(kernel(x[first : first + block], x), starts, axis=1)
        groups, begins = np.unique(own, return_index=True)
        out[groups] += np.add.reduceat(sums, begins, axis=0)
    return out


class Sums:
    """Sums and counts between groups, each the rows of a place on one side; pairs within a place are left out.

    So seasons of a place, which are alike, stand for no two places, and a place that is drawn twice is no twin of itself.
    """

    def __init__(self, pair: Pair, kernel: Kernel) -> None:
        unit = pair.unit % MOST_UNITS if pair.units > MOST_UNITS else pair.unit
        codes, self.group = np.unique(unit * 2 + pair.is_b, return_inverse=True)
        self.of_unit, self.of_b = codes // 2, codes % 2 == 1
        size = np.bincount(self.group).astype(np.float64)
        apart = self.of_unit[:, None] != self.of_unit[None]
        self.sums = group_sums(pair.x, self.group, len(codes), kernel) * apart
        self.counts = np.outer(size, size) * apart

    def discrepancy(self, a: Floats, b: Floats) -> Floats:
        """Mean within A and within B, less twice that between them, by how often each group is drawn: (groups, times)."""
        means = [self._sum(u, v, self.sums) / self._sum(u, v, self.counts) for u, v in ((a, a), (b, b), (a, b))]
        return means[0] + means[1] - 2 * means[2]

    @staticmethod
    def _sum(a: Floats, b: Floats, of: Floats) -> Floats:
        found: Floats = ((of @ b) * a).sum(0)
        return found


def estimate(measure: str, pair: Pair, kernel: Kernel, looks: Looks) -> DistanceEstimate:
    """The unbiased discrepancy of two sides under a kernel: bootstrap over places, permutation of places."""
    rng = looks.rng(measure)
    pair = pair.at_most(MOST_ROWS, rng)
    its = sized(measure, pair)
    if why := refusal(pair):
        return replace(its, refused=why)
    sums = Sums(pair, kernel)
    own = sums.of_b[:, None]
    value = float(sums.discrepancy((~own).astype(float), own.astype(float))[0])
    drawn = pair.bootstrapped(rng, looks.replicates)
    # Where places share a number the bootstrap draws these numbers.
    drawn = drawn[: sums.of_unit.max() + 1][sums.of_unit] if pair.units <= MOST_UNITS else _drawn(sums, rng, looks)
    replicates = sums.discrepancy(drawn * ~own, drawn * own)
    null = sums.discrepancy(*_permuted(pair, sums, rng, looks.permutations))
    return finished(its, value, replicates, null, "bootstrap")


def _drawn(sums: Sums, rng: np.random.Generator, looks: Looks) -> Floats:
    units = int(sums.of_unit.max()) + 1
    counts = rng.multinomial(units, np.full(units, 1 / units), looks.replicates).T.astype(np.float64)
    return counts[sums.of_unit]


def _permuted(pair: Pair, sums: Sums, rng: np.random.Generator, times: int) -> tuple[Floats, Floats]:
    """(groups, times) which groups are of A, and of B, once sides are permuted."""
    first = np.unique(sums.group, return_index=True)[1]
    sides = np.stack([pair.permuted(rng)[first] for _ in range(times)], 1)
    return (~sides).astype(np.float64), sides.astype(np.float64)
