"""The shard format, version 2: what `shards/README.md` specifies, as code that packer, `verify` and reader share.

Nothing here knows Dask, torch or a store: bytes in, bytes out. The same values give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import reprlib
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, NamedTuple, TypeVar, cast, get_args

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from curation.model import LOCATION_ID, STATIC, ConfigError, DamageError
from curation.payload import DENSEST, DTYPES, ENCODINGS, MOST_BYTES, Encoding, decode

FORMAT = "curation-shards"
VERSION = 2
INDEX = "index.json"
Role = Literal["data", "mask", "classes", "count", "quality"]
META = "meta.json"
"""Suffix of the first member of every sample."""

BLOCK = tarfile.BLOCKSIZE
RECORD = tarfile.RECORDSIZE
_NAME_LIMIT = 100
"""Bytes that a ustar header has for a name without folders."""

_MOST = 1 << 53
"""Above every number of bytes or samples: what JSON readers that count in doubles still tell apart."""

_MOST_MEMBERS = 1 << 15
"""Of a sample: the member table counts them in 16 bits, with a sign."""

_DEEPEST = 32
"""Levels of what is free form in the index."""

_NAME = re.compile(r"[a-z0-9_-]{1,100}")
"""Of an array or a season, part of a member's suffix, and of a source."""

_CONTROLS = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
"""What no name has, and no file system and no terminal takes."""

_MEMBER_FIELDS: tuple[tuple[str, np.dtype[Any], Any], ...] = (
    ("sample", np.dtype("<i4"), pa.int32()),
    ("member", np.dtype("<i2"), pa.int16()),
    ("shard", np.dtype("<i4"), pa.int32()),
    ("offset", np.dtype("<i8"), pa.int64()),
    ("size", np.dtype("<i8"), pa.int64()),
    ("xxh3", np.dtype("<u8"), pa.uint64()),
)

K = TypeVar("K")


# ---- index.json ------------------------------------------------------------------------------------------------------


def _refused(name: str) -> Any:
    raise ValueError(f"{name}, which is no JSON")


_JSON = json.JSONDecoder(parse_constant=_refused)


def json_of(data: bytes) -> Any:
    """The value of UTF-8 JSON. Raises ValueError where it is none, has NaN or Infinity, or is too deep to be read."""
    try:
        return _JSON.decode(data.decode())
    except RecursionError as err:
        raise ValueError("nested too deeply") from err


class _Table:
    """A JSON object read strictly: each key asked for must be there, and none may be left over."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise DamageError(f"{where}: got {type(value).__name__}, expected an object; pack the dataset again")
        self.left = dict(value)
        self.where = where

    def take(self, key: str) -> Any:
        if key not in self.left:
            raise DamageError(f"{self.where}: no key {key!r}; the index is not whole: pack the dataset again")
        return self.left.pop(key)

    def _typed(self, key: str, kind: type[K] | tuple[type[K], ...], expected: str) -> K:
        value = self.take(key)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise DamageError(
                f"{self.where}.{key}: got {reprlib.repr(value)}, expected {expected}; pack the dataset again"
            )
        return value

    def text(self, key: str) -> str:
        return self._plain(key, self._typed(key, str, "a text"))

    def _plain(self, key: str, value: str) -> str:
        if _CONTROLS.search(value):
            raise DamageError(
                f"{self.where}.{key}: got {reprlib.repr(value)}, expected a text without control characters; "
                "pack the dataset again"
            )
        return value

    def names(self, key: str) -> tuple[str, ...]:
        values = self.texts(key)
        if len(set(values)) != len(values) or not all(_NAME.fullmatch(v) for v in values):
            raise DamageError(
                f"{self.where}.{key}: got {reprlib.repr(values)}, expected names of a-z, 0-9, '_' and '-', each once; "
                "pack the dataset again"
            )
        return values

    def count(self, key: str, most: int = _MOST) -> int:
        value = self._typed(key, int, "a whole number ≥ 0")
        if not 0 <= value < most:
            raise DamageError(
                f"{self.where}.{key}: got {value}, expected a whole number ≥ 0 and below {most}; pack the dataset again"
            )
        return value

    def sha256(self, key: str) -> str:
        value = self.text(key)
        if not re.fullmatch("[0-9a-f]{64}", value):
            raise DamageError(
                f"{self.where}.{key}: got {reprlib.repr(value)}, expected 64 hexadecimal digits; pack the dataset again"
            )
        return value

    def flag(self, key: str) -> bool:
        return self._typed(key, bool, "true or false")

    def number(self, key: str) -> float:
        value = self._typed(key, (int, float), "a number")
        if not abs(value) <= sys.float_info.max:
            raise DamageError(f"{self.where}.{key}: got {reprlib.repr(value)}, expected a finite number; pack it again")
        return float(value)

    def number_or_null(self, key: str) -> float | None:
        if self.left.get(key, 0) is None:
            return cast(None, self.take(key))
        return self.number(key)

    def items(self, key: str) -> list[Any]:
        return self._typed(key, list, "a list")

    def texts(self, key: str) -> tuple[str, ...]:
        values = self.items(key)
        if not all(isinstance(v, str) for v in values):
            raise DamageError(f"{self.where}.{key}: got {reprlib.repr(values)}, expected texts; pack the dataset again")
        return tuple(self._plain(key, v) for v in values)

    def table(self, key: str) -> dict[str, Any]:
        value = self._typed(key, dict, "an object")
        for name in value:
            self._plain(key, name)
        return value

    def free(self, key: str) -> dict[str, Any]:
        """An object of whatever there is, but no deeper than who reads it can follow."""
        value = self.table(key)
        level: list[Any] = [value]
        for _ in range(_DEEPEST):
            level = [v for of in level for v in (of.values() if isinstance(of, dict) else of)]
            level = [v for v in level if isinstance(v, dict | list)]
        if level:
            raise DamageError(f"{self.where}.{key}: more than {_DEEPEST} levels deep; pack the dataset again")
        return value

    def done(self) -> None:
        if self.left:
            raise DamageError(
                f"{self.where}: unknown keys {reprlib.repr(sorted(self.left))}; format version {VERSION} does not have "
                "them: pack the dataset again, or read it with the software that wrote it"
            )


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file beside the index."""

    name: str
    """Its path, relative to the folder of `index.json`."""
    size: int
    """Bytes."""
    sha256: str
    """Of all its bytes, lower-case hexadecimal."""

    def to_json(self) -> dict[str, Any]:
        """The entry as plain JSON values."""
        return {"name": self.name, "size": self.size, "sha256": self.sha256}

    @classmethod
    def from_json(cls, value: Any, where: str) -> FileEntry:
        """The entry that `to_json` gave. Raises DamageError naming the key that is wrong."""
        t = _Table(value, where)
        entry = cls(_file_name(t), t.count("size"), t.sha256("sha256"))
        t.done()
        return entry


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """One tar."""

    name: str
    """Its path, relative to the folder of `index.json`."""
    size: int
    """Bytes."""
    sha256: str
    """Of all its bytes, lower-case hexadecimal."""
    samples: int
    """How many samples it holds."""

    def to_json(self) -> dict[str, Any]:
        """The entry as plain JSON values."""
        return {"name": self.name, "size": self.size, "sha256": self.sha256, "samples": self.samples}

    @classmethod
    def from_json(cls, value: Any, where: str) -> ShardEntry:
        """The entry that `to_json` gave. Raises DamageError naming the key that is wrong."""
        t = _Table(value, where)
        entry = cls(_file_name(t), t.count("size"), t.sha256("sha256"), t.count("samples"))
        t.done()
        if entry.samples * 2 * BLOCK > entry.size:  # a header and a block of meta.json, at least
            raise DamageError(
                f"{where}.samples: got {entry.samples}, expected at most {entry.size // (2 * BLOCK)}: {entry.size} bytes "
                "have no room for more; pack the dataset again"
            )
        return entry


