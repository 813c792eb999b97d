"""One number of a measure with all that belongs to it: interval, noise floor, test, and what it was made of. Pure."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from curation.errors.codes import Code
from curation.worth.distance.pair import LEAST_PLACES, Flags, Floats, Pair

Z95 = 1.959964
"""Of a normal distribution: so many standard deviations on both sides hold 95 %."""

LEVEL = 0.05
"""Of p that tells of a difference."""

Tail = Literal["high", "low", "both"]
"""Which values tell of a difference: large ones, small ones, or either."""


@dataclass(frozen=True, slots=True)
class Looks:
    """How often it is drawn, and from which seed."""

    seed: int = 0
    permutations: int = 999
    """Of measures that are cheap to permute."""
    replicates: int = 200
    """Of a bootstrap; halves are at most `HALVES`."""

    def rng(self, *names: str) -> np.random.Generator:
        """A generator that depends on the seed and the names alone."""
        return np.random.default_rng([self.seed, *(zlib.crc32(n.encode()) for n in names)])

    dear: int = 99
    """How often what is dear is permuted, where that is not less."""

    def of_family(self, count: int) -> Looks:
        """The same, with so many permutations that p can be below `LEVEL` by Holm where so much is asked of a measure.

        Of what is dear it is as many as `MOST_DEAR`: beyond, the result says which measures can tell of nothing.
        """
        least = math.ceil(count / LEVEL)
        return replace(self, permutations=max(self.permutations, least), dear=min(max(self.dear, least), MOST_DEAR))

    @property
    def halves(self) -> int:
        """How many halves are drawn."""
        return min(self.replicates, HALVES)


HALVES, MOST_DEAR, MOST_ORDERS = 99, 399, 10**9


@dataclass(frozen=True, slots=True)
class DistanceEstimate:
    """What a measure says of two sides."""

    measure: str
    of: str = ""
    """The band or label; empty of what is of all numbers."""
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    """Ends of the interval of 95 %, over places."""
    interval: str = ""
    """How it was made: `bootstrap`, `halves`."""
    floor: float = math.nan
    """What the measure comes to where there is no difference, at this n: mean over permutations."""
    floor_95: float = math.nan
    """Which 95 % of the permutations do not exceed (of small values that tell: do not fall below)."""
    p: float = math.nan
    """Share of permutations, this one included, that are as extreme."""
    p_holm: float = math.nan
    """The same, corrected by Holm for all pairs, bands and labels that the measure was asked of in the report."""
    permutations: int = 0
    orders: int = MOST_ORDERS
    """How many ways there are to permute sides, at most `MOST_ORDERS`: no p can be told from less than one of them."""
    places_a: int = 0
    places_b: int = 0
    rows_a: int = 0
    rows_b: int = 0
    unit: str = ""
    refused: str = ""
    """Why there is no value: a code and what was found."""
    beside: dict[str, float] = field(default_factory=dict)
    """What else is known: `plug_in_bias`, `fd_n`."""

    @property
    def tells(self) -> bool:
        """Whether it says that there is a difference, with 95 %, corrected for what else was asked."""
        return self.p_holm <= LEVEL


def beyond(its: DistanceEstimate) -> float:
    """How far from what no difference comes to; of a band or label in shares of that, since they have units of their own."""
    floor = its.floor if math.isfinite(its.floor) else 0.0
    far = abs(its.value - floor)
    if not its.of:
        return far
    return far / floor if floor > 0 else 0.0


def furthest(estimates: Sequence[DistanceEstimate]) -> DistanceEstimate | None:
    """The one that is furthest beyond what no difference comes to; the first where nothing is known of any."""
    known = [e for e in estimates if math.isfinite(e.value)]
    return max(known or estimates, key=lambda e: beyond(e) if known else 0.0, default=None)


def sized(measure: str, pair: Pair, of: str = "", unit: str = "") -> DistanceEstimate:
    """An estimate without a value, with the sizes of a pair."""
    (places_a, places_b), (rows_a, rows_b) = pair.places(), pair.rows()
    return DistanceEstimate(
        measure,
        of,
        unit=unit,
        orders=min(pair.orders(), MOST_ORDERS),
        places_a=places_a,
        places_b=places_b,
        rows_a=rows_a,
        rows_b=rows_b,
    )


def refusal(pair: Pair) -> str:
    """Why no measure is given of a pair; empty where all may be."""
    places = pair.places()
    if min(places) >= LEAST_PLACES:
        return ""
    return f"{Code.FEW_PLACES}: {places[0]} and {places[1]} places, expected at least {LEAST_PLACES} on each side"


def finished(
    its: DistanceEstimate,
    value: float,
    replicates: Floats,
    null: Floats,
    interval: str,
    tail: Tail = "high",
    least: float = -math.inf,
    most: float = math.inf,
) -> DistanceEstimate:
    """An estimate with its interval, floor and p.

    Args:
        its: with its sizes.
        value: of the pair.
        replicates: the same of places drawn again, whose deviation is that of the value.
        null: the same with sides permuted.
        interval: how the replicates were drawn.
        tail: which values tell of a difference.
        least: what the measure never falls below.
        most: what it never exceeds.
    """
    known = replicates[np.isfinite(replicates)]
    half = Z95 * float(known.std(ddof=1)) if len(known) > 1 else math.nan
    its = replace(its, value=value, low=max(least, value - half), high=min(most, value + half), interval=interval)
    null = null[np.isfinite(null)]
    if not len(null) or not math.isfinite(value):
        return its
    floor = float(null.mean())
    level = float(np.quantile(null, 0.05 if tail == "low" else 0.95))
    return replace(its, floor=floor, floor_95=level, p=p_of(value, null, tail), permutations=len(null))


def p_of(value: float, null: Floats, tail: Tail) -> float:
    """(1 + how many are as extreme) / (1 + how many there are)."""
    small = 1e-12 * max(1.0, abs(value))
    if tail == "both":
        value, null = abs(value - float(null.mean())), np.abs(null - null.mean())
    extreme = null <= value + small if tail == "low" else null >= value - small
    return float((1 + extreme.sum()) / (1 + len(null)))


Statistic = Callable[[Pair, Flags], float]
"""Given rows, and which side each is of."""


def by_halves(
    its: DistanceEstimate, pair: Pair, statistic: Statistic, looks: Looks, tail: Tail = "high"
) -> DistanceEstimate:
    """An estimate of a statistic that twins would bias: halves of the places, without replacement, in place of a bootstrap.

    The deviation over halves is that of the whole, as the delete-half jackknife has it.
    """
    rng = looks.rng(its.measure, its.of)
    halves = [pair.some(pair.half(rng)) for _ in range(looks.halves)]
    replicates = np.asarray([statistic(h, h.is_b) for h in halves])
    null = np.asarray([statistic(pair, pair.permuted(rng)) for _ in range(min(looks.dear, looks.permutations))])
    return finished(its, statistic(pair, pair.is_b), replicates, null, "halves", tail)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's p of a family; what is NaN is of none."""
    values = np.asarray(p, np.float64)
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    out = np.full(len(values), math.nan)
    steps = values[order] * np.arange(len(order), 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(steps), 1) if len(order) else steps
    return [float(v) for v in out]
