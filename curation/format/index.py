"""The shard format, version 3: what `shards/README.md` specifies, as code that packer, `verify` and reader share.

Nothing here knows Dask, torch or a store: bytes in, bytes out. The same values give the same bytes.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct, field, to_builtins
from msgspec.structs import force_setattr

from curation.errors import ConfigError, DamageError
from curation.format.annotations import AnnotationEntry, ColumnEntry
from curation.format.bands import LATER, BandEntry, check_aligned
from curation.format.domains import DomainEntry
from curation.format.names import BLOCK, DOMAIN, META, MemberName, is_free, split_member
from curation.format.payload import DTYPES, MOST_BYTES, Encoding
from curation.format.strict import (
    NAME,
    Count,
    Name,
    Nodata,
    Number,
    Sha256,
    Side,
    StrictObject,
    Text,
    check_depth,
    check_keys,
    each,
    json_of,
    read,
)
from curation.format.target import TargetEntry

FORMAT = "curation-shards"
VERSION = 3
"""What is written."""
OLDEST = 2
"""What is still read."""
INDEX = "index.json"
Role = Literal["data", "mask", "classes", "count", "quality", "day"]

_MOST_MEMBERS = 1 << 15
"""Of a sample: the member table counts them in 16 bits, with a sign."""

_SINCE_3: dict[str, Any] = {"annotations": {}, "columns": {}, "target": None}
_SINCE_3_OF_ARRAYS: dict[str, Any] = {"canonical": [], "steps": None, "has_offsets": False}
"""Keys that version 2 does not have, and what it means by that."""
_MAYBE_OF_ARRAYS: dict[str, Any] = {"level": None, "convention": None}
_MAYBE: dict[str, dict[str, Any]] = {"arrays": _MAYBE_OF_ARRAYS, "annotations": {"names": None, "canonical": None}}
"""Keys that are left out where nothing is known."""


class FileEntry(StrictObject, frozen=True):
    """One file beside the index."""

    name: Text
    """Its path, relative to the folder of `index.json`."""
    size: Count
    """Bytes."""
    sha256: Sha256
    """Of all its bytes, lower-case hexadecimal."""

    def __post_init__(self) -> None:
        """Raises ValueError where the name leads elsewhere, or is too long."""
        parts = self.name.split("/")
        # 255 bytes is what file systems take of a name, 1024 what object stores take of a key.
        long = max(len(p.encode()) for p in parts) > 255 or len(self.name.encode()) > 1024
        if long or {"", ".", ".."} & set(parts):
            raise ValueError(f"name: got {reprlib.repr(self.name)}, expected a path below the folder of {INDEX}")


class ShardEntry(FileEntry, frozen=True):
    """One tar."""

    samples: Count
    """How many samples it holds."""

    def __post_init__(self) -> None:
        """Raises ValueError where it has no room for its samples, too."""
        FileEntry.__post_init__(self)
        if self.samples * 2 * BLOCK > self.size:  # a header and a block of meta.json, at least
            raise ValueError(
                f"samples: got {self.samples}, expected at most {self.size // (2 * BLOCK)}: {self.size} bytes have no room "
                "for more"
            )


class SplitEntry(StrictObject, frozen=True):
    """One split: its shards in order and its two tables."""

    samples: Count
    """Samples of all its shards."""
    shards: tuple[ShardEntry, ...]
    """In order; sample rows count through them."""
    members: FileEntry
    """The member table (`read_members`)."""
    samples_table: FileEntry
    """The samples table (GeoParquet): one row per sample, in order."""

    def __post_init__(self) -> None:
        """Raises ValueError where its shards are not what it says of them."""
        if (total := sum(s.samples for s in self.shards)) != self.samples:
            raise ValueError(f"samples: got {self.samples}, expected {total}, the sum over its shards")
        if len({s.name for s in self.shards}) != len(self.shards):
            raise ValueError("shards: a name twice, expected each once")


class ArrayEntry(StrictObject, frozen=True):
    """One array of a sample: what every member of that name holds."""

    source: Name
    seasons: tuple[Name, ...]
    """Those that it may be there in, in the index's order, a member each; none: it is static, one member per sample."""
    bands: tuple[Text, ...]
    """Names along the first axis."""
    shape: tuple[Side, Side, Side]
    """(band, y, x)."""
    dtype: str
    """`uint8`, `uint16`, `int16` or `float32`, little-endian."""
    unit: Text
    nodata: Nodata
    """The stored value that means 'no data'; NaN is written as the text "nan"."""
    res_m: Number | None
    """Side of a pixel, metres; None where the footprint is in degrees."""
    role: Role
    """`mask` and `classes` hold codes, which are never interpolated or averaged; `count` and `quality` tell of the data."""
    encoding: Encoding = "npy"
    """What its members' names end in: a plain `.npy`, or one in a Blosc buffer."""
    of_children: bool = False
    """Whether each child of a sample has its own, and the sample itself none."""
    canonical: tuple[BandEntry, ...] = ()
    """Of each band; none of any where it was packed by version 2, which did not know."""
    steps: Side | None = None
    """Where the time axis is ragged: members are (time, band, y, x), with 1 to so many times; null: one time, no axis."""
    has_offsets: bool = False
    """Whether `meta.json` says of each place how far the array begins from its corner (`offsets_m`); else at the corner."""
    level: Text | None = None
    """Of reflectance and radiance: `TOA`, at the top of the atmosphere, or `BOA`, at its bottom."""
    convention: Text | None = None
    """What else must be known of the numbers: of backscatter `gamma0, dB`."""

    def __post_init__(self) -> None:
        """Raises ValueError where there is no such array."""
        if isinstance(self.nodata, str):  # "nan"
            force_setattr(self, "nodata", math.nan)
        dtype, shape = self.dtype, list(self.shape)
        if dtype not in DTYPES:
            raise ValueError(f"dtype: got {reprlib.repr(dtype)}, expected one of {', '.join(DTYPES)}")
        if shape[0] != len(self.bands) or shape[1] != shape[2]:
            raise ValueError(f"shape: got {reprlib.repr(shape)}, expected [{len(self.bands)} bands, side, side]")
        names = [b.name for b in self.canonical]
        if names and not len(names) == len(set(names)) == len(self.bands):
            raise ValueError(
                f"canonical: got {reprlib.repr(names)}, expected one of each of {len(self.bands)} bands, or none"
            )
        if self.steps is not None and self.is_static:
            raise ValueError(f"steps: got {self.steps}, expected null: a static array has no time")
        if math.prod(shape) * np.dtype(dtype).itemsize * (self.steps or 1) > MOST_BYTES:
            raise ValueError(f"shape: got {reprlib.repr(shape)} of {dtype}, expected at most {MOST_BYTES} bytes")
        if self.res_m is not None and not 1e-3 <= self.res_m <= 1e6:
            raise ValueError(f"res_m: got {self.res_m}, expected 0.001 to 1,000,000 metres, or null")
        info = np.finfo(np.float32) if dtype == "float32" else np.iinfo(dtype)
        is_nan = dtype == "float32" and math.isnan(self.nodata)
        is_value = float(info.min) <= self.nodata <= float(info.max)
        is_value = is_value and (dtype == "float32" or float(self.nodata).is_integer())
        if not is_nan and not is_value:
            raise ValueError(f"nodata: got {self.nodata}, expected a value of {dtype}")

    @property
    def is_static(self) -> bool:
        """Whether it is without time."""
        return not self.seasons

    @property
    def room(self) -> int:
        """Bytes that one member takes in a batch."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize * (self.steps or 1)


class BandStatistics(StrictObject, frozen=True):
    """Statistics of one band over the valid pixels of the train split, in units as stored."""

    mean: Number | None
    std: Number | None
    """Population standard deviation."""
    min: Number | None
    max: Number | None
    count: Count
    """Valid pixels; where 0, the others are None."""

    def __post_init__(self) -> None:
        """Raises ValueError where they are not of so many pixels."""
        known = [v for v in (self.mean, self.std, self.min, self.max) if v is not None]
        if len(known) != (4 if self.count else 0) or (self.std is not None and self.std < 0):
            raise ValueError(
                f"mean {self.mean}, std {self.std}, min {self.min}, max {self.max} of {self.count} pixels: expected "
                "numbers, std ≥ 0, or null of each where there are no pixels"
            )


class SourceEntry(StrictObject, frozen=True):
    """What a person must know of a source that pixels come from."""

    title: Text
    licence: Text


class _Begin(Struct, frozen=True):
    """What an index of any version has."""

    format: Text
    version: Count


class _Digests(StrictObject, frozen=True):
    pixels: Text
    release: Text


class Index(StrictObject, frozen=True):
    """All of `index.json`, which is published last: where it is, the dataset is complete."""

    dataset: Text
    title: Text
    pixels_digest: Text
    """Of the part of the recipe that changes pixels."""
    release_digest: Text
    """Of the part that changes labels, split and packing on top of it."""
    content_sha256: Text
    """Over decoded arrays and labels (`ContentHash`)."""
    seasons: tuple[Name, ...]
    """Of all arrays, in order."""
    children: Annotated[int, Meta(ge=0, lt=_MOST_MEMBERS)]
    """How many children the sample that has most has; 0 where the recipe makes none."""
    label_names: tuple[Text, ...]
    """Meaning of the entries of every label vector, in order; empty where the recipe makes no labels."""
    arrays: dict[Text, ArrayEntry]
    """By name."""
    splits: dict[Text, SplitEntry]
    """By name."""
    statistics: dict[Text, dict[str, BandStatistics]]
    """Array → band → statistics."""
    sources: dict[Text, SourceEntry]
    """By name."""
    counts: dict[Text, Any]
    """What became of patches and samples, by reason; free form."""
    written_by: dict[Text, Any]
    """Versions of what wrote it; free form, without times, hosts or paths."""
    annotations: dict[Text, AnnotationEntry] = field(default_factory=dict)
    """By name: what samples carry beside pixels, a member each."""
    columns: dict[Text, ColumnEntry] = field(default_factory=dict)
    """By name: what the samples table and each `meta.json` say of a sample's domain."""
    target: TargetEntry | None = None
    """Which of these is the target; the key is left out where none is."""
    domains: dict[Text, DomainEntry] = field(default_factory=dict)
    """By name: what samples are told to be of; the key is left out where nothing is."""

    @property
    def members(self) -> tuple[str, ...]:
        """Suffixes of a sample's members in order; the member table's `member` counts in them."""
        return member_names(self.arrays, self.seasons, self.children, self.annotations)

    def room(self, member: str) -> int:
        """Bytes that a member called so takes in a batch; 0 of text and JSON."""
        name = split_member(member).array
        return (self.arrays.get(name) or self.annotations[name]).room

    def to_json(self) -> dict[str, Any]:
        """The index as plain JSON values."""
        value: dict[str, Any] = to_builtins(self)
        value |= {"format": FORMAT, "version": VERSION, "members": list(self.members)}
        value["digests"] = {name: value.pop(f"{name}_digest") for name in _Digests.__struct_fields__}
        for entry in value["arrays"].values():
            entry["nodata"] = "nan" if math.isnan(entry["nodata"]) else entry["nodata"]
            for of, keys in ((entry, _MAYBE_OF_ARRAYS), *((band, LATER) for band in entry["canonical"])):
                for key in [key for key in keys if of[key] in (None, (), [])]:
                    del of[key]
        for entry in value["annotations"].values():
            for of, keys in (
                (entry, _MAYBE["annotations"]),
                *((band, LATER) for band in entry["canonical"] or () if band),
            ):
                for key in [key for key in keys if of[key] in (None, (), [])]:
                    del of[key]
        for key in [k for k in ("target", "domains") if not value[k]]:
            del value[key]
        return value

    @classmethod
    def from_json(cls, value: Any, where: str = INDEX) -> Index:
        """The index that `to_json` gave.

        Raises:
            ConfigError: it is of a newer version than this software knows.
            DamageError: it is not such an index; the key that is wrong is named.
        """
        begin = read(_Begin, value, where)
        if begin.format != FORMAT:
            raise DamageError(
                f"{where}: format {reprlib.repr(begin.format)}, expected {FORMAT!r}: this is not an index of shards"
            )
        if begin.version > VERSION:
            raise ConfigError(
                f"{where}: format version {begin.version}, this software reads up to {VERSION}: update curation to read it"
            )
        if begin.version < OLDEST:
            raise DamageError(
                f"{where}: format version {begin.version}, expected {OLDEST} to {VERSION}; pack the dataset again"
            )
        if begin.version < VERSION:
            value = _upgraded(value, where)
        value = {"target": None, "domains": {}, **value}
        own = [key for key in cls.__struct_fields__ if not key.endswith("_digest")]
        check_keys(value, [*_Begin.__struct_fields__, "digests", "members", *own], where)
        rest = {key: of for key, of in value.items() if key not in _Begin.__struct_fields__}
        digests = read(_Digests, rest.pop("digests"), f"{where}: digests")
        rest |= {f"{name}_digest": getattr(digests, name) for name in _Digests.__struct_fields__}
        members = read(tuple[Text, ...], rest.pop("members"), f"{where}: members")
        kinds = {"arrays": ArrayEntry, "splits": SplitEntry, "sources": SourceEntry}
        kinds |= {"annotations": AnnotationEntry, "columns": ColumnEntry, "domains": DomainEntry}
        for key, kind in kinds.items():
            rest[key] = each(kind, rest[key], f"{where}: {key}", _MAYBE.get(key, {}))
        bands = read(dict[Text, Any], rest["statistics"], f"{where}: statistics")
        rest["statistics"] = {a: each(BandStatistics, of, f"{where}: statistics.{a}") for a, of in bands.items()}
        index = read(cls, rest, where)
        index._check(where, len(members))
        if members != index.members:
            raise DamageError(f"{where}: members: got {reprlib.repr(members)}, expected {reprlib.repr(index.members)}")
        return index

    def _check(self, where: str, members: int) -> None:
        """Raises DamageError where arrays, seasons and statistics do not belong together. Members are named after it."""
        for key in ("counts", "written_by"):
            check_depth(getattr(self, key), f"{where}: {key}")
        if len(set(self.seasons)) != len(self.seasons):
            raise DamageError(f"{where}: seasons: got {reprlib.repr(self.seasons)}, expected each once; pack it again")
        taken = {*self.arrays, *(a.source for a in self.arrays.values())}  # whose `<source>_ok` is an entry
        for kind in ("annotations", "columns"):
            for name in getattr(self, kind):
                if not NAME.fullmatch(name) or not is_free(name) or name in taken:
                    raise DamageError(
                        f"{where}: {kind}: got {reprlib.repr(name)}, expected a name of a-z, 0-9, '_' and '-', and not "
                        "that of an array, a source or another entry of a sample"
                    )
        if self.target is not None and (fault := self.target.fault(self.columns, {*taken, *self.annotations})):
            raise DamageError(f"{where}: target: {fault}; pack the dataset again")
        if both := {f"{DOMAIN}{n}" for n in self.domains} & {*taken, *self.annotations, *self.columns}:
            raise DamageError(f"{where}: domains: {reprlib.repr(both)} is another entry, too; pack the dataset again")
        if twice := set(self.annotations) & set(self.columns):
            raise DamageError(f"{where}: {reprlib.repr(twice)} is an annotation and a column, expected one of them")
        several = {True: self.children, False: 1}
        total = (
            1
            + len(self.annotations)
            + sum(several[a.of_children] * (len(a.seasons) or 1) for a in self.arrays.values())
        )
        if total != members or total > _MOST_MEMBERS:
            raise DamageError(
                f"{where}: members: got {members}, expected {total} of arrays, seasons and {self.children} children, and at "
                f"most {_MOST_MEMBERS}; pack the dataset again"
            )
        its: dict[str, tuple[str, tuple[str, ...], bool, int | None]] = {}
        for name, entry in self.arrays.items():
            if not NAME.fullmatch(name) or re.fullmatch("child[0-9]+", name):
                raise DamageError(
                    f"{where}: arrays: got {reprlib.repr(name)}, expected a name of a-z, 0-9, '_' and '-', and not child<n>"
                )
            if list(entry.seasons) != [s for s in self.seasons if s in entry.seasons]:
                raise DamageError(
                    f"{where}: arrays.{name}.seasons: got {reprlib.repr(entry.seasons)}, expected some of the index's, in "
                    f"its order: {reprlib.repr(self.seasons)}"
                )
            first, *of = its.setdefault(entry.source, (name, entry.seasons, entry.of_children, entry.steps))
            if of != [entry.seasons, entry.of_children, entry.steps]:
                raise DamageError(
                    f"{where}: arrays {first} and {name} of {reprlib.repr(entry.source)} differ in seasons, of_children or "
                    "steps: expected all of a source alike; pack the dataset again"
                )
        for name, bands in self.statistics.items():
            if name not in self.arrays:
                raise DamageError(f"{where}: statistics.{name}: expected an array of the index; pack the dataset again")
            of_array = f"{where}: arrays.{name}"
            check_aligned(of_array, self.arrays[name].bands, {"statistics": bands}, "pack the dataset again")

    def to_bytes(self) -> bytes:
        """The file's bytes: UTF-8, keys sorted, indent 1, one newline at the end.

        Raises:
            DamageError: it would be refused when it is read.
        """
        self._check(INDEX, len(self.members))
        text = json.dumps(self.to_json(), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
        return text.encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes, where: str = INDEX) -> Index:
        """The index that `to_bytes` gave. Raises as `from_json` does."""
        try:
            value = json_of(data)
        except ValueError as err:
            raise DamageError(f"{where}: not JSON ({err}); pack the dataset again") from err
        return cls.from_json(value, where)