def _file_name(t: _Table) -> str:
    name = t.text("name")
    parts = name.split("/")
    # 255 bytes is what file systems take of a name, 1024 what object stores take of a key.
    if {"", ".", ".."} & set(parts) or max(len(p.encode()) for p in parts) > 255 or len(name.encode()) > 1024:
        raise DamageError(f"{t.where}.name: got {reprlib.repr(name)}, expected a path below the folder of {INDEX}")
    return name


@dataclass(frozen=True, slots=True)
class SplitEntry:
    """One split: its shards in order and its two tables."""

    samples: int
    """Samples of all its shards."""
    shards: tuple[ShardEntry, ...]
    """In order; sample rows count through them."""
    members: FileEntry
    """The member table (`read_members`)."""
    samples_table: FileEntry
    """The samples table (GeoParquet): one row per sample, in order."""

    def to_json(self) -> dict[str, Any]:
        """The entry as plain JSON values."""
        return {
            "samples": self.samples,
            "shards": [s.to_json() for s in self.shards],
            "members": self.members.to_json(),
            "samples_table": self.samples_table.to_json(),
        }

    @classmethod
    def from_json(cls, value: Any, where: str) -> SplitEntry:
        """The entry that `to_json` gave. Raises DamageError naming the key that is wrong."""
        t = _Table(value, where)
        entry = cls(
            t.count("samples"),
            tuple(ShardEntry.from_json(s, f"{where}.shards[{i}]") for i, s in enumerate(t.items("shards"))),
            FileEntry.from_json(t.take("members"), f"{where}.members"),
            FileEntry.from_json(t.take("samples_table"), f"{where}.samples_table"),
        )
        t.done()
        if (total := sum(s.samples for s in entry.shards)) != entry.samples:
            raise DamageError(f"{where}.samples: got {entry.samples}, expected {total}, the sum over its shards")
        if len({s.name for s in entry.shards}) != len(entry.shards):
            raise DamageError(f"{where}.shards: a name twice, expected each once; pack the dataset again")
        return entry


