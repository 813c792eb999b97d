"""All scenes that meet the patch, joined."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.build.context import Patch, Slab, usable
from curation.build.pixels import assets_of, class_facts, read_all
from curation.errors.codes import Code
from curation.outcomes import Reject, SourceOutcome, Status
from curation.places import grid, ocean
from curation.read.reader import Reader
from curation.recipe.sources import SourceSpec


def read_mosaic(slab: Slab, reader: Reader, patch: Patch, spec: SourceSpec) -> None:
    """All scenes that touch the patch as one; one that cannot be read fails it; what none reaches may be sea."""
    mine = slab.candidates[spec.name][patch.location.id]
    if spec.hole_value is None or mine.code is not Code.NO_SCENE:  # where no scene is, there may be sea
        mine.check()
    scenes = usable(slab, mine.scenes)
    pixels, warped, valid = read_all(slab, reader, patch.location, spec, scenes)
    patch.facts |= {f"{spec.name}_valid_fraction": valid, f"{spec.name}_warped": int(warped)}
    short = Code.NODATA
    if spec.hole_value is not None:
        valid = 1.0
        for name, array in slab.dataset.arrays[spec.name].items():
            empty = (pixels[name] == array.nodata).all(axis=0)
            void = empty & reader.covered(assets_of(slab, spec, array.bands[0], scenes), array, patch.location)
            if len(scenes) < len(mine.scenes):  # what an excluded scene has there nobody knows
                void = empty
            # A void of a scene is not the sea beside it, and a tile that is not there is no sea where there is land.
            sea = ocean.sea_of(empty & ~void, patch.location, array.step(patch.location.size_m))
            short = Code.HOLE if (empty & ~void & ~sea).any() else short
            void = empty & ~sea
            patch.facts[f"{spec.name}_hole_fraction"] = float(sea.mean())
            patch.facts[f"{spec.name}_void_fraction"] = float(void.mean())
            pixels[name] = np.where(sea, pixels[name].dtype.type(spec.hole_value), pixels[name])
            valid = min(valid, 1 - float(void.mean()))
    if (valid <= 0 or valid < slab.dataset.min_valid(spec.name)) and not spec.classes:
        raise Reject(short, valid, status=Status.REJECTED if scenes else Status.ABSENT)
    patch.pixels |= pixels
    if spec.classes:
        class_facts(slab.dataset, patch, spec)
    if spec.elevation:
        name, array = next(iter(slab.dataset.arrays[spec.name].items()))
        pixel_m = grid.pixel_m(patch.location, array.step(patch.location.size_m))
        patch.facts |= elevation_facts(pixels[name][0], *pixel_m, array.nodata)
    patch.sources[spec.name] = SourceOutcome(Status.OK, scenes=tuple(s.id for s in scenes))


def elevation_facts(height: NDArray[Any], y_m: float, x_m: float, nodata: float = math.nan) -> dict[str, float]:
    """Mean, least and greatest height in metres and mean slope in degrees of heights (y, x); pixels of y_m by x_m.

    Voids (`nodata`) do not count.
    """
    known = np.where(height == nodata, np.nan, height.astype(np.float64))
    gy, gx = np.gradient(known, y_m, x_m)
    return {
        "elevation_mean_m": float(np.nanmean(known)),
        "elevation_min_m": float(np.nanmin(known)),
        "elevation_max_m": float(np.nanmax(known)),
        "slope_mean_deg": float(np.nanmean(np.degrees(np.arctan(np.hypot(gx, gy))))),
    }
