"""Locations on a map: land from the packaged mask, a graticule, what became of each.

Plate carrée, true to scale along its middle parallel. Up to `MOST_POINTS` are drawn one by one; of more, the share that
is not complete is drawn by hexagon, since of points that lie on each other only the last drawn is seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from curation.cubes.complete import COMPLETE
from curation.model import Location
from curation.places import grid, land
from curation.report import svg
from curation.report.palette import OUTCOMES, rgb
from curation.report.svg import INK

SPREAD_DEG = 25.0
"""Locations that span more than this are also shown on the whole world."""

MOST_POINTS = 1_000
"""Up to so many locations are drawn one by one."""

LACKING = LinearSegmentedColormap.from_list("lacking", [OUTCOMES["complete"], "#e9c46a", "#8c1d2f"])
"""Share of a hexagon's locations that are not complete, from none to all."""

_LEAST_DEG, _LEAST_ALONE_DEG = 0.3, 1.2
"""Least span of a map, and of one with a single place: the land mask has cells of 1/120°, and a place wants surroundings."""
_FLATTEST, _TALLEST = 0.6, 1.5
"""Height of a region's map over its width: a narrow region is shown with what lies beside it."""

_LAND = (128, 134, 120, 70)
_SEA = (80, 140, 190, 34)
_MARKER = {"complete": "o", "rejected": "X", "failed": "D", "pending": "o"}
_DRAWN_TO_SCALE = 400
"""Up to so many locations are drawn as their footprints, where these are large enough to be seen."""
_HEXAGON_IN = 0.085
"""From the centre of a hexagon to its neighbours', inches."""
_LEFT_IN, _RIGHT_IN, _TOP_IN, _BOTTOM_IN, _KEY_IN = 0.52, 0.2, 0.08, 0.25, 0.55

Floats = NDArray[np.float64]
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Hexagons:
    """Locations by hexagon; one number each per hexagon that has any."""

    x: Floats
    """Centres, in the unit of what was binned."""
    y: Floats
    count: NDArray[np.int64]
    """Locations."""
    lacking: Floats
    """Share of them that is not complete."""
    val: Floats
    """Share of them that is not train."""


def hexagons(x: Floats, y: Floats, lacking: NDArray[np.bool_], val: NDArray[np.bool_], step: float) -> Hexagons:
    """Points by the nearest centre of a lattice of hexagons, `step` apart in each row."""
    cell = np.array([step, step * math.sqrt(3)])
    at = np.column_stack([x, y]) / cell
    even = np.round(at)
    odd = np.floor(at) + 0.5
    apart = [(((at - centre) * cell) ** 2).sum(axis=1) for centre in (even, odd)]
    nearest = np.where((apart[0] <= apart[1])[:, None], even, odd)
    centres, which = np.unique(np.round(2 * nearest).astype(np.int64), axis=0, return_inverse=True)
    which = which.reshape(-1)
    count = np.bincount(which, minlength=len(centres))
    share = [np.bincount(which, weights=mark, minlength=len(centres)) / count for mark in (lacking, val)]
    x, y = (centres / 2 * cell).T
    return Hexagons(x, y, count, share[0], share[1])


def spread(places: Sequence[Location]) -> bool:
    """Whether a map of the whole world says something."""
    west, south, east, north = _bounds(places, 0.0)
    return max(east - west, north - south) > SPREAD_DEG


def world(states: Mapping[str, str], places: Sequence[Location], aside: Collection[str], name: str, alt: str) -> str:
    """The whole Earth with every location.

    Args:
        states: location id → complete, rejected, failed or pending.
        places: the locations.
        aside: ids of those that are not of train: they are ringed, or dotted.
        name: of the drawing.
        alt: what it says in words.
    """
    lat = [p.lat for p in places]
    bounds = (-180.0, max(min(-60.0, *lat) - 2, -90.0), 180.0, min(max(84.0, *lat) + 2, 90.0))
    return svg.wide_and_narrow(lambda width: _map(states, places, aside, bounds, 1.0, width), name, alt)


