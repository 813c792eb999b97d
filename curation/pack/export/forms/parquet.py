"""Parquet files of samples with a card, as `datasets` of Hugging Face opens them: a file per shard.

```
README.md                                  the card: YAML for the hub, and words for people
data/train-00000-of-00004.parquet …        a row per sample; of split `val`, `data/validation-…`
```
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.errors import ConfigError, DamageError
from curation.format import payload
from curation.format.annotations import decoded
from curation.format.index import Index
from curation.format.names import split_member
from curation.pack.card.front import SPLITS, front_matter
from curation.pack.export.of_shards import ShardPiece, ShardSample, column_of
from curation.pack.export.pieces import ExportScope, Form
from curation.recipe import synthetic
from curation.store.objects import Store

GROUP_BYTES = 64 << 20
"""Pixels of a row group, before packing: what a reader that streams holds at a time."""

_VALUES = {
    pa.int8(): "int8", pa.int16(): "int16", pa.int32(): "int32", pa.int64(): "int64", pa.uint8(): "uint8",
    pa.uint16(): "uint16", pa.uint32(): "uint32", pa.uint64(): "uint64", pa.float32(): "float32",
    pa.float64(): "float64", pa.bool_(): "bool", pa.string(): "string",
}  # fmt: skip
"""Arrow types of columns, and how `datasets` calls them."""


@dataclass(frozen=True, slots=True)
class Parquet(Form):
    """A row per sample: columns of the samples table, `meta` (JSON), and an array per member that the sample has.

    Arrays are nested lists in their stored dtype, `Array3D` to `datasets`; what a sample lacks is null. Text and JSON of
    annotations are text, numbers and vectors lists of numbers.
    """

    name: ClassVar[str] = "parquet"
    of_shards: ClassVar[bool] = True
    noun: ClassVar[str] = "sample"

    def last_count(self, asked: ExportScope) -> int:
        """One."""
        return 1

    def prepared(self, asked: ExportScope, store: Store, to: Store) -> ExportScope:
        """As it is.

        Raises:
            ConfigError: arrays have a time axis, which is another length in each sample.
        """
        for piece in asked.pieces[:1]:
            names = dict.fromkeys(split_member(m).array for m in piece.members)
            if ragged := [n for n in names if n in piece.arrays and piece.arrays[n].steps is not None]:
                raise ConfigError(
                    f"--format parquet: {', '.join(ragged)} have a time axis, which this form does not hold: leave their "
                    "seasons out with --season, or take geotiff, cog, netcdf or npz, which have a file per step"
                )
        return asked

    def expected(self, piece: ShardPiece) -> tuple[int, int]:
        """A file per shard."""
        return 1, piece.count * _room(piece)

    def files(self, piece: ShardPiece) -> Iterator[tuple[str, bytes]]:
        """The file, made row group by row group."""
        sink = pa.BufferOutputStream()
        at_once = max(1, GROUP_BYTES // max(_room(piece), 1))
        with contextlib.ExitStack() as stack:
            writer: pq.ParquetWriter | None = None
            left = piece.samples()
            for first in range(0, piece.count, at_once):
                samples = list(itertools.islice(left, at_once))
                table = _table(piece, piece.rows.slice(first, len(samples)), samples)
                if writer is None:
                    how = {"compression": "zstd", "use_dictionary": False, "write_page_checksum": True}
                    writer = pq.ParquetWriter(sink, table.schema, **how)
                    stack.enter_context(writer)
                writer.write_table(table)
        yield _file(piece), sink.getvalue().to_pybytes()

    def last(self, asked: ExportScope, written: Sequence[Sequence[str]]) -> Mapping[str, bytes]:
        """The card."""
        return {"README.md": _card(asked).encode()}


def _table(piece: ShardPiece, rows: pa.Table, samples: Sequence[ShardSample]) -> pa.Table:
    """Samples as a table, whose schema has their features as `datasets` looks for them."""
    features: dict[str, Any] = {}
    columns: dict[str, pa.Array] = {}

    def add(name: str, values: pa.Array, feature: Any) -> None:
        if name in columns:
            raise ConfigError(
                f"{piece.store.where(piece.entry.name)}: two columns of a sample would be called {name!r}: rename the "
                "annotation or the column of the file of places"
            )
        columns[name], features[name] = values, feature

    for field in rows.schema:
        values = _plain(rows.column(field.name).combine_chunks())
        add(field.name, values, _feature(values.type))
    add("meta", pa.array([s.meta.decode() for s in samples], pa.string()), _value("string"))
    for member in piece.members:
        add(column_of(member), *_member(piece, member, samples))
    metadata = {"huggingface": json.dumps({"info": {"features": features}}, sort_keys=True)}
    schema = pa.schema([pa.field(n, v.type, metadata=_extension(features[n])) for n, v in columns.items()], metadata)
    return pa.table(list(columns.values()), schema=schema)


def _extension(feature: Mapping[str, Any]) -> dict[str, str] | None:
    """What Arrow knows a field of arrays by once `datasets` is imported; to everybody else it is nested lists."""
    if feature["_type"] != "Array3D":
        return None
    name = "datasets.features.features.Array3DExtensionType"
    its = json.dumps([feature["shape"], feature["dtype"]])
    return {"ARROW:extension:name": name, "ARROW:extension:metadata": its}


def _file(piece: ShardPiece) -> str:
    return f"data/{SPLITS.get(piece.split, piece.split)}-{piece.number:05d}-of-{piece.of:05d}.parquet"


def _room(piece: ShardPiece) -> int:
    """Bytes of a sample that has all of its members, before packing."""
    entries = dict(piece.arrays) | dict(piece.annotations)
    return sum(entries[split_member(m).array].room for m in piece.members)


def _plain(values: pa.Array) -> pa.Array:
    """Values of a column of the samples table: of one that says nothing of any sample, text."""
    kind = values.type
    if pa.types.is_null(kind) or pa.types.is_large_string(kind):
        return values.cast(pa.string())
    return values.dictionary_decode() if pa.types.is_dictionary(kind) else values


def _member(piece: ShardPiece, member: str, samples: Sequence[ShardSample]) -> tuple[pa.Array, Any]:
    """The column of a member, null where a sample lacks it, and its feature."""
    its = split_member(member)
    payloads = [s.members.get(member) for s in samples]
    where = [f"{piece.store.where(piece.entry.name)}: {s.key}.{member}" for s in samples]
    if (note := piece.annotations.get(its.array)) is not None:
        if note.kind in ("text", "json"):
            return pa.array([None if p is None else p.decode() for p in payloads], pa.string()), _value("string")
        found = [None if p is None else decoded(note, p, w) for p, w in zip(payloads, where, strict=True)]
        number = pa.float32() if note.kind == "vectors" else pa.float64()
        kind, feature = number, _value(_VALUES[number])
        for _ in note.shape:
            kind, feature = pa.list_(kind), _list(feature)
        values = [None if v is None else _nulls(np.asarray(v).tolist()) for v in found]
        return pa.array(values, kind), feature
    entry = piece.arrays[its.array]
    arrays = [
        None if p is None else _decoded(p, its.encoding, w, entry.shape) for p, w in zip(payloads, where, strict=True)
    ]
    feature = {"_type": "Array3D", "shape": list(entry.shape), "dtype": entry.dtype}
    return _nested(arrays, entry.shape, np.dtype(entry.dtype)), feature


def _decoded(data: bytes, encoding: str, where: str, shape: tuple[int, ...]) -> NDArray[Any]:
    found = payload.decode(data, encoding, where)
    if found.shape != shape:
        raise DamageError(f"{where}: is {found.shape}, the index says {shape}; pack again")
    return found


def _nested(arrays: Sequence[NDArray[Any] | None], shape: tuple[int, ...], dtype: np.dtype[Any]) -> pa.Array:
    """Arrays as nested lists, null where there is none, without a Python number made of any pixel."""
    there = [a for a in arrays if a is not None]
    flat = np.concatenate([a.ravel() for a in there]) if there else np.empty(0, dtype)
    values: pa.Array = pa.array(flat)
    for size in reversed(shape[1:]):
        ends = np.arange(len(values) // size + 1, dtype=np.int32) * np.int32(size)
        values = pa.ListArray.from_arrays(pa.array(ends), values)
    missing = np.array([a is None for a in arrays])
    ends = np.concatenate([[0], np.cumsum(~missing) * shape[0]]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), values, mask=pa.array(missing))


def _nulls(value: Any) -> Any:
    """Nested lists with None for NaN: a number that is not known."""
    if isinstance(value, list):
        return [_nulls(v) for v in value]
    return None if value != value else value


def _value(dtype: str) -> dict[str, Any]:
    return {"_type": "Value", "dtype": dtype}


def _list(feature: Any) -> dict[str, Any]:
    return {"_type": "Sequence", "feature": feature}


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """What `datasets` calls an Arrow type.

    Raises:
        ConfigError: it has no name for it.
    """
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _list(_feature(kind.value_type))
    if pa.types.is_timestamp(kind):
        return _value(f"timestamp[{kind.unit}{f', tz={kind.tz}' if kind.tz else ''}]")
    if kind not in _VALUES:
        raise ConfigError(
            f"--format parquet: the samples table has a column of {kind}, expected numbers, text or lists"
        )
    return _value(_VALUES[kind])


def _card(asked: ExportScope) -> str:
    """What the hub shows of a dataset."""
    index: Index = asked.beside
    pieces: Sequence[ShardPiece] = asked.pieces
    counts: dict[str, int] = {}
    for piece in pieces:
        counts[piece.split] = counts.get(piece.split, 0) + piece.count
    named = {split: SPLITS.get(split, split) for split in counts}
    members = pieces[0].members
    rows = [_row(index, m) for m in members if split_member(m).array in index.arrays]
    front = front_matter(
        index.title or index.dataset, None, sum(counts.values()), {n: f"data/{n}-*.parquet" for n in named.values()}
    )
    body = [
        f"# {index.title or index.dataset}",
        "",
        f"{', '.join(f'{n} samples in `{named[s]}`' for s, n in counts.items())}, exported by `curation` of dataset "
        f"`{index.dataset}` (content {index.content_sha256[:16]}).",
        "",
        *([made, ""] if (made := synthetic.about(index.counts.get("catalogs", {}))) else []),
        "```python",
        "from datasets import load_dataset",
        "",
        f'rows = load_dataset("path/of/this/folder", split="{next(iter(named.values()))}").with_format("numpy")',
        "```",
        "",
        "Arrays are (band, y, x) as they were packed; null, or NaN in a batch, is what a sample lacks. `meta` is JSON of "
        "all that is known of a sample: where it is, scenes, times, what was measured.",
        "",
        "| column | bands | shape | dtype | unit | nodata |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        "## Licences",
        "",
        *(f"- {s.title}: {s.licence}" for s in index.sources.values()),
        *(f"- {its.attribution}" for its in asked.owed.values()),
        "",
    ]
    if index.label_names:
        body += ["## Labels", "", f"In order: {', '.join(index.label_names)}.", ""]
    return "\n".join([*front, "", *body])


def _row(index: Index, member: str) -> str:
    its = index.arrays[split_member(member).array]
    cells = (
        f"`{column_of(member)}`",
        ", ".join(its.bands),
        " × ".join(map(str, its.shape)),
        its.dtype,
        its.unit,
        its.nodata,
    )
    return f"| {' | '.join(map(str, cells))} |"
