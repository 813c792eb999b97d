"""Places that a file gives: points are snapped, footprints kept exactly as they are. Reads the file, writes nothing."""

from __future__ import annotations

import difflib
import itertools
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from curation.errors import ConfigError
from curation.errors.codes import Code
from curation.model import LOCATION_ID
from curation.places import grid, grids, shapes, tablefile, user_columns
from curation.places.grids import Floats, Ints, Places
from curation.places.somewhere import check_metres, check_somewhere
from curation.places.tablefile import PlacesTable
from curation.places.user_columns import Carried
from curation.recipe.columns import SHAPE, called
from curation.recipe.schema import Recipe
from curation.recipe.seasons import DatedSeasonSpec

ID_COLUMNS = ("id", "location_id", "sample_id")
"""Where ids are looked for, in order."""
_LON, _LAT = ("lon", "longitude", "lng", "long", "decimallongitude"), ("lat", "latitude", "decimallatitude")
POINT_COLUMNS = (
    *(("lon", "lat"), ("center_lon", "center_lat"), ("longitude", "latitude")),
    *itertools.product(_LON, _LAT),
)
"""Where points are looked for, in order, whatever the case of their letters."""
CRS_COLUMNS = ("epsg", "crs", "tile_crs", "utm_crs")
"""Where the CRS of a footprint is looked for, in order: an EPSG code, or `EPSG:32632`."""

READ = {*ID_COLUMNS, *CRS_COLUMNS, *(c for pair in POINT_COLUMNS for c in pair), "x0_m", "y0_m", "size_m"}
"""Columns that places and ids are read from."""

TOLERANCE_M = 0.05
"""A footprint is a square on a grid where its outline strays from one by no more."""

_OTHER_SHAPES = "where they are no footprints say [places] shapes = 'centre' (a patch around each), 'cover' or 'tile'"

COVERED_PCT = "covered_pct"
"""The column of squares of areas: the per cent of the square that its area covers."""


@dataclass(frozen=True, slots=True)
class PlacesFile:
    """The places of a file, in the order of its rows: one of each, or as many as cover its shape."""

    ids: list[str]
    """Given, or following from the grid."""
    places: Places
    """Their grids."""
    reasons: list[Code | None]
    """Why a place is none of its own: `same_grid`, `repeated` or `little_covered`; None of the others."""
    rows: Ints
    """Which row each is of, counted from 0."""
    count: int
    """Rows of the file."""
    carried: Carried = field(default_factory=Carried)
    """What else is asked of each row, by place."""

    def usable(self) -> Ints:
        """Those that are places of their own, counted from 0, ascending."""
        return np.flatnonzero([reason is None for reason in self.reasons])


