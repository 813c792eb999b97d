"""The order of cubes: along a space-filling curve, so that neighbours share slabs and scenes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from curation.places import era5_cells
from curation.places.locations import Locations


def hilbert_order(locations: Locations) -> Locations:
    """The locations zone by zone, along a Hilbert curve over the kilometres of their centres: neighbours share scenes.

    ERA5 cells come first, along a curve over themselves. Depends on the set alone, not on the order given; ties (one
    kilometre cell) go by id.
    """
    size, epsg = locations.column("size_m"), locations.column("epsg")
    step = np.where(epsg == era5_cells.EPSG, size, 1000.0)
    x = ((locations.column("x0_m") + size / 2) // step).astype(np.int64)
    y = ((locations.column("y0_m") - size / 2) // step).astype(np.int64)
    ids = locations.column("id").astype(str)
    along = hilbert(x + _HALF, y + _HALF, _ORDER)
    return locations.take(np.lexsort([ids, along, epsg]))


def growth_of(locations: Locations, sizes: Sequence[int]) -> NDArray[np.int64]:
    """Which growth of the draw each is of, 0 the first draw's; a child is of its parent's, which is among them.

    Args:
        locations: of a draw, by rank.
        sizes: how many roots the draw had each time before more were added, ascending.
    """
    rank = locations.column("rank")[locations.root_rows()]
    return np.searchsorted(np.asarray(sizes, np.int64), rank, side="right")


def grown_order(locations: Locations, growth: NDArray[np.int64]) -> tuple[Locations, tuple[int, ...]]:
    """The locations growth by growth, each along the curve: what is added comes after what stands, and moves none of it.

    Also how many there were each time before more were added.
    """
    which = np.unique(growth)
    if len(which) < 2:
        return hilbert_order(locations), ()
    parts = [hilbert_order(locations.take(growth == k)) for k in which]
    return Locations.joined(parts), tuple(int(n) for n in np.cumsum([len(p) for p in parts])[:-1])


_ORDER = 16
_HALF = 1 << (_ORDER - 1)
"""Coordinates from -32,768 to 32,767 km fit: more than any CRS of the Earth in metres has."""


def hilbert(x: NDArray[np.int64], y: NDArray[np.int64], order: int) -> NDArray[np.int64]:
    """Place along the Hilbert curve of cells (x, y), both in 0 <= v < 2**order.

    Raises:
        ValueError: a cell lies outside.
    """
    if len(x) and not (min(x.min(), y.min()) >= 0 and max(x.max(), y.max()) < 1 << order):
        raise ValueError(f"cells x {x.min()}..{x.max()}, y {y.min()}..{y.max()}: expected 0 <= v < {1 << order}")
    x, y, along = x.copy(), y.copy(), np.zeros_like(x)
    for bit in range(order - 1, -1, -1):
        right, up = (x >> bit) & 1, (y >> bit) & 1
        along += ((3 * right) ^ up) << (2 * bit)
        # Within the quadrant the curve is turned: the lower two are mirrored on a diagonal.
        low = (1 << bit) - 1
        x, y = x & low, y & low
        flip = (up == 0) & (right == 1)
        x[flip], y[flip] = low - x[flip], low - y[flip]
        swap = up == 0
        x[swap], y[swap] = y[swap], x[swap].copy()
    return along
