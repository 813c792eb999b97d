"""TIFFs read block by block, with GDAL as the referee: equal pixels and the same place, whatever the layout."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin
from rasterio.windows import Window

from curation.errors import ReadError
from curation.read import image
from curation.read.blocks import PixelWindow
from curation.read.decoded import Decoded
from curation.read.pieces import Pieces
from curation.read.raster import Raster, _number
from curation.read.reader import Asset, Reader
from curation.read.signing import FileAddress
from curation.read.sparse import BrokenError, Counts, Opened, SparseFile
from curation.recipe.arrays import ArraySpec
from tests.properties import examples


def opened(path: Path, decoded_bytes: int = 10**8) -> Raster:
    return Raster(SparseFile(FileAddress(str(path)), path.name, Counts(), Pieces(10**8)), Decoded(decoded_bytes))


def agrees(path: Path, windows: list[PixelWindow], decoded_bytes: int = 10**8, bands: int = 10**6) -> None:
    """Passes where both read the same from a file (of many bands the first ones and the last), and where it lies."""
    mine = opened(path, decoded_bytes)
    with rasterio.open(path) as file:
        assert (mine.width, mine.height, mine.bands) == (file.width, file.height, file.count)
        assert mine.crs == file.crs
        assert mine.transform == file.transform
        assert np.array_equal([mine.nodata], [file.nodatavals[0]], equal_nan=file.nodatavals[0] is not None)
        assert mine.dtype == np.dtype(file.dtypes[0])
        for window in windows:
            for band in sorted({*range(1, min(file.count, bands) + 1), file.count}):
                found = mine.read(band, window)
                assert found.dtype == mine.dtype
                assert np.array_equal(found, file.read(band, window=Window(*window)), equal_nan=found.dtype.kind == "f")
                assert np.array_equal(
                    mine.valid(band, window, found), file.read_masks(band, window=Window(*window)) != 0
                )


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


@settings(deadline=None, max_examples=examples(120), suppress_health_check=[HealthCheck.function_scoped_fixture])
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


@pytest.mark.slow
def test_every_real_file_reads_as_gdal_reads_it(shared: Path):
    files = sorted(p for p in shared.joinpath("data").rglob("*") if p.suffix.lower() in (".tif", ".tiff"))
    assert len(files) > 150
    layouts = set()
    for path in files:
        with rasterio.open(path) as file:
            side = [(n, random.Random(str(path)).randrange(n)) for n in (file.width, file.height)]
            layouts.add((file.dtypes[0], file.compression, file.profile.get("tiled"), file.count > 1))
        (width, col), (height, row) = side
        agrees(path, [PixelWindow(col, row, min(width - col, 100), min(height - row, 100))], bands=2)
    assert len(layouts) > 3


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (b"", "is empty, expected a TIFF"),
        (b"<html>no such key</html>" * 99, "is a page or a message, not data .'<html>no such key.*, expected a TIFF"),
        (b"\xff\x4f\xff\x51" + bytes(99), "is JPEG 2000 .a bare codestream.* nowhere where it lies, expected a TIFF"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "is PNG .image/png., .* expected a TIFF"),
        (b"\xff\xd8\xff\xe0" + bytes(99), "is JPEG .image/jpeg., .* expected a TIFF"),
        (b"PK\x03\x04" + bytes(99), "is a zip archive .* expected a TIFF"),
        (b"CDF\x01" + bytes(99), "is netCDF of the classic format .* expected a TIFF"),
        (b"SQLite format 3\0" + bytes(99), "is SQLite, GeoPackage .* expected a TIFF"),
        (b"begins with nothing known" * 9, "its header is not a TIFF's"),
        (b"II*\0" + bytes(5000), "not a TIFF|offsets"),
    ],
)
def test_what_is_no_tiff_is_told(tmp_path, what, told):
    (tmp_path / "s.tif").write_bytes(what)
    with pytest.raises((BrokenError, ReadError), match=told):
        opened(tmp_path / "s.tif")
    array = ArraySpec(res_m=10, bands=["b"], dtype="uint16", nodata=0, unit="1")
    with Reader("") as reader, pytest.raises(ReadError, match=told) as caught:
        reader.coarse(Asset(str(tmp_path / "s.tif"), "none"), array)
    assert ("damaged" in str(caught.value)) == ("not a TIFF" in told), "what it is, it is whole"


def test_a_radar_scene_with_tie_points_opens_and_is_told_to_have_no_crs(shared):
    scenes = sorted(shared.joinpath("data/rio-tiler-pds/sentinel-s1-l1c").rglob("*.tiff"))
    assert len(scenes) == 3
    array = ArraySpec(res_m=10, bands=["b"], dtype="uint16", nodata=0, unit="1")
    for path in scenes:
        with Reader("") as reader, pytest.raises(ReadError, match=r"states no CRS.*ground control points"):
            reader.coarse(Asset(str(path), "none"), array)


def test_a_file_reads_into_arrays_of_numbers_of_several_bytes(tmp_path):
    (tmp_path / "s.bin").write_bytes(np.arange(20.0).tobytes())
    into = np.full(12, np.nan)
    file = Opened(SparseFile(FileAddress(str(tmp_path / "s.bin")), "s.bin", Counts(), Pieces(10**8)))
    assert file.readinto(into) == into.nbytes
    assert np.array_equal(into, np.arange(12.0))


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


SIDE = 300
ROUGH = (
    np.add.outer(np.arange(SIDE), np.arange(SIDE)) // 3 + np.random.default_rng(0).integers(0, 9, (SIDE,) * 2)
).astype("u1")
PACKED: dict[int, list[dict[str, Any]]] = {
    1: [{"compress": "none"}, {"compress": "none", "nbits": 1}],
    2: [{"compress": "ccittrle", "nbits": 1}],
    3: [{"compress": "ccittfax3", "nbits": 1}],
    4: [{"compress": "ccittfax4", "nbits": 1}, {"compress": "ccittfax4", "nbits": 1, "photometric": "miniswhite"}],
    5: [{"compress": "lzw"}, {"compress": "lzw", "nbits": 1}],
    7: [
        {"compress": "jpeg"},
        {"compress": "jpeg", "jpegtablesmode": 0},
        {"compress": "jpeg", "count": 3, "interleave": "pixel"},
        {"compress": "jpeg", "count": 3, "interleave": "band"},
        {"compress": "jpeg", "count": 3, "interleave": "pixel", "photometric": "ycbcr"},
    ],
    8: [{"compress": "deflate"}, {"compress": "deflate", "nbits": 1}],
    32773: [{"compress": "packbits"}],
    32946: [{"compress": "deflate"}],
    34887: [{"compress": "lerc"}, {"compress": "lerc_deflate"}, {"compress": "lerc_zstd", "count": 3}],
    34925: [{"compress": "lzma"}],
    34926: [{"compress": "zstd"}],
    50000: [{"compress": "zstd"}],
}
"""Compression → how GDAL is made to write it. Of 32946 and 34926 it writes the same bytes under another number."""


@pytest.mark.parametrize("tiled", [True, False], ids=["tiles", "strips"])
@pytest.mark.parametrize("packing", sorted(image._PACKINGS))
def test_each_compression_that_is_read_reads_as_gdal_reads_it(tmp_path, packing, tiled):
    path = tmp_path / "s.tif"
    layout = {"tiled": True, "blockxsize": 128, "blockysize": 128} if tiled else {"blockysize": 64}
    for way in PACKED[packing]:
        count = way.get("count", 1)
        pixels = np.stack([ROUGH, ROUGH[::-1], ROUGH.T])[:count]
        pixels = (pixels % 7 < 3).astype("u1") if way.get("nbits") == 1 else pixels
        how = {"count": count, "height": SIDE, "width": SIDE, "dtype": "uint8", "crs": "EPSG:32632"} | layout | way
        with rasterio.open(path, "w", driver="GTiff", transform=from_origin(500_000, 5_600_000, 10, 10), **how) as file:
            file.write(pixels)
        with rasterio.open(path) as file:
            wanted = file.read()
        with tifffile.TiffFile(path, mode="r+b") as file:
            tag = file.pages.first.tags[259]
            if tag.value != packing:
                assert (int(tag.value), packing) in ((8, 32946), (50000, 34926))
                tag.overwrite(packing)
        mine = opened(path)
        found = np.stack([mine.read(band, PixelWindow(0, 0, SIDE, SIDE)) for band in range(1, count + 1)])
        # From its luminance and colour each library makes red, green and blue with roundings of its own.
        most = 2 if way.get("photometric") == "ycbcr" else 0
        assert np.abs(found.astype(int) - wanted.astype(int)).max() <= most, way


@pytest.mark.parametrize("bigtiff", ["NO", "YES"])
def test_a_file_that_is_cut_within_its_tags_is_told_as_that(tmp_path, bigtiff):
    path = tmp_path / "s.tif"
    how = {"count": 1, "height": SIDE, "width": SIDE, "dtype": "uint8", "crs": "EPSG:32632", "bigtiff": bigtiff}
    with rasterio.open(path, "w", driver="GTiff", transform=from_origin(500_000, 5_600_000, 10, 10), **how) as file:
        file.write(ROUGH, 1)
    whole = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        tags = [(t.valueoffset, t.valuebytecount) for t in file.pages.first.tags if t.valueoffset > t.offset + 12]
        first_block = min(file.pages.first.dataoffsets)
    assert len(tags) >= 5
    for start, size in tags:
        if start < first_block:
            path.write_bytes(whole[: start + size - 1])
            with pytest.raises(BrokenError, match="is cut: ends at byte"):
                opened(path)


def test_a_block_that_is_kept_holds_no_more_than_its_own_pixels(tmp_path):
    path = tmp_path / "plain.tif"
    profile = {"driver": "GTiff", "width": 512, "height": 512, "count": 1, "dtype": "uint16", "tiled": True}
    with rasterio.open(path, "w", **profile, blockxsize=64, blockysize=64, transform=from_origin(0, 512, 2, 2)) as file:
        file.write(np.arange(512 * 512, dtype="uint16").reshape(512, 512), 1)
    decoded = Decoded(10**8)
    raster = Raster(SparseFile(FileAddress(str(path)), path.name, Counts(), Pieces(10**8)), decoded)
    raster.read(1, PixelWindow(0, 256, 512, 64))  # eight blocks, which come in one piece
    assert len(decoded) == 8
    for pixels in decoded.values():
        held: Any = pixels
        while isinstance(held, np.ndarray) and held.base is not None:
            held = held.base
        assert memoryview(memoryview(held).obj).nbytes == pixels.nbytes


@given(
    st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"]),
    st.one_of(
        st.integers(-(2**40), 2**40).map(float), st.sampled_from([0.0, 0.5, 255.0, 65535.0, -9999.0, 1e300, np.inf])
    ),
    st.lists(st.integers(-(2**33), 2**33), min_size=1, max_size=5),
)
def test_a_nodata_value_is_found_as_the_number_that_the_file_says(dtype, nodata, numbers):
    pixels = np.array([*numbers, 0, 255, 65535, -9999]).astype(dtype)
    assert np.array_equal(pixels != _number(nodata, pixels.dtype), pixels.astype(float) != nodata)
