"""One opened raster file: what its header says, taken down once, and where its blocks are."""

from __future__ import annotations

from typing import Any

import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window

from curation.model import ReadError
from curation.read.blocks import PixelWindow, Span, of_window
from curation.read.sparse import OPENER, SparseFile


class Raster:
    """A file as GDAL has it open. For one thread at a time, like the file below it."""

    def __init__(self, file: SparseFile) -> None:
        """Opens it.

        Raises:
            ReadError: its head cannot be had.
            RasterioError: GDAL makes nothing of it.
        """
        file.head()  # its own error, and not what GDAL would make of it
        self.href = file.name
        self._name = OPENER.lend(file)
        try:
            self._dataset: DatasetReader = rasterio.open(self._name, opener=OPENER)
        except BaseException:
            OPENER.take_back(self._name)
            raise
        dataset = self._dataset
        self.crs: rasterio.crs.CRS | None = dataset.crs
        self.epsg: int | None = dataset.crs.to_epsg() if dataset.crs else None
        self.is_geographic = bool(dataset.crs and dataset.crs.is_geographic)
        self.transform: Affine = dataset.transform
        self.width: int = dataset.width
        self.height: int = dataset.height
        self.dtypes: tuple[str, ...] = dataset.dtypes
        """Of each band."""
        self.nodata: tuple[float | None, ...] = dataset.nodatavals
        """Of each band; None where none is declared."""
        self._is_tiff = dataset.driver in ("GTiff", "COG")
        self._block_shapes: list[tuple[int, int]] = dataset.block_shapes
        self._blocks: dict[tuple[int, int, int], Span | None] = {}

    def close(self) -> None:
        """Closes it."""
        self._dataset.close()
        OPENER.take_back(self._name)

    def read(self, band: int, window: PixelWindow) -> NDArray[Any]:
        """The pixels of a window inside the file, (y, x) in the file's dtype. Raises RasterioError."""
        pixels: NDArray[Any] = self._dataset.read(band, window=Window(*window))
        return pixels

    def inside(self, window: PixelWindow) -> PixelWindow | None:
        """What of a window lies in the file."""
        col, row = max(window.col, 0), max(window.row, 0)
        right, bottom = min(window.col + window.width, self.width), min(window.row + window.height, self.height)
        return PixelWindow(col, row, right - col, bottom - row) if right > col and bottom > row else None

    def block_spans(self, band: int, window: PixelWindow) -> list[Span]:
        """Where a TIFF has the blocks of a window inside it; nothing of other formats, whose blocks only drivers know.

        GDAL reads a block that was never written (a crashed writer's) as zeros. Where the file declares nodata that is
        what it means by it; where it does not, it is a hole that nobody recorded.

        Raises:
            ReadError: a block of the window is not in the file, which declares no nodata.
        """
        if not self._is_tiff:
            return []
        height, width = self._block_shapes[band - 1]
        spans = []
        for bx, by in of_window(window, width, height):
            span = self._block(band, bx, by)
            if span is not None:
                spans.append(span)
            elif self.nodata[band - 1] is None:
                raise ReadError(
                    f"{self.href}: block column {bx} row {by} was never written and the file declares no nodata: "
                    "its zeros would be invented; report it to the provider"
                )
        return spans

    def _block(self, band: int, bx: int, by: int) -> Span | None:
        if (band, bx, by) not in self._blocks:
            offset, size = (
                self._dataset.get_tag_item(f"BLOCK_{what}_{bx}_{by}", "TIFF", bidx=band) for what in ("OFFSET", "SIZE")
            )
            there = offset is not None and size is not None
            self._blocks[band, bx, by] = Span(int(offset), int(offset) + int(size)) if there else None
        return self._blocks[band, bx, by]
