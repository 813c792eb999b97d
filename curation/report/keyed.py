"""Scores and features of samples that a user has, by key: read from CSV or Parquet, and never guessed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.errors.causes import one_line
from curation.errors.words import did_you_mean
from curation.places.grids import Floats
from curation.store import local

KEYS = ("key", "id", "sample")
"""What the column of keys may be called: `batch["key"]`, or the id of the samples table."""


@dataclass(frozen=True, slots=True)
class ByKey:
    """Numbers of keys, the mean of several rows of one."""

    keys: NDArray[np.str_]
    columns: tuple[str, ...]
    values: Floats
    """(keys, columns), finite."""
    rows: int
    """Of the file."""
    passed_over: int
    """Rows without a key, or in which a number is missing, or is none."""


def scores(path: Path) -> ByKey:
    """The column `score` by key. Raises as `numbers` does."""
    return numbers(path, ("score",))


def numbers(path: Path, columns: tuple[str, ...] | None = None) -> ByKey:
    """Columns of numbers by key; all that there are where none is named.

    Raises:
        ConfigError: the file cannot be read, or has no such columns of numbers.
    """
    table = _read(path)
    names = table.column_names
    key = _key(names)
    if key is None:
        raise ConfigError(f"{path}: columns {names}; expected one of keys: {', '.join(KEYS)}")
    numeric = [n for n in names if n != key and _is_number(table[n].type)]
    if lacking := [n for n in columns or () if n not in numeric]:
        raise ConfigError(
            f"{path}: no column {lacking[0]!r} of numbers; {did_you_mean(lacking[0], numeric)}there are: "
            f"{', '.join(numeric) or 'none'}"
        )
    if not (wanted := list(columns or numeric)):
        raise ConfigError(f"{path}: no column of numbers beside {key!r}; expected at least one")
    values = np.column_stack([pc.cast(table[n], pa.float64()).to_numpy(zero_copy_only=False) for n in wanted])
    said = pc.cast(table[key], pa.string())
    ok = np.isfinite(values).all(axis=1) & said.is_valid().to_numpy(zero_copy_only=False)
    keys, of = np.unique(np.array(said.to_pylist(), str)[ok], return_inverse=True)
    total = np.zeros((len(keys), len(wanted)))
    np.add.at(total, of, values[ok])
    mean = total / np.bincount(of, minlength=len(keys))[:, None] if len(keys) else total
    return ByKey(keys, tuple(wanted), mean, table.num_rows, int((~ok).sum()))


def _key(names: list[str]) -> str | None:
    return next((n for n in KEYS if n in names), None)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _read(path: Path) -> pa.Table:
    try:
        local.check(path, str(path))
        data = pa.BufferReader(local.content(path))
        if path.suffix.lower() in (".parquet", ".geoparquet"):
            return pq.read_table(data)
        return _csv(data)
    except (pa.ArrowException, OSError) as err:
        raise ConfigError(f"{path}: cannot be read as CSV or Parquet: {one_line(err)}") from err


def _csv(data: pa.BufferReader) -> pa.Table:
    """The rows; keys as they are written, since `0012` is not `12`."""
    table = pyarrow.csv.read_csv(data)
    if (key := _key(table.column_names)) is None:
        return table
    data.seek(0)
    written = pyarrow.csv.ConvertOptions(column_types={key: pa.string()})
    return pyarrow.csv.read_csv(data, convert_options=written)
