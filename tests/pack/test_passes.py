"""Which pass scenes are of, by ids as archives have them and by when they were sensed; held against what items say."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.model import parse_time
from curation.pack import passes, sharing
from curation.recipe.split import DATATAKE
from curation.scenes import acquisition


def items(shared: Path) -> list[dict[str, Any]]:
    """Recorded items of Sentinel-2 of Earth Search, of both of its collections."""
    of_now = json.loads((shared / "data/rustac/crates/server/data/sentinel-2/item-collection.json").read_text())
    before = "data/rio-tiler-pds/sentinel-cogs/sentinel-s2-l2a-cogs/29/R/KH/2020/2/S2A_29RKH_20200219_0_L2A"
    return [*of_now["features"], json.loads((shared / before / "S2A_29RKH_20200219_0_L2A.json").read_text())]


def test_items_of_earth_search_are_of_one_pass_where_they_say_that_they_are_of_one_datatake(shared: Path):
    told = []
    for item in items(shared):
        its = item["properties"]
        when = [parse_time(its["datetime"])]
        found = passes.of_scene(item["id"], when)
        assert found, item["id"]
        assert not passes.hides(item["id"], when)
        # A tile that was sensed at the other end of the same datatake has something in common with it.
        start = re.search(r"_(\d{8}T\d{6})_", its["s2:datatake_id"])
        assert start is not None
        begun = dt.datetime.strptime(start[1], "%Y%m%dT%H%M%S").replace(tzinfo=dt.UTC)
        other = f"{item['id'][:4]}01CCV_{begun:%Y%m%d}_0_L2A"
        assert found & passes.of_scene(other, [begun])
        assert not found & passes.of_scene(other, [begun - dt.timedelta(minutes=100)])  # the pass before it
        told.append((its["s2:datatake_id"], found))
    assert len({name for name, _ in told}) == len(told) > 10
    for (_, one), (_, other_pass) in itertools.combinations(told, 2):
        assert not one & other_pass


def test_a_day_alone_tells_no_pass_until_it_is_known_when(shared: Path):
    item = items(shared)[-1]
    assert passes.of_scene(item["id"]) == frozenset()
    assert passes.hides(item["id"])
    assert passes.hides(item["id"], [parse_time("2020-02-20T11:34:25Z")])  # another day's


def test_products_of_hls_and_landsat_as_they_are_recorded(shared: Path):
    text = (shared / "data/pystac-client/data/sample-item-collection.json").read_text()
    names = sorted({*re.findall(r"HLS\.[SL]30\.T\w{5}\.\d{7}T\d{6}\.v1\.5", text)})
    assert len(names) > 5
    first = [n for n in names if ".2021001T" in n]
    north, south = ([n for n in names if f".{t}." in n] for t in ("2021014T221200", "2021014T222708"))
    assert first
    assert north
    assert south
    for a, b in itertools.product(north, south):
        assert passes.of_scene(a) & passes.of_scene(b)  # 15 minutes on in one orbit
    for a, b in itertools.product(first, [*north, *south]):
        assert not passes.of_scene(a) & passes.of_scene(b)
    landsat = "LC08_L2SP_033032_20231008_02_T1"  # at Planetary Computer; elsewhere with the day of processing
    for same in ("LC08_L2SP_033032_20231008_20231017_02_T1", "LC08_L2SP_033033_20231008_02_T1"):
        assert passes.of_scene(landsat) == passes.of_scene(same)
    for other in (
        "LC09_L2SP_033032_20231008_02_T1",
        "LC08_L2SP_034032_20231008_02_T1",
        "LC08_L2SP_033032_20231024_02_T1",
    ):
        assert not passes.of_scene(landsat) & passes.of_scene(other)


@given(start=st.integers(1_400_000_000, 1_900_000_000), apart=st.integers(0, 3 * 3600))
def test_what_is_of_one_pass_has_a_name_in_common_and_what_is_of_the_next_has_none(start, apart):
    one, other = (dt.datetime.fromtimestamp(t, dt.UTC) for t in (start, start + apart))
    scenes = [passes.of_scene(f"S2B_T13TDE_{t:%Y%m%dT%H%M%S}_L2A") for t in (one, other)]
    if apart < acquisition.DATATAKE_S:
        assert scenes[0] & scenes[1]
    if apart > 2 * acquisition.DATATAKE_S:
        assert not scenes[0] & scenes[1]


def test_the_middle_of_a_mean_is_the_time_of_none_of_its_scenes():
    ids = [f"S2A_29RKH_202002{day}_0_L2A" for day in (17, 19, 21)]
    middle = [parse_time("2020-02-19T11:34:25Z")]
    assert passes.of_scenes(ids, middle) == frozenset()
    assert passes.of_scenes(ids[1:2], middle)
    assert passes.of_scenes(ids, [parse_time(f"2020-02-{day}T11:34:25Z") for day in (17, 19, 21)])


def test_samples_tell_their_passes_in_what_is_packed_of_them():
    facts = {"scenes": ["S2A_29RKH_20200219_0_L2A"], "time": "2020-02-19T11:34:25Z"}
    place = {"lon": 1, "lat": 2, "x0_m": 0, "y0_m": 0, "size_m": 10, "epsg": 32631}
    meta = {"id": "a", **place, "seasons": {"winter": {"sources": {"s2l2a": facts}}}}
    its = sharing.of_meta(meta, "train", [DATATAKE]).uses.things[DATATAKE]
    assert its == passes.of_scene("S2A_T29RKH_20200219T113425_L2A")
    steps = {"scenes": facts["scenes"] * 2, "times": [facts["time"], "2020-02-19T13:14:25Z"]}
    meta["seasons"]["winter"]["sources"]["s2l2a"] = steps
    assert sharing.of_meta(meta, "train", [DATATAKE]).uses.things[DATATAKE] > its


@pytest.mark.parametrize("name", ["mine", "dem-1", "2021"])
def test_what_is_of_no_such_satellite_has_no_pass_and_hides_none(name):
    assert passes.of_scene(name) == frozenset()
    assert not passes.hides(name)