@dataclass(frozen=True, slots=True)
class ArrayEntry:
    """One array of a sample: what every member of that name holds."""

    source: str
    seasons: tuple[str, ...]
    """Those that it may be there in, in the index's order, a member each; none: it is static, one member per sample."""
    bands: tuple[str, ...]
    """Names along the first axis."""
    shape: tuple[int, int, int]
    """(band, y, x)."""
    dtype: str
    """`uint8`, `uint16`, `int16` or `float32`, little-endian."""
    unit: str
    nodata: float
    """The stored value that means 'no data'; NaN is written as the text "nan"."""
    res_m: float | None
    """Side of a pixel, metres; None where the footprint is in degrees."""
    role: Role
    """`mask` and `classes` hold codes, which are never interpolated or averaged; `count` and `quality` tell of the data."""
    encoding: Encoding = "npy"
    """What its members' names end in: a plain `.npy`, or one in a Blosc buffer."""
    of_children: bool = False
    """Whether each child of a sample has its own, and the sample itself none."""

    @property
    def is_static(self) -> bool:
        """Whether it is without time."""
        return not self.seasons

    def to_json(self) -> dict[str, Any]:
        """The entry as plain JSON values."""
        return {
            "source": self.source,
            "seasons": list(self.seasons),
            "of_children": self.of_children,
            "bands": list(self.bands),
            "shape": list(self.shape),
            "dtype": self.dtype,
            "unit": self.unit,
            "nodata": "nan" if math.isnan(self.nodata) else self.nodata,
            "res_m": self.res_m,
            "role": self.role,
            "encoding": self.encoding,
        }

    @classmethod
    def from_json(cls, value: Any, where: str) -> ArrayEntry:
        """The entry that `to_json` gave. Raises DamageError naming the key that is wrong."""
        t = _Table(value, where)
        dtype = _one_of(t, "dtype", DTYPES)
        role = _one_of(t, "role", get_args(Role))
        encoding = _one_of(t, "encoding", ENCODINGS)
        bands, shape = t.texts("bands"), t.items("shape")
        if len(shape) != 3 or not all(type(n) is int and n > 0 for n in shape) or shape[0] != len(bands):
            raise DamageError(f"{where}.shape: got {reprlib.repr(shape)}, expected [{len(bands)} bands, height, width]")
        if math.prod(shape) * np.dtype(dtype).itemsize > MOST_BYTES:
            raise DamageError(
                f"{where}.shape: got {reprlib.repr(shape)} of {dtype}, expected an array of at most {MOST_BYTES} bytes"
            )
        nodata = t.take("nodata") if t.left.get("nodata") == "nan" else t.number("nodata")
        entry = cls(
            source=t.text("source"),
            seasons=t.names("seasons"),
            of_children=t.flag("of_children"),
            bands=bands,
            shape=(shape[0], shape[1], shape[2]),
            dtype=dtype,
            unit=t.text("unit"),
            nodata=float(nodata),
            res_m=t.number_or_null("res_m"),
            role=cast(Role, role),
            encoding=cast(Encoding, encoding),
        )
        if shape[1] != shape[2]:
            raise DamageError(f"{where}.shape: got {shape}, expected a square: as high as wide")
        if entry.res_m is not None and not 1e-3 <= entry.res_m <= 1e6:
            raise DamageError(f"{where}.res_m: got {entry.res_m}, expected 0.001 to 1,000,000 metres, or null")
        info = np.finfo(np.float32) if dtype == "float32" else np.iinfo(dtype)
        is_nan = dtype == "float32" and math.isnan(entry.nodata)
        is_value = float(info.min) <= entry.nodata <= float(info.max)
        is_value = is_value and (dtype == "float32" or entry.nodata.is_integer())
        if not is_nan and not is_value:
            raise DamageError(f"{where}.nodata: got {entry.nodata}, expected a value of {dtype}")
        t.done()
        return entry


def _one_of(t: _Table, key: str, allowed: tuple[str, ...]) -> str:
    value = t.text(key)
    if value not in allowed:
        raise DamageError(f"{t.where}.{key}: got {reprlib.repr(value)}, expected one of {', '.join(allowed)}")
    return value


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """Statistics of one band over the valid pixels of the train split, in units as stored."""

    mean: float | None
    std: float | None
    """Population standard deviation."""
    min: float | None
    max: float | None
    count: int
    """Valid pixels; where 0, the others are None."""

    def to_json(self) -> dict[str, Any]:
        """The statistics as plain JSON values."""
        return {"mean": self.mean, "std": self.std, "min": self.min, "max": self.max, "count": self.count}

    @classmethod
    def from_json(cls, value: Any, where: str) -> BandStatistics:
        """The statistics that `to_json` gave. Raises DamageError naming the key that is wrong."""
        t = _Table(value, where)
        mean, std, low, high = (t.number_or_null(k) for k in ("mean", "std", "min", "max"))
        entry = cls(mean, std, low, high, t.count("count"))
        t.done()
        known = [v for v in (mean, std, low, high) if v is not None]
        if len(known) != (4 if entry.count else 0) or (std is not None and std < 0):
            raise DamageError(
                f"{where}: mean {mean}, std {std}, min {low}, max {high} of {entry.count} pixels: expected numbers, std ≥ "
                "0, or null of each where there are no pixels; pack the dataset again"
            )
        return entry


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """What a person must know of a source that pixels come from."""

    title: str
    licence: str

    def to_json(self) -> dict[str, Any]:
        """The entry as plain JSON values."""
        return {"title": self.title, "licence": self.licence}

    @classmethod
    def from_json(cls, value: Any, where: str) -> SourceEntry:
        """The entry that `to_json` gave. Raises DamageError naming the key that is wrong."""
        t = _Table(value, where)
        entry = cls(t.text("title"), t.text("licence"))
        t.done()
        return entry


