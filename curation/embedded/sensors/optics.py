"""What Sentinel-2 sees: digital numbers of the twelve bands, and the scene classification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import rasterio.features
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from curation.embedded.archive.scenes import Lit, Scene2, swath
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

    def strip(self, start: int, stop: int, factor: int) -> Light:
        """Of rows start to stop, counted in pixels of 10 m, by pixels of 10 m × factor."""
        fields = (self.lit, self.snow, self.cloud, self.shade)
        lit, snow, cloud, shade = (None if f is None else resized(f[start // 2 : stop // 2], factor) for f in fields)
        assert lit is not None
        assert snow is not None
        return Light(lit, snow, cloud, shade)

    def veil(self, ground: Floats, snow: float, cloud: float, dark: float) -> None:
        """Lights the ground, and lays snow, shadow and cloud over it, in place.

        Args:
            ground: what is seen of it flat and under the sun, in any unit, by this light's pixels.
            snow: that of snow, in the same.
            cloud: that of cloud.
            dark: share of light that a full cloud shadow takes.
        """
        ground *= self.lit
        if self.snow.any():
            ground += (np.float32(snow) - ground) * self.snow
        if self.shade is not None and self.cloud is not None:
            ground *= 1 - np.float32(dark) * self.shade
            # Thick clouds are a little brighter than thin ones.
            top = np.float32(cloud) * (0.75 + 0.4 * self.cloud)
            ground += (top - ground) * self.cloud


def light(scene: Lit, view: View) -> Light:
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


def valid(grid: Grid, scene: Lit) -> NDArray[np.bool_] | None:
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
    table = reflectance(scene.doy, **scene.region.look) * 10_000
    grid = view.grid.coarser(factor)
    weak = per_code([c.grain for c in COVERS]) / 32
    out = {name: np.empty((grid.height, grid.width), dtype=np.uint16) for name in names}
    inside = valid(grid, scene)
    haze = 140 * np.random.default_rng(scene.seed).random()
    for start in range(0, view.grid.height, STRIP):
        stop = min(start + STRIP, view.grid.height)
        code = view.code[start:stop]
        over = under.strip(start, stop, factor)
        if factor == 1:
            texture = weak[code]
            texture *= view.grain[start:stop]
            texture += 1
            over = replace(over, lit=np.asarray(over.lit * texture, dtype=np.float32))
        rows = slice(start // factor, stop // factor)
        for name in names:
            b = BANDS.index(name)
            dn = table[b][code]
            if factor > 1:
                dn = means(dn, factor)
            over.veil(dn, SPECTRA["snow"][b] * 10_000, SPECTRA["cloud"][b] * 10_000, SHADE[b])
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


def means(values: Floats, factor: int) -> Floats:
    """Means of squares of `factor` pixels a side."""
    rows, cols = values.shape
    # Rows first, then columns by stride: several times faster than a mean over both axes.
    tall = values.reshape(rows // factor, factor, cols).sum(axis=1)
    out: Floats = tall[:, 0::factor].copy()
    for k in range(1, factor):
        out += tall[:, k::factor]
    out *= np.float32(1 / factor**2)
    return out


def resized(field: Floats, factor: int) -> Floats:
    """A 20 m field at 10 m × factor."""
    if factor % 2:
        fine = field.repeat(2, axis=0).repeat(2, axis=1)
        return fine if factor == 1 else means(fine, factor)
    return field if factor == 2 else means(field, factor // 2)


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
        if scene.region.traits.masks:
            cloud = seen_of(cloud, scene)
        # Later baselines draw shadows a little wider.
        limit = 0.3 if scene.offset else 0.36
        out[(under.shade + np.float32(0.05) * rough > limit) & (out != 6)] = 3
        out[cloud > clouds.SEEN] = 10
        out[cloud > 0.38] = 8
        out[cloud > 0.72] = 9
    if scene.region.traits.masks:
        bright = taken_for_cloud(code, scene)
        out[bright & np.isin(out, (4, 5))] = 9
    inside = valid(view.grid.coarser(2), scene)
    if inside is not None:
        out *= inside
    return out


DECEIVING = {"roof-grey": 0.35, "hall": 0.55, "quarry": 0.45, "roof-tile": 0.04, "street": 0.05}
"""Share of what is bright that is taken for cloud on a date, by kind; half of it is so on every date."""

THIN, MISSED = 0.5, 0.55
"""Opacity below which cloud may be missed, and the share of such that is."""


def taken_for_cloud(code: NDArray[np.uint16], scene: Scene2) -> NDArray[np.bool_]:
    """Which pixels (20 m, by code) a classification takes for cloud under a clear sky: whole roofs and pits, not specks."""
    share = per_code([DECEIVING.get(c.name, 0.0) for c in COVERS])[code]
    lasting, own = (
        noise.hash_u32(code.astype(np.uint32) * np.uint32(2_654_435_761) ^ np.uint32(noise.seed_of("masks", *parts)))
        for parts in ((scene.region.seed,), (scene.region.seed, scene.acquired.date))
    )
    limit = (share / 2 * np.float32(2**32)).astype(np.uint64)
    return np.asarray((lasting < limit) | (own < limit))


def seen_of(cloud: Floats, scene: Scene2) -> Floats:
    """Opacity as a classification sees it: of thin cloud whole sheets are missed."""
    if scene.part is None:
        sheets = noise.rolled(
            noise.texture(1.7), (cloud.shape[0], cloud.shape[1]), noise.seed_of("haze", scene.acquired.date)
        )
    else:
        sheets = noise.tiled(
            noise.texture(1.7), scene.part[0] // 2, scene.part[1] // 2, (cloud.shape[0], cloud.shape[1])
        )
    missed = (cloud < THIN) & (sheets > float(np.quantile(noise.texture(1.7), 1 - MISSED)))
    return np.where(missed, np.float32(0), cloud)


def _land_classes(scene: Scene2) -> NDArray[np.uint8]:
    """The class of each code under a clear sky: by kind where that decides, else by vegetation index."""
    table = reflectance(scene.doy, **scene.region.look)
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
