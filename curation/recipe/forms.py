"""How a catalog offers a source: what it calls things, and what it says of them."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt

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


class CatalogForm(StrictTable):
    """How one catalog offers the source."""

    collection: str
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
    offset: Literal["none", "baseline", "raster-bands", "earth-search"] = "none"
    """How to know whether the +1000 offset of Sentinel-2 baseline 04.00 is in the pixels."""
    tiles_px: dict[str, PositiveInt] = Field(default_factory=dict, exclude=True)
    """Resolution of an array, metres → side of the tiles in which its files are packed, of JPEG 2000: what a dry run counts.
    Files say it themselves, and no digest holds it."""
    access: AccessTable = Field(default_factory=dict, exclude=True)
    """By scheme, what lets one in where that is not as the catalog says: changes no pixel, so that no digest holds it."""
