"""What follows from heights: slope and aspect, on the ground, and with the sun which ground it reaches. Pure.

Heights are differenced between the pixels beside one (central differences, exact on a plane). Where one of the two has no
height, or lies beyond the patch, the pixel itself takes its place; where both lack, nothing is known. So nodata never
enters, and edges have one-sided differences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
    np.divide(rise, there, out=out, where=(there > 0) & ~np.isnan(heights))
    return out


def slope(heights: Floats, ground: Floats) -> Floats:
    """Rise over run, metres per metre, (y, x); 0.1 is a slope of 10 %. Arguments and NaN as of `gradient`."""
    return np.hypot(*gradient(heights, ground))


def aspect(heights: Floats, ground: Floats) -> Floats:
    """Where the ground falls to, degrees clockwise from true north, 0 to 360; NaN where it is level, too."""
    east, north = gradient(heights, ground)
    towards = np.degrees(np.arctan2(-east, -north)) % 360
    return np.where((east == 0) & (north == 0), np.nan, np.where(towards == 360, 0.0, towards))


@dataclass(frozen=True, slots=True)
class Sun:
    """Where the sun stood, degrees; NaN where that is not known."""

    zenith_deg: float
    azimuth_deg: float
    """Clockwise from true north."""


def cos_incidence(heights: Floats, ground: Floats, sun: Sun) -> Floats:
    """Cosine of the angle between the sun and the ground's normal, (y, x): 0 or less where the ground is turned away.

    NaN where the gradient has none, and where it is not known where the sun stood.
    """
    east, north = gradient(heights, ground)
    zenith, azimuth = np.radians([sun.zenith_deg, sun.azimuth_deg])
    along = east * np.sin(azimuth) + north * np.cos(azimuth)
    out: Floats = (np.cos(zenith) - np.sin(zenith) * along) / np.sqrt(1 + east**2 + north**2)
    return out


LIT, AWAY, BEHIND = 0.0, 1.0, 2.0
"""Codes of shadow: none, ground turned away from the sun, ground behind other ground."""


def shadow(heights: Floats, ground: Floats, sun: Sun) -> Floats:
    """Where the terrain keeps the sun off, (y, x) of codes; NaN where `cos_incidence` is.

    From each pixel the way to the sun is followed a pixel at a time: where the surface, linear between pixels, rises above
    the ray the pixel is behind it. What lies beyond the patch, or has no height, throws no shadow; the earth is taken as
    level (8 m at 10 km), and a row's pixels as wide as the middle one's. Once the sun has set all is turned away.
    """
    incidence = cos_incidence(heights, ground, sun)
    out = np.where(np.isnan(incidence), np.nan, np.where(incidence <= 0, AWAY, LIT))
    if np.isnan(out).all():
        return out
    if sun.zenith_deg >= 90:
        return np.where(np.isnan(out), np.nan, AWAY)
    azimuth = np.radians(sun.azimuth_deg)
    # Columns and rows of one metre towards the sun, then so far that the longer of both is a pixel.
    towards = np.linalg.solve(ground[len(ground) // 2].T, [np.sin(azimuth), np.cos(azimuth)])
    metres = 1 / np.abs(towards).max()
    column, row = towards * metres
    rise = metres / np.tan(np.radians(sun.zenith_deg)) if sun.zenith_deg > 0 else np.inf
    relief = np.nanmax(heights) - np.nanmin(heights)
    for n in range(1, max(heights.shape)):
        if n * rise > relief:  # nothing is so high
            break
        with np.errstate(invalid="ignore"):
            out[(_towards(heights, n * row, n * column) > heights + n * rise) & (out == LIT)] = BEHIND
    return out


def _towards(heights: Floats, rows: float, columns: float) -> Floats:
    """Heights so many rows and columns on, of which one is whole, linear between pixels; NaN beyond the patch.

    Where one of both pixels has no height the other stands for both, as far as half a pixel from it.
    """
    rows, columns = (round(v) if abs(v - round(v)) < 1e-9 else v for v in (rows, columns))
    first = int(np.floor(rows)), int(np.floor(columns))
    part = rows - first[0] + columns - first[1]
    found = _moved(heights, *first)
    if part == 0:
        return found
    other = _moved(heights, first[0] + (rows != first[0]), first[1] + (columns != first[1]))
    out = found * (1 - part) + other * part
    return np.where(np.isnan(other) & (part <= 0.5), found, np.where(np.isnan(found) & (part >= 0.5), other, out))


def _moved(heights: Floats, rows: int, columns: int) -> Floats:
    out: Floats = np.full(heights.shape, np.nan)
    (to_y, from_y), (to_x, from_x) = _overlap(rows, heights.shape[0]), _overlap(columns, heights.shape[1])
    out[to_y, to_x] = heights[from_y, from_x]
    return out


def _overlap(by: int, length: int) -> tuple[slice, slice]:
    """Where an axis is filled, and from where, when each place has what lies so far on."""
    inside = max(length - abs(by), 0)
    start = min(abs(by), length)
    return (slice(0, inside), slice(start, length)) if by >= 0 else (slice(start, length), slice(0, inside))


WAYS: Mapping[str, Callable[[Floats, Floats, Sun], Floats]] = {
    "slope": lambda heights, ground, _: slope(heights, ground),
    "aspect": lambda heights, ground, _: aspect(heights, ground),
    "cos-incidence": cos_incidence,
    "shadow": shadow,
}
"""What `terrain` of a derived array names."""
