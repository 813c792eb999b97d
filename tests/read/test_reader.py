"""Co-registration: rasters whose pixels are their own coordinates, read onto grids where the truth is known."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from affine import Affine
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from rasterio.enums import Resampling
from rasterio.merge import merge
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from curation.errors import ReadError
from curation.model import Location
from curation.places import grid
from curation.read import http, ranges, sparse
from curation.read import reader as reader_module
from curation.read.reader import PART_BESIDE, Asset, Read, Reader
from curation.recipe.arrays import ArraySpec
from tests.archive import Archive
from tests.loopback import Request, serving
from tests.properties import examples

NODATA = -32768.0
NEAR_PX = 0.05
"""How far an interpolated ramp may be from the truth, in pixels of the target."""


SINUSOIDAL = "+proj=sinu +R=6371007.181 +units=m +no_defs"
"""MODIS' grid, which has no EPSG code."""


def location(lon: float, lat: float, size_m: float = 660.0) -> Location:
    epsg, x0, y0 = grid.snapped(lon, lat, size_m)
    centre = grid.transformer(epsg, 4326).transform(x0 + size_m / 2, y0 - size_m / 2)
    return Location(grid.location_id(epsg, x0, y0, size_m), *centre, epsg, x0, y0, size_m, "r")


def spec(res_m: float, dtype: str = "float32", nodata: float = NODATA, **how: Any) -> ArraySpec:
    return ArraySpec(res_m=res_m, bands=["b"], dtype=dtype, nodata=nodata, unit="px", **how)


CLASSES: dict[str, Any] = {"dtype": "uint8", "nodata": 0, "role": "classes", "up": "nearest", "down": "mode"}


def write(path: Path, pixels: np.ndarray, transform: Affine, crs: int | str, **how: Any) -> Asset:
    height, width = pixels.shape
    profile = {"driver": "GTiff", "nodata": NODATA, "tiled": True, "blockxsize": 64, "blockysize": 64} | how
    crs = f"EPSG:{crs}" if isinstance(crs, int) else crs
    with rasterio.open(
        path, "w", width=width, height=height, count=1, dtype=pixels.dtype, crs=crs, transform=transform, **profile
    ) as file:
        file.write(pixels, 1)
    return Asset(str(path), "none")


def test_a_file_that_is_dropped_is_gone_with_its_bytes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # What tifffile makes of a header refers to itself: without a collection it would hold the file's first bytes.
    monkeypatch.setattr(reader_module, "MOST_OPEN", 1)
    place = location(9, 50)
    transform = north_up(place.x0_m, place.y0_m, 10)
    assets = [write(tmp_path / f"{n}.tif", np.ones((66, 66), "float32"), transform, place.epsg) for n in range(3)]
    gc.disable()
    try:
        with Reader("") as reader:
            for asset in assets:
                assert reader.read([asset], spec(10), place)[0].all()
            files = [weakref.ref(file) for file in reader._files.values()]
            assert len(files) == 3
            reader.prefetch([])
            assert [file() is not None for file in files] == [False, False, True]
            assert reader.read(assets[:1], spec(10), place)[0].all()
        assert [file() for file in files] == [None] * 3
    finally:
        gc.enable()


def north_up(west: float, north: float, res: float) -> Affine:
    return Affine(res, 0, west, 0, -res, north)


def around(
    at: Location, crs: int | str, res: float, pad: float = 12, shift: float = 0.0
) -> tuple[Affine, tuple[int, int]]:
    """Transform and shape of a north-up raster of `crs` around a location, its grid off by `shift` pixels."""
    s = at.size_m
    xs, ys = grid.transformer(at.epsg, crs).transform(
        [at.x0_m + s * c / 8 for c in range(9) for _ in range(9)],
        [at.y0_m - s * r / 8 for _ in range(9) for r in range(9)],
    )
    mid = grid.transformer(4326, crs).transform(at.lon, at.lat)[0]
    if crs == 4326:
        xs = [mid + (x - mid + 180) % 360 - 180 for x in xs]
    west, north = (np.floor(min(xs) / res) - pad + shift) * res, (np.ceil(max(ys) / res) + pad + shift) * res
    shape = int((north - min(ys)) / res + pad), int((max(xs) - west) / res + pad)
    return north_up(west, north, res), shape


