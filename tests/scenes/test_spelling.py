"""However a catalog writes what an item states, it is read, and is the same as what another writes of it."""

import copy

import pytest

from curation.model import parse_time
from curation.read.radiometry import NoBaselineError, offset_dn
from curation.recipe.catalogs import Catalog
from curation.scenes import items, rank, spelling
from curation.scenes.items import Unreadable
from tests.scenes.catalog import cell_at, item, query, reduced, spec

FILE = Catalog("file-0", "planetary-computer", "/data/items.json", is_file=True, own=True)
API = Catalog("test", "planetary-computer", "https://stac.example/v1", is_file=False, own=True)


def changed(one, **properties):
    one = copy.deepcopy(one)
    one["properties"] |= {k.replace("__", ":"): v for k, v in properties.items()}
    return one


def scene(source="s2l2a", collection=None, **properties):
    one = changed(item("one"), **properties)
    return reduced(one | ({"collection": collection} if collection else {}), spec(source), "planetary-computer")


@pytest.mark.parametrize(
    ("stated", "code"),
    [
        (32632, 32632), (32632.0, 32632), ("32632", 32632), ("EPSG:32632", 32632), (" epsg:32632 ", 32632),
        ("urn:ogc:def:crs:EPSG::32632", 32632), ("urn:ogc:def:crs:EPSG:9.8:32632", 32632),
        ("http://www.opengis.net/def/crs/EPSG/0/32632", 32632), ("https://spatialreference.org/ref/epsg/32632/", 32632),
        ("EPSG: 32632", 32632), ("http://www.opengis.net/gml/srs/epsg.xml#32632", 32632),
        ("EPSG:32632+5773", 32632), ("OGC:CRS84", 4326), ("urn:ogc:def:crs:OGC:1.3:CRS84", 4326),
        ("IAU_2015:30100", None), (None, None), ("", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["proj__epsg", "proj__code"])
def test_a_crs_is_read_however_it_is_written(key, stated, code):
    assert scene(**({"proj__epsg": None} | {key: stated})).epsg == code


@pytest.mark.parametrize("stated", ["EPSG:", "utm 32", "EPSG:abc", True, [32632], {"code": 1}, -32632, 1.5])
def test_what_names_no_crs_is_told_as_that_and_not_as_another_zone(stated):
    with pytest.raises(ValueError, match="expected one such as 32632 or 'EPSG:32632'"):
        spelling.epsg(stated)
    found = items.scene_of(
        changed(item("one"), proj__epsg=stated),
        spec("s2l2a"),
        query(spec("s2l2a"), cell_at(item("one")["geometry"])).bands,
        spec("s2l2a").catalogs["planetary-computer"],
        API,
    )
    assert isinstance(found, Unreadable)
    assert found.reason.startswith("unreadable: ValueError: CRS is ")


def test_an_asset_says_its_own_crs_and_an_empty_one_leaves_it_to_the_item():
    one = changed(item("one"), proj__epsg=None, proj__code="EPSG:32631")
    source = spec("s2l2a")
    assert reduced(one, source, "planetary-computer").epsg == 32631
    one["assets"]["B02"] |= {"proj:code": None}
    assert reduced(one, source, "planetary-computer").epsg == 32631
    one["assets"]["B02"] |= {"proj:code": "EPSG:32632"}
    assert reduced(one, source, "planetary-computer").epsg == 32632


@pytest.mark.parametrize("name", ["Sentinel-2A", "SENTINEL-2A", "sentinel-2a", "sentinel_2a", "S2A", " Sentinel 2A"])
@pytest.mark.parametrize("tile", ["32ULC", "T32ULC", "MGRS-32ULC", "mgrs-32ulc"])
@pytest.mark.parametrize("datatake", ["GS2A_7_N05.00", "GS2A_7_N0510", "gs2a_7_n03.01"])
def test_one_acquisition_processed_again_is_one_however_its_names_are_written(name, tile, datatake):
    again = scene(platform=name, s2__mgrs_tile=tile, s2__datatake_id=datatake, s2__processing_baseline="05.10")
    first = scene(platform="Sentinel-2A", s2__mgrs_tile="32ULC", s2__datatake_id="GS2A_7_N03.01")
    assert (again.platform, again.tile, again.datatake) == ("sentinel-2a", "32ULC", "GS2A_7")
    assert rank.newest([first, again]) == [again]


def test_a_tile_of_a_zone_of_one_digit_is_that_of_two():
    assert scene(s2__mgrs_tile="MGRS-5VML").tile == scene(s2__mgrs_tile="05VML").tile == "05VML"


@pytest.mark.parametrize("stated", ["DESCENDING", "Descending", "descending", " Descending "])
def test_an_orbit_state_in_capitals_is_that_direction(stated):
    assert scene(sat__orbit_state=stated).orbit_state == "descending"


@pytest.mark.parametrize(
    ("stated", "mode"),
    [("rpro", "RPRO"), ("Reprocessing", "RPRO"), ("Offline", "OFFL"), ("offl", "OFFL"), ("NRT", "NRTI"),
     ("Near Real Time", "NRTI"), ("nrti", "NRTI"), ("other", "OTHER")],
)  # fmt: skip
@pytest.mark.parametrize("platform", ["Sentinel-5P", "sentinel-5-precursor", "S5P"])
def test_an_orbit_is_used_in_one_processing_mode_however_it_is_written(stated, mode, platform):
    source = spec("s5p-no2")

    def made(name, mode, platform):
        one = changed(item(name), s5p__processing_mode=mode, platform=platform, sat__absolute_orbit=4711)
        one = one | {"collection": "sentinel-5p-l2-netcdf", "assets": {"no2": {"href": "BASE/no2.nc"}}}
        one["properties"]["s5p:product_name"] = "NO2"
        return reduced(one, source, "planetary-computer")

    theirs = made("theirs", stated, platform)
    assert theirs.mode == mode
    best = made("best", "RPRO", "Sentinel-5P")
    used = rank.one_mode([theirs, best])
    assert len(used) == 1
    if mode != "RPRO":
        assert used == [best]


@pytest.mark.parametrize("stated", ["IW", "iw", " Iw "])
def test_a_filter_on_text_does_not_drop_another_case_of_it(stated):
    one = changed(item("one"), sar__instrument_mode=stated, sar__polarizations=["vv", "vh"])
    one |= {"collection": "sentinel-1-rtc", "assets": {"VV": {"href": "BASE/vv.tif"}, "vh": {"href": "BASE/vh.tif"}}}
    assert set(reduced(one, spec("s1rtc"), "planetary-computer").hrefs) == {"VV", "VH"}
    source = spec("s1rtc")
    other = changed(one, sar__instrument_mode="EW")
    asked = query(source, cell_at(one["geometry"]))
    assert list(items.reduced([other], asked, source.catalogs["planetary-computer"], API).dropped) == [
        "sar:instrument_mode eq IW"
    ]


@pytest.mark.parametrize(
    ("stated", "offset"), [(True, 0), ("true", 0), ("True", 0), (1, 0), (False, 1000), ("false", 1000)]
)
def test_whether_the_offset_is_gone_is_read_as_text_too(stated, offset):
    properties = {"earthsearch:boa_offset_applied": stated}
    assert offset_dn("earth-search", properties, [{}], "05.10") == offset


def test_what_says_neither_yes_nor_no_of_the_offset_is_not_taken_for_no():
    with pytest.raises(NoBaselineError, match="boa_offset_applied is 'maybe'"):
        offset_dn("earth-search", {"earthsearch:boa_offset_applied": "maybe"}, [{}], "05.10")


def test_times_may_be_written_small():
    assert parse_time("2021-07-01t10:36:29z") == parse_time("2021-07-01T10:36:29Z")


@pytest.mark.parametrize(
    ("catalog", "href", "told"),
    [
        (FILE, "my%20scenes/B02.tif", "my%20scenes/B02.tif"),
        (FILE, "./s%C3%BCd/B02.tif?sig=x", "./s%C3%BCd/B02.tif"),
        (FILE, "100%/B02.tif", "100%/B02.tif"),
        (FILE, "https://other.example/a%20b.tif?sig=x", "https://other.example/a%20b.tif"),
        (API, "https://stac.example/a%20b/B02.tif", "a%20b/B02.tif"),
        (API, "https://stac.example//B02.tif", "https://stac.example//B02.tif"),
        (API, "https://stac.example/https://other.example/B02.tif",
         "https://stac.example/https://other.example/B02.tif"),
        (API, "./B02.tif", "v1/collections/c/items/B02.tif"),
        (API, "../B02.tif", "v1/collections/c/B02.tif"),
        (API, "s3://bucket/a%20b.tif", "s3://bucket/a%20b.tif"),
    ],
)  # fmt: skip
def test_a_relative_href_is_a_reference_and_what_is_told_from_the_base_leads_back_there(catalog, href, told):
    one = item("one") | {"links": [5, {"rel": "self", "href": "https://stac.example/v1/collections/c/items/one"}]}
    one["assets"]["B02"]["href"] = href
    source = spec("s2l2a")
    asked = query(source, cell_at(one["geometry"]))
    (made,) = items.reduced([one], asked, source.catalogs["planetary-computer"], catalog).scenes
    assert made.hrefs["B02"] == told


@pytest.mark.parametrize("address", ["s3://bucket/a/one.json", "abfss://box@account.example/a/one.json"])
def test_a_relative_href_of_an_item_in_a_bucket_leads_into_that_bucket(address):
    one = item("one") | {"links": [{"rel": "self", "href": address}]}
    source = spec("s2l2a")
    asked = query(source, cell_at(one["geometry"]))
    for href, below in (("B02.tif", "a/B02.tif"), ("../b/B02.tif?sig=x", "b/B02.tif"), ("../../../etc/x", "etc/x")):
        one["assets"]["B02"]["href"] = href
        (made,) = items.reduced([one], asked, source.catalogs["planetary-computer"], API).scenes
        assert made.hrefs["B02"] == f"{address.removesuffix('a/one.json')}{below}"


def test_a_relative_href_with_a_space_is_read_from_the_catalogs_folder(world, tmp_path):
    import json
    import shutil

    from curation.store.ledger import Ledger
    from tests import world as tiny
    from tests.run import Curate

    shutil.copytree(world.folder, tmp_path / "own")
    mine = tiny.World(tmp_path / "own")
    (mine.folder / "dem").rename(mine.folder / "my dem")
    text = mine.catalog.read_text()
    assert '"dem/height.tif"' in text
    mine.catalog.write_text(text.replace('"dem/height.tif"', json.dumps("my%20dem/height.tif")))
    curate = Curate(mine, tmp_path / "root")
    assert curate("build", "--season", "static", "--limit", "2") == 0
    assert {o.label for o in Ledger.replay(curate.store, "europe", "static").outcomes()} == {"ok"}
