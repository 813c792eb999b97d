"""What two releases have that the other has not, by their indices and tables alone: no pixel is read."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.errors import ConfigError, DamageError
from curation.format.index import INDEX, FileEntry, Index
from curation.format.names import META, split_member
from curation.format.table import read_members
from curation.store import paths
from curation.store.objects import Store

_OF_PACKING = ("id", "shard", "geometry")
"""Columns of a table of samples that tell nothing of a sample that its other columns, or its id, do not."""


@dataclass(frozen=True, slots=True)
class Release:
    """An index, with what its tables say of each sample."""

    where: str
    index: Index
    splits: dict[str, str]
    """Sample → split."""
    rows: dict[str, int]
    """Sample → its row in all that follows."""
    hashes: NDArray[np.uint64]
    """(sample, member): xxh3 of the stored member; 0 where it is not there."""
    sizes: NDArray[np.int64]
    """(sample, member): bytes; 0 where it is not there."""
    tables: tuple[pa.Table, ...]
    """Of each split, which may differ in types: a row per sample, with its labels and columns."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A sample that both have, and what of it is another."""

    id: str
    why: tuple[str, ...]
    """`split train → val`; `s2l2a_10m.summer`, `+ s2l2a_10m.autumn` (is new), `- …` (is gone); `labels_summer`, a column of
    the samples table; `meta.json`, where nothing else is another."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What B has other than A."""

    a: str
    b: str
    digests: dict[str, tuple[str, str]]
    """`pixels`, `release`, `content`: of A and of B, those that differ."""
    same: int
    """Samples that both have and that are the same."""
    new: tuple[str, ...]
    """Samples of B alone."""
    gone: tuple[str, ...]
    """Samples of A alone."""
    changed: tuple[Changed, ...]
    dropped: dict[str, tuple[int, int]]
    """Reason → how many places A and B did without for it, where these differ."""
    notes: tuple[str, ...] = field(default=())

    @property
    def is_none(self) -> bool:
        """Whether both have the same samples, with the same in them."""
        return not (self.new or self.gone or self.changed)

    def why(self) -> Counter[str]:
        """What is another → of how many samples."""
        return Counter(why for its in self.changed for why in its.why)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        return asdict(self) | {"why": dict(self.why().most_common())}


def release_at(place: str, dataset: str = "") -> Release:
    """The release whose index lies in a folder of shards, in a dataset's folder, or in that of `dataset` below a root.

    Args:
        place: a folder, or the URL of a bucket.
        dataset: name of the dataset below it, where it is a root.

    Raises:
        ConfigError: there is no index, or it is of a newer version.
        DamageError: index or tables are not what they say of themselves.
    """
    try:
        store = Store(place)
    except ValueError as err:
        raise ConfigError(f"{place}: {err}") from err
    below = ["", paths.SHARDS, *([f"{dataset}/{paths.SHARDS}"] if dataset else [])]
    shards = next((s for s in map(store.child, below) if s.head(INDEX) is not None), None)
    if shards is None:
        raise ConfigError(
            f"{store.where('')}: no {INDEX} there, nor in {', '.join(filter(None, below))}: expected a folder of shards, a "
            "dataset's folder, or a root with --dataset"
        )
    return _read(shards)


def previous_at(place: str, dataset: str = "") -> Release:
    """The release before the one that stands, of a dataset's folder, or of that of `dataset` below a root.

    Raises as `release_at` does.
    """
    try:
        return release_at(f"{place.rstrip('/')}/{paths.PREVIOUS}")
    except ConfigError as err:
        if dataset:
            return previous_at(f"{place.rstrip('/')}/{dataset}")
        raise ConfigError(
            f"{err}. The release before the one that stands is kept by `curate pack` when it makes another; to compare with "
            "one that lies elsewhere, name both"
        ) from err


def _read(shards: Store) -> Release:
    index = Index.from_bytes(shards.get(INDEX), shards.where(INDEX))
    names, splits, tables = index.members, dict[str, str](), list[pa.Table]()
    hashes, sizes = list[NDArray[np.uint64]](), list[NDArray[np.int64]]()
    for split, entry in sorted(index.splits.items()):
        data, where = _file(shards, entry.members), shards.where(entry.members.name)
        members = read_members(data, where, index, split)
        shape = (entry.samples, len(names))
        found, size = np.zeros(shape, np.uint64), np.zeros(shape, np.int64)
        found[members.sample, members.member] = members.xxh3
        size[members.sample, members.member] = members.size
        try:
            table = pq.read_table(io.BytesIO(_file(shards, entry.samples_table)))
            ids = table.column("id").to_pylist()
        except (pa.ArrowException, OSError, KeyError) as err:
            raise DamageError(
                f"{shards.where(entry.samples_table.name)}: no Parquet file with ids ({err}); pack again"
            ) from err
        if len(ids) != entry.samples or not splits.keys().isdisjoint(ids) or len(set(ids)) != len(ids):
            raise DamageError(
                f"{shards.where(entry.samples_table.name)}: has {len(ids)} ids, expected {entry.samples}, each once in all "
                "splits; pack again"
            )
        splits |= dict.fromkeys(ids, split)
        hashes, sizes, tables = [*hashes, found], [*sizes, size], [*tables, table]
    return Release(
        shards.where(""),
        index,
        splits,
        {name: n for n, name in enumerate(splits)},
        np.concatenate([np.zeros((0, len(names)), np.uint64), *hashes]),
        np.concatenate([np.zeros((0, len(names)), np.int64), *sizes]),
        tuple(tables),
    )


