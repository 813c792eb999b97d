"""Class maps: codes with a legend, of which labels are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from curation.build.coded import Coded
from curation.build.context import Slab, Source
from curation.build.pixels import RasterKind, assets_of
from curation.cubes import labels
from curation.model import Location, Scene


class Classes(Coded, RasterKind):
    """A raster of codes."""

    def pixels(
        self, slab: Slab, source: Source, place: Location, name: str, scenes: Sequence[Scene]
    ) -> tuple[NDArray[Any], bool]:
        """As of any raster. Raises UnmaskedMapError where what is missing in a file cannot be told from a class."""
        array = source.arrays[name]
        for asset in (a for band in array.bands for a in assets_of(source, band, scenes)):
            labels.check_gaps(slab.reader.gaps(asset), self.classes, array.nodata, asset.href)
        return super().pixels(slab, source, place, name, scenes)
