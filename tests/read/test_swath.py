"""Swaths by range: what a part tells is what the whole does, in a fraction of the bytes; and what is wrong is said."""

from __future__ import annotations

import functools
import itertools
import json
import shutil
import threading
import time
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from affine import Affine

from curation.errors import ReadError
from curation.model import Location
from curation.read import gridding
from curation.read.gridding import Accumulator, Footprints, Gridded
from curation.read.reader import Asset, Reader
from curation.read.swath import Swaths
from curation.recipe import files
from curation.recipe.arrays import ArraySpec
from curation.recipe.sources import SourceSpec
from curation.recipe.toml import read_toml
from tests import limited, swaths
from tests.loopback import serving

SIZE, PX = 0.25, 28
CELLS = [(16.0, 78.0), (8.0, 60.0), (8.25, 50.0), (10.0, 25.0), (25.0, -31.0), (20.0, 0.0)]
BOUNDS = f"{swaths.GEOLOCATIONS}/latitude_bounds"
PRODUCTS = ["no2", "co", "so2", "o3", "ch4", "hcho", "aer-ai"]


def source(name: str) -> SourceSpec:
    return read_toml(files.folder("stac_queries") / f"{name}.toml", SourceSpec)


NO2 = source("s5p-no2")


def bounds(lon: float, lat: float, size: float = SIZE) -> tuple[float, float, float, float]:
    return lon - size / 2, lat - size / 2, lon + size / 2, lat + size / 2


def at(path: Path | str) -> dict[str, Asset]:
    return {"data": Asset(str(path), "none")}


def gridded(footprints: Footprints, lon: float, lat: float, px: int = PX, **how) -> Gridded:
    total = Accumulator(lon - SIZE / 2, lat + SIZE / 2, SIZE, px, len(footprints.values), **how)
    total.add(footprints)
    return total.result()


def whole(path: Path, variable: str = "nitrogendioxide_tropospheric_column") -> Footprints:
    """All footprints of an orbit, by h5py alone."""
    with h5py.File(path) as file:
        product, geo = file["PRODUCT"], file[swaths.GEOLOCATIONS]
        values, quality = product[variable][0].astype(float), product["qa_value"][0] * 0.01
        lon, lat = (geo[f"{k}_bounds"][0].astype(float).reshape(-1, 4) for k in ("longitude", "latitude"))
    values[values == float(swaths.FILL)] = np.nan
    return Footprints(lon, lat, values.reshape(1, -1), quality.ravel())


def same(got: Gridded, want: Gridded) -> None:
    for name in ("mean", "weight", "orbits", "footprints", "quality_mean", "quality_min", "codes"):
        np.testing.assert_allclose(getattr(got, name), getattr(want, name), rtol=1e-6, atol=1e-12, err_msg=name)


# ---- a part is what the whole is -------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [(1, 60), (16, 60), (600, 60), (7, 23), None], ids=str)
@pytest.mark.parametrize("node", [18.0, 185.0])
@pytest.mark.slow
def test_what_is_read_of_a_cell_is_all_that_reaches_it(tmp_path, chunk, node):
    path = swaths.s5p(tmp_path / "a.nc", chunk=chunk, node=node)
    every = whole(path)
    east = node - 18
    seen = 0
    with Swaths(str(tmp_path)) as reader:
        for lon, lat in [*((x + east, y) for x, y in CELLS), (node, 84.5), (node + 90, 87.0), (node + 60, 10.0)]:
            got = reader.footprints(at("a.nc"), NO2, bounds(lon, lat))
            assert len(got) < 0.05 * len(every.lon) or lat > 80
            same(gridded(got, lon, lat, min_quality=0.75), gridded(every, lon, lat, min_quality=0.75))
            seen += int(gridded(got, lon, lat).weight.sum() > 0)
    assert seen >= 6


@pytest.mark.parametrize("gaps", [[(200, 290)], [(100, 104), (300, 480)], [(0, 250)], [(331, 332), (333, 334)]])
@pytest.mark.slow
def test_scanlines_that_are_missing_hide_no_other(tmp_path, gaps):
    keep = np.ones(600, bool)
    for start, stop in gaps:
        keep[start:stop] = False
    path = swaths.s5p(tmp_path / "a.nc", keep=np.flatnonzero(keep), chunk=(4, 60))
    every = whole(path)
    with Swaths(str(tmp_path)) as reader:
        for lon, lat in CELLS:
            same(
                gridded(reader.footprints(at(path), NO2, bounds(lon, lat)), lon, lat),
                gridded(every, lon, lat),
            )


