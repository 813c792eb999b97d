"""How large footprints are, and how many pixels cover one. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from curation.recipe.strict import StrictTable

CELL_DEG = 0.25
"""Side of an ERA5 cell: ERA5's nodes lie so far apart, and the ids of cells follow from them."""

MOST_M = 10_000
"""Longest side of a footprint: what reaches further from its centre than a search cell's margin would miss scenes."""

_WHOLE = 1e-6
"""Sides are so many whole pixels where they are to this part of one: 256 pixels of 0.6 m are no round number in binary."""


def pixels_across(size: float, step: float) -> int:
    """How many whole pixels of side `step` it takes to cover a footprint of side `size`, both in units of its CRS.

    Pixels begin at the north-west corner. Where they do not divide the footprint, the last ones reach beyond it in the
    south and in the east, by less than one pixel: 43 of 60 m cover 2560 m, and 20 m more.
    """
    return math.ceil(size / step - _WHOLE)


def divides(size: float, step: float) -> bool:
    """Whether pixels of side `step` cover a footprint of side `size` and no more."""
    return abs(size / step - round(size / step)) <= _WHOLE and size > step / 2


def nearest_sizes(size: float, step: float) -> str:
    """The sides next to `size` that pixels of side `step` divide, for an error: `2550 (255 px) or 2560 (256 px)`."""
    below = math.floor(size / step)
    good = [n for n in (below, below + 1) if n > 0 and n * step <= MOST_M]
    return " or ".join(f"{n * step:g} ({n} px)" for n in good)


def _in_metres(value: Any) -> Any:
    """A table that says its side in pixels, as one that says it in metres; anything else as it is, to be refused as such."""
    if not isinstance(value, Mapping) or not ({"size_px", "res_m"} & set(value)):
        return value
    px, res_m = value.get("size_px"), value.get("res_m")
    if px is None or res_m is None:
        raise ValueError(
            "'size_px' and 'res_m' go together: how many pixels a side has, and how wide one is, in metres"
        )
    if "size_m" in value:
        raise ValueError("expected either 'size_m', or 'size_px' and 'res_m', which say the same: not both")
    if not _is_positive(px, int) or not _is_positive(res_m, int | float):
        return value
    if px * res_m > MOST_M:
        raise ValueError(
            f"size_px = {px} pixels of {res_m:g} m are {px * res_m:g} m, expected at most {MOST_M:,} m: size_px = "
            f"{math.floor(MOST_M / res_m)}, or fewer"
        )
    return {k: v for k, v in value.items() if k not in ("size_px", "res_m")} | {"size_m": round(float(px * res_m), 6)}


def _is_positive(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and 0 < value < math.inf


class SideSpec(StrictTable):
    """A table that says the side of a square footprint in UTM: `size_m`, or `size_px` pixels of `res_m`, which is the same.

    What is said in pixels is read as metres, so that it is the same recipe to every digest.
    """

    size_m: float | None = Field(default=None, gt=0, le=MOST_M)
    """Side of the square footprint, metres. Its north-west corner lies on multiples of 60 m, unless places are given."""
    size_px: int | None = Field(default=None, gt=0, exclude=True)
    """The same in pixels of `res_m`; read as `size_m`, so that nobody asks here."""
    res_m: float | None = Field(default=None, gt=0, exclude=True)
    """Of `size_px`, metres."""

    @model_validator(mode="before")
    @classmethod
    def _said_in_pixels(cls, value: Any) -> Any:
        return _in_metres(value)


class GridSpec(SideSpec):
    """The footprint of a location: a square in metres (UTM), or an ERA5 cell in degrees (EPSG:4326)."""

    size_deg: float | None = None
    """Side of the square footprint, degrees of longitude and latitude: 0.25, which only ERA5 cells have."""

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if (self.size_m is None) == (self.size_deg is None):
            raise ValueError(
                "expected one of 'size_m' (metres, in UTM), 'size_px' with 'res_m' (the same in pixels), and 'size_deg' = "
                f"{CELL_DEG:g} (ERA5 cells)"
            )
        if self.size_deg not in (None, CELL_DEG):
            raise ValueError(
                f"size_deg = {self.size_deg:g}: expected {CELL_DEG:g}, the spacing of ERA5's nodes, which ids count; "
                "other sizes are size_m"
            )
        return self

    @property
    def size(self) -> float:
        """Side of the footprint in units of its CRS."""
        return self.size_m or self.size_deg or 0.0

    @property
    def unit(self) -> str:
        """Of `size`: `m` or `degrees`."""
        return "m" if self.size_deg is None else "degrees"
