"""Shapes on the grid of a place: read near to it, moved onto its CRS, burnt, and compared with their true areas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from shapely.geometry.base import BaseGeometry

from curation.errors import ReadError
from curation.model import Location
from curation.places import grid
from curation.read.shapes import Box
from curation.recipe.footprint import pixels_across

_AROUND_PX = 2
"""So many pixels around a place are read with it: a shape beside it may touch one of its pixels."""

_PARTS = 128
"""Pieces of an edge that crosses a place: of one of 10 km each strays from its true course by a millimetre at most."""

Geometries = NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Ground:
    """What the pixels of a place cover."""

    place: Location
    step: float
    """Side of a pixel, in units of the place's CRS."""

    @property
    def px(self) -> int:
        """Pixels along a side."""
        return pixels_across(self.place.size_m, self.step)

    @property
    def transform(self) -> Affine:
        """From columns and rows to the place's CRS."""
        return Affine(self.step, 0, self.place.x0_m, 0, -self.step, self.place.y0_m)

    @property
    def square(self) -> shapely.Polygon:
        """Its outline in the place's CRS."""
        return self._box(0)

    def _box(self, around_px: int) -> shapely.Polygon:
        out, side = around_px * self.step, self.px * self.step
        west, north = self.place.x0_m, self.place.y0_m
        return shapely.box(west - out, north - side - out, west + side + out, north + out)

    def boxes(self, crs: CRS) -> list[Box]:
        """The bounds of it, and of a little more, in another CRS; of degrees on either side of where these begin anew.

        Raises:
            ReadError: that CRS does not reach there.
        """
        around = self._box(_AROUND_PX)
        if crs.to_epsg() == self.place.epsg:
            return [around.bounds]
        edge = shapely.get_coordinates(shapely.segmentize(around, self.px * self.step / 16))
        x, y = map(np.asarray, grid.transformer(self.place.epsg, crs.to_wkt()).transform(*edge.T))
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise ReadError(
                f"{self.place.id} lies beyond where the CRS {crs.name!r} of its shapes reaches; choose another"
            )
        if crs.is_geographic:
            x = x[0] + (x - x[0] + 180) % 360 - 180
        more = 0.01 * max(np.ptp(x), np.ptp(y))  # between its points an edge runs on a little further
        west, south, east, north = (float(v) for v in (x.min() - more, y.min() - more, x.max() + more, y.max() + more))
        turns = (-360, 0, 360) if crs.is_geographic else (0,)
        boxes = [(west + turn, south, east + turn, north) for turn in turns]
        return [b for b in boxes if not crs.is_geographic or (b[2] >= -180 and b[0] <= 360)]

    def moved(self, shapes: Geometries, crs: CRS) -> Geometries:
        """Valid shapes in the place's CRS, without what lies far beside it.

        They are cut first, so that edges of hundreds of kilometres cost nothing, and what remains is given points so dense
        that a straight edge in their CRS is one in the place's.
        """
        boxes = self.boxes(crs)
        near = shapely.union_all([shapely.box(*box) for box in boxes])
        cut = shapely.intersection(shapes, near)
        if crs.to_epsg() == self.place.epsg:
            return np.asarray(cut)
        west, south, east, north = boxes[0]
        dense = shapely.segmentize(cut, max(east - west, north - south) / _PARTS)
        move = grid.transformer(crs.to_wkt(), self.place.epsg).transform

        def onto(xy: NDArray[Any]) -> NDArray[Any]:
            return np.column_stack(move(*xy.T))

        found = shapely.transform(dense, onto)
        bad = ~shapely.is_valid(found)
        found[bad] = shapely.make_valid(found[bad])  # rounding alone: whether a shape was valid is asked in its own CRS
        return np.asarray(found)


@dataclass(frozen=True, slots=True)
class Painted:
    """Shapes of one class, to be burnt over what was burnt before."""

    code: int
    shapes: Geometries
    """In the place's CRS."""
    within: Geometries | None = None
    """The area that is spoken of; all of the place where None."""
    stated: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    """By name, of each shape a text that is told where a pixel of it is seen; of an empty one nothing is."""


