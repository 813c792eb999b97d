"""Products that others make of the ground: elevation, WorldCover, Dynamic World. The last two err, in patches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.embedded.archive.scenes import Scene2
from curation.embedded.sensors import optics
from curation.embedded.sensors.optics import Light
from curation.embedded.world import noise
from curation.embedded.world.cover import COVERS, per_code
from curation.embedded.world.grids import Grid, frame_pixels
from curation.embedded.world.ground import COARSE, Ground
from curation.embedded.world.regions import Region
from curation.embedded.world.view import STRIP, View, smooth

WC_CONFUSED = {
    "broadleaf": 20, "conifer": 10, "meadow": 40, "rough-grass": 20, "marsh": 30, "wheat": 30, "maize": 30, "beet": 30,
    "rape": 30, "cane": 20, "shrub": 10, "roof-tile": 60, "roof-grey": 50, "hall": 60, "street": 60, "garden": 10,
    "quarry": 30, "road": 40, "park": 30, "river": 80, "lake": 90,
}  # fmt: skip
"""What WorldCover takes each kind for where it errs."""

DW_CONFUSED = {
    "broadleaf": 5, "conifer": 1, "meadow": 4, "rough-grass": 5, "marsh": 2, "wheat": 2, "maize": 7, "beet": 4,
    "rape": 5, "cane": 5, "shrub": 1, "roof-tile": 6, "roof-grey": 7, "hall": 7, "street": 6, "garden": 1,
    "quarry": 6, "road": 4, "park": 6, "river": 0, "lake": 3,
}  # fmt: skip
"""What Dynamic World takes each kind for where it errs."""

DW_GAP = 255
"""Dynamic World's nodata: cloud, shadow, and gaps of its own."""

WC_LIMIT = {"1.0.0": 1.25, "2.0.0": 1.45}
"""Standard deviations beyond which WorldCover errs: about a tenth of the land in the first version, less in the second."""

_PATCHY = 1.7
"""Slope of the field that says where a product errs."""


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
    true = per_code([float(c.wc) for c in COVERS]).astype(np.uint8)
    wrong = per_code([float(WC_CONFUSED[c.name]) for c in COVERS]).astype(np.uint8)
    errs = noise.texture(_PATCHY) > WC_LIMIT[version]
    size = np.int32(errs.shape[0])
    down, right = np.random.default_rng(noise.seed_of("wc", region.seed, version)).integers(0, size, 2, dtype=np.int32)
    out = np.empty((grid.height, grid.width), dtype=np.uint8)
    rows, cols = ground.code.shape
    flat, flat_errs = ground.code.reshape(-1), errs.reshape(-1)
    for start in range(0, grid.height, STRIP):
        stop = min(start + STRIP, grid.height)
        row, col = frame_pixels(grid.rows(start, stop), region)
        r, c = np.clip(row.astype(np.int32), 0, rows - 1), np.clip(col.astype(np.int32), 0, cols - 1)
        code = flat[r * np.int32(cols) + c]
        err = flat_errs[((r + down) & (size - 1)) * size + ((c + right) & (size - 1))]
        out[start:stop] = np.where(err, wrong[code], true[code])
    return out


def dynamicworld(scene: Scene2, view: View, under: Light) -> NDArray[np.uint8]:
    """Dynamic World classes of one Sentinel-2 acquisition: uint8 by 10 m pixel, 255 where it has a gap."""
    true = per_code([float(c.dw) for c in COVERS]).astype(np.uint8)
    wrong = per_code([float(DW_CONFUSED[c.name]) for c in COVERS]).astype(np.uint8)
    patchy = noise.texture(_PATCHY)
    seed = noise.seed_of("dw", scene.seed)
    gap = noise.rolled(patchy, (view.grid.height // 2, view.grid.width // 2), seed + 1) > 2.4
    cloudy = optics.masked(scene, under)
    if cloudy is not None:
        gap |= cloudy
    inside = optics.valid(view.grid, scene)
    errs = noise.rolled(patchy > 1.4, (view.grid.height, view.grid.width), seed)
    out = np.empty((view.grid.height, view.grid.width), dtype=np.uint8)
    for start in range(0, view.grid.height, STRIP):
        stop = min(start + STRIP, view.grid.height)
        code = view.code[start:stop]
        part = np.where(errs[start:stop], wrong[code], true[code])
        half = slice(start // 2, stop // 2)
        part[(under.snow[half] > 0.5).repeat(2, axis=0).repeat(2, axis=1)] = 8
        part[gap[half].repeat(2, axis=0).repeat(2, axis=1)] = DW_GAP
        if inside is not None:
            part[~inside[start:stop]] = DW_GAP
        out[start:stop] = part
    return out
