"""The arrays of scenes on the grid of a patch: of a raster's files; and all arrays of a source, whatever its kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.build.context import Part, Pixels, Slab, Source
from curation.errors import ReadError
from curation.model import Location, Scene
from curation.read.reader import Asset, Read
from curation.recipe.arrays import ArraySpec
from curation.recipe.sources import Kind, SourceSpec
from curation.scenes import rank


class RasterKind(Kind):
    """Pixels on a grid that their file states, or along a side of which it is known where they lie."""

    between_known: ClassVar[bool] = False
    """Whether there is no data where interpolation would take a pixel in place of one that has none."""
    zero_is_nodata: bool = False
    """Exact zeros are a scene's border, not data."""

    def check(self, source: SourceSpec) -> None:
        """Passes where no array says what only swaths have."""
        if any(a.tells_of_mean for a in source.arrays):
            raise ValueError("the roles 'count', 'quality' and 'day' are of kind = 'swath', or made by a composite")
        if self.zero_is_nodata and any(a.scale is not None or a.offset is not None for a in source.arrays):
            raise ValueError("zero_is_nodata is of numbers that are not scaled: say file_nodata = [0] of the arrays")

    def reads(self, source: Source, place: Location, scenes: Sequence[Scene], part: Part = "all") -> list[Read]:
        """A read per array, band and scene."""
        return [
            Read(asset, array, place)
            for array in source.arrays.values()
            if part == "all" or array.is_mask == (part == "mask")
            for band in array.bands
            for asset in assets_of(source, band, scenes)
        ]

    def pixels(
        self, slab: Slab, source: Source, place: Location, name: str, scenes: Sequence[Scene]
    ) -> tuple[NDArray[Any], bool]:
        """(band, y, x) of an array, and whether any band was warped."""
        array = source.arrays[name]
        bands = [assets_of(source, band, scenes) for band in array.bands]
        pixels, warped = slab.reader.read_bands(
            bands, array, place, zero_is_nodata=self.zero_is_nodata, between_known=self.between_known
        )
        for assets, its in zip(bands, pixels, strict=True):
            if np.issubdtype(its.dtype, np.floating) and not np.isfinite(its).all():
                raise ReadError(f"{assets[0].href}: holds NaN or infinity, expected finite values or {array.nodata:g}")
        return pixels, warped

    def measured_of(self, source: Source, place: Location, pixels: Pixels) -> dict[str, Any]:
        """Nothing, unless the kind says what."""
        return {}

    def scene_facts(self, source: Source, place: Location, scenes: Sequence[Scene]) -> dict[str, Any]:
        """Nothing, unless the kind says what."""
        return {}


def assets_of(source: Source, band: str, scenes: Sequence[Scene]) -> list[Asset]:
    """The files of a band, one of each scene, as a reader wants them."""
    number = source.form.asset_bands.get(band, 1) if source.form else 1
    values = source.spec.values(band)
    # What a source has pixels in is no transparency: GDAL calls the fourth band of 8 bits so, which may be infrared.
    measured = {b for array in source.spec.arrays if array.is_data for b in array.bands}
    data = source.form.beside(band, measured) if source.form else frozenset()
    return [
        Asset(s.hrefs[band], source.sign, number, rank.held(s.geometry), source.base, source.access, values, data)
        for s in scenes
    ]


def read_all(slab: Slab, source: Source, place: Location, scenes: Sequence[Scene]) -> tuple[Pixels, bool, float]:
    """All arrays of a source, whether any was warped, and the least valid fraction."""
    pixels, warped, valid = {}, False, 1.0
    slab.reader.prefetch(source.files.reads(source, place, scenes))  # all of it at a time, where nobody foresaw it
    for name, array in source.arrays.items():
        pixels[name], was_warped = source.files.pixels(slab, source, place, name, scenes)
        warped |= was_warped
        valid = min(valid, valid_fraction(pixels[name], array))
    return pixels, warped, valid


def valid_fraction(pixels: NDArray[Any], array: ArraySpec) -> float:
    """Share of pixels that have data in every band."""
    return float((pixels != array.nodata).all(axis=0).mean())
