"""GeoTIFF, as GDAL reads it: pixels, transform, CRS and the 'no data' that it declares."""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, MemoryFile

from curation.errors import ReadError
from curation.read.beginnings import TIFFS, what_it_is
from curation.read.chipform import ChipPixels, ChipReader, check_size, in_order
from curation.read.georeference import is_place

_NAME = "chip.tif"


class Tiff(ChipReader):
    """A file with all bands of an array, or, where its address has `{band}`, with one."""

    name: Literal["tiff"] = "tiff"
    scale: Literal["ignore"] | None = None
    """A scale and an offset that files state are not applied: numbers are of the array's unit as they are."""

    def _decoded(self, data: bytes, address: str, band: str) -> ChipPixels:
        return self._opened(data, address, with_pixels=True)

    def _placed(self, data: bytes, address: str, band: str) -> ChipPixels:
        return self._opened(data, address, with_pixels=False)

    def _opened(self, data: bytes, address: str, *, with_pixels: bool) -> ChipPixels:
        if not data.startswith(TIFFS):
            why = what_it_is(data[:4096]) or "does not begin as a TIFF does"
            raise ReadError(f"{address}: no chip of form {self.name!r}: {why}")
        with warnings.catch_warnings(), MemoryFile(data, filename=_NAME) as memory:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # which is asked for below
            # Any other driver may be a recipe for reading files elsewhere.
            with _named(memory, address), memory.open(driver="GTiff") as file:
                pixels = self._pixels(file, address) if with_pixels else np.empty((file.count, 0, 0), file.dtypes[0])
                transform = file.transform if is_place(file.transform) else None
                epsg = None if file.crs is None else file.crs.to_epsg()
                masked = file.dataset_mask() == 0 if with_pixels and _has_mask(file) else None
                return ChipPixels(pixels, transform, epsg, file.nodata, masked)

    def _pixels(self, file: DatasetReader, address: str) -> NDArray[Any]:
        check_size((file.count, file.height, file.width), np.dtype(file.dtypes[0]).itemsize, address)
        if self.scale is None and (set(file.scales), set(file.offsets)) != ({1}, {0}):
            raise ReadError(
                f"{address}: its numbers are to be scaled, by {file.scales[0]:g} and {file.offsets[0]:+g}: expected those "
                "of the array's unit; form = { name = 'tiff', scale = 'ignore' } where they are"
            )
        if file.nodata is None and (absent := _absent(file)):
            raise ReadError(
                f"{address}: {absent} blocks are not there, and would be read as 0: write them, or declare their 'no data'"
            )
        return in_order(file.read(), "byx", address)


@contextlib.contextmanager
def _named(memory: MemoryFile, address: str) -> Iterator[None]:
    """What GDAL says of a file in memory is said of its address: its name there is another each time."""
    try:
        yield
    except RasterioError as err:
        said = str(err.__cause__ or err).replace(memory.name, address)  # rasterio: "See previous exception"
        raise ReadError(f"{address}: no chip of form 'tiff': {type(err).__name__}: {said}") from err


def _absent(file: DatasetReader) -> int:
    """Blocks of a sparse file, of all bands, that GDAL would read as 0."""
    rows, columns = file.block_shapes[0]
    places = itertools.product(range(-(-file.width // columns)), range(-(-file.height // rows)), file.indexes)
    return sum(file.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=band) is None for x, y, band in places)


def _has_mask(file: DatasetReader) -> bool:
    """Whether a mask that is none of its bands says which pixels are valid.

    An alpha is a band, and is named as one: GDAL calls the fourth of 8 bits so, which may be infrared.
    """
    flags = file.mask_flag_enums[0]
    return MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
