"""GeoTIFFs: a file per patch, season and array, in the array's own resolution, deflated."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from rasterio.io import MemoryFile

from curation.pack.export.patch import Layer
from curation.pack.export.pieces import OfPatches
from curation.recipe.units import scale_of

BLOCK_PX = 256
"""Side of a tile; what is no larger has none."""


@dataclass(frozen=True, slots=True)
class Geotiff(OfPatches):
    """GeoTIFFs as QGIS, GDAL and rasterio open them.

    Bands are named by their descriptions and have scale, nodata and their canonical names; tags say where pixels come
    from; codes have their colours where these are known, and their names in the tag `codes`.
    """

    name: ClassVar[str] = "geotiff"
    suffix: ClassVar[str] = "tif"
    driver: ClassVar[str] = "GTiff"

    def options(self, layer: Layer) -> dict[str, object]:
        """What the driver is told beside the pixels' form."""
        array = layer.array
        predictor = 3 if array.dtype == "float32" else 2
        tiles = {"tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX}
        is_large = array.px(layer.patch.place.size_m) > BLOCK_PX
        return {"predictor": predictor, "zlevel": 6, "interleave": "band", **(tiles if is_large else {})}

    def file(self, layer: Layer) -> bytes:
        """All bands of an array."""
        pixels, spec, array = layer.pixels(), layer.spec, layer.array
        count, height, width = pixels.shape
        with MemoryFile() as memory:
            with memory.open(
                driver=self.driver,
                count=count,
                height=height,
                width=width,
                dtype=pixels.dtype.name,
                nodata=array.nodata,
                crs=f"EPSG:{layer.patch.place.epsg}",
                transform=layer.transform,
                compress="deflate",
                **self.options(layer),
            ) as out:
                out.write(pixels)
                out.descriptions = tuple(array.bands)
                out.scales = (scale_of(array),) * count
                out.units = (array.unit,) * count
                codes = layer.codes()
                tags = layer.tags()
                if codes:
                    tags["codes"] = json.dumps({str(c): n for c, (n, _) in codes.items()}, ensure_ascii=False)
                out.update_tags(**tags)
                for number, band in enumerate(array.bands, 1):
                    its = spec.band(band)
                    out.update_tags(number, canonical=its.name, **{k: str(v) for k, v in its.attributes.items()})
                colours = {c: _rgba(colour) for c, (_, colour) in codes.items() if colour and 0 <= c < 256}
                if colours and count == 1 and pixels.dtype == np.uint8:
                    out.write_colormap(1, colours)
            data: bytes = memory.read()
        return data


def _rgba(colour: str) -> tuple[int, int, int, int]:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue, 255
