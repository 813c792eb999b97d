"""Shapes of vector files near a place: GeoPackage, GeoParquet, GeoJSON, Shapefile. Shapes that are invalid are mended.

Small files are held whole, with an index of where their shapes are; of larger ones only what lies near is read, by the index
that a file has itself: a GeoPackage's, a GeoParquet's column of bounds, a Shapefile's bounds of each shape.
"""

from __future__ import annotations

import functools
import json
import math
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cachetools
import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pyogrio
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from curation.errors import ConfigError, ReadError
from curation.errors.causes import one_line
from curation.errors.codes import Code
from curation.errors.words import did_you_mean
from curation.places import antimeridian, tablefile
from curation.store import local, tables

Box = tuple[float, float, float, float]
"""Least x and y, greatest x and y."""

WHOLE_BYTES = 32 * 2**20
"""Of a file that is held whole; in memory it takes ten times as much."""

_HELD_BYTES = 256 * 2**20
"""Of the files whose layers a process holds, those used last; and one at least."""

PARQUET = (".parquet", ".geoparquet")

_ALL_AT_ONCE = (".geojson", ".json")
"""What GDAL reads whole, whatever is asked of it."""


class BadShapesError(ReadError):
    """A vector file cannot be read."""

    code = Code.BAD_SHAPES


class NoCrsError(ReadError):
    """A vector file does not state where on Earth its coordinates are."""

    code = Code.NO_CRS


class NoColumnError(ReadError):
    """A column is not there that shapes are asked by."""

    code = Code.NO_COLUMN


class NoShapesError(ReadError):
    """A layer is empty."""

    code = Code.NO_SHAPES


@dataclass(frozen=True, slots=True)
class Shapes:
    """Some shapes of a layer."""

    geometry: NDArray[np.object_]
    """Valid, in two dimensions, in the layer's CRS."""
    mended: NDArray[np.bool_]
    """Which of them were not valid as they stood there."""
    columns: dict[str, list[Any]]
    """Column → its value for each; None where it has none."""
    rows: list[Any]
    """What tells the row of each from all others: its file, layer and row."""

    def taken(self, keep: NDArray[Any]) -> Shapes:
        """Those of them that are kept."""
        chosen = np.arange(len(self.geometry))[keep]
        columns = {name: [values[k] for k in chosen] for name, values in self.columns.items()}
        return Shapes(self.geometry[chosen], self.mended[chosen], columns, [self.rows[k] for k in chosen])


@dataclass(frozen=True, slots=True)
class ShapeLayer:
    """One layer of a vector file."""

    path: Path
    name: str
    """Empty of a file that has none."""
    crs: CRS
    count: int
    """How many shapes it has."""
    bounds: Box | None
    """Of all of its shapes, in its CRS; None where it has none."""
    size: int
    changed_ns: int

    @property
    def is_held(self) -> bool:
        """Whether it is read whole, and held."""
        return self.size <= WHOLE_BYTES or self.path.suffix.lower() in _ALL_AT_ONCE or not _has_index(self)

    def near(self, boxes: Sequence[Box], columns: Sequence[str]) -> Shapes:
        """Shapes whose bounds touch any of some boxes, each once, with some columns, in the order of the file.

        Of a file that is not held those of one box come after those of another.

        Raises:
            NoColumnError: a column is not there.
            BadShapesError: the file cannot be read.
        """
        if self.is_held:
            held = _held(self)
            found = np.unique(np.concatenate([held.tree.query(shapely.box(*box)) for box in boxes]))
            _check_columns(self, list(held.frame.columns), columns)
            frame, its = held.frame.iloc[found], held.shapes
            return Shapes(
                its[found],
                held.mended[found],
                {c: _values(self, frame, c) for c in columns},
                self._rows(found.tolist()),
            )
        parts = [_read(self, columns, bbox=box) for box in boxes]
        rows = [row for p in parts for row in p.rows]
        every = Shapes(
            np.concatenate([p.geometry for p in parts]),
            np.concatenate([p.mended for p in parts]),
            {c: [v for p in parts for v in p.columns[c]] for c in columns},
            rows,
        )
        first = {row: k for k, row in reversed([*enumerate(rows)])}  # two boxes may touch one shape
        return every.taken(np.array(sorted(first.values()), np.int64))

    def of_row(self, row: int, columns: Sequence[str]) -> Shapes:
        """The shape of one row, counted from 0, with some columns. Raises as `near` does, and where there is no such row."""
        if row >= self.count:
            raise BadShapesError(
                f"{self.path}: has {self.count} rows, and row {row + 1} is asked for: it is another file"
            )
        if self.is_held:
            held = _held(self)
            _check_columns(self, list(held.frame.columns), columns)
            frame, one = held.frame.iloc[row : row + 1], slice(row, row + 1)
            return Shapes(
                held.shapes[one], held.mended[one], {c: _values(self, frame, c) for c in columns}, self._rows([row])
            )
        return _read(self, columns, rows=slice(row, row + 1))

    def _rows(self, numbers: Sequence[int]) -> list[Any]:
        return [(self.path, self.name, number) for number in numbers]


