"""Density and coverage of A by B (Naeem et al., 2020), once duplicates are out; and how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from curation.errors.codes import Code
from curation.worth.distance.estimate import DistanceEstimate, Looks, Tail, finished, refusal, sized
from curation.worth.distance.pair import Flags, Ints, Pair, squares
from curation.worth.features.table import Vectors

NEIGHBOURS = 5
"""A row's ball reaches to so many neighbours of its own side, of other places."""

MOST_ROWS = 4000
"""Of both sides together, since their distances are held: float32, 64 MB."""

DUPLICATE = 1e-4
"""Two rows nearer than this share of the median distance are the same sample."""


def expected(n: int, m: int) -> float:
    """Coverage of n rows by m of the same distribution: 1 − ∏ (n − j) / (n + m − j), j from 1 to k."""
    j = np.arange(1, NEIGHBOURS + 1)
    return float(1 - np.prod((n - j) / (n + m - j)))


def duplicated(apart: Vectors, side: Flags, median: float) -> Flags:
    """(n,) which rows of the chosen ones have another before them that is the same.

    Args:
        apart: (n, n) distances of all rows.
        side: (n,) the chosen ones.
        median: of distances.
    """
    rows = np.flatnonzero(side)
    same = np.tril(apart[np.ix_(rows, rows)] < DUPLICATE * median, -1)
    out = np.zeros(len(side), bool)
    out[rows[same.any(1)]] = True
    return out


def both(apart: Vectors, unit: Ints, a: Ints, b: Ints) -> tuple[float, float]:
    """Density and coverage; NaN where a row of A has too few neighbours of other places.

    Args:
        apart: (n, n) distances of all rows.
        unit: (n,) place of each: rows of one place are neighbours of no ball.
        a: rows of A, without duplicates.
        b: rows of B, without duplicates.
    """
    own = np.where(unit[a][:, None] == unit[a][None], np.inf, apart[np.ix_(a, a)])
    radius = np.partition(own, NEIGHBOURS - 1, axis=1)[:, NEIGHBOURS - 1]
    if not np.isfinite(radius).all():  # too few of other places are left: a ball would hold everything
        return float("nan"), float("nan")
    across = np.where(unit[a][:, None] == unit[b][None], np.inf, apart[np.ix_(a, b)])
    within = across < radius[:, None]
    return float(within.sum() / (NEIGHBOURS * len(b))), float(within.any(1).mean())


def estimates(pair: Pair, looks: Looks) -> Sequence[DistanceEstimate]:
    """Density (1 where alike), coverage, and the share of B's rows that are duplicates less that of A's."""
    rng = looks.rng("coverage")
    pair = pair.at_most(MOST_ROWS, rng)
    if why := refusal(pair) or _too_few(pair):
        return [replace(sized(n, pair), refused=why) for n in ("density", "coverage", "duplicates")]
    apart = np.sqrt(squares(pair.x, pair.x)).astype(np.float32)

    def of(rows: Flags, is_b: Flags) -> tuple[float, float, float]:
        twice = [duplicated(apart, rows & (is_b == side), pair.median) for side in (False, True)]
        a, b = (np.flatnonzero(rows & (is_b == side) & ~twice[side]) for side in (False, True))
        shares = [float(t[rows & (is_b == side)].mean()) for side, t in zip((False, True), twice, strict=True)]
        if min(len(a), len(b)) <= NEIGHBOURS:
            return float("nan"), float("nan"), shares[1] - shares[0]
        return *both(apart, pair.unit, a, b), shares[1] - shares[0]

    everything = np.ones(len(pair.unit), bool)
    value = of(everything, pair.is_b)
    halves = np.asarray([of(pair.half(rng)[pair.unit], pair.is_b) for _ in range(looks.halves)])
    null = np.asarray([of(everything, pair.permuted(rng)) for _ in range(min(looks.dear, looks.permutations))])
    rows_a, rows_b = pair.rows()
    beside: list[dict[str, float]] = [{}, {"expected": expected(rows_a, rows_b)}, {}]
    tails: tuple[Tail, Tail, Tail] = ("both", "low", "both")
    ends = ((0.0, float("inf")), (0.0, 1.0), (-1.0, 1.0))
    return [
        replace(
            finished(sized(name, pair), value[n], halves[:, n], null[:, n], "halves", tails[n], *ends[n]),
            beside=beside[n],
        )
        for n, name in enumerate(("density", "coverage", "duplicates"))
    ]


def _too_few(pair: Pair) -> str:
    least, places = 2 * (NEIGHBOURS + 1), min(pair.places())
    why = f"{Code.FEW_PLACES}: {places} places, expected at least {least}: halves of them have {NEIGHBOURS} neighbours"
    return "" if places >= least else why