def region(states: Mapping[str, str], places: Sequence[Location], aside: Collection[str], name: str, alt: str) -> str:
    """The locations and the land around them; what is given is as of `world`."""
    bounds = _shaped(_bounds(places, 0.08))
    with svg.style():
        squeeze = math.cos(math.radians((bounds[1] + bounds[3]) / 2))
        return svg.svg(_map(states, places, aside, bounds, squeeze, svg.NARROW_IN), name, alt)


def sides(
    of: Mapping[str, str],
    places: Sequence[Location],
    colours: Mapping[str, str],
    name: str,
    alt: str,
    below: Callable[[Axes, float], None] | None = None,
) -> str:
    """Each place in the colour of its part; those of none lie below, and are small.

    Args:
        of: location id → part, or why it is of none.
        places: the locations.
        colours: by part.
        name: of the drawing.
        alt: what it says in words.
        below: draws what lies below the places, on axes whose middle has that longitude.
    """
    if spread(places):
        lat = [p.lat for p in places]
        bounds = (-180.0, max(min(-60.0, *lat) - 2, -90.0), 180.0, min(max(84.0, *lat) + 2, 90.0))
        return svg.wide_and_narrow(lambda width: _sides(of, places, colours, bounds, 1.0, width, below), name, alt)
    bounds = _shaped(_bounds(places, 0.08))
    with svg.style():
        squeeze = math.cos(math.radians((bounds[1] + bounds[3]) / 2))
        return svg.svg(_sides(of, places, colours, bounds, squeeze, svg.NARROW_IN, below), name, alt)


def _sides(
    of: Mapping[str, str],
    places: Sequence[Location],
    colours: Mapping[str, str],
    bounds: Bounds,
    squeeze: float,
    width_in: float,
    below: Callable[[Axes, float], None] | None,
) -> Figure:
    figure, axes, middle = _empty(bounds, squeeze, width_in)
    if below is not None:
        below(axes, middle)
    lon, lat = places_lon(places, middle), np.array([p.lat for p in places])
    side = np.array([of[p.id] for p in places])
    size = float(np.clip(4000 / len(places), 4, 26))
    # What there is most of below, so that it hides nothing.
    for part in sorted(colours, key=lambda p: (colours[p] != OUTCOMES["pending"], -int((side == p).sum()))):
        mine, none = side == part, colours[part] == OUTCOMES["pending"]
        many = len(places) > MOST_POINTS
        axes.scatter(
            lon[mine], lat[mine], s=size * (0.5 if none else 1), color=colours[part], lw=0, rasterized=many, zorder=3
        )
    _graticule(axes, width_in - _LEFT_IN - _RIGHT_IN)
    return figure


def _empty(bounds: Bounds, squeeze: float, width_in: float, key_in: float = 0.0) -> tuple[Figure, Axes, float]:
    """A figure with land and sea, and the longitude of its middle."""
    west, south, east, north = bounds
    wide = width_in - _LEFT_IN - _RIGHT_IN
    high = wide * (north - south) / ((east - west) * squeeze)
    height_in = high + _TOP_IN + _BOTTOM_IN + key_in
    figure = Figure(figsize=(width_in, height_in))
    axes: Axes = figure.add_axes(
        (_LEFT_IN / width_in, (_BOTTOM_IN + key_in) / height_in, wide / width_in, high / height_in)
    )
    _ground(axes, bounds, round(wide * 110))
    return figure, axes, (west + east) / 2


def note(places: Sequence[Location], aside: Collection[str], *, packed: bool) -> str:
    """What is said below a map of these, beside its counts; `packed`: whether what is not of train is so in shards."""
    its = sum(p.id in aside for p in places)
    counted = f"{its:,}" if packed else f"{its:,}, as planned"
    if len(places) <= MOST_POINTS:
        return f"Ringed: not of train ({counted})." if its else ""
    said = "Each hexagon by the share of its locations that is not complete; the larger, the more it has."
    return said + (f" A dot grows with the share that is not of train ({counted})." if its else "")


