"""Sizes in pixels that 20, 30 and 60 m do not divide: each band is an exact crop of its file, all the way to a batch."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.windows
import torch
import xarray as xr
from pyproj import Transformer

import curation
from curation.stream.open import open_shards
from curation.stream.resample import upsample
from tests import world as tiny

PX = 49
"""At 10 m: 490 m are 24.5 pixels of 20 m, 16.3 of 30 m and 8.2 of 60 m."""
SIDES = {"s2l2a_10m": 49, "s2l2a_20m": 25, "s2l2a_scl_20m": 25, "s2l2a_60m": 9, "s1rtc_10m": 49}
RES_M = {name: float(name.rpartition("_")[2].removesuffix("m")) for name in SIDES}
POINTS = [(1, 1), (3, 2)]


@pytest.fixture(scope="module")
def folder(world: tiny.World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two points of a file of longitudes and latitudes, in summer, built and packed."""
    own = world.from_afar(tmp_path_factory.mktemp("sizes") / "world")
    to_lonlat = Transformer.from_crs(tiny.EPSG, 4326, always_xy=True)
    points = [to_lonlat.transform(x + 233, y - 251) for x, y in (tiny.corner(*at) for at in POINTS)]
    (own.folder / "places.csv").write_text("lon,lat\n" + "".join(f"{lon!r},{lat!r}\n" for lon, lat in points))
    own.recipe.write_text(own.recipe.read_text().replace("size_m = 480", f"size_px = {PX}\nres_m = 10"))
    made = curation.load(own.recipe, own.folder / "root", catalog=str(own.catalog), scheduler="none")
    made.build(season="summer")
    own.recipe.write_text(own.recipe.read_text().replace("[pack]", '[pack]\ncomplete = "any"'))
    again = curation.load(own.recipe, own.folder / "root", catalog=str(own.catalog), scheduler="none")
    again.pack()
    assert again.verify().ok
    return own.folder / "root" / "tiny"


def test_every_band_is_what_gdal_reads_at_its_coordinates(folder: Path, world: tiny.World):
    cube = xr.open_zarr(folder / "cubes" / "europe" / "summer.zarr")
    assert len(cube.patch) == len(POINTS)
    assert set(cube.status.values.tolist()) == {1}
    assert set(cube.s2l2a_warped.values.tolist()) == set(cube.s1rtc_warped.values.tolist()) == {0}
    for patch in range(len(POINTS)):
        place = cube.isel(patch=patch)
        x0, y0 = float(place.x0_m), float(place.y0_m)
        assert (x0 % 60, y0 % 60) == (0, 0)
        for name, side in SIDES.items():
            source = "s2" if name.startswith("s2") else "s1"
            scene = str(place[f"{name.partition('_')[0]}_scenes"].values)
            reach = side * RES_M[name]
            for n, band in enumerate(place[f"{name}_band"].values):
                path = world.folder / source / scene / f"{str(band).lower() if source == 's1' else band}.tif"
                with rasterio.open(path) as file:
                    window = rasterio.windows.from_bounds(x0, y0 - reach, x0 + reach, y0, file.transform)
                    assert (window.width, window.height) == (side, side)
                    expected = file.read(1, window=window)
                offset = int(place.s2l2a_offset_dn) if source == "s2" and "scl" not in name else 0
                np.testing.assert_array_equal(place[name].values[n], expected - offset)


def test_coordinates_and_transforms_are_those_of_the_pixels(folder: Path):
    cube = curation.open_cube(folder, "europe")
    for name in cube.location.values.tolist():
        placed = curation.at(cube, name)
        patch = curation.open_patch(folder, f"europe/summer/{name}")
        for array, side in SIDES.items():
            box = placed[array].sel(season="summer").odc.geobox
            assert box == patch[array].odc.geobox
            assert box.shape == (side, side)
            step = RES_M[array]
            assert tuple(box.affine)[:6] == (step, 0, float(placed.x0_m), 0, -step, float(placed.y0_m))
            assert patch[array].rio.transform() == box.affine
            np.testing.assert_array_equal(patch[array].values, placed[array].sel(season="summer").values)
        heights = curation.open_patch(folder, f"europe/static/{name}")["dem_30m"]
        assert heights.shape == (1, 17, 17)
        assert (heights.values == 123).all()


def test_a_batch_has_them_whole_and_on_one_grid_where_asked(folder: Path):
    fields = [*SIDES, "dem_30m"]
    whole = next(iter(open_shards(folder, batch_size=2, fields=fields, seasons=["summer"])))
    assert {n: whole[n].shape[-1] for n in fields} == SIDES | {"dem_30m": 17}
    for crop_px in (None, 40):
        fine = next(
            iter(
                open_shards(
                    folder, batch_size=2, fields=fields, seasons=["summer"], upsample="nearest", crop_px=crop_px
                )
            )
        )
        for name in fields:
            factor = round(RES_M.get(name, 30.0) / 10)
            expected = upsample(whole[name], factor, "nearest")
            for i in range(2):
                y, x = fine["crop_yx"][i].tolist() if crop_px else (0, 0)
                side = crop_px or PX
                assert torch.equal(fine[name][i], expected[i][..., y : y + side, x : x + side])
