"""How well a linear classifier tells the sides apart, on places that it has not seen: the most readable of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import rankdata

from curation.worth.distance.estimate import DistanceEstimate, Looks, finished, refusal, sized
from curation.worth.distance.measures.kernels import MOST_ROWS
from curation.worth.distance.pair import Flags, Floats, Ints, Pair

FOLDS = 5
RIDGE = 0.1
"""Of least squares on numbers of unit deviation: so many times the rows are added to the diagonal."""


def folds(pair: Pair, rng: np.random.Generator) -> Ints:
    """(n,) the fold of each row: that of its place, places of each stratum spread evenly."""
    of = np.zeros(pair.units, np.int64)
    for units in pair.strata():
        of[rng.permutation(units)] = np.arange(len(units)) % FOLDS
    return of[pair.unit]


def scores(x: Floats, labels: Floats, fold: Ints) -> Floats:
    """(n, times) what least squares with a ridge, fitted to the other folds, says of each row; above 0 it says B.

    0 lies midway between what it says of A and of B where it was fitted, however many more of one there are.

    Args:
        x: (n, D).
        labels: (n, times) 1 of B, -1 of A.
        fold: (n,).
    """
    out = np.zeros_like(labels)
    for number in range(FOLDS):
        test = fold == number
        train = x[~test]
        middle = train.mean(0)
        centred = train - middle
        gram = centred.T @ centred + RIDGE * len(train) * np.eye(x.shape[1])
        weights = np.linalg.solve(gram, centred.T @ (labels[~test] - labels[~test].mean(0)))
        out[test] = (x[test] - middle) @ weights - _midway(centred @ weights, labels[~test] > 0)
    return out


def _midway(score: Floats, is_b: Flags) -> Floats:
    """(times,) midway between the mean scores of both sides, (n, times) each; of one side alone there is nothing to tell."""
    b, rows = is_b.sum(0), len(is_b)
    total = np.where(is_b, score, 0).sum(0)
    found: Floats = (total / np.maximum(b, 1) + (score.sum(0) - total) / np.maximum(rows - b, 1)) / 2
    return found


def auc(score: Floats, a: Floats, b: Floats) -> Floats:
    """(times,) share of pairs of a row of A and one of B that a score (n,) has in order, by weights; ties are half."""
    order = np.argsort(score, kind="stable")
    score, a, b = score[order], a[order], b[order]
    below = np.concatenate([np.zeros((1, a.shape[1])), np.cumsum(a, 0)])
    before, until = np.searchsorted(score, score, "left"), np.searchsorted(score, score, "right")
    right = (b * (below[before] + below[until]) / 2).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = right / (a.sum(0) * b.sum(0))
    return found


def _over_folds(score: Floats, weight: Floats, is_b: Flags, fold: Ints) -> Floats:
    """(times,) mean of the folds, since scores of two models have no order; folds without a side count for nothing."""
    each = []
    for number in range(FOLDS):
        rows = fold == number
        own = is_b[rows][:, None]
        each.append(auc(score[rows], weight[rows] * ~own, weight[rows] * own))
    return _mean(np.asarray(each))


def _mean(each: Floats) -> Floats:
    known = np.isfinite(each)
    total = np.where(known, each, 0).sum(0)
    return np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan)


def _permuted(score: Floats, sides: Flags, fold: Ints) -> Floats:
    """(times,) the same of scores and sides (n, times), each column its own."""
    each = []
    for number in range(FOLDS):
        rank, own = rankdata(score[fold == number], axis=0), sides[fold == number]
        b, a = own.sum(0), (~own).sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            each.append(((rank * own).sum(0) - b * (b + 1) / 2) / (a * b))
    return _mean(np.asarray(each))


def estimates(pair: Pair, looks: Looks) -> Sequence[DistanceEstimate]:
    """AUC, 0.5 where the sides cannot be told apart; beside it the proxy A-distance, 2 (1 − 2 error)."""
    rng = looks.rng("auc")
    pair = pair.at_most(MOST_ROWS, rng)
    its = sized("auc", pair)
    if why := refusal(pair):
        return [replace(its, refused=why)]
    fold = folds(pair, rng)
    sign = np.where(pair.is_b, 1.0, -1.0)[:, None]
    score = scores(pair.x, sign, fold)[:, 0]
    ones = np.ones((len(score), 1))
    value = float(_over_folds(score, ones, pair.is_b, fold)[0])
    drawn = pair.bootstrapped(rng, looks.replicates)[pair.unit]
    replicates = _over_folds(score, drawn, pair.is_b, fold)
    sides = np.stack([pair.permuted(rng) for _ in range(looks.permutations)], 1)
    null = _permuted(scores(pair.x, np.where(sides, 1.0, -1.0), fold), sides, fold)
    found = finished(its, value, replicates, null, "bootstrap", least=0, most=1)
    return [replace(found, beside={"proxy_a": 2 * (1 - 2 * _error(score, pair.is_b, fold))})]


def _error(score: Floats, is_b: Flags, fold: Ints) -> float:
    """Balanced error at the threshold between the mean scores of the sides, fold by fold."""
    wrong = []
    for number in range(FOLDS):
        a, b = score[(fold == number) & ~is_b], score[(fold == number) & is_b]
        if len(a) and len(b):
            wrong.append(((a > 0).mean() + (b <= 0).mean()) / 2)
    return float(np.mean(wrong)) if wrong else 0.5
