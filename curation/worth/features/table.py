"""Features: a row per sample and season, and the same as one Parquet file."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.errors import DamageError

Strings = NDArray[np.str_]
Vectors = NDArray[np.float32]
Degrees = NDArray[np.float64]

FORMAT, VERSION = "curation-features", 1
_TEXTS = ("keys", "places", "splits", "seasons", "regions")
"""Columns of the file, called in the singular there: `key`, `season` and `vector` are what anyone may write."""
_MARK = b"curation"
"""Key of the file's metadata that has all that is no column."""


@dataclass(frozen=True, slots=True)
class Features:
    """What patches come to as numbers. Rows are in the order of the shards: a sample's seasons follow one another."""

    name: str
    """Of the embedding: `handmade`, `convolutions`, that of a function or a table of the user's."""
    digest: str
    """Of the embedding: the way, its settings and code, and which bands it is given. Two tables may be compared where theirs
    are equal."""
    keys: Strings
    """(N,) ids of samples; of samples with children those of the children."""
    places: Strings
    """(N,) what is drawn when places are resampled: the sample's id. Seasons share it, and so do a sample's children."""
    splits: Strings
    """(N,)."""
    seasons: Strings
    """(N,) `static` of a dataset without seasons."""
    lon: Degrees
    """(N,) of the centre, degrees."""
    lat: Degrees
    """(N,)."""
    values: Vectors
    """(N, D) float32, all finite."""
    names: tuple[str, ...]
    """(D,) of the numbers."""
    regions: Strings = field(default_factory=lambda: np.zeros(0, np.str_))
    """(N,)."""
    columns: Mapping[str, Strings] = field(default_factory=dict)
    """Domain (`continent`) or column of the samples table → (N,) its value as text, empty where it is not known."""
    bands: Mapping[str, Vectors] = field(default_factory=dict)
    """`<array>.<band>` → (N,) mean over the patch's valid pixels, in the array's quantity (reflectance, dB)."""
    fractions: Mapping[str, Vectors] = field(default_factory=dict)
    """Label → (N,) its share of the patch, NaN where unknown."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Why patches have no row → how many: `nodata` (mostly missing), `lacks:<array>`, `no_vector`."""

    def __len__(self) -> int:
        return len(self.keys)

    def rows(self, chosen: NDArray[Any]) -> Features:
        """Some of its rows, by a mask or by their numbers; what was skipped is told of no part."""
        picked = {f.name: _picked(getattr(self, f.name), chosen) for f in fields(self) if f.name not in _WHOLE}
        return Features(**{n: getattr(self, n) for n in _WHOLE if n != "skipped"}, **picked)

    def to_bytes(self, **beside: Any) -> bytes:
        """The table as a Parquet file; the same features give the same bytes.

        Args:
            **beside: JSON values that are kept with it.
        """
        columns: dict[str, Any] = {n[:-1]: pa.array(getattr(self, n).tolist(), pa.string()) for n in _TEXTS}
        columns |= {"lon": self.lon, "lat": self.lat, "vector": _lists(self.values)}
        columns |= {f"column:{n}": pa.array(v.tolist(), pa.string()) for n, v in sorted(self.columns.items())}
        columns |= {f"band:{n}": v for n, v in self.bands.items()} | {
            f"label:{n}": v for n, v in self.fractions.items()
        }
        whole = {n: getattr(self, n) for n in _WHOLE} | {"names": list(self.names), "skipped": dict(self.skipped)}
        mark = json.dumps({"format": FORMAT, "version": VERSION, **whole, **beside}, sort_keys=True, ensure_ascii=False)
        out = io.BytesIO()
        pq.write_table(pa.table(columns).replace_schema_metadata({_MARK: mark.encode()}), out)
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> tuple[Features, dict[str, Any]]:
        """The table of a file, and what was kept with it.

        Raises:
            DamageError: it is no such file.
        """
        try:
            table = pq.read_table(io.BytesIO(data))
            mark = json.loads((table.schema.metadata or {})[_MARK])
            if (mark.pop("format"), mark.pop("version")) != (FORMAT, VERSION):
                raise ValueError(f"not of {FORMAT} {VERSION}")
            whole = {n: mark.pop(n) for n in _WHOLE}
            whole["names"] = tuple(whole["names"])
            texts: dict[str, Any] = {n: _text(table, n[:-1]) for n in _TEXTS}
            values = table.column("vector").combine_chunks()
            flat = np.asarray(values.flatten(), np.float32).reshape(len(table), len(whole["names"]))
            found = cls(
                **whole,
                **texts,
                lon=table.column("lon").to_numpy(),
                lat=table.column("lat").to_numpy(),
                values=flat,
                columns={n: _text(table, f"column:{n}") for n in _named(table, "column:")},
                bands={n: table.column(f"band:{n}").to_numpy() for n in _named(table, "band:")},
                fractions={n: table.column(f"label:{n}").to_numpy() for n in _named(table, "label:")},
            )
        except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as err:
            raise DamageError(f"{where}: no table of features ({err}); delete it, and make it again") from err
        return found, mark


_WHOLE = ("name", "digest", "names", "skipped")
"""Fields that are of all rows."""


def _picked(value: Any, chosen: NDArray[Any]) -> Any:
    if isinstance(value, Mapping):
        return {n: v[chosen] for n, v in value.items()}
    return value[chosen] if len(value) else value


def _lists(values: Vectors) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def _named(table: pa.Table, prefix: str) -> list[str]:
    return [n.removeprefix(prefix) for n in table.schema.names if n.startswith(prefix)]


def _text(table: pa.Table, name: str) -> Strings:
    return np.asarray(table.column(name).to_pylist(), np.str_)


def joined(parts: Sequence[Features]) -> Features:
    """The rows of several tables of one embedding, which have the same columns, one after the other."""
    first, skipped = parts[0], dict[str, int]()
    for part in parts:
        skipped = {n: skipped.get(n, 0) + part.skipped.get(n, 0) for n in {*skipped, *part.skipped}}
    of = {f.name: _together([getattr(p, f.name) for p in parts]) for f in fields(first) if f.name not in _WHOLE}
    return Features(first.name, first.digest, names=first.names, skipped=skipped, **of)


def _together(values: Sequence[Any]) -> Any:
    if isinstance(values[0], Mapping):
        return {n: np.concatenate([v[n] for v in values]) for n in values[0]}
    return np.concatenate(values)
