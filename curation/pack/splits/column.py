"""What a location says of itself decides: of these values it is val, of any other train. Pure."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation.errors import ConfigError
from curation.pack.sides import TEST, VAL, Rule, buffered_sides
from curation.places.locations import Locations
from curation.recipe.schema import Recipe


class Column(Rule):
    """By what a location says of itself: its region, or a column of the file of places."""

    rule: Literal["column"] = "column"
    column: str = "region"
    """What is looked at: the region, or one of `[places] columns`."""
    val: list[str | int | bool] = Field(min_length=1)
    """Locations of these values are val, all others train."""
    test: list[str | int | bool] = Field(default_factory=list, exclude_if=lambda value: not value)
    """Those of these are test, which is looked at last of all."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if both := [v for v in self.test if v in self.val]:
            raise ValueError(f"{both[0]!r} stands in val and in test: expected each value in one of them")
        return self

    @property
    def has_test(self) -> bool:
        """Where values of it are said."""
        return bool(self.test)

    @property
    def columns(self) -> tuple[str, ...]:
        """The one."""
        return (self.column,)

    def sides(self, places: Locations, recipe: Recipe) -> NDArray[np.str_]:
        """As any rule's. Raises ConfigError where the values are none that the column can have."""
        return buffered_sides(places, self._is(VAL, places), recipe, self._is(TEST, places))

    def _is(self, side: str, places: Locations) -> NDArray[np.bool_]:
        """Whether the column of each has one of a side's values; what has none is not."""
        said = self.val if side == VAL else self.test
        if self.column not in places.table.schema.names:  # of no place
            return np.zeros(len(places.table), bool)
        column = places.table[self.column].combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        try:
            if pa.types.is_timestamp(column.type):
                raise ValueError("times have no values that could be listed")
            values = pa.array(said, column.type)
        except (pa.ArrowException, ValueError, TypeError) as err:
            raise ConfigError(
                f"[split] {side} = {said}: column {self.column!r} is of {column.type}, which has no such values ({err})"
            ) from err
        return np.asarray(pc.is_in(column, values), dtype=bool)

    def unmatched(self, places: Locations) -> list[str]:
        """Values that no place has."""
        there = set(places.table[self.column].to_pylist()) if self.column in places.table.schema.names else set()
        return [
            f"{side}: no location here has {v!r} in column {self.column!r}: it makes none {side}; a typo?"
            for side, said in ((VAL, self.val), (TEST, self.test))
            for v in said
            if v not in there
        ]
