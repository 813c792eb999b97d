"""Which of many scenes a patch takes, and what it is told where it takes none. Whole builds in this process."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
import xarray as xr
from affine import Affine
from pyproj import Transformer
from scipy import ndimage

from curation.cubes import facts
from curation.errors import ConfigError, PassingError
from curation.outcomes import PatchOutcome, SourceOutcome, Status
from curation.read.reader import Asset, Reader
from curation.recipe.dataset import load_dataset
from curation.report import measurements
from curation.report.survey import survey
from curation.store.ledger import Ledger
from tests import world as tiny
from tests.pack.labels import stand_in
from tests.run import Curate

RECIPE = """
name = "tiny"
title = "Many dates of one place"
seed = 7

[grid]
size_m = 480

[places]
sampler = "file"
file = "places.csv"
regions = ["europe"]

[seasons]
summer = {{ start = 2021-06-01, end = 2021-09-01, anchor = 2021-07-15 }}

[sources]
s2l2a = {{ bands = ["B04"] }}
{sources}

[search]
exclude = {exclude}

[quality]
{quality}

[split]
val_fraction = 0.0

[cube]
slab_patches = 2
"""

PX = tiny.SIZE_M // 20
"""Pixels of the mask along a side of a place."""

HERE = (0, 0)
CLEAR, UNSURE, SNOW, CLOUD = 4, 7, 11, 9
Codes = Mapping[int, float]
"""Code of the mask → share of a place."""


class Dates(tiny.World):
    """Scenes of one band that differ by date and mask alone."""

    def __init__(self, folder: Path, places: tuple[tuple[int, int], ...] = (HERE,)) -> None:
        super().__init__(folder)
        self.places = places
        self.band = self.raster("B04.tif", tiny.dn("B04", 10), tiny._at(10), f"EPSG:{tiny.EPSG}")

    def mask(self, day: str, codes: Mapping[tuple[int, int], Codes] | Codes, cloud_pct: float = 0.0) -> str:
        """A scene whose mask holds so much of each code in every place, or in those named; the rest is clear. Its id."""
        by_place = codes if any(isinstance(k, tuple) for k in codes) else dict.fromkeys(self.places, codes)
        scl = np.full((tiny.SIDE_PX // 2,) * 2, CLEAR, "u1")
        for place, wanted in by_place.items():
            (x, y), pixels = tiny.corner(*place), np.full(PX * PX, CLEAR, "u1")
            at = 0
            for code, share in wanted.items():
                n = round(share * PX * PX)
                pixels[at : at + n], at = code, at + n
            row, col = (tiny.Y0 - y) // 20, (x - tiny.X0) // 20
            scl[row : row + PX, col : col + PX] = pixels.reshape(PX, PX)
        name = f"S2A_{day.replace('-', '')}"
        assets = {"B04": self.band, "SCL": self.raster(f"{name}/SCL.tif", scl, tiny._at(20), f"EPSG:{tiny.EPSG}")}
        when = dt.datetime.fromisoformat(f"{day}T10:30:00+00:00")
        more = {"s2__processing_baseline": "03.01", "s2__mgrs_tile": "32ULC", "s2__datatake_id": name}
        more |= {"eo__cloud_cover": cloud_pct, "proj__epsg": tiny.EPSG, "platform": "Sentinel-2A"}
        footprint = tiny._footprint(tiny.X0, tiny.Y0 - 6_000, tiny.X0 + 6_000, tiny.Y0)
        self.item("sentinel-2-l2a", name, when, footprint, assets, **more)
        return name

    def radar(self, day: str, **how: Any) -> str:
        """A scene of Sentinel-1, at 05:50 of that day: 0.19 days before Sentinel-2's. Its id."""
        self.s1(day, "ascending", **how)
        return str(self.items[-1]["id"])

    def ready(self, *, exclude: list[str] | None = None, sources: str = "", **quality: Any) -> Curate:
        """The catalog and the recipe written; what builds it, in a folder of its own. Masks here may be cloudy and snowy."""
        quality = {"min_clear": 0.9, "max_snow": 1.0} | quality
        lines = [f"{x},{y},{tiny.EPSG}" for x, y in (tiny.corner(*p) for p in self.places)]
        (self.folder / "places.csv").write_text("\n".join(["x0_m,y0_m,epsg", *lines]) + "\n")
        told = "\n".join(f"{k} = {json.dumps(v)}" for k, v in quality.items())
        self.recipe.write_text(RECIPE.format(sources=sources, exclude=json.dumps(exclude or []), quality=told))
        self.catalog.write_text(json.dumps({"type": "FeatureCollection", "features": self.items}))
        return Curate(self, self.folder / "root")


