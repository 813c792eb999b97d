"""Scenes of a swath as arrays of a patch: one of them, or the mean of the orbits of a season."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.model import Location, Scene
from curation.read import versions
from curation.read.gridding import NO_CODE, Accumulator, Gridded
from curation.read.reader import Asset
from curation.read.swath import Swaths
from curation.recipe.arrays import ArraySpec
from curation.recipe.sources import SourceSpec
from curation.recipe.swath import SwathSpec

SPREAD = "_std"
"""Behind a band's name: its standard deviation."""

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

    Of one version of the processor alone: what another made of the same light is another quantity.

    Args:
        swaths: what reads.
        spec: the source.
        arrays: those wanted, by name; all of as many pixels a side.
        location: a footprint in degrees.
        scenes: files of one orbit count once.
        assets: file of the swath → where a scene has it.

    Raises:
        ReadError: as `Swaths.footprints` does.
        ValueError: the scenes are of several versions of the processor.
    """
    assert isinstance(spec.kind, SwathSpec)
    (size_px,) = {a.px(location.size_m) for a in arrays.values()}
    data = [b for a in arrays.values() if a.is_data for b in a.bands]
    spreads = [b for a in arrays.values() if a.role == "quality" for b in a.bands if b.endswith(SPREAD)]
    bands = list(dict.fromkeys([*data, *(b.removesuffix(SPREAD) for b in spreads)]))
    wants_codes = any(a.is_mask for a in arrays.values())
    if any(a.tells_of_mean for a in arrays.values()):  # of what they are the count, the quality or the spread
        bands = bands or list(spec.kind.variables)
    x0, y0, size = location.x0_m, location.y0_m, location.size_m
    total = Accumulator(x0, y0, size, size_px, len(bands), least_quality(spec.kind, scenes))
    used = []
    for scene in scenes:
        bounds = (x0, y0 - size, x0 + size, y0)
        found = swaths.footprints(assets(scene), spec, bounds, bands, with_codes=wants_codes)
        if total.add(found, scene.id if scene.orbit is None else scene.orbit, _day(scene, location)):
            used.append(scene)
    gridded = total.result()
    return {name: _array(gridded, array, bands) for name, array in arrays.items()}, used


def least_quality(kind: SwathSpec, scenes: Sequence[Scene]) -> float | None:
    """The least quality of footprints that is used, of scenes of one version of the processor; None where there is none.

    Raises:
        ValueError: they are of several versions.
    """
    if not kind.min_quality:
        return None
    found = {versions.order(s.version) for s in scenes}
    if len(found) > 1:
        raise ValueError(f"scenes of several versions: {sorted({s.version or 'none' for s in scenes})}, expected one")
    version = found.pop() if found else ()
    held = [limit.least for limit in kind.min_quality if versions.order(limit.since) <= version]
    return held[-1] if held else max(limit.least for limit in kind.min_quality)


def _day(scene: Scene, location: Location) -> dt.date:
    """The day of a scene by the mean sun over the place: one pass over the Pacific is of one day, whatever UTC says."""
    return (scene.time + dt.timedelta(hours=location.lon / 15)).date()


def _array(gridded: Gridded, array: ArraySpec, bands: Sequence[str]) -> NDArray[Any]:
    planes: list[NDArray[Any]]
    if array.role == "data":
        planes = [gridded.mean[bands.index(b)] for b in array.bands]
    elif array.role == "mask":
        planes = [np.where(gridded.codes == NO_CODE, array.nodata, gridded.codes)]
    elif array.role == "count":
        known = {"orbits": gridded.orbits, "footprints": gridded.footprints, "days": gridded.days}
        most = np.iinfo(array.dtype).max - 1  # the largest is nodata
        planes = [np.minimum(known[b], most) for b in array.bands]
    else:
        quality = {"qa_mean": gridded.quality_mean, "qa_min": gridded.quality_min}
        quality |= {f"{b}{SPREAD}": plane for b, plane in zip(bands, gridded.spread, strict=True)}
        planes = [quality[b] for b in array.bands]
    stacked = np.stack(planes)
    return np.where(np.isnan(stacked), array.nodata, stacked).astype(array.dtype)
