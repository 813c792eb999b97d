"""Chunks of samples, uncompressed, as `litdata.StreamingDataset` streams them: a folder per split, a chunk per shard.

```
train/chunk-0-<number>.bin     samples of a shard: their number, where each begins, and their values one after the other
train/index.json               how many and how large, and what a sample is made of
```

A sample is a dict: `key`, `columns` (JSON of its row of the samples table) and `meta` (JSON), text; then a numpy array per
member. What a sample lacks is an array whose first side is 0, so that no batch can be made of it unnoticed, or an empty
text. Laid out as release 0.2.76 of https://github.com/Lightning-AI/litData writes and reads it (`streaming/writer.py`,
`item_loader.py` and `serializers.py` there), which is not needed here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from curation.errors import ConfigError, DamageError
from curation.errors.words import counted
from curation.format import payload
from curation.format.names import split_member
from curation.pack.export.of_shards import ShardPiece, ShardSample, column_of
from curation.pack.export.pieces import ExportScope, Form
from curation.store.objects import Store

DTYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64")
"""In the order of their numbers there."""

MOST_CHUNK_BYTES = 2**32 - 1
"""Where a sample begins is a number of 32 bits."""

TEXTS = ("key", "columns", "meta")


@dataclass(frozen=True, slots=True)
class _Beside:
    """What is asked for beside the pieces."""

    index: Any
    target: Store


@dataclass(frozen=True, slots=True)
class Litdata(Form):
    """A chunk per shard, and an index per split."""

    name: ClassVar[str] = "litdata"
    of_shards: ClassVar[bool] = True
    noun: ClassVar[str] = "sample"

    def last_count(self, asked: ExportScope) -> int:
        """An index per split."""
        return len({piece.split for piece in asked.pieces})

    def prepared(self, asked: ExportScope, store: Store, to: Store) -> ExportScope:
        """With the target, where the sizes of chunks are looked up.

        Raises:
            ConfigError: a chunk could have more bytes than its offsets can tell, or two values would have one name.
        """
        for piece in asked.pieces:
            if (size := self.expected(piece)[1]) > MOST_CHUNK_BYTES:
                raise ConfigError(
                    f"--format litdata: {piece.name} has {counted(piece.count, 'sample')}, {size} bytes, expected "
                    f"{MOST_CHUNK_BYTES} at most in a chunk: say fewer samples_per_shard in [pack] and pack again"
                )
            _names(piece)
        return replace(asked, beside=_Beside(asked.beside, to))

    def expected(self, piece: ShardPiece) -> tuple[int, int]:
        """A chunk per shard."""
        entries = dict(piece.arrays) | dict(piece.annotations)
        return 1, piece.count * sum(entries[split_member(m).array].room for m in piece.members)

    def files(self, piece: ShardPiece) -> Iterator[tuple[str, bytes]]:
        """The chunk."""
        rows = piece.rows.to_pylist()
        items = [_item(piece, row, sample) for row, sample in zip(rows, piece.samples(), strict=True)]
        begin = np.cumsum([4 + 4 * (len(items) + 1), *map(len, items)])
        if begin[-1] > MOST_CHUNK_BYTES:
            raise ConfigError(
                f"--format litdata: {piece.name} comes to {begin[-1]} bytes: pack fewer samples_per_shard"
            )
        yield _file(piece), b"".join([_uint32(len(items)), begin.astype("<u4").tobytes(), *items])

    def last(self, asked: ExportScope, written: Sequence[Sequence[str]]) -> Mapping[str, bytes]:
        """The indexes.

        Raises:
            DamageError: a chunk that was written is gone.
        """
        target = asked.beside.target
        chunks: dict[str, list[dict[str, Any]]] = {}
        heads = target.heads([key for keys in written for key in keys])
        for piece, head in zip(asked.pieces, heads, strict=True):
            if head is None:
                raise DamageError(f"{target.where(_file(piece))}: was written and is gone: run the export again")
            name = _file(piece).rpartition("/")[2]
            chunk = {"chunk_bytes": head.size, "chunk_size": piece.count, "dim": None, "filename": name}
            chunks.setdefault(piece.split, []).append(chunk)
        config = _config(asked.pieces[0])
        return {
            f"{split}/index.json": (json.dumps({"chunks": its, "config": config}, sort_keys=True) + "\n").encode()
            for split, its in chunks.items()
        }


def _file(piece: ShardPiece) -> str:
    return f"{piece.split}/chunk-0-{piece.number}.bin"


def _names(piece: ShardPiece) -> list[str]:
    """What the values of a sample are called, in order. Raises ConfigError where two have one name."""
    names = [*TEXTS, *map(column_of, piece.members)]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise ConfigError(
            f"--format litdata: two values of a sample would be called {twice[0]!r}: rename the annotation"
        )
    return names


def _is_text(piece: ShardPiece, member: str) -> bool:
    note = piece.annotations.get(split_member(member).array)
    return note is not None and note.kind != "vectors"


def _config(piece: ShardPiece) -> dict[str, Any]:
    """What a sample is made of, by what the index of shards says of its members."""
    leaf: dict[str, Any] = {"type": None, "context": None, "children_spec": []}
    names = _names(piece)
    spec = {"type": "builtins.dict", "context": json.dumps(names), "children_spec": [leaf] * len(names)}
    return {
        "compression": None,
        "chunk_size": None,
        "chunk_bytes": MOST_CHUNK_BYTES,
        "data_format": ["str"] * len(TEXTS) + ["str" if _is_text(piece, m) else "numpy" for m in piece.members],
        "data_spec": json.dumps([1, spec]),  # version 1 of torch's `treespec_dumps`
        "encryption": None,
        "item_loader": "PyTreeLoader",
    }


def _item(piece: ShardPiece, row: Mapping[str, Any], sample: ShardSample) -> bytes:
    """A sample: the sizes of its values, and these."""
    columns = msgspec.json.encode(row, order="sorted")  # null for NaN, which is no JSON
    values = [sample.key.encode(), columns, sample.meta]
    where = f"{piece.store.where(piece.entry.name)}: {sample.key}"
    values += [_value(piece, member, sample.members.get(member), where) for member in piece.members]
    return b"".join([*(_uint32(len(v)) for v in values), *values])


def _value(piece: ShardPiece, member: str, data: bytes | None, where: str) -> bytes:
    its = split_member(member)
    if _is_text(piece, member):
        return data or b""
    if data is None:
        entry = piece.arrays.get(its.array)
        shape, dtype = (piece.annotations[its.array].shape, "float32") if entry is None else (entry.shape, entry.dtype)
        its_own = (
            shape if entry is not None and entry.steps is not None else shape[1:]
        )  # below an axis of time: none of it
        return _array(np.zeros((0, *its_own), dtype))
    return _array(payload.decode(data, its.encoding, f"{where}.{member}"))


def _array(values: NDArray[Any]) -> bytes:
    """Its dtype's number, how many sides, these, and its pixels."""
    head = [DTYPES.index(values.dtype.name), values.ndim, *values.shape]
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    return b"".join([*map(_uint32, head), np.ascontiguousarray(little).tobytes()])


def _uint32(number: int) -> bytes:
    return int(number).to_bytes(4, "little")
