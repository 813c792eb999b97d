"""Which of many scenes a patch takes, by its masks. Whole builds in this process."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests import world as tiny
from tests.build.dates import CLOUD, HERE, PX, SNOW, UNSURE, Codes, Dates, built, outcomes, reason

# --- at the edges of a season ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("partner", "day"), [("2021-05-30", "2021-06-02"), ("2021-09-02", "2021-08-30")])
@pytest.mark.parametrize("inside", [False, True])
def test_radar_is_sought_beyond_the_seasons_window_as_far_as_it_may_lie_from_its_partner(dates, partner, day, inside):
    before, after = dates.mask("2021-05-31", {}), dates.mask("2021-09-01", {})  # clear, and of another season
    dates.mask(day, {CLOUD: 0.05})
    near = dates.radar(partner)
    dates.radar("2021-05-19")  # 12.8 days before the window
    if inside:
        dates.radar("2021-07-15")
    curate = dates.ready(sources="s1rtc = {}", max_gap_days=12 if not inside else 60)
    curate()
    found = outcomes(curate)[tiny.name(*HERE)]
    assert found.reason == "ok"
    assert found.sources["s1rtc"].scenes == (near,)
    assert not {before, after} & set(found.sources["s2l2a"].scenes)
    if not inside:
        searches = [json.loads(gzip.decompress(p.read_bytes()).splitlines()[0]) for p in curate.folder.rglob("*.gz")]
        assert {s["interval"] for s in searches} == {
            "2021-06-01T00:00:00Z/2021-08-31T23:59:59.999Z",
            "2021-05-20T00:00:00Z/2021-09-12T23:59:59.999Z",
        }


def test_a_gap_of_any_length_may_be_allowed(dates):
    dates.mask("2021-07-15", {})
    dates.radar("2016-07-15")
    assert reason(dates.ready(sources="s1rtc = {}", max_gap_days=1e12)) == "ok"


# --- which is the clearest -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {CLOUD: 0.05}),
        ({CLOUD: 0.02}, {CLOUD: 0.05}),
        ({UNSURE: 0.02}, {UNSURE: 0.3}),
        ({CLOUD: 0.02}, {UNSURE: 0.05}),  # doubtful is no better than cloud
        ({CLOUD: 0.02}, {SNOW: 0.3}),
        ({SNOW: 0.06}, {CLOUD: 0.06}),  # snow is better than cloud
    ],
)
@pytest.mark.parametrize("days", [("2021-07-15", "2021-07-20"), ("2021-07-20", "2021-07-15")])
def test_of_equal_rank_the_one_whose_mask_is_clearest_is_taken(dates: Dates, one: Codes, other: Codes, days):
    best = dates.mask(days[0], one, cloud_pct=9.0)
    dates.mask(days[1], other, cloud_pct=1.0)
    curate = dates.ready()
    assert built(curate).scenes == (best,)
    stored = xr.open_zarr(curate.folder / "cubes" / "europe" / "summer.zarr").isel(patch=0)
    shares = [float(stored[f"s2l2a_{k}_fraction"]) for k in ("clear", "doubtful", "snow", "valid")]
    expected = [1 - one.get(CLOUD, 0), one.get(UNSURE, 0), one.get(SNOW, 0), 1]
    assert shares == pytest.approx(expected, abs=1 / PX**2)


def test_of_two_as_clear_the_one_nearer_to_the_anchor_is_taken_whatever_its_neighbours_can_use(tmp_path: Path):
    for places in ((HERE,), (HERE, (0, 1))):
        mine = Dates(tmp_path / str(len(places)), places)
        near = mine.mask("2021-07-18", {})
        mine.mask("2021-07-09", {})
        assert built(mine.ready()).scenes == (near,)


def test_a_clearer_scene_of_lower_rank_is_not_asked_where_one_of_higher_rank_is_good_enough(dates: Dates):
    near = dates.mask("2021-07-15", {CLOUD: 0.05})
    dates.mask("2021-08-15", {})
    assert built(dates.ready()).scenes == (near,)


def test_the_next_clearest_is_taken_where_the_clearest_has_no_pixels(dates: Dates):
    dates.mask("2021-07-15", {})
    dates.items[-1]["assets"]["B04"]["href"] = dates.raster(
        "empty.tif", np.zeros((600, 600), "u2"), tiny._at(10), f"EPSG:{tiny.EPSG}"
    )
    dates.mask("2021-07-16", {CLOUD: 0.08})
    second = dates.mask("2021-07-17", {CLOUD: 0.02})
    assert built(dates.ready()).scenes == (second,)


@pytest.mark.slow
def test_a_mask_that_calls_nearly_all_snow_is_believed_only_where_no_other_passes(tmp_path: Path):
    # SCL has called an overcast scene snow, in September. Where it is real all others say so, too.
    overcast = Dates(tmp_path / "overcast")
    overcast.mask("2021-07-15", {SNOW: 0.98})
    clear = overcast.mask("2021-08-15", {CLOUD: 0.03}, cloud_pct=25.0)
    assert built(overcast.ready()).scenes == (clear,)
    winter = Dates(tmp_path / "winter")
    winter.mask("2021-07-14", {SNOW: 0.9, CLOUD: 0.08})
    snowy = winter.mask("2021-07-20", {SNOW: 0.98})
    winter.mask("2021-08-15", {CLOUD: 0.8})
    assert built(winter.ready()).scenes == (snowy,)
