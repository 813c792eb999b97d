"""Search cells: which of them a location is searched in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import shapely

from curation.model import Location

CELL_DEG = 1.0
"""Side of a search cell: about one Sentinel-2 scene, so that a search gives what its locations share and little more."""

CELL_MARGIN_DEG = 0.05
"""Cells reach this much further than their locations' centres do, since footprints stick out (5.5 km of latitude)."""

TOGETHER = 4
"""Search cells along a side of the squares within which they may be asked for together: of a season, such a square has some
thousand scenes of Sentinel-2, which is a page or two."""

MOST_WASTE = 2.0
"""What is asked for together covers at most so many times what its cells cover."""

LONLAT = 4326
"""CRS of footprints whose size is in degrees."""


@dataclass(frozen=True, slots=True, order=True)
class SearchCell:
    """A square of longitude and latitude: all locations whose centre lies in it share its searches."""

    row: int
    """Counted from the south pole."""
    col: int
    """Counted from the antimeridian eastwards."""
    reach_deg: float = 0.0
    """How far footprints in degrees reach from their centres, east and north alike: cells reach at least so far, too."""

    @property
    def name(self) -> str:
        """Its south-west corner, as in `n51e006`."""
        lat, lon = round(self.row * CELL_DEG - 90), round(self.col * CELL_DEG - 180)
        return f"{'s' if lat < 0 else 'n'}{abs(lat):02d}{'w' if lon < 0 else 'e'}{abs(lon):03d}"

    @property
    def boxes(self) -> list[tuple[float, float, float, float]]:
        """West, south, east, north with its margin; two boxes where it runs across the antimeridian."""
        south, west = self.row * CELL_DEG - 90, self.col * CELL_DEG - 180
        reach = max(abs(south), abs(south + CELL_DEG))
        dx = max(CELL_MARGIN_DEG / max(math.cos(math.radians(min(reach, 89))), 0.02), self.reach_deg)
        dy = max(CELL_MARGIN_DEG, self.reach_deg)
        w, e = west - dx, west + CELL_DEG + dx
        s, n = max(south - dy, -90.0), min(south + CELL_DEG + dy, 90.0)
        if w < -180:
            return [(-180.0, s, e, n), (w + 360, s, 180.0, n)]
        if e > 180:
            return [(w, s, 180.0, n), (-180.0, s, e - 360, n)]
        return [(w, s, e, n)]

    @property
    def area(self) -> shapely.geometry.base.BaseGeometry:
        """Its boxes as one shape."""
        return shapely.union_all([shapely.box(*b) for b in self.boxes])


def cell_of(location: Location) -> SearchCell:
    """The search cell that holds a location's centre."""
    lon = (location.lon + 180) % 360
    reach_deg = location.size_m / 2 if location.epsg == LONLAT else 0.0
    return SearchCell(int((location.lat + 90) // CELL_DEG), int(lon // CELL_DEG), reach_deg)


Box = tuple[float, float, float, float]


def together(cells: Iterable[SearchCell]) -> list[list[SearchCell]]:
    """Each cell once, with those beside it that may be asked for in one search; in order.

    A square that few of its cells are wanted of is quartered, until little is asked for that nobody wants. Cells across the
    antimeridian stand alone.
    """
    squares: dict[tuple[int, int, float] | SearchCell, list[SearchCell]] = {}
    for cell in sorted(set(cells)):
        one = (cell.row // TOGETHER, cell.col // TOGETHER, cell.reach_deg)
        squares.setdefault(one if len(cell.boxes) == 1 else cell, []).append(cell)
    return [part for square in squares.values() for part in _parts(square, TOGETHER)]


def _parts(cells: list[SearchCell], side: int) -> list[list[SearchCell]]:
    if len(cells) == 1 or _size(joint(cells)) <= MOST_WASTE * sum(_size(c.boxes[0]) for c in cells):
        return [cells]
    half = side // 2
    quarters: dict[tuple[int, int], list[SearchCell]] = {}
    for cell in cells:
        quarters.setdefault((cell.row // half, cell.col // half), []).append(cell)
    return [part for quarter in quarters.values() for part in _parts(quarter, half)]


def joint(cells: Sequence[SearchCell]) -> Box:
    """The box that holds those of some cells, none of which runs across the antimeridian."""
    west, south, east, north = zip(*(c.boxes[0] for c in cells), strict=True)
    return min(west), min(south), max(east), max(north)


def _size(box: Box) -> float:
    west, south, east, north = box
    return (east - west) * (north - south)
