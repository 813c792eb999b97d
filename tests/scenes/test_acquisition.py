"""Images are told apart by datatake and tile, as providers really name them."""

import datetime as dt
import json
from pathlib import Path

import pytest

from curation.model import parse_time
from curation.scenes import acquisition
from curation.scenes.acquisition import Acquisition


def test_an_image_of_earth_engine_and_its_product_are_one():
    label = acquisition.of_id("20200718T102559_20200718T103605_T31TFJ")
    assert label == Acquisition("31TFJ", dt.datetime(2020, 7, 18, 10, 25, 59, tzinfo=dt.UTC))
    scene = acquisition.of_scene("S2A_MSIL2A_20200718T102559_R108_T31TFJ_20200718T153000", None)
    assert acquisition.same(label, scene)
    assert acquisition.of_id("S2A_MSIL1C_20200718T102559_N0209_R108_T31TFJ_20200718T123456.SAFE") == label


@pytest.mark.parametrize(
    "scene", ["S2A_MSIL2A_20200718T102559_R108_T31TFK_1", "S2A_MSIL2A_20200718T102600_R108_T31TFJ_1"]
)
def test_another_tile_or_another_start_is_another_image(scene: str):
    label = acquisition.of_id("20200718T102559_20200718T103605_T31TFJ")
    assert not acquisition.same(label, acquisition.of_scene(scene, parse_time("2020-07-18T10:26:00Z")))


def test_times_of_sensing_lie_minutes_from_the_datatake_in_real_items_and_still_match(shared: Path):
    """Of every recorded item that tells its product, by the id that Earth Engine has for it."""
    items, far = 0, 0.0
    for path in sorted((shared / "data").rglob("*.json")):
        try:
            value = json.loads(path.read_text())
        except ValueError:
            continue
        for item in value.get("features", [value]) if isinstance(value, dict) else []:
            its = item.get("properties", {}) if isinstance(item, dict) else {}
            product = acquisition.of_id(str(its.get("s2:product_uri", "")))
            if product is None or not its.get("datetime"):
                continue
            sensed = parse_time(its["datetime"])
            label = acquisition.of_id(f"{product.start:%Y%m%dT%H%M%S}_{sensed:%Y%m%dT%H%M%S}_T{product.tile}")
            assert acquisition.same(label, acquisition.of_scene(item["id"], sensed)), item["id"]
            later = Acquisition(label.tile, label.start + dt.timedelta(minutes=100))  # the next orbit
            assert not acquisition.same(later, acquisition.of_scene(item["id"], sensed)), item["id"]
            items, far = items + 1, max(far, (sensed - product.start).total_seconds())
    assert items >= 5
    assert far > 500


def test_a_time_is_of_the_pass_and_a_day_of_the_day():
    scene = acquisition.of_scene("S2A_31TFJ_20200718_0_L2A", parse_time("2020-07-18T10:35:00Z"))
    assert scene.tile == "31TFJ"
    assert acquisition.same(Acquisition(None, None, parse_time("2020-07-18T10:26:00Z")), scene)
    assert not acquisition.same(Acquisition(None, None, parse_time("2020-07-18T12:06:00Z")), scene)
    assert acquisition.same(Acquisition(None, None, day=dt.date(2020, 7, 18)), scene)
    assert not acquisition.same(Acquisition(None, None, day=dt.date(2020, 7, 19)), scene)


@pytest.mark.parametrize("text", ["", "S2A_31TFJ_20200718_0_L2A", "20201318T102559_20200718T103605_T31TFJ", "scene"])
def test_what_does_not_tell_the_datatake_names_no_image(text: str):
    assert acquisition.of_id(text) is None


@pytest.mark.parametrize("name", ["S2B_4QGJ_20250731_0_L2A", "S2B_T04QGJ_20250731T205602_L2A", "04QGJ"])
@pytest.mark.parametrize("square", ["4QGJ", "04QGJ"])
def test_tiles_of_the_first_nine_zones_are_one_however_they_are_written(name: str, square: str):
    label = acquisition.of_id(f"20250731T204851_20250731T205602_T{square}")
    scene = acquisition.of_scene(name, parse_time("2025-07-31T20:56:02Z"))
    assert (label.tile, scene.tile) == ("04QGJ", "04QGJ")
    assert acquisition.same(label, scene)
    assert acquisition.of_id(f"S2B_MSIL1C_20250731T204851_N0511_R057_T{square}_20250731T221413.SAFE") == label
