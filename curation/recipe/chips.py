"""What a recipe says of chips: the form of their files, and what is mended of them. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny

from curation.errors.codes import Code
from curation.recipe.strict import StrictTable
from curation.recipe.tagged import FORMS, tagged

BAND = "{band}"
"""What stands in an address, or in the path of an array, for each of `file_bands`: a file, or an array, for each."""


class ChipForm(StrictTable):
    """A form of files. How it is decoded, `read/chipform.py` asks."""

    name: str


AnyForm = Annotated[SerializeAsAny[ChipForm], BeforeValidator(lambda value: tagged(value, FORMS))]
"""A form by its name, or a table of its `name` and keys: a file of `read/forms/`."""

Stored = Literal["int8", "int16", "int32"]

SIGNED: dict[Stored, str] = {"int8": "uint8", "int16": "uint16", "int32": "uint32"}
"""Signed type → the unsigned one that has the same bits."""


class MendSpec(StrictTable):
    """What is wrong with the chips of a source, in so many words: what is not named is not mended."""

    pixel_m: float | None = Field(default=None, gt=0)
    """Side of a pixel, metres, whatever the transform says; its first corner is believed."""
    within_m: float | None = Field(default=None, gt=0)
    """How far corners may lie beside those of the sample, metres; half a pixel where left out."""
    georeference: Literal["ignore"] | None = None
    """What a file says of where it lies is not believed: the chip lies where its sample does."""
    bits: Stored | None = None
    """Numbers were written as unsigned that are signed: the same bits, read as this (65522 as -14)."""
    spread: Literal["wide"] | None = None
    """Values do spread wider than their percentiles 1 to 99 let expect: a few are far from all others, and are right."""
    order: Literal["stated"] | None = Field(default=None, exclude_if=lambda value: value is None)
    """Bands are in the order that is stated, though cross-polarised backscatter is brighter than the other."""


MENDS: dict[Code, str] = {
    Code.CHIP_FOOTPRINT: "mend = { pixel_m = … }, where the transform is wrong",
    Code.CHIP_PLACE: "mend = { within_m = … }, or { georeference = 'ignore' }",
    Code.CHIP_CRS: "mend = { georeference = 'ignore' }, and [place] with lon and lat of a table",
    Code.UNIT_RANGE: "mend = { bits = 'int16' } of signed numbers stored as unsigned; else another unit, range, or class",
    Code.UNDECLARED_NODATA: "file_nodata of the array, with that value",
    Code.ODD_SPREAD: "file_nodata of what is no data; mend = { spread = 'wide' } where the values are right",
    Code.BAND_ORDER: "bands in the order of the files; mend = { order = 'stated' } where it is that",
}
"""What a person may say of a refusal, in the recipe."""
