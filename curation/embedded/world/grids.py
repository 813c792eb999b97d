"""Pixel grids of scenes, and how they sample a region's frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from curation.embedded.world.regions import BBox, Region, Tile, frame, projected, transformer, utm_box, whole

CONTROL_STEP_PX = 64
"""Projections are evaluated this far apart and interpolated between: the error is far below a hundredth of a pixel."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A north-up pixel grid."""

    epsg: int
    x0: float
    """West edge."""
    y0: float
    """North edge."""
    dx: float
    """Pixel width in the CRS's unit."""
    dy: float
    """Pixel height, positive."""
    height: int
    width: int

    @property
    def transform(self) -> Affine:
        """Column, row to x, y."""
        return Affine(self.dx, 0.0, self.x0, 0.0, -self.dy, self.y0)

    @property
    def bounds(self) -> BBox:
        """West, south, east, north."""
        return self.x0, self.y0 - self.height * self.dy, self.x0 + self.width * self.dx, self.y0

    def coarser(self, factor: int) -> Grid:
        """The grid of `factor` times larger pixels; its size must be divisible."""
        if self.height % factor or self.width % factor:
            raise ValueError(f"{self}: not divisible by {factor}")
        dx, dy = self.dx * factor, self.dy * factor
        return Grid(self.epsg, self.x0, self.y0, dx, dy, self.height // factor, self.width // factor)

    def part(self, row: int, col: int, size: int) -> Grid:
        """The square of `size` pixels a side whose first is at row and col; it may reach beyond this grid."""
        return Grid(self.epsg, self.x0 + col * self.dx, self.y0 - row * self.dy, self.dx, self.dy, size, size)

    def rows(self, start: int, stop: int) -> Grid:
        """The strip of rows start to stop."""
        return Grid(self.epsg, self.x0, self.y0 - start * self.dy, self.dx, self.dy, stop - start, self.width)


@cache
def s2_grid(tile: Tile) -> Grid:
    """A Sentinel-2 tile's 10 m grid; corners where the real ones have theirs (60 m, from 40 m in the south)."""
    w, s, e, n = utm_box(tile.box, tile.epsg)
    base = 40 if tile.epsg >= 32700 else 0
    x0 = math.floor(w / 60) * 60
    y0 = math.ceil((n - base) / 60) * 60 + base
    # 120 m steps in size, so that strips of whole 60 m pixels are whole 20 m pixels of an even number too.
    step = tile.step_px
    width, height = math.ceil((e - x0) / (10 * step)) * step, math.ceil((y0 - s) / (10 * step)) * step
    return Grid(tile.epsg, x0, y0, 10, 10, height, width)


@cache
def s1_grid(region: Region, epsg: int) -> Grid:
    """The 10 m grid of a region's Sentinel-1 scenes: on multiples of 10 m that are none of 20 or 60 m."""
    w, s, e, n = utm_box(whole(region), epsg)
    x0, y0 = math.floor(w / 60) * 60 - 30, math.ceil(n / 60) * 60 + 10
    step = region.step_px
    return Grid(
        epsg, x0, y0, 10, 10, math.ceil((y0 - s) / (10 * step)) * step, math.ceil((e - x0) / (10 * step)) * step
    )


@cache
def landsat_grid(region: Region, epsg: int) -> Grid:
    """The ground of a region's Landsat scenes by pixels of 10 m; their own, of 30 m, have centres on multiples of 30 m.

    So their edges lie half a pixel beside those of other sensors' 30 m. South of the equator, too, y is counted from there.
    """
    w, s, e, n = utm_box(whole(region), epsg)
    x0, y0 = math.floor((w - 15) / 30) * 30 + 15, math.ceil((n - 15) / 30) * 30 + 15
    # 60 m steps in size: whole pixels of 20 and of 30 m.
    return Grid(epsg, x0, y0, 10, 10, math.ceil((y0 - s) / 60) * 6, math.ceil((e - x0) / 60) * 6)


def degree_grid(
    region: Region, corner: tuple[int, int], size_deg: int, dx: float, dy: float, shift: float
) -> Grid | None:
    """The part over the region of a square EPSG:4326 product tile; None where it has none.

    Args:
        region: with its margin.
        corner: longitude and latitude of the tile's south-west corner.
        size_deg: of the tile.
        dx: pixel width in degrees.
        dy: pixel height in degrees.
        shift: by how many pixels the tile's grid lies west and north of its corner (GLO-30: half a pixel).
    """
    w, s, e, n = whole(region)
    lon, lat = corner
    left, top = lon - shift * dx, lat + size_deg + shift * dy
    first, last = max(0, math.floor((w - left) / dx)), min(round(size_deg / dx), math.ceil((e - left) / dx))
    above, below = max(0, math.floor((top - n) / dy)), min(round(size_deg / dy), math.ceil((top - s) / dy))
    if first >= last or above >= below:
        return None
    return Grid(4326, left + first * dx, top - above * dy, dx, dy, below - above, last - first)


def frame_pixels(grid: Grid, region: Region) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fractional frame row and column of every pixel's centre: two float32 of the grid's shape."""
    rows, cols = _knots(grid.height), _knots(grid.width)
    x = grid.x0 + (cols + 0.5) * grid.dx
    y = grid.y0 - (rows + 0.5) * grid.dy
    there = frame(region)
    to_frame = transformer(f"EPSG:{grid.epsg}", there.crs)
    fx, fy = to_frame.transform(*np.meshgrid(x, y))
    row, col = there.pixel(fx, fy)
    return _between(row, rows, cols, grid), _between(col, rows, cols, grid)


def _knots(size: int) -> NDArray[np.float64]:
    return np.linspace(0, size - 1, max(2, size // CONTROL_STEP_PX + 1))


def _between(
    values: NDArray[np.float64], rows: NDArray[np.float64], cols: NDArray[np.float64], grid: Grid
) -> NDArray[np.float32]:
    """Bilinear interpolation of values at knots onto every pixel."""
    c = np.arange(grid.width)
    across = np.stack([np.interp(c, cols, v) for v in values]).astype(np.float32)
    position = np.interp(np.arange(grid.height), rows, np.arange(len(rows)))
    low = np.minimum(position.astype(int), len(rows) - 2)
    weight = (position - low).astype(np.float32)[:, None]
    out: NDArray[np.float32] = across[low]
    out += (across[low + 1] - out) * weight
    return out


def from_frame(
    shape: shapely.geometry.base.BaseGeometry, region: Region, epsg: int
) -> shapely.geometry.base.BaseGeometry:
    """A shape in frame coordinates in another CRS, long edges given points about every 2 km first."""
    return projected(shapely.segmentize(shape, 2_000), frame(region).crs, f"EPSG:{epsg}")
