"""`[seasons]` of a recipe: windows of time, the same everywhere or around a date that each location has. Pure."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from curation.model import DatedSeason, FixedSeason, Window
from curation.recipe.strict import StrictTable


def _utc(value: Any) -> dt.datetime:
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise ValueError("a time wants its zone: write 2021-03-01 or 2021-03-01T00:00:00Z")
        return value.astimezone(dt.UTC)
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    raise ValueError("expected a date or time without quotes: write 2021-03-01 or 2021-03-01T00:00:00Z")


Day = Annotated[dt.datetime, BeforeValidator(_utc)]


MOST_DAYS = 36_525
"""Days that anything may lie apart in time: a hundred years, and no archive is older."""

EARLIEST, LATEST = (dt.datetime(year, 1, 1, tzinfo=dt.UTC) for year in (1900, 2100))
"""No date that a season lies around is earlier, or as late: what is, is a slip. Time itself has an end for Python."""


class SeasonSpec(StrictTable):
    """A half-open UTC window, the same for all locations."""

    start: Day
    end: Day
    anchor: Day | None = None
    """The day that scenes should lie near to; the middle where left out."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.start < self.end:
            raise ValueError(f"start {self.start:%Y-%m-%d} is not before end {self.end:%Y-%m-%d}")
        if self.anchor is not None and not self.start <= self.anchor < self.end:
            raise ValueError(f"anchor {self.anchor:%Y-%m-%d} lies outside the season")
        return self

    @property
    def about(self) -> str:
        """Which days it is."""
        return f"{self.start:%Y-%m-%d}…{self.end:%Y-%m-%d}"

    def season(self, name: str) -> FixedSeason:
        """The season of this name."""
        middle = self.start + (self.end - self.start) / 2
        return FixedSeason(name, Window(name, self.start, self.end, self.anchor or middle))


DayNumber = Annotated[int, Field(ge=-MOST_DAYS, le=MOST_DAYS)]


class DatedSeasonSpec(StrictTable):
    """A window around a date that each location has."""

    around: str
    """The column of `[places] columns` that holds the dates."""
    days: list[DayNumber] = Field(min_length=2, max_length=2)
    """Its first and last day, UTC, both of them in it: 0 is the day that the date lies in, -1 the one before."""
    anchor_day: DayNumber | None = None
    """The day that scenes should lie near to; the middle where left out."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        first, last = self.days
        if first > last:
            raise ValueError(f"days = [{first}, {last}]: the first lies after the last; they are [first, last]")
        if self.anchor_day is not None and not first <= self.anchor_day <= last:
            raise ValueError(f"anchor_day = {self.anchor_day}: lies outside of days = [{first}, {last}]")
        return self

    @property
    def about(self) -> str:
        """Which days it is."""
        return f"days {self.days[0]}…{self.days[1]} of {self.around}"

    def season(self, name: str) -> DatedSeason:
        """The season of this name."""
        first, last = self.days
        return DatedSeason(name, self.around, first, last, self.anchor_day)


AnySeasonSpec = Annotated[
    Annotated[SeasonSpec, Tag("window")] | Annotated[DatedSeasonSpec, Tag("around")],
    Discriminator(lambda value: "around" if _says(value, "around", "days") else "window"),
]
"""A table of `[seasons]`, by whether it says what it lies around."""


def _says(value: Any, *keys: str) -> bool:
    return any(key in value if isinstance(value, dict) else hasattr(value, key) for key in keys)