def burnt(
    ground: Ground, layers: Sequence[Painted], nodata: float, dtype: str, *, all_touched: bool = False
) -> NDArray[Any]:
    """(y, x) codes: of each pixel that of the last layer that has its centre, or with `all_touched` any of it; else nodata.

    Outside the area of a layer, by pixels' centres whatever `all_touched` says, none of it is burnt.
    """
    codes = np.array([*(layer.code for layer in layers), nodata], dtype)
    return np.asarray(codes[_last(ground, layers, all_touched=all_touched)])


def stated(ground: Ground, layers: Sequence[Painted], *, all_touched: bool = False) -> dict[str, set[str]]:
    """What layers tell, by name, of shapes of which `burnt` leaves a pixel: in their area, and not under a later layer."""
    last = _last(ground, layers, all_touched=all_touched)
    out: dict[str, set[str]] = {}
    for number, layer in enumerate(layers):
        for name, texts in layer.stated.items():
            seen = {
                text
                for text in {*texts.tolist()} - {""}
                if (_mask(ground, layer.shapes[texts == text], all_touched=all_touched) & (last == number)).any()
            }
            out[name] = out.get(name, set()) | seen
    return out


def _last(ground: Ground, layers: Sequence[Painted], *, all_touched: bool) -> NDArray[np.int64]:
    """(y, x) number of the last layer that has each pixel, −1 where none has."""
    out = np.full((ground.px, ground.px), -1, np.int64)
    for number, layer in enumerate(layers):
        mine = _mask(ground, layer.shapes, all_touched=all_touched)
        if layer.within is not None:
            mine &= _mask(ground, layer.within, all_touched=False)
        out[mine] = number
    return out


def _mask(ground: Ground, shapes: Geometries, *, all_touched: bool) -> NDArray[np.bool_]:
    parts = shapely.get_parts(shapes)  # rasterio takes no empty shape
    left = parts[~shapely.is_empty(parts)]
    if not len(left):
        return np.zeros((ground.px, ground.px), bool)
    made = rasterio.features.rasterize(
        list(left), (ground.px, ground.px), fill=0, default_value=1, transform=ground.transform, all_touched=all_touched,
        dtype="uint8",
    )  # fmt: skip
    return np.asarray(made, bool)


def areas_m2(ground: Ground, layers: Sequence[Painted], codes: Sequence[int]) -> NDArray[np.float64]:
    """(code,) true area of each class within the place, m², by an equal-area CRS: what no later layer lies over."""
    true = _equal_area(ground.place)
    out = dict.fromkeys(codes, 0.0)
    covered: BaseGeometry = shapely.Polygon()
    for layer in reversed(layers):
        mine = _union(layer.shapes, ground.square)
        if layer.within is not None:
            mine = mine.intersection(_union(layer.within, ground.square))
        out[layer.code] += true(mine.difference(covered))
        covered = covered.union(mine)
    return np.array([out[code] for code in codes])


def burnt_m2(ground: Ground, pixels: NDArray[Any], codes: Sequence[int]) -> NDArray[np.float64]:
    """(code,) area of the pixels (y, x) of each class, m²: their number by the mean true area of a pixel there."""
    pixel = _equal_area(ground.place)(ground.square) / ground.px**2
    return np.array([np.count_nonzero(pixels == code) * pixel for code in codes])


def _union(shapes: Geometries, square: shapely.Polygon) -> BaseGeometry:
    """The ground of shapes within a square, as one."""
    areas = shapes[shapely.get_dimensions(shapes) == 2]
    found: BaseGeometry = shapely.union_all(shapely.intersection(areas, square))
    return found


def _equal_area(place: Location) -> Callable[[BaseGeometry], float]:
    """True area, m², of what is told in a place's CRS: on an azimuthal equal-area map around it (EPSG method 9820)."""
    there = f"+proj=laea +lat_0={place.lat:.0f} +lon_0={place.lon:.0f} +datum=WGS84 +units=m"
    move = grid.transformer(place.epsg, there).transform

    def area(shape: BaseGeometry) -> float:
        if shape.is_empty:
            return 0.0
        dense = shapely.segmentize(shape, place.size_m / _PARTS)
        return float(shapely.area(shapely.transform(dense, lambda xy: np.column_stack(move(*xy.T)))))

    return area


def touching(ground: Ground, shapes: Geometries) -> NDArray[np.bool_]:
    """Which shapes, in the place's CRS, touch it."""
    return np.asarray(shapely.intersects(shapes, ground.square))
