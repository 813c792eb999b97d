"""Backscatter in files that state a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from numpy.typing import NDArray

from curation.build.context import Slab, Source
from curation.build.power import Power
from curation.model import Location, Scene
from curation.read import backscatter


class Radar(Power):
    """A raster of linear power."""

    composes: ClassVar[bool] = True

    def pixels(
        self, slab: Slab, source: Source, place: Location, name: str, scenes: Sequence[Scene]
    ) -> tuple[NDArray[Any], bool]:
        """As of any raster. Raises Reject where it holds what cannot be."""
        found, warped = super().pixels(slab, source, place, name, scenes)
        array = source.arrays[name]
        return (backscatter.possible(found, array.nodata) if array.is_data else found), warped
