"""A file of places as a table: text, Parquet, or a vector file that GDAL reads. What its rows mean, `from_file` says.

Numbers that are missing in some rows stay what they are: whole numbers whole, true and false true and false.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import ConfigError
from curation.errors.words import did_you_mean
from curation.store import local, tables

VECTOR = (".geojson", ".json", ".gpkg", ".shp")
"""Endings of files that GDAL reads."""
ENDINGS = (".csv", ".parquet", ".geoparquet", *VECTOR)

_TYPED = {"types_mapper": pd.ArrowDtype}
"""Columns as Arrow has them: pandas' own take a whole number beside a missing one for a number with a fraction."""


_NO_UTF_8 = "holds text that is no UTF-8; save it as UTF-8"


@dataclass(frozen=True, slots=True)
class PlacesTable:
    """The rows of a file."""

    frame: pd.DataFrame
    """With a geometry a GeoDataFrame."""
    path: Path
    left_out: dict[str, str] = field(default_factory=dict)
    """Columns of the file that are not in it → why."""


def read(path: Path, layer: str | None = None, texts: Collection[str] = (), once: Collection[str] = ()) -> PlacesTable:
    """The table of a file.

    Args:
        path: of it.
        layer: which of its layers; the only one with shapes where None.
        texts: columns that are text, whatever a CSV file seems to hold: ids, which may begin with zeros.
        once: columns, in lower case, of which a CSV file may have one alone.

    Raises:
        ConfigError: it is none of these files, cannot be read, or has several layers of which none is named.
    """
    local.check(path, str(path))
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ConfigError(f"{path}: ending {path.suffix!r}: expected one of {', '.join(ENDINGS)}")
    if layer is not None and ending not in VECTOR:
        raise ConfigError(
            f"{path}: [places] layer = {layer!r}: a file that ends in {ending} has no layers; leave it out"
        )
    try:
        if ending == ".csv":
            return _csv(path, texts, once)
        if ending in VECTOR:
            return PlacesTable(_vector(path, layer), path)
        tables.check(path, str(path))
        return _parquet(path, texts)
    except ConfigError:
        raise
    except UnicodeDecodeError as err:
        raise ConfigError(f"{path}: not UTF-8 (byte {err.start}): save it as UTF-8") from err
    except (ValueError, OSError) as err:  # pyarrow's and pandas' own errors are subclasses of these
        raise ConfigError(f"{path}: not readable: {err}") from err


def _parquet(path: Path, texts: Collection[str]) -> PlacesTable:
    """The table of a Parquet file, without columns of text that is no UTF-8, which nothing can have.

    Raises:
        ConfigError: one of these is of ids.
    """
    schema = pq.read_schema(path)
    odd = [f.name for f in schema if not pa.types.is_primitive(f.type) and not pa.types.is_binary(f.type)]
    odd = [name for name in dict.fromkeys(odd) if not _is_utf_8(pq.read_table(path, columns=[name]))]
    if wanted := [name for name in odd if name in texts]:
        raise ConfigError(f"{path}: column {wanted[0]!r}: {_NO_UTF_8}")
    names = [name for name in schema.names if name not in odd] if odd else None
    left_out = dict.fromkeys(odd, _NO_UTF_8)
    if b"geo" in (schema.metadata or {}):
        return PlacesTable(gpd.read_parquet(path, columns=names, to_pandas_kwargs=_TYPED), path, left_out)
    return PlacesTable(pd.read_parquet(path, columns=names, dtype_backend="pyarrow"), path, left_out)


