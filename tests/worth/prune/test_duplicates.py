"""Copies are alike on the ground and as numbers; one of each stays, and which kind they are is told apart."""

import numpy as np
import pytest
import shapely

from curation.worth.prune import duplicates
from curation.worth.prune.duplicates import EXACT, KINDS, OTHER_DATE, OVERLAPPING, SHIFTED, DuplicateRule
from curation.worth.prune.neighbours import RADIUS_M

SIDE_M = 2560.0


def found(values, lon, lat, *, stays=None, dates=None, order=None, known=None):
    n = len(values)
    stays = np.zeros(n, bool) if stays is None else np.asarray(stays)
    dates = np.zeros(n) if dates is None else np.asarray(dates)
    order = np.arange(n) if order is None else np.asarray(order)
    return duplicates.duplicates(
        values, lon, lat, np.full(n, SIDE_M), stays, order, DuplicateRule(), lambda a, b: dates[a] == dates[b], 0, known
    )


@pytest.fixture
def many():
    """60 places far from one another, and their numbers."""
    rng = np.random.default_rng(3)
    return rng.normal(size=(60, 10)).astype(np.float32), np.arange(60.0), rng.uniform(-60, 60, 60)


def with_copy(many, of: int, east_m: float, noise: float):
    values, lon, lat = many
    copy = values[of] + np.float32(noise) * np.random.default_rng(9).normal(size=10).astype(np.float32)
    east = np.degrees(east_m / RADIUS_M / np.cos(np.radians(lat[of])))
    return np.vstack([values, copy[None]]), np.r_[lon, lon[of] + east], np.r_[lat, lat[of]]


@pytest.mark.parametrize(
    ("east_m", "noise", "date", "kind"),
    [
        (0, 0, 0, EXACT),
        (4e6, 0, 0, EXACT),  # on another continent: its place is wrong
        (10, 0.05, 0, SHIFTED),
        (1000, 0.05, 0, SHIFTED),
        (1000, 0.05, 1, OTHER_DATE),
        (0, 0.05, 1, OTHER_DATE),
        (1800, 0.05, 0, OVERLAPPING),
        (1800, 0.05, 1, OVERLAPPING),
        (2300, 0.05, 0, None),  # a tenth of the ground in common
        (2700, 0.05, 0, None),  # beside one another: alike, and no ground in common
        (0, 3.0, 1, None),  # the same ground, and nothing alike
        (500, 3.0, 0, SHIFTED),  # of the same scenes: what both have of the ground they have of the pixels
        (1800, 3.0, 0, None),  # a third of them is not enough
    ],
)
def test_each_kind_of_copy_is_told_apart_and_what_is_none_is_not_taken_for_one(many, east_m, noise, date, kind):
    its = found(*with_copy(many, 7, east_m, noise), dates=[0] * 60 + [date])
    assert np.flatnonzero(its.twin >= 0).tolist() == ([60] if kind else [])
    if kind:
        assert (its.twin[60], KINDS[its.form[60]]) == (7, kind)


def test_of_two_copies_the_one_of_lower_rank_stays_unless_the_other_must(many):
    args = with_copy(many, 7, 10, 0.05)
    order = np.arange(61)[::-1]
    assert found(*args, order=order).twin[7] == 60
    assert found(*args, order=order, stays=np.arange(61) == 7).twin[60] == 7
    assert (found(*args, stays=np.isin(np.arange(61), [7, 60])).twin == -1).all()


def test_each_that_is_left_out_has_a_twin_that_stays_in_a_chain_too(many):
    values, lon, lat = many
    step = np.degrees(1500 / RADIUS_M)
    chain = 7 + 1e-3 * np.arange(5)[:, None] + np.zeros((5, 10), np.float32)  # each overlaps the next alone
    its = found(
        np.vstack([values, chain]).astype(np.float32), np.r_[lon, 100 + step * np.arange(5)], np.r_[lat, np.zeros(5)]
    )
    assert np.flatnonzero(its.twin >= 0).tolist() == [61, 63]
    assert (its.twin[its.twin[its.twin >= 0]] == -1).all()


def test_a_hundred_exact_copies_leave_one(many):
    values, lon, lat = many
    rng = np.random.default_rng(0)
    its = found(
        np.vstack([values, np.repeat(values[:1], 100, axis=0)]),
        np.r_[lon, rng.uniform(0, 90, 100)],
        np.r_[lat, rng.uniform(-60, 60, 100)],
    )
    assert (its.twin >= 0).sum() == 100
    assert set(its.twin[60:]) == {0}


def test_the_threshold_does_not_follow_from_how_many_copies_there_are(many):
    values, lon, lat = many
    places = np.full(60, SIDE_M)
    before = duplicates.threshold(values, lon, lat, places, DuplicateRule(), 0)
    twice = np.vstack([values, values]), np.r_[lon, lon], np.r_[lat, lat], np.r_[places, places]
    assert duplicates.threshold(*twice, DuplicateRule(), 0) == pytest.approx(before)
    assert duplicates.threshold(values[:1], lon[:1], lat[:1], places[:1], DuplicateRule(), 0) == 0


def test_overlaps_are_those_of_squares_at_any_longitude():
    rng = np.random.default_rng(0)
    lat = np.array([0.0, 50.0, -70.0])
    for start in (10.0, 179.995, -179.999):
        east, north = rng.uniform(-3000, 3000, (2, 3))
        lon = np.full(3, start)
        other = (lon + np.degrees(east / RADIUS_M / np.cos(np.radians(lat))) + 180) % 360 - 180
        both = np.r_[lon, other], np.r_[lat, lat + np.degrees(north / RADIUS_M)]
        shares = duplicates.overlaps(*both, np.full(6, SIDE_M), np.arange(3), np.arange(3, 6))
        square = shapely.box(0, 0, SIDE_M, SIDE_M)
        moved = shapely.box(east, north, SIDE_M + east, SIDE_M + north)
        assert shares == pytest.approx(shapely.area(shapely.intersection(square, moved)) / SIDE_M**2, abs=3e-3)


def test_samples_without_numbers_are_no_copies_of_one_another(many):
    values, lon, lat = many
    known = np.arange(60) > 2
    values = np.where(known[:, None], values, np.float32(0))
    assert (found(values, lon, lat, known=known).twin < 0).all()
    close = np.where(np.arange(60) == 1, lon[0], lon), np.where(np.arange(60) == 1, lat[0], lat)
    its = found(values, *close, known=known, dates=np.arange(60))
    assert (its.twin < 0).all()
    assert np.isnan(its.alike[:2]).all()
    its = found(values, *close, known=known)  # of the same scenes they are
    assert (np.flatnonzero(its.twin >= 0).tolist(), KINDS[its.form[1]]) == ([1], SHIFTED)


def test_exact_copies_leave_one_where_the_first_of_them_is_left_out_as_a_copy_of_another(many):
    values, lon, lat = with_copy(many, 7, 1000, 0.05)
    values, lon, lat = np.vstack([values, values[60:], values[60:]]), np.r_[lon, 70, 80], np.r_[lat, 0, 0]
    its = found(values, lon, lat)
    assert {n: int(its.twin[n]) for n in np.flatnonzero(its.twin >= 0).tolist()} == {60: 7, 62: 61}
