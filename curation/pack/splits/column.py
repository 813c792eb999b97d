"""What a location says of itself decides: of these values it is val, or test, of those, or of any other, train. Pure."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation.errors import ConfigError
from curation.pack.sides import BUFFER, Rule, buffered_sides
from curation.places.locations import Locations
from curation.recipe.schema import Recipe

Value = str | int | bool


class Column(Rule):
    """By what a location says of itself: its region, or a column of the file of places."""

    rule: Literal["column"] = "column"
    column: str = "region"
    """What is looked at: the region, or one of `[places] columns`."""
    val: list[Value] = Field(min_length=1)
    """Locations of these values are val."""
    test: list[Value] | None = Field(default=None, min_length=1, exclude_if=lambda value: value is None)
    """Those of these are test, which is looked at last of all; none where left out."""
    train: list[Value] | None = Field(default=None, min_length=1, exclude_if=lambda value: value is None)
    """Those of these are train, and what has none of any is used for none; all others are train where left out."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        every = [value for _, value in self._named]
        if both := [v for v in every if every.count(v) > 1]:
            keys = " and in ".join(repr(key) for key, value in self._named if value == both[0])
            raise ValueError(f"{both[0]!r} is in {keys}, expected in one of them, once")
        return self

    @property
    def _named(self) -> list[tuple[str, Value]]:
        """Side → each of its values."""
        return [
            (key, v) for key, of in (("val", self.val), ("test", self.test), ("train", self.train)) for v in of or []
        ]

    @property
    def has_test(self) -> bool:
        """Where values of it are said."""
        return self.test is not None

    @property
    def columns(self) -> tuple[str, ...]:
        """The one."""
        return (self.column,)

    def sides(self, places: Locations, recipe: Recipe) -> NDArray[np.str_]:
        """As any rule's. Raises ConfigError where the values are none that the column can have."""
        is_val, is_test = self._is_of(places, "val", self.val), self._is_of(places, "test", self.test or [])
        out = buffered_sides(places, is_val, recipe, is_test)
        if self.train is not None:
            listed = (is_val | is_test | self._is_of(places, "train", self.train))[places.root_rows()]
            out[~listed & (out != "")] = BUFFER
        return out

    def _is_of(self, places: Locations, key: str, listed: list[Value]) -> NDArray[np.bool_]:
        """Whether the column of each has one of the values; what has none has not."""
        if not listed or self.column not in places.table.schema.names:  # of no place
            return np.zeros(len(places.table), bool)
        column = places.table[self.column].combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        try:
            if pa.types.is_timestamp(column.type):
                raise ValueError("times have no values that could be listed")
            values = pa.array(listed, column.type)
        except (pa.ArrowException, ValueError, TypeError) as err:
            raise ConfigError(
                f"[split] {key} = {listed}: column {self.column!r} is of {column.type}, which has no such values ({err})"
            ) from err
        return np.asarray(pc.is_in(column, values), dtype=bool)

    def unmatched(self, places: Locations) -> list[str]:
        """Values that no place has, and how many places have none of them."""
        values = places.table[self.column].to_pylist() if self.column in places.table.schema.names else []
        there, unsaid = set(values), values.count(None)
        lines = [
            f"{key}: no location here has {v!r} in column {self.column!r}: it makes none {key}; a typo?"
            for key, v in self._named
            if v not in there
        ]
        become = "train" if self.train is None else "used for neither"
        empty = [f"{unsaid} locations have nothing in column {self.column!r}: they are {become}"] if unsaid else []
        return lines + empty
