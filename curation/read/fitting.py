"""Whether an opened file is what a source says that it has, and lies where its item does."""

from __future__ import annotations

import numpy as np
import rasterio
from numpy.typing import NDArray

from curation.errors import ReadError
from curation.model import Location
from curation.read.raster import Raster
from curation.read.sparse import BrokenError
from curation.read.warp import area_of, seen
from curation.recipe.arrays import ArraySpec
from curation.recipe.values import Values


def check_pixels(raster: Raster, array: ArraySpec, values: Values, band: int, href: str) -> rasterio.crs.CRS:
    """The file's CRS, where it says where its pixels are, and has the band in a dtype that the array's holds.

    Raises:
        ReadError: it does not.
    """
    if raster.crs is None:
        raise ReadError(
            f"{href}: states no CRS, so where its pixels are is not known (ground control points are not used); "
            "read a terrain-corrected or projected product instead"
        )
    if band > raster.bands:
        raise ReadError(f"{href}: has {raster.bands} bands, expected a band {band}; mend asset_bands")
    if not values.fits(raster.dtype, array.dtype):
        raise ReadError(
            f"{href}: pixels are {raster.dtype}, expected {array.dtype} ({array.unit}); "
            "the source's file does not describe this catalog's pixels"
        )
    return raster.crs


def check_place(raster: Raster, crs: rasterio.crs.CRS, holds: tuple[float, float] | None, href: str) -> None:
    """Passes where a file that a location does not meet lies where its item says, as far as that is known.

    Raises:
        BrokenError: it does not, so that it may well have the location's pixels: they are not nodata.
    """
    if holds is None:
        return
    cols, rows = seen(raster.transform, raster.width, crs, 4326, np.array(holds[:1]), np.array(holds[1:]))
    if not (0 <= cols[0] <= raster.width and 0 <= rows[0] <= raster.height):
        lon, lat = holds
        raise BrokenError(
            f"its header puts it elsewhere than its item does: longitude {lon:.4f}, latitude {lat:.4f} would be at "
            f"column {cols[0]:.0f} row {rows[0]:.0f} of {raster.width} × {raster.height} pixels"
        )


def reached(
    array: ArraySpec, location: Location, values: Values, band: int, href: str, raster: Raster
) -> NDArray[np.bool_]:
    """`area_of` of an opened file. Raises as `check_pixels` does."""
    crs = check_pixels(raster, array, values, band, href)
    return area_of(raster.transform, (raster.height, raster.width), crs, array, location)
