"""Items of the real catalogs, as recorded, become scenes."""

from __future__ import annotations

import copy
import datetime as dt
import re
from urllib.parse import urlsplit

import pytest
import shapely

from curation.read import versions
from curation.recipe.catalogs import Catalog, resolve
from curation.scenes import items
from tests.scenes.catalog import bands, cell_at, items_in, query, reduced, spec


def test_sentinel_2_items_of_planetary_computer(shared):
    source = spec("s2l2a")
    items = items_in(shared / "data/stac-geoparquet/data/sentinel-2-l2a-pc.json")
    items += items_in(shared / "data/rustac/crates/core/data/two-sentinel-2-items.json")
    assert len(items) == 6
    for item in items:
        scene = reduced(item, source, "planetary-computer")
        name = item["id"]  # S2B_MSIL2A_20240419T095549_R122_T47XML_20240419T123458
        assert scene.tile == name.split("_")[4][1:]
        assert scene.relative_orbit == int(name.split("_")[3][1:])
        assert scene.time.strftime("%Y%m%dT%H%M%S") == name.split("_")[2]
        assert scene.epsg == 32600 + int(scene.tile[:2])
        assert scene.baseline in ("05.10", "05.11")
        assert scene.offset_dn == 1000
        assert scene.datatake == item["properties"]["s2:datatake_id"][: -len("_N05.10")]
        assert scene.cloud_pct == item["properties"]["eo:cloud_cover"]
        for band in bands(source):
            res = next(int(a.res_m) for a in source.arrays if band in a.bands)
            assert scene.hrefs[band].startswith("https://sentinel2l2a01.blob.core.windows.net/")
            assert scene.hrefs[band].endswith(f"_{band}_{res}m.tif")


def test_sentinel_2_items_of_earth_search(shared):
    source = spec("s2l2a")
    path = "data/rio-tiler-pds/sentinel-cogs/sentinel-s2-l2a-cogs/29/R/KH/2020/2/S2A_29RKH_20200219_0_L2A"
    (item,) = items_in(shared / path / "S2A_29RKH_20200219_0_L2A.json")
    scene = reduced(item, source, "earth-search")
    assert (scene.tile, scene.baseline, scene.epsg, scene.offset_dn) == ("29RKH", "02.14", 32629, 0)
    assert scene.datatake == "GS2A_20200219T112111_024344"
    names = {b: href.rsplit("/", 1)[1] for b, href in scene.hrefs.items()}
    assert names == {b: f"{b}.tif" for b in bands(source)}, "the assets' common names, as files of ESA's bands"
    # A later baseline whose item says that the offset is gone, and one that does not.
    for applied, want in ((True, 0), (False, 1000)):
        later = copy.deepcopy(item)
        later["properties"] |= {"s2:processing_baseline": "05.10", "earthsearch:boa_offset_applied": applied}
        assert reduced(later, source, "earth-search").offset_dn == want


def test_sentinel_2_collection_1_items_of_earth_search(shared):
    source = spec("s2l2a")
    items = items_in(shared / "data/rustac/crates/server/data/sentinel-2/item-collection.json")
    assert len(items) == 10
    for item in items:
        scene = reduced(item, source, "earth-search-c1")
        assert (scene.tile, scene.epsg, scene.offset_dn) == ("13TDE", 32613, 1000)
        bands_of = {b: href.rsplit("/", 1)[1] for b, href in scene.hrefs.items()}
        assert bands_of == {b: f"{b}.tif" for b in bands(source)}


def test_sentinel_2_items_of_cdse(shared):
    source = spec("s2l2a")
    (path,) = (shared / "data/eometadatatool-cdse/sentinel-2-l2a/example").glob("*.json")
    (item,) = items_in(path)
    scene = reduced(item, source, "cdse")
    assert (scene.tile, scene.epsg, scene.baseline, scene.offset_dn) == ("13VEK", 32613, "05.10", 1000)
    assert scene.datatake == "GS2A_20220217T183431_034773"
    assert scene.orbit_state == "descending"
    assert scene.platform == "sentinel-2a"
    for band in bands(source):
        res = next(int(a.res_m) for a in source.arrays if band in a.bands)
        assert scene.hrefs[band].startswith("s3://eodata/Sentinel-2/MSI/L2A_N0500/2022/02/17/")
        assert scene.hrefs[band].endswith(f"_{band}_{res}m.jp2")


