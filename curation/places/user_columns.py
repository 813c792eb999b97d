"""Columns that a file of places has beside grids and ids, typed: text, whole numbers, numbers, whether, instants. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.model import parse_time

_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?")
TIME = pa.timestamp("us", "UTC")
"""Of columns that hold instants."""


def columns(table: pd.DataFrame, names: Sequence[str], path: Path) -> dict[str, pa.Array]:
    """Name → value of each row, null where the file says nothing.

    Types are the file's own; text of which each is a day or time (ISO 8601) is an instant, as a CSV has no other way to say
    it. Instants without a zone are UTC.

    Raises:
        ConfigError: there is no such column, or it holds something else, or of several types.
    """
    known = [str(c) for c in table.columns]
    out = {}
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{path}: no column {name!r}, which [places] columns names; {did_you_mean(name, known)}columns: "
                f"{', '.join(known)}"
            )
        values = [None if _is_null(v) else v for v in table[name].tolist()]
        out[name] = _typed([v for v in values if v is not None], values, f"{path}: column {name!r}")
    return out


def _is_null(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and np.isnan(value))


def _typed(there: Sequence[Any], values: Sequence[Any], where: str) -> pa.Array:
    """Values of one type as an Arrow array; text where there is none."""
    kinds = {_kind(v) for v in there}
    if kinds == {"int", "float"}:
        kinds = {"float"}
    kind = kinds.pop() if len(kinds) == 1 else "str" if not there else ""
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
                raise ValueError("holds infinite numbers")
            return pa.array(found, pa.float64())
        return pa.array(values, {"str": pa.string(), "int": pa.int64(), "bool": pa.bool_()}[kind])
    except (ValueError, OverflowError) as err:  # Arrow's own are among them
        raise ConfigError(f"{where}: {err}; mend it in the file, or leave the column out") from err


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
