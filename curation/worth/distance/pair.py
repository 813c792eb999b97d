"""Two sets of rows that are compared, on one scale, with the places that are resampled and permuted. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from curation.worth.features.table import Features, Strings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

LEAST_PLACES = 5
"""Of each side: below, there is nothing to resample, and no measure is given."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """One scale for all that a report compares: pooled mean and deviation, and principal components where asked for."""

    middle: Floats
    """(D,)."""
    spread: Floats
    """(D,) standard deviation; what never varies is left out by `taken`."""
    taken: Flags
    """(D,) which numbers vary."""
    axes: Floats | None
    """(varying, K) principal components; None: all numbers as they are."""
    median: float
    """Median distance of two rows of different places, which kernels are scaled by."""

    @property
    def count(self) -> int:
        """Numbers of a row once it is scaled."""
        return int(self.taken.sum()) if self.axes is None else self.axes.shape[1]

    def scaled(self, values: NDArray[np.float32]) -> Floats:
        """Rows (n, D) on the scale, float64 (n, `count`)."""
        out = (values[:, self.taken].astype(np.float64) - self.middle[self.taken]) / self.spread[self.taken]
        return out if self.axes is None else out @ self.axes


BLOCK_ROWS = 4096
"""Rows that sums are taken of at a time."""

MOST_ROWS = 20_000
"""Of both sides together, that are held in float64: of more, places are drawn at random, and the sizes of results say so."""

MEDIAN_OF = 1000
"""Rows that the median distance is taken of."""

VARIES = 1e-9
"""A number whose deviation is less than this share of its own size is a constant that was rounded."""


def scaling(parts: Sequence[Features], dims: int | None = None, seed: int = 0) -> Scaling:
    """The scale of some parts, taken together. Sums are of centred float64, one part at a time.

    Args:
        parts: whose rows count.
        dims: so many principal components of the scaled numbers; all numbers where None.
        seed: of the rows that the median distance is of.
    """
    count = sum(len(p) for p in parts)
    middle = sum(block.sum(0, dtype=np.float64) for block in _blocks(parts)) / count
    spread = np.sqrt(sum(((block - middle) ** 2).sum(0) for block in _blocks(parts)) / count)
    taken = spread > VARIES * np.maximum(np.abs(middle), 1e-30)
    found = Scaling(middle, spread, taken, None, 1.0)
    axes = None if dims is None or dims >= taken.sum() else _axes(found, parts, dims)
    found = Scaling(middle, spread, taken, axes, 1.0)
    return Scaling(middle, spread, taken, axes, _median(found, parts, seed))


def _blocks(parts: Sequence[Features]) -> Iterator[NDArray[np.float32]]:
    """Rows of all parts, some at a time: what is worked out of them in float64 is never of all."""
    for part in parts:
        for first in range(0, len(part), BLOCK_ROWS):
            yield part.values[first : first + BLOCK_ROWS]


def _axes(its: Scaling, parts: Sequence[Features], dims: int) -> Floats:
    together = sum(x.T @ x for x in (its.scaled(block) for block in _blocks(parts)))
    vectors = np.linalg.eigh(together)[1][:, ::-1][:, :dims]
    signs = np.sign(vectors[np.abs(vectors).argmax(0), np.arange(vectors.shape[1])])
    found: Floats = np.ascontiguousarray(vectors * signs)
    return found


def _median(its: Scaling, parts: Sequence[Features], seed: int) -> float:
    rng = np.random.default_rng(seed)
    each = max(2, MEDIAN_OF // len(parts))
    some = [np.sort(rng.permutation(len(p))[:each]) for p in parts]
    x = np.concatenate([its.scaled(p.values[rows]) for p, rows in zip(parts, some, strict=True)])
    places = np.concatenate([p.places[rows] for p, rows in zip(parts, some, strict=True)])
    apart = np.sqrt(squares(x, x))[places[:, None] != places[None]]
    middle = float(np.median(apart)) if apart.size else 0.0
    return middle or 1.0


def squares(x: Floats, y: Floats) -> Floats:
    """Squared distances of rows (n, D) and (m, D), never below 0."""
    found: Floats = (x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * (x @ y.T)
    np.maximum(found, 0, out=found)
    return found


@dataclass(frozen=True, slots=True)
class Pair:
    """Rows of A and then of B, pooled."""

    x: Floats
    """(n, D) scaled."""
    is_b: Flags
    """(n,) which side each row is of."""
    unit: Ints
    """(n,) number of its place, or of the block of places, from 0: the same for both sides."""
    median: float
    """Of the report's scale."""
    bands: Mapping[str, Floats] = field(default_factory=dict)
    """Band → (n,) its mean over the patch."""
    fractions: Mapping[str, Floats] = field(default_factory=dict)
    """Label → (n,) its share, NaN where unknown."""

    @property
    def units(self) -> int:
        """Places, or blocks, of both sides together."""
        return int(self.unit.max()) + 1

    def strata(self) -> list[Ints]:
        """Units that both sides have, those of A alone, and those of B alone."""
        on = [np.zeros(self.units, bool), np.zeros(self.units, bool)]
        for side in (0, 1):
            on[side][self.unit[self.is_b == side]] = True
        return [np.flatnonzero(on[0] & on[1]), np.flatnonzero(on[0] & ~on[1]), np.flatnonzero(on[1] & ~on[0])]

    def places(self) -> tuple[int, int]:
        """How many units each side has."""
        both, a, b = (len(s) for s in self.strata())
        return both + a, both + b

    def rows(self) -> tuple[int, int]:
        """How many rows each side has."""
        return int((~self.is_b).sum()), int(self.is_b.sum())

    def orders(self) -> int:
        """In how many ways `permuted` may give sides."""
        both, a, b = (len(s) for s in self.strata())
        return (1 << both) * math.comb(a + b, a)

    def some(self, keep: Flags) -> Pair:
        """The rows of some units."""
        rows = keep[self.unit]
        names = {n: v[rows] for n, v in self.bands.items()}, {n: v[rows] for n, v in self.fractions.items()}
        unit = np.unique(self.unit[rows], return_inverse=True)[1]
        return Pair(self.x[rows], self.is_b[rows], unit, self.median, *names)

    def at_most(self, rows: int, rng: np.random.Generator) -> Pair:
        """This, or where it has more rows, those of some units drawn at random, each side's share as before."""
        if len(self.unit) <= rows:
            return self
        return self.some(self.half(rng, rows / len(self.unit)))

    # ---- what is drawn, each time of the units of each stratum ----------------------------------------------------------

    def bootstrapped(self, rng: np.random.Generator, times: int) -> Floats:
        """(units, times) how often each unit is drawn, with replacement."""
        out = np.zeros((self.units, times))
        for units in filter(len, self.strata()):
            out[units] = rng.multinomial(len(units), np.full(len(units), 1 / len(units)), times).T
        return out

    def half(self, rng: np.random.Generator, share: float = 0.5) -> Flags:
        """(units,) which are drawn, without replacement: a share of each stratum, two at least where it has them."""
        out = np.zeros(self.units, bool)
        for units in filter(len, self.strata()):
            count = min(len(units), max(2, round(len(units) * share)))
            out[rng.permutation(units)[:count]] = True
        return out

    def permuted(self, rng: np.random.Generator) -> Flags:
        """(n,) another side of each row, as it might be if sides meant nothing: seasons of a place stay together.

        A place of both sides changes them or not; of the others as many as before are of B.
        """
        both, a, b = self.strata()
        change = np.zeros(self.units, bool)
        change[both] = rng.random(len(both)) < 0.5
        alone = np.concatenate([a, b])
        mixed = rng.permutation(len(alone)) >= len(a)
        change[alone] = mixed != (np.arange(len(alone)) >= len(a))
        return self.is_b ^ change[self.unit]


