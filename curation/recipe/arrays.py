"""What an array of a source is: bands of one resolution, dtype and meaning. Pure."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from curation.recipe.footprint import pixels_across
from curation.recipe.packed import Dtype
from curation.recipe.values import FileNumbers

Resampling = Literal["nearest", "bilinear", "average", "mode"]


class ArraySpec(FileNumbers):
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
    role: Literal["data", "mask", "classes", "count", "quality", "day"] = "data"
    """`mask` is read first and decides; `classes` holds codes and is never interpolated; `count` and `quality` say of each
    pixel of a mean or a composite what it is of (orbits, footprints, scenes), and how good they were; `day` of which day."""
    suffix: str = ""
    """Told after the source's name in the array's name, where two arrays would share one."""

    @property
    def is_mask(self) -> bool:
        """Whether it is read first and decides: codes, which are never put on another grid."""
        return self.role == "mask"

    @property
    def tells_of_mean(self) -> bool:
        """Whether it says of each pixel of a mean what that is of."""
        return self.role in ("count", "quality", "day")

    @property
    def is_count(self) -> bool:
        """Whether it holds how many of something a mean is of."""
        return self.role == "count"

    @property
    def is_data(self) -> bool:
        """Whether it holds what was measured: numbers that may be averaged, scaled and drawn by their bands."""
        return self.role == "data"

    @property
    def pixel(self) -> str:
        """What names tell its pixels by: `10m` by their size, `0p6m` of 0.6 m (none has a dot), `28px` by their number."""
        return f"{self.size_px}px" if self.res_m is None else f"{self.res_m:g}m".replace(".", "p")

    @property
    def label(self) -> str:
        """Its pixels, for a person: `10 m`, or `28 px` along a side."""
        return f"{self.size_px} px" if self.res_m is None else f"{self.res_m:g} m"

    def px(self, size: float) -> int:
        """Pixels along a side that cover a footprint of that size, in its CRS's units, as `footprint.pixels_across` does."""
        return pixels_across(size, self.res_m) if self.res_m is not None else self.size_px or 0

    def step(self, size: float) -> float:
        """Side of a pixel of a footprint of that size, in the same units."""
        return self.res_m if self.res_m is not None else size / self.px(size)

    @model_validator(mode="after")
    def _pixels_are_stated_once(self) -> Self:
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
        self.check_numbers(self.bands, self.role, self.dtype, self.nodata, self.unit)
        with np.errstate(over="ignore", invalid="ignore"):
            held = float(np.float64(self.nodata).astype(self.dtype))
        if not np.isfinite(held) or (self.dtype != "float32" and held != self.nodata):
            raise ValueError(f"nodata {self.nodata:g} is no value of dtype {self.dtype}")
        if len(set(self.bands)) != len(self.bands):
            raise ValueError(f"bands named twice: {self.bands}")
        return self
