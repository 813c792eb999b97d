"""Scores are what their formulas say, of weighted rows as of rows that are there as often."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.worth.probe import scores
from tests.properties import examples

ONE = np.ones((1, 4))


def slow_average_precision(said, truth):
    """Over all thresholds, from the highest: recall won times precision."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(said.tolist()), reverse=True):
        taken = said >= threshold
        recall, precision = truth[taken].sum() / truth.sum(), truth[taken].mean()
        total += (recall - before) * precision
        before = recall
    return total


def test_average_precision_is_the_mean_precision_at_the_positives():
    said = np.array([[0.9, 0.1, 1.0, 0.0], [0.8, 0.9, 0.0, 1.0], [0.7, 0.2, 0.5, 2.0], [0.6, 0.3, 0.2, 3.0]])
    truth = np.array([[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    (found,) = scores.average_precisions(said, truth, ONE)
    assert found[:2] == pytest.approx([(1 + 2 / 3) / 2, 1 / 4])
    assert np.isnan(found[2:]).all()  # a class that all have, or none, cannot be told apart
    assert scores.mean_known(found[None]) == pytest.approx([(5 / 6 + 1 / 4) / 2])
    assert scores.untold(truth, ("a", "b", "c", "d")) == ["c", "d"]


@settings(max_examples=examples(200))
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 3)), min_size=3, max_size=30))
def test_average_precision_with_ties_and_weights_is_that_of_rows_that_are_there_as_often(rows):
    said, truth, times = (np.array(v, float) for v in zip(*rows, strict=True))
    many = np.repeat(np.arange(len(rows)), times.astype(int))
    found = scores.average_precision(said, truth, np.stack([times, np.ones(len(rows))]))
    for value, own in zip(found, (many, np.arange(len(rows))), strict=True):
        share = truth[own].mean() if len(own) else 0
        if share in (0, 1):
            assert np.isnan(value)
        else:
            assert value == pytest.approx(slow_average_precision(said[own], truth[own]))


def test_of_what_knows_nothing_the_average_precision_is_the_share_of_positives():
    rng = np.random.default_rng(0)
    truth = (rng.random((20_000, 2)) < [0.1, 0.4]).astype(float)
    found = scores.average_precisions(rng.random((20_000, 2)), truth, np.ones((1, 20_000)))[0]
    assert found == pytest.approx([0.1, 0.4], abs=0.02)
    assert scores.chance("classes", truth) == pytest.approx(0.25, abs=0.01)
    assert scores.chance("classes", np.column_stack([truth, np.ones(20_000)])) == scores.chance("classes", truth)


def test_f1_of_what_is_nowhere_is_not_known_and_of_what_is_never_said_it_is_0():
    said = np.array([[1.0, 0.0, 0.0, 1.0]] * 2 + [[0.0, 0.0, 0.0, 1.0]] * 2)
    truth = np.array([[1.0, 0.0, 1.0, 0.0]] * 3 + [[0.0, 0.0, 1.0, 0.0]])
    (found,) = scores.f1s(said, truth, ONE)
    assert found[[0, 2, 3]] == pytest.approx([2 * 2 / (2 + 3), 0, 0])
    assert np.isnan(found[1])


def test_the_calibration_error_is_the_weighted_gap_of_each_bin():
    said = np.array([[0.95], [0.95], [0.95], [0.35]])
    truth = np.array([[1.0], [1.0], [0.0], [1.0]])
    want = 3 / 4 * (0.95 - 2 / 3) + 1 / 4 * (1 - 0.35)
    assert scores.ece("classes", said, truth, ONE) == pytest.approx([want])
    both = np.column_stack([said, truth])
    assert scores.ece("classes", both, np.column_stack([truth, truth]), ONE) == pytest.approx([want / 2])
    one = np.array([[0.7, 0.3], [0.2, 0.8], [0.9, 0.1], [0.6, 0.4]])
    right = np.eye(2)[[0, 0, 0, 1]]
    gaps = abs(0.7 - 1), abs(0.8 - 0), abs(0.9 - 1), abs(0.6 - 0)
    assert scores.ece("class", one, right, ONE) == pytest.approx([sum(gaps) / 4])


