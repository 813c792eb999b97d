"""The table of Kuro Siwo as it was published, as a file of places: its squares, its columns, its labels and its lists.

Its file itself is not at hand: it is written here by its published schema (`Catalogue._schema`), with the events and areas
of real patches.
"""

import datetime as dt
import gzip
import json
import uuid
from collections import Counter
from pathlib import Path

import geopandas as gpd
import pyarrow as pa
import pytest
import shapely

from curation.pack import split, targets
from curation.places import draw, regions, rows
from curation.recipe.dataset import Dataset, load_dataset

RECIPE = """
name = "catalogue"
title = "The published table of Kuro Siwo"
seed = 1
[grid]
size_px = 224
res_m = 10
[places]
sampler = "file"
file = "catalogue.gpkg"
[seasons]
post = { around = "flood_date", days = [0, 12], anchor_day = 0 }
[sources]
s1rtc = { pick = "first-after" }
[labels]
column = "pflood"
[split]
rule = "column"
column = "actid"
"""

IMAGES = ((1, True), (1, False), (2, False))
"""Rank of an image, and whether it is the one after the flood: a row each of every square."""


def table(shared: Path) -> gpd.GeoDataFrame:
    """Three rows per square, as published: squares of 2240 units of EPSG:3857 at 44°N, far from one another."""
    patches = json.loads(gzip.decompress((shared / "data/kuro-siwo/slc_grid_pwater_0.0001.json.gz").read_bytes()))
    found, shapes = [], []
    for n, (key, its) in enumerate([*patches.items()][:: len(patches) // 40]):
        for crank, master in IMAGES:
            own = {"grid_id": str(uuid.uuid5(uuid.NAMESPACE_URL, key)), "slavecov": 2, "mastercov": 1, "gvalid": True}
            shares = {"pcovered": 40.0 + n, "pwater": 0.5 * n, "pflood": 0.25 * n}
            event = {"actid": its["actid"], "flood_date": dt.datetime(2020, 9, 14, 8), "aoiid": its["aoiid"]}
            made = {"revision": 1, "version": 1, "source_date": dt.date(2020, 9, 15), "s1_ids": '["a", "b"]'}
            found.append(own | shares | event | made | {"master": master, "coverage": 99.5, "crank": crank})
            x = 1_336_000 + 100_000 * n
            shapes.append(shapely.box(x, 5_500_000 - 2_240, x + 2_240, 5_500_000))
    return gpd.GeoDataFrame(found, geometry=shapes, crs=3857)


@pytest.fixture
def published(tmp_path: Path, shared: Path) -> tuple[Dataset, gpd.GeoDataFrame]:
    frame = table(shared)
    frame.to_file(tmp_path / "catalogue.gpkg", layer="catalogue", driver="GPKG")
    lists = json.loads((shared / "data/kuro-siwo/splits.json").read_text())
    said = "\n".join(f"{side} = {lists[side]}" for side in ("train", "val", "test"))
    (tmp_path / "recipe.toml").write_text(RECIPE + said)
    return load_dataset(str(tmp_path)), frame


def test_each_square_is_a_place_with_all_that_the_table_says_of_it(published):
    of, frame = published
    places = draw.draw(of)
    first = frame.iloc[:: len(IMAGES)].reset_index(drop=True)
    assert len(places) == len(first)
    assert places.table["epsg"].to_pylist() == [3857] * len(first)
    west, north = (first.bounds[k].tolist() for k in ("minx", "maxy"))
    assert (places.column("x0_m").tolist(), places.column("y0_m").tolist()) == (west, north)
    columns = places.user_columns
    assert set(columns) == {*frame.columns} - {"geometry"}
    for name in ("grid_id", "pcovered", "pwater", "pflood", "actid", "aoiid", "gvalid", "s1_ids", "crank"):
        assert places.table[name].to_pylist() == first[name].tolist()
    assert {i.isoformat() for i in places.table["flood_date"].to_pylist()} == {"2020-09-14T08:00:00+00:00"}


def test_the_rows_of_its_other_images_are_counted_and_none_is_a_place_of_its_own(published):
    of, frame = published
    account = rows.of(of, regions.of_recipe(of.path, ["world"]))
    squares = len(frame) // len(IMAGES)
    assert (account.count, account.locations) == (len(frame), squares)
    assert Counter(d.reason for d in account.dropped) == {"same_grid": 2 * squares}


def test_a_share_of_the_table_may_be_the_target(published):
    of, _ = published
    assert targets.of(of, draw.draw(of)).classes is None


def test_the_published_lists_are_sides_and_no_event_is_on_two(published, shared: Path):
    of, _ = published
    places = draw.draw(of)
    lists = json.loads((shared / "data/kuro-siwo/splits.json").read_text())
    side_of = {act: side for side in ("train", "val", "test") for act in lists[side]}
    want = [side_of[act] for act in places.table["actid"].to_pylist()]
    assert split.sides(of.recipe, places).tolist() == want
    assert set(want) == {"train", "val", "test"}
    assert pa.types.is_integer(places.table["actid"].type)
    assert Counter(want)["train"] > 1
