"""Opening a split: what is checked before the first sample is read."""

from __future__ import annotations

import hashlib
import io
import os
import reprlib
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.errors import ConfigError, DamageError
from curation.errors.words import counted
from curation.format.index import INDEX, FileEntry, Index, SplitEntry
from curation.format.names import META, split_member
from curation.format.table import MemberTable, read_members, shard_of_samples
from curation.format.target import TargetEntry
from curation.model import LOCATION_ID
from curation.store import full
from curation.store.afterwards import Leavings
from curation.store.local import NotAFileError
from curation.store.objects import Store
from curation.stream import helper
from curation.stream.fetch import Fetcher, Remote
from curation.stream.plan import label_weights


class OpenSplit:
    """A split whose index, tables and shard lengths were found to agree.

    Pickles small: the member table (a few hundred MB at 250,000 samples) is a mapped file, which every process of the
    machine shares.
    """

    def __init__(
        self, url: str, index: Index, split: str, table: Path, owned: bool, ids: pa.Array, remote: Remote
    ) -> None:
        self.url = Store(url).where("")
        """Folder of the index, as a person knows it."""
        self.url_as_asked = url
        """What it is opened by: a URL may have what lets one in."""
        self.index = index
        self.split = split
        self.ids = ids
        """Key of each sample, by row."""
        self.remote = remote
        """How to read it where it is not local."""
        self.domains: dict[str, NDArray[np.int64]] = {}
        """Domain → number of what each sample is of, by row, of those that somebody has asked for."""
        self._table = table
        self._weights: NDArray[np.float64] | None = None
        self._members: MemberTable | None = None
        self._first: NDArray[np.int64] | None = None
        if owned:
            _copies.when_gone(self, _remove, table)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_members": None, "_first": None}

    @property
    def entry(self) -> SplitEntry:
        """The split as the index has it."""
        return self.index.splits[self.split]

    def fetcher(self) -> Fetcher:
        """What reads its shards."""
        return Fetcher(
            self.url_as_asked,
            shard_sizes={s.name: s.size for s in self.entry.shards},
            shard_sha256={s.name: s.sha256 for s in self.entry.shards},
            remote=self.remote,
        )

    @property
    def weights(self) -> NDArray[np.float64]:
        """`weights` of it: read once, in the process that opened it where that asks first."""
        if self._weights is None:
            self._weights = weights(self)
        return self._weights

    @property
    def members(self) -> MemberTable:
        """The member table, mapped, and hashed wherever it is: it may have been packed again since it was opened.

        Raises:
            DamageError: it is another one, or gone.
        """
        if self._members is None:
            where = f"{self.url}/{self.entry.members.name}"
            try:
                mapped = pa.memory_map(str(self._table))
            except FileNotFoundError as err:
                raise DamageError(_missing(where, self.entry.members)) from err
            _check(memoryview(mapped.read_buffer()), self.entry.members, where)
            mapped.seek(0)
            self._members = read_members(mapped, where, self.index, self.split)
        return self._members

    @property
    def first(self) -> NDArray[np.int64]:
        """Row of the member table where each sample begins, and its end: int64, (samples + 1,)."""
        if self._first is None:
            self._first = np.searchsorted(self.members.sample, np.arange(self.entry.samples + 1))
        return self._first


def open_split(path_or_url: str | Path, split: str, remote: Remote | None = None) -> OpenSplit:
    """The split, after checking its index, both its tables (sha256) and the length of each of its shards.

    Args:
        path_or_url: the folder of shards, the dataset's folder above it, or `index.json`; a path or a URL.
        split: its name.
        remote: how its shards are read where they are not local.

    Raises:
        ConfigError: there is no index, it is of a newer version, or it has no such split.
        DamageError: something is not what the index says of it; the files are named.
    """
    _copies.settle()
    store, index = find_index(str(path_or_url))
    if split not in index.splits:
        known = ", ".join(f"{k} ({counted(v.samples, 'sample')})" for k, v in index.splits.items())
        raise ConfigError(f"{store.where(INDEX)}: no split {split!r}; expected one of: {known}")
    entry = index.splits[split]
    _check_lengths(store, entry)
    samples = _checked(store, entry.samples_table)
    data = _checked(store, entry.members)
    if store.is_local:
        table, owned = Path(store.where(entry.members.name)), False
    else:
        with full.temporary("then open the split again"):
            handle, name = tempfile.mkstemp(prefix="curation-members-", suffix=".arrow")
            with os.fdopen(handle, "wb") as file:
                file.write(data)
        table, owned = Path(name), True
    opened = OpenSplit(store.url, index, split, table, owned, pa.array([], pa.string()), remote or Remote())
    _ = opened.first  # reads and checks the table now, not at the first sample; it has a row for each sample at least
    opened.ids = _sample_ids(samples, store.where(entry.samples_table.name), entry)
    return opened


class Holding(NamedTuple):
    """The samples that have what is wanted."""

    rows: NDArray[np.int64]
    """Of the samples table, ascending: int64, (samples,)."""
    per_shard: list[int]
    """How many of each shard."""


