"""Where the embedded Earth has whole ERA5 cells: along three tracks of Sentinel-5P, on both sides of the antimeridian.

Two of them lie across latitudes where the longitude spacing of GLO-30 changes (50°N and 60°N), some across the
antimeridian.
"""

from __future__ import annotations

from dataclasses import dataclass

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


TRACKS = (
    Track(
        "africa-europe",
        18.0,
        ((16, 78), (8, 60), (-4, 57), (8.25, 50), (9, 46.5), (10, 25), (12, 13), (20, 0), (23, -22), (25, -31)),
    ),
    Track(
        "americas",
        -65.0,
        (
            (-45.5, -60.5),
            (-57, -51.75),
            (-60, -3),
            (-63, 2.5),
            (-57, -17),
            (-60, -35),
            (-72.5, 46.75),
            (-66, 53),
            (-70, 68),
        ),
    ),
    Track(
        "pacific",
        -175.0,
        ((179.25, -16.5), (-180, -16.75), (179, 67.5), (-180, 67.5), (-179, 67.5), (-180, 71.25), (160, 56)),
    ),
)
"""Every cell lies within 9.2° of arc of its track: well within the swath of 2,600 km."""

CELLS = tuple(cell for track in TRACKS for cell in track.cells)
"""Longitude and latitude of the nodes of all cells."""