def test_a_perfectly_calibrated_probe_has_an_error_that_falls_with_rows_and_the_floor_is_it():
    # Measured, for 9 classes: 0.089 at n 100, 0.029 at 1,000, 0.008 at 10,000.
    rng = np.random.default_rng(0)
    for n, within in ((100, 0.03), (1_000, 0.01), (10_000, 0.004)):
        said = rng.dirichlet(np.ones(9), n)
        truth = np.eye(9)[[rng.choice(9, p=p) for p in said]]
        floor = scores.ece_floor("class", said, np.char.zfill(np.arange(n).astype(str), 5), 1)
        assert scores.ece("class", said, truth, np.ones((1, n)))[0] == pytest.approx(floor, abs=within)
        assert floor == pytest.approx({100: 0.089, 1_000: 0.029, 10_000: 0.008}[n], rel=0.3)


def test_a_probe_that_is_too_sure_is_far_above_its_floor():
    rng = np.random.default_rng(0)
    sure = np.where(rng.random((2_000, 1)) < 0.5, 0.95, 0.05)
    truth = (rng.random((2_000, 1)) < np.where(sure > 0.5, 0.7, 0.3)).astype(float)
    assert scores.ece("classes", sure, truth, np.ones((1, 2_000)))[0] == pytest.approx(0.25, abs=0.03)
    assert scores.ece_floor("classes", sure, np.arange(2_000).astype(str), 0) < 0.02


def test_the_floor_of_places_whose_seasons_are_alike_is_that_of_as_many_places():
    said = np.random.default_rng(0).random((100, 3))
    places = np.arange(100).astype(str)
    alone = scores.ece_floor("classes", said, places, 0)
    assert scores.ece_floor("classes", np.repeat(said, 4, axis=0), np.repeat(places, 4), 0) == pytest.approx(alone)
    rows = scores.ece_floor("classes", np.repeat(said, 4, axis=0), np.arange(400).astype(str), 0)
    assert rows < 0.7 * alone


def test_numbers_have_r2_beside_what_always_says_the_mean_of_what_was_fitted():
    truth = np.array([[1.0], [2.0], [3.0], [6.0]])
    usual = np.full((4, 1), 2.0)

    def of(said):
        return {k: float(v[0]) for k, v in scores.of_rows("number", said, truth, ONE, usual).items()}

    assert of(usual)["R2"] == 0
    assert of(truth) == {"R2": 1, "RMSE": 0, "MAE": 0}
    assert of(truth + np.array([[1], [1], [-1], [3]])) == pytest.approx({"R2": 1 - 12 / 18, "RMSE": 3**0.5, "MAE": 1.5})


def test_a_draw_without_a_rare_class_is_scored_on_all_classes_and_not_on_the_others_alone():
    rng = np.random.default_rng(0)
    truth = np.column_stack([np.arange(40) == 0, np.arange(40) % 2, np.zeros(40)]).astype(float)
    said, usual = rng.random((40, 3)), np.full((40, 3), 0.5)
    weights = np.ones((2, 40))
    weights[1, 0] = 0
    rare = scores.average_precision(said[:, 0], truth[:, 0], weights)
    other = scores.average_precision(said[:, 1], truth[:, 1], weights)
    assert np.isnan(rare[1])
    mean = scores.of_rows("classes", said, truth, weights, usual)["mAP"]
    assert mean == pytest.approx([(rare[0] + other[0]) / 2, (rare[0] + other[1]) / 2])


def test_errors_are_of_each_row():
    truth = np.eye(3)[[0, 1, 2]]
    said = np.array([[0.6, 0.5, 0.1], [0.6, 0.3, 0.1], [0.0, 0.1, 0.9]])
    assert scores.errors("classes", said, truth) == pytest.approx([1 / 3, 2 / 3, 0])
    assert scores.errors("class", said, truth) == pytest.approx([0, 1, 0])
    assert scores.errors("number", said, truth) == pytest.approx([1.0 / 3, 1.4 / 3, 0.2 / 3])


@pytest.mark.parametrize("form", ["classes", "class", "number"])
def test_all_scores_of_weighted_rows_are_those_of_rows_that_are_there_as_often(form):
    rng = np.random.default_rng(0)
    said, times = rng.dirichlet(np.ones(3), 40), rng.integers(0, 3, 40)
    truth, usual = np.eye(3)[rng.integers(0, 3, 40)], np.full((40, 3), 1 / 3)
    many = np.repeat(np.arange(40), times)
    a = scores.of_rows(form, said, truth, times[None].astype(float), usual)
    b = scores.of_rows(form, said[many], truth[many], np.ones((1, len(many))), usual[many])
    assert {k: v[0] for k, v in a.items()} == pytest.approx({k: v[0] for k, v in b.items()})
    assert next(iter(a)) == scores.MAIN[form]
