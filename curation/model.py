"""What things are: the values every other module passes on. No I/O.

The words are the project's vocabulary (README, "Words"): scene, location, season, patch, slab, cube, sample, shard.
"""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from enum import IntEnum, StrEnum
from typing import Any, ClassVar

import shapely
from shapely.geometry.base import BaseGeometry

STATIC = "static"
"""The season of sources without time."""

LOCATION_ID = re.compile(r"[a-z0-9_-]+")
"""What an id may be: it becomes a key in a tar, which WebDataset cuts at the first dot and reads in lower case."""


def did_you_mean(asked: str, known: Iterable[str], *, n: int = 1) -> str:
    """`did you mean grid? ` where something known is near to what was asked, else nothing: part of an error."""
    near = difflib.get_close_matches(asked, list(known), n=n)
    return f"did you mean {' or '.join(near)}? " if near else ""


def shortened(text: str, limit: int) -> str:
    """The text, cut between words where it is longer than `limit`, and then with ` …` at its end."""
    if len(text) <= limit:
        return text
    head = text[: limit - 1]
    kept = head.rpartition(" ")[0] if text[limit - 1] != " " else head
    return f"{(kept or head).rstrip()} …"


def plural(noun: str, count: int) -> str:
    """The noun as it stands behind that number: `shard` or `shards`, `patch` or `patches`."""
    if count == 1:
        return noun
    return noun + ("es" if noun.endswith(("ch", "sh", "s", "x")) else "s")


def counted(count: int, noun: str) -> str:
    """A number and what it counts: `1 shard`, `12 patches`."""
    return f"{count} {plural(noun, count)}"


class CurationError(Exception):
    """An error that says where, what was found, what was expected and what to do."""

    code: ClassVar[Code | None] = None
    """What ledgers call it, where it has a name that lasts; the class's name where None."""


def code_of(err: BaseException) -> str:
    """What a ledger calls an error that made a source fail."""
    return (err.code if isinstance(err, CurationError) else None) or type(err).__name__


class ConfigError(CurationError, ValueError):
    """Bad usage or configuration: the command ends with exit code 2."""


class ReadError(CurationError, OSError):
    """Pixels that should be there could not be read. Never turned into nodata.

    Unless it is a `PassingError`, asking again changes nothing: the file is gone, damaged, or not as its source says.
    """


class PassingError(ReadError):
    """A read that failed for what may pass: a server's error, a time-out, a lost connection, a refused signature."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s
        """Seconds to leave the server alone for at least, where it is known."""


class StorageError(CurationError):
    """Nothing more can be written, or be read back, where results are kept: the run ends, and a rerun goes on."""


class DamageError(CurationError):
    """Something written earlier is not what was recorded of it."""


class Status(IntEnum):
    """What became of a source of a patch, or of the patch. The numbers are flag values in the cube: never renumber."""

    PENDING = 0
    OK = 1
    REJECTED = 2
    FAILED = 3
    ABSENT = 4


PENDING = "pending"
"""What counts call a patch of which nothing is recorded."""

SLAB = "slab"
"""What stands among a patch's sources where its whole slab failed, with the cause; its sources are then `upstream`."""

SETTLED = (Status.OK, Status.REJECTED, Status.ABSENT)
"""A patch that ended so is not looked at again; one that failed is."""


