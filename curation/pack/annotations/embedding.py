"""Vectors of a table as an annotation: what `curate embed` made of an earlier release, or a model of the user's.

Read for all samples at once, when shards are packed, of the file that `[annotations.<name>.embedding]` names. With
`shape = [D]` a sample has the mean over its seasons, with `ragged = true` and `shape = [S, D]` a vector for each season that
the table has, in the recipe's order. A sample without any has none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from curation.errors import ConfigError
from curation.errors.codes import Code
from curation.model import STATIC, Location
from curation.pack import vectors
from curation.pack.subject import Gathered, Subject
from curation.pack.vectors import VectorTable
from curation.recipe import files
from curation.recipe.catalogs import Catalogs
from curation.recipe.dataset import Dataset


def check(dataset: Dataset, name: str, catalogs: Catalogs) -> None:
    """Passes where the annotation names a table, and has room for its vectors. Reads the table.

    Raises:
        ConfigError: it does not, or the table cannot be read; what it has to be is told.
    """
    spec = dataset.annotations[name].spec
    where = f"{dataset.path}: [annotations.{name}]"
    if spec.embedding is None:
        raise ConfigError(f"{where}: names no table: say [annotations.{name}.embedding] file")
    wide, seasons = _table(dataset, name).values.shape[1], len(list(dataset.season_names())) or 1
    expected = [seasons, wide] if spec.ragged else [wide]
    if spec.type != "vectors" or spec.shape != expected:
        raise ConfigError(
            f"{where}: type = {spec.type!r}, shape = {spec.shape}: expected 'vectors' and [{wide}] for the mean over "
            f"seasons, or ragged = true and [{seasons}, {wide}] for one of each season"
        )


def gather(dataset: Dataset, name: str, catalogs: Catalogs, places: Sequence[Location]) -> Gathered:
    """The vectors of each place."""
    table, ragged = _table(dataset, name), dataset.annotations[name].spec.ragged
    seasons = list(dataset.season_names()) or [STATIC]
    values = {place.id: _of(table, place.id, seasons, ragged=ragged) for place in places}
    empty = sum(v is None for v in values.values())
    facts: dict[str, Any] = {
        "file": _path(dataset, name).name,
        "sha256": table.sha256,
        "missing": {Code.NO_VALUE.value: empty} if empty else {},
    }
    identity = hashlib.sha256(json.dumps([table.sha256, ragged, seasons, sorted(values)]).encode()).hexdigest()
    return Gathered(values, identity, facts)


def embedding(sample: Subject) -> Any:
    """(D,) or (season, D) float32; None of a sample that the table has nothing of."""
    return None if sample.gathered is None else np.asarray(sample.gathered, np.float32)


def _of(table: VectorTable, key: str, seasons: Sequence[str], *, ragged: bool) -> Any:
    found = [v for v in (table.of(key, season) for season in seasons) if v is not None]
    if not found:
        return None
    stacked = np.stack(found).astype(np.float64)
    return (stacked if ragged else stacked.mean(0)).tolist()


def _path(dataset: Dataset, name: str) -> Path:
    spec = dataset.annotations[name].spec.embedding
    assert spec is not None  # `check` has passed
    where = f"{dataset.path}: [annotations.{name}.embedding] file = {spec.file!r}"
    return files.beside(dataset.path, spec.file, where, vectors.MOST_BYTES)


def _table(dataset: Dataset, name: str) -> VectorTable:
    return vectors.read(_path(dataset, name), f"{dataset.path}: [annotations.{name}.embedding]")
