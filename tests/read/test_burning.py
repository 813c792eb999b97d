"""Shapes on the grid of a place: the pixels that a shape holds, no others, and as much ground as it has."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from curation.errors import ReadError
from curation.model import Location
from curation.places import grid
from curation.read import burning, shapes
from curation.read.burning import Ground, Painted


def place(x0: float = 600_000, y0: float = 5_000_000, size: float = 480, epsg: int = 32632) -> Location:
    lon, lat = grid.transformer(epsg, 4326).transform(x0 + size / 2, y0 - size / 2)
    return Location("a", lon, lat, epsg, x0, y0, size, "europe")


def geometries(*some: shapely.Geometry) -> np.ndarray:
    out = np.empty(len(some), object)
    out[:] = some
    return out


HERE = Ground(place(), 10)


def box(west: float, south: float, east: float, north: float) -> shapely.Polygon:
    """A box in metres east and south of the place's corner."""
    return shapely.box(600_000 + west, 5_000_000 - south, 600_000 + east, 5_000_000 - north)


@given(st.tuples(*[st.integers(0, 47)] * 2), st.tuples(*[st.integers(1, 48)] * 2), st.booleans())
def test_an_edge_on_an_edge_of_pixels_labels_the_pixels_inside_and_no_other(corner, size, as_area: bool):
    (row, col), (height, width) = corner, size
    rows, cols = slice(row, min(row + height, 48)), slice(col, min(col + width, 48))
    mine = box(10 * cols.start, 10 * rows.stop, 10 * cols.stop, 10 * rows.start)
    layer = Painted(2, geometries(HERE.square), geometries(mine)) if as_area else Painted(2, geometries(mine))
    want = np.full((48, 48), 3, "uint8")
    want[rows, cols] = 2
    np.testing.assert_array_equal(burning.burnt(HERE, [layer], 3, "uint8"), want)
    true, burnt = burning.areas_m2(HERE, [layer], [2]), burning.burnt_m2(HERE, want, [2])
    np.testing.assert_allclose(true, burnt, rtol=1e-5)  # the scale of UTM differs from one side to the other


def test_what_is_told_is_of_shapes_that_have_a_pixel_left():
    area = geometries(box(0, 480, 250, 0))
    shapes = geometries(
        box(0, 100, 100, 0), box(300, 100, 400, 0), box(100, 400, 200, 300), box(52, 303, 56, 301), box(0, 200, 50, 150)
    )
    texts = np.array(["seen", "outside", "covered", "narrow", ""])
    layers = [
        Painted(1, shapes, area, {"of": texts}),
        Painted(2, geometries(box(90, 410, 210, 290)), area, {"by": np.array(["over"])}),
    ]
    assert burning.stated(HERE, layers) == {"of": {"seen"}, "by": {"over"}}
    assert burning.stated(HERE, layers, all_touched=True) == {"of": {"seen", "narrow"}, "by": {"over"}}
    assert burning.stated(HERE, layers[:1]) == {"of": {"seen", "covered"}}


def test_the_later_lies_over_the_earlier_and_outside_the_area_is_nodata_whatever_is_touched():
    area = geometries(box(0, 480, 253, 0))
    layers = [
        Painted(0, geometries(HERE.square), area),
        Painted(2, geometries(box(101, 299, 480, 199)), area),
        Painted(1, geometries(box(199, 480, 221, 0)), area),
    ]
    codes = burning.burnt(HERE, layers, 3, "uint8", all_touched=True)
    want = np.zeros((48, 48), "uint8")
    want[19:30, 10:], want[:, 19:23], want[:, 25:] = 2, 1, 3
    np.testing.assert_array_equal(codes, want)
    # Flood of 98 m to the water and of 32 m behind it, 100 m high; the area ends at 253 m.
    true = burning.areas_m2(HERE, layers, [0, 1, 2])
    np.testing.assert_allclose(true, [253 * 480 - 22 * 480 - 13_000, 22 * 480, 13_000], rtol=1e-3)


def test_lines_are_burnt_where_pixels_are_touched_and_have_no_area():
    line = geometries(shapely.LineString([(600_003, 4_999_997), (600_477, 4_999_997)]))
    layers = [Painted(1, line)]
    assert np.count_nonzero(burning.burnt(HERE, layers, 0, "uint8", all_touched=True)) == 48
    assert burning.areas_m2(HERE, layers, [1]).tolist() == [0]


PRODUCTS = ("01VERONA_DEL", "01VERONA_DEL_MONIT01", "08PORDENONE_DEL", "09VENEZIA_DEL")


