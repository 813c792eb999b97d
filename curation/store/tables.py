"""Parquet files that a person names: how much they would come to, before they are read whole."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import ConfigError

MOST_ROWS = 20_000_000
"""A row is one place or one polygon."""

MOST_BYTES = 2 * 2**30
"""Of all columns, decoded and before they are encoded: packed, a file of a megabyte may have as much."""


def check(path: Path, where: str) -> None:
    """Passes where a Parquet file may be read whole, by what its footer says.

    Raises:
        ConfigError: it is none, or too large; errors begin with `where`.
    """
    try:
        found = pq.read_metadata(path)
    except (pa.ArrowException, OSError, ValueError) as err:
        raise ConfigError(f"{where}: not readable: {err}") from err
    size = sum(found.row_group(n).total_byte_size for n in range(found.num_row_groups))
    if found.num_rows > MOST_ROWS or size > MOST_BYTES:
        raise ConfigError(
            f"{where}: {found.num_rows} rows, {size} bytes unpacked, expected {MOST_ROWS} and {MOST_BYTES} at most: it is "
            "read whole; cut it down"
        )