def read(path: Path, size_m: float, recipe: Recipe | None = None) -> PlacesFile:
    """The places of a file, which may be CSV, Parquet, GeoParquet, GeoJSON, GeoPackage or a Shapefile.

    Grids are taken from the first of these that the file has:
    - UTM columns `x0_m`, `y0_m` (west and north edge) and a CRS column, and `size_m` where there is one: kept exactly;
    - polygons: kept exactly, in the CRS in which the polygon is a square along the axes (the row's CRS column, else the
      file's own projected CRS, else the centre's UTM zone or a neighbour of it), to the millimetre;
    - points (geometry, or columns `lon` and `lat`, `longitude` and `latitude`, …): snapped as draws are.

    Where the recipe says `shapes`, a geometry is none of these: a patch lies around the centre of each, or squares of the
    lattice cover it, or lie side by side on it (`shapes`); with a given id their ids are it and a number.

    Ids are kept from `id`, `location_id` or `sample_id`, else they follow from the grid. Of rows with the same grid the
    first is a place: another under the same id `repeated` it (tables with a row per image), one under another id, or under
    none where ids follow from grids, is of the `same_grid`, and its sample would be the same. Rows are counted from 1,
    without a header, in errors. `recipe` says which layer of the file is meant, and which other columns are asked for
    (`user_columns.carried`): none where it is left out.

    Raises:
        ConfigError: the file has no places in any of these forms, an id breaks the rule or stands for two grids, a
            footprint is no square or its side is not the recipe's.
    """
    read_file = tablefile.read(path, recipe.places.layer if recipe else None, ID_COLUMNS, READ)
    table = read_file.frame
    if isinstance(table, gpd.GeoDataFrame):
        table[table.geometry.name] = shapes.single_points(table.geometry)
    if not len(table):
        raise ConfigError(f"{path}: no rows; expected one per place")
    for name in recipe.places.row_columns if recipe else ():
        _check_free(table, name, "what tells of which row, and shape, a place is has that name", path)
    how = recipe.places.shapes if recipe else None
    if recipe and how == "tile":
        return _tiled(read_file, size_m, recipe)
    covering = how == "cover"
    found, rows = _spread(table, how, size_m, path)
    check_somewhere(found, rows, path)
    ids = _ids(table, found, rows, size_m, path, covering=covering)
    each = recipe is not None and recipe.places.each_id
    reasons = _reasons(ids, found, rows, path, has_ids=_raw_ids(table) is not None, each_id=each)
    its = user_columns.carried(read_file, _used(table), recipe) if recipe else Carried()
    if recipe and (covering or recipe.places.numbered):
        its = its.of_rows(rows, numbered=recipe.places.numbered or recipe.places.columns is None)
        its = _with_shapes_of(its, table, rows, recipe)
    return PlacesFile(ids, found, reasons, rows, len(table), its)


def _spread(table: pd.DataFrame, how: str | None, size_m: float, path: Path) -> tuple[Places, Ints]:
    """The grids of all rows, and which row each is of."""
    every = np.arange(len(table))
    if how is None:
        return _grids(table, size_m, path), every
    its = _with_shapes(table, how, path)
    if how == "cover":
        return shapes.covering(its, size_m, str(path))
    return _from_points(*shapes.centres(its, str(path)), size_m, path), every


def _with_shapes(table: pd.DataFrame, how: str, path: Path) -> gpd.GeoDataFrame:
    """The table, of which each row has a shape. Raises ConfigError otherwise."""
    if not isinstance(table, gpd.GeoDataFrame):
        raise ConfigError(f"{path}: [places] shapes = {how!r}: the file has no geometry, expected shapes; leave it out")
    _check_geometry(table, path)
    return table


def _tiled(read_file: PlacesTable, size_m: float, recipe: Recipe) -> PlacesFile:
    """Squares side by side on each area: each is a place, once for each date that seasons lie around.

    So one event after another may be at a place, each with images of its own; of rows of one date, such as two maps of one
    flood that overlap, the first has the square.
    """
    path, frame = read_file.path, read_file.frame
    table = _with_shapes(frame, "tile", path)
    if (raw := _raw_ids(table)) is None:
        raise ConfigError(
            f"{path}: [places] shapes = 'tile' wants the id of each area, since one place may lie in several; give it in a "
            f"column, one of {', '.join(ID_COLUMNS)}"
        )
    _check_free(table, COVERED_PCT, "squares of areas have one of that name", path)
    found, rows, pct = shapes.side_by_side(table, size_m, str(path))
    ids = _ids(table, found, rows, size_m, path, covering=True)
    if (again := np.flatnonzero(raw.duplicated())).size:
        name = raw.iloc[again[0]]
        rows_of = " and ".join(str(k + 1) for k in np.flatnonzero(raw == name)[:2])
        raise ConfigError(
            f"{path}: rows {rows_of}: the same id {name!r}, which their squares would share; give each area an id of its "
            "own, and what they have in common another column"
        )
    by_place = PlacesTable(
        table.take(rows).reset_index(drop=True).assign(**{COVERED_PCT: pct}), path, read_file.left_out
    )
    its = user_columns.carried(by_place, _used(table), recipe)
    if recipe.places.numbered:
        its = _with_shapes_of(its.numbered(rows), table, rows, recipe)
    least = recipe.places.least_covered_pct or 0.0
    dates = {s.around for s in recipe.seasons.values() if isinstance(s, DatedSeasonSpec)}
    keys = zip(
        *(column.tolist() for column in (found.epsg, found.x0_m, found.y0_m)),
        *(its.columns[name].to_pylist() for name in sorted(dates)),
        strict=True,
    )
    taken_keys: set[tuple[object, ...]] = set()
    reasons: list[Code | None] = []
    for key, share in zip(keys, pct.tolist(), strict=True):
        reasons.append(Code.LITTLE_COVERED if share < least else Code.SAME_GRID if key in taken_keys else None)
        if reasons[-1] is None:
            taken_keys.add(key)
    return PlacesFile(ids, found, reasons, rows, len(table), its)