@pytest.fixture
def dates(tmp_path: Path) -> Dates:
    return Dates(tmp_path)


def outcomes(curate: Curate, season: str = "summer") -> dict[str, PatchOutcome]:
    return {o.id: o for o in Ledger.replay(curate.store, "europe", season).outcomes()}


def built(curate: Curate, source: str = "s2l2a") -> SourceOutcome:
    """What became of a source of the first place, once it is built."""
    curate()
    return outcomes(curate)[tiny.name(*HERE)].sources[source]


def reason(curate: Curate) -> str:
    curate()
    return outcomes(curate)[tiny.name(*HERE)].reason


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


# --- by time alone -------------------------------------------------------------------------------------------------


def with_picks(dates: Dates, *, s2: str = "'clearest'", s1: str = "", **quality: Any) -> Curate:
    """What builds a recipe that says other picks; without Sentinel-2 where `s2` is empty."""
    curate = dates.ready(sources=f"s1rtc = {{ pick = {s1} }}" if s1 else "", **quality)
    own = f's2l2a = {{ bands = ["B04"], pick = {s2} }}' if s2 else ""
    dates.recipe.write_text(dates.recipe.read_text().replace('s2l2a = { bands = ["B04"] }', own))
    return curate


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


# --- what is refused, and what for ---------------------------------------------------------------------------------


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


RADAR = "s1rtc = {}"


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


# --- what cannot be read -------------------------------------------------------------------------------------------