@dataclass(frozen=True, slots=True)
class Index:
    """All of `index.json`, which is published last: where it is, the dataset is complete."""

    dataset: str
    title: str
    pixels_digest: str
    """Of the part of the recipe that changes pixels."""
    release_digest: str
    """Of the part that changes labels, split and packing on top of it."""
    content_sha256: str
    """Over decoded arrays and labels (`ContentHash`)."""
    seasons: tuple[str, ...]
    """Of all arrays, in order."""
    children: int
    """How many children the sample that has most has; 0 where the recipe makes none."""
    label_names: tuple[str, ...]
    """Meaning of the entries of every label vector, in order; empty where the recipe makes no labels."""
    arrays: dict[str, ArrayEntry]
    """By name."""
    splits: dict[str, SplitEntry]
    """By name."""
    statistics: dict[str, dict[str, BandStatistics]]
    """Array → band → statistics."""
    sources: dict[str, SourceEntry]
    """By name."""
    counts: dict[str, Any]
    """What became of patches and samples, by reason; free form."""
    written_by: dict[str, Any]
    """Versions of what wrote it; free form, without times, hosts or paths."""

    @property
    def members(self) -> tuple[str, ...]:
        """Suffixes of a sample's members in order; the member table's `member` counts in them."""
        return member_names(self.arrays, self.seasons, self.children)

    def to_json(self) -> dict[str, Any]:
        """The index as plain JSON values."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "dataset": self.dataset,
            "title": self.title,
            "digests": {"pixels": self.pixels_digest, "release": self.release_digest},
            "content_sha256": self.content_sha256,
            "seasons": list(self.seasons),
            "children": self.children,
            "label_names": list(self.label_names),
            "arrays": {k: v.to_json() for k, v in self.arrays.items()},
            "members": list(self.members),
            "splits": {k: v.to_json() for k, v in self.splits.items()},
            "statistics": {a: {b: s.to_json() for b, s in bands.items()} for a, bands in self.statistics.items()},
            "sources": {k: v.to_json() for k, v in self.sources.items()},
            "counts": self.counts,
            "written_by": self.written_by,
        }

    @classmethod
    def from_json(cls, value: Any, where: str = INDEX) -> Index:
        """The index that `to_json` gave.

        Raises:
            ConfigError: it is of a newer version than this software knows.
            DamageError: it is not such an index; the key that is wrong is named.
        """
        t = _Table(value, where)
        if (got := t.text("format")) != FORMAT:
            raise DamageError(
                f"{where}: format {reprlib.repr(got)}, expected {FORMAT!r}: this is not an index of shards"
            )
        version = t.count("version")
        if version > VERSION:
            raise ConfigError(
                f"{where}: format version {version}, this software reads up to {VERSION}: update curation to read it"
            )
        if version != VERSION:
            raise DamageError(f"{where}: format version {version}, expected {VERSION}; pack the dataset again")
        digests = _Table(t.take("digests"), f"{where}: digests")
        index = cls(
            dataset=t.text("dataset"),
            title=t.text("title"),
            pixels_digest=digests.text("pixels"),
            release_digest=digests.text("release"),
            content_sha256=t.text("content_sha256"),
            seasons=t.names("seasons"),
            children=t.count("children", _MOST_MEMBERS),
            label_names=t.texts("label_names"),
            arrays={k: ArrayEntry.from_json(v, f"{where}: arrays.{k}") for k, v in t.table("arrays").items()},
            splits={k: SplitEntry.from_json(v, f"{where}: splits.{k}") for k, v in t.table("splits").items()},
            statistics={
                a: {b: BandStatistics.from_json(s, f"{where}: statistics.{a}.{b}") for b, s in bands.left.items()}
                for a, value in t.table("statistics").items()
                for bands in [_Table(value, f"{where}: statistics.{a}")]
            },
            sources={k: SourceEntry.from_json(v, f"{where}: sources.{k}") for k, v in t.table("sources").items()},
            counts=t.free("counts"),
            written_by=t.free("written_by"),
        )
        digests.done()
        got_members = t.texts("members")
        index._check(where, len(got_members))
        if got_members != index.members:
            raise DamageError(
                f"{where}: members: got {reprlib.repr(got_members)}, expected {reprlib.repr(index.members)}"
            )
        t.done()
        return index

    def _check(self, where: str, members: int) -> None:
        """Raises DamageError where arrays, seasons and statistics do not belong together. Members are named after it."""
        several = {True: self.children, False: 1}
        total = 1 + sum(several[a.of_children] * (len(a.seasons) or 1) for a in self.arrays.values())
        if total != members or total > _MOST_MEMBERS:
            raise DamageError(
                f"{where}: members: got {members}, expected {total} of arrays, seasons and {self.children} children, and at "
                f"most {_MOST_MEMBERS}; pack the dataset again"
            )
        its: dict[str, tuple[str, tuple[str, ...], bool]] = {}
        for name, entry in self.arrays.items():
            if not _NAME.fullmatch(name) or re.fullmatch("child[0-9]+", name):
                raise DamageError(
                    f"{where}: arrays: got {reprlib.repr(name)}, expected a name of a-z, 0-9, '_' and '-', and not child<n>"
                )
            if not _NAME.fullmatch(entry.source):
                raise DamageError(
                    f"{where}: arrays.{name}.source: got {reprlib.repr(entry.source)}, expected a-z, 0-9, '_' and '-'"
                )
            if list(entry.seasons) != [s for s in self.seasons if s in entry.seasons]:
                raise DamageError(
                    f"{where}: arrays.{name}.seasons: got {reprlib.repr(entry.seasons)}, expected some of the index's, in "
                    f"its order: {reprlib.repr(self.seasons)}"
                )
            first, *of = its.setdefault(entry.source, (name, entry.seasons, entry.of_children))
            if of != [entry.seasons, entry.of_children]:
                raise DamageError(
                    f"{where}: arrays {first} and {name} of {reprlib.repr(entry.source)} differ in seasons or of_children: "
                    "expected all of a source alike; pack the dataset again"
                )
        for name, bands in self.statistics.items():
            if name not in self.arrays or not set(bands) <= set(self.arrays[name].bands):
                raise DamageError(
                    f"{where}: statistics.{name}: of {reprlib.repr(sorted(bands))}, expected an array of the index and "
                    "bands of it; pack the dataset again"
                )

    def to_bytes(self) -> bytes:
        """The file's bytes: UTF-8, keys sorted, indent 1, one newline at the end."""
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


