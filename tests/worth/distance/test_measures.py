"""Measures against closed forms, SciPy, brute force, and themselves where nothing differs."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.worth.distance import pair as pair_module
from curation.worth.distance.estimate import Looks, holm, p_of
from curation.worth.distance.measures import bands, classifier, coverage, energy, frechet, kernels, kid, mmd, sliced
from curation.worth.distance.measures.known import MEASURES, TITLES
from curation.worth.distance.pair import Pair, Scaling, pair_of, scaling, squares
from tests.properties import examples
from tests.worth.tables import features

QUICK = Looks(seed=1, permutations=99, replicates=40)


def plain(x, y, unit=None, median=1.0) -> Pair:
    """Rows as they are, each its own place where nothing else is said."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    unit = np.arange(len(x) + len(y)) if unit is None else np.asarray(unit)
    return Pair(np.concatenate([x, y]), np.repeat([False, True], [len(x), len(y)]), unit, median)


def normal(n: int, d: int = 4, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


# ---- Fréchet ----------------------------------------


def by_sqrtm(x: np.ndarray, y: np.ndarray) -> float:
    a, b = np.cov(x.T), np.cov(y.T)
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real))


@pytest.mark.parametrize(("n", "m", "d"), [(50, 50, 4), (40, 70, 8), (200, 30, 16)])
def test_frechet_is_what_scipys_root_gives(n: int, m: int, d: int):
    x, y = normal(n, d) * np.arange(1, d + 1), normal(m, d, 0.5, seed=1)
    assert frechet.distance(x, y) == pytest.approx(by_sqrtm(x, y), rel=1e-9)


@pytest.mark.parametrize("n", [5, 64, 300])
def test_frechet_of_a_set_with_itself_is_nothing_and_never_below(n: int):
    x = normal(n, 64)
    assert 0 <= frechet.distance(x, x) < 1e-9


def test_frechet_of_large_numbers_loses_nothing():
    # One pass of float32 at mean 10,000 gave a trace of 1024 in place of 64.
    x, y = normal(500, 16), normal(500, 16, 1, seed=1)
    assert frechet.distance(x + 1e6, y + 1e6) == pytest.approx(frechet.distance(x, y), rel=1e-6)


def test_frechet_is_extrapolated_to_the_closed_form():
    d, floor, found, plain_ones = 8, [], [], []
    for seed in range(20):
        x, y = normal(120, d, seed=seed), normal(120, d, seed=100 + seed)
        pair = plain(x, y)
        floor.append(frechet.extrapolated(pair, pair.is_b))
        plain_ones.append(frechet.distance(x, y))
        moved = plain(x, 2 * y + 1)
        found.append(frechet.extrapolated(moved, moved.is_b))
    assert np.mean(plain_ones) > 0.25
    assert abs(np.mean(floor)) < 0.15 * np.mean(plain_ones)
    assert np.mean(found) == pytest.approx(d * 1 + d * (2 - 1) ** 2, rel=0.05)  # |m|² + tr (S1^½ − S2^½)²


def test_frechet_is_refused_of_few_places_and_says_how_many_it_wants():
    its = frechet.estimates(plain(normal(20, 10), normal(29, 10, seed=1)), QUICK)[0]
    assert its.refused.startswith("few_places: 20 places, expected at least 30")
    assert "--dims 6" in its.refused
    assert np.isnan(its.value)


def test_shares_that_frechet_is_extrapolated_from_are_drawn_by_the_seed():
    pair = plain(normal(30, 2), normal(30, 2, seed=1))
    few = {"permutations": 3, "replicates": 3}
    values = [frechet.estimates(pair, Looks(seed=seed, **few))[0].value for seed in (0, 1)]
    assert values[0] != values[1]
    assert values[1] == frechet.extrapolated(pair, pair.is_b, seed=1)


# ---- kernels ----------------------------------------


