"""Shapes that are folded at the antimeridian: their longitudes made to run on beyond 180°. Pure."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

Shapes = NDArray[np.object_]


def unfolded(shapes: Shapes) -> Shapes:
    """The shapes in degrees, those that are folded as `run_on` has them.

    A ring from 179 to -179 is 2° wide, not 358°: folded is what is wider than 180°, and narrower the other way round. What
    is as wide either way stays as it is, and so does what goes around the globe, of which the other way nothing is left.
    """
    out, width = shapes.copy(), width_deg(shapes)
    wide = np.flatnonzero(width > 180)
    east = run_on(shapes[wide])
    other = width_deg(east)
    folded = (other < width[wide]) & (other > 0)
    out[wide[folded]] = east[folded]
    return out


def run_on(shapes: Shapes) -> Shapes:
    """The shapes in two dimensions, negative longitudes a turn further east."""
    flat: Shapes = shapely.force_2d(shapes)
    lon, lat = shapely.get_coordinates(flat).T
    return np.asarray(shapely.set_coordinates(flat, np.column_stack([np.where(lon < 0, lon + 360, lon), lat])))


def by_parts(shapes: Shapes) -> Shapes:
    """As `unfolded`, in two dimensions, each part by itself: what is cut at the antimeridian stays on either side of it."""
    flat: Shapes = shapely.force_2d(shapes)
    return np.asarray(shapely.set_coordinates(flat, shapely.get_coordinates(unfolded(shapely.get_parts(flat)))))


def width_deg(shapes: Shapes) -> NDArray[np.float64]:
    """Degrees of longitude of each; NaN of what has none."""
    west, _, east, _ = shapely.bounds(shapes).T
    with np.errstate(invalid="ignore"):  # far outside a CRS coordinates are infinite
        return np.asarray(east - west)
