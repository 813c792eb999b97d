"""Columns that a file of places has beside grids and ids, typed: text, whole numbers, numbers, whether, instants. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.errors.printable import lets_in
from curation.errors.words import did_you_mean
from curation.model import parse_time
from curation.places.tablefile import PlacesTable
from curation.recipe.columns import ROW, SHAPE, called
from curation.recipe.schema import Recipe

_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?")
TIME = pa.timestamp("us", "UTC")
"""Of columns that hold instants."""

_INFINITE, _MEND = "holds infinite numbers", "mend it in the file, or leave the column out"

_SECRET = (
    "holds URLs with what lets somebody in (a user, a token, a signature), which tables and samples would hand on; take it "
    "out of them, or leave the column out"
)

_LISTED = 20
"""Columns that a summary names."""


def columns(table: pd.DataFrame, names: Sequence[str], path: Path) -> dict[str, pa.Array]:
    """Name → value of each row, null where the file says nothing.

    Types are the file's own; text of which each is a day or time (ISO 8601) is an instant, as a CSV has no other way to say
    it. Instants without a zone are UTC. A name is the file's, or what `columns.called` makes of one.

    Raises:
        ConfigError: there is no such column, or it holds something else, or of several types.
    """
    known = [str(c) for c in table.columns]
    out = {}
    for name in names:
        its = [name] if name in known else [n for n in known if called(n) == name]
        if len(its) > 1:
            raise ConfigError(
                f"{path}: [places] columns: {its} are all called {name!r} here; rename all but one in the file"
            )
        if not its:
            raise ConfigError(f"{path}: {_missing(name, known, '[places] columns', path)}")
        out[name] = _of(table, its[0], path)
    return out


def _missing(name: str, known: Sequence[str], who: str, path: Path) -> str:
    short = (
        "; names in a Shapefile have 10 characters at most" if path.suffix.lower() == ".shp" and len(name) > 10 else ""
    )
    return f"no column {name!r}, which {who} names; {did_you_mean(name, known)}columns: {', '.join(known)}{short}"


@dataclass(frozen=True, slots=True)
class Carried:
    """The columns of a file of places that go with its locations."""

    columns: dict[str, pa.Array] = field(default_factory=dict)
    """Name → value of each row."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Of those that the file calls otherwise, its name → ours."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Those that stay behind, by the file's name → why."""

    def of_rows(self, rows: NDArray[np.int64], *, numbered: bool) -> Carried:
        """The same by place, of which each is of a row; `numbered`, that row's number, from 1, goes along as `ROW`."""
        out = replace(self, columns={n: values.take(pa.array(rows)) for n, values in self.columns.items()})
        return out.numbered(rows) if numbered else out

    def numbered(self, rows: NDArray[np.int64]) -> Carried:
        """The same with the number of each one's row, from 1, as `ROW`, unless a column of the file is called so."""
        if ROW in self.columns:
            return self
        return replace(self, columns=self.columns | {ROW: pa.array(rows + 1, pa.int64())})

    def with_shapes(self, digests: NDArray[np.object_]) -> Carried:
        """The same with the digest of each one's shape, as `SHAPE`."""
        return replace(self, columns=self.columns | {SHAPE: pa.array(digests, pa.string())})

    @property
    def summary(self) -> str:
        """What a person should know of them; empty where there are none."""
        ours = {its: name for name, its in self.renamed.items()}
        names = [f"{n} ({ours[n]!r})" if n in ours else n for n in self.columns]
        more = [f"… ({len(names)} in all)"] if len(names) > _LISTED else []
        parts = [f"columns {', '.join([*names[:_LISTED], *more])}"] if names else []
        parts += (
            [f"left out {', '.join(f'{n!r} ({why})' for n, why in self.left_out.items())}"] if self.left_out else []
        )
        return "; ".join(parts)