def _is_utf_8(table: pa.Table) -> bool:
    try:
        table.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _csv(path: Path, texts: Collection[str], once: Collection[str]) -> PlacesTable:
    """The table of a CSV file, where each value stands under its own name.

    pandas takes what rows have more than the header for names of rows, and moves all else to the left. It reads over a BOM
    of UTF-8 itself.

    Raises:
        ConfigError: rows have more values than the header has names, a name of `once` stands there twice, or something else
            than commas separates values.
    """
    with path.open("rb") as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise ConfigError(f"{path}: UTF-16, expected UTF-8: save it as 'CSV UTF-8'")
    first = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False, skipinitialspace=True)
    header = [str(name).strip() for name in first.iloc[0]]
    if len(header) == 1 and (between := next((c for c in ";\t|" if c in header[0]), None)):
        raise ConfigError(
            f"{path}: its header is {header[0]!r}: {between!r} separates values, expected commas; save it with commas, "
            "and with points in numbers"
        )
    frame = pd.read_csv(
        path,
        dtype=dict.fromkeys(texts, str),
        dtype_backend="numpy_nullable",
        skipinitialspace=True,
        low_memory=False,  # a column is of one type, however long it is
    )
    if not isinstance(frame.index, pd.RangeIndex):
        raise ConfigError(
            f"{path}: rows have {frame.index.nlevels + len(frame.columns)} values, the header {len(frame.columns)} names: "
            "which is which is not known; give each a name, and mind commas at ends of lines"
        )
    lower = [name.lower() for name in header]
    if twice := sorted(name for name in once if lower.count(name) > 1):
        raise ConfigError(f"{path}: columns {twice} stand there twice; keep one of each")
    frame.columns = pd.Index(header)
    left_out = {name: "stands there twice" for name in header if header.count(name) > 1}
    left_out |= {name: "has no name" for name in header if not name}
    return PlacesTable(frame.loc[:, [name not in left_out for name in header]], path, left_out)


def _vector(path: Path, layer: str | None) -> gpd.GeoDataFrame:
    """The layer of a file that GDAL reads."""
    for part in local.parts(path):
        local.check(part, str(part))
    return vector(path, layer_of(path, layer))


def layer_of(path: Path, layer: str | None, key: str = "[places] layer") -> str:
    """Which layer of a vector file that GDAL reads is meant, once the file is whole: the only one with shapes where None.

    Args:
        path: of it.
        layer: what says so.
        key: where that is said, which errors name.

    Raises:
        ConfigError: parts of it are not there, it has changes that are not in it, it cannot be read, or which
            layer is meant is not known.
    """
    beside = {part.suffix.lower() for part in local.parts(path)}
    if path.suffix.lower() == ".shp" and (lacks := sorted({".dbf", ".shx"} - beside)):
        raise ConfigError(
            f"{path}: a Shapefile is several files, and {', '.join(path.stem + end for end in lacks)} "
            "does not lie beside it: copy all of them"
        )
    unsaved = path.with_name(f"{path.name}-wal")
    if unsaved.exists() and unsaved.stat().st_size:
        raise ConfigError(f"{path}: {unsaved.name} beside it has changes that are not in it: close what has it open")
    try:
        found = gpd.list_layers(path)
    except Exception as err:  # each of the readers' libraries has error classes of its own
        raise ConfigError(f"{path}: not readable as a vector file: {err}") from err
    known = found["name"][found["geometry_type"].notna()].tolist()
    if layer is not None and layer not in known:
        raise ConfigError(
            f"{path}: {key} = {layer!r}: no such layer with shapes; {did_you_mean(layer, known)}"
            f"it has: {', '.join(known) or 'none'}"
        )
    if layer is None and len(known) != 1:
        which = f": {', '.join(known)}; say which with {key}" if known else ""
        raise ConfigError(f"{path}: {len(known)} layers with shapes, expected one{which}")
    return layer or str(known[0])


def vector(path: Path, layer: str, **how: Any) -> gpd.GeoDataFrame:
    """A layer of a vector file that GDAL reads, columns typed as Arrow has them.

    Args:
        path: of it.
        layer: as `layer_of` has it.
        how: what `geopandas.read_file` takes beside: `bbox`, `columns`.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return gpd.read_file(path, layer=layer, use_arrow=True, arrow_to_pandas_kwargs=_TYPED, **how)
    except Exception as err:  # each of the readers' libraries has error classes of its own
        raise ConfigError(f"{path}: not readable as a vector file: {err}") from err
