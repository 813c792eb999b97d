"""What is exported of shards: their samples, each shard's bytes checked against the index first."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import ConfigError, DamageError
from curation.errors.words import did_you_mean
from curation.format import tar
from curation.format.annotations import AnnotationEntry
from curation.format.index import INDEX, ArrayEntry, Index, ShardEntry, SplitEntry
from curation.format.names import META, MemberName, split_member
from curation.pack.captions.owed import owed
from curation.pack.export import selecting
from curation.pack.export.pieces import ExportScope
from curation.pack.export.selecting import Condition
from curation.recipe.dataset import Dataset
from curation.store import paths
from curation.store.objects import Store


@dataclass(frozen=True, slots=True)
class ShardSample:
    """One sample of a shard."""

    key: str
    meta: bytes
    """`meta.json`."""
    members: Mapping[str, bytes]
    """Suffix → payload of the others."""


@dataclass(frozen=True, slots=True)
class ShardPiece:
    """The samples of a shard that are exported."""

    store: Store
    """The folder of the shards."""
    dataset: str
    split: str
    number: int
    """Of those of the split that are exported, from 0."""
    of: int
    """How many these are."""
    entry: ShardEntry
    rows: pa.Table
    """Of the samples table: those that are exported, `id` among the columns."""
    arrays: Mapping[str, ArrayEntry]
    annotations: Mapping[str, AnnotationEntry]
    members: tuple[str, ...]
    """Suffixes of the members that are exported, in order, `meta.json` not among them."""

    @property
    def name(self) -> str:
        """Split and number."""
        return f"{self.split}/{self.number:05d}"

    @property
    def count(self) -> int:
        """Samples."""
        return int(self.rows.num_rows)

    @property
    def follows_from(self) -> Any:
        """The shard's hash, which samples and members of it, what the index says of these, and its place among others."""
        entries = {n: msgspec.to_builtins(e) for n, e in (dict(self.arrays) | dict(self.annotations)).items()}
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.rows.schema) as out:
            out.write_table(self.rows.combine_chunks())
        rows = hashlib.sha256(sink.getvalue()).hexdigest()
        return [self.dataset, self.split, self.number, self.of, self.entry.sha256, rows, entries, list(self.members)]

    def data(self) -> bytes:
        """The shard's bytes.

        Raises:
            DamageError: it is not there, or not what the index says.
        """
        where = self.store.where(self.entry.name)
        try:
            data = self.store.get(self.entry.name)
        except FileNotFoundError as err:
            raise DamageError(f"{where}: the index names it, and it is not there; pack again") from err
        if (found := hashlib.sha256(data).hexdigest()) != self.entry.sha256:
            raise DamageError(
                f"{where}: {len(data)} bytes with sha256 {found[:12]}…, the index says {self.entry.size} with "
                f"{self.entry.sha256[:12]}…; pack again"
            )
        return data

    def samples(self) -> Iterator[ShardSample]:
        """Each of them, in order.

        Raises:
            DamageError: the shard is not there, or not what the index says.
        """
        where, data = self.store.where(self.entry.name), self.data()
        by_key: dict[str, dict[str, bytes]] = {}
        for row in tar.scan_tar(data, where):
            by_key.setdefault(row.key, {})[row.member] = data[row.offset : row.offset + row.size]
        for key in self.rows.column("id").to_pylist():
            if key not in by_key:
                raise DamageError(f"{where}: has no sample {key}, the samples table says that it has; pack again")
            members = by_key[key]
            yield ShardSample(key, members[META], {m: members[m] for m in self.members if m in members})


