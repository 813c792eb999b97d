"""Which of many scenes a patch takes, by time alone or by orbit. Whole builds in this process."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from curation.outcomes import PatchOutcome, Status
from tests import world as tiny
from tests.build.dates import CLOUD, HERE, SNOW, Dates, built, outcomes, reason, with_picks
from tests.run import Curate


@pytest.mark.parametrize(
    ("pick", "day"), [("'first-after'", "0720"), ("'latest-before'", "0709"), ("{ name = 'nearest' }", "0720")]
)
def test_a_scene_is_taken_by_time_alone_where_the_pick_says_so(dates: Dates, pick: str, day: str):
    # The anchor is the 15th. The nearest of all is cloudy, and so is the next one after.
    for when, cloud in (("0601", 0), ("0709", 0.05), ("0714", 0.5), ("0716", 0.5), ("0720", 0.08), ("0722", 0)):
        dates.mask(f"2021-{when[:2]}-{when[2:]}", {CLOUD: cloud})
    assert built(with_picks(dates, s2=pick)).scenes == (f"S2A_2021{day}",)


def test_the_second_before_is_the_next_good_one_of_another_acquisition_however_the_first_was_found(dates: Dates):
    # Before the 15th: the 14th has no pixels, the 12th is the first; the 11th is another slice of that very pass.
    dates.radar("2021-07-14", zeros_m=6_000)
    first = dates.radar("2021-07-12")
    dates.radar("2021-07-11")
    dates.items[-1]["properties"]["s1:datatake_id"] = dates.items[-2]["properties"]["s1:datatake_id"] = "318421"
    dates.items[-1]["properties"]["datetime"] = "2021-07-12T05:49:35Z"
    second = dates.radar("2021-07-06")
    curate = with_picks(dates, s2="", s1="'latest-before'")
    assert built(curate, "s1rtc").scenes == (first,)
    counted = "{ name = 'latest-before', nth = 2 }"
    again = Curate(dates, dates.folder / "again")
    with_picks(dates, s2="", s1=counted)
    assert built(again, "s1rtc").scenes == (second,)
    dates.items = [item for item in dates.items if item["id"] != second]
    few = Curate(dates, dates.folder / "few")
    with_picks(dates, s2="", s1=counted)
    assert (reason(few), built(few, "s1rtc").value) == ("too_few:s1rtc", 1.0)


def grown_and_at_once(dates: Dates, before: dict[str, Any], after: dict[str, Any]) -> list[PatchOutcome]:
    """What becomes of the first place by a recipe that was another before, and by that recipe at once."""
    grown, at_once = with_picks(dates, **before), Curate(dates, dates.folder / "at once")
    assert reason(grown) == "ok"
    with_picks(dates, **after)
    for curate in (grown, at_once):
        curate()
    return [outcomes(curate)[tiny.name(*HERE)] for curate in (grown, at_once)]


def test_the_second_is_counted_anew_with_a_source_that_is_added_and_that_the_first_lacks(dates: Dates):
    # The 14th is the first and the 10th stands; with radar, which the 14th lacks, that is the first.
    third, *_ = (dates.mask(f"2021-07-{day}", {}) for day in ("05", "10", "14"))
    for day in ("2021-07-10", "2021-07-05"):
        dates.radar(day)
    before = {"s2": "{ name = 'latest-before', nth = 2 }", "max_gap_days": 2}
    after = before | {"s1": "{ name = 'nearest', goes_with = 's2l2a' }"}
    grown, at_once = grown_and_at_once(dates, before, after)
    assert at_once.sources["s2l2a"].scenes == (third,)
    assert grown == at_once


@pytest.mark.parametrize("snow", [0.0, 0.6])
def test_with_a_source_that_is_added_masks_are_read_that_were_too_many_before(dates: Dates, snow: float):
    # Two masks are read: of the 14th and the 16th, until radar, which the 14th lacks, leaves one for the clearer 17th.
    dates.mask("2021-07-14", {CLOUD: 0.06} if not snow else {CLOUD: 0.5})
    dates.mask("2021-07-16", {CLOUD: 0.02, SNOW: snow})
    clear = dates.mask("2021-07-17" if not snow else "2021-08-20", {})
    for day in ("16", "17"):
        dates.radar(f"2021-07-{day}")
    dates.radar("2021-08-20")
    before = {"max_candidates": 2, "max_gap_days": 1}
    grown, at_once = grown_and_at_once(dates, before, before | {"s1": "{ name = 'nearest', goes_with = 's2l2a' }"})
    assert at_once.sources["s2l2a"].scenes == (clear,)
    assert grown == at_once


def test_a_source_that_is_added_to_one_that_was_refused_and_not_required_says_why_itself(dates: Dates):
    dates.mask("2021-07-15", {CLOUD: 0.5})
    dates.radar("2021-07-14")
    before = {"s2": "'clearest', required = false }\nradar = { of = 's1rtc', pick = 'latest-before'"}
    after = before | {"s1": "{ name = 'nearest', goes_with = 's2l2a', orbit = 'descending' }"}
    grown, at_once = grown_and_at_once(dates, before, after)
    assert (at_once.status, at_once.sources["s2l2a"].code) == (Status.REJECTED, "upstream")
    assert grown == at_once


def test_where_no_scene_is_on_the_side_that_is_asked_for_that_is_told(dates: Dates):
    dates.mask("2021-07-10", {})
    curate = with_picks(dates, s2="'first-after'")
    assert reason(curate) == "wrong_side:s2l2a"
    assert built(curate).status is Status.ABSENT


def test_radar_stands_alone_and_takes_the_next_where_the_nearest_has_no_pixels(dates: Dates):
    dates.radar("2021-07-15", zeros_m=6_000)
    near = dates.radar("2021-07-18")
    dates.radar("2021-07-10")
    curate = with_picks(dates, s2="", s1="{ name = 'nearest' }")
    assert built(curate, "s1rtc").scenes == (near,)
    stored = xr.open_zarr(curate.folder / "cubes" / "europe" / "summer.zarr").isel(patch=0)
    assert stored.s1rtc_time.values.astype("datetime64[m]") == np.datetime64("2021-07-18T05:50")
    assert float(stored.s1rtc_10m.min()) > 0


@pytest.mark.parametrize("is_taken", [True, False], ids=["both are taken", "the second is refused"])
def test_what_is_known_of_one_source_stays_where_another_chooses_a_scene_of_its_own(dates: Dates, is_taken: bool):
    dates.mask("2021-07-16", {CLOUD: 0.05})
    dates.radar("2021-07-18", zeros_m=0 if is_taken else 6_000)
    curate = with_picks(dates, s1="{ name = 'nearest' }, required = false")
    assert built(curate).scenes == ("S2A_20210716",)
    stored = xr.open_zarr(curate.folder / "cubes" / "europe" / "summer.zarr").isel(patch=0)
    assert stored.s2l2a_time.values.astype("datetime64[D]") == np.datetime64("2021-07-16")
    assert float(stored.s2l2a_clear_fraction) == pytest.approx(0.95, abs=0.01)
    assert (int(stored.s1rtc_status) == 1) == is_taken
    assert stored.s1rtc_time.values.astype("datetime64[D]") == np.datetime64("2021-07-18")


@pytest.mark.parametrize(
    ("keys", "scene"),
    [
        ("", "0715_desc"),
        (", orbit = 'ascending'", "0716_asce"),
        (", one_relative_orbit = true", "0719_asce"),
        (", one_orbit_direction = true", "0716_asce"),
    ],
)
def test_radar_keeps_to_the_orbit_that_is_asked_for(dates: Dates, keys: str, scene: str):
    for day, direction, orbit in (
        ("2021-07-15", "descending", 37), ("2021-07-16", "ascending", 15), ("2021-07-19", "ascending", 88),
        ("2021-07-30", "ascending", 88),
    ):  # fmt: skip
        dates.s1(day, direction)
        dates.items[-1]["properties"]["sat:relative_orbit"] = orbit
    curate = with_picks(dates, s2="", s1=f"{{ name = 'nearest'{keys} }}")
    (found,) = built(curate, "s1rtc").scenes
    assert found.endswith(scene.split("_")[1])
    assert f"2021{scene[:4]}" in found
    stored = xr.open_zarr(curate.folder / "cubes" / "europe" / "summer.zarr").isel(patch=0)
    if keys:
        assert str(stored.s1rtc_orbit_state.values)[:4] == scene.split("_")[1]
        assert int(stored.s1rtc_relative_orbit) == {"0716": 15, "0719": 88}[scene[:4]]
