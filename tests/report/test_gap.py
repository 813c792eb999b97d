"""Scores by distance: intervals over places that hold what they say, and trends that are there or not."""

import itertools
import tracemalloc

import numpy as np
import pytest

from curation.report import gap


def test_intervals_hold_the_mean_as_often_as_they_say():
    inside = 0
    for k in range(200):
        its = gap.mean(np.random.default_rng(k).normal(0.7, 0.2, 60), seed=k)
        inside += its.low <= 0.7 <= its.high
    assert 180 <= inside <= 199  # of 95 %: 190, give or take three of its deviations


def test_a_weighted_mean_is_that_of_what_it_is_like():
    scores, weights = np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.2, 0.2, 1.8, 1.8])
    assert gap.mean(scores, weights).value == pytest.approx(0.1)
    assert gap.mean(scores).value == 0.5


def test_an_interval_of_many_places_takes_little_memory_and_is_as_if_drawn_at_once(monkeypatch):
    rng = np.random.default_rng(2)
    scores, weights = rng.random(20_000), rng.random(20_000)
    tracemalloc.start()
    gap.mean(scores, weights)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6  # of all draws at once: 960 MB
    few, its = scores[:37], weights[:37]
    at = np.random.default_rng(gap.SEED).integers(0, 37, (gap.DRAWS, 37))
    low, high = np.percentile((few * its)[at].sum(axis=1) / its[at].sum(axis=1), [2.5, 97.5])
    monkeypatch.setattr(gap, "MOST_DRAWN", 37 * 7)
    drawn = gap.mean(few, its)
    assert (drawn.low, drawn.high) == pytest.approx((low, high), abs=1e-12)


def test_classes_of_distance_have_about_as_many_places_and_ascend():
    rng = np.random.default_rng(0)
    km = rng.lognormal(3, 1, 500)
    scores = 0.9 - 0.1 * np.log(km)
    found = gap.by_distance(km, scores)
    assert len(found) == gap.MOST_BINS
    assert sum(a.score.places for a in found) == 500
    assert {a.score.places for a in found} <= {62, 63}
    assert all(a.km[2] <= b.km[0] for a, b in itertools.pairwise(found))
    assert all(a.score.value > b.score.value for a, b in itertools.pairwise(found))
    assert len(gap.by_distance(km[:9], scores[:9])) == 1
    assert len(gap.by_distance(km[:25], scores[:25])) == 2


def test_a_trend_is_told_with_its_sign_and_none_where_there_is_none():
    rng = np.random.default_rng(4)
    km, noise = rng.lognormal(3, 1, 200), rng.normal(0, 1, 200)
    falls, flat = gap.trend(km, -np.log(km) + noise), gap.trend(km, noise)
    assert falls.rank_correlation < -0.5
    assert falls.low < falls.rank_correlation < falls.high < 0
    assert falls.p < 0.01
    assert flat.low < 0 < flat.high
    assert flat.p > 0.05
    assert gap.trend(km[:9], noise[:9]) is None
    assert gap.trend(np.ones(50), noise[:50]) is None


def test_ranks_that_tie_are_as_scipy_has_them():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(5)
    km, scores = rng.integers(1, 20, 80).astype(float), rng.integers(0, 3, 80).astype(float)
    assert gap.trend(km, scores).rank_correlation == pytest.approx(spearmanr(km, scores).statistic)
