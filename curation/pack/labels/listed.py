"""Labels that a file lists: JSON in the form of SSL4EO-S12-ML, or a table. Reads the file, writes nothing."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.model import parse_time
from curation.recipe.sources import SourceSpec
from curation.scenes import acquisition
from curation.scenes.acquisition import Acquisition
from curation.store import local, tables

LOCATION_COLUMNS = ("location_id", "location", "id", "sample_id")
"""Where a table's locations are looked for, in order."""
IMAGE_COLUMNS = ("s2_id", "sentinel2_id", "image_id", "system:index")
"""Where its Sentinel-2 ids are."""
TIME_COLUMNS = ("time", "datetime", "date", "timestamp", "system:time_start")
"""Where its times are, of rows without an id."""
_IN_MS = "system:time_start"
"""The one of them that has milliseconds since 1970: Earth Engine's."""
_SEASON_COLUMNS = ("season", "month")
"""What tells rows of one place apart, and is no time that an image can be found by."""
LABEL_COLUMNS = ("labels", "classes")
"""Where its labels are: a list, or text with `;`, `,` or `|` between them; else a column of 0 and 1 per label."""

MOST_BYTES = 512 * 2**20
"""Of a file, which is read whole: the labels of 780,371 images take some 90 MB as JSON."""

PARQUET = (".parquet", ".geoparquet")

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SINCE_1970 = {10: 1, 13: 1000}
"""Digits of times since 1970 from 2001 on → how many a second."""
_FIRST = 2015
"""Sentinel-2A was launched in June of that year."""
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])|[0-9]{8}(?:[T ]|$)", re.ASCII)
_PRODUCT = re.compile(r"G?S2[A-D]_", re.ASCII)
"""How names of Sentinel-2's products and datatakes, and ids of Earth Search, begin."""

SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("location", pa.string()),
        pa.field("s2_id", pa.string()),
        pa.field("tile", pa.string()),
        pa.field("start", pa.timestamp("ms", "UTC")),
        pa.field("sensed", pa.timestamp("us", "UTC")),
        pa.field("day", pa.date32()),
        pa.field("labels", pa.list_(pa.string())),
        pa.field("shares", pa.list_(pa.float32())),
        pa.field("valid_fraction", pa.float32()),
    ]
)
"""A row of what was imported: its number in the file from 1 on, of what it is, and either labels, shares of the classes of
the legend, or neither where the file says that there are none."""


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One row."""

    number: int
    location: str | None
    s2_id: str | None
    image: Acquisition | None
    """None: of the place, whatever the image."""
    labels: list[str] | None = None
    """Names of labels; None where they are unknown, or were measured."""
    shares: list[float] | None = None
    valid_fraction: float | None = None


def table(rows: Iterable[LabelRow]) -> pa.Table:
    """Rows as columns."""
    found = list(rows)
    images = [r.image or Acquisition(None, None) for r in found]
    columns: dict[str, list[Any]] = {
        "row": [r.number for r in found],
        "location": [r.location for r in found],
        "s2_id": [r.s2_id for r in found],
        "tile": [i.tile for i in images],
        "start": [i.start for i in images],
        "sensed": [i.sensed for i in images],
        "day": [i.day for i in images],
        "labels": [r.labels for r in found],
        "shares": [r.shares for r in found],
        "valid_fraction": [r.valid_fraction for r in found],
    }
    return pa.table({f.name: pa.array(columns[f.name], f.type) for f in SCHEMA}, schema=SCHEMA)


@dataclass(frozen=True)
class Vocabulary:
    """What may be said: the labels of a recipe, and what classes of a source count as."""

    names: tuple[str, ...]
    source: SourceSpec

    @cached_property
    def _labels(self) -> dict[str, str]:
        """What is said → the label: by its own name, else a class's, else a code's."""
        legend = self.source.kind.legend
        of = {str(c.code): c.label or c.name for c in legend} | {c.name: c.label or c.name for c in legend}
        return {said: label for said, label in of.items() if label in self.names} | {n: n for n in self.names}

    def label(self, said: Any, where: str) -> str:
        """The label that a name, or a code of the legend, stands for.

        Raises:
            ConfigError: none.
        """
        text = str(said).strip()
        label = self._labels.get(text)
        if label is None:
            codes = ", ".join(f"{c.code} {c.name}" for c in self.source.kind.legend)
            raise ConfigError(
                f"{where}: label {text[:60]!r}: {did_you_mean(text, self.names)}expected a label "
                f"({', '.join(self.names)}), or a class of {self.source.name!r} by name or code ({codes})"
            )
        return label


def check(path: Path, where: str) -> None:
    """Passes where a path leads to a file that may list labels, by its name and size. Reads nothing of it.

    Raises:
        ConfigError: it does not.
    """
    forms = "expected a .json, .csv or .parquet file that lists labels, or a folder of class maps (GeoTIFFs)"
    if not path.exists():
        raise ConfigError(f"{where}: no such file or folder; {forms}: correct the path")
    local.check(path, where, MOST_BYTES)
    if path.suffix.lower() not in (".json", ".csv", *PARQUET):
        raise ConfigError(f"{where}: its name ends in {path.suffix or 'nothing'!r}, {forms}: name it by what it holds")


def read(path: Path, where: str, words_of: Callable[[bool], Vocabulary]) -> tuple[pa.Table, bool]:
    """The rows of a file, and whether they are of images (else of places).

    Args:
        path: of it.
        where: what errors begin with.
        words_of: what it may say, of images or of places.

    Raises:
        ConfigError: it is not readable, of another form, or says what is no label.
    """
    check(path, where)
    suffix = path.suffix.lower()
    if suffix == ".json":
        return table(_of_json(path, where, words_of(True))), True
    if suffix in PARQUET:
        tables.check(path, where)
        try:
            found = pq.read_table(path)
        except (pa.ArrowException, OSError, ValueError) as err:
            raise ConfigError(f"{where}: not readable: {err}") from err
        names = [n for n in found.column_names if n != "geometry"]
        lines: Iterator[dict[str, Any]] = (r for batch in found.select(names).to_batches() for r in batch.to_pylist())
    else:
        names, lines = _of_csv(path, where)
    image = _found(names, IMAGE_COLUMNS)
    time = _found(names, TIME_COLUMNS)
    seasonal = bool(image or time)
    if not seasonal:
        lines = _of_places(names, lines, where)
    rows = _of_table(names, lines, image, time, where, words_of(seasonal))
    return table(_days(list(rows)) if time else rows), seasonal


def _of_json(path: Path, where: str, words: Vocabulary) -> Iterator[LabelRow]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            keys = [k for k, _ in pairs]
            twice = next(k for k in keys if keys.count(k) > 1)
            raise ConfigError(
                f"{where}: key {twice[:80]!r} is there twice: which of them is meant is not known; mend it"
            )
        return found

    try:
        value = json.loads(path.read_bytes(), object_pairs_hook=once)
    except (ValueError, RecursionError) as err:
        if isinstance(err, ConfigError):
            raise
        raise ConfigError(f"{where}: not JSON: {err}") from err
    form = "expected {location id: {Sentinel-2 id: [class, …]}}"
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: {type(value).__name__}, {form}")
    number = 0
    for location, images in value.items():
        if not location.strip():
            raise ConfigError(f"{where}: location {location!r}: no location; mend it, or leave it out")
        if not isinstance(images, dict):
            raise ConfigError(f"{where}: location {location!r}: {type(images).__name__}, {form}")
        for name, classes in images.items():
            number += 1
            at = f"{where}: location {location!r}, {name!r}"
            if not isinstance(classes, list):
                raise ConfigError(f"{at}: {type(classes).__name__}, {form}")
            yield LabelRow(number, _text(location, at), _text(name, at), _image(name, at), _each(classes, at, words))


def _each(said: Sequence[Any], where: str, words: Vocabulary) -> list[str] | None:
    """The labels that values stand for, each once; None of none."""
    return list(dict.fromkeys(words.label(v, where) for v in said)) or None


def _text(value: Any, where: str) -> str:
    """A cell as text. Raises ConfigError where it is none that can be kept (half a surrogate pair, of JSON)."""
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    try:
        text.encode()
    except UnicodeEncodeError as err:
        raise ConfigError(
            f"{where.encode(errors='backslashreplace').decode()}: is no text ({err.reason}); mend it"
        ) from None
    return text


def _of_csv(path: Path, where: str) -> tuple[list[str], Iterator[dict[str, Any]]]:
    try:
        lines = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline=""), strict=True))
    except (ValueError, csv.Error) as err:
        raise ConfigError(f"{where}: not a table: {err}") from err
    if not lines:
        raise ConfigError(f"{where}: is empty, expected a line with the names of its columns")
    names = lines[0]
    if len(set(names)) != len(names):
        raise ConfigError(f"{where}: columns named twice: {', '.join(names)}")
    for number, line in enumerate(lines[1:], 1):
        if line and len(line) != len(names):
            raise ConfigError(f"{where}: row {number}: {len(line)} cells, expected {len(names)}")
    return names, (dict(zip(names, line, strict=True)) for line in lines[1:] if line)


def _found(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    return next((n for n in wanted if n in names), None)


def _of_table(
    names: Sequence[str],
    lines: Iterable[dict[str, Any]],
    image: str | None,
    time: str | None,
    where: str,
    words: Vocabulary,
) -> Iterator[LabelRow]:
    location, labels = _found(names, LOCATION_COLUMNS), _found(names, LABEL_COLUMNS)
    if location is None:
        raise ConfigError(
            f"{where}: no column of locations ({', '.join(LOCATION_COLUMNS)}); columns: {', '.join(names)}"
        )
    if labels is None and (lacking := [n for n in words.names if n not in names]):
        raise ConfigError(
            f"{where}: no column of labels ({', '.join(LABEL_COLUMNS)}), nor one of 0 and 1 for each label (lacking: "
            f"{', '.join(lacking)}); columns: {', '.join(names)}"
        )
    for number, line in enumerate(lines, 1):
        at = f"{where}: row {number}"
        said = _several(line[labels], at, words) if labels else _multi_hot(line, at, words)
        place = line[location]
        if place is None or not str(place).strip():
            raise ConfigError(f"{at}: column {location!r}: no location; mend it, or leave the row out")
        its = _text(place, at)
        name = str(line[image] or "") if image else ""
        if image and (name.strip() or not time or _is_empty(line[time])):
            yield LabelRow(number, its, name, _image(name, at), said)
        elif time:
            yield LabelRow(number, its, None, _timed(line[time], time, f"{at}: column {time!r}"), said)
        else:
            yield LabelRow(number, its, None, None, said)


def _of_places(names: Sequence[str], lines: Iterable[dict[str, Any]], where: str) -> Iterator[dict[str, Any]]:
    """The same lines, of a table that has neither ids nor times: labels of places, whatever the image.

    Raises:
        ConfigError: something in it reads as such, or tells rows of one place apart, and would be passed over.
    """
    location = _found(names, LOCATION_COLUMNS)
    first: dict[str, int] = {}
    left = {n: 0 for n in names if n not in (location, *LABEL_COLUMNS)}
    """Column → values that tell an image or a time, as long as all of it do."""
    do = (
        f"name the column of Sentinel-2 ids {IMAGE_COLUMNS[0]!r}, or that of times {TIME_COLUMNS[0]!r}; where the labels "
        f"are of the whole place, leave it with one row, and such columns out; columns: {', '.join(names)}"
    )
    if found := _found(names, _SEASON_COLUMNS):
        raise ConfigError(f"{where}: column {found!r} tells no image: {do}")
    for number, line in enumerate(lines, 1):
        if location is not None and not _is_empty(line[location]):
            key = key_of(str(line[location]))
            if key in first:
                raise ConfigError(
                    f"{where}: location {str(line[location])[:60]!r} stands in rows {first[key]} and {number}, and nothing "
                    f"says of which image or time either is: {do}"
                )
            first[key] = number
        for name in list(left):
            if not _is_empty(line[name]):
                if _tells(line[name]):
                    left[name] += 1
                else:
                    del left[name]
        yield line
    if unread := [n for n, count in left.items() if count]:
        raise ConfigError(
            f"{where}: column {unread[0]!r} reads as ids of images or times, under no name of these: {do}"
        )


def key_of(location: str) -> str:
    """A location's id as ids are compared: of a number leading zeros do not count."""
    text = location.strip()
    return text.lstrip("0") or "0" if text.isascii() and text.isdigit() else text


