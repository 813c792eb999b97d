"""Cells of regular lattices in UTM: those that cover a region, zone by zone; those side by side on an area. Pure."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from curation.errors import ConfigError
from curation.places import grid, grids
from curation.places.grids import Floats, Ints, Places
from curation.places.regions import Region

MOST = 5_000_000
"""More cells than this are refused: a slip in the region or the size, more likely than a wish."""

_BLOCK = 64
"""Cells along the side of a block that is decided at once where it lies wholly within the region."""

_EDGE_STEP_DEG = 0.02
"""Edges of the region are put into UTM in steps of this; in between they stray from the true curve by less than 0.3 m."""

_MARGIN_M = 1.0
"""Cells that come this near to the region count as touching it, so that the stray above leaves no gap."""


def covering(region: Region, size_m: float) -> Places:
    """The cells that cover a region: by zone, then from north to south, then from west to east.

    They lie apart by their side, or by the greatest multiple of 60 m in it: where the side is none, neighbours overlap by
    less than 60 m, so that each begins where Sentinel-2's 60 m pixels do and no ground is left out. West edges lie on
    multiples of that pitch, and north edges on multiples of it from the equator (10,000,000 m in the south), so that the two
    hemispheres meet without a gap. A cell is taken for the zone whose part of the region the square of its pitch touches (to
    within a metre). So no point of the region is left out; at a seam of zones the cells of both overlap, and the centre of
    one may lie up to half its diagonal over in the other zone.

    Raises:
        ConfigError: `size_m` is less than 60, or there would be more than 5,000,000 cells.
    """
    if not size_m >= grid.STEP_M:
        raise ConfigError(
            f"grid of {size_m:g} m: cells lie on multiples of {grid.STEP_M} m, expected a side of {grid.STEP_M} m or more"
        )
    pitch_m = float(size_m // grid.STEP_M * grid.STEP_M)
    zones = ((epsg, _projected(part, epsg)) for epsg, part in _zones(region.geometry))
    shapes = [(epsg, shapely.buffer(part, _MARGIN_M, quad_segs=2)) for epsg, part in zones]
    _refuse_beyond(f"region {region.name}", size_m, sum(shape.area for _, shape in shapes) / pitch_m**2)
    found = []
    for epsg, shape in shapes:
        base = 10_000_000.0 if epsg >= 32700 else 0.0
        cells = _cells(shape, pitch_m, base)
        # The margin reaches over the equator, where the other hemisphere has the very same cells.
        cells = cells[(cells[:, 1] < 0) == (epsg >= 32700)]
        cells = cells[np.lexsort([cells[:, 0], -cells[:, 1]])]
        column, row = cells.astype(np.float64).T
        x0, y0 = column * pitch_m, (row + 1) * pitch_m + base
        found.append(grids.of_grids(np.full(len(cells), epsg), x0, y0, size_m))
    out = grids.joined(found)
    _refuse_beyond(f"region {region.name}", size_m, len(out))
    return out


def side_by_side(area: BaseGeometry, epsg: int, size_m: float, where: str) -> tuple[Places, Floats]:
    """The squares that an area lies on, without gap or overlap, and the share of each that it covers (above 0 to 1).

    All lie in one CRS, so that the grid is complete wherever the area does. Edges lie on multiples of `size_m`, north ones
    counted from the equator (10,000,000 m in the south). From north to south, then from west to east.

    Args:
        area: valid, in lon/lat; longitudes may run on beyond 180.
        epsg: a UTM zone.
        size_m: side of the squares.
        where: what errors call the area.

    Raises:
        ConfigError: there would be more than 5,000,000 squares.
    """
    shape = _projected(area, epsg)
    _refuse_beyond(where, size_m, shape.area / size_m**2)
    base = 10_000_000.0 if epsg >= 32700 else 0.0
    cells = _cells(shape, size_m, base)
    cells = cells[np.lexsort([cells[:, 0], -cells[:, 1]])]
    share = np.asarray(shapely.area(shapely.intersection(shape, _squares(cells, size_m, base))) / size_m**2)
    cells, share = cells[share > 0], share[share > 0]  # not those that it touches along an edge alone
    column, row = cells.astype(np.float64).T
    x0, y0 = column * size_m, (row + 1) * size_m + base
    return grids.of_grids(np.full(len(cells), epsg), x0, y0, size_m), np.minimum(share, 1.0)


def _refuse_beyond(where: str, size_m: float, count: float) -> None:
    if count > MOST:
        raise ConfigError(
            f"{where}: about {count:,.0f} cells of {size_m:g} m, expected at most {MOST:,}; "
            "choose a smaller region or a larger grid"
        )


def _zones(geometry: BaseGeometry) -> Iterator[tuple[int, BaseGeometry]]:
    """The zones (EPSG) that a lon/lat geometry touches with an area, each with its part of the geometry."""
    shapely.prepare(geometry)
    for epsg, area in _areas():
        if shapely.intersects(geometry, area):
            parts = shapely.get_parts(shapely.intersection(geometry, area))
            polygons = parts[shapely.area(parts) > 0]
            if len(polygons):
                yield epsg, shapely.multipolygons(polygons[shapely.get_type_id(polygons) == 3])


@functools.cache
def _areas() -> tuple[tuple[int, BaseGeometry], ...]:
    return tuple(zone_areas())


def zone_areas() -> Iterator[tuple[int, BaseGeometry]]:
    """Every UTM zone (EPSG) with its area in lon/lat as MGRS cuts it, the exceptions of Norway and Svalbard included."""
    for number in range(1, 61):
        west = -180.0 + 6 * (number - 1)
        yield 32700 + number, shapely.box(west, grid.MIN_LAT, west + 6, 0)
        rows = [(0.0, 56.0, west, west + 6), (64.0, 72.0, west, west + 6)]
        rows.append((56.0, 64.0, *{31: (0.0, 3.0), 32: (3.0, 12.0)}.get(number, (west, west + 6))))
        svalbard = {31: (0.0, 9.0), 33: (9.0, 21.0), 35: (21.0, 33.0), 37: (33.0, 42.0)}
        if number not in (32, 34, 36):
            rows.append((72.0, grid.MAX_LAT, *svalbard.get(number, (west, west + 6))))
        yield 32600 + number, shapely.union_all([shapely.box(w, south, e, north) for south, north, w, e in rows])


def _projected(part: BaseGeometry, epsg: int) -> BaseGeometry:
    fine = shapely.segmentize(part, _EDGE_STEP_DEG)
    xy = np.column_stack(grid.transformer(4326, epsg).transform(*shapely.get_coordinates(fine).T))
    shape = shapely.set_coordinates(fine, xy)
    return shapely.make_valid(shape)


def _cells(shape: BaseGeometry, pitch_m: float, base: float) -> Ints:
    """Columns and rows (n, 2), counted from x = 0 and y = `base`, of the cells whose squares of the pitch touch a shape."""
    shapely.prepare(shape)
    west, south, east, north = shape.bounds
    side = pitch_m * _BLOCK
    columns = np.arange(np.floor(west / side), np.floor(east / side) + 1, dtype=np.int64)
    rows = np.arange(np.floor((south - base) / side), np.floor((north - base) / side) + 1, dtype=np.int64)
    blocks = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    blocks = blocks[shapely.intersects(shape, _squares(blocks, side, base))]
    whole = shapely.covers(shape, _squares(blocks, side, base))
    within = np.stack(np.meshgrid(np.arange(_BLOCK), np.arange(_BLOCK)), axis=-1).reshape(-1, 2)
    found = [np.empty((0, 2), dtype=np.int64)]
    for block, all_of_it in zip(blocks, whole, strict=True):
        cells = block * _BLOCK + within
        found.append(cells if all_of_it else cells[shapely.intersects(shape, _squares(cells, pitch_m, base))])
    return np.concatenate(found)


def _squares(cells: Ints, side: float, base: float) -> NDArray[np.object_]:
    x, y = cells[:, 0] * side, cells[:, 1] * side + base
    return np.asarray(shapely.box(x, y, x + side, y + side))
