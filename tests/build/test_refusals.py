"""What a patch is told where no scene is good enough: of many reasons that of the one that came furthest."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import xarray as xr

from curation.outcomes import Status
from tests import world as tiny
from tests.build.dates import CLOUD, HERE, RADAR, SNOW, UNSURE, Dates, built, outcomes, reason, with_picks
from tests.pack.labels import stand_in
from tests.run import Curate


@pytest.mark.slow
def test_a_patch_of_which_the_mask_does_not_know_enough_is_refused_as_doubtful(dates: Dates):
    dates.mask("2021-07-15", {UNSURE: 0.75})
    dates.mask("2021-08-15", {UNSURE: 0.625})
    curate = dates.ready(max_doubtful=0.5)
    assert (reason(curate), built(curate).value) == ("doubtful:s2l2a", 0.625)
    assert built(Curate(dates, dates.folder / "again")).status is Status.REJECTED
    relaxed = Curate(dates, dates.folder / "relaxed")
    dates.ready(max_doubtful=0.65)
    assert built(relaxed).scenes == ("S2A_20210815",)


def test_a_patch_with_more_snow_than_the_recipe_allows_is_refused_as_snowy(dates: Dates):
    dates.mask("2021-07-15", {SNOW: 0.75})
    curate = dates.ready(max_snow=0.5)
    assert (reason(curate), built(curate).value) == ("snowy:s2l2a", 0.75)


def test_the_code_is_of_the_candidate_that_came_furthest_and_so_are_the_facts(dates: Dates):
    dates.mask("2021-07-15", {CLOUD: 0.25})
    dates.mask("2021-07-16", {UNSURE: 0.75})
    dates.mask("2021-08-15", {CLOUD: 0.5})
    curate = dates.ready(max_doubtful=0.5)
    assert reason(curate) == "doubtful:s2l2a"
    stored = xr.open_zarr(curate.folder / "cubes" / "europe" / "summer.zarr").isel(patch=0)
    assert float(stored.s2l2a_doubtful_fraction) == 0.75


def test_what_has_no_radar_near_enough_uses_up_no_mask(dates: Dates):
    # Ten dates without, which would be looked at first; the one with radar is good.
    for day in range(10, 20):
        dates.mask(f"2021-07-{day}", {})
    good = dates.mask("2021-08-20", {})
    dates.radar("2021-08-20")
    curate = dates.ready(sources=RADAR, min_clear=1, max_gap_days=0.28, max_candidates=2)
    assert built(curate).scenes == (good,)


def test_where_a_gap_rules_out_the_only_clear_scene_the_gap_is_told_with_the_least_of_clear_ones(dates: Dates):
    dates.mask("2021-07-15", {})
    dates.mask("2021-07-22", {})
    dates.mask("2021-07-29", {CLOUD: 0.5})  # nearer to the radar, and cloudy
    dates.mask("2021-07-31", {CLOUD: 0.75})
    dates.radar("2021-07-31")
    curate = dates.ready(sources=RADAR, max_gap_days=0.28)
    assert reason(curate) == "time_gap:s1rtc"
    assert built(curate, "s1rtc").value == pytest.approx(8.806, abs=0.001)


@pytest.mark.parametrize("most", [3, 4, 5])
def test_what_a_gap_rules_out_is_no_candidate_that_more_tries_would_reach(dates: Dates, most: int):
    for day, cloud in (("07-29", 0.5), ("07-30", 0.75), ("07-31", 0.25), ("06-10", 0.75), ("06-11", 0.75)):
        dates.mask(f"2021-{day}", {CLOUD: cloud})
    dates.radar("2021-07-30")
    curate = dates.ready(sources=RADAR, max_gap_days=1.28, max_candidates=most)
    assert reason(curate) == "cloudy:s2l2a"


def test_where_what_a_gap_rules_out_is_cloudy_anyway_the_cloud_is_told(dates: Dates):
    dates.mask("2021-07-15", {CLOUD: 0.25})
    dates.mask("2021-07-31", {CLOUD: 0.75})
    dates.radar("2021-07-31")
    curate = dates.ready(sources=RADAR, max_gap_days=0.28)
    assert (reason(curate), built(curate).value) == ("cloudy:s2l2a", 0.75)


def test_masks_that_only_tell_why_are_no_reason_to_fail(dates: Dates):
    dates.mask("2021-07-15", {})
    (dates.folder / "S2A_20210715" / "SCL.tif").unlink()
    dates.radar("2021-08-20")
    curate = dates.ready(sources=RADAR, max_gap_days=0.28)
    assert reason(curate) == "time_gap:s1rtc"


def too_bright(dates: Dates, scene: str, power: float, every: int) -> None:
    """Lets each so many-th pixel of one band of a radar scene hold another power."""
    path = next((dates.folder / "s1").rglob(f"{scene}/*.tif"))
    with rasterio.open(path, "r+") as file:
        pixels = file.read(1)
        pixels.ravel()[::every] = power
        file.write(pixels, 1)


@pytest.mark.slow
def test_radar_of_which_too_much_is_brighter_than_anything_is_impossible_and_the_next_scene_is_used(dates: Dates):
    dates.mask("2021-07-15", {})
    faulty = dates.radar("2021-07-15")
    too_bright(dates, faulty, 1e6, every=50)
    curate = dates.ready(sources=RADAR)
    assert reason(curate) == "impossible:s1rtc"
    assert built(curate, "s1rtc").value == pytest.approx(0.02, abs=0.002)
    good = dates.radar("2021-07-17")
    dates.ready(sources=RADAR)
    assert built(Curate(dates, dates.folder / "more"), "s1rtc").scenes == (good,)


@pytest.mark.parametrize("pick", ["'latest-before'", "{ name = 'all', steps = 4 }"])
def test_radar_that_a_model_says_the_mask_of_and_that_is_impossible_is_refused_as_any(dates: Dates, pick: str):
    good, faulty = dates.radar("2021-07-12"), dates.radar("2021-07-14")
    too_bright(dates, faulty, 1e6, every=50)
    stand_in.written(dates.folder / "rain.onnx", np.zeros((2, 2)), np.array([1, 0]), "NCHW")
    mask = '{ model = "rain.onnx", bands = ["VV", "VH"], res_m = 20, output = ["clear", "cloudy"] }'
    curate = with_picks(dates, s2="", s1=f"{pick}, mask = {mask}")
    assert curate("build", "--run-code") == 0
    assert outcomes(curate)[tiny.name(*HERE)].sources["s1rtc"].scenes == (good,)
    dates.items = [item for item in dates.items if item["id"] != good]
    with_picks(dates, s2="", s1=f"{pick}, mask = {mask}")
    alone = Curate(dates, dates.folder / "alone")
    assert alone("build", "--run-code") == 0
    assert outcomes(alone)[tiny.name(*HERE)].reason == "impossible:s1rtc"


def test_a_step_in_place_of_one_that_is_refused_stands_in_order_of_time_too(dates: Dates):
    days = [dates.radar(day) for day in ("2021-07-10", "2021-07-14", "2021-07-20")]
    too_bright(dates, days[0], 1e6, every=50)  # the outermost are taken first, and then what lies between
    curate = with_picks(dates, s2="", s1="{ name = 'all', steps = 2 }")
    assert curate() == 0
    assert outcomes(curate)[tiny.name(*HERE)].sources["s1rtc"].scenes == (days[1], days[2])


@pytest.mark.slow
def test_the_few_pixels_of_radar_that_are_brighter_than_anything_are_no_data_and_counted(dates: Dates):
    dates.mask("2021-07-15", {})
    too_bright(dates, dates.radar("2021-07-15"), 2e4, every=397)
    curate = dates.ready(sources=RADAR, min_valid=0.99)
    assert reason(curate) == "ok"
    stored = xr.open_zarr(curate.folder / "cubes" / "europe" / "summer.zarr").isel(patch=0).load()
    empty = (stored.s1rtc_10m == -32768).any(stored.s1rtc_10m.dims[0])
    assert 0 < float(empty.mean()) == pytest.approx(1 - float(stored.s1rtc_valid_fraction), abs=1e-6)
    assert float(stored.s1rtc_10m.max()) <= 1e4
    dates.ready(sources=RADAR)
    assert reason(Curate(dates, dates.folder / "more")) == "nodata:s1rtc", "as the default rule has it"


def test_what_is_bright_and_may_be_is_kept(dates: Dates):
    dates.mask("2021-07-15", {})
    too_bright(dates, dates.radar("2021-07-15"), 9e3, every=50)
    curate = dates.ready(sources=RADAR)
    assert reason(curate) == "ok"
    stored = xr.open_zarr(curate.folder / "cubes" / "europe" / "summer.zarr").isel(patch=0).load()
    assert float(stored.s1rtc_10m.max()) == 9e3


def test_a_catalog_that_says_zero_cloud_of_all_is_told_apart_from_cloud(dates: Dates):
    # Item by item 0 %: the masks alone tell. Of twelve cloudy ones and a clear one eight are looked at.
    for day in range(10, 22):
        dates.mask(f"2021-07-{day}", {CLOUD: 0.5})
    clear = dates.mask("2021-08-20", {})
    curate = dates.ready()
    assert (reason(curate), built(curate).value) == ("exhausted:s2l2a", 5)
    dates.ready(max_candidates=13)
    assert built(Curate(dates, dates.folder / "more")).scenes == (clear,)


def test_where_all_were_looked_at_cloud_is_told_with_the_clearest(dates: Dates):
    for n in range(8):
        dates.mask(f"2021-07-{10 + n}", {CLOUD: 0.25 + n / 16})
    curate = dates.ready()
    assert (reason(curate), built(curate).value) == ("cloudy:s2l2a", 0.75)


def test_of_radar_whose_pixels_are_no_good_the_best_share_is_told(dates: Dates):
    dates.mask("2021-07-15", {})
    dates.radar("2021-07-15", zeros_m=6_000 - 360 - 240)
    dates.radar("2021-07-16", zeros_m=6_000)
    curate = dates.ready(sources=RADAR)
    assert reason(curate) == "nodata:s1rtc"
    assert built(curate, "s1rtc").value == pytest.approx(0.5)


def test_where_no_radar_is_there_at_all_no_mask_is_read(dates: Dates):
    dates.mask("2021-07-15", {})
    (dates.folder / "S2A_20210715" / "SCL.tif").unlink()
    dates.radar("2021-05-15")
    curate = dates.ready(sources=RADAR)
    assert reason(curate) == "no_scene:s1rtc"