def _file(shards: Store, entry: FileEntry) -> bytes:
    try:
        data = shards.get(entry.name)
    except FileNotFoundError as err:
        raise DamageError(f"{shards.where(entry.name)}: the index names it, and it is not there; pack again") from err
    if len(data) != entry.size or hashlib.sha256(data).hexdigest() != entry.sha256:
        raise DamageError(f"{shards.where(entry.name)}: is not what the index says of it; pack again")
    return data


def difference(a: Release, b: Release) -> Difference:
    """What B has other than A. Pure.

    Members are compared as they are stored. Where both have the same content hash, arrays, annotations, labels and columns
    are the same whatever they are packed in, so that of these nothing is told.
    """
    both = [name for name in a.rows if name in b.rows]
    one, other = (np.array([r.rows[name] for name in both], np.int64) for r in (a, b))
    same_content = a.index.content_sha256 == b.index.content_sha256
    names = list(dict.fromkeys([*map(_lines, a.index.members), *map(_lines, b.index.members)]))
    ours, theirs = (_by_name(r, names, rows) for r, rows in ((a, one), (b, other)))
    differ = (ours[0] != theirs[0]) | (ours[1] != theirs[1])
    if same_content:
        differ[:, [n for n, name in enumerate(names) if name != META]] = False
    columns = _columns(a, b, one, other) if not same_content else {}
    changed = []
    for n, name in enumerate(both):
        why = [f"split {a.splits[name]} → {b.splits[name]}"] * (a.splits[name] != b.splits[name])
        why += [_as(names[k], int(ours[1][n, k]), int(theirs[1][n, k])) for k in np.flatnonzero(differ[n])]
        lines = [column for column, wrong in columns.items() if wrong[n]]
        if why or lines:  # what else is changed stands in `meta.json`, too
            changed.append(Changed(name, tuple(w for w in (*why, *lines) if w != META) or (META,)))
    digests = {
        "pixels": (a.index.pixels_digest, b.index.pixels_digest),
        "release": (a.index.release_digest, b.index.release_digest),
        "content": (a.index.content_sha256, b.index.content_sha256),
    }
    lost = [dict(r.index.counts.get("dropped", {})) for r in (a, b)]
    note = "both have the same content, byte by byte once it is unpacked"
    return Difference(
        a.where,
        b.where,
        {k: v for k, v in digests.items() if v[0] != v[1]},
        len(both) - len(changed),
        tuple(name for name in b.rows if name not in a.rows),
        tuple(name for name in a.rows if name not in b.rows),
        tuple(changed),
        {
            k: (lost[0].get(k, 0), lost[1].get(k, 0))
            for k in sorted({*lost[0], *lost[1]})
            if lost[0].get(k) != lost[1].get(k)
        },
        (note,) if same_content else (),
    )


def _lines(member: str) -> str:
    """A member as a person knows it: whatever it is packed in."""
    return member if member == META else member.removesuffix(f".{split_member(member).encoding}")


def _as(name: str, before: int, now: int) -> str:
    """What is another: a member that is new, gone, or changed."""
    return f"+ {name}" if not before else f"- {name}" if not now else name


def _by_name(
    release: Release, names: Sequence[str], rows: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hashes and sizes of some samples, (sample, name); 0 where there is no such member."""
    at = {_lines(member): n for n, member in enumerate(release.index.members)}
    out = np.zeros((len(rows), len(names)), np.uint64), np.zeros((len(rows), len(names)), np.int64)
    for k, name in enumerate(names):
        if name in at:
            out[0][:, k], out[1][:, k] = release.hashes[rows, at[name]], release.sizes[rows, at[name]]
    return out


def _columns(
    a: Release, b: Release, one: NDArray[np.int64], other: NDArray[np.int64]
) -> Mapping[str, NDArray[np.bool_]]:
    """Column of the samples table → of which samples it says something else; where there is none, nothing is said."""
    out = {}
    for name in dict.fromkeys(n for r in (a, b) for table in r.tables for n in table.schema.names):
        if name in _OF_PACKING:
            continue
        left, right = (_values(r, name, rows) for r, rows in ((a, one), (b, other)))
        out[name] = np.array([repr(x) != repr(y) for x, y in zip(left, right, strict=True)], bool)  # NaN is NaN
    return {name: wrong for name, wrong in out.items() if wrong.any()}


def _values(release: Release, name: str, rows: NDArray[np.int64]) -> list[Any]:
    """A column of some samples; None of those whose table has none of that name."""
    every: list[Any] = []
    for table in release.tables:
        every += table.column(name).to_pylist() if name in table.schema.names else [None] * len(table)
    return [every[row] for row in rows]
