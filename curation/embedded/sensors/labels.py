"""Products that others make of the ground: elevation, WorldCover, Dynamic World. The last two err: `mistakes`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.embedded.archive.scenes import Scene2
from curation.embedded.sensors import mistakes, optics
from curation.embedded.sensors.mistakes import Rater, leaf, mapped
from curation.embedded.sensors.optics import Light
from curation.embedded.world import noise
from curation.embedded.world.cover import COVERS, per_code
from curation.embedded.world.grids import Grid, frame_pixels
from curation.embedded.world.ground import COARSE, Ground
from curation.embedded.world.regions import Region
from curation.embedded.world.view import STRIP, View, smooth

WC_CODES = np.array([80, 10, 30, 90, 40, 20, 50, 60], dtype=np.uint8)
"""WorldCover's code of each class, in Dynamic World's order without snow."""

DW_GAP = 255
"""Dynamic World's nodata: cloud, shadow, and gaps of its own."""

WC_EAGER = {"1.0.0": 0.15, "2.0.0": 0.0}
"""How much sooner each version errs: the second was better."""

_GAPPY = 1.7
"""Slope of the field that says where Dynamic World has gaps of its own."""


def elevation(ground: Ground, region: Region, grid: Grid) -> NDArray[np.float32]:
    """GLO-30: metres of the surface with woods and houses, float32 on the grid, 0.3 m of noise."""
    tall = per_code([c.height_m for c in COVERS])
    rows, cols = ground.height.shape
    surface = ground.height.copy()
    for start in range(0, rows, STRIP):
        stop = min(start + STRIP, rows)
        part = tall[ground.code[start * COARSE : stop * COARSE]]
        surface[start:stop] += part.reshape(stop - start, COARSE, cols, COARSE).mean(axis=(1, 3))
    out = smooth(*frame_pixels(grid, region), ground.height.shape).sample(surface)
    out += np.float32(0.3) * noise.normal_like(out.shape, noise.seed_of("dem", region.seed, grid.x0))
    return out


def worldcover(ground: Ground, region: Region, grid: Grid, version: str) -> NDArray[np.uint8]:
    """WorldCover codes, uint8 on the grid."""
    rater = yearly(version)
    out = np.empty((grid.height, grid.width), dtype=np.uint8)
    for start in range(0, grid.height, STRIP):
        stop = min(start + STRIP, grid.height)
        row, col = (f.astype(np.int32) for f in frame_pixels(grid.rows(start, stop), region))
        out[start:stop] = WC_CODES[mapped(ground, region, row, col, rater, mistakes.of(region.traits))]
    return out


def dynamicworld(scene: Scene2, ground: Ground, view: View, under: Light) -> NDArray[np.uint8]:
    """Dynamic World classes of one Sentinel-2 acquisition: uint8 by 10 m pixel, 255 where it has a gap."""
    seed = noise.seed_of("dw", scene.seed)
    gap = noise.rolled(noise.texture(_GAPPY), (view.grid.height // 2, view.grid.width // 2), seed + 1) > 2.4
    cloudy = optics.masked(scene, under)
    if cloudy is not None:
        gap |= cloudy
    inside = optics.valid(view.grid, scene)
    rater = daily(scene.region, f"{scene.time:%Y-%m-%d}", scene.doy)
    out = np.empty((view.grid.height, view.grid.width), dtype=np.uint8)
    for start in range(0, view.grid.height, STRIP):
        stop = min(start + STRIP, view.grid.height)
        row, col = (
            (f + np.float32(moved)).astype(np.int32)
            for f, moved in zip(frame_pixels(view.grid.rows(start, stop), scene.region), view.shift, strict=True)
        )
        part = mapped(ground, scene.region, row, col, rater, mistakes.of(scene.region.traits))
        half = slice(start // 2, stop // 2)
        part[(under.snow[half] > 0.5).repeat(2, axis=0).repeat(2, axis=1)] = 8
        part[gap[half].repeat(2, axis=0).repeat(2, axis=1)] = DW_GAP
        if inside is not None:
            part[~inside[start:stop]] = DW_GAP
        out[start:stop] = part
    return out


def yearly(version: str) -> Rater:
    """WorldCover of one version."""
    return Rater(f"wc-{version}", eager=WC_EAGER[version], speckle=0.005)


def daily(region: Region, day: str, doy: float) -> Rater:
    """Dynamic World of one day of a region's year."""
    return Rater("dw", day, eager=-0.05, speckle=0.015, leaf=leaf(doy, region))