@pytest.mark.slow
def test_scanlines_without_a_place_hide_no_other(tmp_path):
    path = swaths.s5p(tmp_path / "a.nc", chunk=(1, 60))
    with h5py.File(path, "a") as file:
        for name in ("PRODUCT/latitude", f"{swaths.GEOLOCATIONS}/latitude_bounds"):
            file[name][0, 100:330] = swaths.FILL
            file[name][0, 340:350, 10:40] = swaths.FILL
    every = whole(path)
    with Swaths(str(tmp_path)) as reader:
        for lon, lat in CELLS:
            same(gridded(reader.footprints(at(path), NO2, bounds(lon, lat)), lon, lat), gridded(every, lon, lat))


def test_little_room_costs_bytes_and_nothing_else(tmp_path):
    path = swaths.s5p(tmp_path / "a.nc", chunk=(16, 60))
    with Swaths("") as rich, Swaths("", ahead_bytes=1 << 17, decoded_bytes=1 << 14) as poor:
        for lon, lat in CELLS:
            a, b = (r.footprints(at(path), NO2, bounds(lon, lat)) for r in (rich, poor))
            np.testing.assert_array_equal(a.lon, b.lon)
            np.testing.assert_array_equal(a.values, b.values)
        assert poor.counts.bytes > rich.counts.bytes


def test_a_granule_of_a_few_scanlines_and_one_of_one(tmp_path):
    for rows in (1, 5):
        path = swaths.s5p(tmp_path / f"{rows}.nc", rows=rows, span=(49.9, 50.1), chunk=(rows, 60))
        with h5py.File(path) as file:
            lon, lat = (float(file[f"PRODUCT/{k}"][0, 0, 30]) for k in ("longitude", "latitude"))
        with Swaths("") as reader:
            got = reader.footprints(at(path), NO2, bounds(lon, lat))
        assert len(got) > 0
        same(gridded(got, lon, lat), gridded(whole(path), lon, lat))


# ---- bytes -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def orbits(tmp_path_factory) -> Path:
    """Whole orbits as large as real ones, in chunks of one scanline, of 64, and of all."""
    folder = tmp_path_factory.mktemp("orbits")
    for rows in (1, 64, swaths.S5P_ROWS):
        swaths.s5p(folder / f"{rows}.nc", swaths.S5P_ROWS, swaths.S5P_COLS, chunk=(rows, swaths.S5P_COLS))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "first", "next_"), [(1, 0.02, 0.01), (64, 0.10, 0.03), (swaths.S5P_ROWS, 0.95, 0.0)])
