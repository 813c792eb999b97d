"""What Sentinel-2 sees: digital numbers of the twelve bands, and the scene classification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import rasterio.features
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from curation.embedded.archive.scenes import Scene2, swath
from curation.embedded.world import clouds, noise
from curation.embedded.world.cover import BANDS, COVERS, SPECTRA, kind, per_code, reflectance
from curation.embedded.world.grids import Grid
from curation.embedded.world.view import STRIP, View

RES_M = dict.fromkeys(("B02", "B03", "B04", "B08"), 10) | dict.fromkeys(("B01", "B09"), 60)
RES_M |= {b: 20 for b in BANDS if b not in RES_M}

SENSOR_NOISE = 9.0
"""Standard deviation of the sensor's noise, in digital numbers."""

HAZE = (0.9, 0.7, 0.45, 0.3, 0.2, 0.15, 0.1, 0.08, 0.06, 0.06, 0.02, 0.01)
"""What is left of haze after correction, relative, by band: it differs from date to date."""

SHADE = (0.55, 0.56, 0.6, 0.63, 0.64, 0.66, 0.67, 0.68, 0.69, 0.69, 0.72, 0.73)
"""Share of light that a full cloud shadow takes, by band: the sky still lights the blue."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Light:
    """What is common to the bands of a scene, by 20 m pixel."""

    lit: Floats
    """Illumination by the slope, around 1."""
    snow: Floats
    """Share of snow."""
    cloud: Floats | None
    """Opacity; None under a clear sky."""
    shade: Floats | None
    """Depth of cloud shadow."""


def light(scene: Scene2, view: View) -> Light:
    """Illumination, snow, and clouds of a scene."""
    zenith, azimuth = clouds.sun(scene)
    tilt = np.tan(np.radians(zenith))
    east, north = np.sin(np.radians(azimuth)), np.cos(np.radians(azimuth))
    # A slope that rises towards the sun turns away from it. Terrain correction leaves half of the effect.
    lit = 1 - 0.5 * tilt * (view.east * np.float32(east) + view.north * np.float32(north))
    np.clip(lit, 0.45, 1.5, out=lit)
    snow = np.zeros_like(lit)
    if not scene.region.south and scene.time.month in (12, 1, 2):
        line = scene.region.base_m + {12: 0.62, 1: 0.42, 2: 0.7}[scene.time.month] * scene.region.relief_m
        if scene.part is None:
            rough = noise.rolled(noise.texture(), (lit.shape[0], lit.shape[1]), scene.region.seed)
        else:
            rough = noise.tiled(noise.texture(), scene.part[0] // 2, scene.part[1] // 2, (lit.shape[0], lit.shape[1]))
        snow = np.clip((view.height - np.float32(line)) / 25 + 0.35 * rough, 0, 1) * np.float32(0.85)
    both = clouds.in_frame(scene.region, scene.acquired, round(zenith, 3), round(azimuth, 3))
    if both is None:
        return Light(lit.astype(np.float32), snow.astype(np.float32), None, None)
    cloud, shade = (view.at20.sample(f) for f in both)
    return Light(lit.astype(np.float32), snow.astype(np.float32), cloud, shade)


def valid(grid: Grid, scene: Scene2) -> NDArray[np.bool_] | None:
    """Which pixels' centres lie in the swath; None where all do."""
    if scene.acquired.edge is None:
        return None
    inside = rasterio.features.rasterize(
        [(swath(scene), 1)], out_shape=(grid.height, grid.width), transform=grid.transform, dtype="uint8"
    )
    return np.asarray(inside, dtype=bool)


