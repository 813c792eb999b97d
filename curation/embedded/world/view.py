"""The ground as one pixel grid sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.embedded.world import noise
from curation.embedded.world.grids import Grid, frame_pixels
from curation.embedded.world.ground import COARSE, COARSE_M, Ground
from curation.embedded.world.regions import Region

STRIP = 240
"""Rows done at a time: whole 60 m pixels, and few enough to stay in the processor's cache."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Smooth:
    """Where a grid's pixels lie among the 40 m pixels of a frame, ready for bilinear sampling."""

    corner: NDArray[np.int32]
    """Flat index of the upper left of the four neighbours."""
    down: Floats
    """Weight of the lower two."""
    right: Floats
    """Weight of the right two."""

    def sample(self, field: Floats) -> Floats:
        """The field on the grid, float32 of the grid's shape."""
        flat, width = np.ascontiguousarray(field).reshape(-1), field.shape[1]
        top = flat[self.corner]
        top += (flat[self.corner + 1] - top) * self.right
        low: Floats = flat[self.corner + width]
        low += (flat[self.corner + (width + 1)] - low) * self.right
        low -= top
        low *= self.down
        low += top
        return low


def smooth(row: Floats, col: Floats, shape: tuple[int, int]) -> Smooth:
    """For frame pixels (10 m, fractional) and the shape of the frame's 40 m fields."""
    r = np.clip(row / COARSE - 0.5, 0, shape[0] - 1.001)
    c = np.clip(col / COARSE - 0.5, 0, shape[1] - 1.001)
    r0, c0 = r.astype(np.int32), c.astype(np.int32)
    down, right = (r - r0).astype(np.float32), (c - c0).astype(np.float32)
    return Smooth(r0 * np.int32(shape[1]) + c0, down, right)


@dataclass(frozen=True, slots=True)
class View:
    """The ground on one 10 m grid."""

    grid: Grid
    code: NDArray[np.uint16]
    """Kind × STEPS + state, by 10 m pixel."""
    grain: NDArray[np.int8]
    """Texture, by 10 m pixel: 32 is one standard deviation."""
    at20: Smooth
    """The 20 m pixels in the frame's 40 m fields."""
    east: Floats
    """Slope of the terrain towards the east, by 20 m pixel."""
    north: Floats
    """Slope of the terrain towards the north, by 20 m pixel."""
    height: Floats
    """Metres, by 20 m pixel."""
    shift: tuple[float, float] = (0.0, 0.0)
    """How far down and right of each pixel what is seen there lies, in pixels of 10 m."""


def make(ground: Ground, region: Region, grid: Grid, shift: tuple[float, float] = (0.0, 0.0)) -> View:
    """The ground on a grid of 10 m pixels, nearest neighbour for kinds, bilinear for terrain.

    Args:
        ground: what there is.
        region: whose it is.
        grid: the pixels.
        shift: how far down and right of its place it is seen, in pixels; kinds by the nearest pixel there.
    """
    if shift != (0.0, 0.0):
        return moved(ground, region, grid, shift)
    code = np.empty((grid.height, grid.width), dtype=np.uint16)
    grain = np.empty(code.shape, dtype=np.int8)
    texture = np.clip(noise.texture() * 32, -127, 127).astype(np.int8)
    size = np.int32(texture.shape[0])
    flat, flat_texture, width = ground.code.reshape(-1), texture.reshape(-1), np.int32(ground.code.shape[1])
    for start in range(0, grid.height, STRIP):
        stop = min(start + STRIP, grid.height)
        row, col = (f.astype(np.int32) for f in frame_pixels(grid.rows(start, stop), region))
        code[start:stop] = flat[row * width + col]
        grain[start:stop] = flat_texture[(row & (size - 1)) * size + (col & (size - 1))]
    at20 = smooth(*frame_pixels(grid.coarser(2), region), ground.height.shape)
    south, east = (np.asarray(g, dtype=np.float32) for g in np.gradient(ground.height, COARSE_M))
    return View(grid, code, grain, at20, at20.sample(east), at20.sample(-south), at20.sample(ground.height))


def moved(ground: Ground, region: Region, grid: Grid, shift: tuple[float, float]) -> View:
    """As `make`, of a shift that is not 0."""
    down, right = (np.float32(its) for its in shift)
    rows, cols = ground.code.shape
    row, col = frame_pixels(grid, region)
    at = np.clip(row + down, 0, rows - 1).astype(np.int32), np.clip(col + right, 0, cols - 1).astype(np.int32)
    texture = np.clip(noise.texture() * 32, -127, 127).astype(np.int8)
    size = texture.shape[0] - 1
    coarse_row, coarse_col = frame_pixels(grid.coarser(2), region)
    at20 = smooth(coarse_row + down, coarse_col + right, ground.height.shape)
    south, east = (np.asarray(g, dtype=np.float32) for g in np.gradient(ground.height, COARSE_M))
    seen = at20.sample(east), at20.sample(-south), at20.sample(ground.height)
    return View(grid, ground.code[at], texture[at[0] & size, at[1] & size], at20, *seen, shift)
