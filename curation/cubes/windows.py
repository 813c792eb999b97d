"""What a cube says of its locations beside their grids: dates that its season lies around, and what else decides pixels."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.model import Location, Season, iso
from curation.places.locations import Locations
from curation.places.user_columns import TIME
from curation.recipe.schema import DATE_OF, OF_PLACE

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


def text_names(columns: Sequence[str]) -> dict[str, str]:
    """Column → coordinate that holds its text, of those of `Cube.columns`."""
    return {column: f"{OF_PLACE}{column}" for column in columns}


def attributes(name: str) -> dict[str, str] | None:
    """Zarr attributes of a coordinate of dates, windows or columns; None where it is none of these."""
    if name.startswith(OF_PLACE):
        return {"long_name": f"{name.removeprefix(OF_PLACE)} of the location, which pixels follow from"}
    if name.startswith(DATE_OF):
        other = name.removeprefix(DATE_OF)
        return {"long_name": f"date of the location that season {other} lies around, whose scenes decide pixels here"}
    return DATED.get(name)


def marks(dates: Mapping[str, str], columns: Sequence[str], place: Location) -> list[str | None]:
    """What a digest takes of a location beside its grid: dates, and text of columns, that pixels follow from."""
    found = [date_of(column, place) for column in dates]
    return [*(None if date is None else iso(date) for date in found), *(place.text(column) for column in columns)]


def digests(
    locations: Locations, stood: Sequence[int], dates: Mapping[str, str], columns: Sequence[str]
) -> dict[int, str]:
    """How many of the locations, from the first on → digest of them: of all, and of those that `stood`.

    Of their grids and `marks`: what binds slabs to places.
    """
    out, found = {}, hashlib.sha256(b"[")
    for n, p in enumerate(chain(locations, [None])):
        if p is None or n in stood:
            ended = found.copy()
            ended.update(b"]")
            out[n] = ended.hexdigest()
        if p is not None:
            value = [p.id, p.epsg, p.x0_m, p.y0_m, p.size_m, *marks(dates, columns, p)]
            found.update(f"{', ' if n else ''}{json.dumps(value)}".encode())
    return out


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
