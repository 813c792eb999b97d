"""Fréchet distance of two Gaussians, extrapolated to n → ∞; refused where places are too few for the dimension."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from curation.errors.codes import Code
from curation.worth.distance.estimate import DistanceEstimate, Looks, by_halves, refusal, sized
from curation.worth.distance.pair import Flags, Floats, Pair

LEAST_MULTIPLE = 3
"""Places of each side, as a multiple of the dimension: the smallest share that is extrapolated from then has more places
than dimensions."""

SHARES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Of the places, that FD(n) = a + b/n is fitted to; `a` is what is given (Chong and Forsyth, 2020)."""

TIMES = 2
"""How often each share below 1 is drawn."""


def distance(x: Floats, y: Floats) -> float:
    """|m1 − m2|² + tr(S1 + S2 − 2 (S1 S2)^½) of rows (n, D) and (m, D), S with 1 / (n − 1); in float64, centred first.

    The trace of the root is the nuclear norm of X Yᵀ of centred rows, which of many rows has the same singular values as the
    product of the roots of S1 and S2: no root of a product that is not symmetric is ever taken.
    """
    middles = x.mean(0), y.mean(0)
    x, y = ((v - m) / np.sqrt(len(v) - 1) for v, m in zip((x, y), middles, strict=True))
    spread = float((x**2).sum() + (y**2).sum())
    root = np.linalg.svd(_factor(x) @ _factor(y).T, compute_uv=False).sum()
    return max(0.0, float(((middles[0] - middles[1]) ** 2).sum()) + spread - 2 * float(root))


def _factor(x: Floats) -> Floats:
    """R of at most (D, D) with RᵀR = XᵀX."""
    found: Floats = np.asarray(np.linalg.qr(x, mode="r"))
    return found


def extrapolated(pair: Pair, is_b: Flags, seed: int = 0) -> float:
    """A of FD(n) = a + b/n, over shares of the places of each side."""
    rng = np.random.default_rng(seed)
    inverse, found = [], []
    of = replace(pair, is_b=is_b)
    for share in SHARES:
        for _ in range(TIMES if share < 1 else 1):
            part = of.some(of.half(rng, share))
            inverse.append(1 / share)
            found.append(distance(part.x[~part.is_b], part.x[part.is_b]))
    slope, at_zero = np.polyfit(inverse, found, 1)
    del slope
    return float(at_zero)


def estimates(pair: Pair, looks: Looks) -> Sequence[DistanceEstimate]:
    """The extrapolated distance; beside it that of all rows (`fd_n`), which is too large by about c/n."""
    its = sized("frechet", pair)
    places, least = min(pair.places()), LEAST_MULTIPLE * pair.x.shape[1]
    why = refusal(pair)
    if not why and places < least:
        why = (
            f"{Code.FEW_PLACES}: {places} places, expected at least {least}: {LEAST_MULTIPLE} for each of "
            f"{pair.x.shape[1]} dimensions; --dims {places // LEAST_MULTIPLE} takes so many principal components"
        )
    if why:
        return [replace(its, refused=why)]
    found = by_halves(its, pair, functools.partial(extrapolated, seed=looks.seed), looks)
    return [replace(found, beside={"fd_n": distance(pair.x[~pair.is_b], pair.x[pair.is_b])})]