def carried(table: PlacesTable, used: Collection[str], recipe: Recipe) -> Carried:
    """What of a file goes with its locations: what the recipe names, or else each column that can.

    A column that cannot (its name is taken, or says nothing in a-z; it stands there twice; its values are of several types)
    is left out, with the reason, unless something in the recipe looks at it.

    Args:
        table: of the file.
        used: its columns that grids and ids are read from.
        recipe: what asks for them.

    Raises:
        ConfigError: a column that the recipe names is not there, or cannot go along.
    """
    frame, path, named = table.frame, table.path, recipe.places.columns
    if named is not None:
        if twice := [n for n in named if n in table.left_out]:
            raise ConfigError(f"{path}: column {twice[0]!r}, which [places] columns names, {table.left_out[twice[0]]}")
        return Carried(columns(frame, named, path))
    shapes = {frame.geometry.name} if isinstance(frame, gpd.GeoDataFrame) else set()
    names = [str(c) for c in frame.columns if c not in {*used, *shapes}]
    ours = Counter(called(name) for name in names)
    out: dict[str, pa.Array] = {}
    left_out, renamed = dict(table.left_out), {}
    for name in names:
        its = called(name)
        fault = recipe.column_fault(its)
        if not fault and its != name and ours[its] > 1:
            fault = f"another column is called {its}, too"
        try:
            values = None if fault else _of(frame, name, path)
        except ConfigError as err:
            fault = str(err).removeprefix(f"{path}: column {name!r}: ")
        if fault:
            left_out[name] = fault
            continue
        out[its] = values
        if its != name:
            renamed[name] = its
    for column, who in recipe.looked_at.items():
        if column not in out:
            why = next((w for n, w in left_out.items() if called(n) == column), "")
            if why:
                raise ConfigError(f"{path}: column {column!r}, which {who} names, cannot go with locations: {why}")
            raise ConfigError(f"{path}: {_missing(column, [*out], who, path)}")
    return Carried(out, renamed, left_out)


def check_there(looked_at: Mapping[str, str], there: Sequence[str], where: str) -> None:
    """Passes where locations have each column that something looks at (`Dataset.looked_at`).

    Raises:
        ConfigError: one is not there; errors begin with `where`.
    """
    for column, who in looked_at.items():
        if column not in there:
            raise ConfigError(f"{where}: {_missing(column, there, who, Path())}")


def _of(table: pd.DataFrame, name: str, path: Path) -> pa.Array:
    """The values of a column; those of one type in the file are not looked at one by one."""
    column, where = table[name], f"{path}: column {name!r}"
    if column.dtype.kind in "biuf" and column.notna().any():
        return _plain(column, where)
    values = [None if _is_null(v) else v for v in column.tolist()]
    return _typed([v for v in values if v is not None], values, where)


def _plain(column: pd.Series, where: str) -> pa.Array:
    found = pa.array(column, from_pandas=True)
    found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    kind = {"b": pa.bool_(), "f": pa.float64()}.get(column.dtype.kind, pa.int64())
    try:
        found = found.cast(kind)
        if kind == pa.float64():
            found = pc.if_else(pc.is_nan(found), pa.scalar(None, kind), found)
            if pc.any(pc.is_inf(found)).as_py():
                raise ValueError(_INFINITE)
    except ValueError as err:
        raise ConfigError(f"{where}: {err}; {_MEND}") from err
    return found


def _is_null(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and np.isnan(value))


def _typed(there: Sequence[Any], values: Sequence[Any], where: str) -> pa.Array:
    """Values of one type as an Arrow array; text where there is none."""
    kinds = {_kind(v) for v in there}
    if kinds == {"int", "float"}:
        kinds = {"float"}
    kind = kinds.pop() if len(kinds) == 1 else "str" if not there else ""
    if kind == "str" and any("://" in v and lets_in(v) for v in there):
        raise ConfigError(f"{where}: {_SECRET}")
    if not kind:
        odd = sorted({type(v).__name__ for v in there})
        raise ConfigError(
            f"{where}: holds {', '.join(odd)}; expected text, numbers, true and false, or times: one of them"
        )
    try:
        if kind == "time" or (kind == "str" and there and all(_INSTANT.fullmatch(v) for v in there)):
            return pa.array([None if v is None else _instant(v) for v in values], TIME)
        if kind == "float":
            found = [None if v is None else float(v) for v in values]
            if any(v is not None and not np.isfinite(v) for v in found):
                raise ValueError(_INFINITE)
            return pa.array(found, pa.float64())
        return pa.array(values, {"str": pa.string(), "int": pa.int64(), "bool": pa.bool_()}[kind])
    except (ValueError, OverflowError) as err:  # Arrow's own are among them
        raise ConfigError(f"{where}: {err}; {_MEND}") from err


def _kind(value: Any) -> str:
    for kind, types in (
        ("bool", bool),
        ("int", int),
        ("float", float),
        ("str", str),
        ("time", (dt.date, dt.datetime)),
    ):
        if isinstance(value, types):
            return kind
    return ""


def _instant(value: str | dt.date) -> dt.datetime:
    return parse_time(value if isinstance(value, str) else value.isoformat())
