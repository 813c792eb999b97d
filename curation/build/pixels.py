"""The arrays of one scene on the grid of a patch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.build.context import Patch, Pixels, Slab
from curation.cubes import labels
from curation.errors import ReadError
from curation.model import Location, Scene
from curation.read import backscatter, swathgrid
from curation.read.reader import Asset, Read, Reader
from curation.recipe.dataset import Dataset
from curation.recipe.sources import ArraySpec, SourceSpec
from curation.scenes import rank


def files_of(slab: Slab, spec: SourceSpec, scene: Scene) -> dict[str, Asset]:
    """File of a swath → where the scene has it."""
    form = slab.forms[spec.name]
    return {file: Asset(href, form.sign if form else "none") for file, href in scene.hrefs.items()}


def class_facts(dataset: Dataset, patch: Patch, spec: SourceSpec) -> None:
    """Takes up the share of each class of a class map, and of its valid pixels."""
    name, array = next(iter(dataset.arrays[spec.name].items()))
    shares, valid = labels.class_fractions(patch.pixels[name], spec.classes, array.nodata)
    patch.facts |= {f"{spec.name}_fraction": shares, f"{spec.name}_valid_fraction": valid}


def read_all(
    slab: Slab, reader: Reader, location: Location, spec: SourceSpec, scenes: Sequence[Scene]
) -> tuple[Pixels, bool, float]:
    """All arrays of a source, whether any was warped, and the least valid fraction."""
    pixels, warped, valid = {}, False, 1.0
    reader.prefetch([reads_of(slab, location, spec, scenes)])  # all of it at a time, where nobody foresaw it
    for name, array in slab.dataset.arrays[spec.name].items():
        pixels[name], was_warped = read_array(slab, reader, location, spec, array, scenes)
        warped |= was_warped
        valid = min(valid, valid_fraction(pixels[name], array))
    return pixels, warped, valid


def valid_fraction(pixels: NDArray[Any], array: ArraySpec) -> float:
    """Share of pixels that have data in every band."""
    return float((pixels != array.nodata).all(axis=0).mean())


def read_array(
    slab: Slab, reader: Reader, location: Location, spec: SourceSpec, array: ArraySpec, scenes: Sequence[Scene]
) -> tuple[NDArray[Any], bool]:
    """(band, y, x) of an array, and whether any band was warped. Raises Reject where radar holds what cannot be."""
    if spec.swath is not None:
        (name,) = (n for n, a in slab.dataset.arrays[spec.name].items() if a is array)
        found, _ = swathgrid.pixels(
            slab.swaths, spec, {name: array}, location, scenes, lambda s: files_of(slab, spec, s)
        )
        return found[name], True
    bands, warped = [], False
    for band in array.bands:
        assets = assets_of(slab, spec, band, scenes)
        pixels, was_warped = reader.read(assets, array, location, zero_is_nodata=spec.zero_is_nodata)
        if np.issubdtype(pixels.dtype, np.floating) and not np.isfinite(pixels).all():
            raise ReadError(f"{assets[0].href}: holds NaN or infinity, expected finite values or {array.nodata:g}")
        bands.append(pixels)
        warped |= was_warped
    stacked = np.stack(bands)
    if spec.radar and array.role == "data":
        stacked = backscatter.possible(stacked, array.nodata)
    return stacked, warped


def assets_of(slab: Slab, spec: SourceSpec, band: str, scenes: Sequence[Scene]) -> list[Asset]:
    """The files of a band, one of each scene, as a reader wants them."""
    form = slab.forms[spec.name]
    sign, index = (form.sign, form.asset_bands.get(band, 1)) if form else ("none", 1)
    return [Asset(s.hrefs[band], sign, index, rank.held(s.geometry)) for s in scenes]


def reads_of(
    slab: Slab,
    location: Location,
    spec: SourceSpec,
    scenes: Sequence[Scene],
    roles: Collection[str] = ("data", "mask", "classes"),
) -> list[Read]:
    """What reading a source's arrays of some roles from scenes takes; nothing of swaths, which say it when they are open."""
    if spec.swath is not None:
        return []
    return [
        Read(asset, array, location)
        for array in slab.dataset.arrays[spec.name].values()
        if array.role in roles
        for band in array.bands
        for asset in assets_of(slab, spec, band, scenes)
    ]
