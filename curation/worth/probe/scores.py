"""Scores of what a probe says, of weighted rows: many weightings at a time, which is what a bootstrap wants. Pure.

All take weights (draw, n), one of them 1 for each row to have the score itself, and give a score of each draw. What cannot
be told is NaN, never 0: of a class that no row has, or that all have, there is no order to be right about.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from curation.places.grids import Floats
from curation.worth.probe.rows import Form

ECE_BINS = 15
"""As Guo et al. (2017) have it: of equal width over probabilities."""

MAIN: Mapping[Form, str] = {"classes": "mAP", "class": "accuracy", "number": "R2"}
"""The score that encoders are compared by."""


def of_rows(form: Form, predicted: Floats, truth: Floats, weights: Floats, usual: Floats) -> dict[str, Floats]:
    """All scores of a task, by name: (draw,) each.

    Args:
        form: of the task.
        predicted: probabilities or numbers (n, k).
        truth: (n, k).
        weights: (draw, n).
        usual: what the rows that a probe was fitted on have in the mean, for each row (n, k).
    """
    if form == "number":
        return _of_numbers(predicted, truth, weights, usual)
    said = decided(form, predicted)
    out = {
        "mAP": _class_mean(lambda w: average_precisions(predicted, truth, w), weights),
        "F1": _class_mean(lambda w: f1s(said, truth, w), weights),
        "ECE": ece(form, predicted, truth, weights),
    }
    if form == "class":
        right = (predicted.argmax(axis=1) == truth.argmax(axis=1)).astype(np.float64)
        return {"accuracy": weights @ right / weights.sum(axis=1)} | out
    return out


def _class_mean(of_classes: Callable[[Floats], Floats], weights: Floats) -> Floats:
    """Mean of a score (draw, class) over the classes that can be told of all rows: (draw,).

    A class that a draw has no row of has there what it has of all rows: else a draw without rare classes would be scored on
    the others alone, and intervals would lie above the score.
    """
    values, whole = of_classes(weights), of_classes(np.ones((1, weights.shape[1])))
    return mean_known(np.where(np.isnan(values), whole, values))


def average_precisions(scores: Floats, labels: Floats, weights: Floats) -> Floats:
    """Average precision of each class: (draw, class)."""
    each = [average_precision(s, y, weights) for s, y in zip(scores.T, labels.T, strict=True)]
    return np.stack(each, axis=1)


def average_precision(scores: Floats, labels: Floats, weights: Floats) -> Floats:
    """Precision at each distinct score, weighted by the recall that is won there: (draw,). scikit-learn defines it so.

    Args:
        scores: (n,); rows of one score come together, in no order among themselves.
        labels: 0 or 1 (n,).
        weights: (draw, n).
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    hits = np.cumsum(weights[:, order] * labels[order], axis=1)[:, ends]
    count = np.cumsum(weights[:, order], axis=1)[:, ends]
    positives, total = hits[:, -1], count[:, -1]
    won = np.diff(hits, axis=1, prepend=0.0)
    summed = (won * hits / np.maximum(count, 1e-300)).sum(axis=1)
    is_known = (positives > 0) & (positives < total)
    out: Floats = np.where(is_known, summed / np.where(is_known, positives, 1.0), np.nan)
    return out


def decided(form: Form, predicted: Floats) -> Floats:
    """Which classes are said, 0 or 1 (n, k): those of at least a half, or the one that is likeliest."""
    if form == "class":
        one: Floats = np.eye(predicted.shape[1])[predicted.argmax(axis=1)]
        return one
    return (predicted >= 0.5).astype(np.float64)


def f1s(said: Floats, truth: Floats, weights: Floats) -> Floats:
    """F1 of each class (draw, class); NaN of one that no row has and none is said to have."""
    both, either = weights @ (said * truth), weights @ (said + truth)
    return np.where(either > 0, 2 * both / np.where(either > 0, either, 1.0), np.nan)


