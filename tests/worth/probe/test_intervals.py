"""Intervals hold what is true as often as they say, since they are of places and not of rows."""

import numpy as np
import pytest

from curation.worth.probe import intervals


def mean_of(values):
    return lambda w: {"mean": w @ values / w.sum(axis=1)}


def test_places_are_drawn_whole_as_many_as_there_are(monkeypatch):
    units = np.repeat(["a", "b", "c", "d"], [1, 2, 3, 4])
    whole = np.concatenate(list(intervals.weights(units, 50, 3)))
    assert whole.shape == (50, 10)
    assert (whole[:, [0, 1, 3, 6]].sum(axis=1) == 4).all()
    for a, b in ((1, 2), (3, 5), (6, 9)):
        assert (whole[:, a] == whole[:, b]).all()
    assert (np.concatenate(list(intervals.weights(units, 50, 4))) != whole).any()
    monkeypatch.setattr(intervals, "AT_ONCE", 70)  # seven draws at a time
    parts = list(intervals.weights(units, 50, 3))
    assert len(parts) == 8
    assert np.array_equal(np.concatenate(parts), whole)


def coverage(units_of, seeds=200):
    """Share of intervals of a mean that hold the true one, 0: of 40 places with five rows each, alike within a place."""
    held = 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        values = np.repeat(rng.normal(size=40), 5) + 0.1 * rng.normal(size=200)
        units = units_of(np.repeat(np.arange(40), 5))
        draws = intervals.drawn(mean_of(values), units, 300, seed)["mean"]
        found = intervals.estimate(float(values.mean()), draws)
        held += found.low <= 0 <= found.high
    return held / seeds


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say_and_those_of_rows_do_not():
    assert coverage(lambda places: places) == pytest.approx(0.94, abs=0.045)
    assert coverage(lambda places: np.arange(len(places))) < 0.75


def test_what_cannot_be_told_of_some_draws_is_left_out_and_of_all_is_not_known():
    draws = np.array([np.nan, *np.linspace(0, 1, 201)])
    assert (intervals.estimate(0.5, draws).low, intervals.estimate(0.5, draws).high) == pytest.approx((0.025, 0.975))
    assert np.isnan(intervals.estimate(0.5, np.full(5, np.nan)).low)
    none = intervals.difference(0.5, np.full(5, np.nan))
    assert np.isnan([none.low, none.high, none.seen_from]).all()
    assert not none.is_seen
    assert intervals.difference(0.5, draws).seen_from == pytest.approx(
        2.802 * np.linspace(0, 1, 201).std(ddof=1), rel=1e-3
    )


def test_an_error_that_drawing_again_makes_larger_has_its_interval_on_the_other_side():
    found = intervals.estimate(0.1, np.linspace(0.11, 0.15, 1001), reflected=True)
    assert (found.low, found.high) == pytest.approx((0.051, 0.089), abs=1e-6)
    assert intervals.estimate(0.01, np.linspace(0.1, 0.2, 1001), reflected=True).low == 0


@pytest.mark.slow
def test_a_difference_is_seen_four_times_of_five_where_it_is_as_large_as_is_said():
    n, seen, said = 100, 0, []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        shared = rng.normal(size=n)
        true = 2.802 * 0.5 / np.sqrt(n)  # of a standard deviation of 0.5, in pairs
        a, b = shared + true + 0.5 * rng.normal(size=n), shared
        draws = [intervals.drawn(mean_of(v), np.arange(n), 300, seed)["mean"] for v in (a, b)]
        found = intervals.difference(float(a.mean() - b.mean()), draws[0] - draws[1])
        seen += found.is_seen
        said.append(found.seen_from / true)
    assert seen / 150 == pytest.approx(0.8, abs=0.1)
    assert np.mean(said) == pytest.approx(1, abs=0.03)


def of_trainings(true, seeds, repeats, spread=0.02):
    """Share of intervals over seeds that hold a true difference: seeds differ, and places are few."""
    held = 0
    for repeat in range(repeats):
        rng = np.random.default_rng(repeat)
        places = rng.normal(0, 0.1, 60)  # what of the difference is of each place, in all trainings
        each = true + rng.normal(0, spread, seeds)[:, None] + places + 0.1 * rng.normal(size=(seeds, 60))
        draws = np.stack([intervals.drawn(mean_of(v), np.arange(60), 300, repeat)["mean"] for v in each])
        found = intervals.over_seeds(each.mean(axis=1), draws, repeat).mean
        held += found.low <= true <= found.high
    return held / repeats


@pytest.mark.slow
def test_intervals_over_seeds_hold_the_truth_where_both_seeds_and_places_might_have_been_others():
    assert of_trainings(0.03, 5, 100) > 0.86
    assert of_trainings(0.03, 5, 100, spread=0.0) > 0.88


def test_signs_of_seeds_are_told_with_what_luck_would_do():
    draws = np.zeros((5, 10))
    assert intervals.over_seeds(np.array([1.0, 2, 3, 4, 5]), draws, 0).signs_p == pytest.approx(2 / 32)
    assert intervals.over_seeds(np.array([1.0, -2, 3, -4, 0]), draws, 0).signs_p == 1
    assert intervals.over_seeds(np.zeros(3), draws[:3], 0).signs_p == 1
