"""What Sentinel-1 sees: radiometrically terrain-corrected backscatter with speckle."""

from __future__ import annotations

import numpy as np
import rasterio.features
from numpy.typing import NDArray

from curation.embedded.archive.scenes import Scene1, inner_swath, swath
from curation.embedded.world import noise
from curation.embedded.world.cover import STEPS, backscatter
from curation.embedded.world.view import STRIP, View

NODATA = -32768.0
LOOKS = 4.4
"""Equivalent number of looks of the products."""

ROLLED_DAYS = 24
"""How long a field stays as it was rolled."""

POLARISATIONS = ("vv", "vh")

_MANTISSA_BITS = np.uint32(0xFFFFF000)
"""Speckle needs no 23 bits of mantissa; with 11 the files are a third smaller."""


def wind_db(scene: Scene1) -> float:
    """By how much the wind of that hour brightens open water in VV."""
    strength: float = np.random.default_rng(noise.seed_of("wind", scene.seed)).uniform()
    return scene.region.wind_db * strength**2


def rolled(scene: Scene1) -> NDArray[np.bool_]:
    """Which parcel states of fields lie rolled, (STEPS,): the same ones for some weeks, on all orbits."""
    weeks = scene.time.toordinal() // ROLLED_DAYS
    draw = np.random.default_rng(noise.seed_of("rolled", scene.region.seed, weeks))
    return np.asarray(draw.random(STEPS) < scene.region.smooth)


def gamma0(scene: Scene1, view: View, polarisation: str) -> NDArray[np.float32]:
    """Linear gamma0 on the scene's grid: float32, -32768 outside the swath, exact zeros along its edge where it has them."""
    look = 0 if scene.direction == "ascending" else 1
    region = scene.region
    table = backscatter(
        scene.doy,
        **region.look,
        look=look,
        wind_db=wind_db(scene),
        smooth=rolled(scene),
    )[POLARISATIONS.index(polarisation)]
    # Ascending scenes look to the east, descending ones to the west. Correction leaves some of what slopes do.
    towards = view.east if look == 0 else -view.east
    slope = np.clip(1 + 1.3 * towards + 3 * np.maximum(towards - 0.12, 0), 0.5, 2.2).astype(np.float32)
    # Soil is wetter on some dates; open ground answers.
    wet = np.float32(10 ** (0.12 * np.random.default_rng(scene.seed).uniform(-1, 1)))
    out = np.empty((view.grid.height, view.grid.width), dtype=np.float32)
    for start in range(0, view.grid.height, STRIP):
        stop = min(start + STRIP, view.grid.height)
        part = table[view.code[start:stop]]
        part *= slope[start // 2 : stop // 2].repeat(2, axis=0).repeat(2, axis=1) * wet
        part *= noise.speckle(part.shape, noise.seed_of(scene.pixel_seed, polarisation, start), LOOKS)
        np.maximum(part, 1e-5, out=part)
        bits = part.view(np.uint32)
        bits &= _MANTISSA_BITS
        out[start:stop] = part
    if scene.acquired.edge is not None:
        shape = (view.grid.height, view.grid.width)
        for polygon, value in ((inner_swath(scene), 0.0), (swath(scene), NODATA)):
            outside = rasterio.features.rasterize(
                [(polygon, 0)], shape, fill=1, transform=view.grid.transform, dtype="uint8"
            )
            out[outside.astype(bool)] = value
    return out