def test_a_cell_costs_its_rows_not_the_orbit(orbits, rows, first, next_):
    """Of a variable in one chunk all is read, once, and of the variables that nobody asked for nothing."""
    path = orbits / f"{rows}.nc"
    size = path.stat().st_size
    with swaths.counting(orbits) as (url, counted), Swaths(url) as reader:
        cost = []
        for lon, lat in CELLS:
            before = counted.bytes
            got = reader.footprints(at(f"{rows}.nc"), NO2, bounds(lon, lat))
            assert len(got) > 50
            cost.append((counted.bytes - before) / size)
        assert reader.counts.bytes == counted.bytes
    assert cost[0] < first
    assert max(cost[1:]) <= next_
    with h5py.File(path) as file:
        unread = file["PRODUCT/nitrogendioxide_tropospheric_column_precision"]
        middle = unread.id.get_chunk_info(unread.id.get_num_chunks() // 2)
    # pages that follow the structure of the file may reach into what lies behind it: the middle of a variable is not that
    there = middle.byte_offset + middle.size // 2
    if rows == swaths.S5P_ROWS:
        assert not [r for r in counted.ranges if r[1] <= there < r[2]]


@pytest.mark.slow
def test_cells_side_by_side_share_what_they_read(orbits):
    with swaths.counting(orbits) as (url, counted), Swaths(url) as reader:
        reader.footprints(at("64.nc"), NO2, bounds(10.0, 25.0))
        before, asked = counted.bytes, counted.requests
        reader.footprints(at("64.nc"), NO2, bounds(10.25, 25.0))
        reader.footprints(at("64.nc"), NO2, bounds(10.0, 25.0))
        assert (counted.bytes, counted.requests) == (before, asked)
    fetched = sorted(r[1:] for r in counted.ranges)
    twice = sum(max(a[1] - b[0], 0) for a, b in itertools.pairwise(fetched))
    assert twice < 0.05 * counted.bytes  # a page may end in what is asked for later


@pytest.mark.slow
def test_orbits_in_one_chunk_do_not_push_one_another_out(orbits):
    """Cell by cell, each of several orbits whose variables, decoded, are five times what is kept: each is fetched once."""
    name = f"{swaths.S5P_ROWS}.nc"
    size = (orbits / name).stat().st_size
    for copy in "abc":
        (orbits / f"{copy}.nc").unlink(missing_ok=True)
        (orbits / f"{copy}.nc").hardlink_to(orbits / name)
    with swaths.counting(orbits) as (url, counted), Swaths(url, decoded_bytes=48 << 20, ahead_bytes=16 << 20) as reader:
        for lon, lat in [(10.0, 25.0), (10.25, 25.25), (10.5, 25.0), (11.0, 26.0)]:
            for copy in "abc":
                got = reader.footprints(at(f"{copy}.nc"), NO2, bounds(lon, lat))
                if copy == "a":
                    same(gridded(got, lon, lat), gridded(whole(orbits / name), lon, lat))
        assert counted.bytes < 3.1 * size


def test_nobody_waits_for_a_server_with_a_lock_that_others_need(tmp_path):
    slow, quick = (swaths.s5p(tmp_path / name, chunk=(16, 60)) for name in ("slow.nc", "quick.nc"))
    let_go = threading.Event()

    def answer(request):
        let_go.wait(20)
        request.send(404)

    def read_slowly():
        with Swaths(url) as reader, pytest.raises(ReadError):
            reader.footprints(at(slow.name), NO2, bounds(10.0, 25.0))

    with serving(answer) as url:
        thread = threading.Thread(target=read_slowly)
        thread.start()
        try:
            time.sleep(0.1)
            with Swaths("") as reader:
                assert len(reader.footprints(at(quick), NO2, bounds(10.0, 25.0))) > 0
            assert thread.is_alive()
        finally:
            let_go.set()
            thread.join()


# ---- what a variable says --------------------------------------------------------------------------------------------


def test_packed_values_are_unpacked_and_what_is_none_is_none(tmp_path):
    path = swaths.s5p(tmp_path / "a.nc", rows=40, cols=12, span=(10, 20), chunk=(8, 12))
    with h5py.File(path, "a") as file:
        product = file["PRODUCT"]
        name = "nitrogendioxide_tropospheric_column"
        del product[name]
        packed = np.tile(np.arange(480, dtype="i2").reshape(40, 12) - 200, (1, 1, 1))
        packed[0, :, 0], packed[0, :, 1], packed[0, :, 2] = -999, -888, -32767
        made = product.create_dataset(name, data=packed, chunks=(1, 8, 12))
        made.attrs["scale_factor"], made.attrs["add_offset"] = np.float64(0.5), np.float64(3)
        made.attrs["_FillValue"], made.attrs["missing_value"] = np.int16(-999), np.int16([-888])
        made.attrs["valid_range"] = np.int16([-150, 250])
        lon, lat = product["longitude"][0].astype(float), product["latitude"][0].astype(float)
    with Swaths("") as reader:
        got = reader.footprints(at(path), NO2, (lon.min(), lat.min(), lon.max(), lat.max()))
    want = packed[0] * 0.5 + 3
    want[(packed[0] < -150) | (packed[0] > 250)] = np.nan
    np.testing.assert_array_equal(got.values[0], want.ravel())


def test_fill_that_is_not_declared_is_netcdfs_own(tmp_path, shared):
    spec = source("s5p-co")
    bare = spec.kind.model_copy(update={"latitude_bounds": None, "longitude_bounds": None})
    spec = spec.model_copy(update={"kind": bare})  # the cut-out has no corners
    path = shared / "data/emissions-api/test.nc"
    with h5py.File(path) as file:
        product = file["PRODUCT"]
        raw, quality = product["carbonmonoxide_total_column"][0], product["qa_value"][0] * np.float32(0.01)
        lon, lat = product["longitude"][0].astype(float), product["latitude"][0].astype(float)
    assert (raw > 1e36).any()
    assert "_FillValue" not in h5py.File(path)["PRODUCT/carbonmonoxide_total_column"].attrs
    i = int(np.argmax(quality[0]))
    here = bounds(lon[0, i], lat[0, i])
    with Swaths("") as reader:
        got = reader.footprints(at(path), spec, here)
    lon4, lat4 = (c.reshape(-1, 4) for c in gridding.corners(lon, lat))
    values = np.where(raw > 1e36, np.nan, raw).reshape(1, -1)
    every = Footprints(lon4, lat4, values, quality.ravel().astype(float))
    place = lon[0, i], lat[0, i]
    assert gridded(got, *place, min_quality=0.5).footprints.any()
    same(gridded(got, *place, min_quality=0.5), gridded(every, *place, min_quality=0.5))
    assert 0 < len(got) < 60
    with Swaths("") as reader, pytest.raises(ReadError, match=r"no variable PRODUCT/SUPPORT_DATA/.*: /PRODUCT.* has "):
        reader.footprints(at(path), source("s5p-co"), here)


# ---- OLCI ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lon", "lat"), [(10.0, 46.5), (-180.0, 67.5)])
@pytest.mark.slow
def test_a_granule_of_several_files_its_corners_and_its_mask(tmp_path, lon, lat):
    spec = source("s3olci")
    bands = ["Oa04", "Oa17"]
    paths = swaths.olci(tmp_path, 400, 400, lon, lat, bands)
    assets = {f: Asset(str(p), "none") for f, p in paths.items()}
    with Swaths("") as reader:
        got = reader.footprints(assets, spec, bounds(lon, lat), bands)
        mask = reader.footprints({k: assets[k] for k in ("geo", "flags")}, spec, bounds(lon, lat), [])
        plain = reader.footprints(assets, spec, bounds(lon, lat), bands[:1], with_codes=False)
    assert got.quality is None
    assert got.codes is not None
    assert plain.codes is None
    np.testing.assert_array_equal(mask.codes, got.codes)
    assert mask.values.shape == (0, len(got))
    assert 8000 < len(got) < 40_000
    pixels = gridded(got, lon, lat, 96)
    centre_lat = (lat + SIZE / 2 - (np.arange(96) + 0.5) * SIZE / 96)[:, None]
    is_seen = pixels.weight[0] > 0.5
    assert is_seen.mean() > 0.9
    for i in range(2):
        np.testing.assert_allclose(
            pixels.mean[i], np.broadcast_to(50 + i + 10 * (centre_lat - lat), (96, 96)), atol=0.03
        )
    np.testing.assert_array_equal(gridded(mask, lon, lat, 96).codes, pixels.codes)
    with h5py.File(paths["geo"]) as file:
        at_lon, at_lat = (file[k][:] * 1e-6 for k in ("longitude", "latitude"))
    with h5py.File(paths["flags"]) as file:
        flags = file["quality_flags"][:]
    codes = np.ones(flags.shape, np.int64)
    codes[flags >> 22 & 1 == 1] = 3
    codes[flags >> 27 & 1 == 1] = 2
    codes[flags >> 25 & 1 == 1] = 0
    lon4, lat4 = (c.reshape(-1, 4) for c in gridding.corners(at_lon, at_lat))
    every = Footprints(lon4, lat4, np.zeros((0, codes.size)), codes=codes.ravel())
    np.testing.assert_array_equal(gridded(every, lon, lat, 96).codes, pixels.codes)
    with pytest.raises(ReadError, match="no asset for file 'Oa04'"), Swaths("") as reader:
        reader.footprints({k: assets[k] for k in ("geo", "flags")}, spec, bounds(lon, lat), ["Oa04"])


def test_the_mask_has_each_of_its_codes_where_its_flags_are(tmp_path):
    paths = swaths.olci(tmp_path, 120, 120, 10.0, 46.5, [])
    assets = {f: Asset(str(p), "none") for f, p in paths.items()}
    with Swaths("") as reader:
        got = reader.footprints(assets, source("s3olci"), bounds(10.0, 46.5, 2.0), [])
    codes = got.codes.reshape(120, 120)
    assert set(np.unique(codes[:15])) == {0}
    assert set(np.unique(codes[15:105, :30])) == {2}
    assert set(np.unique(codes[20:100, 31:])) == {1}
    assert set(np.unique(codes[106:, 31:])) == {3}
    with h5py.File(paths["flags"], "a") as file:
        file["quality_flags"].attrs["flag_meanings"] = " ".join(swaths.FLAGS).replace("sun-glint", "sun_glint")
    with (
        Swaths("") as reader,
        pytest.raises(ReadError, match=r"quality_flags has no flag 'sun-glint_risk'; it has land,"),
    ):
        reader.footprints(assets, source("s3olci"), bounds(10.0, 46.5), [])


# ---- the real files --------------------------------------------------------------------------------------------------


def real_file(shared: Path, product: str) -> Path:
    (found,) = (shared / "data/stactools-sentinel5p").glob(f"S5P_OFFL_L2__{product.replace('-', '_').upper():_<6}_*.nc")
    return found


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_real_file_opens_by_its_toml_and_says_what_was_cut_out_of_it(shared, product):
    """The recorded files have groups, dimensions and attributes, and no variable of a swath: that is said, by name."""
    spec = source(f"s5p-{product}")
    path = real_file(shared, product)
    told = r"no variable PRODUCT/latitude: /PRODUCT has corner, ground_pixel,"
    with Swaths("") as reader, pytest.raises(ReadError, match=told):
        reader.footprints(at(path), spec, bounds(10.0, 46.5))
    with h5py.File(path) as file:
        named = [v.partition(":")[2] for v in spec.kind.named.values()]
        assert [v for v in named if v in file] == []  # PRODUCT/latitude, qa_value, the columns, SUPPORT_DATA: stripped
        assert all(v.startswith("PRODUCT/") for v in named)
        across = 215 if product in ("co", "ch4") else 450
        shape = [file["PRODUCT"][d].shape[0] for d in ("time", "scanline", "ground_pixel", "corner")]
        assert shape == [1, 4172, across, 4]


@functools.cache
def placed(n: int, cols: int) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Corners of a swath's footprints and their centres: real files are of two sizes."""
    lon4, lat4 = (swaths.around(e) for e in swaths.track(n, cols, 18.0))
    return lon4, lat4, gridding.lon_lat(gridding.unit_vectors(lon4, lat4).mean(axis=2))


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.slow
def test_a_real_file_with_its_variables_put_back_is_read_by_its_toml_alone(shared, tmp_path, product):
    path = tmp_path / "a.nc"
    shutil.copy(real_file(shared, product), path)
    spec = source(f"s5p-{product}")
    path.chmod(0o644)
    with h5py.File(path, "a") as file:
        n, cols = (file["PRODUCT"][d].shape[0] for d in ("scanline", "ground_pixel"))
        lon4, lat4, centre = placed(n, cols)
        put = {"PRODUCT/longitude": centre[0], "PRODUCT/latitude": centre[1]}
        put |= {f"{swaths.GEOLOCATIONS}/{k}_bounds": v for k, v in (("longitude", lon4), ("latitude", lat4))}
        for name, data in put.items():
            file.create_dataset(name, data=data[None].astype("f4"))
        quality = file.create_dataset("PRODUCT/qa_value", data=np.full((1, n, cols), 80, "u1"))
        quality.attrs["scale_factor"] = np.float32(0.01)
        for i, variable in enumerate(spec.kind.variables.values()):
            data = np.full((1, n, cols), i - 0.5, "f4")
            file.create_dataset(variable.partition(":")[2], data=data).attrs["units"] = spec.arrays[0].unit
    with Swaths("") as reader:
        got = reader.footprints(at(path), spec, bounds(10.0, 25.0))
        assert reader.counts.bytes < 0.05 * path.stat().st_size
    pixels = gridded(got, 10.0, 25.0, min_quality=spec.kind.min_quality[0].least)
    np.testing.assert_allclose(pixels.weight, 1, atol=0.01)
    assert [float(m.mean()) for m in pixels.mean] == pytest.approx([-0.5, 0.5][: len(pixels.mean)])


@pytest.mark.parametrize("product", PRODUCTS)
def test_variables_axes_and_units_are_those_that_a_catalog_recorded(shared, product):
    """CDSE's items list the variables of real files, with axes and units."""
    spec = source(f"s5p-{product}")
    (folder,) = (shared / "data/eometadatatool-cdse/sentinel-5p").glob("example")
    items = sorted(folder.glob(f"S5P_*_L2__{product.replace('-', '_').upper():_<6}_*.json"))
    assert items
    for path in items:
        item = json.loads(path.read_text())
        known = item["properties"]["cube:variables"]
        for key, variable in spec.kind.named.items():
            found = known[variable.rpartition("/")[2]]
            corner = ["corner"] if key.endswith("_bounds") else []
            assert found["dimensions"] == ["time", "scanline", "ground_pixel", *corner]
            if key.startswith("variables."):
                assert found.get("unit", "1") == spec.arrays[0].unit
        assert spec.catalogs["cdse"].assets["data"] in item["assets"]
    assert spec.catalogs["cdse"].collection in {json.loads(p.read_text())["collection"] for p in items}


@pytest.mark.parametrize("product", PRODUCTS)
def test_planetary_computers_items_have_the_asset_and_the_properties(shared, product):
    form = source(f"s5p-{product}").catalogs["planetary-computer"]
    code = product.replace("-", "_").upper()
    items = sorted((shared / "data/stactools-sentinel5p/examples").glob(f"S5P_OFFL_L2__{code:_<6}_20200303*.json"))
    assert items
    for path in items:
        item = json.loads(path.read_text())
        assert list(item["assets"]) == [form.assets["data"]]
        properties = item["properties"]
        assert {k: properties[k] for k in form.query} == {k: v["eq"] for k, v in form.query.items()}
        assert properties[form.properties["mode"]] in ("NRTI", "OFFL", "RPRO")
        assert isinstance(properties[form.properties["orbit"]], int)


# ---- what is wrong is said -------------------------------------------------------------------------------------------


def refused(path: Path | str, spec: SourceSpec = NO2) -> str:
    with Swaths("") as reader, pytest.raises(ReadError) as err:
        reader.footprints(at(path), spec, bounds(10.0, 25.0))
    return str(err.value)


@pytest.fixture
def orbit(tmp_path) -> Path:
    return swaths.s5p(tmp_path / "a.nc", chunk=(16, 60))


@pytest.mark.parametrize("share", [0.999, 0.5, 0.01])
def test_a_truncated_file_is_no_data(orbit, share):
    data = orbit.read_bytes()
    orbit.write_bytes(data[: int(len(data) * share)])
    told = refused(orbit)
    assert str(orbit) in told
    assert "truncated file" in told
    assert "damaged" in told


def test_a_page_in_place_of_a_file_is_told_for_what_it_is(tmp_path):
    (tmp_path / "a.nc").write_text("<!DOCTYPE html><title>Sign in</title>")
    assert "a.nc: is a page or a message, not data ('<!DOCTYPE html>" in refused(tmp_path / "a.nc")
    (tmp_path / "b.nc").write_bytes(b"CDF\x01rest")
    assert "is netCDF of the classic format" in refused(tmp_path / "b.nc")
    (tmp_path / "c.nc").write_bytes(b"")
    assert "is empty" in refused(tmp_path / "c.nc")
    assert "No such file" in refused(tmp_path / "d.nc")


def test_a_raster_is_refused_as_a_swath_and_a_swath_as_a_raster(tmp_path, orbit):
    how = {"height": 9, "width": 9, "count": 1, "dtype": "uint8", "crs": 4326, "transform": Affine(1, 0, 5, 0, -1, 30)}
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", **how) as file:
        file.write(np.ones((1, 9, 9), "u1"))
    told = refused(tmp_path / "a.tif")
    assert "a.tif: is a TIFF, a raster: give its source another kind than 'swath'" in told
    dem = source("dem")
    assert "is no swath, so its files are rasters" in refused(orbit, dem)
    array = ArraySpec(res_m=10, bands=["b"], dtype="float32", nodata=-1, unit="m")
    place = Location("x", 10.0, 25.0, 32632, 600_000, 2_766_000, 600, "r")
    with (
        Reader("") as reader,
        pytest.raises(ReadError, match=r"is netCDF-4 \(HDF5\), expected a TIFF: a swath's pixels"),
    ):
        reader.read([Asset(str(orbit), "none")], array, place)


def test_a_variable_that_is_not_there_is_named_with_those_that_are(orbit):
    with h5py.File(orbit, "a") as file:
        del file["PRODUCT/qa_value"]
    told = refused(orbit)
    assert (
        f"{orbit}: no variable PRODUCT/qa_value: /PRODUCT has SUPPORT_DATA, latitude, longitude, nitrogendioxide"
        in told
    )
    with h5py.File(orbit, "a") as file:
        del file["PRODUCT"]
    assert "no variable PRODUCT/latitude: the file has METADATA" in refused(orbit)


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("PRODUCT/qa_value", np.zeros((1, 600, 59), "u1"), "is 1 × 600 × 59, expected 600 × 60 as the latitudes are"),
        ("PRODUCT/qa_value", np.zeros((2, 600, 60), "u1"), "is 2 × 600 × 60 of uint8, expected numbers in rows"),
        ("PRODUCT/qa_value", np.zeros(600, "u1"), "is 600 of uint8, expected numbers in rows and columns,"),
        (BOUNDS, np.zeros((1, 600, 60, 3), "f4"), "is 1 × 600 × 60 × 3, expected 600 × 60 × 4"),
    ],
)
def test_other_axes_are_told(orbit, name, data, told):
    with h5py.File(orbit, "a") as file:
        del file[name]
        file[name] = data
    said = refused(orbit)
    assert f"{name} {told}" in said
    assert str(orbit) in said


