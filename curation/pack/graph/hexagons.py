"""H3: hexagons, and twelve pentagons. Wants the package `h3`."""

from __future__ import annotations

import numpy as np

from curation.errors import extras
from curation.pack.graph.sphere import RADIUS_M
from curation.places.grids import Floats, Ints

MOST_RESOLUTION = 8
"""Cells of 0.7 km²."""


def check() -> None:
    """Passes where `h3` is installed.

    Raises:
        ConfigError: it is not; the command that installs it is told.
    """
    extras.check("graph", "--cells h3")


def numbers_at(lon: Floats, lat: Floats, resolution: int) -> Ints:
    """Numbers of the cells that hold points (degrees): H3's own, which differ between resolutions."""
    import h3.api.basic_int as h3

    pairs = zip(np.asarray(lat).tolist(), np.asarray(lon).tolist(), strict=True)
    return np.array([h3.latlng_to_cell(y, x, resolution) for y, x in pairs], np.int64)


def centres(number: Ints) -> tuple[Floats, Floats]:
    """Longitudes and latitudes of cells."""
    import h3.api.basic_int as h3

    found = np.array([h3.cell_to_latlng(n) for n in number.tolist()], np.float64).reshape(-1, 2)
    return found[:, 1], found[:, 0]


def parents(number: Ints, resolution: int) -> Ints:
    """Of cells, those of a coarser resolution that they belong to."""
    import h3.api.basic_int as h3

    return np.array([h3.cell_to_parent(n, resolution) for n in number.tolist()], np.int64)


def adjacent(number: Ints) -> tuple[Ints, Ints, Floats]:
    """Which cells share an edge, of some, sorted: positions among these, in both directions, and its length in metres."""
    import h3.api.basic_int as h3

    position = {n: at for at, n in enumerate(number.tolist())}
    one, other, far = [], [], []
    for n, at in position.items():
        for edge in h3.origin_to_directed_edges(n):
            there = position.get(h3.get_directed_edge_destination(edge))
            if there is not None:
                one.append(at)
                other.append(there)
                far.append(h3.edge_length(edge, unit="rads") * RADIUS_M)
    return np.array(one, np.int64), np.array(other, np.int64), np.array(far, np.float64)