@pytest.mark.parametrize("kernel", [mmd.kernel(2.0), kid.kernel, energy.kernel])
def test_an_unbiased_discrepancy_is_the_sum_over_pairs_of_different_places(kernel):
    x, y = normal(7, 3), normal(9, 3, 0.3, seed=1)
    unit = np.array([0, 0, 1, 2, 3, 4, 4, 0, 1, 5, 5, 6, 7, 8, 9, 9])
    pair = plain(x, y, unit)
    sums = kernels.Sums(pair, kernel)
    b = sums.of_b[:, None].astype(float)
    k = kernel(pair.x, pair.x)
    apart = unit[:, None] != unit[None]

    def mean(rows, columns):
        chosen = np.outer(rows, columns) & apart
        return k[chosen].mean()

    side = pair.is_b
    expected = mean(~side, ~side) + mean(side, side) - 2 * mean(~side, side)
    assert sums.discrepancy(1 - b, b)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("block", [1, 3, 64])
def test_blocks_come_to_what_all_at_once_comes_to(block: int):
    x, group = normal(40, 5), np.random.default_rng(0).permutation(np.arange(40) % 7)
    whole = mmd.kernel(1.0)(x, x)
    expected = [[whole[np.ix_(group == i, group == j)].sum() for j in range(7)] for i in range(7)]
    np.testing.assert_allclose(kernels.group_sums(x, group, 7, mmd.kernel(1.0), block), expected, rtol=1e-12)


def test_energy_is_scipys_in_one_dimension():
    x, y = normal(30, 1), normal(50, 1, 0.7, seed=1)
    sums = kernels.group_sums(np.concatenate([x, y]), np.repeat([0, 1], [30, 50]), 2, energy.kernel)
    biased = sums[0, 0] / 900 + sums[1, 1] / 2500 - 2 * sums[0, 1] / 1500
    # SciPy's is the root, of all pairs; the squared norm is by dot products, which lose what is near 0.
    assert np.sqrt(biased) == pytest.approx(scipy.stats.energy_distance(x[:, 0], y[:, 0]), rel=1e-6)


@pytest.mark.parametrize(("name", "of"), [("mmd", mmd), ("kid", kid), ("energy", energy)])
def test_kernel_measures_are_unbiased_where_nothing_differs(name: str, of):
    found = [
        of.estimates(plain(normal(30, 4, seed=s), normal(40, 4, seed=500 + s)), Looks(s, 19, 5))[0] for s in range(60)
    ]
    values = np.array([f.value for f in found])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))
    assert (values < 0).any()  # small negatives are right: nothing is clipped
    assert found[0].measure == name


def test_mmd_is_the_closed_form_of_two_gaussians():
    # Gaussian kernel exp(-r²/2s²) of N(0, 1) and N(t, 1) in one dimension: 2 s / √(s²+2) (1 − exp(−t² / 2(s²+2))).
    t, median = 1.0, 1.0
    values = [
        mmd.estimates(plain(normal(200, 1, seed=s), normal(200, 1, t, seed=900 + s)), Looks(s, 1, 2))[0].value
        for s in range(20)
    ]
    widths = np.array(mmd.BANDWIDTHS) * median
    expected = np.mean(2 * widths / np.sqrt(widths**2 + 2) * (1 - np.exp(-(t**2) / (2 * (widths**2 + 2)))))
    assert np.mean(values) == pytest.approx(expected, rel=0.06)


# ---- sliced, one dimension ----------------------------------------


@settings(max_examples=examples(40))
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 10**6))
def test_one_dimension_of_any_sizes_is_the_exact_transport(n: int, m: int, seed: int):
    x, y = normal(n, 1, seed=seed), normal(m, 1, 1, seed=seed + 1)
    # Each row as often as makes both sides as many: then it is sorted against sorted.
    long = np.sort(np.repeat(x[:, 0], m)), np.sort(np.repeat(y[:, 0], n))
    expected = np.sqrt(((long[0] - long[1]) ** 2).mean())
    assert sliced.distance(x, y, np.ones((1, 1))) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_sliced_is_that_of_a_shift_and_does_not_mind_rotation():
    x = normal(4000, 3)
    along = sliced.directions(2000, 3, 0)
    assert sliced.distance(x, x + np.array([3.0, 0, 0]), along) == pytest.approx(3 / np.sqrt(3), rel=0.05)
    turn = scipy.stats.ortho_group.rvs(3, random_state=0)
    y = normal(300, 3, 0.4, seed=1)
    a, b = sliced.distance(x[:300], y, along), sliced.distance(x[:300] @ turn, y @ turn, turn.T @ along)
    assert a == pytest.approx(b, rel=1e-9)


