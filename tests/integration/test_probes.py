"""Probes and their scores beside scikit-learn's, where both define the same."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from curation.worth.probe import heads, scores
from tests.integration.conftest import needed

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture(autouse=True)
def scikit_learn() -> None:
    needed("probes beside scikit-learn", "" if importlib.util.find_spec("sklearn") else "no sklearn in this Python")


def made(n: int = 300, d: int = 12, k: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, several classes of each row that follow from them, and one class."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, d))
    z = x[:, :k] + rng.normal(size=(n, k))
    return x, (z > 0.2).astype(float), np.eye(k)[z.argmax(axis=1)]


@pytest.mark.parametrize("weighted", [False, True])
def test_average_precision_and_f1_are_scikit_learn_s_with_ties_and_weights(weighted: bool):
    from sklearn.metrics import average_precision_score, f1_score

    rng = np.random.default_rng(1)
    _, hot, _ = made()
    said = np.clip(np.round(hot * 0.3 + 0.7 * rng.random(hot.shape), 1), 0, 1)  # many of them alike
    weights = rng.integers(0, 4, len(hot)).astype(float) if weighted else np.ones(len(hot))
    ours = scores.average_precisions(said, hot, weights[None])[0]
    theirs = [average_precision_score(y, s, sample_weight=weights) for y, s in zip(hot.T, said.T, strict=True)]
    assert ours == pytest.approx(theirs, abs=1e-12)
    found = scores.f1s(scores.decided("classes", said), hot, weights[None])[0]
    theirs = f1_score(hot, said >= 0.5, average=None, sample_weight=weights)
    assert found == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("strength", [1.0, 0.1, 0.01])
@pytest.mark.parametrize("exclusive", [False, True])
def test_logistic_regression_is_scikit_learn_s_with_c_of_one_over_rows_times_strength(strength: float, exclusive: bool):
    from sklearn.linear_model import LogisticRegression

    x, hot, one = made()
    y = one if exclusive else hot
    weights = heads.logistic(x, y, strength, exclusive=exclusive)
    how = {"C": 1 / (len(x) * strength), "tol": 1e-10, "max_iter": 10_000}
    z = x @ weights[:-1] + weights[-1]
    if exclusive:
        theirs = LogisticRegression(**how).fit(x, y.argmax(axis=1)).predict_proba(x)
        ours = np.exp(z - np.logaddexp.reduce(z, axis=1, keepdims=True))
    else:
        theirs = np.stack([LogisticRegression(**how).fit(x, c).predict_proba(x)[:, 1] for c in y.T], axis=1)
        ours = 1 / (1 + np.exp(-z))
    assert ours == pytest.approx(theirs, abs=2e-5)


def test_ridge_is_scikit_learn_s_with_alpha_of_rows_times_strength():
    from sklearn.linear_model import Ridge

    x, hot, _ = made()
    x = x - x.mean(axis=0)
    (ours,) = heads._ridge_path(x, hot, (0.3,))
    assert ours(x) == pytest.approx(Ridge(alpha=0.3 * len(x)).fit(x, hot).predict(x), abs=1e-10)


def test_neighbours_are_scikit_learn_s_by_cosine():
    from sklearn.neighbors import NearestNeighbors

    x, hot, _ = made()
    search = NearestNeighbors(n_neighbors=20, metric="cosine", algorithm="brute").fit(x[:200])
    distance, near = search.kneighbors(x[200:])
    weights = np.exp((1 - distance) / heads.TEMPERATURE)
    theirs = (weights[:, :, None] * hot[near]).sum(axis=1) / weights.sum(axis=1, keepdims=True)
    assert heads.knn(x[:200], hot[:200], x[200:]) == pytest.approx(theirs, abs=1e-9)


def test_r2_is_scikit_learn_s_where_the_mean_is_that_of_the_rows_scored():
    from sklearn.metrics import mean_absolute_error, r2_score

    rng = np.random.default_rng(0)
    truth = rng.normal(size=(50, 1))
    said = truth + rng.normal(size=(50, 1))
    ours = scores.of_rows("number", said, truth, np.ones((1, 50)), np.full((50, 1), truth.mean()))
    assert ours["R2"][0] == pytest.approx(r2_score(truth, said))
    assert ours["MAE"][0] == pytest.approx(mean_absolute_error(truth, said))
