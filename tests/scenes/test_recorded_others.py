"""Landsat, aerial pictures and MODIS: what the sources read of items as recorded, or as a public tool writes them."""

from __future__ import annotations

import copy
import gzip
import json
from typing import Any

import pytest
import yaml

from curation.model import Scene
from curation.recipe import angles
from curation.recipe.catalogs import Catalog
from curation.scenes import items
from curation.scenes.cells import SearchCell
from tests.scenes.catalog import bands, query, spec

CASSETTES = "data/pystac-client/cassettes/test_item_search"


def recorded(path: Any, collection: str) -> list[dict[str, Any]]:
    """Each item of a collection that a recording of answers has, once."""
    found = {}
    for each in yaml.load(path.read_text(), Loader=yaml.CSafeLoader)["interactions"]:
        body = each["response"]["body"]["string"] or b""
        body = body.encode() if isinstance(body, str) else body
        answer = json.loads(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
        found |= {f["id"]: f for f in answer.get("features", ()) if f["collection"] == collection}
    return [*found.values()]


def looked_at(item: dict[str, Any], source: str, form_name: str, **query: Any) -> Scene | str:
    """The scene, or which condition of the source's query leaves it out."""
    its = spec(source)
    form = its.catalogs[form_name]
    catalog = Catalog("test", form_name, "https://stac.example", is_file=False, own=False)
    found = items.looked_at(item, form.query | query, its, bands(its), form, catalog)
    assert isinstance(found, Scene | str), found
    return found


def test_a_recorded_item_of_landsat_has_what_the_source_reads(shared):
    (item,) = recorded(shared / CASSETTES / "test_multiple_collections.yaml", "landsat-c2-l2")
    source = spec("landsat-c2-l2")
    scene = looked_at(item, "landsat-c2-l2", "earth-search")
    assert isinstance(scene, Scene)
    assert (scene.platform, scene.epsg, scene.cloud_pct) == ("landsat-8", 32613, 0.06)
    told = angles.read(item["properties"])
    assert told == {"sun_zenith_deg": 90 - 41.18722795, "sun_azimuth_deg": 157.5994568, "off_nadir_deg": 0}
    assert scene.hrefs["nir08"].endswith("_SR_B5.TIF")
    assert scene.hrefs["qa_pixel"].endswith("_QA_PIXEL.TIF")
    # Scale, offset and fill are what the item says of each band, and reflectance × 10000 is stored.
    array = next(a for a in source.arrays if a.is_data)
    for band in array.bands:
        (its,) = item["assets"][band]["raster:bands"]
        values = array.values(band)
        assert values.scale == pytest.approx(10_000 * its["scale"], rel=1e-12)
        assert values.offset == pytest.approx(10_000 * its["offset"], rel=1e-12)
        assert values.missing == (its["nodata"],)
        (stated,) = item["assets"][band]["eo:bands"]
        assert stated["common_name"] == source.bands[band].common_name
        assert source.bands[band].centre_nm == pytest.approx(1000 * stated["center_wavelength"], abs=10)
    # And so are the bits of the mask, by name.
    offsets = {f["name"]: f["offset"] for f in item["assets"]["qa_pixel"]["classification:bitfields"]}
    bits = source.mask.bits if source.mask else None
    assert bits is not None
    names = ("dilated_cloud", "cirrus", "cloud", "cloud_shadow")
    assert (bits.invalid, bits.snow) == ([offsets["fill"]], [offsets["snow"]])
    assert bits.cloudy == [offsets[n] for n in names]
    assert bits.doubtful[0].bits == [offsets["cloud_confidence"], offsets["cloud_confidence"] + 1]
    # Its lattice: the centre of its first pixel lies on multiples of 30 m.
    step, _, west, _, _, north = item["properties"]["proj:transform"]
    assert ((west + step / 2) % 30, (north - step / 2) % 30) == (0, 0)


def test_of_landsat_only_what_the_source_is_passes(shared):
    (item,) = recorded(shared / CASSETTES / "test_multiple_collections.yaml", "landsat-c2-l2")
    for name, value in (("platform", "landsat-7"), ("landsat:collection_category", "T2")):
        other = copy.deepcopy(item)
        other["properties"][name] = value
        left_out = looked_at(other, "landsat-c2-l2", "earth-search")
        assert isinstance(left_out, str)
        assert name in left_out


def test_recorded_items_of_naip_are_scenes_of_their_year_and_of_no_other(shared):
    queried = recorded(shared / CASSETTES / "TestItemSearchQuery.test_query_shortcut_syntax.yaml", "naip")
    every = [item for item in queried if item["properties"]["naip:year"] == "2021"]
    assert len(every) >= 6
    others = recorded(shared / CASSETTES / "TestItemSearch.test_results.yaml", "naip")
    assert len(others) >= 10
    for item in others:
        left_out = looked_at(item, "naip", "planetary-computer")
        assert isinstance(left_out, str)
        assert "naip:year" in left_out  # the source is of 2021; these are of 2023
    for item in every:
        assert isinstance(looked_at(item, "naip", "planetary-computer"), Scene)
    for item in (*every, *others):
        scene = looked_at(item, "naip", "planetary-computer", **{"naip:year": {"eq": item["properties"]["naip:year"]}})
        assert isinstance(scene, Scene)
        assert scene.epsg == item["properties"]["proj:epsg"]
        assert {*scene.hrefs.values()} == {item["assets"]["image"]["href"]}
        # Red, green, blue and near infrared are the bands that the source takes for them.
        names = [b["common_name"] for b in item["assets"]["image"]["eo:bands"]]
        its = spec("naip")
        form = its.catalogs["planetary-computer"]
        assert [names[form.asset_bands[b] - 1] for b in its.arrays[0].bands] == [
            its.bands[b].common_name for b in its.arrays[0].bands
        ]
        assert item["properties"]["gsd"] == its.arrays[0].res_m


def test_recorded_items_of_heights_at_earth_search_are_read_without_an_account(shared):
    every = recorded(
        shared / "data/pystac-client/cassettes/test_cli/TestCLISearch.test_save[inprocess].yaml", "cop-dem-glo-30"
    )
    assert len(every) == 10
    access = spec("dem").catalogs["earth-search"].access["s3"]
    for item in every:
        scene = looked_at(item, "dem", "earth-search")
        assert isinstance(scene, Scene)
        assert scene.hrefs == {"height": item["assets"]["data"]["href"]}
        assert scene.hrefs["height"].startswith("s3://copernicus-dem-30m/")
        assert (scene.epsg, access.unsigned, access.requester_pays) == (4326, True, False)
        assert item["properties"]["storage:requester_pays"] == access.requester_pays
        assert item["properties"]["storage:region"] == access.region


def of_vv_and_vh(item: dict[str, Any]) -> dict[str, Any]:
    """A recorded item of HH as one of VV and VH would be."""
    its = copy.deepcopy(item)
    its["properties"]["sar:polarizations"] = ["VV", "VH"]
    whole = json.dumps(its.pop("assets"))
    return its | {"assets": {k: v for b in ("vv", "vh") for k, v in json.loads(whole.replace("hh", b)).items()}}


def test_recorded_items_of_ground_range_at_earth_search_are_of_its_form_and_their_readers_pay(shared):
    every = recorded(
        shared / "data/pystac-client/cassettes/test_cli/TestCLISearch.test_filter[inprocess].yaml", "sentinel-1-grd"
    )
    assert len(every) == 3
    access = spec("s1grd").catalogs["earth-search"].access["s3"]
    for item in every:
        assert looked_at(item, "s1grd", "earth-search") == "without VV, VH by its sar:polarizations"
        assert item["properties"]["storage:requester_pays"] == access.requester_pays
        assert item["properties"]["storage:region"] == access.region
        scene = looked_at(of_vv_and_vh(item), "s1grd", "earth-search")
        assert isinstance(scene, Scene)
        assert (scene.platform, scene.datatake) == ("sentinel-1a", item["properties"]["s1:datatake_id"])
        assert scene.orbit_source == item["properties"]["s1:orbit_source"]
        assert str(scene.slice_number) == item["properties"]["s1:slice_number"]
        for band, name in (
            ("VV", "measurement/iw-vv.tiff"),
            ("VH:calibration", "annotation/calibration/calibration-iw-vh.xml"),
            ("VH:noise", "annotation/calibration/noise-iw-vh.xml"),
        ):
            assert scene.hrefs[band].startswith("s3://sentinel-s1-l1c/GRD/2025/")
            assert scene.hrefs[band].endswith(f"/{name}")


MODIS_BANDS = (*(f"sur_refl_b0{n}" for n in range(1, 8)), "sur_refl_state_500m", "sur_refl_qc_500m", "sur_refl_szen")


def of_modis() -> dict[str, Any]:
    """An item as stactools-modis writes it of MOD09A1 061 (its examples): no one time, no EPSG code, no cloud cover."""
    corners = [[10.599, -20.005], [10.116, -9.963], [20.318, -9.959], [21.291, -20.0], [10.599, -20.005]]
    return {
        "type": "Feature",
        "id": "MOD09A1.A2022033.h19v10.061.2022042043514",
        "collection": "modis-09A1-061",
        "geometry": {"type": "Polygon", "coordinates": [corners]},
        "properties": {
            "datetime": None,
            "start_datetime": "2022-02-02T00:00:00Z",
            "end_datetime": "2022-02-09T23:59:59Z",
            "platform": "terra",
            "proj:epsg": None,
        },
        "assets": {band: {"href": f"https://modis.example/{band}.tif"} for band in ("hdf", *MODIS_BANDS)},
    }


def test_an_item_as_modis_has_them_is_a_scene_of_its_first_day():
    scene = looked_at(of_modis(), "modis-09a1", "planetary-computer")
    assert isinstance(scene, Scene)
    assert (scene.time.isoformat(), scene.epsg, scene.cloud_pct) == ("2022-02-02T00:00:00+00:00", None, None)
    assert scene.hrefs == {band: f"https://modis.example/{band}.tif" for band in bands(spec("modis-09a1"))}


def test_of_items_that_state_no_cloud_cover_none_is_asked_for():
    """A server that is asked leaves out each item that does not state it: nothing would be found, without an error."""
    modis, landsat = spec("modis-09a1"), spec("landsat-c2-l2")
    cell = SearchCell(75, 195)
    asked = query(modis, cell, cloud_pct=90).conditions(modis.catalogs["planetary-computer"])
    assert "eo:cloud_cover" not in {*asked, *of_modis()["properties"]}
    asked = query(landsat, cell, cloud_pct=90).conditions(landsat.catalogs["earth-search"])
    assert asked["eo:cloud_cover"] == {"lte": 90}


def test_recorded_items_state_the_cloud_cover_that_is_asked_for(shared):
    """Of each source of this file, and of HLS, whose clouds are limited by the items' own word."""
    (landsat,) = recorded(shared / CASSETTES / "test_multiple_collections.yaml", "landsat-c2-l2")
    hls = json.loads((shared / "data/pystac-client/data/sample-item-collection.json").read_text())["features"]
    for source, its in (("landsat-c2-l2", [landsat]), ("hls-l30", hls)):
        assert spec(source).limits_cloud
        assert all(form.cloud_cover for form in spec(source).catalogs.values())
        assert its
        assert all("eo:cloud_cover" in item["properties"] for item in its)