class Code(StrEnum):
    """Why something was rejected, dropped or is absent. Stable: they stand in ledgers and releases."""

    NO_SCENE = "no_scene"
    """The catalog has no scene of the source that touches the patch in the season."""
    PARTIAL_COVERAGE = "partial_coverage"
    """Scenes touch the patch, none covers it wholly."""
    CLOUDY = "cloudy"
    """No covering scene reaches the recipe's clear fraction on the patch."""
    DOUBTFUL = "doubtful"
    """Clear by its mask, which is itself unsure of too much of the patch."""
    SNOWY = "snowy"
    """Clear by its mask, which calls more of the patch snow than the recipe allows."""
    NODATA = "nodata"
    """No covering scene reaches the recipe's valid fraction on the patch."""
    HOLE = "hole"
    """Scenes of a mosaic leave open too much of the patch that is not known to be sea, or there is none."""
    TIME_GAP = "time_gap"
    """The nearest scene is further in time from the scene it goes with, good enough itself, than the recipe allows."""
    EXHAUSTED = "exhausted"
    """As many masks were read as the recipe allows, none passed, and so many scenes were not looked at."""
    EXCLUDED = "excluded"
    """Each scene that might be used is one that the recipe excludes."""
    NO_ORBIT = "no_orbit"
    """Scenes exist, none in the orbit direction fixed for the location."""
    NO_MATCH = "no_match"
    """No scene of the same acquisition (labels that belong to one image)."""
    OFFSET_CONFLICT = "offset_conflict"
    """Metadata and the scene's pixels disagree on whether these carry the +1000 offset."""
    IMPOSSIBLE = "impossible"
    """Too many clear pixels are brighter than any surface, or of radar than any target: they cannot be what they should."""
    SHIFTED = "shifted"
    """A source lies beside the one it goes with by more pixels than the recipe allows, by a sharp measurement."""
    UNREADABLE_ITEM = "unreadable_item"
    """No scene will do, but an item of the catalog that could not be read may be one that would: failed, and tried again."""
    LOCAL_HREF = "local_href"
    """An href leads to a file of the machine that reads, where the recipe lets none lie: failed, and never opened."""
    UNTRUSTED = "untrusted"
    """The certificate of a server is not trusted: failed; asked for once."""
    UPSTREAM = "upstream"
    """Not looked at, because the source it goes with was rejected."""
    OUTSIDE_REGIONS = "outside_regions"
    """Of a row of a file of places: its centre lies in none of the regions."""
    SAME_GRID = "same_grid"
    """Of a row of a file of places: an earlier row has the very grid, so that both would be the same sample."""
    REPEATED = "repeated"
    """Of a row of a file of places: an earlier row has the same id and grid."""


CODE_HELP: dict[Code, str] = {
    Code.NO_SCENE: "no scene touches the patch in the season",
    Code.PARTIAL_COVERAGE: "scenes touch the patch, none covers it wholly",
    Code.CLOUDY: "no covering scene is clear enough on the patch",
    Code.DOUBTFUL: "the mask is unsure of too much of the patch (unclassified)",
    Code.SNOWY: "the mask calls more of the patch snow than the recipe allows",
    Code.NODATA: "no covering scene has enough valid pixels on the patch",
    Code.HOLE: "no scene of the mosaic where there is no open sea: a tile that the catalog lacks, a lake, a coast",
    Code.TIME_GAP: "the nearest scene is too far in time from the one it goes with",
    Code.EXHAUSTED: "max_candidates masks were read, none passed, and scenes are left that were not looked at",
    Code.EXCLUDED: "each scene that might be used is excluded by the recipe",
    Code.NO_ORBIT: "no scene in the orbit direction fixed for the location",
    Code.NO_MATCH: "no scene of the same acquisition",
    Code.OFFSET_CONFLICT: "metadata and pixels disagree on the +1000 offset",
    Code.IMPOSSIBLE: "too many pixels (of reflectance clear ones) are brighter than anything can be",
    Code.SHIFTED: "a source lies beside the one it goes with by more pixels than the recipe allows",
    Code.UNREADABLE_ITEM: "no scene will do, but an item of the catalog that could not be read may be one that would",
    Code.LOCAL_HREF: "an href leads to a file of this machine and was not opened: [search] local names where such may lie",
    Code.UNTRUSTED: "a server's certificate is not trusted: name its CA's file in REQUESTS_CA_BUNDLE",
    Code.UPSTREAM: "not looked at: the source it goes with was rejected",
    Code.OUTSIDE_REGIONS: "a given place whose centre lies in none of the regions",
    Code.SAME_GRID: "a given place on the very grid of an earlier one: both would be the same sample",
    Code.REPEATED: "a row of given places with the id and grid of an earlier one",
}
"""One line for a person on each code, for reports."""


VALUE_HELP: dict[Code, str] = {
    Code.PARTIAL_COVERAGE: "covered fraction {:.3g}",
    Code.CLOUDY: "clear fraction {:.3g}",
    Code.DOUBTFUL: "doubtful fraction {:.3g}",
    Code.SNOWY: "snow fraction {:.3g}",
    Code.NODATA: "valid fraction {:.3g}",
    Code.HOLE: "valid fraction {:.3g}",
    Code.TIME_GAP: "{:.3g} days",
    Code.EXHAUSTED: "scenes left: {:.0f}",
    Code.OFFSET_CONFLICT: "offset by its metadata: {:g}",
    Code.IMPOSSIBLE: "share of pixels: {:.3g}",
    Code.SHIFTED: "{:.3g} pixels of the array measured",
}
"""What the value is that decided: `cloudy` has the clear fraction, not the cloudy one."""


