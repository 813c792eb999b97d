"""Shapes that are folded at the antimeridian run on beyond it; what is truly wide does not."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from curation.places import antimeridian

LAND = shapely.Polygon([(-17, 15), (-5, 36), (60, 70), (180, 68), (120, 20), (40, -20), (5, 5)])
"""As Africa and Eurasia are one in maps of the world: 197° wide."""


def some(*shapes: shapely.Geometry) -> np.ndarray:
    out = np.empty(len(shapes), object)
    out[:] = shapes
    return out


def test_what_is_folded_runs_on():
    ring = shapely.Polygon([(179, 0), (-179, 0), (-179, 1), (179, 1)])
    line = shapely.LineString([(170, 5), (-170, 6)])
    found = antimeridian.unfolded(some(ring, line))
    assert found[0].equals(shapely.box(179, 0, 181, 1))
    assert found[1].equals(shapely.LineString([(170, 5), (190, 6)]))


@pytest.mark.parametrize("shape", [LAND, shapely.box(-180, -90, 180, 90), shapely.box(0, 0, 359, 1), shapely.Polygon()])
def test_what_is_wider_than_half_the_globe_either_way_stays_as_it_is(shape):
    assert antimeridian.unfolded(some(shape))[0].equals_exact(shape, 0)


def test_each_part_is_by_itself():
    cut = shapely.MultiPolygon([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)])
    ring = shapely.Polygon([(179, 2), (-179, 2), (-179, 3), (179, 3)])
    both = shapely.MultiPolygon([ring, shapely.box(-5, 0, 5, 1)])
    found = antimeridian.by_parts(some(cut, both))
    assert found[0].equals(cut)
    assert found[1].equals(shapely.MultiPolygon([shapely.box(179, 2, 181, 3), shapely.box(-5, 0, 5, 1)]))