def spoil(path: Path) -> None:
    """Overwrites a file's first block: its header is well."""
    with rasterio.open(path) as file:
        offset, size = (int(file.get_tag_item(f"BLOCK_{what}_0_0", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    data = path.read_bytes()
    path.write_bytes(data[:offset] + bytes(size) + data[offset + size :])


def test_a_mask_that_is_gone_is_passed_over_and_the_summary_says_so(dates: Dates, capsys):
    first = dates.mask("2021-07-15", {})
    second = dates.mask("2021-07-20", {CLOUD: 0.05})
    (dates.folder / first / "SCL.tif").unlink()
    curate = dates.ready()
    assert curate() == 0
    assert "1 patch passed over scenes that cannot be read" in capsys.readouterr().out
    source = built(curate)
    assert source.scenes == (second,)
    ((name, cause),) = source.passed_over
    assert name == first
    assert cause.startswith(f"ReadError: {first}/SCL.tif: could not be read in 1 tries: FileNotFoundError")
    assert curate("verify") == 0


def test_what_was_not_read_uses_up_no_mask(dates: Dates):
    for day in range(10, 14):
        (dates.folder / dates.mask(f"2021-07-{day}", {}) / "SCL.tif").unlink()
    last = dates.mask("2021-07-25", {})
    assert built(dates.ready(max_candidates=4)).status is Status.FAILED, "as many that cannot be read end it, too"
    dates.ready(max_candidates=5)
    source = built(Curate(dates, dates.folder / "more"))
    assert (source.scenes, len(source.passed_over)) == ((last,), 4)


def test_a_mask_that_could_not_be_read_leaves_its_turn_to_another(dates: Dates):
    for day in (14, 15):
        (dates.folder / dates.mask(f"2021-07-{day}", {}) / "SCL.tif").unlink()
    dates.mask("2021-07-16", {CLOUD: 0.9})
    last = dates.mask("2021-07-25", {})
    source = built(dates.ready(max_candidates=3))
    assert (source.scenes, len(source.passed_over)) == ((last,), 2)


def test_where_no_other_will_do_the_patch_fails_with_the_cause_and_a_rerun_tries_again(dates: Dates):
    first = dates.mask("2021-07-15", {})
    dates.mask("2021-07-20", {CLOUD: 0.5})
    file = dates.folder / first / "SCL.tif"
    whole = file.read_bytes()
    spoil(file)
    curate = dates.ready()
    assert curate() == 1
    source = outcomes(curate)[tiny.name(*HERE)].sources["s2l2a"]
    assert (source.status, source.code) == (Status.FAILED, "ReadError")
    assert "SCL.tif: could not be read in 2 tries" in str(source.cause)
    assert [name for name, _ in source.passed_over] == [first]
    file.write_bytes(whole)
    assert curate() == 0
    assert built(curate).scenes == (first,)


def test_a_recipe_may_want_a_patch_to_fail_for_what_cannot_be_read(dates: Dates):
    first = dates.mask("2021-07-15", {})
    dates.mask("2021-07-20", {})
    (dates.folder / first / "SCL.tif").unlink()
    curate = dates.ready(unreadable="fail")
    assert curate() == 1
    source = built(curate)
    assert (source.status, source.passed_over) == (Status.FAILED, ())


def test_a_mask_of_another_legend_is_passed_over(dates: Dates):
    dates.mask("2021-07-15", {200: 0.01})
    second = dates.mask("2021-07-20", {CLOUD: 0.05})
    source = built(dates.ready())
    assert source.scenes == (second,)
    assert "the mask of s2l2a holds codes [200], expected one of [0, 1, " in source.passed_over[0][1]


def test_radar_that_cannot_be_read_is_passed_over_for_the_next_in_time(dates: Dates):
    dates.mask("2021-07-15", {})
    broken, next_ = dates.radar("2021-07-15"), dates.radar("2021-07-19")
    spoil(dates.folder / "s1" / broken / "vh.tif")
    source = built(dates.ready(sources=RADAR), "s1rtc")
    assert source.scenes == (next_,)
    assert [name for name, _ in source.passed_over] == [broken]


def test_radar_that_may_be_read_later_fails_the_patch(dates: Dates, monkeypatch: pytest.MonkeyPatch):
    dates.mask("2021-07-15", {})
    near = dates.radar("2021-07-15")
    dates.radar("2021-07-19")
    read = Reader.read

    def busy(self: Reader, assets: Sequence[Asset], *args: Any, **more: Any) -> Any:
        if near in assets[0].href:
            raise PassingError(f"{assets[0].href}: HTTP 503")
        return read(self, assets, *args, **more)

    monkeypatch.setattr(Reader, "read", busy)
    curate = dates.ready(sources=RADAR)
    assert curate() == 1
    source = built(curate, "s1rtc")
    assert (source.status, source.code, source.passed_over) == (Status.FAILED, "PassingError", ())


@pytest.mark.slow
def test_where_all_radar_of_a_scene_cannot_be_read_the_next_scene_is_taken(dates: Dates):
    first, second = dates.mask("2021-07-15", {}), dates.mask("2021-07-20", {CLOUD: 0.05})
    broken, good = dates.radar("2021-07-15"), dates.radar("2021-07-20")
    spoil(dates.folder / "s1" / broken / "vv.tif")
    curate = dates.ready(sources=RADAR, max_gap_days=1)
    optical = built(curate)
    assert (optical.scenes, [name for name, _ in optical.passed_over]) == ((second,), [first])
    assert "vv.tif" in optical.passed_over[0][1]
    assert built(curate, "s1rtc").scenes == (good,)
    spoil(dates.folder / "s1" / good / "vv.tif")
    failed = Curate(dates, dates.folder / "failed")
    assert failed() == 1
    source = outcomes(failed)[tiny.name(*HERE)].sources["s1rtc"]
    assert (source.status, source.code) == (Status.FAILED, "ReadError")


def map_of(dates: Dates, day: str) -> tuple[str, Path]:
    """A map of land cover of the scene of a day: its id, and its file."""
    name = f"S2A_{day.replace('-', '')}"
    pixels = np.random.default_rng(0).integers(0, 9, (tiny.SIDE_PX, tiny.SIDE_PX)).astype("u1")
    path = dates.raster(f"dw/{name}.tif", pixels, tiny._at(10), f"EPSG:{tiny.EPSG}", nodata=255)
    footprint = tiny._footprint(tiny.X0, tiny.Y0 - 6_000, tiny.X0 + 6_000, tiny.Y0)
    when = dt.datetime.fromisoformat(f"{day}T10:30:00+00:00")
    more = {"s2__mgrs_tile": "32ULC", "s2__datatake_id": name}
    dates.item("dynamicworld", f"dw_{name}", when, footprint, {"label": path}, **more)
    return f"dw_{name}", dates.folder / path


def cut(path: Path) -> None:
    """Leaves its header and nothing of its first block."""
    path.write_bytes(path.read_bytes()[:600])


@pytest.mark.parametrize("harm", [Path.unlink, cut, spoil])
@pytest.mark.slow
def test_where_the_map_of_a_scene_cannot_be_read_the_next_scene_is_taken_with_its_own(dates: Dates, harm):
    first, second = dates.mask("2021-07-15", {}), dates.mask("2021-07-20", {CLOUD: 0.05})
    (broken, file), (good, other) = map_of(dates, "2021-07-15"), map_of(dates, "2021-07-20")
    harm(file)
    curate = dates.ready(sources="dynamicworld = {}")
    optical = built(curate)
    assert (optical.status, optical.scenes) == (Status.OK, (second,))
    ((passed, cause),) = optical.passed_over
    assert passed == first
    assert file.name in cause
    label = built(curate, "dynamicworld")
    assert (label.status, label.scenes) == (Status.OK, (good,))
    assert [name for name, _ in label.passed_over] == [broken]
    harm(other)
    failed = Curate(dates, dates.folder / "failed")
    assert failed() == 1
    its = outcomes(failed)[tiny.name(*HERE)].sources
    assert (its["dynamicworld"].status, its["dynamicworld"].code) == (Status.FAILED, "ReadError")
    assert [name for name, _ in its["s2l2a"].passed_over] == [first, second]
    dates.ready(sources="dynamicworld = {}", unreadable="fail")
    own = Curate(dates, dates.folder / "own")
    assert own() == 1
    its = outcomes(own)[tiny.name(*HERE)].sources
    assert (its["dynamicworld"].status, its["dynamicworld"].passed_over) == (Status.FAILED, ())


@pytest.mark.parametrize("required", ["", " required = false "])
def test_what_a_person_can_mend_is_told_whether_it_is_required_or_not_and_no_other_scene_is_taken(dates, required):
    dates.mask("2021-07-15", {})
    dates.mask("2021-07-20", {CLOUD: 0.05})
    (_, file), _ = map_of(dates, "2021-07-15"), map_of(dates, "2021-07-20")
    with rasterio.open(file, "r+") as written:
        written.nodata = None
    curate = dates.ready(sources=f"dynamicworld = {{{required}}}")
    assert curate() == 1
    outcome = outcomes(curate)[tiny.name(*HERE)]
    assert (outcome.status, outcome.sources["dynamicworld"].code) == (Status.FAILED, "unmasked_map")
    assert outcome.sources["s2l2a"].passed_over == ()


def test_a_map_that_is_refused_is_no_reason_to_take_another_scene(dates: Dates):
    dates.mask("2021-07-15", {})
    dates.mask("2021-07-20", {CLOUD: 0.05})
    map_of(dates, "2021-07-20")
    curate = dates.ready(sources="dynamicworld = {}")
    curate()
    assert outcomes(curate)[tiny.name(*HERE)].reason == "no_match:dynamicworld"


@pytest.mark.parametrize(("source", "spoilt"), [("dynamicworld", "dw/"), ("s1rtc", "s1/")])
def test_what_is_not_required_and_cannot_be_read_is_refused_alone(dates: Dates, source, spoilt, monkeypatch):
    first = dates.mask("2021-07-15", {})
    dates.mask("2021-07-20", {CLOUD: 0.05})
    name, file = map_of(dates, "2021-07-15")
    if source == "s1rtc":
        name = dates.radar("2021-07-15")
        file = dates.folder / "s1" / name / "vv.tif"
    spoil(file)
    curate = dates.ready(sources=f"{source} = {{ required = false }}", max_gap_days=3)
    assert curate() == 0
    outcome = outcomes(curate)[tiny.name(*HERE)]
    assert (outcome.status, outcome.sources["s2l2a"].scenes) == (Status.OK, (first,))
    its = outcome.sources[source]
    assert (its.status, its.code) == (Status.REJECTED, "unreadable")
    assert file.name in str(its.cause)
    assert [passed for passed, _ in its.passed_over] == [name]
    assert curate("verify") == 0

    read = Reader.read

    def busy(self: Reader, assets: Sequence[Asset], *args: Any, **more: Any) -> Any:
        if spoilt in assets[0].href:
            raise PassingError(f"{assets[0].href}: HTTP 503")
        return read(self, assets, *args, **more)

    monkeypatch.setattr(Reader, "read", busy)
    later = Curate(dates, dates.folder / "later")
    assert later() == 1, "what may pass fails the patch, so that a rerun has it"


# --- what is excluded ----------------------------------------------------------------------------------------------

PLACES = ((0, 0), (0, 1), (1, 0), (1, 1))


def cube(curate: Curate) -> dict[str, dict[str, Any]]:
    """Location id → name → all that the cube holds of it."""
    opened = xr.open_zarr(curate.folder / "cubes" / "europe" / "summer.zarr").load()
    names = [str(n) for n in opened.variables if "patch" in opened[n].dims]
    return {
        str(opened.id.values[i]): {n: opened[n].isel(patch=i).values.tolist() for n in names}
        for i in range(opened.sizes["patch"])
    }


def several(folder: Path) -> tuple[Dates, str]:
    """Four places; the scene that serves most is the first choice of two of them. Its id."""
    mine = Dates(folder, PLACES)
    bad = mine.mask("2021-07-15", {(1, 0): {CLOUD: 0.05}, (1, 1): {CLOUD: 0.5}})
    mine.mask("2021-07-16", {(0, 0): {CLOUD: 0.02}, (0, 1): {CLOUD: 0.5}, (1, 1): {CLOUD: 0.25}})
    mine.mask("2021-07-17", {p: {CLOUD: 0.5} for p in PLACES} | {(0, 1): {CLOUD: 0.08}})
    mine.mask("2021-08-10", {(1, 1): {CLOUD: 0.5}, (0, 0): {CLOUD: 0.06}}, cloud_pct=20)
    mine.radar("2021-07-16")
    mine.radar("2021-08-10")
    return mine, bad


def test_what_is_excluded_is_never_used_and_changes_nothing_else(tmp_path: Path):
    mine, bad = several(tmp_path)
    before = mine.ready(sources=RADAR, max_candidates=3)
    before()
    mine.ready(sources=RADAR, max_candidates=3, exclude=[bad, "S2A_nobody"])
    after = Curate(mine, tmp_path / "after")
    after()
    one, other = outcomes(before), outcomes(after)
    used = {i for i, o in one.items() if bad in o.sources["s2l2a"].scenes}
    assert used == {tiny.name(0, 0), tiny.name(0, 1)}
    assert other[tiny.name(0, 0)].sources["s2l2a"].scenes == ("S2A_20210716",)
    assert other[tiny.name(0, 1)].sources["s2l2a"].scenes == ("S2A_20210717",)
    stored, again = cube(before), cube(after)
    for name in one.keys() - used:
        assert one[name] == other[name], "the hashes of its pixels as well"
        assert repr(stored[name]) == repr(again[name])
    assert one[tiny.name(1, 1)].reason == "exhausted:s2l2a", "what is excluded counts as if it were read"
    ledger = Ledger.replay(after.store, "europe", "summer")
    assert [r.excluded for r in ledger.slabs.values()] == [(bad,), (bad,)]


def test_an_id_that_excludes_nothing_is_told_and_one_that_does_is_not(tmp_path: Path, capsys):
    mine, bad = several(tmp_path)
    curate = mine.ready(exclude=[bad, bad[:-1] + "X", "S1_other"])
    assert curate() == 0
    said = [x for x in capsys.readouterr().err.splitlines() if "excludes nothing" in x]
    told = [re.search(r"exclude: '(.*)' is in no search of this dataset", x)[1] for x in said]
    assert sorted(told) == sorted([bad[:-1] + "X", "S1_other"])
    assert any("did you mean S2A_2021" in x for x in said)
    mine.ready(exclude=[bad])
    assert curate() == 0
    assert "excludes nothing" not in capsys.readouterr().err


def test_patches_that_have_an_excluded_scene_keep_it_and_the_summary_counts_them(tmp_path: Path, capsys):
    mine, bad = several(tmp_path)
    curate = mine.ready()
    assert curate("build", "--limit", "1") == 0
    mine.ready(exclude=[bad])
    capsys.readouterr()
    assert curate() == 0, "the cube that was begun goes on"
    assert "1 patch built before with scenes that the recipe now excludes; they stay in" in capsys.readouterr().out
    found = outcomes(curate)
    first = [i for i, o in found.items() if bad in o.sources["s2l2a"].scenes]
    assert len(first) == 1
    assert curate("verify") == 0
    assert curate("pack") == 0
    release = json.loads((curate.folder / "manifest" / "release.json").read_text())
    assert release["recipe"]["search"] == {"exclude": [bad], "local": []}


def test_where_all_that_might_be_used_is_excluded_that_is_the_reason(dates: Dates):
    only = dates.mask("2021-07-15", {})
    radar = dates.radar("2021-07-15")
    assert reason(dates.ready(sources=RADAR, exclude=[only])) == "excluded:s2l2a"
    dates.ready(sources=RADAR, exclude=[radar])
    assert reason(Curate(dates, dates.folder / "radar")) == "excluded:s1rtc"


def spoilt(mine: Dates, name: str) -> None:
    """Makes an item one that cannot be read."""
    next(i for i in mine.items if i["id"] == name)["properties"]["platform"] = ["S2A"]


def test_where_none_passes_an_item_that_cannot_be_read_might_have_until_it_is_excluded(dates: Dates):
    dates.mask("2021-07-15", {CLOUD: 0.5})
    lost = dates.mask("2021-07-16", {})
    spoilt(dates, lost)
    outcome = built(dates.ready())
    assert (outcome.status, outcome.code) == (Status.FAILED, "unreadable_item")
    assert lost in str(outcome.cause)
    dates.ready(exclude=[lost])
    assert reason(Curate(dates, dates.folder / "without")) == "cloudy:s2l2a"


def test_a_partner_that_cannot_be_read_is_no_gap_in_time(dates: Dates):
    dates.mask("2021-07-15", {})
    dates.radar("2021-08-10")
    spoilt(dates, dates.radar("2021-07-15"))
    outcome = built(dates.ready(sources=RADAR), "s1rtc")
    assert (outcome.status, outcome.code) == (Status.FAILED, "unreadable_item")


def test_an_item_that_cannot_be_read_takes_nothing_from_a_patch_that_is_ok(dates: Dates):
    dates.mask("2021-07-15", {})
    spoilt(dates, dates.mask("2021-07-16", {}))
    assert reason(dates.ready()) == "ok"


def test_an_item_that_cannot_be_read_and_is_excluded_is_told_as_that(tmp_path: Path):
    mine = Dates(tmp_path)
    mine.maps()
    spoilt(mine, mine.mask("2021-07-15", {}))
    spoilt(mine, "dem")
    curate = mine.ready(sources="dem = {}", exclude=["dem", "S2A_20210715"])
    curate("build", "--season", "all")
    assert outcomes(curate)[tiny.name(*HERE)].reason == "excluded:s2l2a"
    assert outcomes(curate, "static")[tiny.name(*HERE)].reason == "excluded:dem", "what lies there is no sea"


def test_what_the_ledger_says_was_excluded_stays_while_patches_built_so_are_kept(tmp_path: Path):
    mine, bad = several(tmp_path)
    curate = mine.ready(exclude=[bad])
    assert curate("build", "--limit", "1") == 0
    mine.ready()
    assert curate() == 0
    assert (bad,) in [r.excluded for r in Ledger.replay(curate.store, "europe", "summer").slabs.values()]


def test_heights_that_are_excluded_are_no_sea(tmp_path: Path):
    mine = Dates(tmp_path)
    mine.mask("2021-07-15", {})
    mine.maps()
    curate = mine.ready(sources="dem = {}", exclude=["dem"])
    curate("build", "--season", "static")
    assert outcomes(curate, "static")[tiny.name(*HERE)].reason == "excluded:dem"


def test_heights_beside_what_is_excluded_are_no_sea(tmp_path: Path):
    mine = Dates(tmp_path)
    mine.mask("2021-07-15", {})
    mine.maps()
    dem = next(i for i in mine.items if i["id"] == "dem")
    # Another item ends within the place: east of it there would be sea, were the excluded one not there.
    west, south, _, north = dem["bbox"]
    (x, y), res = tiny.corner(*HERE), 1 / 3600
    middle = Transformer.from_crs(tiny.EPSG, 4326, always_xy=True).transform(x + 240, y - 240)[0]
    shape = (round((north - south) / res), round((middle - west) / res))
    heights = np.full(shape, 7, "f4")
    href = mine.raster("west.tif", heights, Affine(res, 0, west, 0, -res, north), "EPSG:4326")
    box = shapely.geometry.mapping(shapely.box(west, south, west + shape[1] * res, north))
    mine.items.append({**dem, "id": "west", "geometry": box, "assets": {"data": {"href": href}}})
    curate = mine.ready(sources="dem = {}", exclude=["dem"])
    curate("build", "--season", "static")
    source = outcomes(curate, "static")[tiny.name(*HERE)].sources["dem"]
    assert (source.code, source.value) == ("nodata", pytest.approx(0.5, abs=0.05))


# --- a source that lies beside another ------------------------------------------------------------------------------


def fields(seed: int) -> np.ndarray:
    """Fields with sharp borders, 0 to 4, of the whole world."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(tiny.SIDE_PX, tiny.SIDE_PX)), 2)
    return np.digitize(smooth, np.quantile(smooth, [0.2, 0.4, 0.6, 0.8])).astype("f4")


class Beside(Dates):
    """Scenes of both sensors that show the same fields, of Sentinel-1 some pixels further east."""

    def pair(self, day: str, east_px: int, seed: int = 3) -> str:
        """Both of a day; the id of Sentinel-2's."""
        seen = fields(seed)
        self.band = self.raster(f"{day}.tif", (1000 + 500 * seen).astype("u2"), tiny._at(10), f"EPSG:{tiny.EPSG}")
        scene = self.mask(day, {})
        self.radar(day)
        power = (0.05 + 0.03 * np.roll(seen, east_px, axis=1)).astype("f4")
        for band in ("vv", "vh"):
            href = self.raster(f"{day}/{band}.tif", power, tiny._at(10), f"EPSG:{tiny.EPSG}", nodata=-32768)
            self.items[-1]["assets"][band]["href"] = href
        return scene


@pytest.fixture
def beside(tmp_path: Path) -> Beside:
    return Beside(tmp_path)


def told_shifts(curate: Curate) -> dict[str, str]:
    """What the report says of shifts in the only season."""
    found = measurements.quality(survey(curate.dataset, curate.store))
    return {m.name: m.cells[0] for m in found if m.name.startswith("shift")}


@pytest.mark.parametrize(("limit", "ok"), [(None, True), (3.5, True), (2.5, False)])
def test_a_source_beside_the_one_it_goes_with_is_refused_by_the_recipe_s_limit(beside: Beside, limit, ok):
    beside.pair("2021-07-15", 3)
    curate = beside.ready(sources="s1rtc = {}", **({"max_shift_px": limit} if limit else {}))
    found = built(curate, "s1rtc")
    stored = xr.open_zarr(curate.folder / "cubes" / "europe" / "summer.zarr").isel(patch=0)
    assert float(stored.s1rtc_shift_x_px) == pytest.approx(3, abs=0.3)
    assert "pixels of s1rtc_10m (10 m)" in stored.s1rtc_shift_x_px.attrs["long_name"]
    if ok:
        assert found.status is Status.OK
        east, south, whole = told_shifts(curate).items()
        assert (float(east[1].split()[0]), float(south[1].split()[0])) == pytest.approx((3, 0), abs=0.3)
        assert whole[0].startswith("shift, pixels of s1rtc_10m from s2l2a, 1 of 1 measurements: those with a peak of ")
        return
    assert (found.code, round(found.value)) == ("shifted", 3)
    assert reason(curate) == "shifted:s1rtc"


def test_where_a_pair_lies_apart_the_next_candidate_is_taken(beside: Beside):
    beside.pair("2021-07-16", 5)
    second = beside.pair("2021-08-10", 1)
    curate = beside.ready(sources="s1rtc = {}", max_shift_px=2.0, max_gap_days=2)
    assert built(curate).scenes == (second,)


def test_a_source_that_is_not_required_is_refused_alone_and_stores_nothing(beside: Beside):
    beside.pair("2021-07-15", 4)
    curate = beside.ready(sources="s1rtc = { required = false }", max_shift_px=1.0)
    curate()
    mine = outcomes(curate)[tiny.name(*HERE)]
    assert mine.status is Status.OK
    assert mine.sources["s1rtc"].code == "shifted"
    assert not any(name.startswith("s1rtc") for name in mine.chunks)


def test_a_shift_that_says_nothing_refuses_nothing(beside: Beside):
    beside.pair("2021-07-15", 4)
    noise = np.random.default_rng(0).gamma(4.4, 0.02, (tiny.SIDE_PX, tiny.SIDE_PX)).astype("f4")
    for band in ("vv", "vh"):
        href = beside.raster(f"noise/{band}.tif", noise, tiny._at(10), f"EPSG:{tiny.EPSG}", nodata=-32768)
        beside.items[-1]["assets"][band]["href"] = href
    curate = beside.ready(sources="s1rtc = {}", max_shift_px=0.1)
    assert built(curate, "s1rtc").status is Status.OK
    assert told_shifts(curate) == {}


def test_the_unit_of_a_shift_is_the_pixel_of_the_array_that_is_measured(beside: Beside):

    for res in (10, 20):
        sources = f"s1rtc = {{ res_m = {res} }}"
        text = beside.ready(sources=sources).world.recipe
        text.write_text(text.read_text().replace('{ bands = ["B04"] }', f'{{ bands = ["B04"], res_m = {res} }}'))
        if res == 20:  # 24 pixels are too few
            text.write_text(text.read_text().replace(f"size_m = {tiny.SIZE_M}", "size_m = 960"))
        dataset = load_dataset(str(text))
        told = {f.name: f.meaning for f in facts.schema(dataset, dataset.sources("summer"))}
        assert f"pixels of s1rtc_{res}m ({res} m)" in told["s1rtc_shift_x_px"]


def test_a_limit_of_what_is_not_measured_is_refused(beside: Beside):
    for sources in ("", "s1rtc = { res_m = 20 }"):
        recipe = beside.ready(sources=sources, max_shift_px=1.0).world.recipe
        with pytest.raises(ConfigError, match="max_shift_px = 1: no shift is measured"):
            load_dataset(str(recipe))


# --- items that could not be read, and when they were taken ---------------------------------------------------------


def lose(dates: Dates, **properties: Any) -> None:
    """Makes the last item one that cannot be read, but for its place and time."""
    dates.items[-1]["assets"] = {}
    dates.items[-1]["properties"] |= properties


@pytest.mark.parametrize(("day", "told"), [("2021-08-20", "time_gap"), ("2021-07-20", "unreadable_item")])
def test_a_lost_partner_too_far_in_time_to_be_chosen_leaves_a_gap_a_gap(dates, day, told):
    dates.mask("2021-07-15", {})
    dates.mask("2021-08-18", {CLOUD: 0.8})  # near to the one that is lost, and too cloudy to want it
    dates.radar("2021-06-20")
    dates.radar(day)
    lose(dates)
    curate = dates.ready(sources="s1rtc = {}", max_gap_days=12)
    curate()
    its = outcomes(curate)[tiny.name(*HERE)].sources["s1rtc"]
    assert its.code == told
    assert its.status is (Status.FAILED if told == "unreadable_item" else Status.REJECTED)


@pytest.mark.parametrize(("day", "told"), [("2021-08-20", "no_scene"), ("2021-07-20", "unreadable_item")])
def test_a_lost_partner_where_there_is_no_other_is_told_only_where_it_might_have_been_chosen(dates, day, told):
    dates.mask("2021-07-15", {})
    dates.radar(day)
    lose(dates)
    curate = dates.ready(sources="s1rtc = {}", max_gap_days=12)
    curate()
    assert outcomes(curate)[tiny.name(*HERE)].sources["s1rtc"].code == told


@pytest.mark.parametrize("datetime", [None, "last summer", 5])
def test_a_lost_partner_of_whose_times_one_can_be_read_is_of_that_time(dates, datetime):
    dates.mask("2021-07-15", {})
    dates.radar("2021-08-20")
    lose(dates, datetime=datetime, start_datetime="2021-08-20T05:50:00Z")
    curate = dates.ready(sources="s1rtc = {}", max_gap_days=12)
    curate()
    assert outcomes(curate)[tiny.name(*HERE)].sources["s1rtc"].code == "no_scene"


def test_a_lost_partner_of_no_time_might_have_been_chosen(dates):
    dates.mask("2021-07-15", {})
    dates.radar("2021-08-20")
    lose(dates, datetime="last summer")
    curate = dates.ready(sources="s1rtc = {}", max_gap_days=12)
    curate()
    assert outcomes(curate)[tiny.name(*HERE)].sources["s1rtc"].code == "unreadable_item"


@pytest.mark.parametrize(("day", "told"), [("2021-08-20", "cloudy"), ("2021-07-20", "unreadable_item")])
def test_a_lost_date_that_no_partner_lies_near_leaves_a_cloudy_patch_cloudy(dates, day, told):
    dates.mask("2021-07-15", {CLOUD: 0.8})
    dates.radar("2021-07-16")
    dates.mask(day, {})
    lose(dates)
    curate = dates.ready(sources="s1rtc = {}", max_gap_days=12)
    curate()
    its = outcomes(curate)[tiny.name(*HERE)].sources["s2l2a"]
    assert its.code == told


@pytest.mark.parametrize(("hour", "told"), [(20, "no_scene"), (10, "unreadable_item")])
def test_a_lost_map_of_another_acquisition_leaves_labels_unknown(dates, hour, told):
    dates.mask("2021-07-15", {})
    footprint = tiny._footprint(tiny.X0, tiny.Y0 - 6_000, tiny.X0 + 6_000, tiny.Y0)
    dates.item("dynamicworld", "dw", dt.datetime(2021, 7, 15, hour, 30, tzinfo=dt.UTC), footprint, {})
    curate = dates.ready(sources="dynamicworld = { required = false }")
    curate()
    assert outcomes(curate)[tiny.name(*HERE)].sources["dynamicworld"].code == told