def test_level_1c_items_of_cdse(shared):
    source = spec("s2l1c")
    (path,) = (shared / "data/eometadatatool-cdse/sentinel-2-l1c/example").glob("*.json")
    (item,) = items_in(path)
    scene = reduced(item, source, "cdse")
    assert (scene.tile, scene.epsg, scene.baseline, scene.offset_dn) == ("51CVP", 32751, "05.10", 1000)
    assert scene.datatake == "GS2A_20240116T000741_044743", "as that of the L2A it goes with, of whatever baseline"
    assert len(bands(source)) == 13
    for band in bands(source):
        assert scene.hrefs[band].startswith("s3://eodata/Sentinel-2/MSI/L1C/2024/01/16/")
        assert scene.hrefs[band].endswith(f"_{band}.jp2")


@pytest.mark.parametrize("stated", ["image/png", "IMAGE/PNG; application=x", "application/vnd+zarr", 7])
def test_an_item_whose_files_are_of_a_kind_that_is_not_read_is_refused_by_its_media_type(shared, stated):
    source = spec("s2l1c")
    (path,) = (shared / "data/eometadatatool-cdse/sentinel-2-l1c/example").glob("*.json")
    (item,) = items_in(path)
    for asset in item["assets"].values():
        asset["type"] = stated
    catalog = Catalog("test", "cdse", "https://stac.example", is_file=False, own=False)
    found = items.reduced([item], query(source, cell_at(item["geometry"])), source.catalogs["cdse"], catalog)
    assert not found.scenes
    assert re.match(r"unreadable: (ValueError: its assets are|TypeError: the media type)", found.unreadable[0].reason)


def test_items_of_cdse_over_https_are_read_by_their_other_hrefs(shared):
    source = spec("s2l2a")
    (path,) = (shared / "data/eometadatatool-cdse/sentinel-2-l2a/example").glob("*.json")
    (item,) = items_in(path)
    form, wanted = source.catalogs["cdse"], bands(source)
    over_s3, over_https = (items.scene_of(item, source, wanted, form, resolve(n)) for n in ("cdse", "cdse-https"))
    assert {h[:12] for h in over_s3.hrefs.values()} == {"s3://eodata/"}
    hosts = resolve("cdse-https").access["https"].hosts
    assert {urlsplit(h).hostname for h in over_https.hrefs.values()} <= set(hosts)
    assert {b: h.rpartition("_")[2] for b, h in over_s3.hrefs.items()} == {
        b: h.removesuffix(")/$value").rpartition("_")[2] for b, h in over_https.hrefs.items()
    }
    lacks = copy.deepcopy(item)
    del lacks["assets"][form.assets.get("B02", "B02")]["alternate"]
    found = items.scene_of(lacks, source, wanted, form, resolve("cdse-https"))
    assert found.reason == "unreadable: KeyError: 'alternate'"


def test_sentinel_1_grd_items_of_planetary_computer(shared):
    source = spec("s1grd")
    raw = items_in(shared / "data/pctasks/sentinel-1-grd/test-data/sentinel-1-grd-item-raw.json")
    made = items_in(shared / "data/stac-geoparquet/cassettes/test_stac_geoparquet/test_smoke[sentinel-1-grd].yaml")
    for item in (*raw, *made):
        scene = reduced(item, source, "planetary-computer")
        assert scene.datatake == item["properties"]["s1:datatake_id"]
        assert scene.orbit_source == item["properties"]["s1:orbit_source"]
        assert scene.platform == "sentinel-1a"
        for band, name in (
            ("VV", "iw-vv.tiff"),
            ("VH:calibration", "calibration-iw-vh.xml"),
            ("VH:noise", "noise-iw-vh.xml"),
        ):
            assert scene.hrefs[band].endswith(f"/{name}")
        # What it calls the product's annotation is another file: no incidence angles come from there.
        assert "/rfi/" in item["assets"]["schema-product-vv"]["href"]


def test_sentinel_1_grd_items_of_cdse_are_read_or_are_not_wanted(shared):
    source = spec("s1grd")
    found = {}
    for path in (shared / "data/eometadatatool-cdse/sentinel-1-grd-cog/example").glob("*.json"):
        (item,) = items_in(path)
        form = source.catalogs["cdse"]
        conditions = query(source, cell_at(item["geometry"])).conditions(form)
        found[item["id"]] = items.looked_at(item, conditions, source, bands(source), form, resolve("cdse"))
    scene = found.pop("S1A_IW_GRDH_1SDV_20240607T000653_20240607T000718_054210_0697DA_6EE4_COG")
    assert (scene.orbit_state, scene.relative_orbit, scene.datatake, scene.orbit_source) == (
        "ascending",
        63,
        "432090",
        None,
    )
    assert scene.hrefs["VV"].startswith("s3://eodata/Sentinel-1/SAR/IW_GRDH_1S-COG/2024/06/07/")
    assert scene.hrefs["VV:noise"].endswith(
        "/noise-s1a-iw-grd-vv-20240607t000653-20240607t000718-054210-0697da-001-cog.xml"
    )
    scene = found.pop("S1C_IW_GRDH_1SDV_20250327T154419_20250327T154453_001628_002981_53D2_COG")
    assert scene.platform == "sentinel-1c"
    assert len(found) == 2
    assert set(found.values()) == {"sar:instrument_mode eq IW"}  # a strip, and an extra wide swath