class MemberName(NamedTuple):
    """What a member's suffix names: `[child<n>.]<array>[.<season>].<encoding>`."""

    child: int | None
    """Number of the child that it is of; None: of the sample itself."""
    array: str
    season: str | None
    """None for a static array."""
    encoding: Encoding

    @property
    def suffix(self) -> str:
        """As it stands in a tar."""
        parts = [self.array, self.season, self.encoding]
        return ".".join(p for p in ([] if self.child is None else [f"child{self.child}"]) + parts if p is not None)


_MEMBER = re.compile(
    r"(?:child(0|[1-9][0-9]*)\.)?([a-z0-9_-]+)(?:\.([a-z0-9_-]+))?\.(" + "|".join(map(re.escape, ENCODINGS)) + ")"
)


def split_member(member: str) -> MemberName:
    """What a member's suffix names.

    Raises:
        DamageError: it is no suffix of an array.
    """
    found = _MEMBER.fullmatch(member)
    if not found:
        raise DamageError(
            f"member {member!r}: expected [child<n>.]<array>[.<season>] and one of {', '.join(ENCODINGS)}"
        )
    child, array, season, encoding = found.groups()
    return MemberName(None if child is None else int(child), array, season, cast(Encoding, encoding))


def member_names(arrays: Mapping[str, ArrayEntry], seasons: Sequence[str], children: int = 0) -> tuple[str, ...]:
    """Suffixes of a sample's members in order: `meta.json`, the sample's own arrays, then those of its children, one by one.

    Of each, static arrays, then per season its seasonal ones. Arrays are in order of name, seasons in the order given.
    """
    out = [META]
    for child in (None, *range(children)):
        mine = [name for name in sorted(arrays) if arrays[name].of_children == (child is not None)]
        out += [MemberName(child, n, None, arrays[n].encoding).suffix for n in mine if arrays[n].is_static]
        for season in seasons:
            there = [n for n in mine if season in arrays[n].seasons]
            out += [MemberName(child, n, season, arrays[n].encoding).suffix for n in there]
    return tuple(out)


# ---- members ---------------------------------------------------------------------------------------------------------