def test_another_unit_is_another_product(orbit):
    with h5py.File(orbit, "a") as file:
        file["PRODUCT/nitrogendioxide_tropospheric_column"].attrs["units"] = "molec./cm2"
    assert "nitrogendioxide_tropospheric_column is in 'molec./cm2', expected 'mol m-2'" in refused(orbit)


def test_chunks_that_were_never_written_are_fill_or_an_error(orbit):
    name = "PRODUCT/nitrogendioxide_tropospheric_column"
    with h5py.File(orbit, "a") as file:
        del file[name]
        made = file.create_dataset(name, (1, 600, 60), "f4", chunks=(1, 16, 60), compression="gzip")
        made[0, :16] = 1
    with Swaths("") as reader:
        got = reader.footprints(at(orbit), NO2, bounds(10.0, 25.0))
    assert len(got) > 0
    assert np.isnan(got.values).all()
    with h5py.File(orbit, "a") as file:
        del file["PRODUCT/qa_value"]
        file.create_dataset("PRODUCT/qa_value", (1, 600, 60), "u1", chunks=(1, 16, 60), compression="gzip")[0, :16] = 1
    told = refused(orbit)
    assert "PRODUCT/qa_value rows" in told
    assert "was never written and the variable declares no fill value" in told


NAME = "PRODUCT/nitrogendioxide_tropospheric_column"


