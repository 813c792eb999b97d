"""`curate source check`: each thing that a source, an item or a file says wrongly is told, and exit code 1 with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

import curation
from curation.api.results import CheckResult
from curation.cli import main
from curation.errors import ConfigError, CurationError
from curation.recipe import sourcefiles
from tests import geotiff
from tests import world as tiny
from tests.loopback import serving
from tests.scenes.catalog import Served
from tests.world import World

WEST, NORTH = 355_500, 6_035_940


def checked(file: Path | str, catalog: Path | str) -> CheckResult:
    return curation.check_source(file, str(catalog), check=False)


def own(folder: Path, name: str, old: str = "", new: str = "") -> Path:
    """A shipped source in a file of one's own, with one text replaced."""
    text = sourcefiles.shipped()[name].read_text()
    assert old in text
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.toml").write_text(text.replace(old, new, 1) if old else text)
    return folder / f"{name}.toml"


def test_a_source_that_fits_is_told_band_by_band(world: World):
    found = checked("s2l2a", world.catalog)
    assert found.wrong == ()
    told = "\n".join(found.found)
    assert "item: S2A_MSIL2A_20210710T103000_N0500_T32ULC, 2021-07-10T10:30:00Z" in told
    (red,) = [line for line in found.found if line.startswith("B04: ")]
    assert red.startswith("B04: uint16, no nodata, EPSG:32632, 600 × 600 pixels of 10 m; cropped: ")
    assert red.endswith("reflectance × 10000 (of which a build takes 1000 off), 100 % valid")
    (scl,) = [line for line in found.found if line.startswith("SCL: ")]
    assert "4 clear" in scl
    assert str(found).endswith("nothing is wrong with what was looked at")
    # Least and greatest by the rule that made the world, of the patch in the middle.
    size, west, north = (float(v) for v in told.split("patch: ")[1].split("\n")[0].replace(",", "").split()
                         if v.replace(".", "").isdigit())  # fmt: skip
    row, col, n = (int(v) // 10 for v in (tiny.Y0 - north, west - tiny.X0, size))
    dn = tiny.dn("B04", 10, 1000)[row : row + n, col : col + n]
    assert f"cropped: {dn.min()} to {dn.max()} reflectance" in red


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("dem", "res_m = 30", "res_m = 90", "height: pixels of 30.89 m, the source says 90 m: say res_m = 30.89"),
        ("dem", 'dtype = "float32"', 'dtype = "int16"', "pixels are float32, expected int16"),
        ("s2l2a", "clear = [2, 4, 5, 6]", "clear = [2, 5, 6]", "mask codes [4] are in none of clear, doubtful"),
        ("s2l2a", "collection = \"sentinel-2-l2a\"", "collection = \"sentinel-2\"", "has no item of sentinel-2: mend"),
        ("s2l2a", 'baseline = "s2:processing_baseline"', 'baseline = "s2:baseline"', "the item states no processing"),
        ("dem", 'assets = { height = "data" }', 'assets = { height = "dat" }', "no asset 'dat' for band height"),
        ("worldcover", "code = 10,", "code = 11,", "class codes [10]: not in the legend"),
        ("dem", "nodata = -32768", "nodata = 123", "no pixel in the middle of the item is valid, all are nodata (123)"),
        ("dem", "[catalogs.planetary-computer]", "[catalogs.x]", "the source states no form of it; it has: cdse"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_source_is_named(world: World, tmp_path, capsys, name, old, new, expected):
    file = own(tmp_path, name, old, new)
    if name == "s2l2a" and "clear" in old:  # the legend has as many codes
        file.write_text(file.read_text().replace('    { code = 4, name = "vegetation", colour = "#00a000" },\n', ""))
    assert main.main(["source", "check", str(file), "--catalog", str(world.catalog)]) == 1
    said = capsys.readouterr()
    assert [line for line in said.out.splitlines() if line.startswith("WRONG ") and expected in line], said.out
    assert said.err == ""


def of_items(world: World, folder: Path, **changes: Any) -> Path:
    """The tiny world's DEM alone, its item changed: `properties__…` and `assets__data__…` reach into it."""
    item = next(i for i in json.loads(world.catalog.read_text())["features"] if i["collection"] == "cop-dem-glo-30")
    (folder / "dem").mkdir(parents=True)
    shutil.copy(world.folder / "dem/height.tif", folder / "dem/height.tif")
    for key, value in changes.items():
        *path, last = key.split("__")
        table = item
        for part in path:
            table = table[part]
        table[last.replace("_", ":")] = value
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    return folder / "items.json"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"assets__data__proj_transform": [1 / 3600, 0, 0, 0, -1 / 3600, 50]}, "its item states proj:transform [0.00027"),
        ({"properties__proj_shape": [3600, 3600]}, "its item states proj:shape [3600, 3600], the file has ["),
        ({"properties__proj_epsg": 32632}, "its item states EPSG:32632, the file EPSG:4326"),
        ({"assets__data__raster_bands": [{"nodata": -9999}]}, "its item states nodata -9999, which neither the"),
    ],
)  # fmt: skip
def test_where_an_item_and_its_file_differ_is_told(world: World, tmp_path, changes, expected):
    found = checked("dem", of_items(world, tmp_path, **changes))
    assert [w for w in found.wrong if w.startswith("height: ") and expected in w], found.wrong