def ece(form: Form, predicted: Floats, truth: Floats, weights: Floats) -> Floats:
    """Expected calibration error (draw,): how far probabilities are from shares, in bins of equal width.

    Of several classes the mean of each one's; of one class that of the class that is likeliest. A perfect probe has no 0
    by it: `ece_floor` says what it has.
    """
    if form == "class":
        best = predicted.argmax(axis=1)
        rows = np.arange(len(best))
        predicted, truth = predicted[rows, best][:, None], truth[rows, best][:, None]
    total, out = weights.sum(axis=1), np.zeros(len(weights))
    for p, y in zip(predicted.T, truth.T, strict=True):
        bins = np.minimum((p * ECE_BINS).astype(np.int64), ECE_BINS - 1)
        off = np.zeros((len(p), ECE_BINS))
        off[np.arange(len(p)), bins] = p - y
        out += np.abs(weights @ off).sum(axis=1) / total
    mean: Floats = out / predicted.shape[1]
    return mean


def ece_floor(form: Form, predicted: Floats, places: NDArray[np.str_], seed: int, draws: int = 50) -> float:
    """The error by which a probe that says just what is true would be measured on so many places: mean of simulated truths.

    Chance is drawn once for all rows of a place, since what is true of one season mostly is of the next: drawn for each
    row, the floor of four seasons would be half of what it is.
    """
    rng, one, found = np.random.default_rng(seed), np.ones((1, len(predicted))), []
    names, of_row = np.unique(places, return_inverse=True)
    for _ in range(draws):
        if form == "class":
            chosen = (rng.random((len(names), 1))[of_row] > predicted.cumsum(axis=1)[:, :-1]).sum(axis=1)
            truth = np.eye(predicted.shape[1])[chosen]
        else:
            truth = (rng.random((len(names), predicted.shape[1]))[of_row] < predicted).astype(np.float64)
        found.append(float(ece(form, predicted, truth, one)[0]))
    return float(np.mean(found))


def chance(form: Form, truth: Floats) -> float:
    """What the main score is of who knows nothing of a row.

    The mean share of positives over classes that can be told, the share of the most frequent class, or 0 of numbers.
    """
    if form == "number":
        return 0.0
    shares = truth.mean(axis=0)
    return float(shares.max()) if form == "class" else float(shares[(shares > 0) & (shares < 1)].mean())


def errors(form: Form, predicted: Floats, truth: Floats) -> Floats:
    """How wrong a probe is about each row (n,): share of its classes, 0 or 1 of its one class, mean absolute error."""
    if form == "class":
        wrong: Floats = (predicted.argmax(axis=1) != truth.argmax(axis=1)).astype(np.float64)
        return wrong
    off: Floats = np.abs((predicted if form == "number" else decided(form, predicted)) - truth).mean(axis=1)
    return off


def mean_known(values: Floats) -> Floats:
    """Mean over classes that can be told (draw,); NaN where none can."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a mean of nothing, which is NaN as it should be
        out: Floats = np.nanmean(values, axis=1)
    return out


def _of_numbers(predicted: Floats, truth: Floats, weights: Floats, usual: Floats) -> dict[str, Floats]:
    lost, of_mean = (weights @ np.square(v - truth).sum(axis=1) for v in (predicted, usual))
    size = weights.sum(axis=1) * truth.shape[1]
    r2 = np.where(of_mean > 0, 1 - lost / np.where(of_mean > 0, of_mean, 1.0), np.nan)
    return {"R2": r2, "RMSE": np.sqrt(lost / size), "MAE": weights @ np.abs(predicted - truth).sum(axis=1) / size}


def untold(truth: Floats, names: tuple[str, ...]) -> list[str]:
    """Classes that no row has, or all have: no mean over classes has them."""
    shares: NDArray[np.float64] = truth.mean(axis=0)
    return [name for name, share in zip(names, shares.tolist(), strict=True) if share in (0.0, 1.0)]
