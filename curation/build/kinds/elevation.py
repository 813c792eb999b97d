"""Heights in metres, of which the facts of elevation are taken."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.build.context import Pixels, Source
from curation.build.pixels import RasterKind
from curation.model import Location
from curation.places import grid
from curation.recipe.arrays import ArraySpec
from curation.recipe.facts import Fact
from curation.recipe.pictures import Picture, Relief
from curation.recipe.sources import SourceSpec


class Elevation(RasterKind):
    """A raster of heights."""

    has_heights: ClassVar[bool] = True
    between_known: ClassVar[bool] = True

    def pictures(self, source: SourceSpec, array: ArraySpec) -> list[Picture]:
        """A relief."""
        return [Relief(array.bands[0])]

    def facts(self, source: str) -> list[Fact]:
        """Of the patch, not of the source alone: another one's heights are as good."""
        return [
            Fact("elevation_mean_m", "float32", "mean height, metres"),
            Fact("elevation_min_m", "float32", "least height, metres"),
            Fact("elevation_max_m", "float32", "greatest height, metres"),
            Fact("slope_mean_deg", "float32", "mean slope, degrees"),
        ]

    def measured_of(self, source: Source, place: Location, pixels: Pixels) -> dict[str, Any]:
        """Heights and slope."""
        name, array = next(iter(source.arrays.items()))
        return elevation_facts(pixels[name][0], *grid.pixel_m(place, array.step(place.size_m)), array.nodata)


def elevation_facts(height: NDArray[Any], y_m: float, x_m: float, nodata: float = math.nan) -> dict[str, float]:
    """Mean, least and greatest height in metres and mean slope in degrees of heights (y, x); pixels of y_m by x_m.

    Voids (`nodata`) do not count.
    """
    known = np.where(height == nodata, np.nan, height.astype(np.float64))
    gy, gx = np.gradient(known, y_m, x_m)
    return {
        "elevation_mean_m": float(np.nanmean(known)),
        "elevation_min_m": float(np.nanmin(known)),
        "elevation_max_m": float(np.nanmax(known)),
        "slope_mean_deg": float(np.nanmean(np.degrees(np.arctan(np.hypot(gx, gy))))),
    }
