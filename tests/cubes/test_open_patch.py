"""A patch with its georeference: rasterio reads back from its GeoTIFF what the cube holds, where it holds it."""

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr

from curation.cubes import open_patch as module
from curation.cubes.open_patch import StoredCube, ledger_of, open_patch, write_tifs
from curation.errors import ConfigError, DamageError
from curation.outcomes import Status
from curation.store import paths
from curation.store.ledger import Ledger
from tests import world as tiny
from tests.run import Curate

PATCH = f"europe/summer/{tiny.name(1, 1)}"


def test_each_array_written_by_rioxarray_lies_for_gdal_where_its_grid_is(built: Curate, tmp_path: Path):
    found = open_patch(built.folder, PATCH)
    cube = xr.open_zarr(built.folder / "cubes/europe/summer.zarr").set_xindex("id").sel(id=tiny.name(1, 1))
    assert {"s2l2a_10m", "s1rtc_10m"} <= set(found)
    west, north = tiny.corner(1, 1)
    for name, array in found.items():
        array.rio.to_raster(tmp_path / "x.tif")
        with rasterio.open(tmp_path / "x.tif") as tif:
            assert tif.crs == rasterio.crs.CRS.from_epsg(int(cube.epsg))
            step = tiny.SIZE_M / tif.width
            assert tif.transform == rasterio.Affine(step, 0, west, 0, -step, north)
            written = [float(v) for v in array.spatial_ref.attrs["GeoTransform"].split()]
            assert written == list(tif.transform.to_gdal())  # as it is written, and as its coordinates say
            assert tif.bounds == (west, north - tiny.SIZE_M, west + tiny.SIZE_M, north)
            assert tif.descriptions == tuple(cube[f"{name}_band"].values)
            assert np.array_equal(tif.nodata, cube[name].attrs["nodata"], equal_nan=True)
            assert tif.dtypes[0] == cube[name].dtype
            assert np.array_equal(tif.read(), cube[name].values)
            x, y = tif.xy(0, tif.width - 1)  # of the last pixel of the first row
            assert (float(array.x[-1]), float(array.y[0])) == (x, y)


def test_pixels_are_those_of_the_scene_at_the_place(built: Curate):
    array = open_patch(built.folder, PATCH, ["s2l2a_10m"])["s2l2a_10m"]
    assert array.dims == ("band", "y", "x")
    assert np.array_equal(array.sel(band="B02"), tiny.crop(tiny.dn("B02", 10), 10, 1, 1))
    x, y = float(array.x[5]), float(array.y[7])
    assert int(array.sel(band="B02", x=x, y=y)) == int(array.values[list(array.band).index("B02"), 7, 5])


def test_bands_say_what_they_are_in_the_patch_and_in_the_cube(built: Curate):
    patch = open_patch(built.folder, f"europe/summer/{tiny.name(0, 0)}")
    s2, s1 = patch["s2l2a_10m"], patch["s1rtc_10m"]
    assert s2.canonical.values.tolist() == ["s2.b02", "s2.b03", "s2.b04", "s2.b08"]
    assert s2.sel(band="B04").centre_nm == 664.6
    assert s2.swap_dims(band="canonical").sel(canonical="s2.b08").width_nm == 106
    assert s1.centre_mhz.values.tolist() == [5405, 5405]
    with xr.open_zarr(built.folder / "cubes/europe/summer.zarr") as cube:
        told = cube["s2l2a_10m_band"].attrs
        assert told["canonical"] == s2.canonical.values.tolist()
        assert told["centre_nm"] == s2.centre_nm.values.tolist()
        assert cube["s1rtc_10m_band"].attrs["width_mhz"] == [100, 100]


def test_static_patches_open_too(built: Curate):
    found = open_patch(str(built.folder), f"europe/static/{tiny.name(1, 1)}")
    assert all(a.rio.crs.to_epsg() == 32632 for a in found.values())


def test_what_is_asked_for_and_not_there_is_told(built: Curate, tmp_path: Path):
    outcomes = Ledger.replay(built.store, "europe", "summer").outcomes()
    rejected = next(o for o in outcomes if o.status is Status.REJECTED and not o.chunks)
    for patch, arrays, match in (
        ("europe/summer", None, "expected REGION/SEASON/ID"),
        ("europe/spring/x", None, "no cube europe/spring; known: .*europe/summer"),
        ("europe/summer/x", None, "has nothing of it"),
        (f"europe/summer/{rejected.id}", None, "has no pixels: it is rejected"),
        (PATCH, ["s2"], "no array s2; it has .*s2l2a_10m"),
    ):
        with pytest.raises(ConfigError, match=match):
            open_patch(built.folder, patch, arrays)
    with pytest.raises(ConfigError, match="known: none"):
        open_patch(tmp_path, PATCH)


def test_a_chunk_that_is_not_what_was_recorded_is_refused(built: Curate, tmp_path: Path):
    copy = built.copy(tmp_path / "copy")
    files = [f for f in (copy.folder / "cubes/europe/summer.zarr/s2l2a_10m/c").rglob("*") if f.is_file()]
    for file in files:
        data = bytearray(file.read_bytes())
        data[:-200] = bytes(b ^ 1 for b in data[:-200])
        file.write_bytes(data)
    with pytest.raises(DamageError, match="recorded was"):
        open_patch(copy.folder, PATCH)


def test_the_command_writes_geotiffs_and_prints_where(built: Curate, tmp_path: Path, capsys):
    assert built("show", PATCH, "--tif", str(tmp_path / "tifs")) == 0
    told = capsys.readouterr().out.split()
    assert told == sorted(str(p) for p in (tmp_path / "tifs").iterdir())
    assert f"{tiny.name(1, 1)}-summer-s2l2a_10m.tif" in {Path(p).name for p in told}
    with rasterio.open(told[0]) as tif:
        assert tif.tags()["patch"] == PATCH
    before = {p: Path(p).read_bytes() for p in told}
    shutil.rmtree(tmp_path / "tifs")
    write_tifs(built.folder, PATCH, tmp_path / "tifs")
    assert {p: Path(p).read_bytes() for p in told} == before
    assert built("show", PATCH, "--tif", str(tmp_path), "--out", "x.png") == 2
    assert built("show", PATCH, "--tif", told[0]) == 2


def test_a_process_forked_while_a_ledger_is_read_reads_it_too(built: Curate):
    cube = StoredCube(built.store, paths.cube("europe", "summer"), ledger_of(built.store, "europe", "summer"))
    with module._LEDGERS:  # as another thread may hold it, which the child has not
        child = os.fork()
        if not child:
            signal.alarm(100)  # ends it where it waits for ever
            os._exit(0 if cube.record(0) is not None else 1)
    assert os.waitpid(child, 0)[1] == 0
