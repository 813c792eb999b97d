"""Places that somebody has looked at and wants in no release: ids with a reason each. No I/O but reading the file named."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from curation.errors import ConfigError
from curation.errors.printable import shown
from curation.recipe.strict import StrictTable
from curation.store import local

Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]

COLUMNS = ("id", "reason")
"""Of a file of such places: CSV, with others beside them or not."""


class ExcludeSpec(StrictTable):
    """What stands in no shard from the next packing on. Cubes keep it, so that it may come back."""

    ids: dict[str, Reason] = Field(default_factory=dict)
    """Location → why, in the words of whoever looked."""
    file: str | None = None
    """CSV with columns `id` and `reason`, relative to the recipe: the same for many."""

    def __bool__(self) -> bool:
        return bool(self.ids) or self.file is not None


def read(spec: ExcludeSpec, recipe: Path) -> dict[str, str]:
    """Location → why it is in no release, of the recipe and its file together.

    Raises:
        ConfigError: there is no such file, it has not these columns, a row says no reason, or an id stands there twice.
    """
    found = dict(spec.ids)
    if spec.file is None:
        return found
    path = (recipe.parent / spec.file).resolve()
    where = f"{recipe}: [exclude] file = {spec.file!r}"
    if not path.exists():
        raise ConfigError(f"{where}: no such file {path}")
    local.check(path, f"{where}: {path}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.DictReader(file)
            if missing := [c for c in COLUMNS if c not in (lines.fieldnames or ())]:
                raise ConfigError(
                    f"{where}: has columns {shown(lines.fieldnames, 200)}, lacks {missing}; expected id and reason"
                )
            for number, row in enumerate(lines, 1):
                name, why = ((row[c] or "").strip() for c in COLUMNS)
                if not name or not why:
                    raise ConfigError(f"{where}: row {number} has id {name!r} and reason {why!r}, expected both")
                if name in found:
                    raise ConfigError(f"{where}: row {number}: {name} is excluded already; say it once")
                found[name] = why
    except (UnicodeDecodeError, csv.Error) as err:
        raise ConfigError(f"{where}: no CSV file in UTF-8 ({err})") from err
    return found
