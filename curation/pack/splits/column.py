"""What a location says of itself decides: of these values it is val, or test, of those, or of any other, train. Pure."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation.errors import ConfigError
from curation.pack.sides import BUFFER, TEST, TRAIN, UNLABELLED, VAL, Rule, keep_apart
from curation.places.locations import Locations
from curation.recipe.schema import Recipe
from curation.recipe.split import Tiers
from curation.recipe.strict import Name

Value = str | int | bool


class Column(Rule):
    """By what a location says of itself: its region, or a column of the file of places."""

    rule: Literal["column"] = "column"
    column: str = "region"
    """What is looked at: the region, or one of `[places] columns`."""
    val: list[Value] | None = Field(default=None, min_length=1)
    """Locations of these values are val."""
    test: list[Value] | None = Field(default=None, min_length=1, exclude_if=lambda value: value is None)
    """Those of these are test, which is looked at last of all; none where left out."""
    train: list[Value] | None = Field(default=None, min_length=1, exclude_if=lambda value: value is None)
    """Those of these are train, and what has none of any is used for none; all others are train where left out."""

    parts_of: dict[Name, list[Value]] | None = Field(default=None, min_length=1, exclude_if=lambda value: value is None)
    """Parts of other names, in the place of `val` and `test`: name → values; each keeps off those named before it."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if (self.val is None) == (self.parts_of is None) or (self.parts_of and self.test):
            raise ValueError("expected 'val' (and 'test'), or 'parts_of' with parts of other names: one of both")
        if odd := [n for n in self.parts_of or {} if n in (TRAIN, UNLABELLED, BUFFER)]:
            raise ValueError(f"parts_of: {odd[0]!r} is of another meaning here; say 'train' beside it, or another name")
        every = [value for _, value in self._named]
        if both := [v for v in every if every.count(v) > 1]:
            keys = " and in ".join(repr(key) for key, value in self._named if value == both[0])
            raise ValueError(f"{both[0]!r} is in {keys}, expected in one of them, once")
        return self

    @property
    def _named(self) -> list[tuple[str, Value]]:
        """Side → each of its values."""
        return [
            (key, v)
            for key, of in (
                ("val", self.val),
                ("test", self.test),
                *(self.parts_of or {}).items(),
                ("train", self.train),
            )
            for v in of or []
        ]

    @property
    def has_test(self) -> bool:
        """Where values of it are said."""
        return self.test is not None

    @property
    def parts(self) -> tuple[str, ...]:
        """As of any rule, or those that are named."""
        if self.parts_of is None:
            return super().parts
        return (TRAIN, *self.parts_of, *[UNLABELLED] * (self.unlabelled is not None))

    @property
    def tiers(self) -> Tiers:
        """As of any rule; of those that are named the first stays whole."""
        return super().tiers if self.parts_of is None else (*((n,) for n in self.parts_of), (TRAIN, UNLABELLED))

    @property
    def columns(self) -> tuple[str, ...]:
        """The one."""
        return (self.column,)

    def sides(self, places: Locations, recipe: Recipe) -> NDArray[np.str_]:
        """As any rule's. Raises ConfigError where the values are none that the column can have."""
        named = self.parts_of or {VAL: self.val or [], TEST: self.test or []}
        part, listed = np.full(len(places), TRAIN, "<U60"), np.zeros(len(places), bool)
        for name, values in named.items():
            its = self._is_of(places, name, values)
            part[its], listed = name, listed | its
        out = keep_apart(places, part, recipe, self.tiers)
        if self.train is not None:
            listed = (listed | self._is_of(places, "train", self.train))[places.root_rows()]
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
