"""Items that cannot be read: one bad item costs one item, and what it may have been is not told as not there."""

import copy
import dataclasses
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors.codes import Code
from curation.model import Scene
from curation.outcomes import Status
from curation.recipe.catalogs import Catalog
from curation.scenes import items, unreadable
from curation.scenes.items import Unreadable
from curation.scenes.unreadable import MOST_UNREADABLE, ItemTally
from curation.store.ledger import Ledger
from tests import world as tiny
from tests.properties import examples
from tests.run import Curate
from tests.scenes.catalog import cell_at, query, spec
from tests.scenes.catalog import item as sound

CATALOG = Catalog("test", "planetary-computer", "https://stac.example", is_file=False, own=False)
LEAF = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(), max_size=6),
    st.sampled_from(
        ["\ud800", "", "NaN", "5.00", "2021-07-01T00:00:00Z", 10**400, -1, "ascending", "Point", "Polygon"]
    ),
)
KEYS = st.sampled_from(["type", "coordinates", "href", "datetime", "id", "eo:cloud_cover", "B02", "SCL"])
JSON = st.recursive(LEAF, lambda x: st.lists(x, max_size=3) | st.dictionaries(KEYS, x, max_size=4), max_leaves=8)


def looked(one):
    source = spec("s2l2a")
    asked = query(source, cell_at(sound("good")["geometry"]), cloud_pct=90)
    return items.reduced([one, sound("good")], asked, source.catalogs["planetary-computer"], CATALOG)


def paths(value, at=()):
    yield at
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*at, key))


PATHS = [p for p in paths(sound("bad")) if p]


@settings(max_examples=examples(300))
@given(path=st.sampled_from(PATHS), value=JSON)
@pytest.mark.slow
def test_whatever_stands_anywhere_in_an_item_costs_that_item_alone_and_what_is_found_is_saved_and_read_again(
    path, value
):
    one = copy.deepcopy(sound("bad"))
    holder = one
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    check(looked(one))


@given(one=JSON)
def test_what_is_no_item_at_all_costs_nothing_but_itself(one):
    check(looked(one))


def check(found) -> None:
    assert "good" in [s.id for s in found.scenes]
    for scene in found.scenes:
        text = json.dumps(scene.to_json(), allow_nan=False).encode()
        assert Scene.from_json(json.loads(text)) == scene
        json.dumps(scene.to_json(), ensure_ascii=False).encode()
        assert scene.cloud_pct is None or 0 <= scene.cloud_pct <= 100
        assert scene.relative_orbit is None or isinstance(scene.relative_orbit, int)
        assert all(isinstance(h, str) and h for h in scene.hrefs.values())
    for lost in found.unreadable:
        assert Unreadable.from_json(json.loads(json.dumps(lost.to_json(), allow_nan=False).encode())) == lost
    json.dumps(found.dropped, allow_nan=False).encode()
    assert ItemTally().unreadable() == ""


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"properties": []}, id="no properties"),
        pytest.param({"geometry": None}, id="no geometry"),
        pytest.param({"id": "\ud800"}, id="half a character"),
        pytest.param({"id": 5}, id="a number for a name"),
        pytest.param({"cloud": math.nan}, id="a cloud cover of NaN"),
        pytest.param({"cloud": "5"}, id="text where a number belongs"),
        pytest.param({"cloud": 101}, id="more cloud than there is sky"),
        pytest.param({"datetime": "last summer"}, id="no date"),
        pytest.param({"s2:processing_baseline": None}, id="no baseline"),
        pytest.param({"sat:relative_orbit": 10**400}, id="no orbit"),
        pytest.param({"sat:orbit_state": "sideways"}, id="no direction"),
        pytest.param({"platform": ["S2A"]}, id="no platform"),
    ],
)
def test_an_item_that_cannot_be_read_is_told_as_that(change):
    one = copy.deepcopy(sound("bad"))
    if "cloud" in change:
        change = {"eo:cloud_cover": change["cloud"]}
    for key, value in change.items():
        (one if key in one else one["properties"])[key] = value
    found = looked(one)
    assert [s.id for s in found.scenes] == ["good"]
    assert len(found.unreadable) == 1
    assert found.unreadable[0].reason.startswith("unreadable: ")


def test_an_item_that_is_not_wanted_is_not_unreadable():
    one = sound("bad") | {"collection": "other", "properties": []}
    assert looked(one).unreadable == []
    cloudy = copy.deepcopy(sound("bad"))
    cloudy["properties"] |= {"eo:cloud_cover": 91, "datetime": "never"}
    assert looked(cloudy).unreadable == []
    far = sound("bad", lon=0.5) | {"assets": {}}
    assert looked(far).unreadable == []


def spoilt(world: tiny.World, folder, change, *, more: bool = True) -> Curate:
    """The tiny world of another folder, each item changed by `change`."""
    import shutil

    shutil.copytree(world.folder, folder / "own")
    mine = tiny.World(folder / "own")
    value = json.loads(mine.catalog.read_text())
    for one in value["features"]:
        change(one)
    if more:
        value["features"].append(None)
    mine.catalog.write_text(json.dumps(value))
    return Curate(mine, folder / "root")


