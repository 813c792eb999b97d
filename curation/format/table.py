"""The table of all entries of a split: where each lies."""

from __future__ import annotations

import io
import reprlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.errors import DamageError
from curation.format.index import Index, SplitEntry
from curation.format.names import BLOCK, META
from curation.format.payload import DENSEST
from curation.format.tar import MemberRow

_MEMBER_FIELDS: tuple[tuple[str, np.dtype[Any], Any], ...] = (
    ("sample", np.dtype("<i4"), pa.int32()),
    ("member", np.dtype("<i2"), pa.int16()),
    ("shard", np.dtype("<i4"), pa.int32()),
    ("offset", np.dtype("<i8"), pa.int64()),
    ("size", np.dtype("<i8"), pa.int64()),
    ("xxh3", np.dtype("<u8"), pa.uint64()),
)


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
        room = index.room(name)
        if most and room > DENSEST * most:  # or a batch would be given room that nothing fills
            raise DamageError(
                f"{where}: {name} has {most} bytes at most, the index says that it holds {room}: "
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
