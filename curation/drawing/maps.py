"""Locations on a map: land from the packaged mask, a graticule, what became of each.

Plate carrée, true to scale along its middle parallel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from curation import grid
from curation.drawing import embed
from curation.drawing.embed import INK
from curation.drawing.palette import OUTCOMES
from curation.locate import land
from curation.model import Location

SPREAD_DEG = 25.0
"""Locations that span more than this are also shown on the whole world."""

_LEAST_DEG, _LEAST_ALONE_DEG = 0.3, 1.2
"""Least span of a map, and of one with a single place: the land mask has cells of 1/120°, and a place wants surroundings."""

_LAND = (128, 134, 120, 70)
_SEA = (80, 140, 190, 34)
_MARKER = {"complete": "o", "rejected": "X", "failed": "D", "pending": "o"}
_DRAWN_TO_SCALE = 400
"""Up to so many locations are drawn as their footprints, where these are large enough to be seen."""

Floats = NDArray[np.float64]


def spread(places: Sequence[Location]) -> bool:
    """Whether a map of the whole world says something."""
    west, south, east, north = _bounds(places, 0.0)
    return max(east - west, north - south) > SPREAD_DEG


def world(states: Mapping[str, str], places: Sequence[Location], name: str, alt: str) -> str:
    """The whole Earth with every location as a dot; `states` is location id → complete, rejected, failed or pending."""
    with embed.style():
        figure = Figure(figsize=(13.2, 5.6))
        axes: Axes = figure.add_axes((0.035, 0.06, 0.945, 0.93))
        lat = [p.lat for p in places]
        _ground(axes, (-180, max(min(-60.0, *lat) - 2, -90.0), 180, min(max(84.0, *lat) + 2, 90.0)), 1440)
        _dots(axes, states, places, places_lon(places, 0.0), 7)
        _graticule(axes, figure)
        return embed.svg(figure, name, alt)


def region(states: Mapping[str, str], places: Sequence[Location], name: str, alt: str) -> str:
    """The locations and the land around them."""
    with embed.style():
        bounds = west, south, east, north = _bounds(places, 0.08)
        squeeze = math.cos(math.radians((south + north) / 2))
        width = 4.7
        height = float(np.clip(width * (north - south) / ((east - west) * squeeze), 2.2, 5.2))
        figure = Figure(figsize=(width + 0.55, height + 0.35))
        full_x, full_y = width + 0.55, height + 0.35
        axes: Axes = figure.add_axes((0.5 / full_x, 0.25 / full_y, width / full_x, height / full_y))
        _ground(axes, bounds, 700)
        axes.set_aspect(1 / squeeze, adjustable="box", anchor="NW")
        points_per_deg = 72 * width / (east - west)
        side_points = grid.side_m(places[0]) / 111_320 * points_per_deg
        if side_points >= 4 and len(places) <= _DRAWN_TO_SCALE:
            _footprints(axes, states, places, (west + east) / 2)
        else:
            _dots(
                axes, states, places, places_lon(places, (west + east) / 2), float(np.clip(4000 / len(places), 3, 26))
            )
        _graticule(axes, figure)
        return embed.svg(figure, name, alt)


def places_lon(places: Sequence[Location], middle: float) -> Floats:
    """Longitudes within half a turn of `middle`, so that places across the antimeridian lie side by side."""
    lon = np.array([p.lon for p in places])
    return middle + (lon - middle + 180.0) % 360.0 - 180.0


def _bounds(places: Sequence[Location], margin: float) -> tuple[float, float, float, float]:
    """West, south, east and north around the places; longitudes may run beyond ±180."""
    angles = np.radians([p.lon for p in places])
    middle = math.degrees(math.atan2(float(np.sin(angles).mean()), float(np.cos(angles).mean())))
    lon, lat = places_lon(places, middle), np.array([p.lat for p in places])
    side = grid.side_m(places[0]) / 111_320
    squeeze = math.cos(math.radians(float(lat.mean())))
    grown = (1 + 2 * margin) / 2
    least = (_LEAST_ALONE_DEG if len(places) == 1 else _LEAST_DEG) / 2 if margin else 0.0
    half_x = max((lon.max() - lon.min()) * grown + side / squeeze, least / squeeze)
    half_y = max((lat.max() - lat.min()) * grown + side, least * 0.7)
    x, y = float(lon.max() + lon.min()) / 2, float(lat.max() + lat.min()) / 2
    return x - half_x, max(y - half_y, -90.0), x + half_x, min(y + half_y, 90.0)


def _ground(axes: Axes, bounds: tuple[float, float, float, float], columns: int) -> None:
    west, south, east, north = bounds
    rows = max(round(columns * (north - south) / (east - west)), 2)
    lon = west + (np.arange(columns) + 0.5) * (east - west) / columns
    lat = north - (np.arange(rows) + 0.5) * (north - south) / rows
    mask = land.is_land(*np.meshgrid(lon, lat))
    image = np.where(mask[..., None], np.array(_LAND, np.uint8), np.array(_SEA, np.uint8))
    axes.imshow(image, extent=(west, east, south, north), interpolation="nearest", aspect="auto", zorder=0)
    axes.set_xlim(west, east)
    axes.set_ylim(south, north)


def _dots(axes: Axes, states: Mapping[str, str], places: Sequence[Location], lon: Floats, size: float) -> None:
    lat = np.array([p.lat for p in places])
    state = np.array([states[p.id] for p in places])
    for kind in reversed(OUTCOMES):
        mine = state == kind
        if mine.any():
            hollow = kind == "pending"
            axes.scatter(
                lon[mine],
                lat[mine],
                s=size,
                marker=_MARKER[kind],
                facecolor="none" if hollow else OUTCOMES[kind],
                edgecolor=OUTCOMES[kind],
                lw=0.7 if hollow else 0.2,
                rasterized=len(places) > 1500,
                zorder=3,
            )


def _footprints(axes: Axes, states: Mapping[str, str], places: Sequence[Location], middle: float) -> None:
    for kind, colour in OUTCOMES.items():
        shapes = [grid.footprint(p, 1) for p in places if states[p.id] == kind]
        if not shapes:
            continue
        rings = [shapely.get_coordinates(s) for s in shapes]
        rings = [np.column_stack([middle + (r[:, 0] - middle + 180.0) % 360.0 - 180.0, r[:, 1]]) for r in rings]
        hollow = kind == "pending"
        hatch = {"rejected": "////", "failed": "xxxx"}.get(kind)
        face = "none" if hollow else colour if hatch is None else (*_unit(colour), 0.35)
        axes.add_collection(
            PolyCollection(rings, facecolors=face, edgecolors=colour, linewidths=0.9, hatch=hatch, zorder=3)
        )


def _unit(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def _graticule(axes: Axes, figure: Figure) -> None:
    west, east = axes.get_xlim()
    steps = [1, 1.5, 3, 4.5, 6, 9, 10] if east - west > 20 else [1, 2, 5, 10]
    axes.apply_aspect()
    wide_in = axes.get_position().width * figure.get_figwidth()
    axes.xaxis.set_major_locator(MaxNLocator(int(np.clip(wide_in / 0.6, 1, 7)), steps=steps))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=steps))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: _degrees((v + 180) % 360 - 180, "E", "W")))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: _degrees(v, "N", "S")))
    axes.grid(color=INK, alpha=0.14, lw=0.5, zorder=1)
    axes.tick_params(length=0, labelsize=7.5)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_alpha(0.3)


def _degrees(value: float, positive: str, negative: str) -> str:
    side = positive if value > 0 else negative if value < 0 else ""
    return f"{abs(value):.5g}°{side}"
