"""Pixels to images: (band, y, x) in, (y, x, 4) uint8 RGBA out, transparent where there is no data. Pure.

Values are stretched for display only; pixels stay what they are, one for one, unless `reduced` says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Colormap, LinearSegmentedColormap
from numpy.typing import NDArray

from curation.model import Location
from curation.places import grid
from curation.recipe.arrays import ArraySpec
from curation.report import palette

Image = NDArray[np.uint8]

LAND = LinearSegmentedColormap.from_list(
    "land", ["#3f7f5f", "#86a86a", "#cfc48a", "#c29a68", "#9a6f55", "#b9aaa3", "#f4f2ef"]
)
"""Heights, from the lowest of the patch to its highest."""

GREY = LinearSegmentedColormap.from_list("grey", ["#000000", "#ffffff"])
"""Single bands."""

FIELD = colormaps["viridis"]
"""Columns of a gas, and other fields without a colour of their own."""


def shaded(values: NDArray[Any], limits: tuple[float, float], colours: Colormap) -> Image:
    """(y, x, 4) of values (y, x) between two limits; transparent where they are not finite."""
    low, high = limits
    known = np.isfinite(values)
    scaled = np.clip((np.where(known, values, low) - low) / (high - low), 0, 1)
    return _rgba(np.round(255 * np.asarray(colours(scaled))[..., :3]).astype(np.uint8), known)


@dataclass(frozen=True, slots=True)
class Stretch:
    """How values become brightness: linear from `low` to `high` per band, then a gamma."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    gamma: float = 1.0

    def __call__(self, bands: NDArray[Any], nodata: float | None = None) -> Image:
        """(y, x, 4) of (3, y, x); transparent where a band has no data."""
        low, high = (np.array(v, np.float64)[:, None, None] for v in (self.low, self.high))
        unit = np.clip((np.nan_to_num(bands.astype(np.float64)) - low) / np.maximum(high - low, 1e-12), 0, 1)
        colour = np.round(255 * unit ** (1 / self.gamma)).astype(np.uint8)
        holes = ~np.isfinite(bands).all(axis=0)
        if nodata is not None:
            holes |= (bands == nodata).any(axis=0)
        return _rgba(np.moveaxis(colour, 0, -1), ~holes)


def optical_stretch(images: Sequence[NDArray[Any]], nodata: float) -> Stretch:
    """One stretch for all images (3, y, x) of a place, so that its seasons compare.

    Each band begins at its own 1st percentile over all of them, which takes the haze off. All bands end at one value, which
    keeps the colours: the median over the images of the brightest band's 98th percentile, so that one season under snow does
    not darken the others. Gamma 1.4.
    """
    valid = [i[:, (i != nodata).all(axis=0)].astype(np.float64) for i in images]
    valid = [v for v in valid if v.size]
    if not valid:
        return Stretch((0.0,) * 3, (1.0,) * 3)
    low = tuple(np.percentile(np.concatenate(valid, axis=1), 1, axis=1).tolist())
    high = float(np.median([np.percentile(v, 98, axis=1).max() for v in valid]))
    return Stretch(low, tuple(max(high, b + 1) for b in low), 1.4)


def ranged(planes: Sequence[NDArray[Any]], limits: Sequence[tuple[float, float]]) -> Image:
    """(y, x, 4) of three planes (y, x) as red, green and blue, each between its own limits."""
    low, high = zip(*limits, strict=True)
    return Stretch(low, high)(np.stack(planes))


def class_map(codes: NDArray[Any], colours: Mapping[int, str]) -> Image:
    """(y, x, 4) of (y, x) codes in their colours; transparent where a code has none."""
    out = np.zeros((*codes.shape, 4), np.uint8)
    for code, colour in colours.items():
        out[codes == code] = (*palette.rgb(colour), 255)
    return out


def pixel_m(place: Location, array: ArraySpec) -> float:
    """Side of a pixel of a patch, metres: the mean of its height and width."""
    return sum(grid.pixel_m(place, array.step(place.size_m))) / 2


def exaggeration(height: NDArray[Any], res_m: float) -> int:
    """By how much heights are multiplied before they are lit, 1 to 10: gentle land would look flat."""
    dy, dx = np.gradient(height.astype(np.float64), res_m)
    slope = math.degrees(math.atan(float(np.hypot(dx, dy).mean())))
    return int(np.clip(round(10 / max(slope, 0.1)), 1, 10))


def hillshade(height: NDArray[Any], res_m: float, exaggerated: float = 1.0) -> NDArray[np.float64]:
    """How bright a surface (y, x) is, 0 to 1, lit from the north-west at 45°; level ground is 0.71.

    Args:
        height: metres, y going south.
        res_m: pixel size.
        exaggerated: heights are multiplied by this first.
    """
    south, east = np.gradient(height.astype(np.float64) * exaggerated, res_m)
    light = np.array([-0.5, 0.5, math.sqrt(0.5)])  # east, north, up
    normal = np.stack([-east, south, np.ones_like(east)])
    normal /= np.linalg.norm(normal, axis=0)
    out: NDArray[np.float64] = np.clip(np.tensordot(light, normal, 1), 0, 1)
    return out


def height_limits(height: NDArray[Any], nodata: float) -> tuple[float, float]:
    """What heights are coloured between: the patch's own least and greatest, at least 10 m apart."""
    valid = height[height != nodata]
    if not valid.size:
        return 0.0, 10.0
    low, high = float(valid.min()), float(valid.max())
    middle, half = (low + high) / 2, max(high - low, 10.0) / 2
    return middle - half, middle + half


def relief(height: NDArray[Any], res_m: float, nodata: float) -> Image:
    """(y, x, 4) of heights (y, x): coloured from lowest to highest, and shaded."""
    valid = height != nodata
    low, high = height_limits(height, nodata)
    filled = np.where(valid, height, low).astype(np.float64)
    colour = np.asarray(LAND((filled - low) / (high - low)))[..., :3]
    shade = hillshade(filled, res_m, exaggeration(filled, res_m)) / math.sqrt(0.5)  # level ground keeps its colour
    return _rgba(np.round(255 * np.clip(colour * (0.35 + 0.65 * shade[..., None]), 0, 1)).astype(np.uint8), valid)


def reduced(values: NDArray[Any], factor: int) -> NDArray[Any]:
    """(band, y, x) or (y, x) with each `factor` × `factor` block averaged; what is left at the edge is cut."""
    y, x = (n // factor for n in values.shape[-2:])
    cut = values[..., : y * factor, : x * factor].astype(np.float64)
    out: NDArray[Any] = cut.reshape(*values.shape[:-2], y, factor, x, factor).mean(axis=(-3, -1))
    return out


def thinned(codes: NDArray[Any], factor: int) -> NDArray[Any]:
    """(y, x) codes, the middle one of each `factor` × `factor` block."""
    return codes[factor // 2 :: factor, factor // 2 :: factor]


def _rgba(colour: Image, valid: NDArray[np.bool_]) -> Image:
    return np.dstack([colour, np.where(valid, 255, 0).astype(np.uint8)])
