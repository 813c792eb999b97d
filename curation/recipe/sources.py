"""What a source is, as `stac_queries/<source>.toml` states it. No I/O.

One file per source says what its pixels are (arrays, bands, units, nodata, resampling) and, per catalog, how to find them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from curation.recipe.bands import BandSpec
from curation.recipe.strict import Name, Strict
from curation.recipe.swath import SwathSpec

Dtype = Literal["uint8", "uint16", "int16", "float32"]
Resampling = Literal["nearest", "bilinear", "average", "mode"]


class ArraySpec(Strict):
    """One pixel array of a source: bands of one resolution, dtype and meaning."""

    res_m: float | None = Field(default=None, gt=0)
    """Native pixel size, metres (for EPSG:4326 sources: the size the grid takes); or else `size_px`."""
    size_px: int | None = Field(default=None, gt=0)
    """Pixels along a side of the footprint, whatever its size: for footprints in degrees."""
    bands: list[str] = Field(min_length=1)
    """Band names in the order of the band axis."""
    dtype: Dtype
    nodata: float
    """The value that means 'no data'; mandatory, since a read without a rule for it cannot tell a hole."""
    unit: str
    up: Resampling = "bilinear"
    """Resampling where the target is finer than, or as fine as, the scene."""
    down: Resampling = "average"
    """Resampling where the target is coarser than the scene."""
    role: Literal["data", "mask", "classes", "count", "quality"] = "data"
    """`mask` is read first and decides; `classes` holds codes and is never interpolated; `count` and `quality` say of each
    pixel of a mean how many orbits and footprints it is of, and how good they were."""
    suffix: str = ""
    """Told after the source's name in the array's name, where two arrays would share one."""

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is left out of how its pixels are told: digests from before there was a choice stay the same."""
        return {k: v for k, v in handler(self).items() if v is not None}

    @property
    def pixel(self) -> str:
        """What names tell its pixels by: `10m` by their size, `28px` by their number."""
        return f"{self.size_px}px" if self.res_m is None else f"{self.res_m:g}m"

    @property
    def told(self) -> str:
        """Its pixels, for a person: `10 m`, or `28 px` along a side."""
        return f"{self.size_px} px" if self.res_m is None else f"{self.res_m:g} m"

    def px(self, size: float) -> int:
        """Pixels along a side of a footprint of that size, in units of its CRS (metres, where pixels have a size)."""
        return round(size / self.res_m) if self.res_m is not None else self.size_px or 0

    def step(self, size: float) -> float:
        """Side of a pixel of a footprint of that size, in the same units."""
        return self.res_m if self.res_m is not None else size / self.px(size)

    @model_validator(mode="after")
    def _pixels_are_told_once(self) -> Self:
        if (self.res_m is None) == (self.size_px is None):
            raise ValueError("expected either 'res_m', the size of a pixel, or 'size_px', how many a side has")
        return self

    @model_validator(mode="after")
    def _classes_are_not_interpolated(self) -> Self:
        if self.role in ("mask", "classes") and {self.up, self.down} & {"bilinear", "average"}:
            raise ValueError(f"role {self.role!r} holds codes: resample with 'nearest' or 'mode'")
        return self

    @model_validator(mode="after")
    def _nodata_fits(self) -> Self:
        with np.errstate(over="ignore", invalid="ignore"):
            held = float(np.float64(self.nodata).astype(self.dtype))
        if not np.isfinite(held) or (self.dtype != "float32" and held != self.nodata):
            raise ValueError(f"nodata {self.nodata:g} is no value of dtype {self.dtype}")
        if len(set(self.bands)) != len(self.bands):
            raise ValueError(f"bands named twice: {self.bands}")
        return self


class ClassSpec(Strict):
    """One class of a class map."""

    code: int
    name: str
    label: str | None = None
    """The scene label it counts as; the class's own name where left out."""


COUNT_BANDS = ("orbits", "footprints")
"""What an array with role `count` may hold."""

QUALITY_BANDS = ("qa_mean", "qa_min")
"""What an array with role `quality` may hold."""


class CatalogForm(Strict):
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
    offset: Literal["none", "baseline", "raster-bands", "earth-search"] = "none"
    """How to know whether the +1000 offset of Sentinel-2 baseline 04.00 is in the pixels."""


