"""Labels of two groups: divergences with what chance makes of them, and weights that make one like the other."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.report import shift

K = 9


def one_hot(rng: np.random.Generator, p: np.ndarray, n: int) -> np.ndarray:
    return np.eye(len(p))[rng.choice(len(p), n, p=p)]


def test_a_divergence_has_its_known_ends():
    a, b = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    assert shift.js_bits(a, a) == 0
    assert shift.js_bits(a, b) == 1
    p, q = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    m = (p + q) / 2
    kl = lambda x: sum(v * math.log2(v / w) for v, w in zip(x, m, strict=True))  # noqa: E731 - the definition
    assert shift.js_bits(p, q) == pytest.approx((kl(p) + kl(q)) / 2)


@pytest.mark.parametrize(("n", "bits"), [(30, 0.105), (100, 0.031)])
def test_what_chance_makes_of_two_samples_of_one_distribution_is_the_bias_that_theory_has(n, bits):
    rng = np.random.default_rng(3)
    p = np.full(K, 1 / K)
    pairs = [shift.between({"a": one_hot(rng, p, n), "b": one_hot(rng, p, n)}, seed=k)[0] for k in range(30)]
    assert pairs[0].plug_in_bits == pytest.approx((K - 1) / (4 * n * math.log(2)))
    assert pairs[0].plug_in_bits == pytest.approx(bits, abs=0.01)
    assert np.mean([x.chance_bits for x in pairs]) == pytest.approx(pairs[0].plug_in_bits, rel=0.15)
    assert np.mean([x.above_chance_bits for x in pairs]) == pytest.approx(0, abs=0.004)  # without bias
    assert np.mean([x.js_bits > x.chance_95_bits for x in pairs]) < 0.2  # 5 % in expectation
    (far,) = shift.between({"a": one_hot(rng, p, n), "b": one_hot(rng, np.array([0.9, *[0.1 / 8] * 8]), n)})
    assert far.js_bits > far.chance_95_bits > far.chance_bits


@pytest.mark.parametrize(("n", "m"), [(20_000, 20_000), (20_000, 300)])
def test_chance_is_of_all_places_where_some_alone_are_dealt(n, m):
    rng, p = np.random.default_rng(7), np.full(K, 1 / K)
    its = [shift.between({"a": one_hot(rng, p, n), "b": one_hot(rng, p, m)}, seed=k)[0] for k in range(3)]
    assert np.mean([x.chance_bits for x in its]) == pytest.approx(its[0].plug_in_bits, rel=0.15)


def test_of_groups_without_rows_nothing_is_said_and_of_many_the_largest_are_compared():
    rng = np.random.default_rng(0)
    groups = {f"g{k:02d}": one_hot(rng, np.full(3, 1 / 3), k) for k in range(20)}
    found = shift.between(groups)
    named = {g for pair in found for g in pair.groups}
    assert named == {f"g{k:02d}" for k in range(8, 20)}
    assert len(found) == 12 * 11 // 2
    assert shift.between({"a": np.empty((0, 3)), "b": groups["g09"]}) == []


@given(seed=st.integers(0, 10_000), n=st.integers(40, 300))
def test_weights_of_one_class_each_are_frequencies_over_frequencies(seed, n):
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.full(4, 3.0)), rng.dirichlet(np.full(4, 3.0))
    group, like = one_hot(rng, p, n), one_hot(rng, q, n)
    its = shift.matched(group, like)
    there = group.mean(axis=0) > 0
    target = np.where(there, like.mean(axis=0), 0)
    if target.sum() == 0:
        return
    target = target / target.sum()
    ratio = np.divide(target, group.mean(axis=0), out=np.zeros(4), where=there)
    assert its.weights == pytest.approx(group @ ratio, abs=2e-3)
    assert its.weights.mean() == pytest.approx(1)
    assert its.unmatched == pytest.approx(like.mean(axis=0)[~there].sum())
    assert its.effective <= n + 1e-9


def test_weights_of_shares_make_the_means_the_same_and_what_has_no_counterpart_is_told():
    rng = np.random.default_rng(1)
    group, like = rng.dirichlet(np.full(5, 0.6), 400), rng.dirichlet([2, 1, 0.5, 0.4, 0.3], 300)
    its = shift.matched(group, like)
    assert (its.weights[:, None] * group).mean(axis=0) == pytest.approx(like.mean(axis=0), abs=1e-5)
    assert its.left_bits < 1e-8
    assert its.effective < 400
    assert shift.matched(group, group).effective == pytest.approx(400)
    none = group.copy()
    none[:, 4] = 0
    none /= none.sum(axis=1, keepdims=True)
    lost = shift.matched(none, like)
    assert lost.unmatched == pytest.approx(like.mean(axis=0)[4])
    assert lost.left_bits > 0


def test_rows_without_labels_are_none():
    rows = np.array([[2.0, 2.0], [np.nan, 1.0], [0.0, 0.0], [0.0, 1.0]])
    known, its = shift.shares(rows)
    assert known.tolist() == [True, False, False, True]
    assert its.tolist() == [[0.5, 0.5], [0.0, 1.0]]
