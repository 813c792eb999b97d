"""Landsat without any other source, as the README has it: looked at, and built on the embedded Earth."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from curation.cli import main
from curation.recipe.files import folder as shipped
from tests.once import one_at_a_time

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
]  # what is rendered takes some seconds, beside other tests more


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one of the README, with one place."""
    text = (shipped("stac_queries") / "README.md").read_text()
    (example,) = re.findall(r"```toml\n(name = \"fields-30m\".*?)```", text, re.DOTALL)
    mine = tmp_path_factory.mktemp("alone") / "fields-30m"
    mine.mkdir()
    (mine / "recipe.toml").write_text(example)
    (mine / "places.csv").write_text("id,lon,lat\nfield,6.1,51.3\n")
    return mine


@pytest.mark.parametrize("source", ["landsat-c2-l2", "naip"])
def test_nothing_is_wrong_with_what_a_source_says(source: str, rendering: Path, capsys: pytest.CaptureFixture[str]):
    with one_at_a_time(rendering):
        code = main.main(["source", "check", source, "--catalog", "embedded"])
    said = capsys.readouterr().out
    assert code == 0, said
    assert "nothing is wrong with what was looked at" in said
    if source == "landsat-c2-l2":
        assert "red: uint16, nodata 0, EPSG:32632" in said
        assert "qa_pixel: uint16, nodata 1" in said


def test_a_recipe_of_landsat_alone_is_built(recipe: Path, rendering: Path, tmp_path: Path):
    where = ["--dataset", str(recipe), "--root", str(tmp_path), "--catalog", "embedded", "--scheduler", "none"]
    with one_at_a_time(rendering):
        assert main.main(["build", *where]) == 0
    cube = xr.open_zarr(tmp_path / "fields-30m/cubes/world/june.zarr").isel(patch=0)
    assert str(cube.reason.values) == "ok"
    assert str(cube["landsat-c2-l2_platform"].values) == "landsat-8"
    assert str(cube["landsat-c2-l2_scenes"].values) == "LC08_L2SP_197024_20210616_02_T1"
    red, nir = cube["landsat-c2-l2_30m"].values[[3, 4]].astype(float)
    assert red.shape == (64, 64)
    assert 0 < np.median(red) < np.median(nir) < 10_000  # reflectance × 10000 of fields in June