def truth(
    at: Location, res_m: float, crs: int, transform: Affine, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of a raster is: column and row of its centre in the location's grid, float64."""
    cols, rows = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    x = transform.a * cols + transform.b * rows + transform.c
    y = transform.d * cols + transform.e * rows + transform.f
    x, y = grid.transformer(crs, at.epsg).transform(x, y)
    return (np.asarray(x) - at.x0_m) / res_m, (at.y0_m - np.asarray(y)) / res_m


def centres(at: Location, res_m: float) -> tuple[np.ndarray, np.ndarray]:
    n = round(at.size_m / res_m)
    return tuple(np.meshgrid(np.arange(n) + 0.5, np.arange(n) + 0.5))


def ramps(
    folder: Path, at: Location, res_m: float, crs: int, transform: Affine, shape: tuple[int, int], name: str = "r"
):
    """Two rasters whose values are column and row of the location's grid."""
    both = truth(at, res_m, crs, transform, shape)
    return [write(folder / f"{name}{i}.tif", v.astype("f4"), transform, crs) for i, v in enumerate(both)]


def read(assets: Asset | list[Asset], array: ArraySpec, at: Location, **how: Any) -> np.ndarray:
    with Reader("") as reader:
        pixels, _ = reader.read([assets] if isinstance(assets, Asset) else assets, array, at, **how)
    assert pixels.dtype == array.dtype
    return pixels


def off_px(folder: Path, at: Location, res_m: float, crs: int, transform: Affine, shape: tuple[int, int], **how: Any):
    """Errors of both axes, in pixels of the target, of the location read from ramps."""
    array = spec(res_m, **how)
    errors = []
    for asset, want in zip(ramps(folder, at, res_m, crs, transform, shape), centres(at, res_m), strict=True):
        got = read(asset, array, at)
        assert (got != NODATA).all(), "a hole inside the scene"
        errors.append(got - want)
    return errors


# --- exact crops ---------------------------------------------------------------------------------------------------

PLACES = [(7.1, 51.2), (-46.6, -23.5), (12.01, -0.4), (151.2, -33.9), (5.3, 60.4), (-179.9, 65.0), (179.9, -16.8)]


@pytest.mark.parametrize("res_m", [10, 20, 60])
@pytest.mark.parametrize(("lon", "lat"), PLACES)
def test_a_scene_of_the_same_zone_is_cropped_bit_for_bit(tmp_path, lon, lat, res_m):
    at = location(lon, lat)
    # As published scenes lie: corners on 60 m, counted from 40 in the south.
    west, north = at.x0_m - 40 * 60, at.y0_m + 35 * 60
    assert (north - (40 if at.epsg > 32700 else 0)) % 60 == 0
    n, size = round(at.size_m / res_m), round(5460 / res_m)
    values = np.arange(size * size, dtype="u2").reshape(size, size) + 1
    asset = write(tmp_path / "s.tif", values, north_up(west, north, res_m), at.epsg, nodata=0)
    with Reader("") as reader:
        got, warped = reader.read([asset], spec(res_m, "uint16", 0), at)
    col, row = round(40 * 60 / res_m), round(35 * 60 / res_m)
    assert not warped
    assert np.array_equal(got, values[row : row + n, col : col + n])
    with rasterio.open(asset.href) as file:
        assert np.array_equal(got, file.read(1, window=Window(col, row, n, n)))
    coordinates = off_px(tmp_path, at, res_m, at.epsg, north_up(west, north, res_m), (size, size))
    assert all((e == 0).all() for e in coordinates)


@given(
    st.integers(-80, 80), st.integers(-80, 80), st.sampled_from([10, 20, 60]),
    st.sampled_from([(9.0, 48.0), (9.0, -48.0)]), st.sampled_from([120.0, 660.0, 1320.0]),
)  # fmt: skip
@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_beyond_the_scenes_edge_is_nodata_and_only_there(tmp_path, east, south, res_m, place, size_m):
    at = location(*place, size_m)
    scene = north_up(at.x0_m + east * 60, at.y0_m - south * 60, res_m)
    n, size = round(size_m / res_m), round(1200 / res_m)
    values = np.arange(1, size * size + 1, dtype="u2").reshape(size, size)
    asset = write(tmp_path / "s.tif", values, scene, at.epsg, nodata=0, tiled=False, blockxsize=size, blockysize=1)
    want = np.zeros((n, n), "u2")
    for row in range(n):
        for col in range(n):
            c, r = col - round(east * 60 / res_m), row - round(south * 60 / res_m)
            if 0 <= c < size and 0 <= r < size:
                want[row, col] = values[r, c]
    with Reader("") as reader:
        got, warped = reader.read([asset], spec(res_m, "uint16", 0), at)
    assert np.array_equal(got, want)
    assert not warped


def test_a_scene_that_does_not_meet_the_patch_is_all_nodata(tmp_path):
    at = location(9.0, 48.0)
    for crs, transform in ((at.epsg, north_up(at.x0_m + 90_000, at.y0_m, 10)), (4326, north_up(12.0, 47.0, 0.0001))):
        asset = write(tmp_path / f"{crs}.tif", np.ones((64, 64), "f4"), transform, crs)
        assert (read(asset, spec(10), at) == NODATA).all()


# --- warps ---------------------------------------------------------------------------------------------------------


def neighbour(at: Location) -> int:
    """The zone beside the location's on its nearer side."""
    base, zone = at.epsg // 100 * 100, at.epsg % 100
    east = at.lon > zone * 6 - 183
    return base + (zone - 1 + (1 if east else -1)) % 60 + 1


@pytest.mark.parametrize(("lon", "lat"), [(5.99, 51.0), (6.02, -23.0), (179.98, -16.8), (-179.98, 65.0), (12.02, 0.3)])
def test_a_scene_of_the_other_zone_is_warped_to_where_it_is(tmp_path, lon, lat):
    at = location(lon, lat)
    other = neighbour(at)
    transform, shape = around(at, other, 10)
    for error in off_px(tmp_path, at, 10, other, transform, shape):
        assert np.abs(error).max() <= NEAR_PX


@pytest.mark.parametrize("shift", [0.1, 1 / 3, 0.5, 0.77])
def test_a_grid_off_by_a_part_of_a_pixel_is_interpolated_not_shifted(tmp_path, shift):
    at = location(9.0, 48.0)
    transform, shape = around(at, at.epsg, 10, shift=shift)
    for error in off_px(tmp_path, at, 10, at.epsg, transform, shape):
        assert np.abs(error).max() <= 1e-3


@pytest.mark.parametrize(("lon", "lat"), [(7.1, 0.01), (7.1, 49.9), (-70.2, -52.3), (25.0, 70.5), (179.99, -16.8)])
def test_a_geographic_dem_is_warped_to_where_it_is(tmp_path, lon, lat):
    at = location(lon, lat, 1320)
    transform, shape = around(at, 4326, 1 / 3600)
    for error in off_px(tmp_path, at, 30, 4326, transform, shape):
        assert np.abs(error).max() <= NEAR_PX


def test_each_pixel_is_located_by_itself_where_rows_are_curved(tmp_path):
    # At 78°N a row of 10 km bends by a third of a 30 m pixel: GDAL's own tolerance (0.125 px) would show.
    at = location(15.0, 78.0, 9960)
    transform, shape = around(at, 4326, 1 / 3600)
    for error in off_px(tmp_path, at, 30, 4326, transform, shape):
        assert np.abs(error).max() <= 0.01


@pytest.mark.parametrize("degrees", [7, 45, 90, 200])
def test_a_rotated_scene_is_warped_to_where_it_is(tmp_path, degrees):
    at = location(9.0, 48.0)
    half = at.size_m / 2
    middle = Affine.translation(at.x0_m + half, at.y0_m - half)
    transform = middle @ Affine.rotation(degrees) @ Affine.scale(10, -10) @ Affine.translation(-64, -64)
    for error in off_px(tmp_path, at, 10, at.epsg, transform, (128, 128)):
        assert np.abs(error).max() <= NEAR_PX


@pytest.mark.parametrize(("fine", "coarse"), [(10, 20), (10, 60), (20, 60), (20, 10), (60, 10)])
def test_up_and_down_sampling_shift_nothing(tmp_path, fine, coarse):
    at = location(9.0, 48.0)
    transform, shape = around(at, at.epsg, fine)
    for error in off_px(tmp_path, at, coarse, at.epsg, transform, shape):
        assert np.abs(error).max() <= 1e-3


def test_downsampling_on_a_nested_grid_is_the_mean_of_the_pixels_inside(tmp_path):
    at = location(9.0, 48.0)
    values = np.random.default_rng(1).normal(size=(330, 330)).astype("f4")
    asset = write(tmp_path / "s.tif", values, north_up(at.x0_m - 1320, at.y0_m + 1320, 10), at.epsg)
    want = values[132:198, 132:198].reshape(33, 2, 33, 2).mean(axis=(1, 3))
    assert np.allclose(read(asset, spec(20), at), want, atol=1e-6)


def test_nearest_takes_the_pixel_in_which_the_centre_lies(tmp_path):
    at = location(5.99, 51.0)
    other = neighbour(at)
    transform, shape = around(at, other, 10)
    errors = off_px(tmp_path, at, 10, other, transform, shape, up="nearest", down="nearest")
    # Half a source pixel along its own axes, which are turned by up to 5 degrees against the target's.
    assert max(np.abs(e).max() for e in errors) <= 0.5 * (1 + np.sin(np.radians(5.5)))
    assert all(abs(e.mean()) <= NEAR_PX for e in errors)


def referee(href: str, array: ArraySpec, at: Location, method: Resampling) -> np.ndarray:
    """GDAL's warp of the whole file."""
    target = grid.geobox(at, array.res_m)
    with (
        rasterio.open(href) as file,
        WarpedVRT(
            file, crs=f"EPSG:{at.epsg}", transform=target.affine, width=target.width, height=target.height,
            resampling=method, src_nodata=array.nodata, nodata=array.nodata,
            tolerance=1e-9,  # rasterio refuses 0
            XSCALE=1, YSCALE=1,  # else GDAL takes its kernel's width from the windows it happens to be given
        ) as vrt,
    ):  # fmt: skip
        return vrt.read(1)


@pytest.mark.parametrize(
    ("method", "how"),
    [
        (Resampling.bilinear, {}),
        (Resampling.nearest, {"up": "nearest"}),
        (Resampling.average, {"up": "average"}),
        (Resampling.mode, {"up": "mode"}),
    ],
)
@pytest.mark.parametrize(
    ("lon", "crs", "res"),
    [(5.99, 32632, 10.0), (7.1, 4326, 1 / 3600), (9.0, 32632, 10.5), (7.1, SINUSOIDAL, 10.0)],
)
def test_a_warp_of_the_crop_equals_gdals_warp_of_the_whole_file(tmp_path, method, how, lon, crs, res):
    at = location(lon, 51.0)
    transform, shape = around(at, crs, res, pad=150)
    noise = np.random.default_rng(2).integers(0, 9, shape).astype("f4")
    noise[noise == 8] = NODATA
    asset = write(tmp_path / "s.tif", noise, transform, crs)
    array = spec(30 if crs == 4326 else 10, **how)
    want = referee(asset.href, array, at, method)
    got = read(asset, array, at)
    assert np.array_equal(got == NODATA, want == NODATA)
    assert np.array_equal(got, want)


@given(
    st.floats(-179.99, 179.99), st.floats(-79, 83), st.sampled_from([120.0, 660.0, 1320.0]),
    st.sampled_from(["zone", "degrees", "shifted"]), st.floats(0, 1),
)  # fmt: skip
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_anywhere_on_earth_pixels_are_where_they_are(tmp_path, lon, lat, size_m, kind, shift):
    assume(abs(lat) > 0.05)  # the zones' own far side
    at = location(lon, lat, size_m)
    if kind == "zone":
        zone = at.epsg % 100
        assume(abs((at.lon - (zone * 6 - 183) + 180) % 360 - 180) < 4)  # not where the exceptions reach two zones away
        crs, res, res_m = neighbour(at), 10.0, 10.0
    elif kind == "degrees":
        crs, res, res_m = 4326, (1 if abs(lat) < 60 else 2) / 3600, 30.0
    else:
        crs, res, res_m = at.epsg, 10.0, 10.0
    transform, shape = around(at, crs, res, shift=shift)
    for error in off_px(tmp_path, at, res_m, crs, transform, shape):
        assert np.abs(error).max() <= NEAR_PX


# --- mosaics -------------------------------------------------------------------------------------------------------


def dem_tile(folder: Path, at: Location, west: int, south: int, lon_step: float, name: str) -> list[Asset]:
    """A part, around the location, of a GLO-30 tile: its pixels' centres lie on whole multiples of the step."""
    lat_step, reach, wide = 1 / 3600, 0.03, 0.03 / np.cos(np.radians(at.lat))
    west_edge, north_edge = west - lon_step / 2, south + 1 + lat_step / 2
    lon = west_edge + (at.lon - west_edge + 180) % 360 - 180
    c0 = max(0, int((lon - wide - west_edge) / lon_step))
    c1 = min(round(1 / lon_step), int((lon + wide - west_edge) / lon_step))
    r0 = max(0, int((north_edge - at.lat - reach) / lat_step))
    r1 = min(3600, int((north_edge - at.lat + reach) / lat_step))
    assert c1 > c0
    assert r1 > r0
    transform = Affine(lon_step, 0, west_edge + c0 * lon_step, 0, -lat_step, north_edge - r0 * lat_step)
    return ramps(folder, at, 30, 4326, transform, (r1 - r0, c1 - c0), name)


def assert_no_step(at: Location, tiles: list[list[Asset]]) -> None:
    for axis, want in enumerate(centres(at, 30)):
        got = read([t[axis] for t in tiles], spec(30), at)
        assert (got != NODATA).all(), "a hole at the seam"
        assert np.abs(got - want).max() <= NEAR_PX, f"axis {axis}"


@pytest.mark.parametrize(("lon", "lat"), [(7.0, 45.5), (7.5, 45.0), (7.0, 45.0), (-71.0, -33.0)])
def test_adjoining_dem_tiles_join_without_a_step(tmp_path, lon, lat):
    at = location(lon, lat, 1320)
    west, south = round(lon), round(lat)
    corners = {(w, s) for w in (west - 1, west) for s in (south - 1, south)}
    near = [(w, s) for w, s in sorted(corners) if w - 0.02 < lon < w + 1.02 and s - 0.02 < lat < s + 1.02]
    assert len(near) >= 2
    tiles = [dem_tile(tmp_path, at, w, s, 1 / 3600, f"{w}{s}") for w, s in near]
    assert_no_step(at, tiles)
    assert_no_step(at, tiles[::-1])


@pytest.mark.parametrize(("lat", "below", "above"), [(50, 1.0, 1.5), (60, 1.5, 2.0), (-50, 1.5, 1.0), (80, 3.0, 5.0)])
def test_dem_tiles_of_two_latitude_bands_join_without_a_step(tmp_path, lat, below, above):
    at = location(7.3, lat, 1320)
    low = dem_tile(tmp_path, at, 7, lat - 1, below / 3600, "low")
    high = dem_tile(tmp_path, at, 7, lat, above / 3600, "high")
    assert_no_step(at, [low, high])
    assert_no_step(at, [high, low])


def void_beside(file: Path, at: Location, res_m: float) -> np.ndarray:
    """(y, x) True where a pixel is interpolated from one of the file that has no data; what lies beyond it is none."""
    with rasterio.open(file) as raster:
        void, t = raster.read(1) == NODATA, raster.transform
    col, row = centres(at, res_m)
    lon, lat = grid.transformer(at.epsg, 4326).transform(at.x0_m + col * res_m, at.y0_m - row * res_m)
    x, y = (lon - t.c) / t.a - 0.5, (lat - t.f) / t.e - 0.5
    out = np.zeros(lon.shape, bool)
    for c, r in ((np.floor(x) + dx, np.floor(y) + dy) for dx in (0, 1) for dy in (0, 1)):
        inside = (c >= 0) & (c < void.shape[1]) & (r >= 0) & (r < void.shape[0])
        out |= inside & void[np.where(inside, r, 0).astype(int), np.where(inside, c, 0).astype(int)]
    return out


@pytest.mark.parametrize("res_m", [10, 30])
@pytest.mark.parametrize("tiles", [1, 2])
def test_beside_a_void_heights_are_those_between_known_pixels_or_there_are_none(tmp_path, res_m: int, tiles: int):
    at = location(7.0, 45.5, 1320)
    parts = [dem_tile(tmp_path, at, west, 45, 1 / 3600, f"{west}") for west in (7, 6)][:tiles]
    for asset in (a for assets in parts for a in assets):
        with rasterio.open(asset.href, "r+") as file:
            pixels = file.read(1)
            pixels[100:107, :5] = pixels[100:107, -5:] = pixels[120, 10] = NODATA  # at the seam, and one pixel
            file.write(pixels, 1)
    void = np.any([void_beside(Path(assets[0].href), at, res_m) for assets in parts], axis=0)
    for axis, want in enumerate(centres(at, res_m)):
        its = [assets[axis] for assets in parts]
        got, as_gdal = (read(its, spec(res_m), at, between_known=strict) for strict in (True, False))
        # Up to where one tile ends heights are told: nothing says that any are missing there.
        np.testing.assert_array_equal(got != NODATA, (as_gdal != NODATA) & ~void)
        assert np.array_equal(got[~void], as_gdal[~void])
        if tiles == 2:
            off = np.abs(got - want * res_m / 30)
            assert off[got != NODATA].max() <= NEAR_PX
            assert np.abs(as_gdal - want * res_m / 30)[(as_gdal != NODATA) & void].max() > NEAR_PX


def test_heights_that_lie_on_a_known_pixel_are_known_beside_a_void(tmp_path):
    at = location(7.0, 45.5, 1320)
    pixels = np.arange(64 * 64, dtype="float32").reshape(64, 64)
    pixels[15:25, 15:25] = NODATA
    file = write(tmp_path / "dem.tif", pixels, Affine(30, 0, at.x0_m - 300, 0, -30, at.y0_m + 300), at.epsg)
    got, whole = read(file, spec(10), at, between_known=True), pixels[9:55, 9:55] != NODATA
    # Of three pixels of 10 m the middle one is centred on one of 30 m, and made of it alone; the others of two each way.
    assert np.array_equal(got[1::3, 1::3], pixels[10:54, 10:54])
    n = np.arange(132)
    reach = (n // 3 + 1, n // 3 + n % 3)
    assert np.array_equal(got != NODATA, np.all([whole[np.ix_(r, c)] for r in reach for c in reach], axis=0))


@pytest.mark.parametrize(("lon", "epsg"), [(179.99, 32760), (-179.99, 32701), (179.9999, 32760)])
def test_dem_tiles_on_both_sides_of_the_antimeridian_leave_no_hole(tmp_path, lon, epsg):
    at = location(lon, -16.7, 2640)
    assert at.epsg == epsg
    west = dem_tile(tmp_path, at, 179, -17, 1 / 3600, "west")
    east = dem_tile(tmp_path, at, -180, -17, 1 / 3600, "east")
    assert_no_step(at, [east, west])
    assert_no_step(at, [west, east])


def test_real_dem_tiles_join_as_the_seamless_whole_reads(shared, tmp_path):
    paths = sorted((shared / "data/dem-stitcher/golden_datasets/los_angeles_tiles").glob("*.tif"))
    assert len(paths) == 4
    whole, transform = merge(paths)
    seamless = write(tmp_path / "whole.tif", whole[0], transform, 4326)
    tiles = [Asset(str(p), "none") for p in paths]
    for lon, lat in [(-118.0001, 34.0001), (-118.0001, 33.975), (-118.025, 34.0001)]:
        at = location(lon, lat, 2640)
        want = read(seamless, spec(30), at)
        assert (want != NODATA).all()
        assert np.array_equal(read(tiles, spec(30), at), want)
        assert np.array_equal(read(tiles[::-1], spec(30), at), want)
        with Reader("") as reader:
            alone = [reader.read([t], spec(30), at)[0] for t in tiles]
        assert sum((a != NODATA).any() for a in alone) >= 2, "the place straddles a seam"


def test_where_both_have_data_the_earlier_wins_and_the_later_fills_its_holes(tmp_path):
    at = location(9.0, 48.0)
    n = 66
    first, second = np.full((n, n), 1, "f4"), np.full((n, n), 2, "f4")
    first[10:20, 10:20] = NODATA
    transform = north_up(at.x0_m, at.y0_m, 10)
    a, b = (write(tmp_path / f"{i}.tif", v, transform, at.epsg) for i, v in enumerate((first, second)))
    want = np.where(first == NODATA, 2, 1)
    assert np.array_equal(read([a, b], spec(10), at), want)
    assert (read([b, a], spec(10), at) == 2).all()


def test_order_decides_between_scenes_of_different_grids_too(tmp_path):
    at = location(5.99, 51.0)
    own = write(tmp_path / "own.tif", np.full((30, 66), 1, "f4"), north_up(at.x0_m, at.y0_m, 10), at.epsg)
    transform, shape = around(at, neighbour(at), 10)
    other = write(tmp_path / "other.tif", np.full(shape, 2, "f4"), transform, neighbour(at))
    mixed = read([own, other], spec(10), at)
    assert (mixed[:30] == 1).all()
    assert (mixed[30:] == 2).all()
    assert (read([other, own], spec(10), at) == 2).all()


# --- nodata and classes --------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.sampled_from(["nearest", "mode"]), st.sampled_from([4326, 32631, 32632]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_classes_out_are_classes_in(tmp_path, seed, method, crs):
    at = location(5.99, 51.0, 240)
    transform, shape = around(at, crs, 8 / 111_000 if crs == 4326 else 8.0)
    codes = np.random.default_rng(seed).choice(np.array([0, 4, 9, 200], "u1"), shape)
    asset = write(tmp_path / "c.tif", codes, transform, crs, nodata=0)
    got = read(asset, spec(10, **CLASSES | {"up": method}), at)
    assert set(np.unique(got)) <= {0, 4, 9, 200}
    assert len(np.unique(got)) > 1


@pytest.mark.parametrize("how", [{}, {"up": "average"}])
@pytest.mark.parametrize("declared", [NODATA, -9999.0, float("nan"), None])
def test_nodata_never_bleeds_into_what_is_interpolated(tmp_path, declared, how):
    at = location(5.99, 51.0)
    transform, shape = around(at, 32632, 10)
    values = np.full(shape, 1000, "f4")
    hole = 0.0 if declared is None else declared
    values[shape[0] // 2 :, ::3] = hole
    asset = write(tmp_path / "s.tif", values, transform, 32632, nodata=declared)
    got = read(asset, spec(10, **how), at, zero_is_nodata=declared is None)
    assert np.abs(got[got != NODATA] - 1000).max() <= 1e-3
    assert 0 < (got == NODATA).mean() < 0.5


@pytest.mark.parametrize(("declared", "stored"), [(255, 255), (0, 0), (None, 7)])
def test_the_files_nodata_becomes_the_arrays(tmp_path, declared, stored):
    at = location(9.0, 48.0)
    values = np.full((66, 66), 7, "u1")
    values[:, :5] = stored
    asset = write(tmp_path / "s.tif", values, north_up(at.x0_m, at.y0_m, 10), at.epsg, nodata=declared)
    got = read(asset, spec(10), at)  # float32 from uint8: a value that uint8 cannot hold
    assert (got[:, 5:] == 7).all()
    assert (got[:, :5] == (7 if declared is None else NODATA)).all()


def test_beyond_a_file_of_a_narrower_dtype_is_the_arrays_nodata(tmp_path):
    at = location(9.0, 48.0)
    transform = north_up(at.x0_m + 300, at.y0_m, 10)
    asset = write(tmp_path / "s.tif", np.full((66, 66), 7, "u1"), transform, at.epsg, nodata=None)
    got = read(asset, spec(10), at)
    assert (got[:, :30] == NODATA).all()
    assert (got[:, 30:] == 7).all()


def test_exact_zeros_become_nodata_where_the_source_says_so(tmp_path):
    at = location(9.0, 48.0)
    values = np.full((66, 66), 0.25, "f4")
    values[:, :9] = 0
    asset = write(tmp_path / "s.tif", values, north_up(at.x0_m, at.y0_m, 10), at.epsg)
    assert (read(asset, spec(10), at, zero_is_nodata=True)[:, :9] == NODATA).all()
    assert np.array_equal(read(asset, spec(10), at), values)


def test_power_below_zero_is_averaged_with_its_sign_and_a_mean_of_nothing_is_data(tmp_path):
    at = location(9.0, 48.0)
    values = np.full((66, 66), 0.25, "f4")
    values[::2, ::2] = -0.5  # of each four: (3 * 0.25 - 0.5) / 4
    values[:, 12:24:2], values[:, 13:24:2] = 0.5, -0.5  # nothing, on the mean
    values[:, 30:36] = 0  # holes
    asset = write(tmp_path / "s.tif", values, north_up(at.x0_m, at.y0_m, 10), at.epsg)
    got = read(asset, spec(20), at, zero_is_nodata=True)
    assert np.abs(got[:, :6] - 0.0625).max() < 1e-6
    assert (got[:, 6:12] == 0).all()
    assert (got[:, 15:18] == NODATA).all()
    assert np.abs(got[:, 18:] - 0.0625).max() < 1e-6


def test_pixels_of_another_dtype_are_refused_by_name(tmp_path):
    at = location(9.0, 48.0)
    asset = write(tmp_path / "s.tif", np.ones((66, 66), "i4"), north_up(at.x0_m, at.y0_m, 10), at.epsg)
    with pytest.raises(ReadError, match=r"s\.tif: pixels are int32, expected uint16"):
        read(asset, spec(10, "uint16", 0), at)


def test_a_band_that_the_file_lacks_is_refused(tmp_path):
    at = location(9.0, 48.0)
    asset = write(tmp_path / "s.tif", np.ones((66, 66), "f4"), north_up(at.x0_m, at.y0_m, 10), at.epsg)
    with pytest.raises(ReadError, match="has 1 bands, expected a band 2"):
        read(Asset(asset.href, "none", 2), spec(10), at)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_file_that_does_not_say_where_it_is_is_refused(tmp_path):
    at = location(9.0, 48.0)
    with rasterio.open(tmp_path / "s.tif", "w", driver="GTiff", width=9, height=9, count=1, dtype="float32") as file:
        file.write(np.ones((9, 9), "f4"), 1)
    with pytest.raises(ReadError, match="states no CRS"):
        read(Asset(str(tmp_path / "s.tif"), "none"), spec(10), at)


@pytest.mark.parametrize("declared", [None, NODATA])
def test_a_block_that_was_never_written_is_an_error_unless_nodata_is_declared(tmp_path, declared):
    at = location(9.0, 48.0)
    transform = north_up(at.x0_m, at.y0_m, 10)
    with rasterio.open(
        tmp_path / "s.tif", "w", driver="GTiff", width=128, height=128, count=1, dtype="float32", crs=f"EPSG:{at.epsg}",
        transform=transform, nodata=declared, tiled=True, blockxsize=32, blockysize=32, sparse_ok=True,
    ) as file:  # fmt: skip
        file.write(np.ones((128, 32), "f4"), 1, window=Window(0, 0, 32, 128))
    asset = Asset(str(tmp_path / "s.tif"), "none")
    if declared is None:
        with pytest.raises(ReadError, match="block column 1 row 0 was never written"):
            read(asset, spec(10), at)
    else:
        got = read(asset, spec(10), at)
        assert (got[:, :32] == 1).all()
        assert (got[:, 32:] == NODATA).all()


LAYOUTS: list[dict[str, Any]] = [
    {"tiled": False, "blockxsize": None, "blockysize": 7},
    {"compress": "deflate"},
    {"compress": "lzw", "predictor": 2},
    {"compress": "zstd"},
    {"compress": "deflate", "predictor": 2, "interleave": "band"},
    {"BIGTIFF": "YES", "compress": "lzw"},
    {"driver": "COG", "compress": "deflate", "blocksize": 128, "tiled": None, "blockxsize": None, "blockysize": None},
    {"driver": "COG", "compress": "zstd", "blocksize": 128, "tiled": None, "blockxsize": None, "blockysize": None},
]


@pytest.mark.parametrize("layout", range(len(LAYOUTS) + 1))
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_every_layout_of_a_geotiff_reads_as_gdal_reads_it(tmp_path, dtype, layout):
    floats = {"compress": "deflate", "predictor": 3} if dtype == "float32" else {"compress": "lzma"}
    how = {k: v for k, v in [*LAYOUTS, floats][layout].items() if v is not None}
    base: dict[str, Any] = {"driver": "GTiff", "tiled": True, "blockxsize": 64, "blockysize": 64} | how
    if how.get("driver") == "COG" or how.get("tiled") is False:
        base = {k: v for k, v in base.items() if k not in ("tiled", "blockxsize") or k in how}
    at = location(9.0, 48.0)
    rng = np.random.default_rng(4)
    values = (rng.integers(1, 120, (300, 300)) if dtype != "float32" else rng.normal(size=(300, 300))).astype(dtype)
    with rasterio.open(
        tmp_path / "s.tif", "w", width=300, height=300, count=1, dtype=dtype, crs=f"EPSG:{at.epsg}",
        transform=north_up(at.x0_m - 1200, at.y0_m + 1200, 10), **base,
    ) as file:  # fmt: skip
        file.write(values, 1)
    if base["driver"] != "COG":
        with rasterio.open(tmp_path / "s.tif", "r+") as file:
            file.build_overviews([2, 4], Resampling.average)
    got = read(Asset(str(tmp_path / "s.tif"), "none"), spec(10, dtype, 0 if dtype != "float32" else NODATA), at)
    assert np.array_equal(got, values[120:186, 120:186])
    with rasterio.open(tmp_path / "s.tif") as file:
        assert file.overviews(1)
        assert np.array_equal(got, file.read(1, window=Window(120, 120, 66, 66)))


# --- over HTTP, with faults ----------------------------------------------------------------------------------------


AT = location(9.0, 48.0)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(5).integers(1, 9000, (512, 512)).astype("u2")


@pytest.fixture
def archive(tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Archive, str]]:
    monkeypatch.setattr(ranges, "PAUSE_S", 0)
    monkeypatch.setattr(http, "READ_S", 0.5)
    with rasterio.open(
        tmp_path / "s.tif", "w", driver="COG", width=512, height=512, count=1, dtype="uint16", nodata=0,
        crs=f"EPSG:{AT.epsg}", transform=north_up(AT.x0_m - 1200, AT.y0_m + 1200, 10), compress="deflate", blocksize=128,
    ) as file:  # fmt: skip
        file.write(picture, 1)
    with rasterio.open(tmp_path / "s.tif") as file:
        offset, size = (int(file.get_tag_item(f"BLOCK_{what}_1_1", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    data = (tmp_path / "s.tif").read_bytes()
    made = Archive({"s.tif": data})
    with rasterio.open(tmp_path / "s.tif") as file:
        profile = file.profile
    with rasterio.open(tmp_path / "t.tif", "w", **profile | {"driver": "COG", "blocksize": 128}) as file:
        turned = picture.copy()
        turned[120:186, 120:186] = turned[120:186, 120:186][::-1]
        file.write(turned, 1)
    made.spoilt["other"] = {"s.tif": (tmp_path / "t.tif").read_bytes()}
    spoilt = bytearray(data)
    for at in range(offset + size // 2, offset + size // 2 + 8):
        spoilt[at] ^= 0x55
    made.spoilt["flip"] = {"s.tif": bytes(spoilt)}
    with serving(made.answer) as url:
        yield made, url
        made.closing.set()


def fetched(reader: Reader, href: str = "s.tif", sign: str = "none") -> np.ndarray:
    return reader.read([Asset(href, sign)], spec(10, "uint16", 0), AT)[0]


@pytest.fixture
def want(picture: np.ndarray) -> np.ndarray:
    return picture[120:186, 120:186]


def test_a_cog_over_http_reads_as_the_file_does(archive, want):
    made, url = archive
    with Reader(url) as reader:
        assert np.array_equal(fetched(reader), want)
        opened = len(made.requests)
        assert np.array_equal(fetched(reader), want)
        assert len(made.requests) == opened, "the file is opened once, and its blocks are kept"


FAULTS = ["500", "503", "403", "429", "truncate", "short", "whole", "reset", "stall", "flip"]


UNNOTICED = (317, 33550, 33922)
"""Tags of which a flipped byte may end in other pixels: predictor, pixel size and place. A TIFF has no checksum."""


@pytest.mark.slow
def test_a_byte_of_a_header_that_is_flipped_is_noticed_but_for_three_tags(tmp_path, picture, want):
    profile: dict[str, Any] = {"compress": "deflate", "predictor": 2, "blockxsize": 256, "blockysize": 256, "nodata": 0}
    asset = write(tmp_path / "s.tif", picture, north_up(AT.x0_m - 1200, AT.y0_m + 1200, 10), AT.epsg, **profile)
    data = (tmp_path / "s.tif").read_bytes()
    middle = grid.transformer(AT.epsg, 4326).transform(AT.x0_m + 1360, AT.y0_m - 1360)
    asset = replace(asset, holds=(float(middle[0]), float(middle[1])))
    with tifffile.TiffFile(tmp_path / "s.tif") as file:
        page = file.pages.first
        end = min(page.dataoffsets)
        excused = set()
        for tag in (page.tags[code] for code in UNNOTICED):
            excused |= {*range(tag.offset, tag.offset + 12), *range(tag.valueoffset, tag.valueoffset + 8 * tag.count)}
    told = Counter[str]()
    for at in range(end):
        flipped = bytes([data[at] ^ (0x01, 0x10, 0xFF)[at % 3]])
        (tmp_path / "s.tif").write_bytes(data[:at] + flipped + data[at + 1 :])
        try:
            got = read(asset, spec(10, "uint16", 0), AT)
        except ReadError as err:
            told["error" if str(err).startswith(f"{asset.href}: ") else str(err)] += 1
        else:
            told["right" if np.array_equal(got, want) else "other"] += 1
            assert np.array_equal(got, want) or at in excused, f"byte {at}: {data[at]:#x} read as {flipped.hex()}"
    assert told.keys() == {"error", "right", "other"}
    assert told["error"] > end / 3
    assert told["other"] < len(excused) / 2


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("lost", [(33550, 33922), (33922,), "far"], ids=["both", "the corner", "off the Earth"])
def test_a_header_that_gives_no_place_to_pixels_is_an_error(tmp_path, lost):
    asset = write(tmp_path / "s.tif", np.ones((66, 66), "f4"), north_up(AT.x0_m, AT.y0_m, 10), AT.epsg)
    data = bytearray((tmp_path / "s.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "s.tif") as file:
        tags = file.pages.first.tags
        for tag in (tags[code] for code in lost if lost != "far"):
            data[tag.offset : tag.offset + 2] = (tag.code - 100).to_bytes(2, "little")  # a tag that nobody knows
        if lost == "far":
            at = tags[33922].valueoffset + 3 * 8
            data[at : at + 8] = np.float64(1e300).tobytes()
    (tmp_path / "s.tif").write_bytes(data)
    with pytest.raises(
        ReadError, match=r"s\.tif: could not be read in 2 tries: its header gives no place to its pixels"
    ):
        read(asset, spec(10), AT)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.slow
def test_a_fault_that_passes_ends_in_the_right_pixels(archive, want, fault):
    made, url = archive
    made.faults = [fault] * 2
    with Reader(url) as reader:
        assert np.array_equal(fetched(reader), want)
    assert not made.faults


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.slow
def test_a_fault_that_stays_is_an_error_and_never_pixels_and_a_recovered_server_is_used_again(
    archive, want, fault, monkeypatch
):
    if fault == "stall":
        monkeypatch.setattr(ranges, "ATTEMPTS", 2)  # each try waits for half a second
    made, url = archive
    made.always = fault
    with Reader(url) as reader:
        with pytest.raises(ReadError, match=r"s\.tif: could not be read in \d tries"):
            fetched(reader)
        made.always = ""
        assert np.array_equal(fetched(reader), want), "the same reader"
    with Reader(url) as reader:
        assert np.array_equal(fetched(reader), want), "another reader of the same process"


@pytest.mark.parametrize("good", range(1, 5))
@pytest.mark.parametrize("fault", ["503", "404", "truncate", "short", "flip"])
def test_a_fault_after_some_good_answers_ends_in_right_pixels_or_an_error(archive, want, fault, good):
    made, url = archive
    made.faults, made.always = [""] * good, fault
    with Reader(url) as reader:
        try:
            got = fetched(reader)
        except ReadError:
            assert len(made.requests) > good
        else:
            assert np.array_equal(got, want)
        made.always = ""
        assert np.array_equal(fetched(reader), want)


def test_what_many_patches_want_is_fetched_together_each_block_once(archive, picture):
    made, url = archive
    places = [replace(AT, x0_m=AT.x0_m + 60 * i, y0_m=AT.y0_m - 60 * j) for i in range(-3, 4) for j in range(-3, 4)]
    asset, array = Asset("s.tif", "none"), spec(10, "uint16", 0)
    with Reader(url) as reader:
        for number in reader.ahead([[Read(asset, array, p)] for p in places]):
            place = places[number]
            col, row = 120 + round((place.x0_m - AT.x0_m) / 10), 120 - round((place.y0_m - AT.y0_m) / 10)
            got, warped = reader.read([asset], array, place)
            assert not warped
            assert np.array_equal(got, picture[row : row + 66, col : col + 66])
        assert reader.counts.unplanned == 0
        assert reader.counts.requests == len(made.requests)
        # 3 × 3 blocks of a row of 4: one request and the gaps between, and the head.
        assert reader.counts.requests <= 4
        assert reader.counts.bytes < len(made.files["s.tif"])


def test_what_has_no_room_is_left_for_later_and_comes_the_same(archive, picture):
    _, url = archive
    places = [replace(AT, x0_m=AT.x0_m + 600 * i, y0_m=AT.y0_m - 600 * i) for i in (-2, 0, 2, 4)]
    asset, array = Asset("s.tif", "none"), spec(10, "uint16", 0)
    with Reader(url, ahead_bytes=100_000) as reader:
        upcoming = reader._upcoming([[Read(asset, array, p)] for p in places])
        reader._ask(upcoming, 1, reader._plan.add)
        assert upcoming.left
        for number in reader.ahead([[Read(asset, array, p)] for p in places]):
            place = places[number]
            col, row = 120 + round((place.x0_m - AT.x0_m) / 10), 120 - round((place.y0_m - AT.y0_m) / 10)
            assert np.array_equal(reader.read([asset], array, place)[0], picture[row : row + 66, col : col + 66])


def scattered(tmp_path: Path, count: int) -> tuple[Asset, Any, list[Location], list[tuple[int, int]]]:
    """A file of 512 blocks of 8 kB that hold noise, and places in as many of them."""
    values = np.random.default_rng(6).integers(1, 9000, (2048, 1024)).astype("u2")
    corner = location(9.0, 48.0, 120)
    asset = write(tmp_path / "s.tif", values, north_up(corner.x0_m, corner.y0_m, 10), corner.epsg, nodata=0)
    at = [(64 * (8 * (i % 2) + i // 2 % 2), 64 * (i // 2)) for i in range(count)]  # no two within one request
    return asset, values, [replace(corner, x0_m=corner.x0_m + 10 * c, y0_m=corner.y0_m - 10 * r) for c, r in at], at


def room_when_nothing_runs(reader: Reader) -> int:
    """Bytes that a next plan may have, once what nobody waits for any more is through."""
    until = time.monotonic() + 60
    while reader._pieces.room_bytes < reader._pieces.limit_bytes and time.monotonic() < until:
        time.sleep(0.01)
    return reader._pieces.room_bytes


def test_what_is_ahead_is_never_more_than_there_is_room_for_and_each_block_comes_once(tmp_path):
    asset, values, places, at = scattered(tmp_path, 60)
    array, limit = spec(10, "uint16", 0), 200_000
    with Reader("", ahead_bytes=limit) as reader:
        begun = []
        for number in reader.ahead([[Read(asset, array, p)] for p in places]):
            col, row = at[number]
            assert np.array_equal(
                reader.read([asset], array, places[number])[0], values[row : row + 12, col : col + 12]
            )
            begun.append(sum(its.reads for its in reader._pieces._order.values()))
            assert reader._pieces.bytes <= limit
        assert begun[-1] == 0
        assert reader.counts.unplanned <= 1, "the offsets of blocks"
        assert reader.counts.bytes < 60 * 8_192 + 2 * sparse.HEAD_BYTES, "what was read made room, not what was not"
        assert min(begun[4:48]) > 4, "more is asked for before all that was asked for is read"


def test_pixels_of_a_block_go_with_the_last_read_that_was_planned_of_it(tmp_path):
    asset, _, places, _ = scattered(tmp_path, 4)
    array = spec(10, "uint16", 0)
    order = [0, 1, 0, 2, 3, 1]
    with Reader("") as reader:
        kept = []
        for number in reader.ahead([[Read(asset, array, places[n])] for n in order]):
            reader.read([asset], array, places[order[number]])
            kept.append(len(reader._decoded))
        assert kept == [1, 2, 1, 1, 1, 0]
        reader.read([asset], array, places[0])  # nobody planned that, or says that it will not be again
        assert len(reader._decoded) == 1


def test_what_a_group_did_not_read_or_asked_for_again_is_planned_no_more_when_it_is_done(tmp_path):
    asset, values, places, at = scattered(tmp_path, 60)
    array, limit = spec(10, "uint16", 0), 200_000
    groups = [[Read(asset, array, p)] for p in places]
    with Reader("", ahead_bytes=limit) as reader:
        begun = []
        for number in reader.ahead(groups):
            reader.prefetch(groups[number])  # as whoever reads does, who does not know that it was foreseen
            reader.prefetch([Read(asset, array, places[59 - number])])  # and that is not read
            if number % 3:  # the others fail, or are not wanted any more
                col, row = at[number]
                got = reader.read([asset], array, places[number])[0]
                assert np.array_equal(got, values[row : row + 12, col : col + 12])
            begun.append(sum(its.reads for its in reader._pieces._order.values()))
        assert min(begun[4:48]) > 4, "more is fetched ahead than one group"
        assert room_when_nothing_runs(reader) == limit
        assert not any(its.planned for its in reader._files.values())


def test_what_is_foreseen_and_fetched_when_it_is_read_is_one_read(tmp_path):
    asset, _, places, _ = scattered(tmp_path, 3)
    array = spec(10, "uint16", 0)
    with Reader("") as reader:
        for number in reader.ahead([[Read(asset, array, p)] for p in places]):
            reader.prefetch([Read(asset, array, places[number])])
            reader.read([asset], array, places[number])
            assert not len(reader._decoded)


@pytest.mark.parametrize("same", [True, False])
def test_what_was_planned_and_is_read_no_more_makes_room_for_the_next_plan(tmp_path, same):
    asset, values, places, at = scattered(tmp_path, 30)
    (tmp_path / "other").mkdir()
    before = asset if same else scattered(tmp_path / "other", 30)[0]
    array = spec(10, "uint16", 0)
    with Reader("", ahead_bytes=150_000) as reader:
        next(reader.ahead([[Read(before, array, p)] for p in places]))
        assert reader._pieces.room_bytes < 130_000
        for number in reader.ahead([[Read(asset, array, p)] for p in places[15:]]):
            col, row = at[15 + number]
            got = reader.read([asset], array, places[15 + number])[0]
            assert np.array_equal(got, values[row : row + 12, col : col + 12])
        assert room_when_nothing_runs(reader) == 150_000


def test_what_lies_between_two_blocks_of_one_request_needs_room_as_well(tmp_path):
    # Every other block of 8 kB: what lies between comes with them.
    values = np.random.default_rng(6).integers(1, 9000, (1024, 1024)).astype("u2")
    corner = location(9.0, 48.0, 120)
    asset = write(tmp_path / "s.tif", values, north_up(corner.x0_m, corner.y0_m, 10), corner.epsg, nodata=0)
    array, limit = spec(10, "uint16", 0), 500_000
    at = [(128 * (i % 8), 64 * (i // 8)) for i in range(56)]
    places = [replace(corner, x0_m=corner.x0_m + 10 * c, y0_m=corner.y0_m - 10 * r) for c, r in at]
    with Reader("", ahead_bytes=limit) as reader:
        upcoming = reader._upcoming([[Read(asset, array, p)] for p in places])
        reader._ask(upcoming, 1, reader._plan.add)
        count = len(places) - upcoming.left
        for place, (col, row) in zip(places[:count], at, strict=False):
            assert np.array_equal(reader.read([asset], array, place)[0], values[row : row + 12, col : col + 12])
        assert count > 10
        assert reader.counts.bytes <= limit + sparse.HEAD_BYTES
        assert reader.counts.requests <= 3, "the head, the offsets of blocks, and one for all blocks"


def test_what_later_patches_take_beside_comes_in_the_same_requests_and_leaves_room(tmp_path):
    # Blocks of 8 kB, four apart, and then the ones beside them.
    values = np.random.default_rng(6).integers(1, 9000, (1024, 1024)).astype("u2")
    corner = location(9.0, 48.0, 120)
    asset = write(tmp_path / "s.tif", values, north_up(corner.x0_m, corner.y0_m, 10), corner.epsg, nodata=0)
    array, limit = spec(10, "uint16", 0), 1_200_000
    at = [(64 * (4 * (i % 4) + side), 64 * (i // 4)) for side in (0, 1) for i in range(64)]
    places = [replace(corner, x0_m=corner.x0_m + 10 * c, y0_m=corner.y0_m - 10 * r) for c, r in at]
    with Reader("", ahead_bytes=limit) as reader:
        groups = [[Read(asset, array, p)] for p in places]
        for number in reader.ahead(groups):
            col, row = at[number]
            got = reader.read([asset], array, places[number])[0]
            assert np.array_equal(got, values[row : row + 12, col : col + 12])
            assert reader._plan.held_bytes <= limit // PART_BESIDE
            assert reader._pieces.bytes <= limit
        assert reader._plan.held_bytes == 0
        assert reader.counts.requests < 128 - 25, "of 128 blocks, none of which is near another of its half"
        assert reader.counts.unplanned <= 1
        assert not len(reader._decoded), "it is known of each block when it is read for the last time"
        next(reader.ahead(groups))
        assert reader._plan.held_bytes
        list(reader.ahead([]))
        assert not any(its.planned for its in reader._files.values())
        assert room_when_nothing_runs(reader) == limit


def test_what_the_first_patch_waits_for_is_asked_for_first_whatever_file_it_is_of(tmp_path):
    names, order = ("a", "b", "c"), list[tuple[str, int]]()
    for name in names:
        (tmp_path / name).mkdir()
        _, _, places, _ = scattered(tmp_path / name, 12)
    archive = Archive({f"{name}/s.tif": (tmp_path / name / "s.tif").read_bytes() for name in names})
    archive.meant = lambda path, first: bool(order.append((path, first)))
    array = spec(10, "uint16", 0)
    with serving(archive.answer) as url, Reader(url, per_host=1) as reader:
        groups = [[Read(Asset(f"{name}/s.tif", "none"), array, p) for name in names] for p in places]
        for number in reader.ahead(groups):
            for read in groups[number]:
                reader.read([read.asset], array, read.location)
    blocks = [first for _, first in order if first >= sparse.HEAD_BYTES]
    assert len(blocks) > 30
    assert blocks == sorted(blocks), "places lie one behind the other in each file: all of one's before the next one's"


def test_a_head_that_another_reader_fetched_is_checked_before_pixels_come_of_it(archive, want, picture):
    made, url = archive
    made.version = '"1"'
    with Reader(url) as reader:
        fetched(reader)
    before = len(made.requests)
    with Reader(url) as reader:
        assert np.array_equal(fetched(reader), want)
        assert reader.counts.requests == len(made.requests) - before == before - 1, "the blocks, and no head"
    made.version, made.files = '"2"', made.spoilt["other"]
    with Reader(url) as reader:
        assert np.array_equal(fetched(reader), want[::-1])


@pytest.mark.parametrize("per_host", [1, 3])
@pytest.mark.slow
def test_a_host_has_no_more_requests_at_a_time_than_it_may(archive, want, per_host):
    made, url = archive
    made.delay_s = 0.05
    reads = [Read(Asset(f"{n}/s.tif", "none"), spec(10, "uint16", 0), AT) for n in range(6)]
    with Reader(url, per_host=per_host) as reader:
        reader.prefetch(reads)
        for read in reads:
            assert np.array_equal(reader.read([read.asset], read.array, AT)[0], want)
    assert made.most == per_host


@pytest.mark.slow
def test_a_host_that_stalls_takes_nothing_from_one_that_is_well(archive, want, monkeypatch):
    _, url = archive
    monkeypatch.setattr(http, "READ_S", 4)
    monkeypatch.setattr(ranges, "ATTEMPTS", 1)
    asked, over = threading.Semaphore(0), threading.Event()

    def stall(request: Request) -> None:
        asked.release()
        over.wait(60)
        request.close_connection = True

    with serving(stall) as stalled, Reader(stalled, per_host=32) as slow, Reader(url, per_host=32) as reader:
        reads = [Read(Asset(f"{n}.tif", "none"), spec(10, "uint16", 0), AT) for n in range(100)]
        waiting = threading.Thread(target=slow.prefetch, args=(reads,))
        waiting.start()
        for _ in range(32):
            assert asked.acquire(timeout=60)
        began = time.monotonic()
        assert np.array_equal(fetched(reader), want)
        assert time.monotonic() - began < 30, "what stalls elsewhere holds nobody up"
        assert not asked.acquire(blocking=False), "no more at a time than it may have"
        over.set()
        waiting.join()


def test_of_many_files_those_stay_open_that_were_wanted_last(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(reader_module, "MOST_OPEN", 2)
    at, array = location(9, 48), spec(10)
    transform, shape = around(at, at.epsg, 10)
    files = [write(tmp_path / f"{n}.tif", np.full(shape, n, "f4"), transform, at.epsg) for n in range(1, 6)]
    with Reader("") as reader:
        for n in (1, 2, 3, 4, 5, 1, 5):
            reader.prefetch([Read(files[n - 1], array, at)])
            pixels, _ = reader.read([files[n - 1]], array, at)
            assert (pixels == n).all()
            assert len(reader._files) <= 3
            assert reader._rasters.keys() <= reader._files.keys()
        assert list(reader._files) == [files[n - 1].file for n in (1, 5)]


def test_of_more_files_than_stay_open_none_is_closed_that_a_plan_wants(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(reader_module, "MOST_OPEN", 2)
    at, array = location(9, 48), spec(10)
    transform, shape = around(at, at.epsg, 10)
    files = [write(tmp_path / f"{n}.tif", np.full(shape, n, "f4"), transform, at.epsg) for n in range(6)]
    reads = [Read(file, array, at) for file in files]
    with Reader("") as reader:
        for number in reader.ahead([reads, reads]):
            for n, read in enumerate(reads):
                reader.prefetch([read])
                assert (reader.read([files[n]], array, at)[0] == n).all()
            assert reader.counts.requests == 12, "of each file its head and its pixels, once"
            assert (len(reader._files) == 6) == (number == 0)
        reader.prefetch([])
        assert len(reader._files) == 2


def test_prefetching_says_nothing_of_what_fails_and_reading_does(archive, want):
    made, url = archive
    made.always = "500"
    reads = [Read(Asset(name, "none"), spec(10, "uint16", 0), AT) for name in ("s.tif", "missing.tif")]
    with Reader(url) as reader:
        assert len(list(reader.ahead([[r] for r in reads]))) == 2
        with pytest.raises(ReadError, match=r"s\.tif: could not be read in 5 tries: HTTP 500"):
            fetched(reader)
        made.always = ""
        assert np.array_equal(fetched(reader), want)


def test_a_server_that_asks_for_a_pause_gets_it(archive, want, monkeypatch):
    made, url = archive
    slept: list[float] = []
    monkeypatch.setattr(ranges, "pause", lambda seconds, ended: slept.append(seconds))
    made.faults, made.pause = ["429", "503"], "7"
    with Reader(url) as reader:
        assert np.array_equal(fetched(reader), want)
    assert slept[:2] == [7.0, 7.0]
    made.faults, made.pause = ["429"], "86400"
    with Reader(url) as reader, pytest.raises(ReadError, match=r"asks for a pause of 86400 s; rerun"):
        fetched(reader)


def test_a_host_that_fails_often_is_still_asked(archive, want):
    made, url = archive
    for fault in ("503", "403", "404", "whole", "short"):
        for _ in range(3):
            made.always = fault
            with Reader(url, per_host=2) as reader, pytest.raises(ReadError):
                fetched(reader)
            made.always = ""
            with Reader(url, per_host=2) as reader:
                assert np.array_equal(fetched(reader), want)


def test_a_redirect_is_followed(archive, want):
    made, url = archive

    def elsewhere(request: Request) -> None:
        request.send(302, Location=f"{url}{request.path}?sig=SECRET")

    with serving(elsewhere) as other, Reader(other) as reader:
        assert np.array_equal(fetched(reader), want)
    assert made.requests


def test_a_file_on_disk_that_is_replaced_is_read_anew_and_never_mixed(tmp_path):
    rng = np.random.default_rng(1)
    pictures = [rng.integers(1, 9000, (512, 512)).astype("u2") for _ in range(2)]
    transform = north_up(AT.x0_m - 1200, AT.y0_m + 1200, 10)
    write(tmp_path / "s.tif", pictures[0], transform, AT.epsg, nodata=0)
    far = replace(AT, x0_m=AT.x0_m + 1800, y0_m=AT.y0_m - 1800)
    with Reader(str(tmp_path)) as reader:
        assert np.array_equal(fetched(reader), pictures[0][120:186, 120:186])
        write(tmp_path / "new.tif", pictures[1], transform, AT.epsg, nodata=0)
        (tmp_path / "new.tif").replace(tmp_path / "s.tif")
        got, _ = reader.read([Asset("s.tif", "none")], spec(10, "uint16", 0), far)
        assert np.array_equal(got, pictures[1][300:366, 300:366])


def test_a_file_that_changes_between_two_requests_is_read_anew(archive, want, picture):
    made, url = archive
    made.version = '"1"'
    with Reader(url) as reader:
        assert np.array_equal(fetched(reader), want)
        made.version = '"2"'
        far = replace(AT, x0_m=AT.x0_m + 1800, y0_m=AT.y0_m - 1800)
        got, _ = reader.read([Asset("s.tif", "none")], spec(10, "uint16", 0), far)
        assert np.array_equal(got, picture[300:366, 300:366])


def test_what_is_missing_is_an_error_that_names_it(archive):
    _, url = archive
    with (
        Reader(url) as reader,
        pytest.raises(ReadError, match=r"^missing\.tif: could not be read in 1 tries: HTTP 404"),
    ):
        fetched(reader, "missing.tif")


def test_a_signature_stands_in_no_error_and_no_log_line_and_is_fresh_at_each_try(archive, want, tokens, caplog):
    made, url = archive
    base = tokens.blobs_of(url)
    caplog.set_level(logging.DEBUG)
    made.always = "403"
    with Reader(base) as reader:
        with pytest.raises(ReadError) as caught:
            fetched(reader, sign="planetary-computer")
        made.always = ""
        assert np.array_equal(fetched(reader, sign="planetary-computer"), want)
    used = [path.partition("?sv=1&sig=")[2] for _, path in made.requests]
    assert len(used) > ranges.ATTEMPTS
    assert len(set(used[: ranges.ATTEMPTS])) == ranges.ATTEMPTS, "signed anew where a signature was refused"
    assert all(signature.startswith("SECRET") for signature in used)
    chain: BaseException | None = caught.value
    while chain is not None:
        assert "SECRET" not in str(chain)
        chain = chain.__cause__ if chain.__suppress_context__ else chain.__context__
    leaks = {(r.name, r.levelname, r.getMessage()) for r in caplog.records if "SECRET" in r.getMessage()}
    assert not leaks


def test_hrefs_are_told_from_the_base_unless_they_are_whole(tmp_path):
    asset = write(tmp_path / "s.tif", np.ones((66, 66), "f4"), north_up(AT.x0_m, AT.y0_m, 10), AT.epsg)
    with Reader(str(tmp_path)) as reader:
        assert (reader.read([Asset("s.tif", "none")], spec(10), AT)[0] == 1).all()
    with Reader("/somewhere/else") as reader:
        assert (reader.read([Asset(asset.href, "none")], spec(10), AT)[0] == 1).all()


@pytest.mark.parametrize("crs", ["own", 4326])
def test_a_void_within_a_file_is_covered_and_what_lies_beyond_it_is_not(tmp_path, crs):
    at = location(9.3, 48.1)
    array = spec(10)
    if crs == "own":
        transform, shape, epsg = north_up(at.x0_m - 100, at.y0_m + 100, 10), (100, 40), at.epsg  # ends 300 m inside
    else:
        transform, (height, width) = around(at, 4326, 1 / 11_000)
        shape, epsg = (height, width // 2), 4326
    pixels = np.full(shape, 7, np.float32)
    pixels[shape[0] // 2 - 2 : shape[0] // 2 + 2] = NODATA  # a void from side to side
    asset = write(tmp_path / "dem.tif", pixels, transform, epsg)
    with Reader("") as reader:
        found, _ = reader.read([asset], array, at)
        covered = reader.covered([asset], array, at)
        nothing = reader.covered([], array, at)
    assert not nothing.any()
    void = (found == NODATA) & covered
    beyond = ~covered
    assert void.any()
    assert (found[beyond] == NODATA).mean() > 0.97  # bilinear reaches half a pixel further
    assert beyond[:, -5:].all()
    assert not beyond[:, :5].any()
    assert void.any(axis=1).sum() < 12


def test_adjoining_real_elevation_tiles_join_without_a_step(shared):
    folder = shared / "data/dem-stitcher/golden_datasets/los_angeles_tiles"
    tiles = [Asset(str(p), "none") for p in sorted(folder.glob("*.tif"))]
    assert len(tiles) == 4
    # A cell's grid in degrees whose middle is where the four meet; the files declare no nodata and have no voids.
    lon, lat, size = -118.0001, 34.0001, 0.09
    at = Location("cell", lon, lat, 4326, lon - size / 2, lat + size / 2, size, "r")
    array = ArraySpec(size_px=350, bands=["height"], dtype="float32", nodata=NODATA, unit="m")
    with Reader("") as reader:
        found, was_warped = reader.read(tiles, array, at)
        alone = [reader.read([tile], array, at)[0] for tile in tiles]
        assert reader.covered(tiles, array, at).all()
    assert was_warped
    assert (found != NODATA).all()
    for one in alone:  # away from its edges each tile is what it is alone
        inside = np.zeros(found.shape, bool)
        rows, cols = np.nonzero(one != NODATA)
        inside[rows.min() + 3 : rows.max() - 2, cols.min() + 3 : cols.max() - 2] = True
        assert np.abs(found - one)[inside & (one != NODATA)].max() < 1e-3
    for axis in (0, 1):
        steps = np.abs(np.diff(found, axis=axis)).mean(axis=1 - axis)
        middle = len(steps) // 2
        assert steps[middle - 2 : middle + 3].max() < 2 * np.median(steps)


def test_a_ramp_across_50_degrees_north_has_no_step_where_the_spacing_of_longitudes_changes(tmp_path):
    # As GLO-30: pixels of 1 by 1 arc seconds south of 50°N and of 1.5 by 1 north of it, each with its centre on the degree.
    lon, lat, size, size_px = 8.25, 50.0, 0.25, 960
    tiles = []
    for south, factor in ((49.8, 1.0), (50.0, 1.5)):
        dx, dy = factor / 3600, 1 / 3600
        west, north = 8.0 - dx / 2, south + 0.2 + dy / 2
        columns, rows = round(0.5 / dx), round(0.2 / dy)
        x = west + dx * (np.arange(columns) + 0.5)
        y = north - dy * (np.arange(rows) + 0.5)
        pixels = (1000 * (x[None] - 8) + 500 * (y[:, None] - 50)).astype(np.float32)
        tiles.append(write(tmp_path / f"{south}.tif", pixels, Affine(dx, 0, west, 0, -dy, north), 4326))
    at = Location("cell", lon, lat, 4326, lon - size / 2, lat + size / 2, size, "r")
    array = ArraySpec(size_px=size_px, bands=["height"], dtype="float32", nodata=NODATA, unit="m")
    with Reader("") as reader:
        found, _ = reader.read(tiles, array, at)
    step = size / size_px
    x = at.x0_m + step * (np.arange(size_px) + 0.5)
    y = at.y0_m - step * (np.arange(size_px) + 0.5)
    truth = 1000 * (x[None] - 8) + 500 * (y[:, None] - 50)
    assert (found != NODATA).all()
    assert np.abs(found - truth).max() < NEAR_PX * step * 1000 + 1e-3
