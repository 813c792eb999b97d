import math

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import assume, given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox
from pyproj import CRS
from pyproj.database import query_utm_crs_info

from curation.errors import ConfigError
from curation.model import Location
from curation.places import grid
from curation.recipe import footprint

LON = st.floats(-180, 180, allow_nan=False)
LAT = st.floats(-80, 84, exclude_max=True)
UTM = query_utm_crs_info("WGS 84")
SIZE = st.sampled_from([60.0, 1320.0, 2640.0, 5160.0])
PX = (32, 64, 128, 224, 256, 384, 512)
"""Sides that people use, at 10 m: 384 alone is a multiple of 60 m."""
ANY_SIZE = SIZE | st.sampled_from(PX).map(lambda px: 10.0 * px) | st.integers(1, 1000).map(lambda px: 10.0 * px)


def location(lon: float, lat: float, size_m: float = 2640.0) -> Location:
    epsg, x0, y0 = grid.snapped(lon, lat, size_m)
    centre = grid.transformer(epsg, 4326).transform(x0 + size_m / 2, y0 - size_m / 2)
    return Location(grid.location_id(epsg, x0, y0, size_m), *centre, epsg, x0, y0, size_m, "r")


@given(st.floats(-179.99, 179.99), st.floats(-79.9, 83.9))
def test_zone_is_the_one_of_pyproj_outside_norway_and_svalbard(lon, lat):
    assume(not (56 <= lat < 64 and 0 <= lon < 12) and not (lat >= 72 and 0 <= lon < 42))
    assume(min(lon % 6, 6 - lon % 6) > 1e-6)
    assume(abs(lat) > 1e-6)
    areas = {int(i.code): i.area_of_use for i in UTM}
    there = {c for c, a in areas.items() if a.west <= lon <= a.east and a.south <= lat <= a.north}
    assert there == {grid.utm_epsg(lon, lat)}


@pytest.mark.parametrize(
    ("lon", "lat", "zone"),
    [
        (2.9, 60, 31), (3.0, 60, 32), (5.3, 60.4, 32), (11.9, 63.9, 32), (3.0, 64, 31), (5.9, 55.99, 31),
        (8.9, 78, 31), (9.0, 78, 33), (20.9, 78, 33), (21, 78, 35), (32.9, 78, 35), (33, 78, 37), (41.9, 80, 37),
        (42, 80, 38), (15, 71.99, 33), (-180, 0, 1), (180, 0, 1), (179.999, 0, 60), (-0.001, 0, 30), (0, 0, 31),
    ],
)  # fmt: skip
def test_zones_of_mgrs(lon, lat, zone):
    assert grid.zone(lon, lat) == zone


@pytest.mark.parametrize("lat", [84.0, 89.0, -80.1, math.nan])
def test_beyond_utm_is_refused_with_the_reason(lat):
    with pytest.raises(ConfigError, match="no UTM zone"):
        grid.zone(10, lat)


@given(LON, LAT, ANY_SIZE)
def test_north_west_corners_lie_where_sentinel_2_has_its_60_m_pixels(lon, lat, size_m):
    epsg, x0, y0 = grid.snapped(lon, lat, size_m)
    offset = 40 if epsg >= 32700 else 0
    assert x0 % 60 == 0
    assert (y0 - offset) % 60 == 0
    if size_m % 60 == 0:
        assert (y0 - size_m - offset) % 60 == 0


@given(LON, LAT, ANY_SIZE, st.sampled_from([10.0, 20.0, 30.0, 60.0]))
def test_pixels_of_every_size_begin_at_one_corner_and_cover_the_footprint_with_no_row_too_many(lon, lat, size_m, res_m):
    found = location(lon, lat, size_m)
    box = grid.geobox(found, res_m)
    assert (box.affine.c, box.affine.f, box.affine.a, box.affine.e) == (found.x0_m, found.y0_m, res_m, -res_m)
    side = box.width * res_m
    assert box.width == box.height
    assert side - res_m < size_m <= side


@given(LON, LAT, ANY_SIZE)
def test_the_point_is_within_half_a_step_of_the_centre(lon, lat, size_m):
    epsg, x0, y0 = grid.snapped(lon, lat, size_m)
    x, y = grid.transformer(4326, epsg).transform(lon, lat)
    assert abs(x - (x0 + size_m / 2)) <= 30 + 1e-6
    assert abs(y - (y0 - size_m / 2)) <= 30 + 1e-6


@given(LON, LAT, st.sampled_from([2640.0, 320.0, 2240.0, 2560.0]))
def test_snapping_a_centre_again_gives_the_same_grid(lon, lat, size_m):
    found = location(lon, lat, size_m)
    assume(abs(found.lat) > 1e-9)
    assume(grid.MIN_LAT <= found.lat < grid.MAX_LAT)
    assume(grid.utm_epsg(found.lon, found.lat) == found.epsg)  # draws refuse the few metres where it is not so
    assert grid.snapped(found.lon, found.lat, size_m) == (found.epsg, found.x0_m, found.y0_m)