CODE_SETS = ("clear", "doubtful", "snow", "cloudy", "invalid")
"""Keys of a source that say what the codes of its mask are."""


class SourceSpec(Strict):
    """One kind of pixels."""

    name: Name
    title: str
    season: Literal["seasonal", "static"]
    pick: Literal["clearest", "nearest", "same-acquisition", "mosaic", "mean"]
    """How scenes are chosen: clearest on the patch; nearest in time to `goes_with`; of its very acquisition; all scenes that
    touch the patch, the later in order filling what the earlier leave open; or the mean of all, of each orbit one scene."""
    goes_with: str | None = None
    """The source whose chosen scene this one is chosen by."""
    one_orbit_direction: bool = False
    """Only one orbit direction per location, fixed from the counts over all seasons."""
    reader: Literal["cog", "swath"] = "cog"
    """`cog` for pixels on a grid that their file states; `swath` for footprints, each of which says where it is."""
    swath: SwathSpec | None = None
    """What to read of a swath."""
    arrays: list[ArraySpec] = Field(min_length=1)
    bands: dict[str, BandSpec] = Field(default_factory=dict)
    """Band of the arrays → what it is; one that is left out is `<source>.<band>`, without a place in the spectrum."""
    clear: list[int] = Field(default_factory=list)
    """Codes of the mask that are ground, for sure. Each code that a mask may hold is in one of these five sets."""
    doubtful: list[int] = Field(default_factory=list)
    """Codes by which the mask says that it does not know: clear, up to the recipe's `max_doubtful`."""
    snow: list[int] = Field(default_factory=list)
    """Codes that are snow or ice: clear, up to the recipe's `max_snow`."""
    cloudy: list[int] = Field(default_factory=list)
    """Codes that are cloud, its shadow, or whatever else hides the ground."""
    invalid: list[int] = Field(default_factory=list)
    """Codes that are no valid pixel; the mask's nodata is among them."""
    classes: list[ClassSpec] = Field(default_factory=list)
    """Legend of a class map; a code outside it is an error."""
    zero_is_nodata: bool = False
    """Exact zeros are border noise, not data (Sentinel-1 RTC swath edges)."""
    radar: bool = False
    """Linear backscatter power: shards take it as decibels."""
    elevation: bool = False
    """Heights in metres, of which the elevation facts are taken."""
    hole_value: float | None = None
    """What open sea without a scene of a mosaic is (GLO-30: 0 m); flagged, never silent. All else without one is nodata."""
    licence: str
    catalogs: dict[str, CatalogForm]
    """By name of the catalog; `*` is any STAC API or file of the user's own, and the embedded Earth."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [self.array_name(a) for a in self.arrays]
        if len(set(names)) != len(names):
            raise ValueError(f"arrays share a name: {names}; tell them apart with 'suffix'")
        bands = [b for a in self.arrays for b in a.bands]
        if len(set(bands)) != len(bands):
            raise ValueError(f"bands named twice: {sorted({b for b in bands if bands.count(b) > 1})}")
        if len({c.code for c in self.classes}) != len(self.classes):
            raise ValueError("classes share a code")
        if self.pick in ("nearest", "same-acquisition") and not self.goes_with:
            raise ValueError(f"pick = {self.pick!r} wants 'goes_with': the source whose scene it is chosen by")
        if self.pick == "clearest" and (self.mask is None or not self.clear):
            raise ValueError("pick = 'clearest' wants an array with role 'mask' and its 'clear' codes")
        self._check_codes()
        if (self.pick == "mosaic") != (self.season == "static"):
            raise ValueError("static sources are picked as 'mosaic', and only they")
        return self

    def _check_codes(self) -> None:
        """Passes where each code that the mask may hold is in one set."""
        if twice := sorted({c for c in self.mask_codes if self.mask_codes.count(c) > 1}):
            raise ValueError(
                f"codes {twice} are in two of {', '.join(CODE_SETS)}, or twice in one: each belongs to one"
            )
        if self.mask is None:
            if self.mask_codes:
                raise ValueError(f"{', '.join(CODE_SETS)} are codes of an array with role 'mask', which is not there")
            return
        if self.mask.nodata not in self.invalid:
            raise ValueError(f"the mask's nodata {self.mask.nodata:g} is not among the 'invalid' codes {self.invalid}")
        if self.swath is not None:
            made = {self.swath.otherwise, *(c.code for c in self.swath.codes)}
            if missing := sorted(made - set(self.mask_codes)):
                raise ValueError(
                    f"codes {missing} of [swath] are in none of {', '.join(CODE_SETS)}: each belongs to one"
                )

    @model_validator(mode="after")
    def _read_as_what_it_is(self) -> Self:
        if self.reader != "swath":
            if self.swath is not None:
                raise ValueError(
                    "a [swath] says where each footprint is: there is no pixel grid to read as a raster, whatever "
                    "projection a catalog's items state; write reader = 'swath'"
                )
            if self.pick == "mean" or any(a.role in ("count", "quality") for a in self.arrays):
                raise ValueError("pick = 'mean' and the roles 'count' and 'quality' are for reader = 'swath'")
            return self
        if self.swath is None:
            raise ValueError("reader = 'swath' wants a table [swath]: which variables say where footprints are")
        if raster := [k for k in ("zero_is_nodata", "radar", "elevation", "hole_value") if getattr(self, k)]:
            raise ValueError(f"{', '.join(raster)}: of rasters, not of swaths")
        if sized := [a.bands for a in self.arrays if a.size_px is None]:
            raise ValueError(f"arrays of a swath are gridded to 'size_px' pixels a side; {sized[0]} have 'res_m'")
        data = [b for a in self.arrays if a.role == "data" for b in a.bands]
        if sorted(data) != sorted(self.swath.variables):
            raise ValueError(
                f"[swath.variables] has {sorted(self.swath.variables)}, the arrays' bands are {sorted(data)}"
            )
        for role, known in (("count", COUNT_BANDS), ("quality", QUALITY_BANDS)):
            for array in self.arrays:
                if array.role == role and (other := sorted(set(array.bands) - set(known))):
                    raise ValueError(f"role {role!r}: no band {other}; known: {list(known)}")
        if any(a.role == "quality" for a in self.arrays) and self.swath.quality is None:
            raise ValueError("role 'quality' wants swath.quality: the variable it is the mean of")
        if (self.mask is None) != (self.swath.flags is None) or (self.mask and len(self.mask.bands) != 1):
            raise ValueError("an array of one band with role 'mask' goes with swath.flags, of which it is made")
        return self

    @model_validator(mode="after")
    def _bands_are_told_once(self) -> Self:
        bands = [b for a in self.arrays for b in a.bands]
        if unknown := sorted(set(self.bands) - set(bands)):
            raise ValueError(f"[bands] {unknown}: in no array; the arrays have {bands}")
        known = [self.band(b).name for b in bands]
        if twice := sorted({n for n in known if known.count(n) > 1}):
            raise ValueError(f"[bands] name {twice} twice: each band has a name of its own")
        return self

    def band(self, band: str) -> BandSpec:
        """What one of its bands is."""
        return self.bands.get(band) or BandSpec(name=f"{self.name}.{band.lower()}")

    def array_name(self, array: ArraySpec) -> str:
        """The array's name in cubes and shards: `<source>[_<suffix>]_<res>m`, or `…_<size>px`."""
        return "_".join(filter(None, [self.name, array.suffix, array.pixel]))

    def widest_km(self, bands: Sequence[str] | None = None) -> float:
        """The widest native pixel or footprint on the ground of some of its bands (all where left out), km."""
        if self.swath is not None:
            return self.swath.footprint_km
        used = [a for a in self.arrays if bands is None or a.role == "mask" or set(bands) & set(a.bands)]
        return max((a.res_m for a in used if a.res_m is not None), default=0.0) / 1000

    @property
    def mask_codes(self) -> list[int]:
        """Every code that its mask may hold."""
        return [*self.clear, *self.doubtful, *self.snow, *self.cloudy, *self.invalid]

    @property
    def mask(self) -> ArraySpec | None:
        """The array that is read first and decides, where there is one."""
        return next((a for a in self.arrays if a.role == "mask"), None)

    @property
    def labels(self) -> list[str]:
        """The scene labels that its classes count as, each once, in order of the legend."""
        return list(dict.fromkeys(c.label or c.name for c in self.classes))