@dataclass(frozen=True, slots=True)
class _Held:
    frame: gpd.GeoDataFrame
    shapes: NDArray[np.object_]
    mended: NDArray[np.bool_]
    tree: shapely.STRtree
    bytes: int
    """Of its file."""


def opened(path: Path, layer: str | None, key: str) -> ShapeLayer:
    """A layer of a vector file.

    Args:
        path: of it.
        layer: its name; the only one with shapes where None.
        key: where that is said, which errors name.

    Raises:
        BadShapesError: it cannot be read, or has no such layer.
        NoCrsError: it states no CRS.
    """
    try:
        local.check(path, str(path), 2**63)
        size = sum(p.stat().st_size for p in local.parts(path))
        return _opened(path, layer, key, size, path.stat().st_mtime_ns)
    except ReadError:
        raise
    except ConfigError as err:  # of whoever reads tables of places
        raise BadShapesError(one_line(err)) from err
    except Exception as err:  # each of the readers' libraries has error classes of its own
        raise BadShapesError(f"{path}: cannot be read: {one_line(err)}") from err


def every(path: Path) -> list[ShapeLayer]:
    """All layers of a vector file that have shapes. Raises as `opened` does."""
    if path.suffix.lower() in PARQUET or not path.is_file():
        return [opened(path, None, "layer")]
    try:
        found = gpd.list_layers(path)
    except Exception as err:  # each of the readers' libraries has error classes of its own
        raise BadShapesError(f"{path}: not readable as a vector file: {one_line(err)}") from err
    return [opened(path, name, "layer") for name in found["name"][found["geometry_type"].notna()]]


@functools.lru_cache(maxsize=256)
def _opened(path: Path, layer: str | None, key: str, size: int, changed_ns: int) -> ShapeLayer:
    if path.suffix.lower() in PARQUET:
        if layer is not None:
            raise BadShapesError(f"{path}: {key} = {layer!r}: GeoParquet has no layers; leave it out")
        return _parquet(path, size, changed_ns)
    if path.suffix.lower() in _ALL_AT_ONCE:
        _check_text(path)
    name = tablefile.layer_of(path, layer, key)
    said = pyogrio.read_info(path, layer=name, force_feature_count=True, force_total_bounds=True)
    if said["crs"] is None:
        raise NoCrsError(f"{path}: layer {name!r} states no CRS{_lost(path)}; set one: ogr2ogr -a_srs EPSG:4326 out in")
    bounds = said["total_bounds"] if said["features"] else None
    return ShapeLayer(path, name, CRS.from_user_input(said["crs"]), int(said["features"]), bounds, size, changed_ns)


def _parquet(path: Path, size: int, changed_ns: int) -> ShapeLayer:
    meta = pq.read_metadata(path)
    said = json.loads((meta.metadata or {}).get(b"geo", b"null"))
    if said is None:
        raise BadShapesError(f"{path}: has no shapes, expected GeoParquet, whose metadata have 'geo'")
    column = said["columns"][said["primary_column"]]
    crs = column.get("crs", "OGC:CRS84")  # the specification's default
    if crs is None:
        raise NoCrsError(f"{path}: states no CRS; set one (geopandas: set_crs)")
    layer = ShapeLayer(path, "", CRS.from_user_input(crs), meta.num_rows, None, size, changed_ns)
    if not meta.num_rows:
        return layer
    stated = column.get("bbox")
    if stated is None:
        _check_size(layer)
        bounds = tuple(map(float, gpd.read_parquet(path, columns=[said["primary_column"]]).total_bounds))
    else:
        half = len(stated) // 2
        bounds = (*map(float, stated[:2]), *map(float, stated[half : half + 2]))
    return ShapeLayer(path, "", layer.crs, layer.count, (bounds[0], bounds[1], bounds[2], bounds[3]), size, changed_ns)


def _lost(path: Path) -> str:
    return f": its {path.stem}.prj does not lie beside it" if path.suffix.lower() == ".shp" else ""


def _check_text(path: Path) -> None:
    local.check(path, str(path))  # that it is small enough to be read whole
    try:
        path.read_bytes().decode()
    except UnicodeDecodeError as err:
        raise BadShapesError(f"{path}: not UTF-8 (byte {err.start}): save it as UTF-8") from None


def _has_index(layer: ShapeLayer) -> bool:
    if layer.path.suffix.lower() not in PARQUET:
        return True
    said = json.loads(pq.read_metadata(layer.path).metadata[b"geo"])
    return "covering" in said["columns"][said["primary_column"]]


def _check_size(layer: ShapeLayer) -> None:
    """Passes where a file may be read whole."""
    if layer.size > local.MOST_BYTES:
        raise BadShapesError(
            f"{layer.path}: {layer.size:,} bytes, and no index of where its shapes are: it would have to be read whole, "
            f"expected at most {local.MOST_BYTES:,}; write it as GeoPackage, or as GeoParquet with bounds (geopandas: "
            "write_covering_bbox=True)"
        )
    if layer.path.suffix.lower() in PARQUET:
        tables.check(layer.path, str(layer.path))


