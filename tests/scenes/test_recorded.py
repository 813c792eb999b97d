"""The radiometry of Sentinel-2 by provider: of each recorded item, and of real pixels with the item that goes with them."""

from __future__ import annotations

import copy
import datetime as dt
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from curation.model import Scene
from curation.read import radiometry
from curation.read.radiometry import Evidence
from curation.recipe.catalogs import Catalog
from curation.recipe.sources import SourceSpec
from curation.scenes import items, rank, saved
from tests.scenes import catalog as made_up
from tests.scenes.catalog import bands, items_in, reduced, spec
from tests.scenes.recorded import LEVEL_1, Recorded, every, sentinel_2

EVERY = sentinel_2()
AT_THE_TOP = sentinel_2(LEVEL_1)
OF_ES = tuple(r for r in EVERY if r.provider == "earth-search")


def carried(one: Recorded) -> int:
    """What an item's files carry on top, by what is known of its provider: the table of stac_queries/README.md."""
    properties = one.item["properties"]
    if one.provider == "earth-search":
        return 0  # taken off where it was in; the one of 02.14 never had it
    if one.provider in ("earth-search-c1", "cdse"):
        return 1000
    return 1000 if properties["s2:processing_baseline"] >= "04" else 0  # nobody takes it off at Planetary Computer


@pytest.mark.parametrize("one", every(EVERY))
def test_each_recorded_item_carries_what_its_provider_is_known_for(one: Recorded):
    source = spec("s2l2a")
    form = source.catalogs[one.provider]
    there = [
        b for b in bands(source) if form.assets.get(b, b) in one.item["assets"]
    ]  # a site's archive has ten of them
    catalog = Catalog("test", one.provider, "https://stac.example", is_file=False, own=False)
    scene = items.scene_of(one.item, source, there, form, catalog)
    assert isinstance(scene, Scene), scene
    assert len(there) >= 11
    assert scene.offset_dn == carried(one)
    assert radiometry.is_believed(form.offset, scene.offset_dn)


def test_all_providers_are_among_what_is_recorded(shared):
    found = Counter((r.provider, r.item["collection"]) for r in EVERY)
    assert found["earth-search", "sentinel-2-l2a"] >= 8
    assert found["earth-search-c1", "sentinel-2-c1-l2a"] >= 16
    assert found["cdse", "sentinel-2-l2a"] >= 1
    assert found["planetary-computer", "sentinel-2-l2a"] >= 163
    stated = {r.item["properties"].get("s2:processing_baseline", "")[:2] for r in EVERY}
    assert {"02", "04", "05"} <= stated


@pytest.mark.parametrize("one", every(AT_THE_TOP))
def test_each_recorded_item_of_level_1c_is_read_as_its_files_are(one: Recorded):
    """All are from 05.10 on, and nobody takes the offset off ESA's files."""
    source = spec("s2l1c")
    scene = reduced(one.item, source, one.provider)
    assert set(scene.hrefs) == set(bands(source)) >= {"B8A", "B10"}
    assert all(href.endswith(f"{band}.jp2") for band, href in scene.hrefs.items())  # whatever the assets are called
    for band in bands(source):
        asset = one.item["assets"][source.catalogs[one.provider].assets.get(band, band)]
        its = asset["raster:bands"][0] if "raster:bands" in asset else {k[7:]: v for k, v in asset.items()}
        assert (its["scale"], its["offset"]) == (0.0001, -0.1)
    stated = scene.baseline, scene.offset_dn, scene.tile and len(scene.tile), scene.datatake and scene.datatake[:5]
    assert stated == (
        "05.10" if one.provider == "cdse" else "05.11",
        1000,
        5,
        "GS2A_" if one.provider == "cdse" else "GS2B_",
    )


def test_recorded_items_of_level_1c_go_with_the_surface_reflectance_of_their_acquisition(shared):
    assert Counter(r.provider for r in AT_THE_TOP) == {"earth-search": 5, "cdse": 1}
    top = [reduced(r.item, spec("s2l1c"), r.provider) for r in AT_THE_TOP if r.provider == "earth-search"]
    surface = [reduced(r.item, spec("s2l2a"), r.provider) for r in EVERY if r.provider == "earth-search-c1"]
    assert {s.tile for s in top} == {"20EPT", "24MUV", "24MVV", "24MWV", "24MXV"}
    paired = 0
    for scene in surface:
        if scene.tile in {s.tile for s in top}:
            assert rank.same_acquisition(top, scene)[0].tile == scene.tile
            paired += 1
    assert paired >= 3


def states(one: Recorded) -> tuple[Any, set[float]]:
    """An item's flag, and the offsets of its reflectance assets."""
    form = spec("s2l2a").catalogs["earth-search"]
    light = [form.assets[b] for b in bands(spec("s2l2a")) if b != "SCL"]
    offsets = {float(one.item["assets"][key]["raster:bands"][0]["offset"]) for key in light}
    return one.item["properties"]["earthsearch:boa_offset_applied"], offsets