def test_the_floor_of_sliced_says_what_n_alone_makes_of_it():
    its = sliced.estimates(plain(normal(60, 4), normal(60, 4, seed=3)), QUICK)[0]
    assert its.value > 0.1
    assert its.value == pytest.approx(its.floor, rel=0.5)
    assert its.p > 0.05


@settings(max_examples=examples(40))
@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(2, 30))
def test_a_bands_distance_is_scipys_with_weights(seed: int, n: int, m: int):
    rng = np.random.default_rng(seed)
    values, side = rng.normal(size=n + m), np.repeat([False, True], [n, m])
    weights = rng.integers(0, 4, n + m).astype(float)
    weights[[0, -1]] = 1
    found = bands.wasserstein(values, (weights * ~side)[:, None], (weights * side)[:, None])[0]
    expected = scipy.stats.wasserstein_distance(values[~side], values[side], weights[~side], weights[side])
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_however_many_permutations_some_are_held_at_a_time_and_come_to_the_same(monkeypatch):
    pair, held = both(20, 0.5), list[int]()

    def counted(statistic):
        def of(a, b):
            held.append(a.size)
            return statistic(a, b)

        return of

    def of(name: str):
        return bands.of_draws(counted(lambda a, b: bands.wasserstein(pair.bands["red"], a, b)), pair, QUICK, name)

    whole = of("x")
    assert (len(held), max(held)) == (2, len(pair.is_b) * 99)
    held.clear()
    monkeypatch.setattr(bands, "AT_ONCE", 200)
    for some, all_ in zip(of("x"), whole, strict=True):
        np.testing.assert_allclose(some, all_, rtol=1e-12)
    assert max(held) <= 200


def test_jensen_shannon_is_scipys_and_its_bias_is_about_what_the_formula_says():
    p, q = np.array([0.1, 0.2, 0.7]), np.array([0.5, 0.5, 0.0])
    expected = scipy.spatial.distance.jensenshannon(p, q, base=2) ** 2
    assert bands.jensen_shannon(p[:, None], q[:, None])[0] == pytest.approx(expected)
    rng = np.random.default_rng(0)
    of = [rng.multinomial(100, np.full(9, 1 / 9), 400).T / 100 for _ in range(2)]
    assert bands.jensen_shannon(*of).mean() == pytest.approx(bands.plug_in_bias(9, 100, 100), rel=0.15)
    assert bands.plug_in_bias(9, 100, 100) == pytest.approx(0.0289, abs=0.0001)


# ---- density and coverage ----------------------------------------


def test_coverage_of_alike_sets_is_what_is_expected_and_of_a_set_with_its_twin_it_is_whole():
    pair = plain(normal(400, 8), normal(400, 8, seed=1))
    density, covered, twice = coverage.estimates(pair, Looks(0, 19, 19))
    assert covered.value == pytest.approx(covered.beside["expected"], abs=0.03)
    assert covered.beside["expected"] == pytest.approx(0.969, abs=0.001)
    assert density.value == pytest.approx(1, abs=0.1)
    assert twice.value == 0


@pytest.mark.parametrize(("places", "says"), [(8, False), (9, True)])
def test_bands_whose_every_value_has_a_bin_of_its_own_are_refused_where_any_two_sides_would_be_a_bit_apart(
    places, says
):
    pair = dataclasses.replace(
        plain(normal(places, 2), normal(places, 2, seed=1)), bands={"s2.B02": normal(2 * places, 1)[:, 0]}
    )
    (its,) = (e for e in bands.estimates(pair, QUICK) if e.measure == "band_js")
    assert bool(its.refused) is not says
    if not says:
        assert its.refused.startswith("few_places: 16 patches, expected more than 16")
    else:
        assert its.floor < 1


def test_ends_of_an_interval_are_values_that_the_measure_can_have():
    pair = both(20, shift=3.0)
    for its in everything(pair).values():
        if its.measure in ("auc", "coverage", "band_js", "label_js"):
            assert 0 <= its.low <= its.high <= 1, its.measure


def test_density_and_coverage_are_not_known_where_balls_would_hold_everything():
    apart = np.sqrt(squares(normal(16, 3), normal(16, 3))).astype(np.float32)
    unit = np.array([0, 0, 0, 0, 1, 1, 1, 1, *range(2, 10)])  # of A, two places of four rows
    assert np.isnan(coverage.both(apart, unit, np.arange(8), np.arange(8, 16))).all()