def stored(path: Path, how: str) -> None:
    """Stores the orbit's values in another way, the same values."""
    with h5py.File(path, "a") as file:
        old = file[NAME]
        data, attrs = old[:], dict(old.attrs)
        del file[NAME]
        if how == "external":
            made = file.create_dataset(
                NAME, data=data, external=[(str(path.with_suffix(".bin")), 0, h5py.h5f.UNLIMITED)]
            )
        elif how == "virtual":
            with h5py.File(path.with_suffix(".h5"), "w") as other:
                other["x"] = data
            layout = h5py.VirtualLayout(data.shape, data.dtype)
            layout[:] = h5py.VirtualSource(path.with_suffix(".h5"), "x", data.shape)
            made = file.create_virtual_dataset(NAME, layout)
        elif how == "compact":
            plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plan.set_layout(h5py.h5d.COMPACT)
            space = h5py.h5s.create_simple(data.shape)
            h5py.h5d.create(file.id, NAME.encode(), h5py.h5t.NATIVE_FLOAT, space, plan).write(
                h5py.h5s.ALL, h5py.h5s.ALL, data
            )
            made = file[NAME]
        elif how == "unfiltered chunk":
            made = file.create_dataset(NAME, data=data, chunks=(1, 16, 60), compression="gzip")
            made.id.write_direct_chunk((0, 0, 0), data[:, :16].tobytes(), filter_mask=1)
            made.id.write_direct_chunk((0, 160, 0), data[:, 160:176].tobytes(), filter_mask=1)
        elif how == "big-endian":
            made = file.create_dataset(NAME, data=data.astype(">f4"), chunks=(1, 16, 60))
        elif how == "fletcher32":
            made = file.create_dataset(NAME, data=data, chunks=(1, 16, 60), fletcher32=True, shuffle=True)
        elif how == "unknown filter":
            plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plan.set_chunk((1, 16, 60))
            plan.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, (0,))
            space = h5py.h5s.create_simple(data.shape)
            h5py.h5d.create(file.id, NAME.encode(), h5py.h5t.NATIVE_FLOAT, space, plan)
            made = file[NAME]
        else:
            made = file.create_dataset(NAME, data=data)
        for key, value in attrs.items():
            made.attrs[key] = value


