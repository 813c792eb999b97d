"""Which domains samples of a split are of, as numbers: from the samples table, once, for whoever fills batches."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from curation.errors import ConfigError, DamageError
from curation.errors.words import did_you_mean
from curation.format.names import DOMAIN
from curation.stream.loading import check_names
from curation.stream.opening import OpenSplit, sample_columns


def load(opened: OpenSplit, names: Sequence[str]) -> tuple[str, ...]:
    """The names, once each, after the numbers of each sample are there as `opened.domains`.

    Raises:
        ConfigError: the index has no such domain.
        DamageError: the samples table is not what the index says of it.
    """
    known = opened.index.domains
    check_names("domains", names, known)
    for name in names:
        if name not in known:
            there = (
                f"known: {', '.join(known)}" if known else "the index has none: say [domains] in the recipe, and pack"
            )
            raise ConfigError(f"domains: no domain {name!r}; {did_you_mean(name, known)}{there}")
    if todo := [n for n in dict.fromkeys(names) if n not in opened.domains]:
        table, where = sample_columns(opened, [f"{DOMAIN}{n}" for n in todo])
        opened.domains |= {n: _numbers(table.column(f"{DOMAIN}{n}"), opened, n, where) for n in todo}
    return tuple(dict.fromkeys(names))


def _numbers(column: pa.ChunkedArray, opened: OpenSplit, name: str, where: str) -> np.ndarray:
    """The numbers of a column's values: int64, (samples,)."""
    numbers, values = opened.index.domains[name].numbers, column.to_pylist()
    if odd := [v for v in values if isinstance(v, list | dict) or v not in numbers]:
        raise DamageError(
            f"{where}: {DOMAIN}{name}: {reprlib.repr(odd[0])} is none of the values that the index has: pack again"
        )
    return np.array([numbers[v] for v in values], np.int64)