@given(LON, LAT, ANY_SIZE)
def test_the_id_says_the_grid(lon, lat, size_m):
    epsg, x0, y0 = grid.snapped(lon, lat, size_m)
    name = grid.location_id(epsg, x0, y0, size_m)
    zone, west, south = name.split("-")
    number = (int(part.replace("m", "-").replace("p", ".")) for part in (west, south))
    assert (32600 if zone[-1] == "n" else 32700) + int(zone[3:5]) == epsg
    assert tuple(number) == (x0, y0 - size_m)


def test_ids_of_other_crs_and_fractions():
    assert grid.location_id(3035, 4321000.5, 3210000, 1000) == "epsg3035-4321000p5-3209000"
    assert grid.location_id(32601, -60, 2640, 2640) == "utm01n-m60-0"


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # odc-geo 0.5 on affine 3
@given(LON, LAT, st.sampled_from([10.0, 20.0, 60.0]))
def test_geobox_is_that_of_odc(lon, lat, res_m):
    found = location(lon, lat)
    box = grid.geobox(found, res_m)
    south, east = found.y0_m - found.size_m, found.x0_m + found.size_m
    oracle = GeoBox.from_bbox(
        BoundingBox(found.x0_m, south, east, found.y0_m, f"EPSG:{found.epsg}"), resolution=res_m, tight=True
    )
    assert box == oracle
    assert box.shape == (2640 // res_m,) * 2


@pytest.mark.parametrize("size_m", [0, -60, math.nan])
def test_sizes_that_are_none_are_refused(size_m):
    with pytest.raises(ConfigError, match="expected a positive size"):
        grid.snapped(6, 51, size_m)


@given(st.integers(1, 1000), st.sampled_from([10.0, 20.0, 0.6, 0.1, 3.0, 0.25 / 28]))
def test_a_side_of_so_many_pixels_is_covered_by_so_many(px, step):
    for side in (px * step, math.nextafter(px * step, 0), math.nextafter(px * step, math.inf)):
        assert footprint.pixels_across(side, step) == px
        assert footprint.divides(side, step)
    assert footprint.pixels_across((px + 0.01) * step, step) == px + 1
    assert not footprint.divides((px + 0.01) * step, step)


@pytest.mark.parametrize(
    ("size", "step", "want"),
    [
        (2555, 10, "2550 (255 px) or 2560 (256 px)"),
        (4, 10, "10 (1 px)"),
        (9999, 10, "9990 (999 px) or 10000 (1000 px)"),
    ],
)
def test_the_nearest_sizes_are_told(size, step, want):
    assert footprint.nearest_sizes(size, step) == want


@given(LON, LAT)
def test_footprint_holds_the_centre_and_never_folds(lon, lat):
    found = location(lon, lat)
    outline = grid.footprint(found)
    assert outline.is_valid
    assert outline.contains(shapely.Point(found.lon, found.lat))
    back = grid.transformer(4326, found.epsg).transform(*outline.exterior.coords.xy)
    assert np.allclose(shapely.Polygon(np.column_stack(back)).area, found.size_m**2, rtol=1e-6)


@given(LON, LAT, ANY_SIZE, st.integers(-3000, 3000), st.integers(-3000, 3000))
def test_a_scene_of_the_same_zone_is_cropped_exactly(lon, lat, size_m, columns, rows):
    found = location(lon, lat, size_m)
    for res_m in (10.0, 20.0, 60.0):
        scene = Affine(res_m, 0, found.x0_m - 60 * columns, 0, -res_m, found.y0_m + 60 * rows)
        assert grid.offset_px(found, scene, found.epsg, res_m) == (columns * 60 // res_m, rows * 60 // res_m)


@pytest.mark.parametrize(
    "wrong",
    [
        Affine(10, 0, 5, 0, -10, 0), Affine(10, 0, 0, 0, -10, 5), Affine(20, 0, 0, 0, -20, 0), Affine(10, 0, 0, 0, 10, 0),
        Affine(10, 0.1, 0, 0, -10, 0), Affine(10, 0, 0, 0.1, -10, 0), Affine(10, 0, 0.01, 0, -10, 0),
    ],
)  # fmt: skip
def test_what_is_no_exact_crop_is_not_cropped(wrong):
    found = location(6, 51)
    moved = Affine(wrong.a, wrong.b, wrong.c + found.x0_m, wrong.d, wrong.e, wrong.f + found.y0_m)
    assert grid.offset_px(found, moved, found.epsg, 10) is None


def test_another_crs_is_never_cropped():
    found = location(6, 51)
    scene = Affine(10, 0, found.x0_m, 0, -10, found.y0_m)
    assert grid.offset_px(found, scene, found.epsg + 1, 10) is None
    assert grid.offset_px(found, scene, None, 10) is None


def test_every_utm_code_is_a_utm_crs():
    for epsg in (*range(32601, 32661), *range(32701, 32761)):
        assert CRS.from_epsg(epsg).utm_zone == f"{epsg % 100}{'N' if epsg < 32700 else 'S'}"