def test_an_item_that_agrees_with_its_file_is_not_told(world: World, tmp_path):
    with rasterio.open(world.folder / "dem/height.tif") as file:
        own_transform, shape = list(file.transform), [file.height, file.width]
    same = {
        "assets__data__proj_transform": own_transform,
        "properties__proj_shape": shape,
        "properties__proj_epsg": 4326,
    }
    assert checked("dem", of_items(world, tmp_path, **same)).wrong == ()


QA = """
name = "qa"
title = "Reflectance and a mask of bits"
kind = "optical"
pick = "clearest"
licence = "l"
[[arrays]]
res_m = 30
bands = ["red"]
dtype = "int16"
nodata = -32768
unit = "reflectance × 10000"
scale = 0.275
offset = -2000
file_nodata = [0]
[[arrays]]
res_m = 30
bands = ["qa"]
role = "mask"
suffix = "qa"
dtype = "uint8"
nodata = 0
unit = "set"
up = "nearest"
down = "mode"
[arrays.bits]
invalid = [0]
cloudy = [3]
[catalogs.folder]
file = { pattern = '(?P<time>\\d{8})_(?P<band>\\w+)\\.tif' }
"""


def raster(path: Path, pixels: np.ndarray, res_m: float = 30, crs: str = "EPSG:32632", **how: Any) -> None:
    geotiff.write(path, pixels, west=WEST, north=NORTH, res_m=res_m, crs=crs, **how)


def numbers(side: int = 100) -> np.ndarray:
    row, col = np.mgrid[:side, :side]
    return (8000 + 10 * row + col).astype("uint16")


def test_numbers_are_read_as_the_source_says_and_bits_are_told_by_their_sets(tmp_path):
    (tmp_path / "qa.toml").write_text(QA)
    (tmp_path / "files").mkdir()
    raster(tmp_path / "files/20210710_red.tif", numbers())
    mask = np.full((100, 100), 64, "uint16")
    mask[50:] = 8 + 64
    raster(tmp_path / "files/20210710_qa.tif", mask)
    found = checked(tmp_path / "qa.toml", tmp_path / "files")
    assert found.wrong == ()
    red, qa = (next(line for line in found.found if line.startswith(f"{band}: uint16")) for band in ("red", "qa"))
    assert ", × 0.275 -2000, file_nodata 0; cropped: " in red
    low, high = (float(v) for v in red.split("cropped: ")[1].split(" reflectance")[0].split(" to "))
    assert 0.275 * numbers().min() - 2000 <= low < high <= 0.275 * numbers().max() - 2000
    assert "1 clear " in qa
    assert "4 cloudy " in qa


def test_a_scale_that_the_item_states_otherwise_is_told(tmp_path):
    (tmp_path / "qa.toml").write_text(QA)
    (tmp_path / "files").mkdir()
    for band in ("red", "qa"):
        raster(
            tmp_path / f"files/20210710_{band}.tif", numbers() if band == "red" else np.full((100, 100), 64, "uint16")
        )
    spec = sourcefiles.read(tmp_path / "qa.toml")
    assert spec.values("red").scale == 0.275
    footprint = {"type": "Polygon", "coordinates": [[[6.8, 54.44], [6.83, 54.44], [6.83, 54.45], [6.8, 54.44]]]}
    bands = [{"scale": 0.0000275, "offset": -0.2}]

    def items(offset: float) -> Path:
        bands[0]["offset"] = offset
        assets = {b: {"href": f"files/20210710_{b}.tif"} for b in ("red", "qa")}
        assets["red"] |= {"raster:bands": bands}
        item = {"id": "a", "collection": "c", "properties": {"datetime": "2021-07-10"}, "assets": assets}
        (tmp_path / "i.json").write_text(json.dumps({"features": [item | {"geometry": footprint}]}))
        return tmp_path / "i.json"

    (tmp_path / "qa.toml").write_text(QA + '[catalogs."*"]\ncollection = "c"\n')
    assert not [
        w for w in checked(tmp_path / "qa.toml", items(-0.2)).wrong if "scale" in w
    ]  # the same, in another unit
    assert "red: its item states scale 2.75e-05 and offset -0.1, the source 0.275 and -2000" in str(
        checked(tmp_path / "qa.toml", items(-0.1))
    )


