"""Vector files of every format come to the same shapes, near a place alone; what is wrong with one is told by a code."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely

from curation.errors.codes import Code
from curation.read import shapes
from curation.read.shapes import BadShapesError, NoColumnError, NoCrsError, ReadError

BOXES = [shapely.box(k, 0, k + 0.5, 1) for k in range(20)]
BOWTIE = shapely.Polygon([(5, 3), (7, 5), (7, 3), (5, 5)])
NEAR = (4.9, 0.2, 7.2, 4.0)


def table(crs: str | None = "EPSG:4326") -> gpd.GeoDataFrame:
    """Twenty boxes in a row, and one shape that crosses itself."""
    names = [f"b{k}" for k in range(20)] + ["Gräben"]
    return gpd.GeoDataFrame({"crop": names, "n": range(21)}, geometry=[*BOXES, BOWTIE], crs=crs)


def written(folder: Path, form: str, frame: gpd.GeoDataFrame | None = None) -> Path:
    frame, path = table() if frame is None else frame, folder / f"some.{form.partition('+')[0]}"
    if path.suffix == ".parquet":
        # As Overture's extracts are: a column of bounds, which the metadata name, and small groups of rows.
        frame.to_parquet(path, write_covering_bbox=form.endswith("+bbox"), row_group_size=4)
    else:
        frame.to_file(path)
    return path


FORMS = ("gpkg", "geojson", "shp", "parquet", "parquet+bbox")


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_each_format_has_the_same_shapes_near_a_place(tmp_path, monkeypatch, form: str, whole: bool):
    monkeypatch.setattr(shapes, "WHOLE_BYTES", 2**30 if whole else 0)
    layer = shapes.opened(written(tmp_path, form), None, "layer")
    assert layer.is_held == (whole or form in ("geojson", "parquet"))
    found = layer.near([NEAR, (30, 0, 31, 1)], ["crop", "n"])
    assert found.columns == {"crop": ["b5", "b6", "b7", "Gräben"], "n": [5, 6, 7, 20]}
    assert found.mended.tolist() == [False, False, False, True]
    # Two triangles, of which the crossing counted one against the other.
    assert found.geometry[-1].is_valid
    assert shapely.area(found.geometry).tolist() == pytest.approx([0.5, 0.5, 0.5, 2])
    (extent,) = shapes.extent(layer)
    np.testing.assert_allclose(extent, (0, 0, 19.5, 5), atol=1e-4)
    assert layer.near([(100, 0, 101, 1)], ["crop"]).columns == {"crop": []}


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("form", ["gpkg", "parquet+bbox"])
def test_a_shape_that_two_boxes_touch_comes_once_and_two_alike_twice(tmp_path, monkeypatch, form: str, whole: bool):
    monkeypatch.setattr(shapes, "WHOLE_BYTES", 2**30 if whole else 0)
    cut = shapely.MultiPolygon([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)])
    some = gpd.GeoDataFrame({"n": range(3)}, geometry=[cut, cut, shapely.box(178, 0, 179.5, 1)], crs=4326)
    layer = shapes.opened(written(tmp_path, form, some), None, "layer")
    found = layer.near([(179.9, 0.4, 180.1, 0.5), (-180.1, 0.4, -179.9, 0.5), (179, 0.4, 180.1, 0.5)], ["n"])
    assert found.columns == {"n": [0, 1, 2]}
    assert len({*found.rows}) == 3


def test_what_is_wrong_with_a_file_has_a_code_and_says_what_to_do(tmp_path):
    plain = table().drop(index=20)
    lost = written(tmp_path, "shp", plain)
    lost.with_suffix(".prj").unlink()
    with pytest.raises(
        NoCrsError, match=r"some\.shp: layer 'some' states no CRS: its some\.prj does not lie beside it"
    ) as err:
        shapes.opened(lost, None, "layer")
    assert err.value.code is Code.NO_CRS
    bare = written(tmp_path, "parquet", table(None))
    with pytest.raises(NoCrsError, match="set_crs"):
        shapes.opened(bare, None, "layer")
    layer = shapes.opened(written(tmp_path, "gpkg", plain), None, "layer")
    with pytest.raises(NoColumnError, match=r"no column 'crops'; did you mean crop\? columns: crop, n") as missing:
        layer.near([NEAR], ["crops"])
    assert missing.value.code is Code.NO_COLUMN
    with pytest.raises(
        BadShapesError, match=r"burn 1\.layer = 'other': no such layer with shapes; .*it has: some"
    ) as other:
        shapes.opened(layer.path, "other", "burn 1.layer")
    assert other.value.code is Code.BAD_SHAPES
    geojson = written(tmp_path, "geojson")
    geojson.write_bytes(geojson.read_text().encode("latin-1"))
    with pytest.raises(BadShapesError, match=r"not UTF-8 \(byte \d+\): save it as UTF-8"):
        shapes.opened(geojson, None, "layer")
    (tmp_path / "cut.gpkg").write_bytes((tmp_path / "some.gpkg").read_bytes()[:1000])
    for path in (tmp_path / "cut.gpkg", tmp_path / "none.gpkg", tmp_path):
        with pytest.raises(BadShapesError, match=path.name):
            shapes.opened(path, None, "layer")
    pq.write_table(
        pq.read_table(layer.path.with_suffix(".parquet")).replace_schema_metadata(None), tmp_path / "t.parquet"
    )
    with pytest.raises(BadShapesError, match="has no shapes, expected GeoParquet"):
        shapes.opened(tmp_path / "t.parquet", None, "layer")


@pytest.mark.parametrize("whole", [True, False])
def test_text_of_a_shapefile_in_another_encoding_than_it_says_is_refused(tmp_path, monkeypatch, whole: bool):
    monkeypatch.setattr(shapes, "WHOLE_BYTES", 2**30 if whole else 0)
    path = written(tmp_path, "shp")
    attributes = path.with_suffix(".dbf")
    attributes.write_bytes(attributes.read_bytes().replace("Gräben".encode(), "Gräben".encode("latin-1") + b" "))
    assert path.with_suffix(".cpg").read_text() == "UTF-8"
    with pytest.raises(ReadError, match="UTF-8") as err:
        shapes.opened(path, None, "layer").near([NEAR], ["crop"])
    assert err.value.code is Code.BAD_SHAPES


def test_a_large_file_without_an_index_is_refused_with_what_to_write(tmp_path, monkeypatch):
    path = written(tmp_path, "parquet")
    monkeypatch.setattr(shapes.local, "MOST_BYTES", 1000)
    monkeypatch.setattr(shapes, "WHOLE_BYTES", 0)
    with pytest.raises(BadShapesError, match=r"no index of where its shapes are.*write_covering_bbox=True"):
        shapes.opened(path, None, "layer").near([NEAR], [])


def test_the_extent_of_what_lies_around_the_globe_is_in_parts(tmp_path):
    wide = gpd.GeoDataFrame(geometry=[shapely.box(-179, 0, -178, 1), shapely.box(178, 0, 179, 1)], crs=4326)
    parts = shapes.extent(shapes.opened(written(tmp_path, "gpkg", wide), None, "layer"))
    assert len(parts) == 4
    assert all(east - west <= 90 for west, _, east, _ in parts)
    empty = shapes.opened(written(tmp_path, "geojson", wide.iloc[:0]), None, "layer")
    assert (empty.count, shapes.extent(empty)) == (0, [])
