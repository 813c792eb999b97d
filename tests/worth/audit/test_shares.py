"""Shares of a stratified sample are those of the population: exactly so on the mean, and within their intervals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.worth.audit.shares import MarkedSample, ShareEstimate, kappa, share
from tests.properties import examples

STRATA = st.lists(
    st.lists(st.booleans(), min_size=1, max_size=4).flatmap(
        lambda truth: st.tuples(st.just(truth), st.integers(1, len(truth)))
    ),
    min_size=1,
    max_size=3,
)
"""Of each stratum what is so of its patches, and how many of them are marked."""


def estimated(truth: list[list[bool]], drawn: tuple[tuple[int, ...], ...]) -> ShareEstimate:
    stratum = np.repeat(np.arange(len(truth)), [len(d) for d in drawn])
    part = np.array([truth[h][k] for h, of in enumerate(drawn) for k in of])
    found = share(part, np.ones(len(part), bool), MarkedSample(stratum, np.array([len(t) for t in truth])))
    assert found is not None
    return found


@settings(max_examples=examples(60))
@given(STRATA)
def test_the_mean_over_all_samples_that_could_have_been_drawn_is_the_truth(strata):
    truth = [its for its, _ in strata]
    every = itertools.product(*(itertools.combinations(range(len(t)), n) for t, n in strata))
    values = [estimated(truth, drawn).value for drawn in every]
    assert np.mean(values) == pytest.approx(np.mean([so for t in truth for so in t]), abs=1e-12)


@settings(max_examples=examples(60))
@given(STRATA)
def test_the_variance_is_that_of_all_samples_where_each_stratum_has_two_marks(strata):
    truth = [its for its, _ in strata if len(its) > 1]
    if not truth:
        return
    sizes = np.array([len(t) for t in truth])
    values, variances = [], []
    for drawn in itertools.product(*(itertools.combinations(range(len(t)), 2) for t in truth)):
        part = np.array([truth[h][k] for h, of in enumerate(drawn) for k in of], float)
        sample = MarkedSample(np.repeat(np.arange(len(truth)), 2), sizes)
        value = (sample.weights * part).sum() / sizes.sum()
        values.append(value)
        variances.append(sample.variance(sample.weights * (part - value) / sizes.sum()))
    assert np.mean(variances) == pytest.approx(np.var(values), abs=1e-12)


def simulated(seed: int, patches: int = 4000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stratum, label and truth of patches: of three classes one is rare and worse than the others."""
    rng = np.random.default_rng(seed)
    label = rng.choice(3, patches, p=(0.75, 0.22, 0.03))
    wrong = rng.random(patches) > np.array([0.93, 0.8, 0.5])[label]
    return label * 2 + rng.integers(2, size=patches), label, np.where(wrong, rng.integers(3, size=patches), label)


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say():
    # 300 draws of 25 a stratum: the standard error of a coverage of 95 % is 1.3 %.
    stratum, label, truth = simulated(0)
    sizes, hits = np.bincount(stratum), {"all": [], "right": [], "found": []}
    values = []
    for seed in range(300):
        rng = np.random.default_rng([1, seed])
        drawn = np.concatenate([rng.choice(np.flatnonzero(stratum == h), 25, replace=False) for h in range(6)])
        sample, a, b = MarkedSample(stratum[drawn], sizes), label[drawn], truth[drawn]
        for name, part, of, so in (
            ("all", a == b, np.ones(150, bool), (label == truth).mean()),
            ("right", b == 2, a == 2, (truth[label == 2] == 2).mean()),
            ("found", a == 2, b == 2, (label[truth == 2] == 2).mean()),
        ):
            found = share(part, of, sample)
            hits[name].append(found.low <= so <= found.high)
            values += [found.value - so] if name == "all" else []
    assert {name: np.mean(its) > 0.91 for name, its in hits.items()} == dict.fromkeys(hits, True)
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(300)


def test_without_weights_it_would_be_far_off():
    stratum, label, truth = simulated(0)
    drawn = np.concatenate([np.flatnonzero(stratum == h)[:25] for h in range(6)])
    right = label[drawn] == truth[drawn]
    found = share(right, np.ones(150, bool), MarkedSample(stratum[drawn], np.bincount(stratum)))
    assert abs(found.value - (label == truth).mean()) < 0.06
    assert abs(right.mean() - (label == truth).mean()) > 0.08


def test_an_interval_is_empty_only_where_all_was_looked_at():
    sample = MarkedSample(np.zeros(8, int), np.array([100]))
    every = np.ones(8, bool)
    some = share(every, every, sample)
    assert (some.value, some.high) == (1, 1)
    assert 0.6 < some.low < 0.75  # Wilson's of 8 of 8 is 0.676
    whole = share(every, every, MarkedSample(np.zeros(8, int), np.array([8])))
    assert (whole.low, whole.high) == (1, 1)
    assert share(every, ~every, sample) is None


def test_a_single_mark_of_a_stratum_is_no_certainty():
    part = np.array([True, True, True, False])
    one = MarkedSample(np.array([0, 0, 0, 1]), np.array([300, 100]))
    found = share(part, np.ones(4, bool), one)
    assert found.value == pytest.approx(0.75)
    assert found.high - found.low > 0.5
    # Its deviation is from the whole: (1 - 1/100) of its square, beside the three that differ by themselves.
    assert one.variance(np.array([0.1, 0.1, 0.1, -0.3])) == pytest.approx(0.99 * 0.09)


def test_kappa_of_a_plain_sample_is_the_textbook_s():
    # Cohen's own table of 1960: 200 persons, three types; kappa is 0.492.
    table = np.array([[88, 14, 18], [10, 40, 10], [2, 6, 12]])
    one, other = (its.reshape(-1).repeat(table.reshape(-1)) for its in np.mgrid[:3, :3])
    found = kappa(one, other, MarkedSample(np.zeros(200, int), np.array([10**7])))
    assert found.value == pytest.approx(0.492, abs=5e-4)
    # The large-sample variance of Fleiss, Cohen and Everitt (1969), written out cell by cell.
    p = table / 200
    rows, cols, agreed = p.sum(1), p.sum(0), np.trace(p)
    chance = float(rows @ cols)
    kept = sum(p[i, i] * ((1 - chance) - (cols[i] + rows[i]) * (1 - agreed)) ** 2 for i in range(3))
    lost = sum(p[i, j] * (cols[i] + rows[j]) ** 2 for i in range(3) for j in range(3) if i != j) * (1 - agreed) ** 2
    variance = (kept + lost - (agreed * chance - 2 * chance + agreed) ** 2) / (200 * (1 - chance) ** 4)
    assert (found.high - found.low) / 2 / 1.959964 == pytest.approx(variance**0.5, rel=0.01)


def test_kappa_is_weighted_and_says_nothing_where_there_is_one_class():
    one, other = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0])
    even = MarkedSample(np.array([0, 0, 1, 1]), np.array([50, 50]))
    rare = MarkedSample(np.array([0, 0, 1, 1]), np.array([90, 10]))
    assert kappa(one, other, even).value == pytest.approx(0.5)
    assert kappa(one, other, rare).value == pytest.approx((0.95 - 0.86) / 0.14)
    assert kappa(one * 0, other * 0, even) is None
    same = kappa(one, one, even)
    assert same.value == 1
    assert same.low < 0.6  # four marks alike are no proof
