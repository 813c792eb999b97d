"""Footprints as items state them, across the antimeridian and over a pole."""

from __future__ import annotations

import pytest
import shapely

from curation.scenes import footprint
from tests.scenes.catalog import RING


@pytest.mark.parametrize(
    "coordinates",
    [
        pytest.param(RING, id="folded"),
        pytest.param([(x % 360, y) for x, y in RING], id="running on"),
        pytest.param([((x % 360) - 360, y) for x, y in RING], id="running on westwards"),
    ],
)
def test_a_footprint_across_the_antimeridian_holds_what_it_holds_and_no_more(coordinates):
    shape = footprint.read({"type": "Polygon", "coordinates": [coordinates]})
    assert shape.is_valid
    assert shape.area == pytest.approx(2)
    assert shape.equals(shapely.union_all([shapely.box(179, -17, 180, -16), shapely.box(-180, -17, -179, -16)]))


def test_a_footprint_in_two_parts_stays_as_it_is():
    two = shapely.union_all([shapely.box(179, -17, 180, -16), shapely.box(-180, -17, -179, -16)])
    assert footprint.read(shapely.geometry.mapping(two)).equals(two)


def test_a_footprint_of_all_the_globe_is_that():
    globe = shapely.box(-180, -90, 180, 90)
    assert footprint.read(shapely.geometry.mapping(globe)).equals(globe)


def test_an_orbit_that_holds_the_pole_is_as_wide_as_it_is_drawn():
    cap = [[-180, 90], [-180, 60], [10, -60], [30, -60], [180, 60], [180, 90], [-180, 90]]
    orbit = {"type": "Polygon", "coordinates": [cap]}
    found = footprint.read(orbit, may_hold_a_pole=True)
    for place in ((16, 78), (8, 60), (20, 0), (25, -31), (-100, 85)):
        assert found.intersects(shapely.Point(place)), place
    assert found.bounds[0] >= -180
    assert found.bounds[2] <= 180
