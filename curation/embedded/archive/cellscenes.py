"""The scenes of the cells as files: rendered block by block, when bytes of a block are first asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RectBivariateSpline

from curation.embedded.archive.blockfile import BlockFile
from curation.embedded.archive.blockstore import BlockStore, Pixels
from curation.embedded.archive.scenes import Scene1, Scene2, shift_of
from curation.embedded.sensors import optics, radar
from curation.embedded.world import cells, noise, terrain
from curation.embedded.world.cover import BANDS, STEPS, kind
from curation.embedded.world.grids import Grid, frame_pixels
from curation.embedded.world.ground import COARSE, Ground
from curation.embedded.world.once import OnceCache
from curation.embedded.world.regions import frame, transformer
from curation.embedded.world.view import View, smooth

BLOCK = {10: 240, 20: 240, 60: 80}
"""Pixels along a block's side, by pixel size: 2.4 or 4.8 km."""

KNOT_PX = 8
"""Every how many 20 m pixels the terrain is worked out."""


@dataclass(frozen=True, slots=True)
class Group:
    """Assets of a scene whose blocks are rendered together."""

    collection: str
    item: str
    assets: tuple[str, ...]
    res_m: int


def _groups() -> list[Group]:
    by_res = [(tuple(b for b in BANDS if optics.RES_M[b] == res), res) for res in (10, 20, 60)]
    out = [
        Group("sentinel-2-l2a", s.id, assets, res)
        for s in cells.s2_scenes()
        for assets, res in (*by_res, (("SCL",), 20))
    ]
    out += [Group("sentinel-1-rtc", s.id, (pol,), 10) for s in cells.s1_scenes() for pol in radar.POLARISATIONS]
    return out


class CellScenes:
    """Blocks under a folder, for any number of threads and processes: a block is either whole or not there."""

    def __init__(self, folder: Path, stored_ground: Callable[[str], Ground]) -> None:
        """Renders nothing yet.

        Args:
            folder: where blocks are kept.
            stored_ground: the ground of a biome by name; it is kept here.
        """
        self._store = BlockStore(folder)
        self._groups = {(g.collection, g.item, a): g for g in _groups() for a in g.assets}
        self._scenes: dict[str, Scene1 | Scene2] = {s.id: s for s in cells.s2_scenes()}
        self._scenes |= {s.id: s for s in cells.s1_scenes()}
        self._grounds: OnceCache[Ground] = OnceCache(len(cells.BIOMES))
        self._stored_ground = stored_ground
        self._views: OnceCache[View] = OnceCache(32)

    def file(self, collection: str, item: str, asset: str) -> BlockFile | None:
        """Where everything lies in an asset's file; None where it is none of these."""
        group = self._groups.get((collection, item, asset))
        if group is None:
            return None
        grid = self._scenes[item].grid
        if collection == "sentinel-1-rtc":
            return _file(grid, BLOCK[10], "float32", radar.NODATA)
        return _file(grid.coarser(group.res_m // 10), BLOCK[group.res_m], "uint8" if asset == "SCL" else "uint16", None)

    def read(self, collection: str, item: str, asset: str, start: int, stop: int) -> bytes:
        """Bytes start to stop of an asset's file; blocks that are not there yet are rendered."""
        file = self.file(collection, item, asset)
        assert file is not None
        group = self._groups[collection, item, asset]
        return file.read(start, stop, lambda row, col: self._block(group, asset, row, col))

    def _block(self, group: Group, asset: str, row: int, col: int) -> Pixels:
        file = self.file(group.collection, group.item, asset)
        assert file is not None
        item, at = f"{group.collection}/{group.item}", (row, col)
        return self._store.block(item, asset, at, file.dtype, group.assets, lambda: self._render(group, row, col))

    def _render(self, group: Group, row: int, col: int) -> dict[str, Pixels]:
        scene = self._scenes[group.item]
        size = BLOCK[group.res_m] * group.res_m // 10
        at = (row * size, col * size, size)
        cell = cells.by_region()[scene.region.name]
        under = self._grounds.get(cell.biome, lambda: self._stored_ground(cell.biome))
        if isinstance(scene, Scene1):
            part1 = replace(scene, part=at)
            seen = self._views.get(part1.grid, lambda: view(cell, under, part1.grid))
            return {pol: radar.gamma0(part1, seen, pol) for pol in group.assets}
        part2 = replace(scene, part=at)
        shift = shift_of(part2)
        seen = self._views.get((part2.grid, shift), lambda: view(cell, under, part2.grid, shift))
        light = optics.light(part2, seen)
        if group.assets == ("SCL",):
            return {"SCL": optics.classification(part2, seen, light)}
        return dict(optics.bands(part2, seen, light, group.assets))


@cache
def _file(grid: Grid, block: int, dtype: str, nodata: float | None) -> BlockFile:
    return BlockFile(grid, block, dtype, nodata)


def view(cell: cells.Cell, under: Ground, grid: Grid, shift: tuple[float, float] = (0.0, 0.0)) -> View:
    """A cell as a grid of 10 m pixels sees it: its biome's ground again and again, the world's terrain and sea.

    Of what is seen beside its place (`shift`, pixels down and right) the terrain stays: it is smooth.
    """
    at = zip(frame_pixels(grid, cell.region), shift, strict=True)
    row, col = (np.floor(f + np.float32(by)).astype(np.int64) for f, by in at)
    seed = cell.region.seed
    rows, cols = under.code.shape
    code = under.code[(row + seed) % rows, (col + seed // 7) % cols]
    grain = _texture()[row % 1024, col % 1024]

    coarse = grid.coarser(2)
    shape = frame(cell.region).shape
    at20 = smooth(*frame_pixels(coarse, cell.region), (shape[0] // COARSE, shape[1] // COARSE))
    height = _heights(coarse)
    step = 2 * coarse.dx
    north, east = (height[:-2, 1:-1] - height[2:, 1:-1]) / step, (height[1:-1, 2:] - height[1:-1, :-2]) / step
    inside = height[1:-1, 1:-1]
    sea = (inside <= 0).repeat(2, axis=0).repeat(2, axis=1)
    code[sea] = kind("lake") * STEPS + 128
    land = inside > 0
    # The sea is level.
    return View(
        grid,
        code,
        grain,
        at20,
        (east * land).astype(np.float32),
        (north * land).astype(np.float32),
        np.maximum(inside, 0).astype(np.float32),
    )


def _heights(grid: Grid) -> NDArray[np.float64]:
    """The terrain at the centres of a grid's pixels and of one more on each side, in metres.

    Between knots by cubic splines: its waves are long, so they are off by a centimetre at most.
    """
    rows, cols = np.arange(-1, grid.height + 1), np.arange(-1, grid.width + 1)
    down, right = (np.linspace(-1, n, max(6, n // KNOT_PX + 2)) for n in (grid.height, grid.width))
    x, y = grid.x0 + (right + 0.5) * grid.dx, grid.y0 - (down + 0.5) * grid.dy
    lon, lat = transformer(f"EPSG:{grid.epsg}", "EPSG:4326").transform(*np.meshgrid(x, y))
    out: NDArray[np.float64] = RectBivariateSpline(down, right, terrain.height(lon, lat))(rows, cols)
    return out


@cache
def _texture() -> NDArray[np.int8]:
    return np.clip(noise.texture() * 32, -127, 127).astype(np.int8)
