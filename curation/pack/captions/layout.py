"""Where in a picture a class lies: by its centre of mass, and by how much of it lies there. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]

THROUGHOUT, CENTRE = "throughout", "centre"

COMPASS = ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")
"""Clockwise, north up: rows of pictures go from north to south."""

POSITIONS = (THROUGHOUT, CENTRE, *COMPASS)

LEAST_PX = 50
"""A class of fewer pixels lies nowhere in particular: a few fields' edges would decide."""

OFF_CENTRE, WELL_OFF_CENTRE = 0.15, 0.3
"""Distance of the centre of mass from the picture's, in half sides: up to the first it is not off, from the second on it is.
Of a class in all of one half it is 0.5, in one quarter 0.7."""

EVEN, COMPACT = 0.9, 0.85
"""Root mean square distance from the centre of mass, by that of the whole picture: from the first on a class is spread as
evenly as the picture itself, up to the second it is not. Of one in all of one half it is 0.79."""

OF_A_QUARTER, OF_A_HALF, OF_THE_MIDDLE, OF_EACH_QUARTER = 0.6, 0.8, 0.6, 0.15
"""Least share of a class's pixels that lie in the quarter, the half, or the middle quarter that it is said to be in; and in
each quarter of one that is everywhere. Of one that is spread evenly these are 0.25, 0.5, 0.25 and 0.25."""


def position(mask: Bools) -> str | None:
    """One of `POSITIONS`, or None where none is true: the class is lopsided and yet everywhere, in two corners, or tiny.

    Args:
        mask: (y, x), where the class is; north up.
    """
    row, column = np.nonzero(mask)
    if len(row) < LEAST_PX:
        return None
    east = (column + 0.5) * 2 / mask.shape[1] - 1
    north = 1 - (row + 0.5) * 2 / mask.shape[0]
    x, y = float(east.mean()), float(north.mean())
    spread = float(np.sqrt(((east - x) ** 2 + (north - y) ** 2).mean()) / np.sqrt(2 / 3))
    away = float(np.hypot(x, y))
    if spread >= EVEN and away <= OFF_CENTRE and _quarters(east, north).min() >= OF_EACH_QUARTER:
        return THROUGHOUT
    if away <= OFF_CENTRE and ((np.abs(east) <= 0.5) & (np.abs(north) <= 0.5)).mean() >= OF_THE_MIDDLE:
        return CENTRE
    if away < WELL_OFF_CENTRE or spread > COMPACT:
        return None
    return _side(east, north, x, y)


def _quarters(east: NDArray[np.float64], north: NDArray[np.float64]) -> NDArray[np.float64]:
    number = 2 * (north > 0) + (east > 0)
    return np.bincount(number, minlength=4) / len(number)


def _side(east: NDArray[np.float64], north: NDArray[np.float64], x: float, y: float) -> str | None:
    """The side that the centre of mass lies towards, where so much of the class lies there, too."""
    side = towards(x, y)
    there = np.ones(len(east), bool)
    for word, axis in (("north", north), ("south", -north), ("east", east), ("west", -east)):
        if word in side:
            there &= axis > 0
    return side if there.mean() >= (OF_A_QUARTER if "-" in side else OF_A_HALF) else None


def towards(x: float, y: float) -> str:
    """The point of the compass that (east, north) lies towards: of eight the nearest."""
    return COMPASS[round(np.degrees(np.arctan2(x, y)) / 45) % 8]