def _is_empty(value: Any) -> bool:
    return value is None or value != value or not str(value).strip()  # NaN is none, and NaT neither


def _tells(value: Any) -> bool:
    """Whether a value reads as the id of a Sentinel-2 image, or as a time that one may have."""
    if isinstance(value, dt.date):
        return True
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    if acquisition.of_id(text) is not None or _PRODUCT.match(text):
        return True
    try:
        if text.isascii() and text.isdigit() and len(text) in _SINCE_1970:
            time = _EPOCH + dt.timedelta(seconds=int(text) / _SINCE_1970[len(text)])
        elif _DATE.match(text):
            time = parse_time(text)
        else:
            return False
    except (ValueError, OverflowError):
        return False
    return _FIRST <= time.year < _FIRST + 100


def _days(rows: list[LabelRow]) -> list[LabelRow]:
    """The same rows; where all of the times that stand for an id are midnight, they are days."""
    timed = [r.image.sensed for r in rows if r.image is not None and r.image.sensed is not None]
    if any(t.time() != dt.time() for t in timed):
        return rows
    return [
        replace(r, image=Acquisition(None, None, day=r.image.sensed.date())) if r.image and r.image.sensed else r
        for r in rows
    ]


def _several(value: Any, where: str, words: Vocabulary) -> list[str] | None:
    """The labels of a cell; None where it is empty."""
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            try:
                value = json.loads(text)
            except (ValueError, RecursionError) as err:
                raise ConfigError(f"{where}: labels {text[:60]!r}: no list in JSON: {err}") from err
        else:
            value = [part for part in re.split(r"[;,|]", text) if part.strip()]
    if value is None:
        return None
    if not isinstance(value, list):
        value = [value]
    return _each(value, where, words)


