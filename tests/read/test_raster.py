"""TIFFs read block by block, with GDAL as the referee: equal pixels and the same place, whatever the layout."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin
from rasterio.windows import Window

from curation.model import ReadError
from curation.read.blocks import PixelWindow
from curation.read.ranges import Place
from curation.read.raster import BrokenError, Decoded, Raster
from curation.read.sparse import Counts, Pieces, SparseFile


def opened(path: Path, decoded_bytes: int = 10**8) -> Raster:
    return Raster(SparseFile(Place(str(path)), path.name, Counts(), Pieces(10**8)), Decoded(decoded_bytes))


def agrees(path: Path, windows: list[PixelWindow], decoded_bytes: int = 10**8) -> None:
    """Passes where both read the same from a file, and say the same of where it lies."""
    mine = opened(path, decoded_bytes)
    with rasterio.open(path) as file:
        assert (mine.width, mine.height, mine.bands) == (file.width, file.height, file.count)
        assert mine.crs == file.crs
        assert mine.transform == file.transform
        assert np.array_equal([mine.nodata], [file.nodatavals[0]], equal_nan=file.nodatavals[0] is not None)
        assert mine.dtype == np.dtype(file.dtypes[0])
        for window in windows:
            for band in range(1, file.count + 1):
                found = mine.read(band, window)
                assert found.dtype == mine.dtype
                assert np.array_equal(found, file.read(band, window=Window(*window)), equal_nan=found.dtype.kind == "f")


WAYS = st.sampled_from(
    [
        {"compress": None},
        {"compress": "deflate"},
        {"compress": "deflate", "predictor": 2},
        {"compress": "lzw"},
        {"compress": "lzw", "predictor": 2},
        {"compress": "zstd", "predictor": 2},
        {"compress": "packbits"},
        {"compress": "lzma"},
        {"compress": "lerc_zstd"},
    ]
)
BLOCKS = st.sampled_from([{"tiled": True, "blockxsize": 16, "blockysize": 48}, {"blockysize": 1}, {"blockysize": 7}])
SIDE = st.integers(1, 90)


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    dtype=st.sampled_from(["uint8", "uint16", "int16", "float32", "float64"]),
    way=WAYS,
    blocks=BLOCKS,
    size=st.tuples(SIDE, SIDE),
    bands=st.integers(1, 3),
    interleave=st.sampled_from(["band", "pixel"]),
    nodata=st.sampled_from([None, 0, 7]),
    is_sparse=st.booleans(),
    more=st.sampled_from([{}, {"ENDIANNESS": "BIG"}, {"BIGTIFF": "YES"}, {"ENDIANNESS": "BIG", "BIGTIFF": "YES"}]),
    seed=st.integers(0, 99),
    decoded_bytes=st.sampled_from([1, 10**8]),
)
def test_random_windows_of_random_layouts_read_as_gdal_reads_them(
    tmp_path, dtype, way, blocks, size, bands, interleave, nodata, is_sparse, more, seed, decoded_bytes
):
    width, height = size
    rng = np.random.default_rng(seed)
    how: dict[str, Any] = way | blocks | more
    if dtype.startswith("float") and how.get("predictor") == 2:
        how = how | {"predictor": 3}
    values = rng.integers(0, 120, (bands, height, width)).astype(dtype)
    with rasterio.open(
        tmp_path / "s.tif", "w", driver="GTiff", width=width, height=height, count=bands, dtype=dtype, nodata=nodata,
        crs="EPSG:32632", transform=from_origin(399960, 5700000, 10, 10), interleave=interleave,
        SPARSE_OK=is_sparse and nodata is not None, **{k: v for k, v in how.items() if v is not None},
    ) as file:  # fmt: skip
        if not (is_sparse and nodata is not None):
            file.write(values)
        else:  # a part of it, so that some blocks are never written
            file.write(
                values[:, : height // 2 + 1, : width // 2 + 1], window=Window(0, 0, width // 2 + 1, height // 2 + 1)
            )
    windows = [PixelWindow(0, 0, width, height)]
    for _ in range(3):
        col, row = int(rng.integers(0, width)), int(rng.integers(0, height))
        windows.append(
            PixelWindow(col, row, int(rng.integers(1, width - col + 1)), int(rng.integers(1, height - row + 1)))
        )
    agrees(tmp_path / "s.tif", windows, decoded_bytes)


def test_every_real_file_reads_as_gdal_reads_it(shared: Path):
    files = sorted(p for p in shared.joinpath("data").rglob("*") if p.suffix.lower() in (".tif", ".tiff"))
    assert len(files) > 50
    chosen = random.Random(1).sample(files, min(len(files), 150))
    layouts = set()
    for path in chosen:
        with rasterio.open(path) as file:
            side = [(n, random.Random(str(path)).randrange(n)) for n in (file.width, file.height)]
            layouts.add((file.dtypes[0], file.compression, file.profile.get("tiled"), file.count > 1))
        (width, col), (height, row) = side
        whole = PixelWindow(0, 0, min(width, 300), min(height, 300))
        agrees(path, [whole, PixelWindow(col, row, min(width - col, 264), min(height - row, 264))])
    assert len(layouts) > 3


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (b"", "not a TIFF"),
        (b"<html>no such key</html>" * 99, "not a TIFF"),
        (b"II*\0" + bytes(5000), "not a TIFF|offsets"),
    ],
)
def test_what_is_no_tiff_is_told(tmp_path, what, told):
    (tmp_path / "s.tif").write_bytes(what)
    with pytest.raises((BrokenError, ReadError), match=told):
        opened(tmp_path / "s.tif")


@pytest.mark.parametrize("way", [{"compress": "deflate"}, {"compress": "zstd"}, {"compress": "lzw"}, {}])
def test_a_file_cut_off_anywhere_gives_its_pixels_or_an_error(tmp_path, way):
    values = np.random.default_rng(3).integers(1, 9000, (200, 200)).astype("u2")
    path = tmp_path / "s.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=200, height=200, count=1, dtype="uint16", tiled=True, blockxsize=64,
        blockysize=64, crs="EPSG:32632", transform=from_origin(399960, 5700000, 10, 10), **way,
    ) as file:  # fmt: skip
        file.write(values, 1)
    whole = path.read_bytes()
    ends = [0, 4, 8, 100, *random.Random(5).sample(range(len(whole)), 40)]
    wrong = 0
    for end in ends:
        path.write_bytes(whole[:end])
        try:
            found = opened(path).read(1, PixelWindow(0, 0, 200, 200))
        except (BrokenError, ReadError):
            wrong += 1
        else:
            assert np.array_equal(found, values)
    assert wrong > len(ends) / 2
