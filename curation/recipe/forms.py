"""How a catalog offers a source: what it calls things, and what it says of them."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from curation.recipe.access import AccessTable
from curation.recipe.strict import StrictTable


def _one_group(value: str) -> str:
    try:
        groups = re.compile(value).groups
    except re.error as err:
        raise ValueError(f"{value!r}: no regular expression ({err})") from None
    if groups != 1:
        raise ValueError(f"{value!r}: has {groups} groups, expected one, which is what is looked for")
    return value


class FileForm(StrictTable):
    """How files of a source are called, in a folder of GeoTIFFs or of vector files that has no STAC."""

    folder: str | None = Field(default=None, min_length=1, exclude=True)
    """Where they lie, relative to the recipe: the source then asks that folder, unless another is named for it.
    Left out, the catalog that is asked is the folder. What is in it is in digests, and not where it is."""
    layer: str | None = Field(default=None, min_length=1, exclude_if=lambda value: value is None)
    """Which layer of vector files is meant, where their source says none."""
    of_places: bool = Field(default=False, exclude_if=lambda value: not value)
    """Whether its one file is the recipe's file of places, whose shapes are burnt; it has no pattern then, and no folder."""
    pattern: str = ""
    """Regular expression that is looked for in the path of each file, from the folder on, with `/`. Files that have it are
    the source's. Its groups: `band` is the asset (where there is none, each file holds all bands), `time` when it was taken
    (digits, whatever stands between them), `id` what the scene is called; any other is a property of its item."""
    time_format: str | None = None
    """As `strptime` has it, of a `time` that is no row of digits from the year on."""

    @model_validator(mode="after")
    def _is_a_pattern(self) -> Self:
        try:
            groups = re.compile(self.pattern).groupindex
        except re.error as err:
            raise ValueError(f"pattern {self.pattern!r}: no regular expression ({err})") from None
        if self.of_places == bool(self.pattern) or (self.of_places and self.folder is not None):
            raise ValueError("expected 'pattern', which says how files are called, or else 'of_places'")
        if self.time_format is not None and "time" not in groups:
            raise ValueError("'time_format' is of the pattern's group 'time', which it has not")
        return self

    @property
    def tells_bands(self) -> bool:
        """Whether each file is of one band; else it holds all of them."""
        return "band" in re.compile(self.pattern).groupindex


class CatalogForm(StrictTable):
    """How one catalog offers the source."""

    collection: str = ""
    """Its id there; must be there, but with `file`."""
    file: FileForm | None = Field(default=None, exclude_if=lambda value: value is None)
    """Of a catalog that is a folder of GeoTIFFs or vector files: how the source's are called."""
    query: dict[str, dict[str, float | str | list[str]]] = Field(default_factory=dict)
    """STAC `query` conditions; applied again on our side, since servers have been seen to ignore them."""
    assets: dict[str, str] = Field(default_factory=dict)
    """Band → asset key, where they differ."""
    asset_bands: dict[str, int] = Field(default_factory=dict)
    """Band → 1-based band of its asset's file, where it is not the first."""
    sign: Literal["none", "planetary-computer"] = "none"
    """Who signs hrefs, in the worker at read time."""
    properties: dict[str, str] = Field(default_factory=dict)
    """Field of a scene (`baseline`, `tile`, `datatake`, `version` …) → item property."""
    names: dict[str, Annotated[str, AfterValidator(_one_group)]] = Field(default_factory=dict)
    """Field of a scene → regular expression whose one group is it, in the name of the scene's first file: what products say
    in their names and items leave out. It comes before `properties`."""
    cloud_cover: bool = Field(default=True, exclude_if=lambda value: value)
    """Whether its items state `eo:cloud_cover`: a server that is asked for little of it leaves out those that do not."""
    offset: Literal["none", "baseline", "raster-bands", "earth-search"] = "none"
    """How to know whether the +1000 offset of Sentinel-2 baseline 04.00 is in the pixels."""
    tiles_px: dict[str, PositiveInt] = Field(default_factory=dict, exclude=True)
    """Resolution of an array, metres → side of the tiles in which its files are packed, of JPEG 2000: what a dry run counts.
    Files say it themselves, and no digest holds it."""
    access: AccessTable = Field(default_factory=dict, exclude=True)
    """By scheme, what lets one in where that is not as the catalog says: changes no pixel, so that no digest holds it."""

    @model_validator(mode="after")
    def _has_a_place(self) -> Self:
        if not self.collection and self.file is None:
            raise ValueError("'collection' is missing; add it (or 'file', for a folder of GeoTIFFs)")
        return self

    @property
    def what(self) -> str:
        """What is asked for there, for a person: a collection, or files."""
        return self.collection if self.file is None else "files by their names"

    def beside(self, band: str, bands: Collection[str]) -> frozenset[int]:
        """Numbers, from 1, of those bands of the source that lie in one file with a band, itself among them."""
        holds_all = self.file is not None and not self.file.tells_bands
        its = self.assets.get(band, band)
        return frozenset(
            number
            for b, number in self.asset_bands.items()
            if b in bands and (holds_all or self.assets.get(b, b) == its)
        )

    def check_bands(self, bands: list[str]) -> None:
        """Passes where it is known which band of a file each of the source's is. Raises ValueError otherwise."""
        missing = [b for b in bands if b not in self.asset_bands]
        if self.file is not None and not self.file.tells_bands and len(bands) > 1 and missing:
            raise ValueError(
                f"file: its pattern has no group 'band', so each file holds all: say asset_bands of {missing}"
            )
