"""The target of samples: the column of the file of places that `[labels] column` names, as classes or a number. Pure.

Classes follow from all places of the draw, whatever was built or packed of them: one that is built later changes no number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.errors import ConfigError
from curation.format.target import MOST, TargetEntry
from curation.model import Location
from curation.pack.meta import column_value
from curation.places.locations import Locations
from curation.recipe.dataset import Dataset

MOST_CLASSES = 10_000
"""More are ids or measurements that somebody took for classes."""


def of(dataset: Dataset, places: Locations) -> TargetEntry | None:
    """The target of a dataset whose whole draw is `places`; None where its recipe names none.

    Raises:
        ConfigError: the column holds nothing, times, or what can be no class.
    """
    rules = dataset.recipe.labels
    if rules.column is None:
        return None
    where = f"{dataset.path}: [labels] column = {rules.column!r}"
    column = places.table[rules.column].combine_chunks()
    values = pc.unique(column.drop_null()).to_pylist()
    if not values:
        raise ConfigError(f"{where}: it holds nothing for any of {len(places)} locations; name another column")
    if pa.types.is_timestamp(column.type):
        raise ConfigError(f"{where}: it holds times, expected classes (text, whole numbers, true and false) or numbers")
    text, real = pa.types.is_string(column.type), pa.types.is_floating(column.type)
    if rules.target == "number" and text:
        raise ConfigError(
            f"{where}: it holds text, such as {values[0]!r}, expected numbers, as target = 'number' says; leave 'target' out"
        )
    if rules.target == "number" or (real and rules.target is None and rules.classes is None):
        return TargetEntry(rules.column, None)
    found = sorted(values) if text else [_whole(v, where) for v in sorted(values)]
    if rules.classes is not None:
        if more := [v for v in found if v not in rules.classes]:
            raise ConfigError(
                f"{where}: it holds {more[0]!r}, which is none of 'classes' ({len(more)} such values); name it there, or "
                "mend it in the file"
            )
        if odd := [c for c in rules.classes if isinstance(c, str) != text]:
            raise ConfigError(
                f"{where}: classes: {odd[0]!r}, expected {'text' if text else 'whole numbers'}, as it holds"
            )
        return TargetEntry(rules.column, tuple(rules.classes))
    if len(found) > MOST_CLASSES:
        raise ConfigError(
            f"{where}: it holds {len(found)} values, expected {MOST_CLASSES} classes at most; name another column, or say "
            "target = 'number' of numbers"
        )
    alike = Counter(" ".join(v.casefold().split()) for v in found if isinstance(v, str))
    if twice := [v for v in found if isinstance(v, str) and alike[" ".join(v.casefold().split())] > 1]:
        raise ConfigError(
            f"{where}: {', '.join(map(repr, twice[:4]))} differ in case or spaces alone, and would be classes of their own; "
            "write them alike in the file, or name all of them in 'classes'"
        )
    return TargetEntry(rules.column, tuple(found))


def _whole(value: float, where: str) -> int:
    """A number as that of a class, true as 1. Raises ConfigError where it is none."""
    if value != int(value) or abs(value) >= MOST:
        raise ConfigError(f"{where}: it holds {value:.17g}, expected whole numbers of classes; say target = 'number'")
    return int(value)


def counts(target: TargetEntry, samples: Mapping[str, Iterable[Location]]) -> dict[str, Any]:
    """What the index says of a target: split → samples of which it is `known` and `unknown`, and class → samples."""
    out: dict[str, Any] = {}
    for split, places in samples.items():
        found = Counter(column_value(p.columns[target.column]) for p in places)
        out[split] = {"known": found.total() - found[None], "unknown": found[None]}
        if target.classes is not None:
            out[split]["classes"] = {str(c): found[c] for c in target.classes}
    return out


def summary(target: TargetEntry, counted: Mapping[str, Any]) -> str:
    """The same in a line: `label crop: train 32 known, 3 unknown (maize 20, rice 12); val …`."""
    lines = []
    for split, its in counted.items():
        classes = ", ".join(f"{name} {n}" for name, n in its.get("classes", {}).items())
        lines.append(f"{split} {its['known']} known, {its['unknown']} unknown{f' ({classes})' if classes else ''}")
    return f"label {target.column}: {'; '.join(lines)}"
