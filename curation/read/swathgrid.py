"""Scenes of a swath as arrays of a patch: one of them, or the mean of the orbits of a season."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.model import Location, Scene
from curation.read.gridding import NO_CODE, Accumulator, Gridded
from curation.read.reader import Asset
from curation.read.swath import Swaths
from curation.recipe.sources import ArraySpec, SourceSpec
from curation.recipe.swath import SwathSpec

Pixels = dict[str, NDArray[Any]]
"""Array name → (band, y, x)."""


def pixels(
    swaths: Swaths,
    spec: SourceSpec,
    arrays: Mapping[str, ArraySpec],
    location: Location,
    scenes: Sequence[Scene],
    assets: Callable[[Scene], Mapping[str, Asset]],
) -> tuple[Pixels, list[Scene]]:
    """The arrays of a patch, in their dtypes, and the scenes that gave anything of them.

    Of data it is the mean of all footprints by area, nodata where none reaches.

    Args:
        swaths: what reads.
        spec: the source.
        arrays: those wanted, by name; all of as many pixels a side.
        location: a footprint in degrees.
        scenes: files of one orbit count once.
        assets: file of the swath → where a scene has it.

    Raises:
        ReadError: as `Swaths.footprints` does.
    """
    assert isinstance(spec.kind, SwathSpec)
    (size_px,) = {a.px(location.size_m) for a in arrays.values()}
    bands = [b for a in arrays.values() if a.is_data for b in a.bands]
    wants_codes = any(a.is_mask for a in arrays.values())
    if any(a.tells_of_mean for a in arrays.values()):  # of what they are the count or the quality
        bands = bands or list(spec.kind.variables)
    x0, y0, size = location.x0_m, location.y0_m, location.size_m
    total = Accumulator(x0, y0, size, size_px, len(bands), spec.kind.min_quality)
    used = []
    for scene in scenes:
        bounds = (x0, y0 - size, x0 + size, y0)
        found = swaths.footprints(assets(scene), spec, bounds, bands, with_codes=wants_codes)
        if total.add(found, orbit=scene.id if scene.orbit is None else scene.orbit):
            used.append(scene)
    gridded = total.result()
    return {name: _array(gridded, array, bands) for name, array in arrays.items()}, used


def _array(gridded: Gridded, array: ArraySpec, bands: Sequence[str]) -> NDArray[Any]:
    planes: list[NDArray[Any]]
    if array.role == "data":
        planes = [gridded.mean[bands.index(b)] for b in array.bands]
    elif array.role == "mask":
        planes = [np.where(gridded.codes == NO_CODE, array.nodata, gridded.codes)]
    elif array.role == "count":
        known = {"orbits": gridded.orbits, "footprints": gridded.footprints}
        most = np.iinfo(array.dtype).max - 1  # the largest is nodata
        planes = [np.minimum(known[b], most) for b in array.bands]
    else:
        quality = {"qa_mean": gridded.quality_mean, "qa_min": gridded.quality_min}
        planes = [quality[b] for b in array.bands]
    stacked = np.stack(planes)
    return np.where(np.isnan(stacked), array.nodata, stacked).astype(array.dtype)
