"""ERA5 cells: squares of 0.25° centred on the nodes of ERA5's grid, those with land in a seeded order. Reads the land mask.

A cell's number is `row * 1440 + column`, rows counted from the south pole, columns from -180°: number 906994 is the cell of
128.50°E, 67.25°N. All nodes and edges are whole eighths of a degree, which floats hold exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.places import land
from curation.places.grids import Floats, Ints, Places
from curation.recipe.atlas import PER_DEG
from curation.recipe.footprint import CELL_DEG
from curation.recipe.places import PlacesSpec

EPSG = 4326
"""CRS of the cells' grids: longitude and latitude, degrees."""

COLUMNS = round(360 / CELL_DEG)
ROWS = round(180 / CELL_DEG) + 1
"""Rows of nodes; the first and the last lie on the poles, where no cell is."""

MASK_PX = round(CELL_DEG * PER_DEG)
"""Cells of the land mask along a side of an ERA5 cell: their edges agree."""

_PREFIX = "era5-"
_STREAM = 5
"""Which of a seed's streams of numbers orders the cells."""


def ids(numbers: Ints) -> list[str]:
    """The location ids of cells: `era5-0906994`."""
    return [f"{_PREFIX}{n:07d}" for n in numbers.tolist()]


def number(location_id: str) -> int:
    """The number of the cell with an id.

    Raises:
        ValueError: it is no cell's id.
    """
    digits = location_id.removeprefix(_PREFIX)
    if not (
        location_id.startswith(_PREFIX) and digits.isdecimal() and len(digits) == 7 and int(digits) < ROWS * COLUMNS
    ):
        raise ValueError(f"location id {location_id!r}: expected that of an ERA5 cell, such as era5-0906994")
    return int(digits)


def nodes(numbers: Ints) -> tuple[Floats, Floats]:
    """Longitudes (-180 <= lon < 180) and latitudes of the nodes of cells: their centres."""
    row, column = np.divmod(numbers, COLUMNS)
    return column * CELL_DEG - 180.0, row * CELL_DEG - 90.0


def numbers_at(lon: Floats, lat: Floats) -> Ints:
    """Numbers of the cells that hold points, their west and south edges included; longitudes may run beyond ±180."""
    return numbered(*indices_at(lon, lat))


def indices_at(lon: Floats, lat: Floats) -> tuple[Ints, Ints]:
    """Columns and rows of the cells that hold points, as `numbers_at` has it; columns run on where longitudes do."""
    column = np.floor((lon + 180.0) / CELL_DEG + 0.5).astype(np.int64)
    row = np.floor((lat + 90.0) / CELL_DEG + 0.5).astype(np.int64)
    return np.asarray(column), np.asarray(row)


def numbered(column: Ints, row: Ints) -> Ints:
    """Numbers of cells; columns may run beyond the globe's."""
    return np.asarray(row * COLUMNS + column % COLUMNS)


def grids(numbers: Ints) -> Places:
    """The grids of cells. Longitudes run on: the west edge of those on the antimeridian is -180.125."""
    lon, lat = nodes(numbers)
    return Places(np.full(len(numbers), EPSG, dtype=np.int64), lon - CELL_DEG / 2, lat + CELL_DEG / 2, lon, lat)


def with_land(buffer_deg: float = 0.0) -> NDArray[np.bool_]:
    """Whether cells hold any land of the 1 km mask, as bool of shape (721, 1440); False at the poles.

    Args:
        buffer_deg: grow each cell by so much to each side first, in steps of 1/120°.
    """
    grown = round(buffer_deg * PER_DEG)
    top = (ROWS - 1 - np.arange(ROWS)) * MASK_PX - MASK_PX // 2 - grown
    left = np.arange(COLUMNS) * MASK_PX - MASK_PX // 2 - grown
    out = land.any_land(top, top + MASK_PX + 2 * grown, left, MASK_PX + 2 * grown)
    out[[0, -1]] = False
    return out


def drawn(spec: PlacesSpec, seed: int) -> Ints:
    """Numbers of the first `spec.count` cells with land, or of all, in the seeded order.

    The order is one of all cells of the globe, so which of them count as land changes no two cells' order.

    Raises:
        ConfigError: there are fewer cells with land than asked for.
    """
    found = np.flatnonzero(with_land(spec.land_buffer_deg or 0.0)).astype(np.int64)
    if spec.count is not None and spec.count > len(found):
        raise ConfigError(f"[places] count = {spec.count:,}: only {len(found):,} cells have land; ask for fewer")
    # Raw words are the one stream that numpy promises never to change (NEP 19).
    words = np.random.PCG64([seed, _STREAM]).random_raw(ROWS * COLUMNS)
    return found[np.lexsort([found, words[found]])][: spec.count]
