"""Catalogs in files."""

from __future__ import annotations

import json

import pytest
import shapely
import stac_geoparquet.arrow

from curation.catalogs import resolve
from curation.model import ConfigError
from curation.search.items import Query
from curation.search.saved import opened
from tests.search.catalog import EVER, ask, bands, cell_at, item, items_in, query, spec


def test_every_item_of_the_real_archive_is_a_scene(shared):
    path = shared / "data/real-archive-belgium/items.json"
    endpoint = opened(resolve(str(path)))
    items = items_in(path)
    for name, collection in (("s2l2a", "sentinel-2-l2a"), ("s1rtc", "sentinel-1-rtc")):
        source = spec(name)
        mine = [i for i in items if i["collection"] == collection]
        offered = [
            b for b in bands(source) if source.catalogs["planetary-computer"].assets.get(b, b) in mine[0]["assets"]
        ]
        found = endpoint.search(Query(source, tuple(offered), EVER, cell_at(mine[0]["geometry"]), 100))
        assert [s.id for s in found.scenes] == sorted(i["id"] for i in mine)
        assert not found.dropped
        assert all((path.parent / href).is_file() for s in found.scenes for href in s.hrefs.values())


def test_hrefs_in_an_item_collection_are_relative_to_its_folder(tmp_path):
    inside, outside = item("a"), item("b")
    for band, asset in inside["assets"].items():
        asset["href"] = f"{tmp_path.resolve()}/pixels/{band}.tif"
    for band, asset in outside["assets"].items():
        asset["href"] = f"./pixels/{band}.tif" if band != "SCL" else "/elsewhere/SCL.tif"
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [inside, outside]}))
    a, b = ask(str(path)).scenes
    assert a.hrefs["B02"] == "pixels/B02.tif"
    assert b.hrefs["B02"] == "./pixels/B02.tif"
    assert b.hrefs["SCL"] == "/elsewhere/SCL.tif"


def test_a_stac_geoparquet_file_gives_the_scenes_of_the_same_items(shared, tmp_path):
    source = spec("s2l2a")
    items = items_in(shared / "data/stac-geoparquet/data/sentinel-2-l2a-pc.json")
    stac_geoparquet.arrow.to_parquet(stac_geoparquet.arrow.parse_stac_items_to_arrow(items), tmp_path / "i.parquet")
    (tmp_path / "i.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    for one in items:
        cell = cell_at(one["geometry"])
        a, b = (opened(resolve(str(tmp_path / name))).search(query(source, cell)) for name in ("i.parquet", "i.json"))
        assert a == b
        assert one["id"] in [s.id for s in a.scenes]
        assert [s.hrefs for s in a.scenes] == [s.hrefs for s in b.scenes]
        assert [shapely.equals_exact(s.geometry, t.geometry, 1e-9) for s, t in zip(a.scenes, b.scenes, strict=True)]


def test_a_recorded_stac_geoparquet_file_is_read(shared):
    source = spec("s2l2a")
    endpoint = opened(resolve(str(shared / "data/rustac/crates/duckdb/data/100-sentinel-2-items.parquet")))
    one = items_in(shared / "data/rustac/crates/core/data/two-sentinel-2-items.json")[0]
    found = endpoint.search(query(source, cell_at(one["geometry"])))
    assert not found.dropped
    assert len(found.scenes) == 100
    for scene in found.scenes:
        assert f"_T{scene.tile}_" in scene.id
        assert scene.time.strftime("_%Y%m%dT%H%M%S_") in scene.id
        assert scene.offset_dn == 1000


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", "not json"),
        ("b.json", '{"type": "Catalog"}'),
        ("c.json", '{"features": [{"id": "x"}]}'),
        ("d.json", "[1, 2]"),
        ("e.parquet", "not parquet"),
    ],
)
def test_a_file_that_is_no_catalog_is_one_line_that_names_it(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ConfigError, match=rf"catalog .*{name}: .*expected a STAC") as caught:
        opened(resolve(str(path)))
    assert "\n" not in str(caught.value)
