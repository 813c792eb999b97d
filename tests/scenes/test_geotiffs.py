"""A folder of GeoTIFFs without any STAC: its items follow from files and their names, and are as good as those of STAC."""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.warp
import shapely

import curation
from curation.errors import ConfigError
from curation.model import Scene
from curation.recipe.catalogs import resolve
from curation.recipe.sources import SourceSpec
from curation.scenes.cells import SearchCell
from curation.scenes.items import Query, Unreadable
from curation.scenes.saved import opened
from tests import geotiff
from tests import world as tiny
from tests.run import Curate
from tests.scenes.catalog import EVER
from tests.world import World

SOURCE = """
name = "mine"
title = "My rasters"
kind = "optical"
pick = {pick}
licence = "mine"
[[arrays]]
res_m = 10
bands = ["B02", "B03"]
dtype = "uint16"
nodata = 0
unit = "number"
[catalogs.folder]
file = {{ pattern = '{pattern}' }}
{more}
"""

NAMED = r"T(?P<tile>\w{5})_(?P<time>\d{8}T?\d*)_(?P<band>B\d+)\.tif"


def source(pattern: str = NAMED, more: str = "", pick: str = "'mosaic'") -> SourceSpec:
    return SourceSpec.model_validate(tomllib.loads(SOURCE.format(pattern=pattern, more=more, pick=pick)))


def write(
    path: Path, *, west: float = 500_000, north: float = 5_600_000, epsg: int = 32632, bands: int = 1, **tags: Any
) -> None:
    crs, pixels = f"EPSG:{epsg}" if epsg else None, np.ones((bands, 20, 30), "uint16")
    geotiff.write(path, pixels, west=west, north=north, res_m=10, crs=crs, tags=tags)


def found(folder: Path, spec: SourceSpec) -> tuple[list[Scene], list[Unreadable]]:
    """All scenes of a folder, wherever they lie."""
    catalog = resolve(str(folder))
    endpoint = opened(catalog)
    shapes = [
        i["geometry"] for i in endpoint.any_items(spec, catalog.form_of(spec), ("B02", "B03")) if isinstance(i, dict)
    ]
    cells = {
        SearchCell(int(s.centroid.y + 90), int((s.centroid.x + 180) % 360)) for s in map(shapely.geometry.shape, shapes)
    }
    every = [endpoint.search(Query(spec, ("B02", "B03"), EVER, c, 100)) for c in cells or {SearchCell(140, 189)}]
    scenes = {s.id: s for f in every for s in f.scenes}
    return sorted(scenes.values(), key=lambda s: s.id), list({u.id: u for f in every for u in f.unreadable}.values())


def test_scenes_follow_from_the_names_of_files_and_what_these_say(tmp_path):
    for band in ("B02", "B03"):
        write(tmp_path / f"a b/T32UNB_20210710T103000_{band}.tif")
        write(tmp_path / f"T32UNB_20210711_{band}.tif", west=600_000)
    write(tmp_path / "other.tif")
    (late, early), lost = found(tmp_path, source(more='properties = { tile = "tile" }'))
    assert lost == []
    assert (late.id, early.id) == ("T32UNB_20210711", "a b/T32UNB_20210710T103000")
    assert late.time == dt.datetime(2021, 7, 11, tzinfo=dt.UTC)
    assert early.time == dt.datetime(2021, 7, 10, 10, 30, tzinfo=dt.UTC)
    assert (early.tile, early.epsg) == ("32UNB", 32632)
    assert early.hrefs == {b: f"a%20b/T32UNB_20210710T103000_{b}.tif" for b in ("B02", "B03")}
    # The whole of the file's ground, and no more: by GDAL's own reprojection of its corners.
    with rasterio.open(tmp_path / "T32UNB_20210711_B02.tif") as file:
        west, south, east, north = rasterio.warp.transform_bounds(file.crs, 4326, *file.bounds)
    assert late.geometry.bounds == pytest.approx((west, south, east, north), abs=1e-9)


