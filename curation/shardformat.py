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
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal, NamedTuple, TypeVar, cast, get_args

import numpy as np
import pyarrow as pa
import xxhash
from msgspec import Meta, Struct, ValidationError, convert, to_builtins
from msgspec.structs import force_setattr
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
S = TypeVar("S", bound=Struct)


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