@pytest.mark.parametrize("how", ["compact", "contiguous", "unfiltered chunk", "big-endian", "fletcher32"])
def test_values_are_the_same_however_they_are_stored(tmp_path, how):
    orbit = swaths.s5p(tmp_path / "a.nc", rows=230, chunk=(16, 60), span=(-30, 60))
    with Swaths("") as reader:
        want = reader.footprints(at(orbit), NO2, bounds(12.0, 10.0))
    assert np.isfinite(want.values).mean() > 0.5
    stored(orbit, how)
    with Swaths("") as reader:
        found = reader.footprints(at(orbit), NO2, bounds(12.0, 10.0))
    assert np.array_equal(found.values, want.values, equal_nan=True)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("external", "is external: its values are in other files"),
        ("virtual", "is virtual: its values are in other files"),
        ("unknown filter", "is packed by HDF5's filter 32001"),
    ],
)
def test_values_that_are_not_in_the_file_or_cannot_be_unpacked_are_refused_by_name(orbit, how, told):
    stored(orbit, how)
    said = refused(orbit)
    assert f"{orbit}: {NAME} {told}" in said
    assert "damaged" not in said


READ = """
import json
from curation.read.swath import Swaths
from curation.errors import ReadError
from tests.read.test_swath import NO2, at, bounds
for path in sys.argv[1:]:
    try:
        with Swaths("") as reader:
            reader.footprints(at(path), NO2, bounds(12.0, 10.0))
        print(json.dumps(["read", ""]))
    except ReadError as err:
        print(json.dumps([type(err).__name__, str(err)]))
    except MemoryError:
        print(json.dumps(["MemoryError", ""]))
"""