def test_duplicates_are_out_before_neighbours_are_counted_and_are_told():
    x, y = normal(100, 4), normal(100, 4, seed=1)
    doubled = np.concatenate([y[:50], y[:50]])
    density, covered, twice = coverage.estimates(plain(np.concatenate([x, x]), np.concatenate([y, doubled])), QUICK)
    alone = coverage.estimates(plain(x, y), QUICK)
    assert covered.value == pytest.approx(alone[1].value)
    assert density.value == pytest.approx(alone[0].value)
    assert twice.value == pytest.approx(0.5 - 0.5)
    one = coverage.estimates(plain(x, doubled), QUICK)[2]
    assert one.value == pytest.approx(0.5)
    assert one.p <= 0.05


def test_coverage_of_another_place_is_low_and_tells():
    _, covered, _ = coverage.estimates(plain(normal(60, 4), normal(60, 4, 4, seed=1)), QUICK)
    assert covered.value < 0.1
    assert covered.p == pytest.approx(0.01)


# ---- the classifier ----------------------------------------


def test_auc_is_the_share_of_pairs_in_order_with_ties_half():
    score = np.array([0.1, 0.5, 0.5, 0.9, 0.5])
    a, b = np.array([1, 1, 0, 0, 0.0]), np.array([0, 0, 1, 1, 2.0])
    pairs = [(score[i], score[j], a[i] * b[j]) for i, j in itertools.product(range(5), repeat=2)]
    expected = sum(w * ((s < t) + (s == t) / 2) for s, t, w in pairs) / (a.sum() * b.sum())
    assert classifier.auc(score, a[:, None], b[:, None])[0] == pytest.approx(expected)


def test_seasons_of_a_place_are_in_one_fold_so_that_a_place_is_not_learned():
    # Places that are unlike one another, their seasons all but alike: whoever is tested on what he knows tells sides well.
    rng = np.random.default_rng(0)
    places = np.repeat(np.arange(40), 4)
    x = np.repeat(rng.normal(size=(40, 60)), 4, 0) + rng.normal(0, 0.01, (160, 60))
    pair = Pair(x, np.repeat(np.arange(40) % 2 == 1, 4), places, 1.0)
    fold = classifier.folds(pair, rng)
    assert all(len(set(fold[places == p])) == 1 for p in range(40))
    its = classifier.estimates(pair, QUICK)[0]
    assert its.value < 0.75
    assert its.p > 0.05
    leaky = Pair(x, pair.is_b, np.arange(160), 1.0)
    assert classifier.estimates(leaky, QUICK)[0].value > 0.95


def test_auc_tells_a_shift():
    its = classifier.estimates(plain(normal(80, 4), normal(80, 4, 1, seed=1)), QUICK)[0]
    assert its.value > 0.85
    assert its.low < its.value < its.high
    assert its.p == pytest.approx(0.01)
    assert its.beside["proxy_a"] > 1


@pytest.mark.parametrize("few", [400, 40])
def test_the_proxy_a_distance_is_that_of_the_best_threshold_however_many_more_there_are_of_one_side(few: int):
    its = classifier.estimates(plain(normal(400, 2), normal(few, 2, 2, seed=1)), QUICK)[0]
    error = scipy.stats.norm.cdf(-np.sqrt(8) / 2)  # of two normal distributions so far apart
    assert its.beside["proxy_a"] == pytest.approx(2 * (1 - 2 * error), abs=0.12)


# ---- all of them ----------------------------------------


def everything(pair: Pair, looks: Looks = QUICK) -> dict[tuple[str, str], object]:
    return {(e.measure, e.of): e for name in MEASURES for e in MEASURES[name](pair, looks)}


def both(n: int = 40, shift: float = 0.0, seed: int = 0) -> Pair:
    x, y = normal(n, 4, seed=seed), normal(n, 4, shift, seed=seed + 1000)
    sides = [
        features(v, np.arange(n) + k * n, bands={"red": v[:, 0]}, fractions={"a": v[:, 1] > 0.5, "b": v[:, 1] <= 0.5})
        for k, v in enumerate((x, y))
    ]
    return pair_of(*sides, scaling(sides))


