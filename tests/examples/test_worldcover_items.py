"""WorldCover of both years from AWS's own files: their names, real maps behind a server, and a build of both."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.warp
import xarray as xr

from curation.cli import main
from curation.examples import worldcover_items
from tests.archive import Archive
from tests.loopback import serving

RECIPE = """
name = "cover"
title = "A place with both years"
seed = 7
[grid]
size_m = 1200
[places]
sampler = "file"
file = "places.csv"
regions = ["africa"]
[seasons]
summer = { start = 2021-06-01, end = 2021-09-01 }
[sources]
worldcover = { required = true }
worldcover2020 = { required = true }
[split]
val_fraction = 0.0
"""
X0, Y0, EPSG = 229_500, 27_600, 32632
"""A north-west corner on São Tomé."""


def grid(shared: Path) -> dict[str, object]:
    """The tile of the recorded maps, as the grid file has it: with the outline of the land that is mapped."""
    folder = shared / "data/stactools-esa-worldcover/examples/ESA_WorldCover_10m_2021_v200_N00E006"
    (path,) = folder.glob("*.json")
    item = json.loads(path.read_text())
    return {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "properties": {"ll_tile": "N00E006"}, "geometry": item["geometry"]}],
    }


def test_names_of_files_and_corners_follow_from_the_grid():
    features = [{"properties": {"ll_tile": name}} for name in ("N00E006", "S03W180", "N00E006")]
    made = worldcover_items.items({"features": features})["features"]
    assert [(i["id"], i["bbox"]) for i in made] == [
        ("ESA_WorldCover_10m_2020_v100_N00E006", [6, 0, 9, 3]),
        ("ESA_WorldCover_10m_2021_v200_N00E006", [6, 0, 9, 3]),
        ("ESA_WorldCover_10m_2020_v100_S03W180", [-180, -3, -177, 0]),
        ("ESA_WorldCover_10m_2021_v200_S03W180", [-180, -3, -177, 0]),
    ]
    bucket = "https://esa-worldcover.s3.eu-central-1.amazonaws.com"
    assert made[1]["assets"]["map"]["href"] == f"{bucket}/v200/2021/map/ESA_WorldCover_10m_2021_v200_N00E006_Map.tif"


@pytest.mark.parametrize("text", ["{}", "[", '{"features": [{"properties": {"tile": "N00E006"}}]}'])
def test_what_is_no_grid_is_told(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "grid.geojson").write_text(text)
    assert worldcover_items.main([str(tmp_path / "grid.geojson"), str(tmp_path / "items.json")]) == 2
    assert "cannot be read as a grid of tiles" in capsys.readouterr().err
    assert not (tmp_path / "items.json").exists()


def test_both_years_are_built_from_real_maps_as_aws_has_them(shared: Path, tmp_path: Path):
    folder = shared / "data/stactools-esa-worldcover"
    maps = {p.name: p for p in folder.glob("*/*_Map.tif")}
    assert len(maps) == 2
    (tmp_path / "grid.geojson").write_text(json.dumps(grid(shared)))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    (tmp_path / "places.csv").write_text(f"x0_m,y0_m,epsg\n{X0},{Y0},{EPSG}\n")
    archive = Archive({name: path.read_bytes() for name, path in maps.items()})
    catalog = tmp_path / "worldcover.json"
    with serving(archive.answer) as url:
        assert worldcover_items.main([str(tmp_path / "grid.geojson"), str(catalog), "--base", url]) == 0
        flags = ["--dataset", str(tmp_path / "recipe.toml"), "--root", str(tmp_path / "root"), "--scheduler", "none"]
        assert main.main(["build", *flags, "--catalog", str(catalog)]) == 0
    cube = xr.open_zarr(tmp_path / "root/cover/cubes/africa/static.zarr").load()
    assert cube.reason.values.tolist() == ["ok"]
    seen = {}
    for source, version in (("worldcover", "2021_v200"), ("worldcover2020", "2020_v100")):
        path = maps[f"ESA_WorldCover_10m_{version}_N00E006_Map.tif"]
        want = np.zeros((120, 120), "u1")
        with rasterio.open(path) as file:
            at = rasterio.Affine(10, 0, X0, 0, -10, Y0)
            band = rasterio.band(file, 1)
            rasterio.warp.reproject(band, want, dst_transform=at, dst_crs=f"EPSG:{EPSG}", resampling=0)
        got = cube[f"{source}_10m"].values[0, 0]
        assert (got == want).mean() > 0.999  # GDAL approximates its way through the projection
        seen[source] = got
        assert cube[f"{source}_scenes"].values.tolist() == [path.name.removesuffix("_Map.tif")]
    assert len(np.unique(seen["worldcover"])) >= 3
    assert 0.5 < (seen["worldcover"] == seen["worldcover2020"]).mean() < 1  # made by another algorithm
