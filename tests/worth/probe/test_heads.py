"""Probes are what their formulas say, and nothing of what is scored gets into them."""

import math

import numpy as np
import pytest

from curation.worth.probe import folds, heads
from curation.worth.probe.rows import ProbeTask
from tests.worth.probe import made


def objective(w, x, y, strength, exclusive):
    """The docstring's, one row at a time."""
    total = 0.0
    for row, truth in zip(x, y, strict=True):
        z = row @ w[:-1] + w[-1]
        if exclusive:
            total += math.log(np.exp(z).sum()) - z[truth.argmax()]
        else:
            total -= sum(math.log(1 / (1 + math.exp(-a if t else a))) for a, t in zip(z, truth, strict=True))
    return total / len(x) + strength / 2 * (w[:-1] ** 2).sum()


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("strength", [1.0, 0.01])
def test_logistic_regression_is_at_the_least_of_its_formula(exclusive, strength):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 4)), np.eye(3)[rng.integers(0, 3, 60)]
    w = heads.logistic(x, y, strength, exclusive=exclusive)
    at = objective(w, x, y, strength, exclusive)
    for _ in range(30):
        step = rng.normal(size=w.shape)
        away = [objective(w + s * 1e-3 * step, x, y, strength, exclusive) for s in (1, -1)]
        assert min(away) > at - 1e-9
        assert abs(away[0] - away[1]) < 1e-6  # no slope


def test_a_class_that_is_not_told_by_features_has_its_share():
    y = np.tile([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 1.0]], (10, 1))
    w = heads.logistic(np.zeros((40, 2)), y, 0.1, exclusive=False)
    assert 1 / (1 + np.exp(-w[-1])) == pytest.approx([0.25, 0.5], abs=1e-5)
    assert w[:-1] == pytest.approx(0)


def test_ridge_is_the_solution_of_its_normal_equations():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 5)), rng.normal(size=(50, 2))
    x -= x.mean(axis=0)
    (predict,) = heads._ridge_path(x, y, (0.3,))
    w = np.linalg.solve(x.T @ x + 50 * 0.3 * np.eye(5), x.T @ (y - y.mean(axis=0)))
    assert predict(x) == pytest.approx(x @ w + y.mean(axis=0))


def test_neighbours_are_the_most_alike_by_cosine_weighted_as_dino_weighs_them(monkeypatch):
    monkeypatch.setattr(heads, "BLOCK", 7)
    rng = np.random.default_rng(0)
    fit, x, y = rng.normal(size=(40, 3)), rng.normal(size=(20, 3)), rng.integers(0, 2, (40, 2)).astype(float)
    found = heads.knn(fit, y, x, 5, 0.07)
    for row, its in zip(x, found, strict=True):
        alike = [(row @ f / np.linalg.norm(row) / np.linalg.norm(f), n) for n, f in enumerate(fit)]
        best = sorted(alike, reverse=True)[:5]
        weights = [math.exp(a / 0.07) for a, _ in best]
        want = sum(w * y[n] for w, (_, n) in zip(weights, best, strict=True)) / sum(weights)
        assert its == pytest.approx(want)


def test_of_fewer_rows_than_neighbours_all_are_taken():
    assert heads.knn(np.eye(3), np.eye(3), np.eye(3), 20).sum(axis=1) == pytest.approx(1)


def test_features_are_scaled_by_what_is_fitted_on_and_one_that_says_nothing_is_0():
    rng = np.random.default_rng(0)
    fit = np.column_stack([rng.normal(1e6, 1, 50), np.full(50, 3.0)])
    a, b = heads.scaled(fit, fit + np.array([1.0, 5.0]))
    assert a.mean(axis=0) == pytest.approx(0, abs=1e-6)
    assert a.std(axis=0) == pytest.approx([1, 0])
    assert b[:, 0] - a[:, 0] == pytest.approx(1 / fit[:, 0].std())
    assert (b[:, 1] == 0).all()


@pytest.mark.parametrize("head", ["linear", "knn"])
@pytest.mark.parametrize("form", ["classes", "number"])
def test_nothing_of_the_rows_scored_gets_into_a_probe(head, form):
    rows = made.rows(120)
    x = made.signal(rows)
    task = made.task(rows, x)
    task = ProbeTask(task.name, form, task.names, task.values)
    fold = folds.of_blocks(rows, 4, 1.0, 0.0, 0)[0]
    other = task.values.copy()
    other[fold.scored] = 1 - other[fold.scored]
    apart = x.copy()
    apart[fold.scored[1:]] *= 100  # others that are scored say nothing of the first
    a = heads.fitted_and_asked(head, x, task, fold)
    b = heads.fitted_and_asked(head, apart, ProbeTask("", form, task.names, other), fold)
    assert np.array_equal(a.predicted[0], b.predicted[0])
    assert a.strength == b.strength


def test_the_strength_is_chosen_by_rows_that_are_not_scored():
    rows, rng = made.rows(200), np.random.default_rng(0)
    fold = folds.of_blocks(rows, 4, 1.0, 0.0, 0)[0]
    x = rng.normal(size=(len(rows), 3))
    signal = ProbeTask("", "classes", ("a",), (x[:, :1] > 0).astype(float))
    noise = ProbeTask("", "classes", ("a",), rng.integers(0, 2, (len(rows), 1)).astype(float))
    assert heads.fitted_and_asked("linear", x, signal, fold).strength == min(heads.STRENGTHS)
    assert heads.fitted_and_asked("linear", np.tile(x, 30) + rng.normal(size=(400, 90)), noise, fold).strength >= 0.1


def test_losses_are_those_of_their_formulas():
    truth, said = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.8, 0.3], [0.4, 0.6]])
    each = [math.log(0.8) + math.log(0.7), math.log(0.6) + math.log(0.6)]
    assert heads.loss(ProbeTask("", "classes", ("a", "b"), truth), said, truth) == pytest.approx(-np.mean(each))
    one = -np.mean([math.log(0.8), math.log(0.6)])
    assert heads.loss(ProbeTask("", "class", ("a", "b"), truth), said, truth) == pytest.approx(one)
    squared = (0.04 + 0.09 + 0.16 + 0.16) / 4
    assert heads.loss(ProbeTask("", "number", ("a", "b"), truth), said, truth) == pytest.approx(squared)
