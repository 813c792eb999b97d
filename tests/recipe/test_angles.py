"""What items say of where sun and satellite stood."""

import datetime as dt
import json
import math

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from curation.model import Scene
from curation.recipe import angles
from curation.recipe.catalogs import Catalog
from curation.scenes import items
from tests.scenes.catalog import bands, spec
from tests.scenes.recorded import Recorded, every, sentinel_2

STATED = [s for angle in angles._ANGLES for s in angle.stated]
TELLING = tuple(r for r in sentinel_2() if {s.name for s in STATED} & set(r.item["properties"]))


@pytest.mark.parametrize(
    ("said", "want"),
    [
        ({}, {}),
        ({"view:sun_elevation": 58.65}, {"sun_zenith_deg": 31.35}),
        ({"s2:mean_solar_zenith": 71, "s2:mean_solar_azimuth": 59.7}, {"sun_zenith_deg": 71, "sun_azimuth_deg": 59.7}),
        ({"view:sun_elevation": 20, "s2:mean_solar_zenith": 71}, {"sun_zenith_deg": 70}),
        ({"view:sun_azimuth": -14.5}, {"sun_azimuth_deg": 345.5}),  # Landsat, south of the sun
        ({"view:azimuth": 360}, {"view_azimuth_deg": 0}),
        ({"view:incidence_angle": 10.6, "view:off_nadir": 0}, {"view_zenith_deg": 10.6, "off_nadir_deg": 0}),
        ({"view:sun_azimuth": "NaN", "s2:mean_solar_azimuth": 12.0}, {"sun_azimuth_deg": 12}),  # another says it
    ],
)
def test_angles_are_those_that_are_stated(said, want):
    found = angles.read(said)
    assert found == pytest.approx(want)


@pytest.mark.parametrize("value", ["45", True, math.nan, math.inf, -90.5, 1e300, [1], {"a": 1}, "\ud800", b"x"])
def test_what_can_be_no_angle_is_told_and_is_none(value):
    found = angles.read({"view:sun_elevation": value})
    assert isinstance(why := found["sun_zenith_deg"], str)
    assert why.startswith("view:sun_elevation is ")
    assert why.endswith("expected a number from -90 to 90")
    told = angles.of_scenes("s", [scene(found)])
    assert (told["s_sun_zenith_deg"], told["s_angles_unknown"]) == (None, why)


@given(st.sampled_from(STATED), st.floats() | st.integers() | st.text() | st.booleans())
def test_whatever_is_stated_becomes_an_angle_or_a_reason(by, value):
    (found,) = angles.read({by.name: value}).values()
    assert isinstance(found, str) or -1e-9 <= found <= 360


def scene(found, platform: str | None = "sentinel-2a") -> Scene:
    time = dt.datetime(2021, 6, 1, tzinfo=dt.UTC)
    return Scene("x", "s", time, shapely.box(0, 0, 1, 1), {}, platform=platform, angles=found)


def test_of_several_scenes_an_angle_is_known_where_they_agree():
    found = [scene({"sun_azimuth_deg": a, "sun_zenith_deg": z}) for a, z in ((359.8, 30.0), (0.4, 35.0))]
    told = angles.of_scenes(
        "s",
        [
            *found,
        ],
    )
    assert told["s_sun_azimuth_deg"] == 359.8
    assert told["s_sun_zenith_deg"] is None
    assert told["s_angles_unknown"] == "sun_zenith_deg differs among 2 scenes"
    assert told["s_platform"] == "sentinel-2a"
    other = angles.of_scenes("s", [scene({"off_nadir_deg": 1.0}), scene({}, "sentinel-2b")])
    assert (other["s_off_nadir_deg"], other["s_platform"]) == (None, "sentinel-2a sentinel-2b")
    assert angles.of_scenes("s", [scene(None)])["s_sun_zenith_deg"] is None


@pytest.mark.parametrize("one", every(TELLING))
def test_recorded_items_tell_what_they_state_and_only_who_asks_has_it(one: Recorded):
    source, properties = spec("s2l2a"), one.item["properties"]
    there = [b for b in bands(source) if source.catalogs[one.provider].assets.get(b, b) in one.item["assets"]]
    catalog = Catalog("test", one.provider, "https://stac.example", is_file=False, own=False)
    made = [
        items.scene_of(one.item, s, there, source.catalogs[one.provider], catalog)
        for s in (source, source.model_copy(update={"angles": True}))
    ]
    assert isinstance(made[0], Scene)
    assert made[0].angles is None
    assert isinstance(found := made[1], Scene)
    assert found.angles
    assert not [v for v in found.angles.values() if isinstance(v, str)]
    if "view:sun_elevation" in properties:
        assert found.angles["sun_zenith_deg"] == 90 - properties["view:sun_elevation"]
    elif "s2:mean_solar_zenith" in properties:
        assert found.angles["sun_zenith_deg"] == properties["s2:mean_solar_zenith"]
    assert Scene.from_json(json.loads(json.dumps(found.to_json()))).angles == found.angles


def test_providers_that_tell_angles_are_among_what_is_recorded(shared):
    assert {r.provider for r in TELLING} >= {"planetary-computer", "earth-search-c1"}
