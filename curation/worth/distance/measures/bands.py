"""Each band alone, by its means over patches: Wasserstein distance in its unit, Jensen–Shannon divergence in bits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from curation.errors.codes import Code
from curation.worth.distance.estimate import DistanceEstimate, Looks, finished, refusal, sized
from curation.worth.distance.pair import Floats, Pair

BINS = 16
"""Of pooled quantiles, that Jensen–Shannon divergence is over."""

_ALONE = "each has a bin of its own, so that any two sides are 1 bit apart"

AT_ONCE = 1 << 21
"""Weights that are held at a time, of each side: 16 MiB."""


def wasserstein(values: Floats, a: Floats, b: Floats) -> Floats:
    """(times,) area between two cumulative distributions of values (n,), by weights (n, times) of each side."""
    order = np.argsort(values, kind="stable")
    steps = np.diff(values[order])
    below = [np.cumsum(w[order], 0)[:-1] / w.sum(0) for w in (a, b)]
    found: Floats = steps @ np.abs(below[0] - below[1])
    return found


def jensen_shannon(p: Floats, q: Floats) -> Floats:
    """(times,) bits, from 0 to 1, of frequencies (K, times), each column of sum 1."""
    middle = (p + q) / 2
    return (_to(p, middle) + _to(q, middle)) / 2


def _to(of: Floats, middle: Floats) -> Floats:
    """(times,) Kullback–Leibler divergence, bits."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(of > 0, of * np.log2(of / middle), 0).sum(0)
    return found


def divergence(shares: Floats, a: Floats, b: Floats) -> Floats:
    """(times,) Jensen–Shannon divergence of what shares (K, n) come to by weights (n, times) of each side."""
    p, q = (shares @ w for w in (a, b))
    return jensen_shannon(*(v / np.maximum(v.sum(0), 1e-300) for v in (p, q)))


def plug_in_bias(bins: int, n: int, m: int) -> float:
    """Bits that Jensen–Shannon divergence of two samples of one distribution over so many bins comes to, about."""
    return float((bins - 1) / (8 * np.log(2)) * (1 / n + 1 / m))


def binned(values: Floats) -> Floats:
    """(bins, n) 1 where a value lies in a bin of pooled quantiles; of few different values there are fewer bins."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
    number = np.searchsorted(edges, values, "right")
    found: Floats = (number[None] == np.arange(len(edges) + 1)[:, None]).astype(np.float64)
    return found


def of_draws(
    statistic: Callable[[Floats, Floats], Floats], pair: Pair, looks: Looks, name: str
) -> tuple[Floats, Floats]:
    """A statistic of weights of rows in A and in B, (n, times) each: as they are and as they are drawn again; and permuted.

    Weights of some draws are held at a time, however many permutations a family wants.
    """
    rng, own, step = looks.rng(name), pair.is_b[:, None], max(1, AT_ONCE // len(pair.is_b))
    drawn = np.concatenate([np.ones((pair.units, 1)), pair.bootstrapped(rng, looks.replicates)], 1)
    found, null = list[Floats](), list[Floats]()
    for first in range(0, drawn.shape[1], step):
        some = drawn[:, first : first + step][pair.unit]
        found.append(statistic(some * ~own, some * own))
    for first in range(0, looks.permutations, step):
        sides = np.stack([pair.permuted(rng) for _ in range(min(step, looks.permutations - first))], 1)
        null.append(statistic((~sides).astype(np.float64), sides.astype(np.float64)))
    return np.concatenate(found), np.concatenate(null)


def of_values(
    name: str, values: Mapping[str, Floats], pair: Pair, looks: Looks, units: Mapping[str, str]
) -> list[DistanceEstimate]:
    """The Wasserstein distance of each of some values (n,); rows where one is NaN are left out of it."""
    out = []
    for of, its in values.items():
        known = np.isfinite(its)
        part, unit = _known(pair, known), units.get(of, "")
        if part is None or refusal(part):
            out.append(
                replace(sized(name, pair, of, unit), refused=refusal(part) if part else "few_places: none known")
            )
            continue
        found, null = of_draws(functools.partial(wasserstein, its[known]), part, looks, f"{name} {of}")
        out.append(finished(sized(name, part, of, unit), float(found[0]), found[1:], null, "bootstrap", least=0))
    return out


def _known(pair: Pair, known: np.ndarray) -> Pair | None:
    if not known.any() or len(np.unique(pair.is_b[known])) < 2:
        return None
    unit = np.unique(pair.unit[known], return_inverse=True)[1]
    return Pair(pair.x[known], pair.is_b[known], unit, pair.median)


def estimates(pair: Pair, looks: Looks) -> Sequence[DistanceEstimate]:
    """Of each band both."""
    return [*of_values("band_w1", pair.bands, pair, looks, {}), *_divergences(pair, looks)]


def _divergences(pair: Pair, looks: Looks) -> list[DistanceEstimate]:
    out = []
    for of, values in pair.bands.items():
        its = sized("band_js", pair, of, "bits")
        if why := refusal(pair):
            out.append(replace(its, refused=why))
            continue
        bins = binned(values)
        if bins.sum(1).max() < 2:
            few = f"{Code.FEW_PLACES}: {values.size} patches, expected more than {BINS}: {_ALONE}"
            out.append(replace(its, refused=few))
            continue
        found, null = of_draws(functools.partial(divergence, bins), pair, looks, f"band_js {of}")
        done = finished(its, float(found[0]), found[1:], null, "bootstrap", least=0, most=1)
        out.append(replace(done, beside={"plug_in_bias": plug_in_bias(len(bins), *pair.places())}))
    return out