def test_a_time_is_of_the_name_else_of_what_lies_beside_else_of_the_tag(tmp_path):
    name = r"(?P<id>\w+?)(?:_(?P<time>\d{4}-\d\d-\d\d))?\.tif"
    more = "asset_bands = { B02 = 1, B03 = 2 }"
    write(tmp_path / "a_2020-02-29.tif", bands=2, TIFFTAG_DATETIME="2001:01:01 00:00:00")
    write(tmp_path / "b.tif", bands=2, TIFFTAG_DATETIME="2001:01:01 00:00:00")
    (tmp_path / "b.json").write_text(json.dumps({"datetime": "2022-05-06T07:08:09Z", "eo:cloud_cover": 12}))
    write(tmp_path / "c.tif", bands=2, TIFFTAG_DATETIME="2019:03:04 05:06:07")
    write(tmp_path / "d.tif", bands=2)
    pick = '{ name = "same-acquisition", goes_with = "x" }'
    scenes, lost = found(tmp_path, source(name, more, pick))
    assert [(s.id, s.time.isoformat(), s.cloud_pct) for s in scenes] == [
        ("a", "2020-02-29T00:00:00+00:00", None),
        ("b", "2022-05-06T07:08:09+00:00", 12),
        ("c", "2019-03-04T05:06:07+00:00", None),
    ]
    assert [u.id for u in lost] == ["d"]
    assert "d.tif: nothing says when it was taken" in lost[0].reason
    assert lost[0].geometry is not None  # it is counted where it lies
    # A source that is read once, whatever its time, asks for none.
    assert [s.id for s in found(tmp_path, source(name, more))[0]] == ["a", "b", "c", "d"]


def test_a_scene_across_the_antimeridian_lies_on_both_sides_of_it(tmp_path):
    (edge,), (north,) = rasterio.warp.transform(4326, "EPSG:32701", [-179.999999], [-18.1])
    for band in ("B02", "B03"):
        write(tmp_path / f"T01KAA_20210710_{band}.tif", west=edge - 150, north=north, epsg=32701)
    ((scene,), lost) = found(tmp_path, source())
    assert lost == []
    assert scene.geometry.bounds[::2] == (-180, 180)
    assert len(shapely.get_parts(scene.geometry)) == 2
    assert scene.geometry.area == pytest.approx(300 * 200 / 111_195**2 / np.cos(np.radians(18.1)), rel=0.01)


def test_what_cannot_be_a_scene_is_told_and_costs_itself_alone(tmp_path):
    for band in ("B02", "B03"):
        write(tmp_path / f"T32UNB_20210711_{band}.tif")
        write(tmp_path / f"T32UNB_20210712_{band}.tif", epsg=0)
        write(tmp_path / f"T32UNB_20219999_{band}.tif")
        write(tmp_path / f"x/T32UNB_20210713_{band}.tif")
        write(tmp_path / f"T32UNB_20210714_{band}.tif")
    (tmp_path / "T32UNB_20210714_B02.tif").write_bytes(b"II*\0nothing of a TIFF")
    (tmp_path / "x/T32UNB_20210713_B03.tif").unlink()
    scenes, lost = found(tmp_path, source())
    assert [s.id for s in scenes] == ["T32UNB_20210711"]
    said = {u.id: u.reason for u in lost}
    assert "states no CRS" in said["T32UNB_20210712"]
    assert "time '20219999': is none as '%Y%m%d' has it" in said["T32UNB_20219999"]
    assert "no asset 'B03' for band B03" in said["x/T32UNB_20210713"]
    assert "its header is not a TIFF's" in said["T32UNB_20210714"]