def test_every_measure_tells_a_shift_and_says_all_that_belongs_to_a_number():
    found = everything(both(shift=2.0))
    assert {m for m, _ in found} == set(TITLES)
    for (measure, of), its in found.items():
        assert not its.refused, its
        assert (its.places_a, its.places_b, its.rows_a, its.rows_b) == (40, 40, 40, 40)
        assert its.low <= its.value <= its.high
        assert np.isfinite([its.floor, its.floor_95, its.p]).all(), (measure, of)
        if measure not in ("duplicates",):
            assert its.p < 0.05, (measure, of, its)


def test_the_order_of_rows_changes_nothing():
    pair = both(shift=0.5)
    order = np.random.default_rng(5).permutation(len(pair.unit))
    again = Pair(
        pair.x[order],
        pair.is_b[order],
        pair.unit[order],
        pair.median,
        {n: v[order] for n, v in pair.bands.items()},
        {n: v[order] for n, v in pair.fractions.items()},
    )
    first, second = everything(pair), everything(again)
    for key, its in first.items():
        assert second[key].value == pytest.approx(its.value, rel=1e-6, abs=1e-9), key
        assert second[key].p == pytest.approx(its.p, abs=0.011), key


def test_the_same_seed_gives_the_same_numbers():
    pair = both(shift=0.3)
    assert [str(e) for e in everything(pair).values()] == [str(e) for e in everything(pair).values()]


def test_too_few_places_are_refused_whatever_the_rows():
    x = normal(40, 2)
    pair = plain(x, x + 1, np.concatenate([np.repeat(np.arange(4), 10), 4 + np.arange(40)]))
    for its in everything(pair).values():
        assert its.refused.startswith("few_places: 4 "), its


@pytest.mark.slow
def test_a_test_says_yes_by_chance_as_often_as_it_should():
    for name in ("mmd", "auc", "energy"):
        p = [MEASURES[name](both(25, seed=s), Looks(s, 59, 5))[0].p for s in range(120)]
        assert scipy.stats.binomtest(sum(v <= 0.05 for v in p), 120, 0.05).pvalue > 0.001, name


def test_seasons_of_places_make_no_difference_of_places():
    # Eight seasons a place: as rows alone, a test of 10 and 10 places would see what is not there.
    wrong = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        of = np.repeat(rng.normal(size=(20, 3)), 8, 0) + rng.normal(0, 0.1, (160, 3))
        pair = Pair(of, np.repeat([False, True], 80), np.repeat(np.arange(20), 8), 1.0)
        wrong.append(mmd.estimates(pair, Looks(seed, 59, 5))[0].p <= 0.05)
    assert sum(wrong) <= 5


def test_a_season_is_told_from_another_of_the_same_places():
    rng = np.random.default_rng(0)
    of = rng.normal(0, 5, (30, 3))
    pair = plain(of, of + 0.8 + rng.normal(0, 0.1, (30, 3)), np.tile(np.arange(30), 2))
    its = mmd.estimates(Pair(pair.x, pair.is_b, pair.unit, 5.0), Looks(0, 199, 20))[0]
    apart = mmd.estimates(plain(of, of + 0.8, median=5.0), Looks(0, 199, 20))[0]
    assert its.p <= 0.01  # places paired: a small shift that all have is seen
    assert apart.p > its.p


# ---- draws, scale, corrections ----------------------------------------


@settings(max_examples=examples(30))
@given(st.integers(0, 10**6), st.integers(0, 6), st.integers(1, 6), st.integers(1, 6))
def test_permuted_sides_keep_places_together_and_as_many_of_each_side(seed: int, shared: int, a: int, b: int):
    rng = np.random.default_rng(seed)
    unit, side = [], []
    for n in range(shared):
        unit += [n] * 4
        side += [False, False, True, True]
    for n in range(a + b):
        unit += [shared + n] * 3
        side += [n >= a] * 3
    pair = Pair(np.zeros((len(unit), 1)), np.array(side), np.array(unit), 1.0)
    after = pair.permuted(rng)
    changed = after != pair.is_b
    assert all(len(set(changed[pair.unit == u])) == 1 for u in range(pair.units))
    assert after.sum() == pair.is_b.sum()
    drawn = pair.bootstrapped(rng, 5)
    for units in pair.strata():
        assert (drawn[units].sum(0) == len(units)).all()
    half = pair.half(rng)
    assert all(half[units].sum() >= min(2, len(units)) for units in pair.strata())