def holding(opened: OpenSplit, wanted: Mapping[str, int]) -> Holding:
    """The samples that have at least so many members of an array of each source, over seasons and children.

    Which they are is known from the member table alone: nothing is read.
    """
    entry, index = opened.entry, opened.index
    enough = np.ones(entry.samples, bool)
    for source, count in wanted.items():
        array = min(n for n, a in index.arrays.items() if a.source == source)  # all of a source's are there, or none
        its = [i for i, m in enumerate(index.members) if m != META and split_member(m).array == array]
        mine = np.isin(opened.members.member, its)
        enough &= np.bincount(opened.members.sample[mine], minlength=entry.samples) >= count
    shard = shard_of_samples(entry)
    return Holding(np.flatnonzero(enough), np.bincount(shard[enough], minlength=len(entry.shards)).tolist())


def find_index(path_or_url: str) -> tuple[Store, Index]:
    """The folder of shards that a path or URL leads to, and its index. Raises ConfigError where there is none."""
    base = path_or_url.rstrip("/").removesuffix(f"/{INDEX}")
    if base == INDEX:
        base = "."
    tried = []
    for url in (base, f"{base}/shards"):
        store = Store(url)
        try:
            data = _get(store, INDEX)
        except (FileNotFoundError, NotADirectoryError):
            tried.append(store.where(INDEX))
            continue
        return store, Index.from_bytes(data, store.where(INDEX))
    raise ConfigError(
        f"no {' and no '.join(tried)}: not the folder of a dataset, or one that is not packed yet (the index is published "
        "last, so a stopped packing has none): look at the path, or run `curate` to its end"
    )


def _get(store: Store, name: str) -> bytes:
    return store.get(name) if store.is_local else helper.get(store, name)


def _size(store: Store, name: str) -> int | None:
    if not store.is_local:
        return helper.size(store, name)
    stat = store.head(name)
    return None if stat is None else stat.size


def _check_lengths(store: Store, entry: SplitEntry) -> None:
    names = [s.name for s in entry.shards]
    if store.is_local:
        sizes = [_size(store, name) for name in names]
    else:
        with ThreadPoolExecutor(16) as pool:  # each is one round trip
            sizes = list(pool.map(lambda name: _size(store, name), names))
    wrong = [
        f"{s.name}: {'missing' if size is None else f'{size} bytes'}, expected {s.size} bytes"
        for s, size in zip(entry.shards, sizes, strict=True)
        if size != s.size
    ]
    if wrong:
        more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise DamageError(
            f"{store.where('')}: {len(wrong)} of {counted(len(names), 'shard')} not what {INDEX} says: "
            f"{'; '.join(wrong[:5])}{more}: copy them again, or pack the dataset again"
        )


def _checked(store: Store, file: FileEntry) -> bytes:
    where = store.where(file.name)
    try:
        data = _get(store, file.name)
    except (FileNotFoundError, NotADirectoryError, NotAFileError) as err:
        raise DamageError(_missing(where, file)) from err
    _check(data, file, where)
    return data


def _missing(where: str, file: FileEntry) -> str:
    return f"{where}: missing, expected {file.size} bytes: copy it again, or pack again"


def _check(data: bytes | memoryview, file: FileEntry, where: str) -> None:
    got = hashlib.sha256(data).hexdigest()
    if got != file.sha256 or len(data) != file.size:
        raise DamageError(
            f"{where}: {len(data)} bytes with sha256 {got}, expected {file.size} bytes with {file.sha256}: "
            "copy it again, or pack the dataset again"
        )


def _sample_ids(data: bytes, where: str, entry: SplitEntry) -> pa.Array:
    """Key of each sample, by row."""
    table = _columns(data, where, ["id", "shard"], entry)
    ids, shard = (table.column(name).combine_chunks() for name in ("id", "shard"))
    if not (pa.types.is_string(ids.type) or pa.types.is_large_string(ids.type)) or not pa.types.is_integer(shard.type):
        raise DamageError(f"{where}: id of {ids.type}, shard of {shard.type}, expected texts and whole numbers")
    if ids.null_count or shard.null_count or not np.array_equal(shard.to_numpy(), shard_of_samples(entry)):
        raise DamageError(
            f"{where}: {table.num_rows} samples, or in other shards than {INDEX} says ({entry.samples} samples in "
            f"{len(entry.shards)} shards): pack the dataset again"
        )
    if wrong := ids.filter(pc.invert(pc.match_substring_regex(ids, f"^{LOCATION_ID.pattern}$"))):
        raise DamageError(
            f"{where}: ids {reprlib.repr(wrong.to_pylist())}, expected a-z, 0-9, '_' and '-': pack it again"
        )
    if pc.count_distinct(ids).as_py() != len(ids):
        raise DamageError(f"{where}: an id twice, expected each once: pack the dataset again")
    return ids


