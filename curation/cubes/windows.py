"""What a cube says of the windows of a season that lies around a date of each location."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.model import Location, Season, iso
from curation.places.locations import Locations
from curation.places.user_columns import TIME

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

DATED: dict[str, dict[str, str]] = {
    "date": {"long_name": "date of the location that its season lies around"},
    "window_start": {"long_name": "first instant of the location's season"},
    "window_end": {"long_name": "first instant after the location's season"},
}
"""Coordinates of such a cube that are known before a pixel is read, and their Zarr attributes; NaT where it has no date."""


def date_of(season: Season, place: Location) -> dt.datetime | None:
    """The date of a location that a season lies around; None where it has none, or all have the same window."""
    date = None if season.column is None else place.columns[season.column]
    return date if isinstance(date, dt.datetime) else None


def marks(season: Season, place: Location) -> list[str | None]:
    """What a digest takes of it beside the location's grid; nothing where all have the same window."""
    if season.column is None:
        return []
    date = date_of(season, place)
    return [None if date is None else iso(date)]


def coordinates(season: Season, locations: Locations) -> dict[str, NDArray[np.float64]]:
    """Name → seconds since 1970 of each location, of the coordinates of `DATED`; none where all have the same window."""
    if season.column is None:
        return {}
    rows = np.full((len(DATED), len(locations)), np.nan)
    for k, place in enumerate(locations):
        date, window = date_of(season, place), season.window(place)
        if date is not None and window is not None:
            rows[:, k] = [(t - EPOCH).total_seconds() for t in (date, window.start, window.end)]
    return dict(zip(DATED, rows, strict=True))


def dates(seconds: Sequence[Any]) -> pa.Array:
    """The dates of locations by the coordinate `date`, to the microsecond, as columns of locations hold them."""
    known = [None if np.isnan(s) else EPOCH + dt.timedelta(microseconds=round(s * 1e6)) for s in seconds]
    return pa.array(known, TIME)