def test_a_crs_without_a_code_is_read(tmp_path):
    """MODIS' sinusoidal grid, which EPSG does not have."""
    (tmp_path / "qa.toml").write_text(QA.replace("res_m = 30", "res_m = 500"))
    (tmp_path / "files").mkdir()
    crs = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
    for band, pixels in (("red", numbers(120)), ("qa", np.full((120, 120), 64, "uint16"))):
        raster(tmp_path / f"files/20210710_{band}.tif", pixels, 463.3127, crs)
    found = checked(tmp_path / "qa.toml", tmp_path / "files")
    assert found.wrong == ()
    assert "red: uint16, no nodata, a CRS without an EPSG code (sinu), 120 × 120 pixels of 463.3 m" in str(found)
    assert "warped" in str(found)


STRANGER = r"""
name = "trees"
title = "TreeSatAI, as another benchmark has it"
kind = "optical"
pick = "mosaic"
licence = "CC BY 4.0"
[[arrays]]
res_m = 10
bands = ["B02", "B03"]
dtype = "uint16"
nodata = 0
unit = "number"
[[arrays]]
res_m = 10
bands = ["vv"]
suffix = "s1"
dtype = "uint16"
nodata = 0
unit = "dB"
[[arrays]]
res_m = 0.2
bands = ["red", "nir"]
dtype = "uint8"
nodata = 0
unit = "number"
[catalogs.folder]
file = { pattern = '(?P<id>sample_\d+)_(?P<band>aerial|s1|s2)\.tif' }
assets = { B02 = "s2", B03 = "s2", vv = "s1", red = "aerial", nir = "aerial" }
asset_bands = { B02 = 2, B03 = 3, vv = 2, red = 1, nir = 4 }
"""


@pytest.mark.slow
def test_a_strangers_folder_whose_transforms_lie_is_told(shared, tmp_path, capsys):
    (tmp_path / "trees.toml").write_text(STRANGER)
    folder = shared / "data/geobench2-treesatai"
    assert main.main(["source", "check", str(tmp_path / "trees.toml"), "--catalog", str(folder)]) == 1
    said = capsys.readouterr().out
    # 6 × 6 pixels of 10 m were enlarged to 304 × 304, and the transform left as it was.
    enlarged = [
        line for line in said.splitlines() if "was enlarged: of its 304 × 304 pixels each 50.8 along a side" in line
    ]
    assert [line.split(": ")[0] for line in enlarged] == ["WRONG B02", "WRONG B03", "WRONG vv"]
    assert "WRONG files of one item cover other ground: red 61 m from north to south, " in said
    assert "3,040 m from north to south" in said
    assert "WRONG vv: numbers up to 65531 of uint16 look like negative ones that lost their sign (" in said
    assert "item: sample_1632, no time, around 9.7643, 51.9003 (lon, lat)" in said
    # The aerial image lies where it says; its near infrared is called transparency, and is none.
    assert "WRONG red" not in said
    called = "band 4 called transparency, and read as data, as asset_bands says"
    assert f"red: uint8, {called}, EPSG:25832, 304 × 304 pixels of 0.2 m" in said
    assert "WRONG nir" not in said


AERIAL = r"""
name = "flight"
title = "Aerial images of one's own"
kind = "optical"
pick = "mosaic"
licence = "one's own"
[bands]
red = "aerial.red"
nir = "aerial.nir"
[[arrays]]
res_m = 1
bands = ["red", "nir"]
dtype = "int16"
nodata = -1
unit = "digital number"
[catalogs.folder]
file = { pattern = '(?P<id>flight)\.tif' }
asset_bands = { red = 1, nir = 4 }
"""