def hostile(path: Path, how: str) -> None:
    """Stores the orbit's values so that who reads them needs a gigabyte."""
    with h5py.File(path, "a") as file:
        old = file[NAME]
        data, attrs = old[:], dict(old.attrs)
        del file[NAME]
        limits = {"maxshape": (1, None, None)}
        if how == "huge chunk":
            made = file.create_dataset(NAME, data.shape, "f4", chunks=(1, 15000, 20000), compression="gzip", **limits)
        elif how == "packed elsewise":
            made = file.create_dataset(NAME, data=data, chunks=(1, 16, 60), compression="lzf")
        else:
            checked = how == "deflate bomb with a checksum"
            made = file.create_dataset(
                NAME, data.shape, "f4", chunks=(1, 16, 60), compression="gzip", fletcher32=checked
            )
            packer = zlib.compressobj(9)
            piece = bytes(2**24)
            bomb = b"".join([*(packer.compress(piece) for _ in range(32)), packer.flush()]) + bytes(4 if checked else 0)
            for row in range(0, data.shape[1], 16):
                made.id.write_direct_chunk((0, row, 0), bomb)
        for key, value in attrs.items():
            made.attrs[key] = value


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("huge chunk", "is chunked as (1, 15000, 20000): 1200000000 bytes each, expected 268435456 at most"),
        ("deflate bomb", "its chunk would be unpacked to "),
        ("deflate bomb with a checksum", "its chunk would be unpacked to "),
        ("packed elsewise", "is packed by HDF5's filter 32000 (lzf), which is not read here; rewrite it with deflate"),
    ],
)
def test_a_chunk_that_would_fill_the_memory_is_refused_by_name_in_little(tmp_path, how, told):
    orbit = swaths.s5p(tmp_path / "a.nc", rows=230, chunk=(16, 60), span=(-30, 60))
    hostile(orbit, how)
    kind, said = json.loads(limited.said(READ, orbit, room_bytes=500 * 2**20))
    assert (kind, told in said) == ("ReadError", True), said
    assert said.startswith(f"{orbit}: {NAME}")


