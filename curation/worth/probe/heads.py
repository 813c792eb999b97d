"""The probes: what is fitted on frozen features, and what it says of other rows. Deterministic, on CPUs. Pure.

Features are scaled by mean and standard deviation of the rows that are fitted on; one that is the same in all of them
becomes 0. Logistic regression is the mean of losses plus `strength / 2` times the squared weights, intercepts left out;
scikit-learn's `C` is 1 / (n · strength). Ridge is the mean squared error plus `strength` times the squared weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax, xlogy

from curation.places.grids import Floats
from curation.worth.probe.folds import PlaceFold
from curation.worth.probe.rows import ProbeTask

HeadName = Literal["linear", "knn"]

STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)
"""Tried of a linear probe, from strong to weak, each from where the last ended; rows that are not scored choose one."""

NEIGHBOURS, TEMPERATURE = 20, 0.07
"""Of DINO's kNN probe (Caron et al. 2021): weights are exp(cosine / temperature)."""

GRADIENT = 1e-6
"""L-BFGS ends where no slope of the mean loss is steeper."""
MOST_STEPS = 2000
BLOCK = 1024
"""Rows whose neighbours are looked for together."""

Predict = Callable[[Floats], Floats]
"""Scaled features (n, d) → probabilities of classes, or numbers (n, k)."""


@dataclass(frozen=True, slots=True)
class HeadResult:
    """What a probe says of the rows that it is scored on."""

    predicted: Floats
    """(scored, k)."""
    strength: float | None
    """That of a linear probe."""


def fitted_and_asked(head: HeadName, x: NDArray[np.floating], task: ProbeTask, fold: PlaceFold) -> HeadResult:
    """A probe fitted on a fold, and what it says of the rows that are scored.

    Args:
        head: `linear` (logistic regression of classes, ridge of numbers) or `knn`.
        x: features of all rows (n, d).
        task: of all rows; of those of the fold it is known.
        fold: numbers of rows.
    """
    if head == "knn":
        fit, scored = scaled(x[fold.fit], x[fold.scored])
        return HeadResult(knn(fit, task.values[fold.fit], scored), None)
    strength = _chosen(x, task, fold)
    fit, scored = scaled(x[fold.fit], x[fold.scored])
    return HeadResult(next(iter(_path(fit, task, task.values[fold.fit], (strength,))))(scored), strength)


def scaled(fit: NDArray[np.floating], *others: NDArray[np.floating]) -> list[Floats]:
    """Features that are fitted on, and others, by mean and standard deviation of the first, in float64."""
    fit = fit.astype(np.float64)
    mean, std = fit.mean(axis=0), fit.std(axis=0)
    same = std <= 1e-9 * np.maximum(np.abs(mean), 1.0)
    std = np.where(same, np.inf, std)
    return [(v.astype(np.float64) - mean) / std for v in (fit, *others)]


def _chosen(x: NDArray[np.floating], task: ProbeTask, fold: PlaceFold) -> float:
    """The strength whose loss is least on the rows that are for that."""
    fit, held = scaled(x[fold.tuned_on], x[fold.tuning])
    truth = task.values[fold.tuning]
    losses = [loss(task, predict(held), truth) for predict in _path(fit, task, task.values[fold.tuned_on], STRENGTHS)]
    return STRENGTHS[int(np.argmin(losses))]


def loss(task: ProbeTask, predicted: Floats, truth: Floats) -> float:
    """Mean log loss of classes, mean squared error of numbers."""
    if task.form == "number":
        return float(np.square(predicted - truth).mean())
    p = np.clip(predicted, 1e-12, 1 - 1e-12)
    said = xlogy(truth, p) if task.form == "class" else xlogy(truth, p) + xlogy(1 - truth, 1 - p)
    return float(-said.sum(axis=1).mean())