def _weight(held: _Held) -> int:
    return min(held.bytes, _HELD_BYTES)


_cache: cachetools.LRUCache[Any, _Held] = cachetools.LRUCache(_HELD_BYTES, _weight)


def _held(layer: ShapeLayer) -> _Held:
    _check_size(layer)
    return _whole(layer)


@cachetools.cached(_cache, lock=threading.Lock())
def _whole(layer: ShapeLayer) -> _Held:
    frame = _frame(layer)
    shapes, mended = _mended(frame, layer)
    return _Held(frame, shapes, mended, shapely.STRtree(shapes), layer.size)


def _read(layer: ShapeLayer, columns: Sequence[str], **which: Any) -> Shapes:
    known = (
        pq.read_schema(layer.path).names
        if layer.path.suffix.lower() in PARQUET
        else list(pyogrio.read_info(layer.path, layer=layer.name)["fields"])
    )
    _check_columns(layer, known, columns)
    frame = _frame(layer, columns=list(columns), **which)
    shapes, mended = _mended(frame, layer)
    return Shapes(shapes, mended, {c: _values(layer, frame, c) for c in columns}, _rows(frame, layer))


def _rows(frame: gpd.GeoDataFrame, layer: ShapeLayer) -> list[Any]:
    """What tells rows apart where a reader does not number them: the shape as it stands there, and which of such it is."""
    seen: Counter[bytes | None] = Counter()
    out = []
    for text in shapely.to_wkb(frame.geometry.to_numpy()):
        out.append((layer.path, layer.name, text, seen[text]))
        seen[text] += 1
    return out


def _frame(layer: ShapeLayer, **how: Any) -> gpd.GeoDataFrame:
    try:
        if layer.path.suffix.lower() not in PARQUET:
            return tablefile.vector(layer.path, layer.name, **how)
        if "rows" in how:  # what is not held has no number of its rows
            return _frame(layer).iloc[how["rows"]]
        if "columns" in how:
            said = json.loads(pq.read_metadata(layer.path).metadata[b"geo"])
            how["columns"] = [*how["columns"], said["primary_column"]]
        return gpd.read_parquet(layer.path, **how)
    except ConfigError as err:
        raise BadShapesError(one_line(err)) from err
    except Exception as err:  # each of the readers' libraries has error classes of its own
        raise BadShapesError(f"{layer.path}: not readable: {one_line(err)}") from err


def _values(layer: ShapeLayer, frame: gpd.GeoDataFrame, column: str) -> list[Any]:
    its = frame[column]
    try:
        return [value if there else None for value, there in zip(its.tolist(), its.notna().tolist(), strict=True)]
    except UnicodeDecodeError as err:
        raise BadShapesError(
            f"{layer.path}: column {column!r} is not UTF-8 ({err.object!r}): save it as UTF-8; of a Shapefile its .cpg says "
            "what it is in"
        ) from None


def _check_columns(layer: ShapeLayer, known: Sequence[str], columns: Sequence[str]) -> None:
    for column in columns:
        if column not in known:
            names = [n for n in known if n != "geometry"]
            raise NoColumnError(
                f"{layer.path}: no column {column!r}; {did_you_mean(column, names)}columns: {', '.join(names) or 'none'}"
            )


def _mended(frame: gpd.GeoDataFrame, layer: ShapeLayer) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    """Valid shapes, and which were not; what is empty, or nothing, is an empty shape."""
    raw: NDArray[np.object_] = frame.geometry.to_numpy()
    shapes: NDArray[np.object_] = shapely.force_2d(raw)
    shapes[shapely.is_missing(raw)] = shapely.GeometryCollection()
    if not np.isfinite(shapely.get_coordinates(shapes)).all():
        raise BadShapesError(f"{layer.path}: a shape's coordinates are not finite; mend it in the file")
    if layer.crs.is_geographic:
        shapes = antimeridian.by_parts(shapes)
    bad = ~shapely.is_valid(shapes)
    if bad.any():
        shapes[bad] = [_valid(shape) for shape in shapes[bad]]
    return shapes, bad


def _valid(shape: shapely.Geometry) -> shapely.Geometry:
    """The shape as GEOS mends it, without what has fewer dimensions by then: a spike is no area."""
    made = shapely.make_valid(shape)
    parts = shapely.get_parts(made)
    return shapely.union_all(parts[shapely.get_dimensions(parts) == shapely.get_dimensions(shape)])


def extent(layer: ShapeLayer) -> list[Box]:
    """The box of all shapes of a layer, in its CRS, in parts of at most 90° each; none where it is empty."""
    if layer.bounds is None:
        return []
    west, south, east, north = layer.bounds
    margin = 1e-6 * max(map(abs, layer.bounds)) + 1e-9  # a point's box has an area, too
    parts = max(1, math.ceil((east - west) / 90)) if layer.crs.is_geographic else 1
    edges = np.linspace(west - margin, east + margin, parts + 1).tolist()
    return [(edges[k], south - margin, edges[k + 1], north + margin) for k in range(parts)]