def _map(
    states: Mapping[str, str],
    places: Sequence[Location],
    aside: Collection[str],
    bounds: Bounds,
    squeeze: float,
    width_in: float,
) -> Figure:
    west, south, east, _ = bounds
    key_in = _KEY_IN if len(places) > MOST_POINTS else 0.0
    wide = width_in - _LEFT_IN - _RIGHT_IN
    figure, axes, middle = _empty(bounds, squeeze, width_in, key_in)
    deg_in = (east - west) / wide
    state = np.array([states[p.id] for p in places])
    lon, lat = places_lon(places, middle), np.array([p.lat for p in places])
    val = np.array([p.id in aside for p in places])
    side_points = grid.side_m(places[0]) / 111_320 / squeeze / deg_in * 72
    if key_in:
        found = hexagons((lon - west) / deg_in, (lat - south) / (deg_in * squeeze), state != COMPLETE, val, _HEXAGON_IN)
        _hexagons(axes, found, (west, south), (deg_in, deg_in * squeeze))
        _key(figure, found, (_LEFT_IN, wide))
    elif side_points >= 4 and len(places) <= _DRAWN_TO_SCALE:
        _footprints(axes, state, places, val, middle)
    else:
        _points(axes, state, lon, lat, val, float(np.clip(4000 / len(places), 5, 26)))
    _graticule(axes, wide)
    return figure


def places_lon(places: Sequence[Location], middle: float) -> Floats:
    """Longitudes within half a turn of `middle`, so that places across the antimeridian lie side by side."""
    return _beside(np.array([p.lon for p in places]), middle)


def _beside(lon: Floats, middle: float) -> Floats:
    return middle + (lon - middle + 180.0) % 360.0 - 180.0


def _bounds(places: Sequence[Location], margin: float) -> Bounds:
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


def _shaped(bounds: Bounds) -> Bounds:
    """The bounds with room added beside what is narrow, or above and below what is flat, up to the whole Earth."""
    west, south, east, north = bounds
    x, y = (west + east) / 2, (south + north) / 2
    squeeze = math.cos(math.radians(y))
    half_y = (north - south) / 2
    half_x = min(max((east - west) / 2, half_y / _TALLEST / squeeze), 180.0)
    half_y = max(half_y, half_x * squeeze * _FLATTEST)
    return x - half_x, max(y - half_y, -90.0), x + half_x, min(y + half_y, 90.0)


def _ground(axes: Axes, bounds: Bounds, columns: int) -> None:
    west, south, east, north = bounds
    rows = max(round(columns * (north - south) / (east - west)), 2)
    lon = west + (np.arange(columns) + 0.5) * (east - west) / columns
    lat = north - (np.arange(rows) + 0.5) * (north - south) / rows
    mask = land.is_land(*np.meshgrid(lon, lat))
    image = np.where(mask[..., None], np.array(_LAND, np.uint8), np.array(_SEA, np.uint8))
    axes.imshow(image, extent=(west, east, south, north), interpolation="nearest", aspect="auto", zorder=0)
    axes.set_xlim(west, east)
    axes.set_ylim(south, north)


def _by_need(state: NDArray[np.str_]) -> list[str]:
    """The states that occur in the order in which they are drawn: complete first, so that it hides none of the others."""
    return [kind for kind in ("complete", "pending", "rejected", "failed") if (state == kind).any()]


def _points(axes: Axes, state: NDArray[np.str_], lon: Floats, lat: Floats, val: NDArray[np.bool_], size: float) -> None:
    for kind in _by_need(state):
        for ringed in (False, True):
            mine = (state == kind) & (val == ringed)
            hollow = kind == "pending"
            axes.scatter(
                lon[mine],
                lat[mine],
                s=size,
                marker=_MARKER[kind],
                facecolor="none" if hollow else OUTCOMES[kind],
                edgecolor=INK if ringed else OUTCOMES[kind],
                lw=0.8 if ringed else 0.7 if hollow else 0.2,
                zorder=3,
            )


def _footprints(
    axes: Axes, state: NDArray[np.str_], places: Sequence[Location], val: NDArray[np.bool_], middle: float
) -> None:
    for kind in _by_need(state):
        mine = np.flatnonzero(state == kind).tolist()
        rings = [shapely.get_coordinates(grid.footprint(places[n], 1)) for n in mine]
        rings = [np.column_stack([_beside(r[:, 0], middle), r[:, 1]]) for r in rings]
        colour = tuple(c / 255 for c in rgb(OUTCOMES[kind]))
        hatch = {"rejected": "////", "failed": "xxxx"}.get(kind)
        face = "none" if kind == "pending" else colour if hatch is None else (*colour, 0.35)
        axes.add_collection(
            PolyCollection(
                rings,
                facecolors=face,
                edgecolors=[INK if val[n] else OUTCOMES[kind] for n in mine],
                linewidths=[1.4 if val[n] else 0.9 for n in mine],
                hatch=hatch,
                zorder=3,
            )
        )