def test_orders_are_the_ways_in_which_sides_can_be_permuted():
    pair = plain(normal(4), normal(3, seed=1), [0, 1, 2, 3, 0, 4, 1])
    rng = np.random.default_rng(0)
    assert pair.orders() == len({tuple(pair.permuted(rng).tolist()) for _ in range(1000)}) == 4 * 3


def test_one_scale_is_that_of_all_sides_and_constants_are_out():
    x = np.random.default_rng(0).normal(5, 3, (50, 3)).astype(np.float32)
    x[:, 1] = 7
    sides = [features(x[:20]), features(x[20:], np.arange(20, 50))]
    scale = scaling(sides)
    assert scale.count == 2
    z = np.concatenate([scale.scaled(s.values) for s in sides])
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(z.std(0), 1, rtol=1e-6)
    assert isinstance(scale, Scaling)
    expected = np.median(scipy.spatial.distance.pdist(z))
    assert scale.median == pytest.approx(expected, rel=0.02)


def test_components_are_those_of_all_sides_and_hold_most_of_what_varies():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 2)) @ rng.normal(size=(2, 10)) + rng.normal(0, 0.01, (80, 10))
    sides = [features(x[:40]), features(x[40:], np.arange(40, 80))]
    whole, two = scaling(sides), scaling(sides, dims=2)
    assert two.count == 2
    z, c = (np.concatenate([s.scaled(f.values) for f in sides]) for s in (whole, two))
    np.testing.assert_allclose(squares(z, z), squares(c, c), atol=0.02 * squares(z, z).max())


def test_blocks_of_places_are_one_unit():
    its = features(normal(10, 2))
    pair = pair_of(its, its, scaling([its, its]), block_deg=5)
    assert pair.units == 3  # 0 to 5, 5 to 10, and 10 itself
    assert pair_of(its, its, scaling([its, its])).units == 10


def test_holm_is_worked_out_by_hand():
    assert holm([0.01, 0.04, 0.03, float("nan")])[:3] == pytest.approx([0.03, 0.06, 0.06])
    assert np.isnan(holm([0.01, float("nan")])[1])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_p_counts_what_is_as_extreme_and_is_never_nought():
    null = np.arange(99.0)
    assert p_of(200, null, "high") == pytest.approx(0.01)
    assert p_of(97, null, "high") == pytest.approx(0.03)
    assert p_of(-1, null, "low") == pytest.approx(0.01)
    assert p_of(49, null, "both") == pytest.approx(1.0)


def test_of_many_places_some_are_drawn_and_that_is_told(monkeypatch):
    monkeypatch.setattr(kernels, "MOST_ROWS", 40)
    monkeypatch.setattr(kernels, "MOST_UNITS", 16)
    its = mmd.estimates(plain(normal(60, 3), normal(60, 3, 2, seed=1)), QUICK)[0]
    assert (its.rows_a, its.rows_b) == (20, 20)
    assert its.p == pytest.approx(0.01)
    assert np.isfinite([its.low, its.high]).all()


def test_of_very_many_rows_places_are_drawn_before_anything_is_scaled(monkeypatch):
    monkeypatch.setattr(pair_module, "MOST_ROWS", 60)
    monkeypatch.setattr(pair_module, "BLOCK_ROWS", 7)
    values = normal(200, 3)
    sides = [
        features(values[:120], np.repeat(np.arange(60), 2), bands={"b": values[:120, 0]}),
        features(values[120:], np.repeat(np.arange(100, 140), 2), bands={"b": values[120:, 0]}),
    ]
    scale = scaling(sides)
    np.testing.assert_allclose(scale.middle, values.astype(np.float32).mean(0, dtype=np.float64))
    its = pair_of(*sides, scale, seed=4)
    assert its.rows() == (36, 24)  # 18 of 60 places and 12 of 40, with all of their rows
    back = its.x[:, 0] * scale.spread[0] + scale.middle[0]
    np.testing.assert_allclose(back, its.bands["b"], rtol=1e-6)  # each row is still its own
    np.testing.assert_array_equal(pair_of(*sides, scale, seed=4).x, its.x)