def test_a_grd_item_of_another_polarisation_is_whole_and_not_wanted(shared):
    source = spec("s1grd")
    (item,) = items_in(shared / "data/pctasks/sentinel-1-grd/test-data/sentinel-1-grd-item-raw.json")
    item["properties"]["sar:polarizations"] = ["HH"]
    item["assets"] = {"hh": item["assets"]["vv"]}
    form = source.catalogs["planetary-computer"]
    said = items.looked_at(item, {}, source, bands(source), form, resolve("planetary-computer"))
    assert said == "without VV, VH by its sar:polarizations"


def test_sentinel_1_items_of_planetary_computer(shared):
    source = spec("s1rtc")
    items = items_in(shared / "data/stac-geoparquet/data/sentinel-1-rtc-pc.json")
    items += items_in(shared / "data/stac-geoparquet/cassettes/test_stac_geoparquet/test_smoke[sentinel-1-rtc].yaml")
    items = [i for i in items if set(i["properties"]["sar:polarizations"]) == {"VV", "VH"}]
    assert len(items) >= 4
    for item in items:
        scene = reduced(item, source, "planetary-computer")
        assert scene.orbit_state == item["properties"]["sat:orbit_state"]
        assert scene.orbit_state in ("ascending", "descending")
        assert scene.relative_orbit == item["properties"]["sat:relative_orbit"]
        assert scene.datatake == item["properties"]["s1:datatake_id"]
        assert scene.orbit_source == item["properties"]["s1:orbit_source"]
        assert scene.orbit_source in ("POEORB", "RESORB", "PREORB", "DOWNLINK")
        assert str(scene.slice_number) == item["properties"]["s1:slice_number"]
        assert scene.platform in ("sentinel-1a", "sentinel-1b")
        assert scene.epsg == item["properties"]["proj:epsg"]
        assert scene.hrefs["VV"].endswith("-vv.rtc.tiff") or scene.hrefs["VV"].endswith("_vv.rtc.tiff"), scene.hrefs
        assert scene.hrefs["VH"] == scene.hrefs["VV"].replace("vv", "vh")
        assert scene.offset_dn == 0


def test_dem_items_of_planetary_computer_and_cdse(shared):
    source = spec("dem")
    items = items_in(shared / "data/stac-geoparquet/data/cop-dem-glo-30-pc.json")
    assert items
    (path,) = (shared / "data/eometadatatool-cdse/copdem-cog/example").glob("*COG_10_*.json")
    (theirs,) = items_in(path)
    for item, form in [*((i, "planetary-computer") for i in items), (theirs, "cdse")]:
        scene = reduced(item, source, form)
        assert scene.epsg == 4326
        assert scene.hrefs["height"].endswith("_DEM.tif")
        # Tiles reach half a pixel west of their degree: that of 180°W a little across the antimeridian.
        assert scene.geometry.area == pytest.approx(1, abs=0.01)


def test_worldcover_items_of_planetary_computer(shared):
    source = spec("worldcover")
    found = items_in(shared / "data/stac-geoparquet/cassettes/test_stac_geoparquet/test_smoke[esa-worldcover].yaml")
    folder = shared / "data/stactools-esa-worldcover/examples"
    found += [i for p in folder.glob("*2021*/*.json") for i in items_in(p)]
    assert len(found) == 2
    for one in found:
        scene = reduced(one, source, "planetary-computer")
        assert (scene.version, scene.epsg) == ("2.0.0", 4326)
        assert scene.time == dt.datetime(2021, 1, 1, tzinfo=dt.UTC)
        assert scene.hrefs["map"].endswith("_Map.tif")
    (old,) = (i for p in folder.glob("*2020*/*.json") for i in items_in(p))
    catalog = Catalog("test", "planetary-computer", "https://stac.example", is_file=False, own=False)
    form = source.catalogs["planetary-computer"]
    out = items.reduced([old], query(source, cell_at(old["geometry"])), form, catalog)
    assert not out.scenes
    assert list(out.dropped) == ["esa_worldcover:product_version eq 2.0.0"]