def _with_shapes_of(its: Carried, table: pd.DataFrame, rows: Ints, recipe: Recipe) -> Carried:
    return its.with_shapes(shapes.digests(table)[rows]) if SHAPE in recipe.places.row_columns else its


def _check_free(table: pd.DataFrame, name: str, why: str, path: Path) -> None:
    """Passes where no column of a file is called as one that is made here."""
    if taken := [str(c) for c in table if called(str(c)) == name]:
        raise ConfigError(f"{path}: column {taken[0]!r}: {why}; rename it in the file")


def _used(table: pd.DataFrame) -> set[str]:
    """Columns that grids and ids are read from."""
    used = {next((c for c in columns if c in table), "") for columns in (ID_COLUMNS, CRS_COLUMNS)}
    return {*used, *(point_columns(table) or ()), "x0_m", "y0_m", "size_m"}


def point_columns(table: pd.DataFrame) -> tuple[str, str] | None:
    """The columns of longitudes and latitudes, as the file writes them."""
    there = {str(name).lower(): str(name) for name in reversed(list(table.columns))}
    return next(((there[lon], there[lat]) for lon, lat in POINT_COLUMNS if {lon, lat} <= set(there)), None)


def _grids(table: pd.DataFrame, size_m: float, path: Path) -> Places:
    """The grid of every row."""
    crs_column = next((c for c in CRS_COLUMNS if c in table), None)
    if {"x0_m", "y0_m"} <= set(table) and crs_column:
        return _from_columns(table, crs_column, size_m, path)
    if isinstance(table, gpd.GeoDataFrame):
        return _from_geometry(table, crs_column, size_m, path)
    if points := point_columns(table):
        lon, lat = (numbers(table, name, path) for name in points)
        return _from_points(lon, lat, size_m, path)
    raise ConfigError(
        f"{path}: columns {[str(c) for c in table]}: expected x0_m, y0_m and epsg, or a geometry, or one of "
        + ", ".join(f"{lon} and {lat}" for lon, lat in POINT_COLUMNS[:3])
        + _likely(table)
    )


def _likely(table: pd.DataFrame) -> str:
    """What columns without any place in them may have been meant as."""
    lower = {str(name).lower(): str(name) for name in table}
    if {"x", "y"} <= set(lower):
        return (
            f"; {lower['x']} and {lower['y']} may be degrees or metres: call them lon and lat where they are degrees of "
            "WGS 84, else write the points with their CRS (GeoPackage, GeoJSON)"
        )
    if texts := [lower[name] for name in ("geometry", "wkt", "geom", "the_geom") if name in lower]:
        return f"; {texts[0]} is text, which has no CRS: write the file as GeoJSON, GeoPackage or GeoParquet"
    names = ("lon", "lat", "longitude", "latitude")
    near = {name: found[0] for name in lower if (found := difflib.get_close_matches(name, names, n=1))}
    return "".join(f"; is {lower[name]} meant as {meant}? Call it so" for name, meant in near.items())


