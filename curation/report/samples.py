"""Samples as they are packed, for what the report says of a split: where they lie, of which part, with which labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.errors.causes import one_line
from curation.format.index import Index
from curation.format.names import DOMAIN
from curation.model import STATIC
from curation.places.grids import Floats
from curation.report.survey import Survey
from curation.store import paths


@dataclass(frozen=True, slots=True)
class SplitParts:
    """What a rule of the split says of its parts."""

    every: tuple[str, ...]
    learnt: tuple[str, ...]
    """Those that are learnt from."""
    held_against: tuple[tuple[str, str], ...]
    """Parts of train's domains, each with that of others which it is held against."""
    domain: str | None
    """Which domain decides, where one does."""


@dataclass(frozen=True, slots=True)
class Samples:
    """A row each."""

    ids: NDArray[np.str_]
    parts: NDArray[np.str_]
    lon: Floats
    lat: Floats
    """Degrees."""
    label_names: tuple[str, ...]
    labels: Floats
    """(n, label_names): amounts of each; of several seasons their mean, NaN where unknown."""
    domain: NDArray[np.str_] | None
    """What the domain tells that the split goes by, empty where it does not; None where it goes by none."""
    split: SplitParts
    """What the rule of the split says of parts."""


def read(survey: Survey, index: Index | None) -> Samples | None:
    """All samples; None where nothing is packed, or a table cannot be read, which is damage."""
    if index is None:
        return None
    store, parts = survey.store.child(paths.SHARDS), list[Samples]()
    rule = survey.dataset.recipe.split
    domain = next((n for n in rule.domains if n in index.domains), None)
    about = SplitParts(rule.parts, rule.learnt, rule.held_against, domain)
    for split, entry in index.splits.items():
        try:
            table = pq.read_table(pa.BufferReader(store.get(entry.samples_table.name)))
            parts.append(_of(table, split, index, about))
        except (FileNotFoundError, pa.ArrowException, OSError, KeyError, ValueError) as err:
            survey.damage[f"{store.where(entry.samples_table.name)}: cannot be read: {one_line(err)}; pack again"] = (
                None
            )
            return None
    return _joined(parts) if parts else None


def _of(table: pa.Table, split: str, index: Index, about: SplitParts) -> Samples:
    names, labels = _labels(table, index)
    texts = (
        None if about.domain is None else np.array([v or "" for v in table[f"{DOMAIN}{about.domain}"].to_pylist()], str)
    )
    return Samples(
        np.array(table["id"].to_pylist(), str),
        np.full(table.num_rows, split),
        table["lon"].to_numpy().astype(np.float64),
        table["lat"].to_numpy().astype(np.float64),
        names,
        labels,
        texts,
        about,
    )


def _labels(table: pa.Table, index: Index) -> tuple[tuple[str, ...], Floats]:
    """Classes, and how much of each sample is of each: of the target, where it has classes, else of the labels."""
    if index.target is not None and (numbers := index.target.numbers):
        column = [None if v is None else numbers.get(v) for v in table[index.target.column].to_pylist()]
        rows = np.full((table.num_rows, len(numbers)), np.nan)
        for row, number in enumerate(column):
            if number is not None:
                rows[row] = np.arange(rows.shape[1]) == number
        return tuple(map(str, numbers)), rows
    names = tuple(index.label_names)
    of_each = [_of_season(table, season, names) for season in (STATIC, *index.seasons)]
    known = np.asarray(np.isfinite(np.stack(of_each)).all(axis=2))
    total = np.stack([np.where(np.isfinite(rows), rows, 0) for rows in of_each]).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return names, np.where(known.any(axis=0, keepdims=True).T, total / known.sum(axis=0, keepdims=True).T, np.nan)


def _of_season(table: pa.Table, season: str, names: Sequence[str]) -> Floats:
    """Fractions of a season, or what is there without fractions as ones; (n, names), NaN where unknown."""
    out = np.full((table.num_rows, len(names)), np.nan)
    if not names:
        return out
    fractions, listed = (
        [None] * table.num_rows if c not in table.column_names else table[c].to_pylist()
        for c in (f"fractions_{season}", f"labels_{season}")
    )
    at = {name: k for k, name in enumerate(names)}
    for row, (amounts, labels) in enumerate(zip(fractions, listed, strict=True)):
        if amounts is not None:
            out[row] = [np.nan if v is None else v for v in amounts]
        elif labels is not None:
            out[row] = 0.0
            out[row, [at[name] for name in labels]] = 1.0
    return out


def _joined(parts: Sequence[Samples]) -> Samples:
    join = np.concatenate
    texts = None if parts[0].domain is None else join([p.domain for p in parts if p.domain is not None])
    return Samples(
        join([p.ids for p in parts]),
        join([p.parts for p in parts]),
        join([p.lon for p in parts]),
        join([p.lat for p in parts]),
        parts[0].label_names,
        join([p.labels for p in parts]),
        texts,
        parts[0].split,
    )
