"""What things are: the values every other module passes on. No I/O.

The words are those of `ARCHITECTURE.md`: scene, location, season, patch, slab, cube, sample, shard.
"""

from __future__ import annotations

import datetime as dt
import re
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from curation.errors import ConfigError

STATIC = "static"
"""The season of sources without time."""

LOCATION_ID = re.compile(r"[a-z0-9_-]+")
"""What an id may be: it becomes a key in a tar, which WebDataset cuts at the first dot and reads in lower case."""


Value = str | int | float | bool | dt.datetime | None
"""What a column of a location may hold: text, a number, whether, or an instant (UTC)."""


def text_of(value: Any) -> str:
    """A value of a column as text, as it is compared: the same whatever type a file gives it.

    Whole numbers as such; a day, or an instant at its beginning in UTC, as `2021-11-09`, other instants as `iso` has them
    (of one without an offset UTC's).
    """
    if isinstance(value, dt.datetime):
        time = (value if value.tzinfo else value.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
        return f"{time:%Y-%m-%d}" if time.time() == dt.time() else iso(time)
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


@dataclass(frozen=True, slots=True)
class Location:
    """A place, fixed for ever."""

    id: str
    """Follows from its grid (`utm32n-501360-5629020`: zone, west and south edge in metres), or given; `[a-z0-9_-]+`."""
    lon: float
    """Centre, degrees east, WGS 84."""
    lat: float
    """Centre, degrees north, WGS 84."""
    epsg: int
    """CRS of its grid."""
    x0_m: float
    """West edge of its grid: the outer edge of the first column, in CRS units (of an ERA5 cell degrees, which may run on
    below -180)."""
    y0_m: float
    """North edge of its grid: the outer edge of the first row, in CRS units."""
    size_m: float
    """Side of its square footprint, in CRS units."""
    region: str
    """Name of the region it was selected by."""
    rank: int = 0
    """Place in the ordered draw: pack takes the first complete ones. Of a child its place among its parent's children."""
    parent: str | None = None
    """Id of the location it belongs to."""
    columns: Mapping[str, Value] = field(default_factory=dict, hash=False)
    """What the file of places says of it beside its grid, in the columns that the recipe names; None where nothing."""

    def __post_init__(self) -> None:
        if not LOCATION_ID.fullmatch(self.id):
            raise ConfigError(
                f"location id {self.id!r}: expected only a-z, 0-9, '_' and '-' (it becomes a key in a tar, "
                "which WebDataset cuts at the first dot and reads in lower case); rename it"
            )

    def text(self, column: str) -> str:
        """What it says in a column as `text_of` has it; empty where it says nothing, or has no such column."""
        value = self.columns.get(column)
        return "" if value is None else text_of(value)


@dataclass(frozen=True, slots=True)
class Window:
    """What a season is at a location: a half-open UTC window."""

    name: str
    """What searches of it are called: the season's name, and its days where other locations have others."""
    start: dt.datetime
    """First instant, UTC."""
    end: dt.datetime
    """First instant after it, UTC."""
    anchor: dt.datetime
    """The instant that scenes should lie near to, UTC."""

    def holds(self, time: dt.datetime) -> bool:
        """True where `time` lies in the window."""
        return self.start <= time < self.end

    @property
    def interval(self) -> str:
        """The window as a STAC `datetime`, which is closed: it ends a millisecond early."""
        last = self.end - dt.timedelta(milliseconds=1)
        return f"{iso(self.start)}/{last.strftime('%Y-%m-%dT%H:%M:%S')}.999Z"

    def widened(self, margin: dt.timedelta) -> Window:
        """The same with so much more each way; called the same, since it follows from the same season."""
        return replace(self, start=self.start - margin, end=self.end + margin)


class Season(ABC):
    """A named part of time, which is a window at a location."""

    __slots__ = ()
    name: str
    """As in the recipe; `static` for sources without time."""
    column: str | None
    """The column of locations whose date its windows lie around; None where all locations have the same window."""

    @abstractmethod
    def window(self, location: Location) -> Window | None:
        """The season at a location; None where the location has no date for it to lie around."""

    @property
    @abstractmethod
    def anchored(self) -> Hashable:
        """What its anchors follow from: alike of seasons whose anchors are the same everywhere."""

    @abstractmethod
    def widened(self, margin: dt.timedelta) -> Season:
        """The same season with so much more each way, wherever it is."""


@dataclass(frozen=True, slots=True)
class FixedSeason(Season):
    """One window for all locations."""

    name: str
    always: Window
    column: None = None

    def window(self, location: Location) -> Window:
        """The one that all have."""
        return self.always

    @property
    def anchored(self) -> Hashable:
        """The instant."""
        return self.always.anchor

    def widened(self, margin: dt.timedelta) -> FixedSeason:
        """With another window for all."""
        return replace(self, always=self.always.widened(margin))


@dataclass(frozen=True, slots=True)
class DatedSeason(Season):
    """Days around a date of each location: UTC days counted from the one that the date lies in, which is day 0."""

    name: str
    column: str
    first_day: int
    last_day: int
    """It belongs to the window, to its end."""
    anchor_day: int | None = None
    """The day that scenes should lie near to, by its beginning; the middle of the window where None."""
    margin: dt.timedelta = dt.timedelta()
    """How much more each way."""

    @property
    def anchored(self) -> Hashable:
        """The column, and days from its date."""
        middle = (self.first_day + self.last_day + 1) / 2
        return self.column, float(middle if self.anchor_day is None else self.anchor_day)

    def window(self, location: Location) -> Window | None:
        """Around the location's date."""
        date = location.columns[self.column]
        if date is None:
            return None
        if not isinstance(date, dt.datetime):
            raise TypeError(f"location {location.id}: {self.column} is {date!r}, expected an instant")
        day_0 = date.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        start, last = (day_0 + dt.timedelta(days=n) for n in (self.first_day, self.last_day))
        end = last + dt.timedelta(days=1)
        anchor = start + (end - start) / 2 if self.anchor_day is None else day_0 + dt.timedelta(days=self.anchor_day)
        # No name of a season has a dot.
        return Window(f"{self.name}.{start:%Y%m%d}-{last:%Y%m%d}", start, end, anchor).widened(self.margin)

    def widened(self, margin: dt.timedelta) -> DatedSeason:
        """With that margin on top of its own."""
        return replace(self, margin=self.margin + margin)


@dataclass(frozen=True, slots=True)
class Scene:
    """One STAC item of a source, reduced to what is needed, with unsigned hrefs."""

    id: str
    """The item's id."""
    source: str
    """Name of the source it was found for."""
    time: dt.datetime
    """Acquisition (or reference) time, UTC."""
    geometry: BaseGeometry = field(compare=False)
    """Footprint of valid data as the item states it, lon/lat."""
    hrefs: dict[str, str] = field(compare=False)
    """Band name → unsigned href; relative to the catalog's base where it lies under that."""
    epsg: int | None = None
    """CRS of its pixels where the item says so."""
    cloud_pct: float | None = None
    """Cloud cover of the whole scene, percent."""
    baseline: str | None = None
    """Processing baseline, such as `05.00`."""
    offset_dn: int = 0
    """What its pixels carry on top of the source's harmonised digital numbers; subtracted on reading."""
    orbit_state: str | None = None
    """`ascending` or `descending`."""
    relative_orbit: int | None = None
    """Number of the orbit within the repeat cycle."""
    platform: str | None = None
    """The satellite."""
    orbit_source: str | None = None
    """What is known of the satellite's orbit, of radar: `POEORB` (precise), `RESORB`, `PREORB` or `DOWNLINK`."""
    slice_number: int | None = None
    """Which slice of its pass a radar scene is, from 1."""
    tile: str | None = None
    """Name of the provider's cell of the scene (`32ULC`), which tells reprocessed duplicates from neighbours."""
    datatake: str | None = None
    """What names the acquisition it was cut from, where the catalog says so."""
    version: str | None = None
    """Version of the product."""
    orbit: int | None = None
    """Number of the orbit since launch."""
    event: str | None = None
    """What happened that it shows, of an annotation: the activation of a service, as the catalog calls it."""
    image: str | None = None
    """Id of the scene that it was drawn on, of an annotation."""
    angles: Mapping[str, float | str] | None = field(default=None, compare=False)
    """Where sun and satellite stood, as `recipe/angles.py` reads it; None where nobody asked."""
    mode: str | None = None
    """Processing mode: `RPRO` (reprocessed), `OFFL` (offline) or `NRTI` (near real time)."""

    def to_json(self) -> dict[str, Any]:
        """The scene as plain JSON values, its footprint as WKT; `from_json` reads it back equal."""
        out = {name: value for name in _SCENE if (value := getattr(self, name)) is not None}
        out["time"] = iso(self.time)
        out["geometry"] = shapely.to_wkt(self.geometry, rounding_precision=-1)  # -1: all digits
        return out

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Scene:
        """The scene that `to_json` gave."""
        time, geometry = parse_time(value["time"]), shapely.from_wkt(value["geometry"])
        return cls(**{**value, "time": time, "geometry": geometry})


_SCENE = tuple(f.name for f in fields(Scene))


def parse_time(text: str) -> dt.datetime:
    """The instant that an RFC 3339 or ISO 8601 text names, in UTC; a text without a zone is UTC."""
    time = dt.datetime.fromisoformat(text.strip().upper().replace("Z", "+00:00"))
    return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)


def iso(time: dt.datetime) -> str:
    """`time` as `2021-06-15T10:36:29Z`, with microseconds only where there are some."""
    return time.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
