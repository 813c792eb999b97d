"""Files of patches: rasterio, xarray and numpy read back what the cube holds, where it holds it."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from pyproj import CRS

import curation
from tests import world as tiny
from tests.run import Curate

ID = tiny.name(1, 1)
WEST, NORTH = tiny.corner(1, 1)


@pytest.fixture(scope="module")
def exported(built: Curate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place in summer and without time, in each form."""
    folder = tmp_path_factory.mktemp("exported")
    made = curation.load(built.world.recipe, built.root, catalog=str(built.world.catalog), scheduler="none")
    for form in ("geotiff", "cog", "netcdf", "npz"):
        assert made.export(form, folder / form, season="static,summer", select=[f"id = {ID}"]).count == 2
    return folder


@pytest.fixture(scope="module")
def cubes(built: Curate) -> dict[str, xr.Dataset]:
    names = ("static", "summer")
    return {s: xr.open_zarr(built.folder / f"cubes/europe/{s}.zarr").set_xindex("id").sel(id=ID) for s in names}


def arrays(cube: xr.Dataset) -> list[str]:
    return [str(n) for n, v in cube.data_vars.items() if v.ndim == 3]


def test_there_is_a_file_per_patch_season_and_array_whose_name_tells_it(exported: Path, cubes: dict[str, xr.Dataset]):
    for form, suffix in (("geotiff", "tif"), ("cog", "tif"), ("netcdf", "nc"), ("npz", "npz")):
        found = {f.relative_to(exported / form).as_posix() for f in (exported / form).rglob(f"*.{suffix}")}
        assert found == {f"europe/{s}/{ID}-{s}-{n}.{suffix}" for s, c in cubes.items() for n in arrays(c)}


@pytest.mark.parametrize("form", ["geotiff", "cog"])
def test_a_geotiff_lies_where_its_patch_does_and_tells_what_it_is(
    exported: Path, cubes: dict[str, xr.Dataset], form: str
):
    for season, cube in cubes.items():
        for name in arrays(cube):
            with rasterio.open(exported / form / f"europe/{season}/{ID}-{season}-{name}.tif") as tif:
                step = tiny.SIZE_M / tif.width
                assert tif.crs.to_epsg() == int(cube.epsg)
                assert tif.transform == rasterio.Affine(step, 0, WEST, 0, -step, NORTH)
                assert tif.descriptions == tuple(cube[f"{name}_band"].values)
                assert np.array_equal(tif.nodata, cube[name].attrs["nodata"], equal_nan=True)
                assert tif.read().dtype == cube[name].dtype
                assert np.array_equal(tif.read(), cube[name].values)
                assert tif.tags()["patch"] == f"europe/{season}/{ID}"
                assert tif.tags()["licence"]
                if form == "cog":
                    assert tif.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    with rasterio.open(exported / form / f"europe/summer/{ID}-summer-s2l2a_10m.tif") as tif:
        blue = tif.descriptions.index("B02")
        assert np.array_equal(tif.read(blue + 1), tiny.crop(tiny.dn("B02", 10), 10, 1, 1))
        assert tif.scales == (0.0001,) * 4  # digital numbers to reflectance
        told = tif.tags()
        assert told["scenes"].startswith("S2A_MSIL2A_20210710T103000_N0500")
        assert told["time"] == "2021-07-10T10:30:00Z"
        assert float(told["clear_fraction"]) == float(cubes["summer"].s2l2a_clear_fraction)
        assert tif.tags(blue + 1)["canonical"] == "s2.b02"
        assert tif.tags(blue + 1)["centre_nm"] == "492.4"


def test_codes_have_their_names_and_colours(exported: Path):
    with rasterio.open(exported / f"geotiff/europe/summer/{ID}-summer-s2l2a_scl_20m.tif") as tif:
        assert tif.colormap(1)[4] == (0, 160, 0, 255)
        assert json.loads(tif.tags()["codes"])["4"] == "vegetation"


def test_netcdf_is_cf_for_xarray_and_opens_in_gdal(exported: Path, cubes: dict[str, xr.Dataset]):
    file = exported / f"netcdf/europe/summer/{ID}-summer-s2l2a_10m.nc"
    with xr.open_dataset(file, decode_coords="all") as found:
        for n, band in enumerate(cubes["summer"].s2l2a_10m_band.values):
            stored = cubes["summer"].s2l2a_10m.values[n]
            assert np.allclose(found[band], np.where(stored == 0, np.nan, stored / 10_000), equal_nan=True, rtol=1e-6)
        assert CRS.from_wkt(found.spatial_ref.attrs["crs_wkt"]).to_epsg() == tiny.EPSG
        assert (float(found.x[0]), float(found.y[0])) == (WEST + 5, NORTH - 5)
        assert found.attrs["scenes"].startswith("S2A_MSIL2A_20210710")
    with xr.open_dataset(file, mask_and_scale=False) as raw:
        assert raw.B02.dtype == np.uint16
        assert np.array_equal(raw.B02, tiny.crop(tiny.dn("B02", 10), 10, 1, 1))
    with rasterio.open(f"netcdf:{file}:B02") as tif:
        assert tif.crs.to_epsg() == tiny.EPSG
        assert tif.transform == rasterio.Affine(10, 0, WEST, 0, -10, NORTH)
        assert (tif.nodata, tif.scales) == (0, (0.0001,))
        assert np.array_equal(tif.read(1), tiny.crop(tiny.dn("B02", 10), 10, 1, 1))


def test_npz_holds_pixels_and_where_they_lie_without_a_pickle(exported: Path, cubes: dict[str, xr.Dataset]):
    for season, cube in cubes.items():
        for name in arrays(cube):
            with np.load(exported / f"npz/europe/{season}/{ID}-{season}-{name}.npz", allow_pickle=False) as found:
                assert np.array_equal(found["pixels"], cube[name].values)
                assert found["bands"].tolist() == cube[f"{name}_band"].values.tolist()
                step = tiny.SIZE_M / found["pixels"].shape[2]
                assert found["transform"].tolist() == [step, 0, WEST, 0, -step, NORTH]
                assert (int(found["epsg"]), float(found["x"][0])) == (tiny.EPSG, WEST + step / 2)
                assert json.loads(str(found["tags"]))["patch"] == f"europe/{season}/{ID}"