def test_a_place_whose_only_scene_cannot_be_read_fails_with_that_and_is_tried_again(world, tmp_path, capsys):
    def change(one):
        if one["collection"] == "sentinel-2-l2a":
            one["properties"]["eo:cloud_cover"] = "5"

    mine = spoilt(world, tmp_path, change)
    assert mine("build", "--limit", "4", "--season", "summer") == 1
    said = capsys.readouterr()
    assert "failed unreadable_item:s2l2a 4" in said.out
    assert "items that were looked at could not be read: " in said.err
    assert "eo:cloud_cover is '5', expected a finite number (such as S2A_MSIL2A_" in said.err
    for outcome in Ledger.replay(mine.store, "europe", "summer").outcomes():
        its = outcome.sources["s2l2a"]
        assert (outcome.status, its.status, its.code) == (Status.FAILED, Status.FAILED, Code.UNREADABLE_ITEM)
        assert "eo:cloud_cover" in str(its.cause)
    assert mine("build", "--limit", "4", "--season", "summer") == 1
    assert " 0 items " not in capsys.readouterr().err, "the catalog is asked again"


@pytest.mark.slow
def test_a_catalog_of_which_much_cannot_be_read_ends_with_1_though_nothing_failed(world, tmp_path, capsys):
    # One of two dates is lost: the other serves, and all patches are what they would be without it.
    def change(one):
        if one["id"].startswith("S2A_MSIL2A_20210716"):
            one["assets"] = {}

    mine = spoilt(world, tmp_path, change, more=False)
    mine.world.recipe.write_text(tiny.RECIPE.replace('"places.csv"', '"one.csv"'))
    x, y = tiny.corner(1, 1)
    (mine.world.folder / "one.csv").write_text(f"x0_m,y0_m,epsg\n{x},{y},{tiny.EPSG}\n")
    assert mine("build", "--season", "summer") == 1
    said = capsys.readouterr()
    assert "all: ok 2\n" in said.out
    assert "items that were looked at could not be read: " in said.err
    assert "(such as S2A_MSIL2A_20210716" in said.err


def test_a_dem_that_cannot_be_read_is_not_told_as_sea(world, tmp_path):
    mine = spoilt(world, tmp_path, lambda one: one["collection"] == "cop-dem-glo-30" and one.update(assets={}))
    assert mine("build", "--limit", "4", "--season", "static") == 1
    told = {o.label for o in Ledger.replay(mine.store, "europe", "static").outcomes()}
    assert told == {"failed unreadable_item:dem"}


@pytest.mark.slow
def test_an_item_that_is_nothing_fails_only_what_lacks_a_scene(world, tmp_path):
    mine = spoilt(world, tmp_path, lambda one: None)
    assert mine("build", "--season", "static") == 1
    told = {o.id: o.label for o in Ledger.replay(mine.store, "europe", "static").outcomes()}
    # The DEM ends before column 4: what lies there is known to be sea no longer.
    assert {i for i, reason in told.items() if reason != "ok"} == {
        tiny.name(r, c) for r in range(5) for c in (3, 4)
    } & {i for i, reason in told.items() if reason == "failed unreadable_item:dem"}
    assert told[tiny.name(2, 1)] == "ok"


def test_a_catalog_is_told_as_unreadable_where_more_than_a_few_per_cent_of_its_items_are():
    read = ItemTally()
    good = [sound(f"g{n}") for n in range(19)]
    source = spec("s2l2a")
    asked = query(source, cell_at(good[0]["geometry"]))
    form = source.catalogs["planetary-computer"]
    read.add(items.reduced([*good, sound("bad") | {"assets": {}}], asked, form, CATALOG))
    assert MOST_UNREADABLE == 1 / 20
    assert read.unreadable() == ""
    read.add(items.reduced([sound("worse") | {"assets": {}}], asked, form, CATALOG))
    assert read.unreadable().startswith("2 of 21 items that were looked at could not be read: 2 unreadable: KeyError")
    assert "(such as bad)" in read.unreadable()


def test_the_share_of_items_that_cannot_be_read_is_of_items_however_many_searches_give_them():
    read, size = ItemTally(), 3 * unreadable.SAMPLE
    scene = looked(sound("good")).scenes[0]
    good = [dataclasses.replace(scene, id=f"g{n}") for n in range(9 * size // 10)]
    lost = [Unreadable(f"b{n}", "unreadable: no date") for n in range(size // 10)]
    for _ in range(5):  # neighbouring cells give the same scenes, and the broken ones once
        read.add(items.Found(good, {}))
    read.add(items.Found([], {"unreadable: no date": [u.id for u in lost]}, lost))
    assert read.unreadable().startswith(tuple(f"{n} of a sample of " for n in range(300, 900)))


@pytest.mark.parametrize(("stated", "unreadable"), [(["VV"], 0), (["HH", "HV"], 0), (None, 1), ("VV", 1)])
def test_a_radar_item_that_says_which_polarisations_it_has_is_whole_without_the_others(stated, unreadable):
    source = spec("s1rtc")
    one = sound("single") | {"collection": "sentinel-1-rtc", "assets": {"vv": {"href": "BASE/vv.tif"}}}
    one["properties"] |= {"sar:polarizations": stated, "sar:instrument_mode": "IW"}
    found = items.reduced(
        [one], query(source, cell_at(one["geometry"])), source.catalogs["planetary-computer"], CATALOG
    )
    assert not found.scenes
    assert len(found.unreadable) == unreadable
    assert len(found.dropped) == 1
