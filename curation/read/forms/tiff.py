"""GeoTIFF, as GDAL reads it: pixels, transform, CRS and the 'no data' that it declares."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader, MemoryFile

from curation.errors import ReadError
from curation.read.chipform import ChipPixels, ChipReader
from curation.read.georeference import is_place

MOST_PIXELS = 64 * 2**20
"""Of all bands of a file: what says that it has more is no chip, whatever it was packed to."""


class Tiff(ChipReader):
    """A file with all bands of an array, or, where its address has `{band}`, with one."""

    name: Literal["tiff"] = "tiff"

    def _decoded(self, data: bytes, address: str, band: str) -> ChipPixels:
        return self._opened(data, address, with_pixels=True)

    def _placed(self, data: bytes, address: str, band: str) -> ChipPixels:
        return self._opened(data, address, with_pixels=False)

    def _opened(self, data: bytes, address: str, *, with_pixels: bool) -> ChipPixels:
        with warnings.catch_warnings(), MemoryFile(data, filename="chip.tif") as memory:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # which is asked for below
            with memory.open() as file:
                if file.count * file.width * file.height > MOST_PIXELS:
                    raise ReadError(
                        f"{address}: says {file.count} × {file.width} × {file.height} pixels, which is no chip"
                    )
                pixels = file.read() if with_pixels else np.empty((file.count, 0, 0), file.dtypes[0])
                transform = file.transform if is_place(file.transform) else None
                epsg = None if file.crs is None else file.crs.to_epsg()
                masked = file.dataset_mask() == 0 if with_pixels and _has_mask(file) else None
                return ChipPixels(pixels, transform, epsg, file.nodata, masked)


def _has_mask(file: DatasetReader) -> bool:
    """Whether a mask that is none of its bands says which pixels are valid."""
    flags = file.mask_flag_enums[0]
    return MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
