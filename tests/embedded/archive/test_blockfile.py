"""Files that exist only as their blocks: any byte of them, as other readers see the whole."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
from rasterio.io import MemoryFile

from curation.embedded.archive.blockfile import HEADER_BYTES, BlockFile
from curation.embedded.world.grids import Grid


def _file(dtype: str, nodata: float | None, rows: int = 5, cols: int = 3) -> tuple[BlockFile, np.ndarray]:
    file = BlockFile(Grid(32733, 600_000.0, 8_700_040.0, 10, 10, 48 * rows, 48 * cols), 48, dtype, nodata)
    pixels = np.random.default_rng(4).integers(0, 250, (48 * rows, 48 * cols)).astype(dtype)
    return file, pixels


def _whole(file: BlockFile, pixels: np.ndarray, start: int = 0, stop: int | None = None) -> bytes:
    def block(row: int, col: int) -> np.ndarray:
        return pixels[48 * row : 48 * row + 48, 48 * col : 48 * col + 48]

    return file.read(start, file.size if stop is None else stop, block)


@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", None), ("uint16", None), ("float32", -32768.0)])
def test_readers_see_the_pixels_and_where_they_lie(dtype, nodata):
    file, pixels = _file(dtype, nodata)
    data = _whole(file, pixels)
    assert len(data) == file.size
    with MemoryFile(data) as memory, memory.open() as opened:
        assert np.array_equal(opened.read(1), pixels)
        assert opened.crs.to_epsg() == 32733
        assert opened.transform == file.grid.transform
        assert opened.nodata == nodata
        assert opened.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert opened.block_shapes == [(48, 48)]
        assert opened.overviews(1) == [4]
    with MemoryFile(data) as memory, memory.open(overview_level=0) as small:
        assert np.array_equal(small.read(1), pixels[::4, ::4])
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        assert np.array_equal(tiff.pages[0].asarray(), pixels)
        # Cloud-optimised: directories, then the overview's blocks, then the image's.
        assert tiff.pages[1].offset < HEADER_BYTES == min(tiff.pages[1].dataoffsets) - 4
        assert max(tiff.pages[1].dataoffsets) < min(tiff.pages[0].dataoffsets)


def test_any_bytes_are_those_of_the_whole():
    file, pixels = _file("uint16", None)
    data = _whole(file, pixels)
    rng = np.random.default_rng(5)
    cases = [sorted(rng.integers(0, file.size + 1, 2)) for _ in range(200)]
    for start, stop in [*cases, (0, 1), (file.size - 1, file.size), (HEADER_BYTES - 1, HEADER_BYTES + 1)]:
        assert _whole(file, pixels, int(start), int(stop)) == data[start:stop]


def test_one_row_of_blocks_has_no_overview():
    file, pixels = _file("uint8", None, rows=1)
    with MemoryFile(_whole(file, pixels)) as memory, memory.open() as opened:
        assert opened.overviews(1) == []
        assert np.array_equal(opened.read(1), pixels)


def test_several_bands_lie_pixel_by_pixel_and_none_of_them_is_transparency():
    file = BlockFile(Grid(32632, 290_058, 5_682_204, 0.6, 0.6, 144, 96), 48, "uint8", bands=4)
    pixels = np.random.default_rng(4).integers(0, 250, (144, 96, 4)).astype("uint8")
    data = _whole(file, pixels)
    assert len(data) == file.size
    with MemoryFile(data) as memory, memory.open() as opened:
        assert np.array_equal(opened.read(), np.moveaxis(pixels, 2, 0))
        assert [c.name for c in opened.colorinterp] == ["red", "green", "blue", "undefined"]
        assert (opened.transform, opened.nodata) == (file.grid.transform, None)
        assert opened.interleaving.name == "pixel"
    with MemoryFile(data) as memory, memory.open(overview_level=0) as small:
        assert np.array_equal(small.read(), np.moveaxis(pixels[::4, ::4], 2, 0))


def test_a_grid_that_is_no_whole_number_of_blocks_is_refused():
    with pytest.raises(ValueError, match="whole blocks"):
        BlockFile(Grid(32733, 0.0, 0.0, 10, 10, 100, 96), 48, "uint8")
