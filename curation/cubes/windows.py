"""What a cube says of dates of its locations: of those that its season lies around, and of others' that decide pixels."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.model import Location, Season, iso
from curation.places.locations import Locations
from curation.places.user_columns import TIME
from curation.recipe.schema import DATE_OF

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

DATED: dict[str, dict[str, str]] = {
    "date": {"long_name": "date of the location that its season lies around"},
    "window_start": {"long_name": "first instant of the location's season"},
    "window_end": {"long_name": "first instant after the location's season"},
}
"""Coordinates of the cube of such a season that are known before a pixel is read, and their Zarr attributes; NaT where a
location has no date."""


def date_of(column: str | None, place: Location) -> dt.datetime | None:
    """The date that a location has in a column; None where it has none, or there is no column."""
    date = None if column is None else place.columns[column]
    return date if isinstance(date, dt.datetime) else None


def names(season: Season, dates: Mapping[str, str]) -> dict[str, str]:
    """Column → coordinate that holds its dates.

    Args:
        season: the cube's.
        dates: what the cube's pixels follow from (`Dataset.dates_of`).
    """
    return {column: "date" if column == season.column else f"{DATE_OF}{name}" for column, name in dates.items()}


def listed(season: Season, dates: Mapping[str, str]) -> list[str]:
    """All coordinates that a cube has of dates and windows, in order; none where pixels follow from no date. As `names`."""
    return list(dict.fromkeys([*(DATED if season.column else ()), *names(season, dates).values()]))


def attributes(name: str) -> dict[str, str] | None:
    """Zarr attributes of a coordinate of dates or windows; None where it is none of these."""
    if name.startswith(DATE_OF):
        other = name.removeprefix(DATE_OF)
        return {"long_name": f"date of the location that season {other} lies around, whose scenes decide pixels here"}
    return DATED.get(name)


def marks(dates: Mapping[str, str], place: Location) -> list[str | None]:
    """What a digest takes of a location beside its grid: its dates that pixels follow from."""
    found = [date_of(column, place) for column in dates]
    return [None if date is None else iso(date) for date in found]


def coordinates(season: Season, dates: Mapping[str, str], locations: Locations) -> dict[str, NDArray[np.float64]]:
    """Name → seconds since 1970 of each location, of all that are `listed`; NaN where it has no date."""
    called = names(season, dates)
    out = {name: np.full(len(locations), np.nan) for name in listed(season, dates)}
    for k, place in enumerate(locations):
        for column, name in called.items():
            if (date := date_of(column, place)) is not None:
                out[name][k] = (date - EPOCH).total_seconds()
        if season.column is not None and (window := season.window(place)) is not None:
            out["window_start"][k], out["window_end"][k] = (
                (t - EPOCH).total_seconds() for t in (window.start, window.end)
            )
    return out


def column(seconds: Sequence[Any]) -> pa.Array:
    """The dates of locations by the coordinate that holds them, to the microsecond, as columns of locations hold them."""
    known = [None if np.isnan(s) else EPOCH + dt.timedelta(microseconds=round(s * 1e6)) for s in seconds]
    return pa.array(known, TIME)
