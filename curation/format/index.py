"""The shard format, version 2: what `shards/README.md` specifies, as code that packer, `verify` and reader share.

Nothing here knows Dask, torch or a store: bytes in, bytes out. The same values give the same bytes.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

import numpy as np
from msgspec import Meta, Struct, ValidationError, convert, to_builtins
from msgspec.structs import force_setattr

from curation.errors import ConfigError, DamageError
from curation.format.names import BLOCK, META, MemberName
from curation.format.payload import DTYPES, MOST_BYTES, Encoding

FORMAT = "curation-shards"
VERSION = 2
INDEX = "index.json"
Role = Literal["data", "mask", "classes", "count", "quality"]

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

K = TypeVar("K")
S = TypeVar("S", bound=Struct)


def _refused(name: str) -> Any:
    raise ValueError(f"{name}, which is no JSON")


_JSON = json.JSONDecoder(parse_constant=_refused)


def json_of(data: bytes) -> Any:
    """The value of UTF-8 JSON. Raises ValueError where it is none, has NaN or Infinity, or is too deep to be read."""
    try:
        return _JSON.decode(data.decode())
    except RecursionError as err:
        raise ValueError("nested too deeply") from err


_MOST_FLOAT = sys.float_info.max

Text = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f\ud800-\udfff]*\Z")]
Name = Annotated[str, Meta(pattern=rf"^{_NAME.pattern}\Z")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Count = Annotated[int, Meta(ge=0, lt=_MOST)]
Side = Annotated[int, Meta(gt=0, lt=_MOST)]
Number = Annotated[float, Meta(ge=-_MOST_FLOAT, le=_MOST_FLOAT)]
if TYPE_CHECKING:
    Nodata = float  # what it is as soon as it is read
else:
    Nodata = Number | Literal["nan"]


_WORDS = {
    Text: "a text without control characters",
    Name: "a name of a-z, 0-9, '_' and '-'",
    Sha256: "64 hexadecimal digits",
}
"""What is told in place of a pattern."""


class _Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """A JSON object read strictly: each key must be there, and none may be left over.

    What `__post_init__` refuses by ValueError is told with its place, too, when it is read.
    """


class FileEntry(_Strict, frozen=True):
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


class SplitEntry(_Strict, frozen=True):
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


class ArrayEntry(_Strict, frozen=True):
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

    def __post_init__(self) -> None:
        """Raises ValueError where there is no such array."""
        if isinstance(self.nodata, str):  # "nan"
            force_setattr(self, "nodata", math.nan)
        dtype, shape = self.dtype, list(self.shape)
        if dtype not in DTYPES:
            raise ValueError(f"dtype: got {reprlib.repr(dtype)}, expected one of {', '.join(DTYPES)}")
        if shape[0] != len(self.bands) or shape[1] != shape[2]:
            raise ValueError(f"shape: got {reprlib.repr(shape)}, expected [{len(self.bands)} bands, side, side]")
        if math.prod(shape) * np.dtype(dtype).itemsize > MOST_BYTES:
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


class BandStatistics(_Strict, frozen=True):
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


class SourceEntry(_Strict, frozen=True):
    """What a person must know of a source that pixels come from."""

    title: Text
    licence: Text


class _Begin(Struct, frozen=True):
    """What an index of any version has."""

    format: Text
    version: Count


class _Digests(_Strict, frozen=True):
    pixels: Text
    release: Text


class Index(_Strict, frozen=True):
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

    @property
    def members(self) -> tuple[str, ...]:
        """Suffixes of a sample's members in order; the member table's `member` counts in them."""
        return member_names(self.arrays, self.seasons, self.children)

    def to_json(self) -> dict[str, Any]:
        """The index as plain JSON values."""
        value: dict[str, Any] = to_builtins(self)
        value |= {"format": FORMAT, "version": VERSION, "members": list(self.members)}
        value["digests"] = {name: value.pop(f"{name}_digest") for name in _Digests.__struct_fields__}
        for entry in value["arrays"].values():
            entry["nodata"] = "nan" if math.isnan(entry["nodata"]) else entry["nodata"]
        return value

    @classmethod
    def from_json(cls, value: Any, where: str = INDEX) -> Index:
        """The index that `to_json` gave.

        Raises:
            ConfigError: it is of a newer version than this software knows.
            DamageError: it is not such an index; the key that is wrong is named.
        """
        begin = _read(_Begin, value, where)
        if begin.format != FORMAT:
            raise DamageError(
                f"{where}: format {reprlib.repr(begin.format)}, expected {FORMAT!r}: this is not an index of shards"
            )
        if begin.version > VERSION:
            raise ConfigError(
                f"{where}: format version {begin.version}, this software reads up to {VERSION}: update curation to read it"
            )
        if begin.version != VERSION:
            raise DamageError(f"{where}: format version {begin.version}, expected {VERSION}; pack the dataset again")
        own = [key for key in cls.__struct_fields__ if not key.endswith("_digest")]
        _check_keys(value, [*_Begin.__struct_fields__, "digests", "members", *own], where)
        rest = {key: of for key, of in value.items() if key not in _Begin.__struct_fields__}
        digests = _read(_Digests, rest.pop("digests"), f"{where}: digests")
        rest |= {f"{name}_digest": getattr(digests, name) for name in _Digests.__struct_fields__}
        members = _read(tuple[Text, ...], rest.pop("members"), f"{where}: members")
        for key, kind in (("arrays", ArrayEntry), ("splits", SplitEntry), ("sources", SourceEntry)):
            rest[key] = _each(kind, rest[key], f"{where}: {key}")
        bands = _read(dict[Text, Any], rest["statistics"], f"{where}: statistics")
        rest["statistics"] = {a: _each(BandStatistics, of, f"{where}: statistics.{a}") for a, of in bands.items()}
        index = _read(cls, rest, where)
        index._check(where, len(members))
        if members != index.members:
            raise DamageError(f"{where}: members: got {reprlib.repr(members)}, expected {reprlib.repr(index.members)}")
        return index

    def _check(self, where: str, members: int) -> None:
        """Raises DamageError where arrays, seasons and statistics do not belong together. Members are named after it."""
        for key in ("counts", "written_by"):
            _check_depth(getattr(self, key), f"{where}: {key}")
        if len(set(self.seasons)) != len(self.seasons):
            raise DamageError(f"{where}: seasons: got {reprlib.repr(self.seasons)}, expected each once; pack it again")
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


def _read(kind: type[K], value: Any, where: str) -> K:
    """A JSON value as what it should be. Raises DamageError naming the key that is wrong."""
    try:
        return convert(value, kind)
    except ValidationError as err:
        raise DamageError(f"{where}{_fault(str(err), value)}; pack the dataset again") from err
    except UnicodeEncodeError as err:
        raise DamageError(f"{where}: got {reprlib.repr(err.object)}, expected UTF-8; pack the dataset again") from err


def _each(kind: type[S], value: Any, where: str) -> dict[str, S]:
    """A JSON object's values, each of a kind, by name."""
    out = {}
    for name, of in _read(dict[Text, Any], value, where).items():
        if isinstance(of, dict):
            _check_keys(of, kind.__struct_fields__, f"{where}.{name}")
        out[name] = _read(kind, of, f"{where}.{name}")
    return out