_SAID = {"1": True, "true": True, "0": False, "false": False}


def _multi_hot(line: dict[str, Any], where: str, words: Vocabulary) -> list[str] | None:
    """The labels whose columns say 1; None where all are empty."""
    cells = {n: "" if line[n] is None else str(line[n]).strip().lower().removesuffix(".0") for n in words.names}
    if not any(cells.values()):
        return None
    for name, text in cells.items():
        if text not in _SAID:
            raise ConfigError(f"{where}: column {name!r}: {line[name]!r}, expected 0 or 1 (shares are not read)")
    return [n for n, text in cells.items() if _SAID[text]]


def _image(name: str, where: str) -> Acquisition:
    found = acquisition.of_id(name)
    if found is None:
        raise ConfigError(
            f"{where}: {name[:80]!r} is no id of a Sentinel-2 image; expected one with the start of its datatake and its "
            "tile, such as 20200718T102559_20200718T103605_T31TFJ"
        )
    return found


def _timed(value: Any, column: str, where: str) -> Acquisition:
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return Acquisition(None, None, day=value)
    try:
        if isinstance(value, dt.datetime):
            return Acquisition(None, None, parse_time(value.isoformat()))
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value or "").strip()
        if column == _IN_MS and not _DATE.match(text):
            return Acquisition(None, None, _EPOCH + dt.timedelta(milliseconds=int(text)))
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}", text, re.ASCII):
            return Acquisition(None, None, day=dt.date.fromisoformat(text))
        if text.isdigit():  # some of which read as dates
            raise ValueError(text)
        return Acquisition(None, None, parse_time(text))
    except (ValueError, OverflowError) as err:
        raise ConfigError(
            f"{where}: {str(value)[:60]!r}: expected a day or time, such as 2020-07-18T10:25:59Z"
            + (", or milliseconds since 1970" if column == _IN_MS else "")
        ) from err
