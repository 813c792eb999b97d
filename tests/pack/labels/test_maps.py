"""A folder of exported maps gives the fractions of a build from a catalog of them; a map that may lie about water none."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

from tests.pack.labels.files import labels, metas
from tests.run import Curate

NAME = "20210710T103000_20210710T103407_T32ULC"


def exported(built: Curate, folder: Path, *, nodata: float | None = 255, masked: int = 255, mask: bool = False) -> Path:
    """The tiny world's map as Earth Engine would export it: two files of one image, with what is masked written so."""
    with rasterio.open(built.world.folder / "dw" / "label.tif") as file:
        codes, profile = file.read(1), file.profile
    half = codes.shape[1] // 2
    folder.mkdir(parents=True)
    for number, part in enumerate((codes[:, :half], codes[:, half:])):
        shift = rasterio.Affine.translation(10 * half * number, 0)
        made = profile | {"width": part.shape[1], "transform": shift * profile["transform"], "nodata": nodata}
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(folder / f"{NAME}-{number}.tif", "w", **made) as file,
        ):
            file.write(np.where(part == 255, masked, part).astype("uint8"), 1)
            if mask:
                file.write_mask(part != 255)
    return folder


@pytest.mark.parametrize("how", [{}, {"nodata": None, "masked": 0, "mask": True}])
@pytest.mark.slow
def test_a_folder_of_maps_gives_the_labels_of_a_catalog_of_them(built: Curate, mine: Curate, tmp_path: Path, how: dict):
    folder = exported(built, tmp_path / "maps", **how)
    assert labels(mine, "import", str(folder)) == 0
    assert mine("pack") == 0
    expected = {k: {s: e["labels"] for s, e in m["seasons"].items()} for k, m in metas(built.folder / "shards").items()}
    found = {k: {s: e["labels"] for s, e in m["seasons"].items()} for k, m in metas(mine.folder / "shards").items()}
    assert found == expected
    assert any(e["summer"]["fractions"] for e in found.values())
    said = json.loads((mine.folder / "shards" / "index.json").read_text())["counts"]["labels"]["patches"]
    assert said["summer"] == {"stated": 0, "measured": 6, "unknown": 1}
    assert mine("verify") == 0


@pytest.mark.parametrize(
    "how", [{"nodata": None, "masked": 0}, {"nodata": None, "masked": 255}, {"nodata": 0, "masked": 0}]
)
def test_a_map_whose_masked_pixels_may_be_water_is_refused(built, mine, tmp_path, capsys, how):
    before = sorted(p.name for p in mine.folder.iterdir())
    assert labels(mine, "import", str(exported(built, tmp_path / "maps", **how))) == 2
    said = capsys.readouterr().err
    assert "unmasked_map" in said
    assert "unmask(255, false)" in said
    assert "water" in said
    assert sorted(p.name for p in mine.folder.iterdir()) == before


def test_two_maps_of_one_image_that_contradict_one_another_are_refused(built, mine, tmp_path, capsys):
    folder = exported(built, tmp_path / "maps")
    for number in (0, 1):
        shutil.copy(folder / f"{NAME}-{number}.tif", folder / f"{NAME}-{number}-again.tif")
    assert labels(mine, "import", str(folder)) == 0  # the same twice says nothing else
    with rasterio.open(folder / f"{NAME}-0-again.tif", "r+") as file:
        codes = file.read(1)
        file.write(np.where(codes == 255, 255, 8 - codes).astype("uint8"), 1)
    assert labels(mine, "import", str(folder)) == 2
    assert "pixels are of another class in" in capsys.readouterr().err


def test_a_file_that_names_no_image_and_a_folder_without_maps_are_refused(built, mine, tmp_path, capsys):
    folder = exported(built, tmp_path / "maps")
    (folder / f"{NAME}-1.tif").rename(folder / "label.tif")
    assert labels(mine, "import", str(folder)) == 2
    assert "label.tif: no id of a Sentinel-2 image" in capsys.readouterr().err
    assert labels(mine, "import", str(tmp_path / "root")) == 2
    assert "a folder without GeoTIFFs" in capsys.readouterr().err


@pytest.mark.slow
def test_a_build_refuses_such_a_map_of_a_catalog_too(built: Curate, tmp_path: Path, capsys):
    afar = built.world.from_afar(tmp_path / "afar")
    folder = exported(built, tmp_path / "maps", nodata=None, masked=0)
    items = json.loads(afar.catalog.read_text())
    for item in items["features"]:
        if item["collection"] == "dynamicworld":
            item["assets"]["label"]["href"] = str(folder / f"{NAME}-0.tif")
    afar.catalog.write_text(json.dumps(items))
    afar.recipe.write_text(afar.recipe.read_text().replace('local = ["', f'local = ["{folder}", "'))
    curate = Curate(afar, tmp_path / "root")
    assert curate("build", "--season", "summer") == 1
    assert "unmask(255, false)" in capsys.readouterr().out
    ledger = "".join(p.read_text() for p in (curate.folder / "ledger").rglob("*.jsonl"))
    assert '"unmasked_map"' in ledger
