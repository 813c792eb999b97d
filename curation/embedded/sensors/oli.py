"""What Landsat sees: surface reflectance of OLI's seven bands as numbers of Collection 2 Level 2, and QA_PIXEL."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from curation.embedded.archive.landsat import SceneL
from curation.embedded.sensors import optics, response
from curation.embedded.sensors.optics import Light
from curation.embedded.world import clouds, noise, tables
from curation.embedded.world.cover import COVERS, SPECTRA, per_code, reflectance
from curation.embedded.world.view import STRIP, View

FACTOR = 3
"""Pixels of 10 m along a side of one of 30 m."""

FILL = 0
"""Number of a pixel that was not seen."""

SCALE, OFFSET = 2.75e-5, -0.2
"""Reflectance is so many times the number, plus this (Landsat 8-9 Collection 2 Level 2 Science Product Guide, table 6-1)."""

QA_FILL = 1
"""QA_PIXEL of a pixel that was not seen: bit 0 alone."""

DILATED, CIRRUS, CLOUD, SHADOW, SNOW, CLEAR, WATER = (1 << bit for bit in (1, 2, 3, 4, 5, 6, 7))
"""Bits of QA_PIXEL (the same guide, table 6-2)."""

CLOUD_SURE, SHADOW_SURE, SNOW_SURE, CIRRUS_SURE = (8, 10, 12, 14)
"""First of the two bits that say how sure each is: 1 little, 2 medium, 3 much."""

OPAQUE = 0.38
"""Opacity from which it calls a pixel cloud; thinner ones it sees as cirrus, from `SEEN` of clouds on."""

HAZY = 0.06
"""Opacity from which it is in doubt."""

_GROWN_PX = 3
"""By so many pixels a cloud is widened (as CFMask does it)."""

_NOISE = 0.0006
"""Standard deviation of the sensor's noise, in reflectance."""

_RESPONSE = tables.beside(__file__)["response"]
BANDS = tuple(_RESPONSE)
"""Assets of reflectance, in the order of rows of the response."""

_MATRIX = response.matrix(_RESPONSE)


def bands(scene: SceneL, view: View, under: Light) -> dict[str, NDArray[np.uint16]]:
    """Numbers of all bands: uint16 by 30 m pixel, 0 outside the swath. Pixels are means of the ground, lit and clouded."""
    grid = view.grid.coarser(FACTOR)
    ground = _MATRIX @ reflectance(scene.doy, **scene.region.look)
    snow, cloud, shade = (response.seen(_MATRIX, of) for of in (SPECTRA["snow"], SPECTRA["cloud"], optics.SHADE))
    out = {name: np.empty((grid.height, grid.width), np.uint16) for name in BANDS}
    inside = optics.valid(grid, scene)
    for start in range(0, view.grid.height, STRIP):
        stop = min(start + STRIP, view.grid.height)
        over, rows = under.strip(start, stop, FACTOR), slice(start // FACTOR, stop // FACTOR)
        for b, name in enumerate(BANDS):
            seen = optics.means(ground[b][view.code[start:stop]], FACTOR)
            over.veil(seen, snow[b], cloud[b], shade[b])
            seen += noise.normal(seen.shape, noise.seed_of(scene.seed, name, start)) * np.float32(_NOISE)
            part = np.clip(np.rint((seen - OFFSET) / SCALE), 1, 65_535).astype(np.uint16)
            if inside is not None:
                part[~inside[rows]] = FILL
            out[name][rows] = part
    return out


def quality(scene: SceneL, view: View, under: Light) -> NDArray[np.uint16]:
    """QA_PIXEL: uint16 by 30 m pixel; it says what the bands show, and 1 outside the swath."""
    middle = view.code[1::FACTOR, 1::FACTOR]
    snow = optics.resized(under.snow, FACTOR) > 0.45
    opacity = np.zeros(middle.shape, np.float32) if under.cloud is None else optics.resized(under.cloud, FACTOR)
    shade = np.zeros(middle.shape, np.float32) if under.shade is None else optics.resized(under.shade, FACTOR)
    cloud = opacity > OPAQUE
    cirrus = ~cloud & (opacity > clouds.SEEN)
    dilated = binary_dilation(cloud, iterations=_GROWN_PX) & ~cloud
    shadow = (shade > 0.3) & ~cloud
    water = per_code([float(c.wc == 80) for c in COVERS])[middle] > 0
    hazy = ~cloud & (opacity > HAZY)
    out = np.zeros(middle.shape, np.uint16)
    for bit, where in (
        (DILATED, dilated), (CIRRUS, cirrus), (CLOUD, cloud), (SHADOW, shadow), (SNOW, snow & ~cloud),
        (CLEAR, ~cloud & ~dilated), (WATER, water & ~cloud),
    ):  # fmt: skip
        out[where] |= bit
    for first, sure, unsure in (
        (CLOUD_SURE, cloud, hazy), (SHADOW_SURE, shadow, None), (SNOW_SURE, snow & ~cloud, None),
        (CIRRUS_SURE, cirrus, None),
    ):  # fmt: skip
        much = np.where(sure, 3, 1) if unsure is None else np.where(sure, 3, np.where(unsure, 2, 1))
        out |= (much << first).astype(np.uint16)
    inside = optics.valid(view.grid.coarser(FACTOR), scene)
    if inside is not None:
        out[~inside] = QA_FILL
    return out