def _columns(data: bytes, where: str, names: list[str], entry: SplitEntry) -> pa.Table:
    """Columns of the samples table, after checking that it has them, and as many rows as the split has samples."""
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        rows, there = file.metadata.num_rows, file.schema_arrow.names
        if rows == entry.samples and all(there.count(name) == 1 for name in names):
            table = file.read(columns=names)
            table.validate(full=True)  # or texts may be none
            return table
    except (pa.ArrowException, OSError, UnicodeDecodeError) as err:  # by where the fault is
        raise DamageError(f"{where}: not a Parquet file ({err}): pack the dataset again") from err
    raise DamageError(
        f"{where}: {rows} samples with columns {reprlib.repr(there)}, expected {entry.samples} with {names}: "
        "pack the dataset again"
    )


def sample_columns(opened: OpenSplit, names: Sequence[str]) -> tuple[pa.Table, str]:
    """Columns of the samples table of a split, and where it lies. Raises DamageError where it is not what the index says."""
    data, where = _samples_table(opened)
    return _columns(data, where, list(names), opened.entry), where


def known_columns(opened: OpenSplit, names: Sequence[str]) -> pa.Table:
    """Those columns of the samples table that it has of some names; a row for each sample. Raises DamageError."""
    data, where = _samples_table(opened)
    there = set(pq.read_schema(io.BytesIO(data)).names)  # a file that was read when the split was opened
    return _columns(data, where, ["id", *(n for n in dict.fromkeys(names) if n in there)], opened.entry)


def _samples_table(opened: OpenSplit) -> tuple[bytes, str]:
    """The samples table as it was packed, and where it lies."""
    store, file = Store(opened.url_as_asked), opened.entry.samples_table
    return _checked(store, file), store.where(file.name)


def rows_having(opened: OpenSplit, array: str, season: str | None) -> NDArray[np.int32]:
    """Rows of the samples that have an array themselves, in a season or (None) a static one: int32, ascending."""
    its = []
    for number, name in enumerate(opened.index.members):
        if name != META and split_member(name)[:3] == (None, array, season):
            its.append(number)
    rows: NDArray[np.int32] = opened.members.sample[np.isin(opened.members.member, its)]
    return rows


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


_copies = Leavings()
"""Copies of remote tables: removed by the process that made them, when it opens another split or ends."""


def weights(opened: OpenSplit) -> NDArray[np.float64]:
    """Weights of the samples that balance their labels: float64, (samples,), adding up to 1.

    By the classes of the target, where the dataset has one with classes; else from the mean over a sample's seasons of the
    label fractions in the samples table, or from those of the annual map.

    Raises:
        ConfigError: the dataset has no labels, was packed without their fractions, or these are of no sample known.
    """
    entry, (data, where) = opened.entry, _samples_table(opened)
    if (target := opened.index.target) is not None and target.classes is not None:
        return label_weights(_one_hot(_columns(data, where, [target.column], entry), target, where))
    names = set(pq.read_schema(io.BytesIO(data)).names)  # a file that was read when the split was opened
    columns = [c for s in opened.index.seasons if (c := f"fractions_{s}") in names] or ["fractions_static"]
    labels = len(opened.index.label_names)
    if not labels or columns[0] not in names:
        raise ConfigError(f"{opened.url}: balance: the samples table has no label fractions; pack again with labels")
    table = _columns(data, where, columns, entry)
    stacked = np.stack([_fractions(table.column(c), labels, f"{where}: {c}") for c in columns])
    known: NDArray[np.bool_] = np.logical_not(np.isnan(stacked).any(axis=2))
    if not known.any():
        raise ConfigError(
            f"{opened.url}: balance: no sample has label fractions: its labels are unknown, or stated by a file that does "
            "not say how much of each there is"
        )
    total = np.where(known[:, :, None], stacked, 0).sum(axis=0)
    count = known.sum(axis=0)[:, None]
    return label_weights(np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32))


def _one_hot(table: pa.Table, target: TargetEntry, where: str) -> NDArray[np.float32]:
    """The rows of the target's column as shares of its classes, NaN where unknown: float32, (samples, classes)."""
    column, numbers = table.column(target.column), target.numbers
    if pa.types.is_nested(column.type):
        raise DamageError(f"{where}: {target.column!r} of {column.type}, expected classes of the target: pack again")
    values = column.to_pylist()
    out = np.full((len(values), len(numbers)), np.nan, np.float32)
    for number, value in enumerate(values):
        if value is None:
            continue
        if value not in numbers:
            raise DamageError(
                f"{where}: row {number}: {reprlib.repr(value)} is none of the target's classes: pack again"
            )
        out[number] = 0
        out[number, numbers[value]] = 1
    return out


def _fractions(column: pa.ChunkedArray, labels: int, where: str) -> NDArray[np.float32]:
    """The rows of a column of label fractions, NaN where there is none: float32, (samples, labels)."""
    out = np.full((len(column), labels), np.nan, np.float32)
    kind = column.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not pa.types.is_null(kind) and not (is_list and pa.types.is_floating(kind.value_type)):
        raise DamageError(f"{where}: of {kind}, expected lists of fractions: pack the dataset again")
    for number, row in enumerate(column.to_pylist()):
        if row is None:
            continue
        if len(row) != labels or not all(v is not None and 0 <= v <= 1 for v in row):
            raise DamageError(
                f"{where}: row {number}: {reprlib.repr(row)}, expected {labels} fractions from 0 to 1, or null: pack again"
            )
        out[number] = row
    return out
