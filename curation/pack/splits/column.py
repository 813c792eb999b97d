"""What a location says of itself decides: of these values it is val, of any other train. Pure.

Every val place stays so; a train place is `buffer` where a val place is so near that there might be less than `buffer_km`
of ground between their footprints: where its centre is nearer to the other's than twice the farthest that a footprint
reaches, and `buffer_km` more. So it depends on what else is packed, where the rule of blocks does not.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.pack.splits.sides import BUFFER, TRAIN, VAL
from curation.places.grids import Floats
from curation.places.locations import Locations
from curation.places.nearby import EARTH_RADIUS_KM, Nearby
from curation.places.reach import reach_km
from curation.recipe.schema import Recipe
from curation.recipe.split import ColumnSplit

_AT_ONCE = 4096
"""Train places compared with those of val at a time; no result depends on it."""


def sides(places: Locations, recipe: Recipe, rule: ColumnSplit) -> NDArray[np.str_]:
    """`train`, `val` or `buffer` of each place; of a child that of its root, and empty where that is not among them.

    Raises:
        ConfigError: the values of the rule are none that the column can have.
    """
    root = places.root_rows()
    is_root = root == np.arange(len(root))
    lon, lat = places.column("lon"), places.column("lat")
    out = np.where(_is_val(places, rule), VAL, TRAIN).astype("<U6")
    val, train = (np.flatnonzero(is_root & (out == side)) for side in (VAL, TRAIN))
    apart = min((2 * reach_km(recipe.grid) + rule.buffer_km) / EARTH_RADIUS_KM, math.pi)
    out[train[_near(lon[train], lat[train], lon[val], lat[val], apart)]] = BUFFER
    return np.where(root < 0, "", out[root])


def _is_val(places: Locations, rule: ColumnSplit) -> NDArray[np.bool_]:
    """Whether the column of each has one of the values; what has none is not."""
    if rule.column not in places.table.schema.names:  # of no place
        return np.zeros(len(places.table), bool)
    column = places.table[rule.column].combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.cast(pa.string())
    try:
        if pa.types.is_timestamp(column.type):
            raise ValueError("times have no values that could be listed")
        values = pa.array(rule.val, column.type)
    except (pa.ArrowException, ValueError, TypeError) as err:
        raise ConfigError(
            f"[split] val = {rule.val}: column {rule.column!r} is of {column.type}, which has no such values ({err})"
        ) from err
    return np.asarray(pc.is_in(column, values), dtype=bool)


def unmatched(places: Locations, rule: ColumnSplit) -> list[Any]:
    """Values of the rule that no place has: most likely they are misspelt."""
    if rule.column not in places.table.schema.names:
        return list(rule.val)
    there = set(places.table[rule.column].to_pylist())
    return [v for v in rule.val if v not in there]


def _near(lon: Floats, lat: Floats, of_lon: Floats, of_lat: Floats, angle: float) -> NDArray[np.bool_]:
    """Whether points lie within an angle (radians) of any of others."""
    near, others = np.zeros(len(lon), bool), Nearby(of_lon, of_lat)
    for start in range(0, len(lon), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        near[start + others.pairs(lon[part], lat[part], angle)[0]] = True
    return near
