"""Dates of locations that seasons lie around: what their columns must hold."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from curation.errors import ConfigError
from curation.places import user_columns
from curation.places.locations import Locations
from curation.places.user_columns import TIME
from curation.recipe.dataset import Dataset
from curation.recipe.seasons import EARLIEST, LATEST


def check(dataset: Dataset, locations: Locations) -> None:
    """Passes where each column that is looked at is there, and each that a season lies around holds dates.

    A location may have none; not each of them.

    Raises:
        ConfigError: a column that the recipe looks at is not there, holds something else, or a date that is a slip.
    """
    user_columns.check_there(dataset.looked_at, locations.user_columns, f"{dataset.path}: {_file(dataset)}")
    for name in dataset.recipe.seasons:
        column = dataset.recipe.season(name).column
        if column is not None:
            _check(
                locations,
                column,
                f"{dataset.path}: [seasons.{name}] around = {column!r}: the column of {_file(dataset)}",
            )


def _check(locations: Locations, column: str, where: str) -> None:
    values, ids = locations.table[column], locations.table["id"]
    expected = "expected days or times (2021-06-15, 2021-06-15T10:30:00+02:00), or nothing where a location has none"
    if len(values) and values.null_count == len(values):
        raise ConfigError(f"{where} holds nothing for any of {len(values)} locations; {expected}")
    if values.type != TIME:
        at = pc.index(pc.is_valid(values), True).as_py()
        raise ConfigError(
            f"{where} holds {values.type}, such as {values[at].as_py()!r} of location {ids[at]}; {expected}. Text is taken "
            "for times where each value is one"
        )
    slips = pc.or_(pc.less(values, pa.scalar(EARLIEST, TIME)), pc.greater_equal(values, pa.scalar(LATEST, TIME)))
    at = pc.index(slips, True).as_py()
    if at >= 0:
        raise ConfigError(
            f"{where} holds {values[at].as_py():%Y-%m-%d} of location {ids[at]}; expected a date from {EARLIEST:%Y} to "
            f"before {LATEST:%Y}: mend it in the file"
        )


def _file(dataset: Dataset) -> str:
    return dataset.recipe.places.file or "[places]"
