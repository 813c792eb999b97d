"""The file of one class map on a place's grid: written, and read from whoever may have written it. Pure."""

from __future__ import annotations

import hashlib
import re

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from curation.errors import ReadError
from curation.errors.causes import one_line
from curation.model import Location
from curation.places import grid
from curation.recipe.arrays import ArraySpec

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,150}")


def file_name(scene: str) -> str:
    """A scene's id as part of a key: itself, or a digest of it where it has what a key may not."""
    return scene if _SAFE.fullmatch(scene) else hashlib.sha256(scene.encode(errors="replace")).hexdigest()[:32]


def cog(
    pixels: NDArray[np.uint8], place: Location, array: ArraySpec, image: str, made_by: str, input_digest: str
) -> bytes:
    """A map as a cloud-optimised GeoTIFF: (y, x) uint8 on the place's grid, its nodata declared; deterministic bytes.

    Args:
        pixels: the map.
        place: whose grid it is on.
        array: its form.
        image: name of its image.
        made_by: what made it.
        input_digest: digest of the stored pixels that it was made of; empty where it was made elsewhere.
    """
    where = _where(place, array)
    profile = {
        "count": 1,
        "dtype": array.dtype,
        "nodata": array.nodata,
        "crs": f"EPSG:{place.epsg}",
        "transform": where,
    }
    with MemoryFile() as file:
        with file.open(
            driver="COG", height=pixels.shape[0], width=pixels.shape[1], compress="deflate", overviews="none", **profile
        ) as out:
            out.write(pixels, 1)
            out.set_band_description(1, array.bands[0])
            out.update_tags(image=image, made_by=made_by, **({"input_digest": input_digest} if input_digest else {}))
        data: bytes = file.read()
    return data


def opened(data: bytes, place: Location, array: ArraySpec, where: str, input_digest: str = "") -> NDArray[np.uint8]:
    """(y, x) of a GeoTIFF: one band of the array's type, on the very grid of a place, of that `input_digest`.

    Raises:
        ReadError: it is no such file.
    """
    if not data:
        raise ReadError(f"{where}: is empty, expected a GeoTIFF")
    try:
        with MemoryFile(data) as file, file.open(driver="GTiff") as raster:
            px = array.px(place.size_m)
            found = (raster.count, raster.dtypes[0], raster.height, raster.width)
            if found != (1, array.dtype, px, px):
                raise ReadError(
                    f"{where}: is (bands, type, rows, columns) {found}, expected {(1, array.dtype, px, px)}"
                )
            epsg = None if raster.crs is None else raster.crs.to_epsg()
            if epsg != place.epsg or not raster.transform.almost_equals(_where(place, array), 1e-6):
                raise ReadError(
                    f"{where}: lies on EPSG:{epsg} {tuple(raster.transform)[:6]}, expected EPSG:{place.epsg} "
                    f"{tuple(_where(place, array))[:6]}"
                )
            if (found_digest := raster.tags().get("input_digest", "")) != input_digest:
                raise ReadError(
                    f"{where}: was made of other pixels or codes ({found_digest[:12]}…) than are stored by now"
                )
            pixels: NDArray[np.uint8] = raster.read(1)
            return pixels
    except RasterioError as err:
        raise ReadError(f"{where}: is no GeoTIFF that can be read: {one_line(err)}") from err


def _where(place: Location, array: ArraySpec) -> Affine:
    found: Affine = grid.geobox(place, array.step(place.size_m)).transform
    return found
