"""How many rows of a table lie within a sample, by their class: trees by genus, say, (class,), of a table of points.

Read for all samples at once, when shards are packed, of the file that `[annotations.<name>.points]` names. A sample without
any row has none, and not zeros: nobody has looked there. Of one with rows 0 means that no row is of that class, not that
none is there: whoever wrote the table knows whether it is complete.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.errors.codes import Code
from curation.errors.printable import printable
from curation.errors.words import did_you_mean
from curation.model import Location, text_of
from curation.pack.subject import Gathered, Subject
from curation.places import grid, points
from curation.recipe import files
from curation.recipe.annotations import PointsSpec
from curation.recipe.catalogs import Catalogs
from curation.recipe.dataset import Dataset

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

DEGREES = 4326
WEST_DEG = -180.125
"""The westernmost edge of cells in degrees: that of those on the antimeridian."""
NEAR_DEG = 13.0
"""How far from the outermost places of a UTM zone, east to west, rows are looked at: more than any footprint reaches."""
UTM = {*range(32601, 32661), *range(32701, 32761)}
"""EPSG codes of its zones: of a large table most rows lie in others, and need not be projected."""


def check(dataset: Dataset, name: str, catalogs: Catalogs) -> None:
    """Passes where the annotation says which table, and has room for its classes. Reads the table.

    Raises:
        ConfigError: it does not, or the table cannot be read or has no such column; what it has to be is told.
    """
    spec = dataset.annotations[name].spec
    where = f"{dataset.path}: [annotations.{name}]"
    if spec.points is None:
        raise ConfigError(f"{where}: names no table: say [annotations.{name}.points] file and column")
    path = _path(dataset, name, catalogs)
    column = _rows(path, spec.points.column)[0]
    classes = _classes(spec.points, column)
    _check_names(classes, column, f"{where} names: {path}: column {spec.points.column!r}")
    if spec.type != "numbers" or spec.shape != [len(classes)]:
        raise ConfigError(
            f"{where}: type = {spec.type!r}, shape = {spec.shape}: expected 'numbers' and [{len(classes)}]: a count of each "
            f"class, {printable(', '.join(classes[:10]))}{' …' if len(classes) > 10 else ''}"
        )


def gather(dataset: Dataset, name: str, catalogs: Catalogs, places: Sequence[Location]) -> Gathered:
    """The rows within the footprint of each place, by class; none of a place that no row lies within.

    A row on a west or north edge lies within, one on an east or south edge does not: of places side by side it is of one.
    """
    spec = dataset.annotations[name].spec.points
    assert spec is not None  # `check` has passed
    path = _path(dataset, name, catalogs)
    column, lon, lat = _rows(path, spec.column)
    classes = _classes(spec, column)
    if unheard := sorted(set(classes) - set(column)):
        log.warning("[annotations.%s] names: no row of %s is %s: 0 in each sample", name, path.name,
                    printable(", ".join(unheard[:40])))  # fmt: skip
    number = column.map({c: k for k, c in enumerate(classes)}).fillna(-1).to_numpy(np.int64)
    values: dict[str, list[int] | None] = {}
    for key, rows in within(places, lon, lat).items():
        found = number[rows]
        values[key] = np.bincount(found[found >= 0], minlength=len(classes)).tolist() if len(found) else None
    content = files.sha256_of(path)
    empty = sum(v is None for v in values.values())
    facts: dict[str, Any] = {
        "file": path.name,
        "sha256": content,
        "column": spec.column,
        "classes": classes,
        "rows": len(column),
        "missing": {Code.NO_VALUE.value: empty} if empty else {},
    }
    identity = hashlib.sha256(json.dumps([content, spec.column, classes, sorted(values.items())]).encode())
    return Gathered(values, identity.hexdigest(), facts)


def classes_within(sample: Subject) -> list[int] | None:
    """(class,); None of a sample that no row lies within."""
    found: list[int] | None = sample.gathered
    return found


def _path(dataset: Dataset, name: str, catalogs: Catalogs) -> Path:
    spec, catalog = dataset.annotations[name].spec.points, catalogs.default.identity
    assert spec is not None
    file = spec.where(catalog)
    key = f"[annotations.{name}.points] {f'by_catalog.{catalog}' if catalog in spec.by_catalog else 'file'}"
    return files.beside(dataset.path, file, f"{dataset.path}: {key} = {file!r}")


def _rows(path: Path, of: str) -> tuple[pd.Series, Floats, Floats]:
    """What each row is in a column, as text, of those that are something, and where it lies, degrees."""
    table, lon, lat = points.read(path)
    if of not in table:
        known = [str(c) for c in table]
        raise ConfigError(
            f"{path}: no column {of!r}; {did_you_mean(of, known)}it has {printable(', '.join(known[:40]))}"
        )
    column = table[of]
    texts = np.array([text_of(v) if known else "" for v, known in zip(column, column.notna(), strict=True)], object)
    there = texts != ""
    return pd.Series(texts[there], dtype=object), lon[there], lat[there]


def _check_names(classes: Sequence[str], column: pd.Series, where: str) -> None:
    """Passes where some row is of one of the classes. Raises ConfigError, else: all counts would be 0."""
    known = sorted(set(column))
    if set(classes).isdisjoint(known):
        near = "".join(did_you_mean(c, known) for c in classes[:1])
        raise ConfigError(
            f"{where}: no row is of any of {printable(', '.join(classes[:10])) or 'no names'}; {near}it has "
            f"{printable(', '.join(known[:40])) or 'no rows with a class'}"
        )


def _classes(spec: PointsSpec, column: pd.Series) -> list[str]:
    return spec.names if spec.names is not None else sorted(set(column))


def within(places: Sequence[Location], lon: Floats, lat: Floats) -> dict[str, NDArray[np.int64]]:
    """Id of each place → numbers of the points within its footprint, on its own grid."""
    out = {}
    for epsg in dict.fromkeys(p.epsg for p in places):
        mine = [p for p in places if p.epsg == epsg]
        rows, x, y = _projected(epsg, np.array([p.lon for p in mine]), lon, lat)
        order = np.argsort(x, kind="stable")
        rows, x, y = rows[order], x[order], y[order]
        for place in mine:
            first, last = np.searchsorted(x, [place.x0_m, place.x0_m + place.size_m], side="left")
            down = place.y0_m - y[first:last]
            out[place.id] = rows[first:last][(down >= 0) & (down < place.size_m)]
    return out


def _projected(epsg: int, of: Floats, lon: Floats, lat: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
    """The rows that may lie in places of a CRS, and their coordinates in it; `of` are the places' longitudes."""
    if epsg == DEGREES:
        return np.arange(len(lon)), (lon - WEST_DEG) % 360 + WEST_DEG, lat
    reach = np.abs(_turned(of - of[0])).max() + NEAR_DEG if epsg in UTM else np.inf  # elsewhere a pole may lie within
    rows = np.flatnonzero(np.abs(_turned(lon - of[0])) < reach)
    x, y = grid.transformer(DEGREES, epsg).transform(lon[rows], lat[rows])
    return rows, np.asarray(x), np.asarray(y)


def _turned(degrees: Floats) -> Floats:
    """Differences of longitude, from -180 to 180."""
    return (degrees + 180) % 360 - 180