def _upgraded(value: Any, where: str) -> Any:
    """The JSON of an index of version 2 as version 3 says the same."""
    if not isinstance(value, dict) or not isinstance(arrays := value.get("arrays"), dict):
        return value  # what is wrong with it is told by who reads it
    if more := sorted(_SINCE_3.keys() & value.keys()):
        raise DamageError(
            f"{where}: unknown keys {more}; format version {OLDEST} does not have them: pack the dataset again"
        )
    upgraded = {n: {**_SINCE_3_OF_ARRAYS, **of} if isinstance(of, dict) else of for n, of in arrays.items()}
    return {**value, **_SINCE_3, "arrays": upgraded}


def member_names(
    arrays: Mapping[str, ArrayEntry],
    seasons: Sequence[str],
    children: int = 0,
    annotations: Mapping[str, AnnotationEntry] | None = None,
) -> tuple[str, ...]:
    """Suffixes of a sample's members in order: `meta.json`, the sample's own, then those of its children, one by one.

    Of each, static arrays (of the sample its annotations among them), then per season its seasonal ones. Arrays are in order
    of name, seasons in the order given.
    """
    out = [META]
    for child in (None, *range(children)):
        mine = [name for name in sorted(arrays) if arrays[name].of_children == (child is not None)]
        still: dict[str, ArrayEntry | AnnotationEntry] = {n: arrays[n] for n in mine if arrays[n].is_static}
        still |= (annotations or {}) if child is None else {}
        out += [MemberName(child, n, None, still[n].encoding).suffix for n in sorted(still)]
        for season in seasons:
            there = [n for n in mine if season in arrays[n].seasons]
            out += [MemberName(child, n, season, arrays[n].encoding).suffix for n in there]
    return tuple(out)
