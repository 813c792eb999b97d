"""Tables of vectors by key and season, as Parquet: what `curate embed` writes, and what anyone else may."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.recipe import files
from curation.store import local

MOST_BYTES = 16 << 30
"""A million samples of four seasons with a thousand numbers."""


@dataclass(frozen=True, slots=True)
class VectorTable:
    """Vectors of one length."""

    sha256: str
    """Of the file."""
    rows: Mapping[tuple[str, str], int]
    """Key and season → row; of vectors that are of all seasons the season is empty."""
    values: NDArray[np.float32]
    """(row, D), all finite."""

    def of(self, key: str, season: str) -> NDArray[np.float32] | None:
        """The vector of a sample in a season, or of all of them; None where there is none."""
        row = self.rows.get((key, season), self.rows.get((key, "")))
        return None if row is None else self.values[row]


def read(path: Path, where: str) -> VectorTable:
    """The vectors of a Parquet file with columns `key`, `vector` (lists of numbers, all as long), and maybe `season`.

    Args:
        path: the file.
        where: who names it, for errors.

    Raises:
        ConfigError: there is no such file, or it is none of these, or has a row twice.
    """
    if not path.is_file():
        raise ConfigError(f"{where}: no such file {path}")
    local.check(path, f"{where}: {path}", MOST_BYTES)
    stat = path.stat()
    return _read(path, stat.st_mtime_ns, stat.st_size, where)


@functools.lru_cache(maxsize=2)
def _read(path: Path, _mtime_ns: int, _size: int, where: str) -> VectorTable:
    try:
        table = pq.read_table(io.BytesIO(path.read_bytes()))
        keys = table.column("key").to_pylist()
        seasons = table.column("season").to_pylist() if "season" in table.schema.names else [""] * len(keys)
        vectors = table.column("vector").combine_chunks()
        if vectors.null_count or vectors.flatten().null_count:
            raise ValueError("nulls in vector")
        values = np.asarray(vectors.flatten(), np.float32).reshape(len(keys), -1)
        if set(pc.list_value_length(vectors).unique().to_pylist()) != {values.shape[1]}:
            raise ValueError("vectors of several lengths")
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError, AttributeError) as err:
        raise ConfigError(
            f"{where}: {path}: {err}: expected Parquet with columns key (text), vector (lists of numbers, all of one "
            "length) and, of vectors by season, season"
        ) from err
    if not np.isfinite(values).all() or not values.shape[1]:
        raise ConfigError(f"{where}: {path}: vector has NaN or infinity, or no numbers: expected finite ones")
    rows: dict[tuple[str, str], int] = {}
    for n, (key, season) in enumerate(zip(keys, seasons, strict=True)):
        if (at := (str(key), season or "")) in rows:
            raise ConfigError(
                f"{where}: {path}: key {key}, season {season or 'none'} stands there twice; expected once"
            )
        rows[at] = n
    return VectorTable(files.sha256_of(path), rows, values)