def _check_keys(value: Mapping[str, Any], keys: Sequence[str], where: str) -> None:
    """Passes where an object has these keys, those with a default too, and no other."""
    if lacks := [key for key in keys if key not in value]:
        raise DamageError(f"{where}: no key {lacks[0]!r}; the index is not whole: pack the dataset again")
    if more := sorted(set(value) - set(keys)):
        raise DamageError(
            f"{where}: unknown keys {reprlib.repr(more)}; format version {VERSION} does not have them: pack the dataset "
            "again, or read it with the software that wrote it"
        )


def _fault(said: str, value: Any) -> str:
    """Where in a value a ValidationError is, what stands there, and what should: `.shards[0].size: got -1, expected …`."""
    text, _, at = said.rpartition(" - at `") if " - at `" in said else (said, "", "$`")
    path = at.rpartition("$")[2].rstrip("`")
    for name, number in re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", path):
        value = value[name] if name else value[int(number)]
    for kind, words in _WORDS.items():
        text = text.replace(f"`str` matching regex {get_args(kind)[1].pattern!r}", words)
    if text.startswith(("Expected", "Invalid")):
        text = f"got {reprlib.repr(value)}, {text[:1].lower()}{text[1:]}"
    return f"{path}: {_CONTROLS.sub('?', text)[:400]}"


def _check_depth(value: dict[str, Any], where: str) -> None:
    """Passes where what is free form is no deeper than who reads it can follow."""
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        level = [v for of in level for v in (of.values() if isinstance(of, dict) else of)]
        level = [v for v in level if isinstance(v, dict | list)]
    if level:
        raise DamageError(f"{where}: more than {_DEEPEST} levels deep; pack the dataset again")


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
