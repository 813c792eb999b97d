"""Places that a file gives: points are snapped, footprints kept exactly as they are. Reads the file, writes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from curation.errors import ConfigError
from curation.errors.codes import Code
from curation.model import LOCATION_ID
from curation.places import grid, grids, user_columns
from curation.places.grids import Floats, Ints, Places
from curation.store import local, tables

ID_COLUMNS = ("id", "location_id", "sample_id")
"""Where ids are looked for, in order."""
POINT_COLUMNS = (("lon", "lat"), ("center_lon", "center_lat"), ("longitude", "latitude"))
"""Where points are looked for, in order."""
CRS_COLUMNS = ("epsg", "crs", "tile_crs", "utm_crs")
"""Where the CRS of a footprint is looked for, in order: an EPSG code, or `EPSG:32632`."""

TOLERANCE_M = 0.05
"""A footprint is a square on a grid where its outline strays from one by no more."""


@dataclass(frozen=True, slots=True)
class PlacesFile:
    """The places of a file, a row each, in its order."""

    ids: list[str]
    """Given, or following from the grid."""
    places: Places
    """Their grids."""
    reasons: list[Code | None]
    """Why a row is no place of its own: `same_grid` or `repeated`; None of the others."""
    columns: dict[str, pa.Array] = field(default_factory=dict)
    """What else is asked of each row."""

    def usable(self) -> Ints:
        """The rows that are places, counted from 0, ascending."""
        return np.flatnonzero([reason is None for reason in self.reasons])


def read(path: Path, size_m: float, columns: Sequence[str] = ()) -> PlacesFile:
    """The places of a CSV, Parquet or GeoParquet file.

    Grids are taken from the first of these that the file has:
    - UTM columns `x0_m`, `y0_m` (west and north edge) and a CRS column, and `size_m` where there is one: kept exactly;
    - polygons: kept exactly, in the CRS in which the polygon is a square along the axes (the row's CRS column, else the
      file's own projected CRS, else the centre's UTM zone or a neighbour of it), to the millimetre;
    - points (geometry, or columns `lon` and `lat`, `center_lon` and `center_lat`): snapped as draws are.

    Ids are kept from `id`, `location_id` or `sample_id`, else they follow from the grid. Of rows with the same grid the
    first is a place: another under the same id `repeated` it (tables with a row per image), one under another id, or under
    none where ids follow from grids, is of the `same_grid`, and its sample would be the same. Rows are counted from 1,
    without a header, in errors. `columns` are asked for, too (`user_columns.columns`).

    Raises:
        ConfigError: the file has no places in any of these forms, an id breaks the rule or stands for two grids, a
            footprint is no square or its side is not the recipe's.
    """
    table = _table(path)
    if not len(table):
        raise ConfigError(f"{path}: no rows; expected one per place")
    found = _grids(table, size_m, path)
    ids = _ids(table, found, size_m, path)
    reasons = _reasons(ids, found, path, has_ids=_raw_ids(table) is not None)
    return PlacesFile(ids, found, reasons, user_columns.columns(table, columns, path))


def _table(path: Path) -> pd.DataFrame:
    text = dict.fromkeys(ID_COLUMNS, str)
    local.check(path, str(path))
    try:
        if path.suffix.lower() == ".csv":
            return _whole_rows(pd.read_csv(path, dtype=text), path)
        if path.suffix.lower() in (".parquet", ".geoparquet"):
            tables.check(path, str(path))
            has_geometry = b"geo" in (pq.read_schema(path).metadata or {})
            return gpd.read_parquet(path) if has_geometry else pd.read_parquet(path)
    except ConfigError:
        raise
    except (ValueError, OSError) as err:  # pyarrow's and pandas' own errors are subclasses of these
        raise ConfigError(f"{path}: not readable: {err}") from err
    raise ConfigError(f"{path}: ending {path.suffix!r}: expected .csv, .parquet or .geoparquet")


def _whole_rows(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table of a CSV file, where each value stands under its own name.

    pandas takes what rows have more than the header for names of rows, and moves all else to the left.

    Raises:
        ConfigError: rows have more values than the header has names, or a name that is read stands there twice.
    """
    if not isinstance(table.index, pd.RangeIndex):
        raise ConfigError(
            f"{path}: rows have {table.index.nlevels + len(table.columns)} values, the header {len(table.columns)} names: "
            "which is which is not known; give each a name, and mind commas at ends of lines"
        )
    header = pd.read_csv(path, header=None, nrows=1, dtype=str).iloc[0].tolist()
    read = {*ID_COLUMNS, *CRS_COLUMNS, *(c for pair in POINT_COLUMNS for c in pair), "x0_m", "y0_m", "size_m"}
    if twice := sorted(name for name in read if header.count(name) > 1):
        raise ConfigError(f"{path}: columns {twice} stand there twice; keep one of each")
    return table


