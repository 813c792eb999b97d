"""Class maps: codes with a legend, of which labels are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from numpy.typing import NDArray
from pydantic import Field

from curation.build.context import Pixels, Slab, Source
from curation.build.pixels import RasterKind, assets_of
from curation.cubes import labels
from curation.model import Location, Scene
from curation.recipe.facts import Fact
from curation.recipe.pictures import ClassSpec, Codes, Picture
from curation.recipe.sources import ArraySpec, SourceSpec


class Classes(RasterKind):
    """A raster of codes."""

    keeps_gaps: ClassVar[bool] = True
    classes: list[ClassSpec] = Field(min_length=1)
    """The legend; a code outside it is an error."""

    @property
    def legend(self) -> list[ClassSpec]:
        """Its classes."""
        return self.classes

    def check(self, source: SourceSpec) -> None:
        """Passes where each code is told once."""
        super().check(source)
        if len({c.code for c in self.classes}) != len(self.classes):
            raise ValueError("classes share a code")

    def pictures(self, source: SourceSpec, array: ArraySpec) -> list[Picture]:
        """The map."""
        return [Codes(source.title, tuple(self.classes))]

    def facts(self, source: str) -> list[Fact]:
        """The share of each class."""
        along = tuple(c.name for c in self.classes)
        return [
            Fact(f"{source}_fraction", "float32", "share of each class among labelled pixels", f"{source}_class", along)
        ]

    def pixels(
        self, slab: Slab, source: Source, place: Location, name: str, scenes: Sequence[Scene]
    ) -> tuple[NDArray[Any], bool]:
        """As of any raster. Raises UnmaskedMapError where what is missing in a file cannot be told from a class."""
        array = source.arrays[name]
        for asset in (a for band in array.bands for a in assets_of(source, band, scenes)):
            labels.check_gaps(slab.reader.gaps(asset), self.classes, array.nodata, asset.href)
        return super().pixels(slab, source, place, name, scenes)

    def measured_of(self, source: Source, place: Location, pixels: Pixels) -> dict[str, Any]:
        """The share of each class, and of the pixels that have one."""
        name, array = next(iter(source.arrays.items()))
        shares, valid = labels.class_fractions(pixels[name], self.classes, array.nodata)
        return {f"{source.name}_fraction": shares, f"{source.name}_valid_fraction": valid}