def bands(scene: Scene2, view: View, under: Light, names: Sequence[str]) -> dict[str, NDArray[np.uint16]]:
    """Digital numbers of bands of one resolution: uint16, by name.

    They are reflectance × 10000 plus the baseline's offset, and 0 outside the swath.
    20 and 60 m pixels are means of the 10 m ground, lit and clouded at their own size.
    """
    factor = RES_M[names[0]] // 10
    table = reflectance(scene.doy, south=scene.region.south, evergreen=scene.region.evergreen) * 10_000
    grid = view.grid.coarser(factor)
    weak = per_code([c.grain for c in COVERS]) / 32
    out = {name: np.empty((grid.height, grid.width), dtype=np.uint16) for name in names}
    inside = valid(grid, scene)
    haze = 140 * np.random.default_rng(scene.seed).random()
    for start in range(0, view.grid.height, STRIP):
        stop = min(start + STRIP, view.grid.height)
        code = view.code[start:stop]
        lit, snow, cloud, shade = (
            None if f is None else _resized(f[start // 2 : stop // 2], factor)
            for f in (under.lit, under.snow, under.cloud, under.shade)
        )
        assert lit is not None
        if factor == 1:
            texture = weak[code]
            texture *= view.grain[start:stop]
            texture += 1
            lit = np.asarray(lit * texture, dtype=np.float32)
        rows = slice(start // factor, stop // factor)
        for name in names:
            b = BANDS.index(name)
            dn = table[b][code]
            if factor > 1:
                dn = _means(dn, factor)
            dn *= lit
            if snow is not None and under.snow.any():
                dn += (np.float32(SPECTRA["snow"][b] * 10_000) - dn) * snow
            if shade is not None and cloud is not None:
                dn *= 1 - np.float32(SHADE[b]) * shade
                # Thick clouds are a little brighter than thin ones.
                top = np.float32(SPECTRA["cloud"][b] * 10_000) * (0.75 + 0.4 * cloud)
                dn += (top - dn) * cloud
            dn += noise.normal(dn.shape, noise.seed_of(scene.pixel_seed, name, start)) * np.float32(
                SENSOR_NOISE / factor
            )
            dn += np.float32(haze * HAZE[b] + 0.5)
            # The offset comes last, and is an integer: products of one acquisition differ by it alone.
            np.clip(dn, 1, 16_000, out=dn)
            part = dn.astype(np.uint16)
            part += np.uint16(scene.offset)
            if inside is not None:
                part *= inside[rows]
            out[name][rows] = part
    return out


def _means(values: Floats, factor: int) -> Floats:
    rows, cols = values.shape
    # Rows first, then columns by stride: several times faster than a mean over both axes.
    tall = values.reshape(rows // factor, factor, cols).sum(axis=1)
    out: Floats = tall[:, 0::factor].copy()
    for k in range(1, factor):
        out += tall[:, k::factor]
    out *= np.float32(1 / factor**2)
    return out


def _resized(field: Floats, factor: int) -> Floats:
    """A 20 m field at 10 m × factor."""
    if factor == 1:
        return field.repeat(2, axis=0).repeat(2, axis=1)
    return field if factor == 2 else _means(field, factor // 2)


def classification(scene: Scene2, view: View, under: Light) -> NDArray[np.uint8]:
    """The scene classification (SCL): uint8 by 20 m pixel, 0 outside the swath.

    It sees what the bands show, imperfectly: the thin rims of clouds are missed, boundaries are ragged, dark woods in
    a low sun turn dark (2), a few bright roofs turn cloud.
    """
    code = view.code[::2, ::2]
    rough = noise.normal_like(code.shape, scene.pixel_seed)
    out = _land_classes(scene)[code]
    zenith, _ = clouds.sun(scene)
    dark = (code >> 8 == kind("conifer")) & (under.lit * np.float32(np.cos(np.radians(zenith))) < 0.3)
    out[dark] = 2
    out[under.snow + 0.1 * rough > 0.45] = 11
    out[rough > 3.1] = 7
    if under.cloud is not None and under.shade is not None:
        cloud = under.cloud + np.float32(0.035) * rough
        # Later baselines draw shadows a little wider.
        limit = 0.3 if scene.offset else 0.36
        out[(under.shade + np.float32(0.05) * rough > limit) & (out != 6)] = 3
        out[cloud > clouds.SEEN] = 10
        out[cloud > 0.38] = 8
        out[cloud > 0.72] = 9
    inside = valid(view.grid.coarser(2), scene)
    if inside is not None:
        out *= inside
    return out


def _land_classes(scene: Scene2) -> NDArray[np.uint8]:
    """The class of each code under a clear sky: by kind where that decides, else by vegetation index."""
    table = reflectance(scene.doy, south=scene.region.south, evergreen=scene.region.evergreen)
    red, nir = table[BANDS.index("B04")], table[BANDS.index("B08")]
    out = np.where((nir - red) / (nir + red) > 0.38, 4, 5).astype(np.uint8)
    fixed = per_code([float(c.scl or 0) for c in COVERS]).astype(np.uint8)
    out = np.where(fixed > 0, fixed, out)
    bright = table[BANDS.index("B02")] > 0.33
    return np.where(bright, np.uint8(8), out).astype(np.uint8)


def masked(scene: Scene2, under: Light) -> NDArray[np.bool_] | None:
    """20 m pixels that Dynamic World leaves out for cloud and shadow, widened; None under a clear sky."""
    if under.cloud is None or under.shade is None:
        return None
    grown: NDArray[np.bool_] = binary_dilation((under.cloud > 0.12) | (under.shade > 0.3), iterations=3)
    return grown
