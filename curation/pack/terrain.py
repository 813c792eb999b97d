"""What follows from heights: slope and aspect, on the ground. Pure.

Heights are differenced between the pixels beside one (central differences, exact on a plane). Where one of the two has no
height, or lies beyond the patch, the pixel itself takes its place; where both lack, nothing is known. So nodata never
enters, and edges have one-sided differences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def gradient(heights: Floats, ground: Floats) -> tuple[Floats, Floats]:
    """How heights rise to the east and to the north, metres per metre on the ground, each (y, x).

    Args:
        heights: (y, x), metres, NaN where there is none.
        ground: (y, 2, 2), metres east and north of one column and of one row on (`grid.ground_axes`).

    Returns:
        NaN where the pixel has no height, or no pixel beside it has one along its row, or along its column.
    """
    by_column, by_row = _difference(heights.T).T, _difference(heights)
    (east_x, north_x), (east_y, north_y) = (ground[:, axis].T[..., None] for axis in (0, 1))
    area = east_x * north_y - north_x * east_y
    return (by_column * north_y - by_row * north_x) / area, (by_row * east_x - by_column * east_y) / area


def _difference(heights: Floats) -> Floats:
    """Metres of height per row on."""
    padded = np.pad(heights, ((1, 1), (0, 0)), constant_values=np.nan)
    before, after = padded[:-2], padded[2:]
    there = (~np.isnan(before)).astype(np.float64) + ~np.isnan(after)
    rise = np.where(np.isnan(after), heights, after) - np.where(np.isnan(before), heights, before)
    out: Floats = np.full(heights.shape, np.nan)
    np.divide(rise, there, out=out, where=there > 0)
    return out


def slope(heights: Floats, ground: Floats) -> Floats:
    """Rise over run, metres per metre, (y, x); 0.1 is a slope of 10 %. Arguments and NaN as of `gradient`."""
    return np.hypot(*gradient(heights, ground))


def aspect(heights: Floats, ground: Floats) -> Floats:
    """Where the ground falls to, degrees clockwise from true north, 0 to 360; NaN where it is level, too."""
    east, north = gradient(heights, ground)
    towards = np.degrees(np.arctan2(-east, -north)) % 360
    return np.where((east == 0) & (north == 0), np.nan, np.where(towards == 360, 0.0, towards))


WAYS: Mapping[str, Callable[[Floats, Floats], Floats]] = {"slope": slope, "aspect": aspect}
"""What `terrain` of a derived array names."""