def _path(fit: Floats, task: ProbeTask, y: Floats, strengths: tuple[float, ...]) -> list[Predict]:
    """A linear probe for each strength."""
    if task.form == "number":
        return _ridge_path(fit, y, strengths)
    exclusive, out, start = task.form == "class", list[Predict](), None
    for strength in strengths:
        start = logistic(fit, y, strength, exclusive=exclusive, start=start)
        out.append(_saying(start, exclusive))
    return out


def _saying(weights: Floats, exclusive: bool) -> Predict:
    def predict(x: Floats) -> Floats:
        z = x @ weights[:-1] + weights[-1]
        out: Floats = softmax(z, axis=1) if exclusive else expit(z)
        return out

    return predict


def logistic(x: Floats, y: Floats, strength: float, *, exclusive: bool, start: Floats | None = None) -> Floats:
    """Weights (d + 1, k), intercepts last, of logistic regression by L-BFGS.

    Args:
        x: scaled features (n, d).
        y: 0 and 1 (n, k).
        strength: what is held against large weights, above 0.
        exclusive: one class of each row (softmax over all), or each class by itself (a sigmoid each).
        start: weights to begin with; zeros where left out.
    """
    n, d = x.shape
    shape = d + 1, y.shape[1]

    def value_and_slope(flat: Floats) -> tuple[float, Floats]:
        w = flat.reshape(shape)
        z = x @ w[:-1] + w[-1]
        if exclusive:
            logs = log_softmax(z, axis=1)
            lost, off = -(logs * y).sum(), np.exp(logs) - y
        else:
            lost, off = (np.logaddexp(0, z) - z * y).sum(), expit(z) - y
        slope = np.vstack([x.T @ off / n + strength * w[:-1], off.sum(axis=0) / n])
        return float(lost / n + strength / 2 * np.square(w[:-1]).sum()), slope.ravel()

    begin = np.zeros(shape) if start is None else start
    options = {"maxiter": MOST_STEPS, "maxfun": 2 * MOST_STEPS, "gtol": GRADIENT, "ftol": 1e-13}
    # Its stubs know no function that gives value and slope of a vector of float64 alone.
    found: Any = minimize(value_and_slope, begin.ravel(), jac=True, method="L-BFGS-B", options=options)  # type: ignore[call-overload]
    weights: Floats = found.x.reshape(shape)
    return weights


def _ridge_path(x: Floats, y: Floats, strengths: tuple[float, ...]) -> list[Predict]:
    """Ridge regressions of one decomposition."""
    n, mean = len(x), y.mean(axis=0)
    values, vectors = np.linalg.eigh(x.T @ x / n)
    turned = vectors.T @ (x.T @ (y - mean) / n)

    def of(strength: float) -> Predict:
        weights = vectors @ (turned / (np.maximum(values, 0.0) + strength)[:, None])
        return lambda z: z @ weights + mean

    return [of(s) for s in strengths]


def knn(fit: Floats, y: Floats, x: Floats, k: int = NEIGHBOURS, temperature: float = TEMPERATURE) -> Floats:
    """Weighted mean of what the k most alike rows of `fit` are: (n, labels).

    Args:
        fit: scaled features (m, d); what is alike is by the cosine.
        y: what they are (m, labels).
        x: scaled features (n, d).
        k: neighbours; all of `fit` where it has fewer.
        temperature: of the weights.
    """
    k = min(k, len(fit))
    fit, out = _unit(fit), np.empty((len(x), y.shape[1]))
    for start in range(0, len(x), BLOCK):
        alike = _unit(x[start : start + BLOCK]) @ fit.T
        near = np.argpartition(-alike, k - 1, axis=1)[:, :k]
        weights = softmax(np.take_along_axis(alike, near, axis=1) / temperature, axis=1)
        out[start : start + BLOCK] = np.einsum("nk,nkl->nl", weights, y[near])
    return out


def _unit(x: Floats) -> Floats:
    out: Floats = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return out