def pair_of(a: Features, b: Features, scale: Scaling, block_deg: float | None = None, seed: int = 0) -> Pair:
    """Two parts on one scale.

    Args:
        a: rows of the one.
        b: rows of the other, of the same embedding.
        scale: of the report.
        block_deg: places within the same cell of so many degrees are one unit; None: each place is one.
        seed: of the places that are drawn where there are more than `MOST_ROWS` rows.
    """
    unit = np.unique(np.concatenate([_units(p, block_deg) for p in (a, b)]), return_inverse=True)[1].astype(np.int64)
    is_b = np.repeat([False, True], [len(a), len(b)])
    numbered = Pair(np.arange(len(unit), dtype=np.float64)[:, None], is_b, unit, scale.median)
    drawn = numbered.at_most(MOST_ROWS, np.random.default_rng(seed))
    rows = drawn.x[:, 0].astype(np.int64)
    sides = [p.rows(r) for p, r in ((a, rows[~drawn.is_b]), (b, rows[drawn.is_b] - len(a)))]
    bands, labels = ([n for n in sorted(x) if n in y] for x, y in ((a.bands, b.bands), (a.fractions, b.fractions)))
    return replace(
        drawn,
        x=np.concatenate([scale.scaled(s.values) for s in sides]),
        bands={n: np.concatenate([s.bands[n] for s in sides]).astype(np.float64) for n in bands},
        fractions={n: np.concatenate([s.fractions[n] for s in sides]).astype(np.float64) for n in labels},
    )


def _units(its: Features, block_deg: float | None) -> Strings:
    if block_deg is None:
        return its.places
    cells = np.floor(np.stack([its.lat, its.lon]) / block_deg).astype(np.int64)
    return np.asarray([f"{lat},{lon}" for lat, lon in cells.T], np.str_)