def _from_columns(table: pd.DataFrame, crs_column: str, size_m: float, path: Path) -> Places:
    if "size_m" in table:
        _check_sides(numbers(table, "size_m", path), size_m, path)
    x0, y0 = numbers(table, "x0_m", path), numbers(table, "y0_m", path)
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


def _check_geometry(table: gpd.GeoDataFrame, path: Path) -> None:
    """Passes where each row lies somewhere."""
    if table.crs is None:
        lost = f": its {path.stem}.prj does not lie beside it" if path.suffix.lower() == ".shp" else ""
        raise ConfigError(f"{path}: the geometry has no CRS{lost}; set one (geopandas: set_crs)")
    nowhere = np.flatnonzero((table.geometry.isna() | table.geometry.is_empty).to_numpy())
    if len(nowhere):
        raise ConfigError(
            f"{path}: row {nowhere[0] + 1}: its geometry is empty ({len(nowhere)} such rows); remove the row"
        )


def _from_geometry(table: gpd.GeoDataFrame, crs_column: str | None, size_m: float, path: Path) -> Places:
    _check_geometry(table, path)
    kinds = set(table.geom_type)
    if kinds == {"Point"}:
        lonlat = shapely.get_coordinates(table.geometry.to_crs(4326).to_numpy())
        return _from_points(lonlat[:, 0], lonlat[:, 1], size_m, path)
    if not kinds <= {"Polygon", "MultiPolygon"}:
        raise ConfigError(
            f"{path}: geometries are {sorted(map(str, kinds))}: expected all points or all polygons; {_OTHER_SHAPES}"
        )
    return _squares(table, table.geometry.to_numpy(), _candidates(table, crs_column, path), size_m, path)


def _candidates(table: gpd.GeoDataFrame, crs_column: str | None, path: Path) -> list[Ints]:
    """The CRS codes in which a row's polygon may be a square, most likely first."""
    if crs_column:
        return [_codes(table, crs_column, path)]
    if table.crs.is_projected and table.crs.to_epsg():
        own = np.full(len(table), table.crs.to_epsg(), dtype=np.int64)
        check_metres(own, path)
        return [own]
    centres = shapely.get_coordinates(shapely.centroid(table.geometry.to_crs(4326).to_numpy()))
    home = grids.utm_epsgs(centres[:, 0], centres[:, 1])
    zone, hemisphere = home % 100 - 1, home // 100 * 100 + 1
    return [home, (zone + 1) % 60 + hemisphere, (zone - 1) % 60 + hemisphere]


def _squares(
    table: gpd.GeoDataFrame, outlines: NDArray[np.object_], candidates: list[Ints], size_m: float, path: Path
) -> Places:
    """The grids of square polygons.

    A row whose own CRS does not fit takes the grid of a row of the same id and the very same polygon whose CRS does: v1.1 of
    SSL4EO-S12 names the CRS of each season's scene, of which only one is that of the footprint.
    """
    epsg = np.zeros(len(outlines), dtype=np.int64)
    bounds, stray = np.full((len(outlines), 4), np.nan), np.full(len(outlines), np.inf)
    for codes in candidates:
        for code, rows in grids.by_value(codes):
            rows = rows[stray[rows] > TOLERANCE_M]
            box, apart = _fit(outlines[rows], table.crs, code)
            better = apart < stray[rows]
            epsg[rows[better]], bounds[rows[better]], stray[rows[better]] = code, box[better], apart[better]
    _share_fits(_raw_ids(table), outlines, epsg, bounds, stray)
    if (stray > TOLERANCE_M).any():
        k = int(np.argmax(stray > TOLERANCE_M))
        raise ConfigError(
            f"{path}: row {k + 1}: its polygon strays {stray[k]:.2f} m from a square along the axes of EPSG:{epsg[k]}, "
            f"expected at most {TOLERANCE_M:g} m; give its true CRS in a column 'epsg', or give points; {_OTHER_SHAPES}"
        )
    _check_sides(bounds[:, 2] - bounds[:, 0], size_m, path)
    return grids.of_grids(epsg, np.round(bounds[:, 0], 3), np.round(bounds[:, 3], 3), size_m)