def test_a_scanline_without_end_is_no_swaths(orbit):
    with h5py.File(orbit, "a") as file:
        del file[NAME]
        file.create_dataset(NAME, (1, 600, 2**40), "f4", chunks=(1, 16, 64))
    assert "bytes a scanline, expected 16777216 at most" in refused(orbit)


def test_a_chunk_that_cannot_be_decoded_is_read_anew_and_then_told(orbit):
    with h5py.File(orbit) as file:
        d = file["PRODUCT/nitrogendioxide_tropospheric_column"]
        spans = [d.id.get_chunk_info(i) for i in range(d.id.get_num_chunks())]
    data = bytearray(orbit.read_bytes())
    for s in spans:
        data[s.byte_offset : s.byte_offset + s.size] = bytes(s.size)
    orbit.write_bytes(data)
    told = refused(orbit)
    assert "PRODUCT/nitrogendioxide_tropospheric_column rows" in told
    assert "it was read 2 times" in told


@pytest.mark.slow
def test_servers_that_fail_for_a_while_are_asked_again_and_a_changed_file_is_read_anew(tmp_path, orbit):
    failures = [503, 503, 500]
    versions = [orbit.read_bytes()]
    other = swaths.s5p(tmp_path / "b.nc", chunk=(8, 60))
    asked = 0

    def answer(request):
        nonlocal asked
        if failures:
            request.send(failures.pop(), Retry_After="0")
            return
        asked += 1
        if asked == 9:
            versions.append(other.read_bytes())
        data = versions[-1]
        first, last = (int(v) for v in request.headers["Range"].removeprefix("bytes=").split("-"))
        last = min(last, len(data) - 1)
        etag = f'"{len(versions)}"'
        request.send(206, data[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(data)}", ETag=etag)

    with serving(answer) as url, Swaths(url) as reader:
        got = reader.footprints(at("a.nc"), NO2, bounds(10.0, 25.0))
    assert len(versions) == 2
    same(gridded(got, 10.0, 25.0), gridded(whole(other), 10.0, 25.0))