def test_what_earth_search_states_twice_is_taken_off_once(shared):
    """All seven real items from 04.00 on say that the offset is gone, and state one of -0.1 all the same."""
    seven = [r for r in OF_ES if r.item["properties"]["s2:processing_baseline"] >= "04"]
    assert len(seven) == 7
    for one in seven:
        assert states(one) == (True, {-0.1})
        assert reduced(one.item, spec("s2l2a"), "earth-search").offset_dn == 0


@pytest.mark.parametrize("flag", [False, None])
def test_that_the_offset_is_still_in_is_not_believed_of_earth_search(shared, flag):
    one = copy.deepcopy(next(r for r in OF_ES if states(r)[0]).item)
    one["properties"]["earthsearch:boa_offset_applied"] = flag
    source = spec("s2l2a")
    assert reduced(one, source, "earth-search").offset_dn == 1000
    assert not radiometry.is_believed(source.catalogs["earth-search"].offset, 1000)
    assert radiometry.is_believed(source.catalogs["planetary-computer"].offset, 1000)
    assert radiometry.is_believed(source.catalogs["earth-search-c1"].offset, 1000)


@pytest.mark.parametrize("key", ["red", "nir08", "coastal"])
def test_assets_that_state_different_offsets_make_an_item_that_cannot_be_read(shared, key):
    one = copy.deepcopy(next(r for r in EVERY if r.provider == "earth-search-c1").item)
    assert reduced(one, spec("s2l2a"), "earth-search-c1").offset_dn == 1000
    one["assets"][key]["raster:bands"][0]["offset"] = 0
    with pytest.raises(AssertionError):
        reduced(one, spec("s2l2a"), "earth-search-c1")


def test_the_scale_of_real_pixels_is_what_their_item_states(shared):
    """Earth Search's scene of the Sahara, with its own files: reflectance by the item is what harmonised numbers are."""
    path = "data/rio-tiler-pds/sentinel-cogs/sentinel-s2-l2a-cogs/29/R/KH/2020/2/S2A_29RKH_20200219_0_L2A"
    (item,) = items_in(shared / path / "S2A_29RKH_20200219_0_L2A.json")
    source = spec("s2l2a")
    scene, form = reduced(item, source, "earth-search"), source.catalogs["earth-search"]
    looked = {}
    for array in source.arrays:
        for band in array.bands if array.unit == radiometry.UNIT else ():
            with rasterio.open(shared / path / scene.hrefs[band].rsplit("/", 1)[1]) as file:
                dn = file.read(1)
                assert file.nodata == array.nodata
            stated = item["assets"][form.assets[band]]["raster:bands"][0]
            theirs = dn * stated["scale"] + stated["offset"]
            ours = radiometry.harmonised(dn, scene.offset_dn, array.nodata) / radiometry.QUANTIFICATION
            valid = dn != array.nodata
            np.testing.assert_allclose(ours[valid], theirs[valid], rtol=1e-6)
            assert 0.05 < np.median(ours[valid]) < 0.6  # sand: dark in blue, bright in short-wave infrared
            looked[band] = dn[valid]
    assert radiometry.evidence(looked, 1.0) is Evidence.UNDECIDABLE  # a desert proves nothing, here either
    radiometry.check_offset(Evidence.UNDECIDABLE, scene.offset_dn)


def test_recorded_items_of_land_cover_are_scenes_of_their_year(shared):
    source, (year, *others) = spec("io-lulc"), items_in(shared / "data/stac-geoparquet/data/io-lulc-annual-v02-pc.json")
    form = source.catalogs["planetary-computer"]
    catalog = Catalog("test", "planetary-computer", "https://stac.example", is_file=False, own=False)
    for item in (year, *others):
        assert items.looked_at(item, form.query, source, ["map"], form, catalog) == (
            "start_datetime eq 2021-01-01T00:00:00Z"
        )  # recorded are items of 2023
        scene = items.scene_of(item, source, ["map"], form, catalog)
        assert isinstance(scene, Scene), scene
        assert (scene.time.year, scene.epsg) == (2023, item["properties"]["proj:epsg"])
        assert scene.hrefs["map"] == item["assets"]["data"]["href"]
    wanted = copy.deepcopy(year)
    for said in ("2021-01-01T00:00:00Z", dt.datetime(2021, 1, 1, tzinfo=dt.UTC)):  # as JSON, and as a table has it
        wanted["properties"]["start_datetime"] = said
        assert isinstance(items.looked_at(wanted, form.query, source, ["map"], form, catalog), Scene)
    stated = {v["values"][0]: v["summary"] for v in year["assets"]["data"]["file:values"]}
    legend = {c.code: c.name for c in source.kind.legend}
    assert set(legend) | {0} == set(stated)
    assert {legend[code] for code in legend} == {
        stated[code].lower().replace(" ", "_").replace("/", "_") for code in legend
    }


