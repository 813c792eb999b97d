"""What a dataset's samples are known to be, as tasks of probes: read of its samples tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.format.index import INDEX, Index
from curation.model import STATIC
from curation.pack.domains import known
from curation.pack.domains.domain import WHY
from curation.pack.export.of_shards import samples_table
from curation.places.grids import Floats
from curation.recipe.schema import Recipe
from curation.store import paths
from curation.store.objects import Store
from curation.worth.probe.rows import ProbeTask

WORDS = ("auto", "labels", "seasonal", "annual", "fractions", "target")
"""What may be asked for beside the name of a column."""

MOST_CLASSES = 200
"""A column of text with more values is one of names, not of classes."""

DOMAINS = ("climate_zone", "continent")
"""By which the worst group is told where nobody asks for others; seasons are, too."""

Texts = NDArray[np.str_]


class SampleTables:
    """What the samples tables of a dataset say, by sample."""

    def __init__(self, store: Store, index: Index) -> None:
        self.index, shards = index, store.child(paths.SHARDS)
        self.where = shards.where(INDEX)
        tables = [samples_table(shards, entry) for _, entry in sorted(index.splits.items()) if entry.samples]
        self._columns: dict[str, list[Any]] = {
            name: [
                v for t in tables for v in (t.column(name).to_pylist() if name in t.schema.names else [None] * len(t))
            ]
            for name in dict.fromkeys(n for t in tables for n in t.schema.names if n != "geometry")
        }
        self._row = {key: row for row, key in enumerate(self._columns["id"])}
        self._numbers = {f.name for t in tables for f in t.schema if pa.types.is_floating(f.type) or _is_whole(f.type)}

    @property
    def names(self) -> list[str]:
        """Columns that hold one text or number of a sample."""
        lists = ("labels_", "fractions_")
        return [n for n in self._columns if n not in ("id", "shard") and not n.startswith(lists)]

    def of(self, name: str, samples: Texts) -> list[Any]:
        """A column, of the sample of each row; None where it is not known."""
        values = self._columns.get(name)
        return [None if values is None else values[self._row[key]] for key in samples.tolist()]

    def is_number(self, name: str) -> bool:
        """Whether a column holds numbers."""
        return name in self._numbers


def task_of(facts: SampleTables, asked: str, samples: Texts, seasons: Texts) -> ProbeTask:
    """What is to be told of rows.

    Args:
        facts: of the dataset.
        asked: `labels` (of the season, or of the annual map where no season has any), `seasonal`, `annual`, `fractions`
            (shares of the labels), `target`, a column of the samples table, or `auto`: the target where there is one, else
            labels.
        samples: sample of each row (n,).
        seasons: of each row (n,).

    Raises:
        ConfigError: the dataset has nothing such.
    """
    target = facts.index.target
    if asked == "auto":
        asked = "labels" if target is None else "target"
    if asked == "target" and target is None:
        raise ConfigError(f"--labels target: {facts.where} has none; it has {_offered(facts)}")
    if target is not None and asked in ("target", target.column):
        return _of_column(facts, target.column, samples, target.classes)
    if asked in WORDS:
        return _of_labels(facts, asked, samples, seasons)
    if asked not in facts.names:
        raise ConfigError(
            f"--labels {asked}: {did_you_mean(asked, [*WORDS, *facts.names])}{facts.where} has {_offered(facts)}"
        )
    return _of_column(facts, asked, samples, None)


def _offered(facts: SampleTables) -> str:
    labels = ["labels", "seasonal", "annual", "fractions"] if facts.index.label_names else []
    return ", ".join([*labels, *(["target"] if facts.index.target else []), *facts.names])


def _of_labels(facts: SampleTables, asked: str, samples: Texts, seasons: Texts) -> ProbeTask:
    names, said = facts.index.label_names, "fractions" if asked == "fractions" else "labels"
    if not names:
        raise ConfigError(f"--labels {asked}: {facts.where} has no labels; it has {_offered(facts)}")
    of_seasons = {s: facts.of(f"{said}_{s}", samples) for s in {*seasons.tolist(), STATIC}}
    seasonal = [of_seasons[s][row] for row, s in enumerate(seasons.tolist())]
    annual = asked == "annual" or (asked != "seasonal" and all(v is None for v in seasonal))
    found = of_seasons[STATIC] if annual else seasonal
    when = "annual" if annual else "seasonal"
    if said == "fractions":
        return ProbeTask(f"{when} shares of labels", "number", names, _stacked([_floats(v) for v in found], len(names)))
    hot = [None if v is None else [float(n in v) for n in names] for v in found]
    return ProbeTask(f"{when} labels", "classes", names, _stacked(hot, len(names)))


def _of_column(facts: SampleTables, name: str, samples: Texts, classes: Sequence[Any] | None) -> ProbeTask:
    """A column as classes of a legend, as numbers, or as classes of its own."""
    values = facts.of(name, samples)
    if classes is None and facts.is_number(name):
        return ProbeTask(name, "number", (name,), _stacked([_floats([v]) for v in values], 1))
    legend = sorted({v for v in values if v is not None}) if classes is None else list(classes)
    if len(legend) > MOST_CLASSES and classes is None:
        raise ConfigError(
            f"--labels {name}: it holds {len(legend)} texts, expected at most {MOST_CLASSES} classes; name another column"
        )
    number = {c: n for n, c in enumerate(legend)}
    hot = [None if v not in number else np.eye(len(legend))[number[v]].tolist() for v in values]
    return ProbeTask(name, "class", tuple(map(str, legend)), _stacked(hot, len(legend)))


def _floats(values: Sequence[Any] | None) -> list[float] | None:
    if values is None or any(v is None or not math.isfinite(v) for v in values):
        return None
    return [float(v) for v in values]


def _stacked(values: Sequence[Sequence[float] | None], width: int) -> Floats:
    out = np.full((len(values), width), np.nan)
    for row, value in enumerate(values):
        if value is not None:
            out[row] = value
    return out


def _is_whole(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_integer(dtype))


def domains_of(
    asked: Sequence[str] | None, columns: Mapping[str, Texts], lon: Floats, lat: Floats, recipe: Recipe
) -> dict[str, Texts]:
    """What rows are grouped by: name → text of each (n,), empty where it is not told.

    Args:
        asked: columns of the samples table, or domains that follow from where a place is; `DOMAINS` where left out.
        columns: of the samples table, domains without what stands before their names.
        lon: degrees (n,).
        lat: likewise.
        recipe: of the dataset.

    Raises:
        ConfigError: there is nothing such.
    """
    of_places = {name: d.of_places for name, d in known.DOMAINS.items() if d.of_places is not None}
    out = {}
    for name in DOMAINS if asked is None else asked:
        if name == "season":
            continue  # always there
        if name in columns:
            out[name] = columns[name].astype(str)
        elif name in of_places:
            out[name] = of_places[name](lon, lat, recipe).astype(str)
        else:
            choices = ["season", *of_places, *columns]
            raise ConfigError(
                f"--by {name}: {did_you_mean(name, choices)}expected of {', '.join(dict.fromkeys(choices))}"
            )
        out[name] = np.where(np.char.startswith(out[name], WHY), "", out[name])
    return out