def _fit(outlines: NDArray[np.object_], crs: CRS, epsg: int) -> tuple[Floats, Floats]:
    """Bounds of polygons in a CRS (n, 4), and how far each strays from a square along its axes, in CRS units."""
    move = grid.transformer(crs.to_wkt(), epsg)
    xy = np.column_stack(move.transform(*shapely.get_coordinates(outlines).T))
    there = shapely.set_coordinates(outlines.copy(), xy)
    bounds = shapely.bounds(there)
    width, height = bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1]
    with np.errstate(invalid="ignore"):  # far outside a CRS coordinates are infinite, and so is what is made of them
        missing = (width * height - shapely.area(there)) / np.maximum(width, height)
        stray = np.maximum(np.abs(width - height), np.abs(missing))
    return bounds, np.where(np.isfinite(stray), stray, np.inf)


def _share_fits(
    ids: pd.Series | None, outlines: NDArray[np.object_], epsg: Ints, bounds: Floats, stray: Floats
) -> None:
    if ids is None:
        return
    fitting = {(ids.iloc[k], outlines[k].wkb): k for k in np.flatnonzero(stray <= TOLERANCE_M)}
    for k in np.flatnonzero(stray > TOLERANCE_M):
        twin = fitting.get((ids.iloc[k], outlines[k].wkb))
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


def numbers(table: pd.DataFrame, column: str, path: Path) -> Floats:
    """A column of numbers. Raises ConfigError where one is none."""
    numbers = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
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
    found = codes.to_numpy().astype(np.int64)
    check_metres(found, path)
    return found


def _raw_ids(table: pd.DataFrame) -> pd.Series | None:
    column = next((c for c in ID_COLUMNS if c in table), None)
    return None if column is None else table[column].astype(str)


def _ids(table: pd.DataFrame, found: Places, rows: Ints, size_m: float, path: Path, *, covering: bool) -> list[str]:
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
    if not covering:
        return list(named)
    first = np.searchsorted(rows, rows)  # they ascend
    return [f"{named.iloc[row]}-{k - start}" for k, (row, start) in enumerate(zip(rows, first, strict=True))]


def ids_of(found: Places, size_m: float) -> list[str]:
    """The ids that follow from grids."""
    columns = zip(found.epsg.tolist(), found.x0_m.tolist(), found.y0_m.tolist(), strict=True)
    return [grid.location_id(epsg, x0, y0, size_m) for epsg, x0, y0 in columns]


def _reasons(
    ids: list[str], found: Places, rows: Ints, path: Path, *, has_ids: bool, each_id: bool
) -> list[Code | None]:
    """Why places are none of their own; an id with two grids is an error."""
    of_each = [(name if each_id else "") for name in ids]  # then no two ids share a grid
    grids = list(zip(found.epsg.tolist(), found.x0_m.tolist(), found.y0_m.tolist(), of_each, strict=True))
    first: dict[str, int] = {}
    taken: set[tuple[int, float, float, str]] = set()
    out: list[Code | None] = []
    for k, (name, its) in enumerate(zip(ids, grids, strict=True)):
        j = first.setdefault(name, k)
        if grids[j] != its:
            raise ConfigError(
                f"{path}: rows {rows[j] + 1} and {rows[k] + 1}: the same id {name!r} for the grids (EPSG, west, north) "
                f"{grids[j][:3]} and {its[:3]}; give each place an id of its own"
            )
        again = Code.REPEATED if j < k and has_ids else Code.SAME_GRID
        out.append(again if its in taken else None)
        taken.add(its)
    return out