_CORNERS = np.array([(math.sin(a), math.cos(a)) for a in np.arange(6) * math.pi / 3]) * _HEXAGON_IN / math.sqrt(3)
"""Of a hexagon about its centre, inches."""


def _side(count: NDArray[np.int64], most: int) -> Floats:
    """Side of a hexagon over the greatest: its area grows with the logarithm of what it has, and stays seen."""
    return np.sqrt(0.35 + 0.65 * np.log1p(count) / math.log1p(most))


def _hexagons(axes: Axes, found: Hexagons, origin: tuple[float, float], deg_in: tuple[float, float]) -> None:
    """Hexagons whose centres are in inches from the map's corner."""
    centres = np.column_stack([found.x, found.y])[:, None]
    sides = _side(found.count, int(found.count.max()))[:, None, None]
    many = len(found.x) > 300
    shapes = (centres + _CORNERS * sides) * deg_in + origin
    axes.add_collection(
        PolyCollection(list(shapes), facecolors=LACKING(found.lacking), edgecolors="none", rasterized=many, zorder=3)
    )
    some = found.val > 0
    dots = (centres + _CORNERS * sides * np.sqrt(0.4 * found.val)[:, None, None])[some] * deg_in + origin
    axes.add_collection(PolyCollection(list(dots), facecolors=INK, edgecolors="none", rasterized=many, zorder=4))


def _key(figure: Figure, found: Hexagons, across: tuple[float, float]) -> None:
    """The colour bar, and how large a hexagon of so many locations is."""
    width, height = figure.get_size_inches()
    left, wide = across
    bar_in = min(0.5 * wide, 2.6)
    bar: Axes = figure.add_axes((left / width, 0.36 / height, bar_in / width, 0.09 / height))
    figure.colorbar(
        ScalarMappable(Normalize(0, 100), LACKING), cax=bar, orientation="horizontal", ticks=[0, 25, 50, 75, 100]
    )
    bar.set_xlabel("% not complete", labelpad=1)
    sizes: Axes = figure.add_axes(((left + bar_in + 0.25) / width, 0, 1.4 / width, 0.5 / height))
    sizes.set_xlim(0, 1.4)
    sizes.set_ylim(0, 0.5)
    sizes.set_axis_off()
    most = int(found.count.max())
    counts = np.unique([1, round(math.sqrt(most)), most])
    for n, (count, side) in enumerate(zip(counts.tolist(), _side(counts, most), strict=True)):
        centre = (0.1 + 0.5 * n, 0.405)
        sizes.add_collection(PolyCollection([_CORNERS * side + centre], facecolors=OUTCOMES["pending"]))
        sizes.text(centre[0], 0.32, f"{count:,}", ha="center", va="top", fontsize=8)
    sizes.text(0.0, 0.02, "locations", fontsize=9, va="bottom")


def _graticule(axes: Axes, wide_in: float) -> None:
    west, east = axes.get_xlim()
    steps = [1, 1.5, 3, 4.5, 6, 9, 10] if east - west > 20 else [1, 2, 5, 10]
    axes.xaxis.set_major_locator(MaxNLocator(int(np.clip(wide_in / 0.7, 1, 7)), steps=steps))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=steps))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: _degrees((v + 180) % 360 - 180, "E", "W")))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: _degrees(v, "N", "S")))
    axes.grid(color=INK, alpha=0.14, lw=0.5, zorder=1)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_alpha(0.3)


def _degrees(value: float, positive: str, negative: str) -> str:
    """A longitude or latitude; the equator, and the meridians of 0° and 180°, lie on neither side."""
    side = "" if value in (0, 180, -180) else positive if value > 0 else negative
    return f"{abs(value):.5g}°{side}"
