"""One file of STAC-GeoParquet as items: opened at first use, and read by row group and column."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely

from curation.errors import ConfigError, ReadError
from curation.errors.causes import first_line
from curation.model import parse_time
from curation.scenes import jsontext, spelling
from curation.scenes.remotefile import RemoteFile, column_ranges

ROWS = 2048
"""Items in memory at a time."""

Item = dict[str, Any]
Interval = tuple[dt.datetime, dt.datetime]

_DAY = dt.timedelta(days=1)
_INSTANT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(?:Z|[+-][0-9]{2}:[0-9]{2})"
_NAMED = re.compile(rf"part-[0-9]{{4,}}_({_INSTANT})_({_INSTANT})\.parquet", re.ASCII)
"""As Planetary Computer calls its parts: `part-0331_2021-10-25T10:25:31+00:00_2021-11-01T10:25:31+00:00.parquet`."""


def span_of(name: str) -> Interval | None:
    """From when until when items of a part of an archive are, as its name tells; None where it tells none.

    Only of names as that archive gives: in another's, two dates may say when it was exported.
    Wider than told, by a day or by its own length before and after: an item may have begun before the time that it was put
    there by, or end later.
    """
    found = _NAMED.fullmatch(name)
    if found is None:
        return None
    try:
        first, last = (parse_time(text) for text in found.groups())
        more = max(last - first, _DAY)
        return (first - more, last + more) if first <= last else None
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class _Opened:
    """What a footer says."""

    file: pq.ParquetFile
    remote: RemoteFile | None
    plain: list[str]
    """Columns of what items state, but assets and geometry."""
    assets: list[str]
    paths: list[str]
    """Of all columns."""


class ItemTable:
    """One file: read in batches, of which only the columns and row groups that matter are decoded.

    Raises:
        ConfigError, ReadError: on any use, it holds no items, or cannot be read.
    """

    def __init__(self, name: str, source: Callable[[], Path | RemoteFile], span: Interval | None = None) -> None:
        self._name, self._source = name, source
        self.span = span
        """From when until when its items are, where its name tells; what lies outside need not be opened."""
        self._lock = threading.Lock()
        self._its: _Opened | None = None
        self._collections: set[str] | None = None

    def may_hold(self, window: Interval | None) -> bool:
        """Whether items in a window may be in it, as far as its name tells; None: whatever their time."""
        return window is None or self.span is None or (self.span[0] < window[1] and window[0] <= self.span[1])

    def open(self) -> _Opened:
        """What its footer says, which is read once."""
        with self._lock:
            if self._its is None:
                with self._readable():
                    self._its = _opened(self._source())
            return self._its

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except ReadError:  # of a file elsewhere: says what it is
            raise
        except (pa.ArrowException, OSError, KeyError, ValueError, shapely.errors.ShapelyError) as err:
            raise ConfigError(f"catalog {self._name}: expected a STAC-GeoParquet file: {first_line(err)}") from err

    def collections(self) -> set[str]:
        """Ids of the collections it has items of: by row group as statistics say, and only else by each item."""
        its = self.open()
        if self._collections is None:
            found = set[str]()
            for group in range(its.file.num_row_groups):
                low, high = _extremes(its, group, "collection") or ("", None)
                if low == high:
                    found.add(low)
                    continue
                with self._readable(), _at_hand(its, group, ["collection"]):
                    column = its.file.read_row_group(group, ["collection"])["collection"]
                    found |= set(_values(column.unique()))
            self._collections = found
        return self._collections

    def batches(
        self, collection: str, keys: Sequence[str], window: Interval | None, whole: Sequence[str]
    ) -> Iterator[Sequence[Item]]:
        """Items of a collection whose time may lie in the window, and those that state none of these.

        Of the assets asked for they have where each is, and all of those that are asked for whole.
        """
        its = self.open()
        there = {name: name for name in its.assets}
        full = {spelling.key_of(there, key) for key in whole}
        keys = [spelling.key_of(there, key) for key in keys]
        assets = [f"assets.{key}" if key in full else f"assets.{key}.href" for key in dict.fromkeys(keys)]
        columns = [*its.plain, "geometry", *assets]
        groups = [
            n
            for n in range(its.file.num_row_groups)
            if _overlaps(its, n, "collection", (collection, collection))
            and (window is None or _overlaps(its, n, "datetime", window))
        ]
        with self._readable():
            for group in groups:
                with _at_hand(its, group, columns):
                    for batch in its.file.iter_batches(ROWS, row_groups=[group], columns=columns):
                        yield _items(batch, its.plain, collection, window)


def _opened(source: Path | RemoteFile) -> _Opened:
    """Raises KeyError or ValueError where it is no table of items."""
    file = pq.ParquetFile(source)
    schema = file.schema_arrow
    if missing := {"id", "collection", "geometry", "assets", "datetime"} - set(schema.names):
        raise KeyError(f"no columns {sorted(missing)}")
    if not pa.types.is_struct(assets := schema.field("assets").type):
        raise ValueError(f"its assets are of type {assets}, expected a struct")
    plain = [
        f.name
        for f in schema
        if (not pa.types.is_nested(f.type) or f.name == "sar:polarizations")
        and f.name not in ("type", "geometry", "stac_version")
    ]
    paths = [file.metadata.schema.column(n).path for n in range(file.metadata.num_columns)]
    remote = source if isinstance(source, RemoteFile) else None
    return _Opened(file, remote, plain, [f.name for f in assets], paths)


def _at_hand(its: _Opened, group: int, columns: Sequence[str]) -> contextlib.AbstractContextManager[None]:
    """What some columns have in a row group, fetched at once where the file is elsewhere."""
    if its.remote is None:
        return contextlib.nullcontext()
    return its.remote.at_hand(column_ranges(its.file.metadata, group, columns))


def _extremes(its: _Opened, group: int, column: str) -> tuple[Any, Any] | None:
    """The least and the greatest of a column in a row group, as its statistics say; None where each item is to be looked at.

    They are of what is stated: an item may state nothing, and say it elsewhere.
    """
    if column not in its.paths:
        return None
    stats = its.file.metadata.row_group(group).column(its.paths.index(column)).statistics
    if stats is None or not stats.has_min_max or not stats.has_null_count or stats.null_count:
        return None
    try:
        return _aware(stats.min), _aware(stats.max)
    except (ArithmeticError, ValueError):  # no time, or no text, that Python has
        return None


def _overlaps(its: _Opened, group: int, column: str, wanted: tuple[Any, Any]) -> bool:
    """Whether a row group may hold values from the first to the second."""
    found = _extremes(its, group, column)
    if found is None or not isinstance(found[0], type(wanted[0])):
        return True
    return bool(found[0] <= wanted[1] and found[1] >= wanted[0])


def _items(batch: pa.RecordBatch, names: Sequence[str], collection: str, window: Interval | None) -> list[Item]:
    table = pa.Table.from_batches([batch])
    keep = (pc.field("collection") == collection) | pc.field("collection").is_null()
    if window is not None and pa.types.is_timestamp(table.schema.field("datetime").type):
        column = table.schema.get_field_index("datetime")
        table = table.set_column(column, "datetime", _utc(table["datetime"]))
        time = pc.field("datetime")
        keep &= time.is_null() | ((time >= pa.scalar(window[0])) & (time < pa.scalar(window[1])))
    table = table.filter(keep)
    shapes = shapely.from_wkb(table["geometry"].to_numpy(), on_invalid="ignore")  # of what is none: None
    plain = {name: table[name] for name in names}
    columns = [_values(_utc(c) if pa.types.is_timestamp(c.type) else c) for c in plain.values()]
    rows = [dict(zip(plain, row, strict=True)) for row in zip(*columns, strict=True)]
    assets = _values(table["assets"])
    return [
        {
            "id": row["id"],
            "collection": row["collection"],
            "geometry": shape,
            "properties": {k: v for k, v in row.items() if v is not None},
            "assets": {k: v for k, v in (its or {}).items() if isinstance(v, dict) and v.get("href")},
        }
        for row, shape, its in zip(rows, np.atleast_1d(shapes), assets, strict=True)
    ]


def _values(column: pa.ChunkedArray | pa.Array) -> list[Any]:
    """What a column holds. A byte of a text that is no UTF-8 becomes half a character, as in JSON (`scenes/jsontext.py`)."""
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> Any:
    if not scalar.is_valid:
        return None
    if isinstance(scalar, pa.StructScalar):
        return {key: _value(its) for key, its in scalar.items()}
    if isinstance(scalar, pa.ListScalar):
        return [_value(its) for its in scalar.values]
    if pa.types.is_string(scalar.type) or pa.types.is_large_string(scalar.type):
        return jsontext.decoded(scalar.as_buffer().to_pybytes())
    return scalar.as_py()


_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_FIRST_S, _LAST_S = -62_135_510_400, 253_402_214_400
"""What Python has as times in any zone, since 1970: from the second day of year 1 to before the last of year 9999."""


def _utc(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times in microseconds, which is what Python has; those without a zone are UTC, and what no calendar has is none."""
    seconds = pc.divide(column.cast(pa.int64()), _PER_SECOND[column.type.unit])
    known = pc.and_(pc.greater_equal(seconds, _FIRST_S), pc.less(seconds, _LAST_S))
    column = pc.if_else(known, column, pa.scalar(None, column.type))
    return column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.timestamp("us", "UTC"))


def _aware(value: Any) -> Any:
    return value.replace(tzinfo=dt.UTC) if isinstance(value, dt.datetime) and value.tzinfo is None else value