def _grids(table: pd.DataFrame, size_m: float, path: Path) -> Places:
    """The grid of every row."""
    crs_column = next((c for c in CRS_COLUMNS if c in table), None)
    if {"x0_m", "y0_m"} <= set(table) and crs_column:
        return _from_columns(table, crs_column, size_m, path)
    if isinstance(table, gpd.GeoDataFrame):
        return _from_geometry(table, crs_column, size_m, path)
    for lon, lat in POINT_COLUMNS:
        if {lon, lat} <= set(table):
            return _from_points(_numbers(table, lon, path), _numbers(table, lat, path), size_m, path)
    raise ConfigError(
        f"{path}: columns {list(table)}: expected x0_m, y0_m and epsg, or a geometry, or one of "
        + ", ".join(f"{lon} and {lat}" for lon, lat in POINT_COLUMNS)
    )


def _from_columns(table: pd.DataFrame, crs_column: str, size_m: float, path: Path) -> Places:
    if "size_m" in table:
        _check_sides(_numbers(table, "size_m", path), size_m, path)
    x0, y0 = _numbers(table, "x0_m", path), _numbers(table, "y0_m", path)
    return grids.of_grids(_codes(table, crs_column, path), x0, y0, size_m)


def _from_points(lon: Floats, lat: Floats, size_m: float, path: Path) -> Places:
    bad = ~(grids.has_utm(lat) & (np.abs(lon) <= 360))
    if bad.any():
        k = int(np.flatnonzero(bad)[0])
        swapped = grids.has_utm(lon[bad]).all() and (np.abs(lat) > 90).any()
        raise ConfigError(
            f"{path}: row {k + 1}: lon {lon[k]}, lat {lat[k]}: expected degrees, {grid.MIN_LAT:g} <= lat < {grid.MAX_LAT:g} "
            f"(UTM's limits); {'did lon and lat change places? Else ' if swapped else ''}remove the row "
            f"({int(bad.sum())} such rows)"
        )
    return grids.snap(lon, lat, size_m)


def _from_geometry(table: gpd.GeoDataFrame, crs_column: str | None, size_m: float, path: Path) -> Places:
    if table.crs is None:
        raise ConfigError(f"{path}: the geometry has no CRS; set one (geopandas: set_crs)")
    shapes = table.geometry.to_numpy()
    kinds = set(table.geom_type)
    nowhere = np.flatnonzero((table.geometry.isna() | table.geometry.is_empty).to_numpy())
    if len(nowhere):
        raise ConfigError(
            f"{path}: row {nowhere[0] + 1}: its geometry is empty ({len(nowhere)} such rows); remove the row"
        )
    if kinds == {"Point"}:
        lonlat = shapely.get_coordinates(table.geometry.to_crs(4326).to_numpy())
        return _from_points(lonlat[:, 0], lonlat[:, 1], size_m, path)
    if not kinds <= {"Polygon", "MultiPolygon"}:
        raise ConfigError(f"{path}: geometries are {sorted(map(str, kinds))}: expected all points or all polygons")
    return _squares(table, shapes, _candidates(table, crs_column, path), size_m, path)


def _candidates(table: gpd.GeoDataFrame, crs_column: str | None, path: Path) -> list[Ints]:
    """The CRS codes in which a row's polygon may be a square, most likely first."""
    if crs_column:
        return [_codes(table, crs_column, path)]
    if table.crs.is_projected and table.crs.to_epsg():
        return [np.full(len(table), table.crs.to_epsg(), dtype=np.int64)]
    centres = shapely.get_coordinates(shapely.centroid(table.geometry.to_crs(4326).to_numpy()))
    home = grids.utm_epsgs(centres[:, 0], centres[:, 1])
    zone, hemisphere = home % 100 - 1, home // 100 * 100 + 1
    return [home, (zone + 1) % 60 + hemisphere, (zone - 1) % 60 + hemisphere]


def _squares(
    table: gpd.GeoDataFrame, shapes: NDArray[np.object_], candidates: list[Ints], size_m: float, path: Path
) -> Places:
    """The grids of square polygons.

    A row whose own CRS does not fit takes the grid of a row of the same id and the very same polygon whose CRS does: v1.1 of
    SSL4EO-S12 names the CRS of each season's scene, of which only one is that of the footprint.
    """
    epsg = np.zeros(len(shapes), dtype=np.int64)
    bounds, stray = np.full((len(shapes), 4), np.nan), np.full(len(shapes), np.inf)
    for codes in candidates:
        for code, rows in grids.by_value(codes):
            rows = rows[stray[rows] > TOLERANCE_M]
            box, apart = _fit(shapes[rows], table.crs, code)
            better = apart < stray[rows]
            epsg[rows[better]], bounds[rows[better]], stray[rows[better]] = code, box[better], apart[better]
    _share_fits(_raw_ids(table), shapes, epsg, bounds, stray)
    if (stray > TOLERANCE_M).any():
        k = int(np.argmax(stray > TOLERANCE_M))
        raise ConfigError(
            f"{path}: row {k + 1}: its polygon strays {stray[k]:.2f} m from a square along the axes of EPSG:{epsg[k]}, "
            f"expected at most {TOLERANCE_M:g} m; give its true CRS in a column 'epsg', or give points"
        )
    _check_sides(bounds[:, 2] - bounds[:, 0], size_m, path)
    return grids.of_grids(epsg, np.round(bounds[:, 0], 3), np.round(bounds[:, 3], 3), size_m)


