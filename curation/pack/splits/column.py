"""What a location says of itself decides: of these values it is val, of any other train. Pure."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from curation.errors import ConfigError
from curation.pack.sides import Rule, buffered_sides
from curation.places.locations import Locations
from curation.recipe.schema import Recipe


class Column(Rule):
    """By what a location says of itself: its region, or a column of the file of places."""

    rule: Literal["column"] = "column"
    column: str = "region"
    """What is looked at: the region, or one of `[places] columns`."""
    val: list[str | int | bool] = Field(min_length=1)
    """Locations of these values are val, all others train."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The one."""
        return (self.column,)

    def sides(self, places: Locations, recipe: Recipe) -> NDArray[np.str_]:
        """As any rule's. Raises ConfigError where the values are none that the column can have."""
        return buffered_sides(places, self._is_val(places), recipe)

    def _is_val(self, places: Locations) -> NDArray[np.bool_]:
        """Whether the column of each has one of the values; what has none is not."""
        if self.column not in places.table.schema.names:  # of no place
            return np.zeros(len(places.table), bool)
        column = places.table[self.column].combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        try:
            if pa.types.is_timestamp(column.type):
                raise ValueError("times have no values that could be listed")
            values = pa.array(self.val, column.type)
        except (pa.ArrowException, ValueError, TypeError) as err:
            raise ConfigError(
                f"[split] val = {self.val}: column {self.column!r} is of {column.type}, which has no such values ({err})"
            ) from err
        return np.asarray(pc.is_in(column, values), dtype=bool)

    def unmatched(self, places: Locations) -> list[str]:
        """Values that no place has."""
        there = set(places.table[self.column].to_pylist()) if self.column in places.table.schema.names else set()
        return [
            f"val: no location here has {v!r} in column {self.column!r}: it makes none val; a typo?"
            for v in self.val
            if v not in there
        ]
