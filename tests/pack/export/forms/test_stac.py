"""A STAC collection: pystac walks it, its extensions say where pixels lie, and each href leads to what it says."""

import json
import re
from pathlib import Path

import numpy as np
import pystac
import pytest
import shapely
import zarr
from affine import Affine
from pystac.extensions.eo import EOExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import RasterExtension
from pystac.extensions.sar import SarExtension

import curation
from curation.errors import ConfigError
from curation.format import tar
from curation.model import Location
from curation.outcomes import Status
from curation.pack.export.forms import stac
from curation.pack.export.pieces import SlabPiece
from curation.places import grid
from curation.store.ledger import Ledger
from curation.store.objects import Store
from curation.store.records import SlabRecord
from tests import world as tiny
from tests.run import Curate

ID = tiny.name(1, 1)


@pytest.fixture(scope="module")
def folder(built: Curate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = curation.load(built.world.recipe, built.root, catalog=str(built.world.catalog), scheduler="none")
    to = tmp_path_factory.mktemp("stac") / "out"
    made.export("stac", to)
    return to


@pytest.fixture(scope="module")
def items(folder: Path) -> dict[str, pystac.Item]:
    found = pystac.Collection.from_file(str(folder / "collection.json"))
    return {str(i.properties["title"]): i for i in found.get_items(recursive=True)}


def test_there_is_an_item_for_each_patch_that_is_ok_and_no_other(built: Curate, items: dict[str, pystac.Item]):
    ok = {
        f"europe/{season}/{o.id}"
        for season in ("static", "summer", "autumn")
        for o in Ledger.replay(built.store, "europe", season).outcomes()
        if o.status is Status.OK
    }
    assert set(items) == ok
    assert len({i.id for i in items.values()}) == len(ok)


def test_links_and_hrefs_are_relative_and_lead_to_what_they_say(folder: Path, items: dict[str, pystac.Item]):
    for file in folder.rglob("*.json"):
        if ".export" in file.parts or file.name == "export.json":
            continue
        value = json.loads(file.read_text())
        assert value["stac_version"] == "1.1.0"
        hrefs = [link["href"] for link in value["links"]]
        for href in [*hrefs, *(a["href"] for a in value.get("assets", {}).values())]:
            assert not re.match(r"[a-z0-9+]+:|/", href), href
            assert (file.parent / href).exists(), (file, href)
        for link in value["links"]:
            its = json.loads((file.parent / link["href"]).read_text())
            wanted = {"item": "Feature", "child": "Catalog", "root": "Collection", "collection": "Collection"}
            assert its["type"] in (wanted.get(link["rel"]) or ("Collection", "Catalog"))
    assert {i.collection_id for i in items.values()} == {"tiny"}


def test_an_asset_of_pixels_is_the_array_in_the_cube_and_says_where_it_lies(items: dict[str, pystac.Item]):
    item = items[f"europe/summer/{ID}"]
    west, north = tiny.corner(1, 1)
    asset = item.assets["s2l2a_10m"]
    array = zarr.open_array(asset.get_absolute_href(), mode="r")
    assert np.array_equal(array[asset.extra_fields["curation:patch"]][0], tiny.crop(tiny.dn("B02", 10), 10, 1, 1))
    projection = ProjectionExtension.ext(asset)
    assert Affine(*projection.transform) == Affine(10, 0, west, 0, -10, north)
    assert projection.shape == [48, 48]
    whole = ProjectionExtension.ext(item)
    assert (whole.code, whole.bbox) == ("EPSG:32632", [west, north - 480, west + 480, north])
    shape = shapely.geometry.shape(item.geometry)
    assert np.allclose(shape.bounds, item.bbox)
    assert shape.contains(shapely.Point(grid.transformer(32632, 4326).transform(west + 240, north - 240)))
    band = RasterExtension.ext(asset).bands[0]
    assert (band.nodata, band.data_type, band.scale, band.unit) == (0, "uint16", 0.0001, "reflectance")
    assert band.spatial_resolution == 10
    eo = EOExtension.ext(asset).bands
    assert [b.name for b in eo] == ["B02", "B03", "B04", "B08"]
    assert (eo[0].center_wavelength, eo[0].full_width_half_max) == (0.4924, 0.066)
    assert [b.common_name for b in eo] == ["blue", "green", "red", "nir"]
    assert EOExtension.ext(item).cloud_cover == 0
    assert asset.extra_fields["curation:scenes"][0].startswith("S2A_MSIL2A_20210710")
    assert item.datetime.isoformat() == "2021-07-10T10:30:00+00:00"
    assert item.common_metadata.end_datetime.isoformat() == "2021-07-12T05:50:00+00:00"  # of its radar


def test_radar_says_what_the_sar_extension_wants_of_it(items: dict[str, pystac.Item]):
    sar = SarExtension.ext(items[f"europe/summer/{ID}"])
    assert (sar.instrument_mode, sar.product_type, str(sar.frequency_band)) == ("IW", "GRD", "C")
    assert [str(p) for p in sar.polarizations] == ["VV", "VH"]
    assert sar.center_frequency == 5.405
    assert not SarExtension.has_extension(items[f"europe/static/{ID}"])


def test_a_place_that_was_packed_has_its_shard(built: Curate, items: dict[str, pystac.Item]):
    item = items[f"europe/summer/{ID}"]
    shard = Path(item.assets["shard"].get_absolute_href())
    assert ID in {r.key for r in tar.scan_tar(shard.read_bytes(), "")}
    assert item.assets["shard"].extra_fields["curation:sample"] == ID


def test_what_has_no_time_has_the_span_of_the_seasons(items: dict[str, pystac.Item]):
    item = items[f"europe/static/{ID}"]
    assert item.datetime is None
    assert item.common_metadata.start_datetime.isoformat() == "2021-06-01T00:00:00+00:00"
    assert item.common_metadata.end_datetime.year == 2021


def test_no_relative_href_leads_into_a_bucket(built: Curate):
    made = curation.load(built.world.recipe, built.root, scheduler="none")
    assert stac.relative(Store("s3://b/x/stac"), Store("s3://b/x").child("tiny")) == "../tiny"
    with pytest.raises(ConfigError, match="no relative href leads from there"):
        stac.Stac().prepared(stac.ExportScope(made.dataset, ()), built.store, Store("s3://elsewhere/x"))


def test_a_footprint_is_cut_at_the_antimeridian(built: Curate):
    epsg, x0, y0 = grid.snapped(179.9999, -17.0, 480)
    place = Location("fiji", 179.9999, -17.0, epsg, x0, y0, 480, "x")
    piece = SlabPiece(built.dataset, built.store, "x", "summer", 0, (place,), SlabRecord(0, (), ()), (0,))
    geometry, (west, _, east, _) = stac._geometry(piece, 0)
    shape = shapely.geometry.shape(geometry)
    assert geometry["type"] == "MultiPolygon"
    assert shape.bounds[0] == -180
    assert shape.bounds[2] == 180
    assert west > 179.9
    assert east < -179.9
    assert np.isclose(shape.area, grid.footprint(place).area)
