"""What polygons of a file of the user's say of points: those that hold them, wherever their CRS has its edges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyogrio.errors
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from curation.errors import ConfigError
from curation.errors.causes import one_line
from curation.places import antimeridian
from curation.places.grids import Floats

_PARQUET = (".parquet", ".geoparquet")

_SAME_DEG = 1e-6
"""By no more does a point lie beside itself that a CRS has: what is far from where it holds comes back elsewhere."""


def find(path: Path, column: str, lon: Floats, lat: Floats, where: str) -> list[set[str]]:
    """What a column says of the polygons that hold each point, whose edges belong to them; empty where none does.

    Points are looked for in the polygons' own CRS, so that none is torn; in degrees what is folded at the antimeridian is
    unfolded.

    Args:
        path: of the file, in any format of GDAL's or GeoParquet.
        column: its name.
        lon: degrees, -180 <= lon <= 180.
        lat: degrees.
        where: what errors begin with.

    Raises:
        ConfigError: the file cannot be read, has no such column or no CRS, or holds other shapes than polygons.
    """
    frame = _checked(path, column, where)
    values, out = frame[column].to_numpy(), [set[str]() for _ in range(len(lon))]
    for point, shape in _held(frame.geometry.to_numpy(), frame.crs, lon, lat):
        if values[shape] is not None and values[shape] == values[shape]:
            out[point].add(str(values[shape]))
    return out


def values(path: Path, column: str, where: str) -> set[str]:
    """What the column says of any polygon. Raises as `find` does."""
    return {str(v) for v in _checked(path, column, where)[column].to_numpy() if v is not None and v == v}


def _checked(path: Path, column: str, where: str) -> gpd.GeoDataFrame:
    frame = _read(path, where)
    if not isinstance(frame, gpd.GeoDataFrame):
        raise ConfigError(f"{where}: a table without shapes; expected polygons with a CRS and a column {column!r}")
    kinds = {str(kind) for kind in frame.geom_type}
    if column not in frame or frame.crs is None or not kinds <= {"Polygon", "MultiPolygon"}:
        raise ConfigError(
            f"{where}: columns {sorted(map(str, frame.columns))}, CRS {frame.crs}, shapes {sorted(kinds)}; expected "
            f"polygons with a CRS and a column {column!r}"
        )
    return frame


def _read(path: Path, where: str) -> Any:
    try:
        return gpd.read_parquet(path) if path.suffix.lower() in _PARQUET else gpd.read_file(path)
    except (pyogrio.errors.DataSourceError, pa.ArrowException, OSError, ValueError) as err:
        raise ConfigError(f"{where}: cannot be read as a vector file: {one_line(err)}") from err


def _held(shapes: NDArray[np.object_], crs: CRS, lon: Floats, lat: Floats) -> list[tuple[int, int]]:
    """Numbers of points and of the shapes that hold them."""
    x, y = _in_crs(crs, lon, lat)
    turns: tuple[float, ...] = (0.0,)
    if crs.is_geographic:
        shapes, turns = antimeridian.by_parts(shapes), (-360.0, 0.0, 360.0)
    out: list[tuple[int, int]] = []
    tree, there = shapely.STRtree(shapes), np.flatnonzero(np.isfinite(x))
    for turn in turns:
        found = tree.query(shapely.points(x[there] + turn, y[there]), predicate="intersects")
        out += zip(there[found[0]].tolist(), found[1].tolist(), strict=True)
    return out


def _in_crs(crs: CRS, lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """Where points lie in a CRS; NaN where it has no place for them."""
    to = Transformer.from_crs(4326, crs, always_xy=True)
    x, y = (np.asarray(v, np.float64) for v in to.transform(lon, lat))
    back_lon, back_lat = (np.asarray(v, np.float64) for v in to.transform(x, y, direction="INVERSE"))
    with np.errstate(invalid="ignore"):
        aside = np.abs((back_lon - lon + 180) % 360 - 180) * np.cos(np.radians(lat))
        lost = ~(np.isfinite(x) & np.isfinite(y) & (aside <= _SAME_DEG) & (np.abs(back_lat - lat) <= _SAME_DEG))
    return np.where(lost, np.nan, x), np.where(lost, np.nan, y)
