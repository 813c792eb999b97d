"""The search lattice."""

from __future__ import annotations

import math

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.model import Location
from curation.places import grid
from curation.scenes.cells import SearchCell, cell_of
from tests.properties import examples


@given(
    st.floats(-180, 180), st.floats(-79.9, 83.9), st.sampled_from([60.0, 2640.0, 9960.0])
)  # fmt: skip
@settings(max_examples=examples(300), deadline=None)
def test_a_location_lies_in_one_cell_and_its_footprint_in_the_cells_boxes(lon, lat, size_m):
    epsg, x0, y0 = grid.snapped(lon, lat, size_m)
    centre = grid.transformer(epsg, 4326).transform(x0 + size_m / 2, y0 - size_m / 2)
    at = Location("a", *centre, epsg, x0, y0, size_m, "r")
    cell = cell_of(at)
    south, west = cell.row - 90, cell.col - 180
    assert south <= at.lat < south + 1
    assert west <= (at.lon + 180) % 360 - 180 < west + 1
    assert 0 <= cell.col < 360
    boxes = [shapely.box(*b) for b in cell.boxes]
    assert all(-180 <= b[0] < b[2] <= 180 for b in cell.boxes)
    around = shapely.union_all([shapely.affinity.translate(b, t) for b in boxes for t in (-360, 0, 360)])
    assert around.covers(grid.footprint(at))


@given(st.integers(0, 1439), st.integers(1, 719))
@settings(max_examples=examples(300), deadline=None)
def test_the_footprint_of_an_era5_cell_lies_in_the_boxes_of_its_search_cell(column, row):
    lon, lat = column * 0.25 - 180, row * 0.25 - 90
    at = Location("a", lon, lat, 4326, lon - 0.125, lat + 0.125, 0.25, "r")
    cell = cell_of(at)
    boxes = [shapely.box(*b) for b in cell.boxes]
    assert all(-180 <= b[0] < b[2] <= 180 and -90 <= b[1] < b[3] <= 90 for b in cell.boxes)
    around = shapely.union_all([shapely.affinity.translate(b, t) for b in boxes for t in (-360, 0, 360)])
    assert around.covers(grid.footprint(at))
    assert cell.name == SearchCell(cell.row, cell.col).name


def test_search_cells_of_utm_places_are_what_they_were():
    epsg, x0, y0 = grid.snapped(6.0, 51.3, 2640.0)
    cell = cell_of(Location("a", 6.0, 51.3, epsg, x0, y0, 2640.0, "r"))
    assert cell == SearchCell(141, 186)
    assert cell.boxes == [(6 - 0.05 / math.cos(math.radians(52)), 50.95, 7 + 0.05 / math.cos(math.radians(52)), 52.05)]


def test_cells_are_named_by_their_south_west_corner():
    assert [SearchCell(r, c).name for r, c in ((141, 186), (0, 0), (89, 179), (90, 180))] == [
        "n51e006", "s90w180", "s01w001", "n00e000",
    ]  # fmt: skip


@pytest.mark.parametrize(("col", "count"), [(0, 2), (359, 2), (1, 1), (358, 1)])
def test_cells_at_the_antimeridian_have_two_boxes(col, count):
    boxes = SearchCell(73, col).boxes
    assert len(boxes) == count
    if count == 2:
        assert {b[0] for b in boxes} & {-180.0}
        assert {b[2] for b in boxes} & {180.0}