class Reject(Exception):  # noqa: N818 - it is an expected outcome, not an error
    """An expected refusal of one source of one patch, with the value that decided it."""

    def __init__(
        self, code: Code, value: float | None = None, *, status: Status = Status.REJECTED, cause: str | None = None
    ) -> None:
        super().__init__(code, value)
        self.code = code
        self.value = value
        self.status = status
        self.cause = cause


class TrustError(ReadError):
    """A server's certificate is not trusted: lasting, but a matter of this machine's settings, and no fault of the file.

    So no other scene stands in for the one that is there.
    """

    code = Code.UNTRUSTED


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
    split: str
    """`train`, `val`, or `buffer` (too near to the other split to be used)."""
    rank: int = 0
    """Place in the ordered draw: pack takes the first complete ones. Of a child its place among its parent's children."""
    parent: str | None = None
    """Id of the location it belongs to."""

    def __post_init__(self) -> None:
        if not LOCATION_ID.fullmatch(self.id):
            raise ConfigError(
                f"location id {self.id!r}: expected only a-z, 0-9, '_' and '-' (it becomes a key in a tar, "
                "which WebDataset cuts at the first dot and reads in lower case); rename it"
            )


@dataclass(frozen=True, slots=True)
class Season:
    """A named half-open UTC window."""

    name: str
    """As in the recipe; `static` for sources without time."""
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
    tile: str | None = None
    """Name of the provider's cell of the scene (`32ULC`), which tells reprocessed duplicates from neighbours."""
    datatake: str | None = None
    """What names the acquisition it was cut from, where the catalog says so."""
    version: str | None = None
    """Version of the product."""
    orbit: int | None = None
    """Number of the orbit since launch."""
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


@dataclass(frozen=True, slots=True)
class SourceOutcome:
    """What became of one source of one patch: one entry of a ledger line."""

    status: Status
    """Never `PENDING`."""
    code: str | None = None
    """Why, where it is rejected or absent (a `Code`); the error's class where it failed."""
    value: float | None = None
    """What was measured and decided it, such as the best clear fraction."""
    cause: str | None = None
    """What went wrong where it failed: one line, without signed URLs."""
    scenes: tuple[str, ...] = ()
    """Ids of the scenes its pixels come from."""
    passed_over: tuple[tuple[str, str], ...] = ()
    """Id of each scene that would have been used and could not be read, and why: one line, without signed URLs."""


@dataclass(frozen=True, slots=True)
class PatchOutcome:
    """What became of one patch."""

    id: str
    """Its location."""
    status: Status
    """Follows from the recipe's required sources."""
    sources: dict[str, SourceOutcome]
    """By name of the source; and `SLAB`, where the failure was none of theirs."""
    chunks: dict[str, str] = field(default_factory=dict)
    """Array → xxh3-128 of the stored chunk, where pixels are stored."""
    facts: str = ""
    """xxh3-128 of its row of measured coordinates (`Cube.row_hashes`); empty where a slab failed before it had one."""

    @property
    def reason(self) -> str:
        """`code:source` of the source that keeps the patch from being ok, the first by name of several; `ok` where none."""
        if self.status is Status.OK:
            return "ok"
        ranked = sorted(
            self.sources.items(), key=lambda kv: (kv[1].code == Code.UPSTREAM, kv[1].status is not self.status, kv[0])
        )
        for name, outcome in ranked:
            if outcome.status is not Status.OK:
                return f"{outcome.code}:{name}"
        raise AssertionError(f"patch {self.id} is {self.status.name} but each of its sources is ok")

    @property
    def told(self) -> str:
        """The outcome in a word or two, as counts show it: its reason, `failed` before it where it failed."""
        return f"failed {self.reason}" if self.status is Status.FAILED else self.reason


def parse_time(text: str) -> dt.datetime:
    """The instant that an RFC 3339 or ISO 8601 text names, in UTC; a text without a zone is UTC."""
    time = dt.datetime.fromisoformat(text.strip().upper().replace("Z", "+00:00"))
    return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)


def iso(time: dt.datetime) -> str:
    """`time` as `2021-06-15T10:36:29Z`, with microseconds only where there are some."""
    return time.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