@pytest.mark.parametrize("shift_m", [0, 5])
@pytest.mark.parametrize("product", PRODUCTS)
def test_delineations_of_a_flood_keep_their_area_wherever_the_grid_lies(shared: Path, product: str, shift_m: int):
    path = shared / f"data/cems-emsr332/EMSR332_{product}_v1_observed_event_a.shp"
    layer = shapes.opened(path, None, "layer")
    table = gpd.read_file(path)
    true = table.to_crs(6933).union_all().area  # cylindrical and equal-area: another way than ours
    west, south, east, north = table.to_crs(32632 if "VERONA" in product else 32633).total_bounds
    epsg, side, total = 32632 if "VERONA" in product else 32633, 10_000, 0.0
    for x in np.arange(west // 60 * 60 - 60 + shift_m, east, side):
        for y in np.arange((north // 60 + 1) * 60 + shift_m, south, -side):
            ground = Ground(place(float(x), float(y), side, epsg), 10)
            found = layer.near(ground.boxes(layer.crs), [])
            codes = burning.burnt(ground, [Painted(2, ground.moved(found.geometry, layer.crs))], 3, "uint8")
            total += burning.burnt_m2(ground, codes, [2])[0]
    assert total == pytest.approx(true, rel=0.01)


def test_a_straight_edge_of_degrees_runs_as_it_does_there():
    # 215 km along a parallel, which bends in UTM.
    there = Ground(place(500_000 - 5_000, 5_539_109 + 5_000, 10_000), 10)
    long = geometries(shapely.box(7.5, 49, 10.5, 50))
    moved = there.moved(long, CRS(4326))
    _, lat = grid.transformer(32632, 4326).transform(*shapely.get_coordinates(moved[0]).T)
    assert np.max(lat) == pytest.approx(50, abs=1e-8)
    lon = np.linspace(8.95, 9.05, 101)
    along = np.column_stack(grid.transformer(4326, 32632).transform(lon, np.full_like(lon, 50)))
    assert shapely.distance(shapely.points(along), moved[0].boundary).max() < 0.002


def test_shapes_on_either_side_of_the_antimeridian_are_burnt():
    lon, lat = 180.0, -17.0
    epsg, x0, y0 = grid.snapped(lon, lat, 9_600)
    ground = Ground(Location("a", lon, lat, epsg, x0, y0, 9_600, "world"), 10)
    both = geometries(shapely.box(179.9, -17.01, 180, -16.99), shapely.box(-180, -17.01, -179.9, -16.99))
    boxes = ground.boxes(CRS(4326))
    assert all(any(shapely.intersects(shapely.box(*b), s) for b in boxes) for s in both)
    codes = burning.burnt(ground, [Painted(1, ground.moved(both, CRS(4326)))], 0, "uint8")
    assert (codes[480] == 1).all()


@pytest.mark.parametrize("whole", [True, False])
def test_a_ring_that_is_folded_at_the_antimeridian_is_burnt_there_and_nowhere_else(tmp_path, monkeypatch, whole: bool):
    monkeypatch.setattr(shapes, "WHOLE_BYTES", 2**30 if whole else 0)
    ring = shapely.Polygon([(179.995, -17.01), (-179.995, -17.01), (-179.995, -16.99), (179.995, -16.99)])
    gpd.GeoDataFrame(geometry=[ring], crs=4326).to_file(tmp_path / "a.gpkg")
    layer = shapes.opened(tmp_path / "a.gpkg", None, "layer")
    for lon, apart_deg in ((180.0, 0.01), (3.0, 0.0)):
        epsg, x0, y0 = grid.snapped(lon, -17.0, 9_600)
        ground = Ground(Location("a", lon, -17.0, epsg, x0, y0, 9_600, "world"), 10)
        found = layer.near(ground.boxes(layer.crs), [])
        codes = burning.burnt(ground, [Painted(1, ground.moved(found.geometry, layer.crs))], 0, "uint8")
        ground_m2 = apart_deg * 0.02 * 111_320**2 * np.cos(np.radians(17))
        assert np.count_nonzero(codes) * 100 == pytest.approx(ground_m2, rel=0.03)
        assert not found.mended.any()


def test_a_crs_that_does_not_reach_a_place_is_told():
    with pytest.raises(ReadError, match="beyond where the CRS"):
        Ground(place(), 10).boxes(CRS.from_proj4("+proj=gnom +lat_0=-45 +lon_0=-171"))