def asked(
    dataset: Dataset,
    store: Store,
    regions: Sequence[str] | None,
    seasons: Sequence[str] | None,
    conditions: Sequence[Condition],
    limit: int | None,
) -> ExportScope:
    """The samples of a dataset's shards that are asked for; the index stands beside them.

    Conditions are on columns of the samples table, and on `split`. Of seasons that are not asked for samples have no arrays.

    Raises:
        ConfigError: nothing is packed, or something that is asked for is not known.
        DamageError: the index or a table is not what was written.
    """
    shards, index = store.child(paths.SHARDS), index_of(store)
    known = [*index.seasons, "static"]
    if wrong := [s for s in seasons or () if s not in known]:
        raise ConfigError(f"--season {wrong[0]}: {did_you_mean(wrong[0], known)}the shards have {', '.join(known)}")
    members = tuple(m for m in index.members[1:] if seasons is None or (split_member(m).season or "static") in seasons)
    pieces: list[ShardPiece] = []
    tables = _alike({split: samples_table(shards, entry) for split, entry in sorted(index.splits.items())})
    for split, table in tables.items():
        entry = index.splits[split]
        selecting.check_known(conditions, {*table.schema.names, "split"}, "the samples table")
        wanted = _wanted(table, split, regions, conditions)[:limit]
        by_shard: dict[int, list[int]] = {}
        numbers = table.column("shard").to_pylist()
        for row in wanted:
            by_shard.setdefault(numbers[row], []).append(row)
        columns = table.drop_columns([c for c in ("geometry", "shard") if c in table.schema.names])
        for number, (shard, rows) in enumerate(sorted(by_shard.items())):
            pieces.append(
                ShardPiece(
                    shards,
                    index.dataset,
                    split,
                    number,
                    len(by_shard),
                    entry.shards[shard],
                    columns.take(pa.array(rows, pa.int64())).combine_chunks().replace_schema_metadata(None),
                    index.arrays,
                    index.annotations,
                    members,
                )
            )
    return ExportScope(dataset, tuple(pieces), index, owed(index, {split_member(m).array for m in members}))


def _alike(tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """The tables that have rows; columns that say nothing of any sample of one split have the type of the others'."""
    rows = {split: table for split, table in tables.items() if table.num_rows}
    types = {f.name: f.type for t in rows.values() for f in t.schema if not pa.types.is_null(f.type)}
    out = {}
    for split, table in rows.items():
        fields = [
            pa.field(f.name, types.get(f.name, pa.string())) if pa.types.is_null(f.type) else f for f in table.schema
        ]
        out[split] = table.cast(pa.schema(fields))
    return out


def _wanted(table: pa.Table, split: str, regions: Sequence[str] | None, conditions: Sequence[Condition]) -> list[int]:
    """Numbers of the rows that are asked for."""
    names = {c.name for c in conditions} & set(table.schema.names) | {"region"}
    columns = {n: table.column(n).to_pylist() for n in names}
    out = []
    for row in range(table.num_rows):
        known = {n: values[row] for n, values in columns.items()} | {"split": split}
        if (regions is None or known["region"] in regions) and selecting.all_hold(conditions, known):
            out.append(row)
    return out


def index_of(store: Store) -> Index:
    """The index of a dataset's shards.

    Raises:
        ConfigError: there is none.
        DamageError: it is no index.
    """
    shards = store.child(paths.SHARDS)
    try:
        data = shards.get(INDEX)
    except FileNotFoundError as err:
        raise ConfigError(f"{shards.where('')}: nothing is packed there: `curate pack` first") from err
    return Index.from_bytes(data, shards.where(INDEX))


def samples_table(shards: Store, entry: SplitEntry) -> pa.Table:
    """A row per sample of a split.

    Raises:
        DamageError: the table is not there, or not what the index says.
    """
    its = entry.samples_table
    where = shards.where(its.name)
    try:
        data = shards.get(its.name)
    except FileNotFoundError as err:
        raise DamageError(f"{where}: the index names it, and it is not there; pack again") from err
    if hashlib.sha256(data).hexdigest() != its.sha256:
        raise DamageError(f"{where}: is not the table that the index names; pack again")
    table = pq.read_table(io.BytesIO(data))
    if lacks := {"id", "region", "shard"} - set(table.schema.names):
        raise DamageError(f"{where}: has no column {', '.join(sorted(lacks))}; pack again")
    return table


def shard_of_samples(store: Store) -> dict[str, str]:
    """Id of each sample → key of its shard, below the dataset's folder."""
    shards, out = store.child(paths.SHARDS), dict[str, str]()
    for entry in index_of(store).splits.values():
        table = samples_table(shards, entry)
        for name, shard in zip(table.column("id").to_pylist(), table.column("shard").to_pylist(), strict=True):
            out[name] = paths.shard(entry.shards[shard].name)
    return out


def column_of(member: str) -> str:
    """What a member's column is called: its suffix without the encoding, `_` for dots: `s2l2a_10m_summer`."""
    its: MemberName = split_member(member)
    return its.suffix.removesuffix(f".{its.encoding}").replace(".", "_")