def flight(folder: Path) -> Path:
    """A file of four bands of 8 bits as rasterio writes it by itself: red, green, blue, and what GDAL then calls alpha."""
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(1, 200, (4, 512, 512)).astype("uint8")
    pixels[3, :, ::4] = 0  # water, which near infrared does not come back from
    profile = {"driver": "GTiff", "width": 512, "height": 512, "count": 4, "dtype": "uint8", "crs": "EPSG:32632"}
    place = rasterio.Affine(1, 0, WEST, 0, -1, NORTH)
    with rasterio.open(folder / "flight.tif", "w", transform=place, **profile) as file:
        assert file.colorinterp[3] is ColorInterp.alpha
        file.write(pixels)
    with rasterio.open(folder / "flight.tif") as file:
        assert (file.read_masks(1) == 0).mean() == 0.25  # which to GDAL is no red either
    return folder


def test_near_infrared_that_a_file_calls_alpha_is_data_where_the_source_has_it(tmp_path):
    folder = flight(tmp_path / "flights")
    (tmp_path / "flight.toml").write_text(AERIAL)
    found = checked(tmp_path / "flight.toml", folder)
    assert found.wrong == ()
    red, nir = (next(line for line in found.found if line.startswith(f"{band}: ")) for band in ("red", "nir"))
    assert red.startswith("red: uint8, band 4 called transparency, and read as data, as asset_bands says, EPSG:32632")
    assert "; cropped: 1 to 199 digital number, 100 % valid" in red
    assert "; cropped: 0 to 199 digital number, 100 % valid" in nir


def test_an_alpha_that_no_band_of_the_source_is_hides_what_lies_beneath(tmp_path):
    folder = flight(tmp_path / "flights")
    three = AERIAL.replace(', "nir"]', "]").replace('nir = "aerial.nir"\n', "").replace(", nir = 4", "")
    (tmp_path / "flight.toml").write_text(three)
    found = checked(tmp_path / "flight.toml", folder)
    (red,) = [line for line in found.found if line.startswith("red: ")]
    assert "red: uint8, transparency in band 4, EPSG:32632" in red
    assert "; cropped: 1 to 199 digital number, 75 % valid" in red


def test_an_api_is_asked_for_a_page_of_items(world: World, tmp_path):
    every = json.loads(world.from_afar(tmp_path / "w").catalog.read_text())["features"]
    served = Served([i for i in every if i["collection"] == "cop-dem-glo-30"])
    with serving(served.answer) as url:
        found = checked("dem", url)
    assert "item: dem, 2021-01-01T00:00:00Z" in str(found)
    (asked,) = served.searches
    assert (asked["collections"], "bbox" in asked, "datetime" in asked) == (["cop-dem-glo-30"], False, False)
    assert "leads to this machine's own disk" in found.wrong[0]  # as in a build: what an API says opens no file here


@pytest.mark.parametrize(("cloud_pct", "says"), [(None, True), (None, False), (3.0, True)])
def test_items_of_an_api_that_state_no_cloud_cover_are_told_where_it_is_asked_for(
    world: World, tmp_path, cloud_pct, says
):
    (one, *_) = [i for i in world.items if i["collection"] == "sentinel-2-l2a"]
    one = one | {"properties": one["properties"] | {"eo:cloud_cover": cloud_pct}}
    key = 'collection = "sentinel-2-l2a"'
    file = own(tmp_path / "sources", "s2l2a", key, key if says else f"{key}\ncloud_cover = false")
    with serving(Served([one]).answer) as url:
        wrong = "\n".join(checked(file, url).wrong)
    assert ("states no eo:cloud_cover" in wrong) == (says and cloud_pct is None)
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [one]}))
    assert "states no eo:cloud_cover" not in "\n".join(
        checked(file, tmp_path / "items.json").wrong
    )  # a file is not asked


def test_a_file_or_a_catalog_that_is_none_is_bad_usage(world: World, tmp_path, capsys):
    for words, expected in (
        (["check", "s2l2"], "source 's2l2': no such source; did you mean s2l2a? known: dem, "),
        (["check", str(tmp_path / "x.toml")], "x.toml: no such file"),
        (["check", "dynamicworld"], "names no public catalog in [catalogs]: say which one is asked"),
        (["check", "dem", "--catalog", str(tmp_path)], "nor a folder with .parquet files or GeoTIFFs"),
    ):
        assert main.main(["source", *words]) == 2
        assert expected in capsys.readouterr().err
    with pytest.raises(ConfigError):
        curation.check_source("s2l2")


def test_from_python_what_is_wrong_is_raised_with_what_was_found(world: World, tmp_path):
    with pytest.raises(CurationError, match=r"1 fault: height: pixels of 30\.89 m") as err:
        curation.check_source(own(tmp_path, "dem", "res_m = 30", "res_m = 90"), str(world.catalog))
    assert isinstance(err.value.result, CheckResult)
    assert err.value.result.found[0].startswith("dem: Copernicus DEM GLO-30, by ")