def test_recorded_items_of_harmonized_landsat_have_what_the_source_reads(shared):
    source = spec("hls-l30")
    form = source.catalogs["*"].model_copy(update={"collection": "HLSL30.v1.5"})
    catalog = Catalog("test", "planetary-computer", "https://stac.example", is_file=False, own=True)
    recorded = items_in(shared / "data/pystac-client/data/sample-item-collection.json")
    assert len(recorded) == 10
    for item in recorded:
        scene = items.looked_at(item, form.query, source, bands(source), form, catalog)
        assert isinstance(scene, Scene), scene
        assert all(href.endswith(f".v1.5.{band}.tif") for band, href in scene.hrefs.items())
        assert scene.cloud_pct == item["properties"]["eo:cloud_cover"]


WRITTEN: dict[str, list[Any]] = {
    "proj:epsg": [
        "epsg:32632",
        "EPSG: 32632",
        32632.0,
        "urn:ogc:def:crs:EPSG::32632",
        "OGC:CRS84",
        "IAU_2015:30100",
        1.5,
    ],
    "proj:code": ["EPSG:32633"],
    "sat:orbit_state": ["ASCENDING", " descending", "up"],
    "sat:relative_orbit": ["37", 37.0, 400_000],
    "platform": ["S2B", "SENTINEL-2C", "sentinel_2a", "landsat-8"],
    "s2:mgrs_tile": ["T05VML", "MGRS-5VML", "5vml"],
    "s2:processing_baseline": ["0301", "04.00", "5.1", "N0510"],
    "s2:datatake_id": ["gs2a_20210701T103629_031_N04.00"],
    "datetime": ["2021-07-01t10:36:29z", "2021-07-01T12:36:29.5+02:00", "2021-07-01"],
    "eo:cloud_cover": [None, "10", 101],
}
HREFS = [
    *(
        "a%20b.tif",
        "../b.tif?sig=1",
        "/c.tif",
        "//host/d.tif",
        " https://me:pass@host/e.tif#f",
        "file:///g.tif",
        "h:i.tif",
    ),
    *(
        "/vsicurl/https://me:pass@host/j.tif",
        "https://proxy/https%3A%2F%2Fme%3Apass%40host%2Fk.tif",
        "s3://b/l.tif?m",
        "",
    ),
    *("https://stac.example/n.tif", "https://stac.example//o.tif", "abfss://box@host/p.tif", "q.tif/.."),
]


def odd() -> Iterator[dict[str, Any]]:
    """Items as catalogs write them otherwise, one thing each."""
    for name, values in WRITTEN.items():
        yield from (made_up.item("one", **{name: value}) for value in values)
    for href in HREFS:
        one = made_up.item("one") | {
            "links": [{"rel": "self", "href": "https://stac.example/v1/collections/c/items/one"}]
        }
        one["assets"]["B02"]["href"] = href
        yield one


def come_to(one: dict[str, Any], source: SourceSpec, form_name: str) -> Any:
    """What is saved of an item; of its footprint the bounds, which no version of GEOS has otherwise."""
    form = source.catalogs[form_name]
    catalog = Catalog("test", form_name, "https://stac.example/v1", is_file=False, own=False)
    there = [b for b in bands(source) if form.assets.get(b, b) in one["assets"]]  # an archive of few bands has no more
    made = items.scene_of(one, source, there, form, catalog)
    if not isinstance(made, Scene):
        return "unreadable"
    return made.to_json() | {"geometry": [round(v, 6) for v in made.geometry.bounds]}


def test_no_search_is_believed_that_was_saved_when_items_came_to_other_scenes(shared: Path):
    """A search that is saved is made again where `READ_AS` is another. This tells who changes what items come to.

    Where this fails since items come to something else, raise it, and take both numbers over; where only a form of
    `stac_queries` changed, which is part of each request, the new digest is enough.
    """
    data = shared / "data"
    folders = {
        ("s1grd", "planetary-computer"): [data / "pctasks/sentinel-1-grd/test-data/sentinel-1-grd-item-raw.json"],
        ("s1grd", "cdse"): sorted((data / "eometadatatool-cdse/sentinel-1-grd-cog/example").glob("*.json")),
        ("s1rtc", "planetary-computer"): [data / "stac-geoparquet/data/sentinel-1-rtc-pc.json"],
        ("dem", "planetary-computer"): [data / "stac-geoparquet/data/cop-dem-glo-30-pc.json"],
        ("s5p-no2", "cdse"): sorted((data / "eometadatatool-cdse/sentinel-5p/example").glob("S5P_*NO2*.json")),
        ("s3olci", "cdse"): sorted((data / "eometadatatool-cdse/sentinel-3-ol2-land/example").glob("*.json")),
    }
    sources = {name: spec(name) for name in ("s2l2a", "s2l1c", *(name for name, _ in folders))}
    found = [come_to(r.item, sources["s2l2a"], r.provider) for r in EVERY]
    found += [come_to(r.item, sources["s2l1c"], r.provider) for r in AT_THE_TOP]
    for (name, form), paths in folders.items():
        found += [come_to(one, sources[name], form) for path in paths for one in items_in(path)]
    found += [come_to(one, sources["s2l2a"], "planetary-computer") for one in odd()]
    assert Counter(map(type, found))[dict] > 200
    digest = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    assert (saved.READ_AS, digest[:16]) == (5, "33f1d0ee1102745d")
