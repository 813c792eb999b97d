import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curation import radiometry
from curation.model import Code, Reject

PIXELS = hnp.arrays("u2", st.integers(1, 40))


@pytest.mark.parametrize(
    ("baseline", "want"), [("02.14", 0), ("03.01", 0), ("03.99", 0), ("04.00", 1000), ("05.00", 1000), ("05.11", 1000)]
)
def test_the_baseline_decides_and_never_the_date(baseline, want):
    for year in (2017, 2021, 2024):
        properties = {"datetime": f"{year}-06-01T00:00:00Z"}
        assert radiometry.offset_dn("baseline", properties, {}, baseline) == want


def test_without_a_rule_there_is_no_offset():
    assert radiometry.offset_dn("none", {}, {}, "05.00") == 0


@pytest.mark.parametrize(
    "asset",
    [
        {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]},
        {"bands": [{"raster:scale": 0.0001, "raster:offset": -0.1}]},
        {"raster:scale": 0.0001, "raster:offset": -0.1, "bands": [{"name": "B02"}]},
        {"bands": [{"scale": 0.0001, "offset": -0.1}]},
    ],
)
def test_scale_and_offset_of_the_asset_in_every_form_say_what_the_pixels_carry(asset):
    assert radiometry.offset_dn("raster-bands", {}, asset, None) == 1000


def test_an_offset_of_nothing_is_none():
    assert radiometry.offset_dn("raster-bands", {}, {"raster:bands": [{"scale": 0.0001, "offset": 0}]}, None) == 0


@pytest.mark.parametrize(
    ("rule", "asset"),
    [
        ("baseline", {}),
        ("earth-search", {}),
        ("raster-bands", {}),
        ("raster-bands", {"raster:bands": [{"scale": 0.0001}]}),
    ],
)
def test_what_is_not_said_is_not_guessed(rule, asset):
    with pytest.raises(radiometry.NoBaselineError):
        radiometry.offset_dn(rule, {}, asset, None)


@pytest.mark.parametrize(("applied", "want"), [(True, 0), (False, 1000), (None, 1000)])
def test_earth_search_says_whether_it_has_removed_the_offset(applied, want):
    properties = {"earthsearch:boa_offset_applied": applied}
    assert radiometry.offset_dn("earth-search", properties, {}, "05.00") == want


@pytest.mark.parametrize(("dn", "want"), [(0, 0), (1, 1), (800, 1), (1000, 1), (1001, 1), (1002, 2), (65535, 64535)])
def test_known_pixels(dn, want):
    got = radiometry.harmonised(np.array([dn], "u2"), 1000, 0)
    assert got.dtype == np.uint16
    assert got.tolist() == [want]


@given(PIXELS, st.sampled_from([0, 1000]), st.sampled_from([0, 65535]))
@settings(deadline=None)
def test_nodata_and_only_nodata_is_nodata_and_nothing_wraps_around(dn, offset, nodata):
    got = radiometry.harmonised(dn, offset, nodata)
    assert got.dtype == dn.dtype
    assert np.array_equal(got == nodata, dn == nodata)
    valid = dn != nodata
    exact = dn.astype(np.int64) - offset
    assert np.array_equal(got[valid], np.where(exact < 1, 1, exact)[valid] if offset else dn[valid])


@given(PIXELS)
@settings(deadline=None)
def test_the_same_ground_before_and_after_baseline_4_is_the_same_number(dn):
    ground = np.clip(dn, 1, 60_000)
    carried = (ground + 1000).astype("u2")
    assert np.array_equal(radiometry.harmonised(carried, 1000, 0), ground)
    assert np.array_equal(radiometry.harmonised(ground, 0, 0), ground)


def test_dark_pixels_where_an_offset_is_claimed_are_a_conflict_with_its_value():
    dark = np.full(1000, 300, "u2")
    with pytest.raises(Reject) as caught:
        radiometry.check_offset(dark, 1000, 0)
    assert (caught.value.code, caught.value.value) == (Code.OFFSET_CONFLICT, 300)


@pytest.mark.parametrize(
    ("dn", "offset"),
    [
        ([1001] * 200, 1000),
        ([0] * 200, 1000),
        ([300] * 200, 0),
        ([0] * 100 + [1050] * 100, 1000),
        ([5] + [1200] * 999, 1000),
    ],
)
def test_what_may_carry_the_offset_passes(dn, offset):
    radiometry.check_offset(np.array(dn, "u2"), offset, 0)
