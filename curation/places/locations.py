"""Locations as columns: a quarter of a million of them in some 20 MB, made into values only where they are looked at.

A *root* has no parent; one that has is a *child*.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.model import Location

_NAME = pa.dictionary(pa.int32(), pa.string())

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("lon", pa.float64(), nullable=False),
        pa.field("lat", pa.float64(), nullable=False),
        pa.field("epsg", pa.int32(), nullable=False),
        pa.field("x0_m", pa.float64(), nullable=False),
        pa.field("y0_m", pa.float64(), nullable=False),
        pa.field("size_m", pa.float64(), nullable=False),
        pa.field("region", _NAME, nullable=False),
        pa.field("rank", pa.int64(), nullable=False),
        pa.field("parent", pa.string()),
    ]
)
"""The fields of `Location` but its columns, in their order."""

_AT_ONCE = 1024
"""Locations made into values at a time."""


class Locations(Sequence[Location]):
    """A sequence of locations that keeps their fields as Arrow columns; slices share them."""

    __slots__ = ("table",)

    def __init__(self, table: pa.Table) -> None:
        schema = pa.schema([*SCHEMA, *list(table.schema)[len(SCHEMA) :]])
        self.table = table if table.schema.equals(schema) else table.cast(schema)
        """Columns as in `SCHEMA`, then those that the file of places gives."""

    @classmethod
    def of(cls, locations: Iterable[Location]) -> Locations:
        """The locations as columns; themselves where they are."""
        if isinstance(locations, Locations):
            return locations
        rows = list(locations)
        own = dict.fromkeys(name for p in rows for name in p.columns)
        user_columns = {name: _inferred([p.columns.get(name) for p in rows]) for name in own}
        return cls.of_columns({name: [getattr(p, name) for p in rows] for name in SCHEMA.names}, user_columns)

    @classmethod
    def of_columns(cls, columns: dict[str, Any], user_columns: Mapping[str, pa.Array] | None = None) -> Locations:
        """The locations with these values, one per row; rank and parent may be left out (0 and none).

        Args:
            columns: by names of `SCHEMA`.
            user_columns: what a file of places says beside them.
        """
        n = len(columns["id"])
        columns = {"rank": np.zeros(n, dtype=np.int64), "parent": pa.nulls(n, pa.string())} | columns
        table = pa.table([pa.array(columns[f.name]).cast(f.type) for f in SCHEMA], schema=SCHEMA)
        for name, values in (user_columns or {}).items():
            table = table.append_column(name, values)
        return cls(table)

    @property
    def user_columns(self) -> list[str]:
        """Names of the columns that a file of places gives."""
        names: list[str] = self.table.schema.names[len(SCHEMA) :]
        return names

    @classmethod
    def joined(cls, parts: Sequence[Locations]) -> Locations:
        """The locations of `parts` one after the other."""
        tables = [part.table for part in parts]
        return cls(pa.concat_tables(tables).unify_dictionaries().combine_chunks() if tables else SCHEMA.empty_table())

    def column(self, name: str) -> NDArray[Any]:
        """One field of all; strings as objects."""
        column = self.table[name]
        if pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        values: NDArray[Any] = column.to_numpy()
        return values

    def take(self, index: NDArray[Any]) -> Locations:
        """Those at `index`, in its order; or those where it is true."""
        rows = np.flatnonzero(index) if index.dtype == bool else index
        return Locations(self.table.take(pa.array(rows, pa.int64())))

    def with_regions(self, names: Sequence[str] | NDArray[Any]) -> Locations:
        """The same, each of another region."""
        k = SCHEMA.get_field_index("region")
        column = pa.array(names, pa.string()).dictionary_encode().cast(_NAME)
        return Locations(self.table.set_column(k, SCHEMA.field(k), column))

    def roots(self) -> Locations:
        """Those without a parent, in their order."""
        return self.take(self.is_root())

    def children(self, of: Locations | None = None) -> Locations:
        """Those with a parent, in their order; with `of` only those whose parent is one of these."""
        if of is None:
            return self.take(~self.is_root())
        return self.take(np.asarray(pc.is_in(self.table["parent"], of.table["id"].combine_chunks()), dtype=bool))

    def root_rows(self) -> NDArray[np.int64]:
        """Which row holds the root of each: its own where it has no parent; -1 where its parent is not among them."""
        rows = pc.fill_null(pc.index_in(self.table["parent"], self.table["id"].combine_chunks()), -1)
        return np.where(self.is_root(), np.arange(len(self)), rows.to_numpy().astype(np.int64))

    def is_root(self) -> NDArray[np.bool_]:
        """Which have no parent."""
        return np.asarray(pc.is_null(self.table["parent"]), dtype=bool)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @overload
    def __getitem__(self, index: int) -> Location: ...
    @overload
    def __getitem__(self, index: slice) -> Locations: ...
    def __getitem__(self, index: int | slice) -> Location | Locations:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                return self.take(np.arange(start, stop, step))
            return Locations(self.table.slice(start, max(stop - start, 0)))
        if not -len(self) <= index < len(self):
            raise IndexError(f"location {index} of {len(self)}")
        return next(_values(self.table.slice(index % len(self), 1)))

    def __iter__(self) -> Iterator[Location]:
        for start in range(0, len(self), _AT_ONCE):
            yield from _values(self.table.slice(start, _AT_ONCE))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Locations):
            return bool(self.table.equals(other.table)) or list(self) == list(other)
        return list(self) == other if isinstance(other, list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as lists

    def __repr__(self) -> str:
        return f"<{len(self):,} locations>"


def _values(table: pa.Table) -> Iterator[Location]:
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    own, names = len(SCHEMA), table.schema.names[len(SCHEMA) :]
    if not names:
        return (Location(*row) for row in rows)
    return (Location(*(*row[:own], dict(zip(names, row[own:], strict=True)))) for row in rows)


def _inferred(values: list[Any]) -> pa.Array:
    """Values of the file of places; of none that says anything, text."""
    found = pa.array(values)
    return found.cast(pa.string()) if pa.types.is_null(found.type) else found