def meta_bytes(meta: Mapping[str, Any]) -> bytes:
    """A sample's `meta.json`: UTF-8, keys sorted, compact, one newline at the end. Raises ValueError for a NaN."""
    text = json.dumps(meta, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


# ---- tars ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """One key of a tar."""

    key: str
    """The location's id."""
    members: Mapping[str, bytes]
    """Suffix → payload, in the order of `member_names`."""


@dataclass(frozen=True, slots=True)
class MemberRow:
    """Where one member lies in its tar, and the hash of its payload."""

    key: str
    """The sample."""
    member: str
    """Suffix."""
    offset: int
    """First byte of the payload in the tar."""
    size: int
    """Bytes of the payload."""
    xxh3: int
    """xxh3_64 of the payload, seed 0."""


def write_tar(samples: Iterable[Sample]) -> tuple[bytes, list[MemberRow]]:
    """(bytes of the tar, its members in order): ustar, no times, owners or links, ended by two zero blocks.

    Raises:
        ConfigError: a key that is not `[a-z0-9_-]+` or comes twice, a suffix that WebDataset would not give back, members
            out of order, or a name too long for ustar.
    """
    out = io.BytesIO()
    rows: list[MemberRow] = []
    seen: set[str] = set()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for sample in samples:
            if not LOCATION_ID.fullmatch(sample.key):
                raise ConfigError(
                    f"sample key {sample.key!r}: expected only a-z, 0-9, '_' and '-' (WebDataset cuts a name at its "
                    "first dot, so that a dotted key would merge with others); rename the location"
                )
            if sample.key in seen:
                raise ConfigError(f"sample key {sample.key!r}: twice in one tar; expected once")
            seen.add(sample.key)
            _check_order(sample)
            for member, payload in sample.members.items():
                info = tarfile.TarInfo(f"{sample.key}.{member}")
                if len(info.name.encode()) > _NAME_LIMIT:
                    raise ConfigError(
                        f"member {info.name!r}: {len(info.name)} bytes, expected at most {_NAME_LIMIT} (ustar); "
                        "shorten the location's id or the season's name"
                    )
                info.size = len(payload)
                info.mode = 0o644
                tar.addfile(info, io.BytesIO(payload))
                offset = out.tell() - _padded(info.size)
                rows.append(MemberRow(sample.key, member, offset, info.size, xxhash.xxh3_64_intdigest(payload)))
    return out.getvalue(), rows


def _check_order(sample: Sample) -> None:
    """Raises ConfigError unless: meta first, then child by child (none first) static members, then seasons, each one run."""
    names = list(sample.members)
    if not names or names[0] != META:
        raise ConfigError(f"sample {sample.key}: first member is {names[:1]}, expected {META!r}")
    if wrong := [n for n in names[1:] if not _MEMBER.fullmatch(n)]:
        raise ConfigError(
            f"sample {sample.key}: members {wrong}: expected [child<n>.]<array>[.<season>].{ENCODINGS[1]} or "
            f".{ENCODINGS[0]}"
        )
    parts = [split_member(n) for n in names[1:]]
    rank: dict[tuple[int, str | None], int] = {}
    for part in parts:  # seasons of each child in the order in which they come
        rank.setdefault((_number(part), part.season), 0 if part.season is None else len(rank) + 1)
    if parts != sorted(parts, key=lambda p: (_number(p), rank[_number(p), p.season], p.array)):
        raise ConfigError(
            f"sample {sample.key}: members {names}: expected {META}, static arrays, then season by season, each in "
            "order of name, and so on for each child: build them in the order of member_names()"
        )


def _number(member: MemberName) -> int:
    return -1 if member.child is None else member.child


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def scan_tar(file: bytes | BinaryIO, where: str) -> list[MemberRow]:
    """The members of a tar as its own bytes say, in order, each payload hashed; nothing else is trusted.

    Stricter than tar readers, which take a cut tar for a shorter one: the end must be there and nothing beyond it.

    Args:
        file: the tar, or a file at its first byte; read once, from there to its end.
        where: how a person names it, for errors.

    Raises:
        DamageError: the tar is cut, zeroed or changed; the byte and the member are named.
    """
    stream: BinaryIO = io.BytesIO(file) if isinstance(file, bytes) else file
    rows: list[MemberRow] = []
    done: set[str] = set()
    names: set[str] = set()
    key, at = "", 0
    while True:
        header = stream.read(BLOCK)
        last = f"after {rows[-1].key}.{rows[-1].member}" if rows else "at its start"
        if len(header) < BLOCK:
            what = f"inside a header ({len(header)} of {BLOCK} bytes)" if header else "without the two zero blocks"
            raise DamageError(f"{where}: ends at byte {at + len(header)} {what}, {last}: the tar is cut; pack it again")
        if header == bytes(BLOCK):
            break
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError) as err:
            raise DamageError(f"{where}: no tar header at byte {at}, {last}: {err}; pack it again") from err
        if info.type != tarfile.REGTYPE or info.size < 0:  # a size of 12 binary bytes has a sign
            raise DamageError(
                f"{where}: {info.name!r} at byte {at} is no regular file (type {info.type!r}, {info.size} bytes); "
                "the format has only those"
            )
        at += BLOCK
        digest, left = xxhash.xxh3_64(), info.size
        while left and (piece := stream.read(min(left, 1 << 20))):
            digest.update(piece)
            left -= len(piece)
        padding = stream.read(_padded(info.size) - info.size) if not left else b""
        if left or len(padding) != _padded(info.size) - info.size:
            have = info.size - left + len(padding)
            raise DamageError(
                f"{where}: ends at byte {at + have} inside member {info.name!r}, which has {info.size} bytes from byte "
                f"{at}: the tar is cut; pack it again"
            )
        if any(padding):
            raise DamageError(f"{where}: bytes after member {info.name!r} at byte {at + info.size}, expected zeros")
        name, _, suffix = info.name.partition(".")
        if name != key:
            if name in done:
                raise DamageError(f"{where}: key {name!r} again at byte {at}: members of a key must be contiguous")
            done.add(name)
            key = name
        if info.name in names:
            raise DamageError(f"{where}: member {info.name!r} twice, again at byte {at}; pack it again")
        names.add(info.name)
        rows.append(MemberRow(name, suffix, at, info.size, digest.intdigest()))
        at += _padded(info.size)
    # Only the whole trailer is accepted: a tail that was zeroed leaves more zeros than a writer does.
    tail = -(-(at + 2 * BLOCK) // RECORD) * RECORD - at - BLOCK
    rest = stream.read(tail + 1)
    if rest != bytes(tail):
        got = "other bytes" if any(rest) else f"{len(rest)} or more" if len(rest) > tail else str(len(rest))
        raise DamageError(
            f"{where}: its end begins at byte {at}, {last}; after that block expected {tail} zero bytes, got {got}: "
            "the tar is cut, zeroed or was appended to; pack it again"
        )
    return rows


# ---- the member table ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MemberTable:
    """Columns of a split's member table, sorted by (sample, member); they may be views of a mapped file."""

    sample: NDArray[np.int32]
    """Row in the samples table."""
    member: NDArray[np.int16]
    """Position in the index's `members`."""
    shard: NDArray[np.int32]
    """Position in the split's `shards`."""
    offset: NDArray[np.int64]
    """First byte of the payload in the tar."""
    size: NDArray[np.int64]
    """Bytes of the payload."""
    xxh3: NDArray[np.uint64]
    """xxh3_64 of the payload."""


def members_to_arrow(shards: Iterable[Iterable[MemberRow]], members: Sequence[str]) -> bytes:
    """A split's member table as an Arrow IPC file: uncompressed, one record batch, the same rows give the same bytes.

    Args:
        shards: per shard of the split, in order, its rows as `write_tar` or `scan_tar` gave them.
        members: `Index.members`: what the `member` column counts in.

    Raises:
        DamageError: a member that `members` does not have, or members of a sample out of order or twice.
    """
    number = {name: i for i, name in enumerate(members)}
    parts: list[list[NDArray[Any]]] = []
    sample = -1
    for shard, rows in enumerate(shards):
        key, last, values = None, -1, []
        for row in rows:
            if row.member not in number:
                raise DamageError(
                    f"shard {shard}, sample {row.key}: member {row.member!r} is none of the index's: {list(members)}"
                )
            if row.key != key:
                key, last, sample = row.key, -1, sample + 1
            if number[row.member] <= last:
                raise DamageError(f"shard {shard}, sample {row.key}: member {row.member!r} out of order or twice")
            last = number[row.member]
            values.append((sample, last, shard, row.offset, row.size, row.xxh3))
        columns = list(zip(*values, strict=True)) or [()] * len(_MEMBER_FIELDS)
        parts.append([np.array(c, dtype=d) for c, (_, d, _) in zip(columns, _MEMBER_FIELDS, strict=True)])
    joined = [
        np.concatenate([np.empty(0, d), *(p[i] for p in parts)]).astype(d) for i, (_, d, _) in enumerate(_MEMBER_FIELDS)
    ]
    schema = pa.schema([pa.field(name, kind, nullable=False) for name, _, kind in _MEMBER_FIELDS])
    batch = pa.record_batch([pa.array(c) for c in joined], schema=schema)
    out = io.BytesIO()
    with pa.ipc.new_file(out, schema, options=pa.ipc.IpcWriteOptions(compression=None)) as writer:
        writer.write_batch(batch)
    return out.getvalue()


def read_members(buffer: Any, where: str, index: Index, split: str) -> MemberTable:
    """The columns of a member table, without copying them, after checking that they can be true of the index.

    Args:
        buffer: the file's bytes, or a `pyarrow.MemoryMappedFile` of it.
        where: how a person names the file, for errors.
        index: what it belongs to.
        split: the split that it is the table of.

    Raises:
        DamageError: it is no such table, or says something that the index denies.
    """
    expected = [(name, str(kind)) for name, _, kind in _MEMBER_FIELDS]
    try:
        batches = pa.ipc.open_file(pa.py_buffer(buffer) if isinstance(buffer, bytes) else buffer)
        got = [(f.name, str(f.type)) for f in batches.schema]
        is_one = batches.num_record_batches == 1 and got == expected
        one = batches.get_batch(0) if is_one else None
        if one is not None:
            one.validate(full=True)  # or its columns may lie outside the file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as err:  # by where the fault is
        raise DamageError(f"{where}: not an Arrow IPC file ({err}); pack the dataset again") from err
    if one is None or any(column.null_count for column in one.columns):
        what = f"{batches.num_record_batches} record batches of {reprlib.repr(got)}" if one is None else "nulls"
        raise DamageError(f"{where}: {what}, expected 1 record batch of {expected}, no nulls; pack it again")
    table = MemberTable(*(one.column(name).to_numpy(zero_copy_only=True) for name, _, _ in _MEMBER_FIELDS))
    _check_members(table, where, index, split)
    return table


def _check_members(table: MemberTable, where: str, index: Index, split: str) -> None:
    entry = index.splits[split]
    sizes = np.array([s.size for s in entry.shards], dtype=np.int64)
    step = np.diff(table.sample)
    first = np.concatenate([[True], step > 0]) if table.sample.size else np.empty(0, bool)
    problems: list[tuple[str, Callable[[], bool]]] = [
        (
            f"has {int(first.sum())} samples, the index says {entry.samples}",
            lambda: int(first.sum()) == entry.samples and bool(np.all((step == 0) | (step == 1))),
        ),
        ("does not count samples from 0", lambda: not table.sample.size or int(table.sample[0]) == 0),
        (
            "names members that the index does not have",
            lambda: bool(np.all((table.member >= 0) & (table.member < len(index.members)))),
        ),
        ("is not sorted by (sample, member)", lambda: bool(np.all((step > 0) | (np.diff(table.member) > 0)))),
        (f"has samples without {META}", lambda: bool(np.all(table.member[first] == 0))),
        (
            "puts samples into other shards than the index",
            lambda: bool(np.array_equal(table.shard, shard_of_samples(entry)[table.sample])),
        ),
        (
            "places members outside their shards",
            lambda: bool(  # never offset + size: a sum beyond 64 bits would be a small number
                np.all((table.offset >= BLOCK) & (table.size > 0))
                and np.all(table.offset <= sizes[table.shard] - table.size)
            ),
        ),
        (
            "does not place members one after another, as a tar has them",
            lambda: bool(np.array_equal(table.offset, _follows(table))),
        ),
    ]
    for problem, holds in problems:  # in order: each may rely on those before it
        if not holds():
            raise DamageError(f"{where}: {problem}; table and index do not belong together: pack the dataset again")
    largest = np.zeros(len(index.members), np.int64)
    np.maximum.at(largest, table.member, table.size)
    for name, most in zip(index.members[1:], largest[1:].tolist(), strict=True):
        array = index.arrays[split_member(name).array]
        room = math.prod(array.shape) * np.dtype(array.dtype).itemsize
        if most and room > DENSEST * most:  # or a batch would be given room that nothing fills
            raise DamageError(
                f"{where}: {name} has {most} bytes at most, the index says {array.dtype} {array.shape}, {room} bytes: "
                "table and index do not belong together: pack the dataset again"
            )


def shard_of_samples(entry: SplitEntry) -> NDArray[np.int64]:
    """Position in the split's shards of each sample: int64, (samples,)."""
    return np.repeat(np.arange(len(entry.shards)), [s.samples for s in entry.shards])


def _follows(table: MemberTable) -> NDArray[np.int64]:
    """Where each member begins if nothing but headers and padding lies before it and between it and the one before."""
    expected = np.full(table.offset.shape, BLOCK)
    ends = -(-(table.offset[:-1] + table.size[:-1]) // BLOCK) * BLOCK
    expected[1:] = np.where(np.diff(table.shard) != 0, BLOCK, ends + BLOCK)
    return expected


# ---- the content hash ------------------------------------------------------------------------------------------------


def sample_digest(key: str, arrays: Iterable[tuple[str, NDArray[Any]]], meta: Mapping[str, Any]) -> str:
    """sha256 over a sample's decoded arrays and labels, hexadecimal: what stays when a codec changes.

    Args:
        key: the sample.
        arrays: (suffix without its encoding, array) in the order of the members.
        meta: its `meta.json`, of which only the labels count.

    Raises:
        DamageError: that has them in another place or form than the format.
    """
    digest = hashlib.sha256(f"{key}\n".encode())
    for name, array in arrays:
        plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(f"{name} {plain.dtype.name} {','.join(map(str, plain.shape))}\n".encode())
        digest.update(plain.data)
    if not isinstance(meta, dict):
        raise DamageError(f"{key}.{META}: {type(meta).__name__}, expected an object; pack it again")
    static, seasons, children = (
        meta.get(k, empty) for k, empty in ((STATIC, None), ("seasons", None), ("children", []))
    )
    if not isinstance(static, dict) or not isinstance(seasons, dict) or not isinstance(children, list):
        raise DamageError(f"{key}.{META}: no static, no seasons or children that are no list; pack it again")
    wrong = [s for s, facts in seasons.items() if not isinstance(facts, dict)]
    if wrong or not all(isinstance(c, dict) and isinstance(c.get("id"), str) for c in children):
        raise DamageError(f"{key}.{META}: seasons {reprlib.repr(wrong)} or children are no objects; pack it again")
    labels = {STATIC: static.get("labels")} | {season: facts.get("labels") for season, facts in seasons.items()}
    try:
        digest.update(meta_bytes(labels))
        for child in children:
            digest.update(f"{child['id']}\n".encode())
    except (ValueError, RecursionError) as err:
        raise DamageError(f"{key}.{META}: labels or ids that are no text of UTF-8 JSON ({err}); pack it again") from err
    return digest.hexdigest()


class ContentHash:
    """The dataset's `content_sha256`, from sample digests that workers made.

    Split by split in order of name, within a split in order of row; how samples are cut into shards does not count.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._split = ""

    def add(self, split: str, key: str, digest: str) -> None:
        """Takes up the next sample. Raises ValueError where splits do not come in order of name."""
        if split < self._split:
            raise ValueError(f"content hash: split {split!r} after {self._split!r}; expected splits in order of name")
        self._split = split
        self._hash.update(f"{split} {key} {digest}\n".encode())

    def hexdigest(self) -> str:
        """The hash of what was added so far."""
        return self._hash.hexdigest()


def iter_arrays(members: Mapping[str, bytes]) -> Iterator[tuple[str, NDArray[Any]]]:
    """(suffix without its encoding, array) of each array among a sample's members, in order: what `sample_digest` takes.

    Raises:
        DamageError: a member is not what its name says.
    """
    for name, data in members.items():
        if name != META:
            encoding = split_member(name).encoding
            yield name.removesuffix(f".{encoding}"), decode(data, encoding, name)
