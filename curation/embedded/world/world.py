"""Where the embedded Earth has whole ERA5 cells: along three tracks of Sentinel-5P, on both sides of the antimeridian.

Two of them lie across latitudes where the longitude spacing of GLO-30 changes (50°N and 60°N), some across the
antimeridian.
"""

from __future__ import annotations

from dataclasses import dataclass

from curation.embedded.world import tables

STEP_DEG = 0.25
"""Side of an ERA5 cell."""


@dataclass(frozen=True, slots=True)
class Track:
    """One ascending pass of Sentinel-5P, and the cells that lie in its swath."""

    name: str
    crossing_lon: float
    """Where it crosses the equator northwards, degrees east."""
    cells: tuple[tuple[float, float], ...]
    """Longitude and latitude of the ERA5 nodes that they are centred on."""


TRACKS = tuple(
    Track(name, track["crossing_lon"], tuple((lon, lat) for lon, lat in track["cells"]))
    for name, track in tables.beside(__file__).items()
)
"""Every cell lies within 9.2° of arc of its track: well within the swath of 2,600 km."""

CELLS = tuple(cell for track in TRACKS for cell in track.cells)
"""Longitude and latitude of the nodes of all cells."""