def test_two_files_of_one_band_of_one_scene_are_no_scene(tmp_path):
    for band in ("B02", "B03"):
        for folder in ("a", "b"):
            write(tmp_path / f"{folder}/x_{band}.tif")
    scenes, lost = found(tmp_path, source(r"/(?P<id>x)_(?P<band>B\d+)"))
    assert scenes == []
    assert "a/x_B02.tif and b/x_B02.tif: both are 'B02' of one scene; tell them apart by a group 'id'" in lost[0].reason


def test_a_file_of_all_bands_must_say_which_is_which():
    with pytest.raises(ValueError, match=r"each file holds all: say asset_bands of \['B03'\]"):
        source(r"\.tif", "asset_bands = { B02 = 1 }")
    with pytest.raises(ValueError, match="no regular expression"):
        source("(")


def test_a_folder_is_known_by_what_it_holds_wherever_it_lies(tmp_path):
    for folder in ("a", "b"):
        for band in ("B02", "B03"):
            write(tmp_path / folder / f"T32UNB_20210711_{band}.tif")
    a, b = (resolve(str(tmp_path / f)) for f in ("a", "b"))
    assert a.identity == b.identity
    write(tmp_path / "b/T32UNB_20210711_B03.tif", west=500_010)
    moved = resolve(str(tmp_path / "b")).identity
    (tmp_path / "b/T32UNB_20210711_B02.json").write_text('{"eo:cloud_cover": 3}')
    assert len({a.identity, moved, resolve(str(tmp_path / "b")).identity}) == 3
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"nor a folder with \.parquet files or GeoTIFFs"):
        resolve(str(tmp_path / "empty"))


def test_a_source_is_offered_by_a_folder_where_it_says_how_its_files_are_called(tmp_path):
    write(tmp_path / "T32UNB_20210711_B02.tif")
    folder, spec = resolve(str(tmp_path)), source()
    assert folder.form_of(spec) == spec.catalogs["folder"]
    other = SourceSpec.model_validate(spec.model_dump() | {"catalogs": {"*": {"collection": "c"}}})
    assert folder.form_of(other) is None
    assert resolve("http://127.0.0.1:9/stac").form_of(spec) is None


RECIPE = tiny.recipe("t", "s2l2a = {}")


@pytest.mark.slow
def test_a_build_of_files_alone_has_the_pixels_of_one_of_their_items(world: World, tmp_path):
    made = world.from_afar(tmp_path / "afar")
    made.recipe.write_text(f"{RECIPE}[search]\nlocal = [{json.dumps(str(world.folder))}]\n")
    own = (Path(__file__).parents[2] / "stac_queries/s2l2a.toml").read_text()
    named = r"(?P<id>S2A_MSIL2A_(?P<time>\d{8}T\d{6})_N(?P<baseline>\d{4})_T(?P<tile>\w{5}))/(?P<band>\w+)\.tif"
    form = f"[catalogs.folder]\noffset = 'baseline'\nfile = {{ pattern = '{named}' }}\n"
    form += "properties = { baseline = 'baseline', tile = 'tile' }\n"
    (made.folder / "sources").mkdir()
    (made.folder / "sources/s2l2a.toml").write_text(own + form)
    cubes = []
    for root, catalog in (("items", made.catalog), ("files", world.folder / "s2")):
        curate = Curate(made, tmp_path / root)
        assert curate("build", "--season", "summer", "--limit", "3", "--catalog", str(catalog)) == 0
        cubes.append(curation.open_cube(curate.folder, "europe").load())
    of_items, of_files = cubes
    ok = (of_items["s2l2a_status"] == 1).to_numpy()[0]
    assert ok.sum() == 2  # the third is at the edge of what was seen, which only an item's footprint knows
    np.testing.assert_array_equal(of_files["s2l2a_status"] == 1, [ok])
    for name in ("s2l2a_10m", "s2l2a_20m", "s2l2a_60m", "s2l2a_scl_20m", "s2l2a_offset_dn", "s2l2a_time"):
        np.testing.assert_array_equal(of_items[name].isel(location=ok), of_files[name].isel(location=ok))