def _fit(shapes: NDArray[np.object_], crs: CRS, epsg: int) -> tuple[Floats, Floats]:
    """Bounds of polygons in a CRS (n, 4), and how far each strays from a square along its axes, in CRS units."""
    move = grid.transformer(crs.to_wkt(), epsg)
    xy = np.column_stack(move.transform(*shapely.get_coordinates(shapes).T))
    there = shapely.set_coordinates(shapes.copy(), xy)
    bounds = shapely.bounds(there)
    width, height = bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1]
    with np.errstate(invalid="ignore"):  # far outside a CRS coordinates are infinite, and so is what is made of them
        missing = (width * height - shapely.area(there)) / np.maximum(width, height)
        stray = np.maximum(np.abs(width - height), np.abs(missing))
    return bounds, np.where(np.isfinite(stray), stray, np.inf)


def _share_fits(ids: pd.Series | None, shapes: NDArray[np.object_], epsg: Ints, bounds: Floats, stray: Floats) -> None:
    if ids is None:
        return
    fitting = {(ids.iloc[k], shapes[k].wkb): k for k in np.flatnonzero(stray <= TOLERANCE_M)}
    for k in np.flatnonzero(stray > TOLERANCE_M):
        twin = fitting.get((ids.iloc[k], shapes[k].wkb))
        if twin is not None:
            epsg[k], bounds[k], stray[k] = epsg[twin], bounds[twin], stray[twin]


def _check_sides(sides: Floats, size_m: float, path: Path) -> None:
    bad = ~(np.abs(sides - size_m) <= TOLERANCE_M)
    if bad.any():
        k = int(np.argmax(bad))
        raise ConfigError(
            f"{path}: row {k + 1}: the footprint's side is {sides[k]:.10g} m, the recipe's [grid] size_m is {size_m:g} m; "
            "make them the same"
        )


def _numbers(table: pd.DataFrame, column: str, path: Path) -> Floats:
    numbers = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=np.float64)
    bad = ~np.isfinite(numbers)
    if bad.any():
        k = int(np.argmax(bad))
        raise ConfigError(f"{path}: row {k + 1}: {column} = {table[column].iloc[k]!r}: expected a number")
    return numbers


def _codes(table: pd.DataFrame, column: str, path: Path) -> Ints:
    texts = table[column].astype(str).str.strip()
    codes = texts.str.extract(r"^(?:EPSG:)?(\d+)$", flags=re.IGNORECASE)[0]
    bad = codes.isna().to_numpy()
    if bad.any():
        k = int(np.argmax(bad))
        raise ConfigError(f"{path}: row {k + 1}: {column} = {texts.iloc[k]!r}: expected an EPSG code such as 32632")
    return codes.to_numpy().astype(np.int64)


def _raw_ids(table: pd.DataFrame) -> pd.Series | None:
    column = next((c for c in ID_COLUMNS if c in table), None)
    return None if column is None else table[column].astype(str)


def _ids(table: pd.DataFrame, found: Places, size_m: float, path: Path) -> list[str]:
    named = _raw_ids(table)
    if named is None:
        return ids_of(found, size_m)
    missing = np.flatnonzero(table[named.name].isna().to_numpy())
    if len(missing):
        raise ConfigError(
            f"{path}: row {missing[0] + 1}: no {named.name} ({len(missing)} such rows); name it, or remove the row"
        )
    for row, name in enumerate(named, start=1):
        if not LOCATION_ID.fullmatch(name):
            raise ConfigError(
                f"{path}: row {row}: {named.name} = {json.dumps(name)}: expected only a-z, 0-9, '_' and '-' (it becomes a "
                "key in a tar, read in lower case); rename it in the file, and check that lower case makes no two the same"
            )
    return list(named)


def ids_of(found: Places, size_m: float) -> list[str]:
    """The ids that follow from grids."""
    columns = zip(found.epsg.tolist(), found.x0_m.tolist(), found.y0_m.tolist(), strict=True)
    return [grid.location_id(epsg, x0, y0, size_m) for epsg, x0, y0 in columns]


def _reasons(ids: list[str], found: Places, path: Path, *, has_ids: bool) -> list[Code | None]:
    """Why rows are no places of their own; an id with two grids is an error."""
    grids = list(zip(found.epsg.tolist(), found.x0_m.tolist(), found.y0_m.tolist(), strict=True))
    first: dict[str, int] = {}
    taken: set[tuple[int, float, float]] = set()
    out: list[Code | None] = []
    for k, (name, its) in enumerate(zip(ids, grids, strict=True)):
        j = first.setdefault(name, k)
        if grids[j] != its:
            raise ConfigError(
                f"{path}: rows {j + 1} and {k + 1}: the same id {name!r} for the grids (EPSG, west, north) {grids[j]} and "
                f"{its}; give each place an id of its own"
            )
        again = Code.REPEATED if j < k and has_ids else Code.SAME_GRID
        out.append(again if its in taken else None)
        taken.add(its)
    return out