def test_recorded_orbits_hold_the_places_that_their_outline_runs_through(shared):
    source = spec("s5p-no2")
    (path,) = (shared / "data/stactools-sentinel5p/examples").glob("S5P_OFFL_L2__NO2*.json")
    (item,) = items_in(path)
    item |= {"collection": "sentinel-5p-l2-netcdf"}
    name = item["assets"]["no2"]["href"].rsplit("/", 1)[1]
    item["assets"] = {"no2": {"href": f"https://example.test/{name}"}}
    scene = reduced(item, source, "planetary-computer")
    assert (scene.orbit, scene.mode, scene.version) == (12367, "OFFL", "01.03.02")  # the collection, 01, has several
    assert set(scene.hrefs) == {"data"}
    rings = shapely.get_parts(shapely.geometry.shape(item["geometry"]))
    points = [p for ring in rings for p in ring.exterior.coords[::7]]
    near = scene.geometry.buffer(0.01)
    assert all(near.intersects(shapely.Point(p)) for p in points)


@pytest.mark.parametrize(
    ("href", "version"),
    [
        ("a/S5P_OFFL_L2__HCHO___20230403T200508_20230403T214638_28353_03_020401_20230405T121014.nc", "02.04.01"),
        ("a_28353_03_020401_20230405T121014.nc?sig=a_28353_03_999999_20230405T121014.nc", "02.04.01"),
        ("03_020401/no2.nc", None),
    ],
)
def test_what_a_files_name_says_is_taken_from_its_name_alone(shared, href, version):
    (path,) = (shared / "data/stactools-sentinel5p/examples").glob("S5P_OFFL_L2__NO2*.json")
    (one,) = items_in(path)
    one |= {"collection": "sentinel-5p-l2-netcdf", "assets": {"no2": {"href": f"https://example.test/{href}"}}}
    assert reduced(one, spec("s5p-no2"), "planetary-computer").version == version


def test_recorded_orbits_of_cdse_state_their_processors_version(shared):
    found = set()
    for product in ("no2", "co", "so2", "o3", "ch4", "hcho", "aer-ai"):
        form = spec(f"s5p-{product}").catalogs["cdse"]
        for path in sorted((shared / "data/eometadatatool-cdse/sentinel-5p/example").glob("S5P_RPRO_L2*.json")):
            (one,) = items_in(path)
            if one["collection"] == form.collection:
                scene = reduced(one, spec(f"s5p-{product}"), "cdse")
                assert versions.order(scene.version) == versions.order(versions.dotted(path.stem.split("_")[-2]))
                found.add(product)
    assert len(found) >= 6


def unreadable(shared, **changed):
    """Why a recorded item cannot be read when some of it is changed."""
    (item, *_), source = items_in(shared / "data/stac-geoparquet/data/sentinel-2-l2a-pc.json"), spec("s2l2a")
    catalog = Catalog("test", "planetary-computer", "https://stac.example", is_file=False, own=False)
    asked = query(source, cell_at(item["geometry"]))
    found = items.reduced([item | changed], asked, source.catalogs["planetary-computer"], catalog)
    assert not found.scenes
    return [its.reason for its in found.unreadable]


@pytest.mark.parametrize("collection", [[], ["sentinel-2-l2a"], 7, {"id": "sentinel-2-l2a"}, False])
def test_an_item_whose_collection_is_no_text_is_unreadable_and_not_of_another(shared, collection):
    (reason,) = unreadable(shared, collection=collection)
    assert reason.startswith("unreadable: TypeError: collection is")
    assert not unreadable(shared, collection="another")


def test_an_item_that_states_no_collection_is_of_the_one_asked_for(shared):
    item = items_in(shared / "data/stac-geoparquet/data/sentinel-2-l2a-pc.json")[0]
    assert reduced(item | {"collection": None}, spec("s2l2a"), "planetary-computer").id == item["id"]


@pytest.mark.parametrize("kind", ["Point", "LineString"])
def test_a_geometry_without_area_is_no_footprint(shared, kind):
    ring = items_in(shared / "data/stac-geoparquet/data/sentinel-2-l2a-pc.json")[0]["geometry"]["coordinates"][0]
    (reason,) = unreadable(shared, geometry={"type": kind, "coordinates": ring[0] if kind == "Point" else ring})
    assert "covers nothing on the globe" in reason


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "file:///etc/passwd", "file:/etc/passwd", "http://other.example/x.tif"]
)
def test_no_url_becomes_a_path_of_this_machine(path):
    catalog = Catalog("test", "planetary-computer", "https://stac.example", is_file=False, own=True)
    href = f"https://stac.example/{path}"
    assert items._absolute(href, {}, catalog) == href
    assert items._absolute("https://me:S3CRET@stac.example/a/b.tif?S3CRET#S3CRET", {}, catalog) == "a/b.tif"
