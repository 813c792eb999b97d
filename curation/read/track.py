"""Where along a track a swath meets a cell."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation.read import gridding
from curation.read.gridding import Floats
from curation.read.netcdf import Netcdf, ask
from curation.read.variables import AROUND, SwathWindow

_COARSE, _FINE = 17, 8
"""Scanlines that are looked at first, and parts that an interval left open is then cut into: of a whole orbit every 1500 km,
190 km, 25 km and all."""

_SLACK = 1.25
"""How much further apart neighbouring scanlines may be than most of those looked at are on average."""


class _Row(NamedTuple):
    """One scanline, seen from a cell."""

    points: Floats
    """(columns, 3) on the unit sphere."""
    near: Floats
    """(columns,) distance from the cell's centre less the spacing to the next footprint; infinite where unknown."""
    nearest: float
    """Least of them; where all are unknown less than any: it tells nothing of the rows beside."""


def located(
    lon_of: tuple[Netcdf, str],
    lat_of: tuple[Netcdf, str],
    shape: tuple[int, int],
    bounds: tuple[float, float, float, float],
    room: int,
) -> list[SwathWindow]:
    """Windows that hold every footprint that may reach a cell; none where there is none.

    At a time `room` bytes are fetched ahead at most. Gaps in the track (scanlines that are missing) are allowed for:
    where one lies the rows on both sides of it are further apart than others.
    """
    west, south, east, north = bounds
    lons = np.array([west, west, west, (west + east) / 2, (west + east) / 2, east, east, east])
    lats = np.clip([south, (south + north) / 2, north, south, north, south, (south + north) / 2, north], -90, 90)
    centre = gridding.unit_vectors(np.array((west + east) / 2), np.array((max(south, -90) + min(north, 90)) / 2))
    reach = float(np.linalg.norm(gridding.unit_vectors(lons, lats) - centre, axis=1).max())
    rows: dict[int, _Row] = {}

    def look(at: Sequence[int], around: int) -> None:
        at = [r for r in at if r not in rows]
        ask([(*of, [SwathWindow(r, r + 1, 0, shape[1]) for r in at]) for of in (lat_of, lon_of)], room)
        lon, lat = (
            [file.values(path, SwathWindow(r, r + 1, 0, shape[1]), around)[0] for r in at]
            for file, path in (lon_of, lat_of)
        )
        for i, r in enumerate(at):
            rows[r] = _seen(gridding.unit_vectors(lon[i], lat[i]), centre)

    look(sorted({round(x) for x in np.linspace(0, shape[0] - 1, min(_COARSE, shape[0]))}), around=0)
    v = _SLACK * float(np.median([apart / (b - a) for a, b, apart in _apart(rows)] or [math.inf]))
    while True:
        more: set[int] = set()
        for a, b, apart in _apart(rows):
            # A row between the two is at most v a row from either, or, behind a gap, as much more as the gap is wide.
            nearest = (rows[a].nearest + rows[b].nearest - v * (b - a)) / 2 - max(apart - v * (b - a), 0.0)
            if b - a > 1 and not nearest > reach + v:
                more |= {a + round((b - a) * k / _FINE) for k in range(1, _FINE)} - {a, b}
        if not more:
            break
        look(sorted(more), AROUND)
    return _windows({r: row.near <= reach + v for r, row in rows.items()}, shape)


def _seen(points: Floats, centre: Floats) -> _Row:
    """A scanline as a cell sees it."""
    spacing = np.zeros(len(points))
    if len(points) > 1:
        between = np.linalg.norm(np.diff(points, axis=0), axis=1)
        between = np.where(np.isnan(between), 0.0, between)
        spacing[1:], spacing[:-1] = between, np.maximum(spacing[:-1], between)
        spacing[1:-1] = np.maximum(between[:-1], between[1:])
    near = np.linalg.norm(points - centre, axis=1) - spacing
    near = np.where(np.isnan(near), np.inf, near)
    nearest = float(near.min())
    return _Row(points, near, nearest if math.isfinite(nearest) else -math.inf)


def _apart(rows: Mapping[int, _Row]) -> list[tuple[int, int, float]]:
    """Scanlines looked at, one and the next, and how far apart on the unit sphere they are; infinite if unknown."""
    out = []
    known = sorted(rows)
    for a, b in itertools.pairwise(known):
        chord = np.linalg.norm(rows[b].points - rows[a].points, axis=1)
        chord = chord[np.isfinite(chord)]
        out.append((a, b, 2 * math.asin(min(float(chord.max()) / 2, 1.0)) if len(chord) else math.inf))
    return out


def _windows(inside: Mapping[int, NDArray[np.bool_]], shape: tuple[int, int]) -> list[SwathWindow]:
    """Rows with footprints that may reach, in runs, each with the columns that it needs."""
    out: list[SwathWindow] = []
    for row in sorted(r for r, found in inside.items() if found.any()):
        cols = np.flatnonzero(inside[row])
        c0, c1 = int(cols[0]), int(cols[-1]) + 1
        if out and row - out[-1].row1 <= 1:
            last = out[-1]
            out[-1] = SwathWindow(last.row0, row + 1, min(last.col0, c0), max(last.col1, c1))
        else:
            out.append(SwathWindow(row, row + 1, c0, c1))
    return out
