"""Pixels that are codes with a legend, whatever they are read from: how these are drawn, and the share of each class."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from curation.build.context import Pixels, Source
from curation.cubes import labels
from curation.errors.codes import Code
from curation.model import Location
from curation.outcomes import Reject
from curation.recipe.arrays import ArraySpec
from curation.recipe.facts import Fact
from curation.recipe.pictures import ClassSpec, Codes, Picture
from curation.recipe.sources import Kind, SourceSpec


class Coded(Kind):
    """Codes of classes, of which labels are made."""

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

    def measured_of(self, source: Source, place: Location, pixels: Pixels) -> dict[str, Any]:
        """The share of each class, and of the pixels that have one.

        Raises:
            Reject: `few_of_class`, a class has less of the patch than the recipe wants; pixels without a class are of none.
        """
        name, array = next(iter(source.arrays.items()))
        shares, valid = labels.class_fractions(pixels[name], self.classes, array.nodata)
        for wanted, least in source.min_share.items():
            codes = [c.code for c in self.classes if wanted in (c.name, c.label)]
            share = float(np.isin(pixels[name], codes).mean())  # of whole pixels: `shares` are rounded
            if share < least:
                raise Reject(Code.FEW_OF_CLASS, share)
        return {f"{source.name}_fraction": shares, f"{source.name}_valid_fraction": valid}
