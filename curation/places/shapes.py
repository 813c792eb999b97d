"""Shapes of a file of places that are no footprints themselves (fields, roads): where the patches of each lie. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from curation.errors import ConfigError
from curation.places import antimeridian, grid, grids, regions, tiling
from curation.places.grids import Floats, Ints, Places
from curation.places.regions import Region

Shapes = NDArray[np.object_]

KINDS = ("Point", "LineString", "MultiLineString", "Polygon", "MultiPolygon")
"""What has a centre, and can be covered."""

_THICK_DEG = 1e-7
"""Half the width that points and lines are given to be covered, a centimetre: cells are taken that touch an area."""

_ZONE_DEG = 6
"""Width of a UTM zone: of a wider area squares in one zone would be off by per cents at its edges."""


def single_points(series: gpd.GeoSeries) -> gpd.GeoSeries:
    """The shapes, of each that is several points the one that it has, where it has one: many writers know no other."""
    shapes: Shapes = series.to_numpy()
    alone = (shapely.get_type_id(shapes) == shapely.GeometryType.MULTIPOINT) & (shapely.get_num_geometries(shapes) == 1)
    return gpd.GeoSeries(np.where(alone, shapely.get_geometry(shapes, 0), shapes), index=series.index, crs=series.crs)


def centres(table: gpd.GeoDataFrame, where: str) -> tuple[Floats, Floats]:
    """Longitudes and latitudes that patches are to be centred on, one per row.

    Of a polygon its centroid, or, where that lies outside, a point within it that GEOS finds; of a line (of several the
    longest) the middle of its length. All are taken in the UTM zone of the shape.

    Raises:
        ConfigError: a row is of another kind, is wider than half the globe, or lies where there is no UTM grid.
    """
    shapes = _unfolded(table, where)
    lon, lat = np.empty(len(shapes)), np.empty(len(shapes))
    for epsg, rows in grids.by_value(_zones(shapes, where)):
        flat = _moved(shapes[rows], grid.transformer(4326, epsg).transform)
        points = np.array([_centre(shape) for shape in flat], dtype=object)
        xy = shapely.get_coordinates(points)
        lon[rows], lat[rows] = grid.transformer(epsg, 4326).transform(xy[:, 0], xy[:, 1])
    return lon, lat


def covering(table: gpd.GeoDataFrame, size_m: float, where: str) -> tuple[Places, Ints]:
    """Squares of the regular lattice of each UTM zone that cover the shapes, and which row each is of.

    The squares of a row come from north to south, as `tiling.covering` has them; one that two rows touch comes with each.
    Raises as `centres` and `tiling.covering` do.
    """
    shapes = _unfolded(table, where)
    _zones(shapes, where)
    thin = shapely.get_dimensions(shapes) < 2
    shapes[thin] = shapely.buffer(shapes[thin], _THICK_DEG, quad_segs=1)
    parts = []
    for row, shape in enumerate(shapes, start=1):
        polygons = [p for p in shapely.get_parts(regions.wrapped(shape)) if p.geom_type == "Polygon"]
        parts.append(tiling.covering(Region(f"row-{row}", shapely.MultiPolygon(polygons)), size_m))
    return grids.joined(parts), np.repeat(np.arange(len(parts)), [len(p) for p in parts])


def side_by_side(table: gpd.GeoDataFrame, size_m: float, where: str) -> tuple[Places, Ints, Floats]:
    """Squares that lie side by side on each area, which row each is of, and the per cent of it that the area covers.

    All squares of an area lie in one UTM zone, that of the middle of its bounds, also where it reaches into another: so its
    grid is complete, and no ground is in two of its squares. Those of a row come as `tiling.side_by_side` has them.
    Raises as `centres` and `tiling.side_by_side` do, and of what is no area, or wider than a zone.
    """
    shapes = _unfolded(table, where)
    thin = np.flatnonzero(shapely.area(shapes) == 0)
    if len(thin):
        raise ConfigError(
            f"{where}: row {thin[0] + 1}: {table.geometry.iloc[thin[0]].geom_type} without an area, expected areas "
            f"({len(thin)} such rows); say [places] shapes = 'centre' or 'cover', or remove the row"
        )
    width = antimeridian.width_deg(shapes)
    wide = np.flatnonzero(width > _ZONE_DEG)
    if len(wide):
        raise ConfigError(
            f"{where}: row {wide[0] + 1}: {width[wide[0]]:.3g}° wide, expected at most {_ZONE_DEG}°, since all "
            f"squares of an area lie in one UTM zone ({len(wide)} such rows); take it apart into rows of their own"
        )
    parts = [
        tiling.side_by_side(shape, int(epsg), size_m, f"{where}: row {row}")
        for row, (shape, epsg) in enumerate(zip(shapes, _zones(shapes, where), strict=True), start=1)
    ]
    rows = np.repeat(np.arange(len(parts)), [len(p) for p, _ in parts])
    return grids.joined([p for p, _ in parts]), rows, 100 * np.concatenate([share for _, share in parts])


def _unfolded(table: gpd.GeoDataFrame, where: str) -> Shapes:
    """Shapes in lon/lat, valid; longitudes of those across the antimeridian run on beyond 180."""
    shapes: Shapes = table.geometry.to_crs(4326).to_numpy()
    odd = np.flatnonzero(~np.isin([s.geom_type for s in shapes], KINDS))
    if len(odd):
        raise ConfigError(
            f"{where}: row {odd[0] + 1}: {shapes[odd[0]].geom_type}: expected one of {', '.join(KINDS)} ({len(odd)} such "
            "rows); take it apart into rows of their own"
        )
    shapes = antimeridian.unfolded(shapes)
    west, _, east, _ = shapely.bounds(shapes).T
    wide = np.flatnonzero(~(antimeridian.width_deg(shapes) <= 180))  # of what has no lon/lat, too
    if len(wide):
        raise ConfigError(
            f"{where}: row {wide[0] + 1}: longitudes {west[wide[0]]:g}° to {east[wide[0]]:g}°, expected no more than 180° "
            "between them; check the file's CRS"
        )
    return np.asarray(shapely.make_valid(shapes), dtype=object)


def _zones(shapes: Shapes, where: str) -> Ints:
    """The UTM zone (EPSG) that the middle of each shape's bounds lies in."""
    west, south, east, north = shapely.bounds(shapes).T
    bad = np.flatnonzero(~(grids.has_utm(south) & grids.has_utm(north)))
    if len(bad):
        k = int(bad[0])
        raise ConfigError(
            f"{where}: row {k + 1}: latitudes {south[k]:g} to {north[k]:g}, expected {grid.MIN_LAT:g} to {grid.MAX_LAT:g} "
            f"(UTM's limits; {len(bad)} such rows); remove the row, and check the file's CRS"
        )
    return grids.utm_epsgs((west + east) / 2, (south + north) / 2)


def _moved(shapes: Shapes, move: Callable[..., Any]) -> Shapes:
    """The shapes with other coordinates, in two dimensions."""
    flat = shapely.force_2d(shapes)
    return np.asarray(shapely.set_coordinates(flat, np.column_stack(move(*shapely.get_coordinates(flat).T))))


def _centre(shape: BaseGeometry) -> BaseGeometry:
    """The point that a patch of a shape in metres is centred on."""
    if shapely.get_dimensions(shape) == 1:
        lines = shapely.get_parts(shapely.line_merge(shape))
        longest: shapely.LineString = lines[int(np.argmax(shapely.length(lines)))]
        return longest.interpolate(0.5, normalized=True)
    middle = shapely.centroid(shape)
    return middle if shapely.intersects(shape, middle) else shapely.point_on_surface(shape)


def digests(table: gpd.GeoDataFrame) -> NDArray[np.object_]:
    """Of each row a digest of its shape, and of the CRS that it is in."""
    crs = "" if table.crs is None else table.crs.to_string()
    shapes = shapely.to_wkb(table.geometry.to_numpy(), byte_order=1, output_dimension=4)
    return np.array([hashlib.sha256(crs.encode() + (its or b"")).hexdigest()[:16] for its in shapes], object)
