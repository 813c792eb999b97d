"""No place, and no ground of one, is fitted on and scored."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import ConfigError
from curation.places.domains import block
from curation.places.nearby import nearest
from curation.worth.probe import folds
from curation.worth.probe.rows import ProbeRows
from tests.properties import examples
from tests.worth.probe import made


def check(rows: ProbeRows, found: list[folds.PlaceFold], apart: float) -> None:
    for fold in found:
        for fit, scored in ((fold.fit, fold.scored), (fold.tuned_on, fold.tuning)):
            assert not set(rows.places[fit]) & set(rows.places[scored])
            angle = nearest(rows.lon[fit], rows.lat[fit], rows.lon[scored], rows.lat[scored])
            assert (angle > apart).all()
        assert set(fold.tuning) <= set(fold.fit) >= set(fold.tuned_on)
        assert not set(fold.tuning) & set(fold.tuned_on)


@settings(max_examples=examples(100))
@given(
    seed=st.integers(0, 1000),
    k=st.integers(2, 6),
    block_deg=st.sampled_from([0.3, 1.0, 2.0]),
    apart_km=st.sampled_from([0.0, 3.0, 40.0]),
    span=st.sampled_from([10.0, 20.0]),
)
def test_no_place_and_no_ground_is_on_both_sides_and_each_row_is_scored_once(seed, k, block_deg, apart_km, span):
    rows, apart = made.rows(150, seed, span_deg=span), apart_km / 6371
    found = folds.of_blocks(rows, k, block_deg, apart, seed)
    check(rows, found, apart)
    assert sorted(np.concatenate([f.scored for f in found])) == list(range(len(rows)))
    sizes = [len(set(rows.places[f.scored])) for f in found]
    largest = max(np.unique(block.names(rows.lon[::2], rows.lat[::2], block_deg), return_counts=True)[1])
    assert max(sizes) - min(sizes) <= largest  # whole blocks, dealt to whom has least
    if not apart_km:
        assert all(len(f.fit) + len(f.scored) == len(rows) for f in found)


def test_blocks_are_whole():
    rows = made.rows(300)
    names = block.names(rows.lon, rows.lat, 1.0)
    for fold in folds.of_blocks(rows, 4, 1.0, 0.0, 0):
        assert not set(names[fold.scored]) & set(names[fold.fit])
        assert not set(names[fold.tuning]) & set(names[fold.tuned_on])


def test_a_place_whose_rows_lie_apart_is_left_out_whole_where_one_of_them_is_near():
    # Children of a cell: the second lies at the place that is scored.
    rows = made.rows(60)
    places, lon = rows.places.copy(), rows.lon.copy()
    places[[0, 1]], rows.splits[[0, 1]] = "cell", "train"
    rows.splits[2:4], lon[[1, 2, 3]] = "val", lon[2]
    rows.lat[[1, 2, 3]] = rows.lat[2]
    its = ProbeRows(rows.keys, places, rows.seasons, lon, rows.lat, rows.splits)
    (fold,) = folds.of_sides(its, "train", "val", 1.0, 1 / 6371, 0)
    assert not {0, 1} & set(fold.fit)
    check(its, [fold], 1 / 6371)


def test_the_split_s_own_sides_are_one_fold():
    rows = made.rows(80)
    (fold,) = folds.of_sides(rows, "train", "val", 1.0, 0.0, 0)
    assert set(rows.splits[fold.fit]) == {"train"}
    assert set(rows.splits[fold.scored]) == {"val"}
    check(rows, [fold], 0.0)
    assert len(fold.fit) + len(fold.scored) == len(rows)


def test_a_place_on_both_sides_of_a_split_is_refused():
    rows = made.rows(40)
    rows.splits[1] = "train"  # the first place, a season of which is val
    with pytest.raises(ConfigError, match="place p00000: it is fitted on and scored"):
        folds.of_sides(rows, "train", "val", 1.0, 0.0, 0)


def test_a_side_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(ConfigError, match="side 'test': no row with a label is of it; there are train, val"):
        folds.of_sides(made.rows(40), "train", "test", 1.0, 0.0, 0)


def test_too_few_blocks_are_told_with_what_to_say():
    with pytest.raises(ConfigError, match=r"--folds 5: 40 places lie in 1 block of 30°, .*; say smaller blocks"):
        folds.of_blocks(made.rows(40, span_deg=0.1), 5, 30.0, 0.0, 0)


def test_what_is_fitted_on_that_lies_in_few_blocks_is_tuned_by_other_places():
    rows = made.rows(40, span_deg=0.1)
    (fold,) = folds.of_sides(rows, "train", "val", 30.0, 0.0, 0)
    check(rows, [fold], 0.0)
    assert len(set(rows.places[fold.tuning])) == pytest.approx(30 / 4, abs=1)


def test_nothing_left_to_fit_on_is_told():
    with pytest.raises(ConfigError, match="none is left to fit on that keeps 2e\\+03 km"):
        folds.of_blocks(made.rows(60), 5, 1.0, 2000 / 6371, 0)


def test_folds_follow_from_the_seed_alone():
    rows = made.rows(200)
    a, b, c = (folds.of_blocks(rows, 5, 1.0, 0.0, s) for s in (1, 1, 2))
    assert all(np.array_equal(x.scored, y.scored) for x, y in zip(a, b, strict=True))
    assert any(not np.array_equal(x.scored, y.scored) for x, y in zip(a, c, strict=True))


@pytest.mark.parametrize(("span_deg", "side_deg"), [(40.0, 1.0), (3.0, 0.5), (0.3, 0.05), (0.001, 0.01)])
def test_blocks_are_as_small_as_it_takes_to_deal_them(span_deg: float, side_deg: float):
    lon, lat = (its.ravel() for its in np.meshgrid(*2 * [np.linspace(0.001, span_deg, 30)]))
    assert folds.side_deg(lon, lat, 1.0) == side_deg
    for side in (1.0, *folds.SIDES_DEG):
        many = len(np.unique(block.names(lon, lat, side))) >= folds.LEAST_BLOCKS
        assert many == (side <= side_deg) or span_deg < 0.01
