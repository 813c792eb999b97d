"""Which pixels files declare valid, with GDAL as the referee, whatever declares it and however it is laid out."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.windows import Window

from curation.errors import ReadError
from curation.read import raster
from curation.read.blocks import PixelWindow
from curation.read.image import COARSE_BLOCKS, TiffImage
from curation.read.reader import Asset, Read, Reader
from curation.read.sparse import BrokenError
from curation.recipe.arrays import ArraySpec
from tests.read.test_raster import opened
from tests.read.test_reader import CLASSES, around, location, spec

W, H = 150, 130
SQUARES: dict[str, Any] = {"tiled": True, "blockxsize": 64, "blockysize": 64}
JUNK = 77
"""What lies beneath a mask."""
AT = location(7.0, 51.0, 660)
TRANSFORM = rasterio.Affine(10, 0, AT.x0_m - 200, 0, -10, AT.y0_m + 150)
"""Beside the location's south edge the file ends."""

KINDS = ("mask", "8 bits", "msk", "alpha", "nodata", "mask and nodata", "msk and nodata", "none")
LAYOUTS: dict[str, dict[str, Any]] = {
    "tiles": {"tiled": True, "blockxsize": 32, "blockysize": 48},
    "strips": {"blockysize": 7},
    "big": {"tiled": True, "blockxsize": 64, "blockysize": 64, "BIGTIFF": "YES", "compress": "deflate", "predictor": 2},
    "big-endian": {"tiled": True, "blockxsize": 64, "blockysize": 64, "ENDIANNESS": "BIG", "compress": "zstd"},
    "planar": {"tiled": True, "blockxsize": 64, "blockysize": 64, "count": 3, "interleave": "band", "compress": "lzw"},
    "pixel": {"blockysize": 16, "count": 3, "interleave": "pixel", "compress": "deflate"},
}


def made(path: Path, kind: str, pixels: NDArray[Any], valid: NDArray[np.bool_], **how: Any) -> Path:
    """A file whose pixels are valid by what it declares, in the way told; those that are not are junk."""
    count = how.pop("count", 1)
    values = np.where(valid, pixels, JUNK).astype(pixels.dtype)
    height, width = pixels.shape
    has_alpha = kind == "alpha"
    profile = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": count + has_alpha,
        "dtype": pixels.dtype.name,
    }
    profile |= {"crs": f"EPSG:{AT.epsg}", "transform": TRANSFORM, "photometric": "MINISBLACK"} | how
    if "nodata" in kind:
        profile["nodata"] = JUNK if kind == "nodata" else 5
    env = {"GDAL_TIFF_INTERNAL_MASK": "msk" not in kind, "GDAL_TIFF_INTERNAL_MASK_TO_8BIT": kind != "8 bits"}
    with rasterio.Env(**env), rasterio.open(path, "w", **profile) as file:
        if has_alpha:
            file.colorinterp = [ColorInterp.gray, *[ColorInterp.undefined] * (count - 1), ColorInterp.alpha]
        for band in range(1, count + 1):
            file.write(values, band)
        if has_alpha:
            file.write(np.where(valid, 200, 0).astype(pixels.dtype), count + 1)
        elif kind not in ("nodata", "none"):
            file.write_mask(valid)
    return path


def scattered(seed: int = 0) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Pixels from 1 to 120 but junk, and a mask of them with whole blocks and single pixels."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(1, 70, (H, W))
    valid = rng.random((H, W)) > 0.1
    valid[:50, :70] = False
    valid[64:, 64:] = True
    return pixels, valid


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_file_declares_valid_is_what_gdal_takes_for_valid(tmp_path, kind, layout, dtype):
    pixels, valid = scattered()
    path = made(tmp_path / "s.tif", kind, pixels.astype(dtype), valid, **LAYOUTS[layout])
    mine = opened_with_mask(path)
    for window in (PixelWindow(0, 0, W, H), PixelWindow(40, 30, 77, 61), PixelWindow(149, 129, 1, 1)):
        at = np.s_[window.row : window.row + window.height, window.col : window.col + window.width]
        with rasterio.open(path) as file:
            for band in range(1, file.count + (kind != "alpha")):
                found = mine.valid(band, window, mine.read(band, window))
                if kind != "alpha":  # GDAL takes an alpha for a mask of one and three bands of bytes and uint16 alone
                    assert np.array_equal(found, file.read_masks(band, window=Window(*window)) != 0)
                assert np.array_equal(found, valid[at] | (kind == "none"))


def opened_with_mask(path: Path) -> raster.Raster:
    with Reader("") as reader:
        return reader._raster(Asset(str(path), "none"))


@pytest.mark.parametrize("crs", [AT.epsg, AT.epsg - 1])
@pytest.mark.parametrize("kind", [k for k in KINDS if k != "none"])
def test_what_is_masked_is_nodata_before_anything_is_resampled(tmp_path, kind, crs):
    transform, shape = around(AT, crs, 10)
    rng = np.random.default_rng(1)
    valid = np.repeat(np.repeat(rng.random((-(-shape[0] // 9), -(-shape[1] // 9))) > 0.3, 9, 0), 9, 1)[
        : shape[0], : shape[1]
    ]
    pixels = np.full(shape, 50, "uint16")
    path = made(tmp_path / "s.tif", kind, pixels, valid, crs=f"EPSG:{crs}", transform=transform, **LAYOUTS["tiles"])
    clean = np.where(valid, pixels, 0).astype("uint16")
    plain = made(
        tmp_path / "p.tif", "none", clean, np.ones(shape, bool), crs=f"EPSG:{crs}", transform=transform, nodata=0
    )
    for array in (spec(10, "uint16", 0), spec(20, "uint16", 0), spec(10, "uint16", 0, up="nearest", down="mode")):
        with Reader("") as reader:
            got, _ = reader.read([Asset(str(path), "none")], array, AT)
            want, _ = reader.read([Asset(str(plain), "none")], array, AT)
        assert np.array_equal(got, want)
        assert set(np.unique(got)) == {0, 50}


def test_a_masked_class_is_no_class(tmp_path):
    valid = np.zeros((H, W), bool)
    valid[:, :60] = True
    path = made(tmp_path / "s.tif", "mask", np.full((H, W), 3, "uint8"), valid)
    with Reader("") as reader:
        found, _ = reader.read([Asset(str(path), "none")], ArraySpec(res_m=10, bands=["b"], unit="1", **CLASSES), AT)
    assert (found[:, :40] == 3).any()
    assert not (found[:, 40:] != 0).any()
    assert JUNK not in found


def test_a_band_of_opacity_is_itself_valid(tmp_path):
    pixels, valid = scattered()
    mine = opened(made(tmp_path / "s.tif", "alpha", pixels.astype("uint8"), valid))
    everything = PixelWindow(0, 0, W, H)
    assert mine.valid(2, everything, mine.read(2, everything)).all()


def test_transparent_pixels_are_missing_beside_a_nodata_value_and_pixels_of_that_value_too(tmp_path):
    pixels, valid = scattered()
    mine = opened(made(tmp_path / "s.tif", "alpha", pixels.astype("uint8"), valid, nodata=9))
    everything = PixelWindow(0, 0, W, H)
    assert np.array_equal(mine.valid(1, everything, mine.read(1, everything)), valid & (pixels != 9))


def test_a_band_that_is_said_to_hold_data_is_no_transparency(tmp_path):
    """Of the pixels, of the coarse look, and of how the file tells what is missing."""
    pixels, valid = scattered()
    path = made(tmp_path / "s.tif", "alpha", pixels.astype("uint8"), valid)
    array = spec(10, "uint8", 255)
    with Reader("") as reader:
        for band in (1, 2):
            plain, data = Asset(str(path), "none", band), Asset(str(path), "none", band, data=frozenset({1, 2}))
            assert (reader.gaps(plain), reader.gaps(data)) == (band == 1, False)
            assert reader.coarse(data, array).size == W * H
            found, _ = reader.read([data], array, AT)
            hidden, _ = reader.read([plain], array, AT)
            with rasterio.open(path) as file:  # the grid's own pixels, from 20 columns and 15 rows on
                want = file.read(band, window=Window(20, 15, 66, 66))
            assert np.array_equal(found, want)
            assert (hidden == 255).any() == (band == 1)
        assert reader.coarse(Asset(str(path), "none", 1), array).size == valid.sum()


@pytest.mark.parametrize("is_written", [True, False])
def test_a_block_of_a_mask_that_was_never_written_masks_as_it_does_to_gdal(tmp_path, is_written):
    pixels, valid = scattered()
    valid[:64, :64] = False
    path = made(tmp_path / "s.tif", "mask", pixels.astype("uint16"), valid, tiled=True, blockxsize=64, blockysize=64)
    with tifffile.TiffFile(path) as tiff:
        mask, image = tiff.pages[1], tiff.pages[0]
        places = [mask.tags[code] for code in (324, 325)] + ([] if is_written else [image.tags[c] for c in (324, 325)])
        for tag in places:
            assert tag.count > 1
    data = bytearray(path.read_bytes())
    for tag in places:
        struct.pack_into("<I" if int(tag.dtype) == 4 else "<H", data, tag.valueoffset, 0)
    path.write_bytes(bytes(data))
    mine, everything = opened(path), PixelWindow(0, 0, W, H)
    with rasterio.open(path) as file:
        assert np.array_equal(mine.valid(1, everything, mine.read(1, everything)), file.read_masks(1) != 0)
        assert np.array_equal(valid, file.read_masks(1) != 0)


def test_a_block_that_was_never_written_is_an_error_where_a_mask_says_that_it_is_valid(tmp_path):
    pixels, _ = scattered()
    path = made(tmp_path / "s.tif", "mask", pixels.astype("uint16"), np.ones((H, W), bool), **SQUARES)
    with tifffile.TiffFile(path) as tiff:
        places = [tiff.pages[0].tags[code] for code in (324, 325)]
    data = bytearray(path.read_bytes())
    for tag in places:
        struct.pack_into("<I" if int(tag.dtype) == 4 else "<H", data, tag.valueoffset, 0)
    path.write_bytes(bytes(data))
    with pytest.raises(ReadError, match=r"block column 0 row 0 was never written .*where its mask says so"):
        opened(path).read(1, PixelWindow(0, 0, W, H))


def with_mask(path: Path, mask: NDArray[Any], where: str) -> None:
    """Writes a file of ones with a mask of bytes, in the chain of images or below its first."""
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(np.ones((H, W), "uint8"), subifds=int(where == "SubIFDs"), metadata=None)
        tiff.write(mask, subfiletype=1, metadata=None)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        page = tiff.pages[1] if where == "chain" else tiff.pages[0].pages[0]
        page.tags[254].overwrite(4)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("where", ["chain", "SubIFDs"])
def test_a_mask_of_another_size_is_an_error_by_name(tmp_path, where):
    path = tmp_path / "s.tif"
    with_mask(path, np.ones((H, W - 1), "uint8"), where)
    with pytest.raises(BrokenError, match=f"its mask has {W - 1} × {H} pixels, expected {W} × {H}"):
        opened(path)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("where", ["chain", "SubIFDs"])
def test_a_mask_of_bytes_is_honoured_wherever_it_is(tmp_path, where):
    path, valid = tmp_path / "s.tif", scattered()[1]
    with_mask(path, valid.astype("uint8"), where)
    mine, everything = opened(path), PixelWindow(0, 0, W, H)
    assert np.array_equal(mine.valid(1, everything, mine.read(1, everything)), valid)


def test_a_chain_that_leads_nowhere_or_back_is_an_error_not_a_file_without_a_mask(tmp_path):
    pixels, valid = scattered()
    path = made(tmp_path / "s.tif", "mask", pixels.astype("uint16"), valid)
    data = bytearray(path.read_bytes())
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    for where in (len(data) + 100, at):
        struct.pack_into("<I", data, at + 2 + 12 * count, where)
        path.write_bytes(bytes(data))
        with pytest.raises(BrokenError, match="chain of images leads"):
            opened(path)


@pytest.mark.parametrize("spoilt", [b"", b"<html>", b"II*\0" + bytes(100), "small"])
def test_a_mask_beside_a_file_that_cannot_be_read_is_an_error_by_name(tmp_path, spoilt):
    pixels, valid = scattered()
    path = made(tmp_path / "s.tif", "msk", pixels.astype("uint16"), valid)
    beside = tmp_path / "s.tif.msk"
    assert beside.exists()
    if spoilt == "small":
        tifffile.imwrite(beside, np.ones((H, W + 1), "uint8"))
    else:
        beside.write_bytes(spoilt)
    with Reader("") as reader, pytest.raises(ReadError, match=r"s\.tif\.msk"):
        reader.read([Asset(str(path), "none")], spec(10, "uint16", 0), AT)


def test_masks_are_fetched_with_their_pixels(tmp_path):
    pixels, valid = scattered()
    for kind in ("mask", "msk", "alpha", "none"):
        path = made(tmp_path / f"{kind}.tif", kind, pixels.astype("uint16"), valid)
        with Reader("") as reader:
            asset = Asset(str(path), "none")
            reader.prefetch([Read(asset, spec(10, "uint16", 0), AT), Read(asset, spec(10, "uint16", 0), None)])
            before = reader.counts.unplanned
            reader.read([asset], spec(10, "uint16", 0), AT)
            reader.coarse(asset, spec(10, "uint16", 0))
            assert reader.counts.unplanned == before


def test_a_band_of_pixels_that_is_called_transparency_is_not_fetched_for_others(tmp_path):
    pixels, valid = scattered()
    layout = LAYOUTS["planar"]
    found = opened_with_mask(made(tmp_path / "s.tif", "alpha", pixels.astype("uint16"), valid, **layout))
    window, data = PixelWindow(0, 0, 64, 64), frozenset({1, 2, 3, 4})
    assert [len(list(found.spans(1, window, its))) for its in (frozenset({1}), data)] == [2, 1]
    assert len(list(found.coarse_spans(1, data))) < len(list(found.coarse_spans(1)))


def test_a_block_whose_bands_say_what_is_transparent_is_decoded_once(tmp_path, monkeypatch):
    decoded = []
    unpacked = TiffImage._unpacked
    monkeypatch.setattr(TiffImage, "_unpacked", lambda *its: decoded.append(its[2:5]) or unpacked(*its))
    pixels, valid = scattered()
    path = made(tmp_path / "s.tif", "alpha", pixels.astype("uint16"), valid)
    asset, array = Asset(str(path), "none"), spec(10, "uint16", 0)
    reads = [Read(asset, array, AT), Read(asset, array, None), Read(replace(asset, data=frozenset({2})), array, AT)]
    with Reader("") as reader:
        for number in reader.ahead([[r] for r in reads]):
            if reads[number].location is None:
                reader.coarse(asset, array)
            else:
                reader.read([reads[number].asset], array, AT)
            assert decoded
            assert len(decoded) == len(set(decoded))
        assert not len(reader._decoded)


# ---- the coarse look -------------------------------------------------------------------------------------------------


def large(path: Path, kind: str, n: int, factors: list[int], **how: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    rng = np.random.default_rng(2)
    pixels = np.repeat(np.repeat(rng.integers(100, 9000, (n // 8, n // 8)), 8, 0), 8, 1).astype("uint16")
    valid = np.repeat(np.repeat(rng.random((n // 8, n // 8)) > 0.3, 8, 0), 8, 1)
    made(path, kind, pixels, valid, tiled=True, blockxsize=128, blockysize=128, compress="deflate", **how)
    if factors:
        with rasterio.open(path, "r+") as file:
            file.build_overviews(factors, Resampling.nearest)
    return pixels, valid


@pytest.mark.parametrize("kind", KINDS)
def test_the_coarse_look_is_at_the_coarsest_overview_that_is_fine_enough(tmp_path, kind):
    pixels, valid = large(tmp_path / "s.tif", kind, 2048, [2, 4, 8])
    with Reader("") as reader:
        found = reader.coarse(Asset(str(tmp_path / "s.tif"), "none"), spec(10, "uint16", 0))
    want = pixels[::8, ::8][valid[::8, ::8] | (kind == "none")]
    if kind == "none":
        assert found.size == 256 * 256
    else:
        assert np.array_equal(np.sort(found), np.sort(want))


def test_the_coarse_look_takes_a_finer_level_where_the_coarse_one_is_too_coarse_and_the_image_where_there_is_none(
    tmp_path,
):
    for n, factors in ((1024, [2, 8]), (256, [2, 4]), (512, [])):
        pixels, valid = large(tmp_path / f"{n}.tif", "mask", n, factors)
        step = 2 if n == 1024 else 1
        with Reader("") as reader:
            found = reader.coarse(Asset(str(tmp_path / f"{n}.tif"), "none"), spec(10, "uint16", 0))
        assert np.array_equal(np.sort(found), np.sort(pixels[::step, ::step][valid[::step, ::step]]))


@pytest.mark.parametrize(
    "how", [{"tiled": True, "blockxsize": 64, "blockysize": 64}, {"blockysize": 1}, {"blockysize": 50}]
)
def test_of_a_large_image_without_overviews_some_blocks_are_looked_at_spread_evenly(tmp_path, how):
    pixels = np.add.outer(np.arange(1000), np.arange(1000)).astype("uint16") + 1
    path = made(tmp_path / "s.tif", "none", pixels, np.ones(pixels.shape, bool), **how)
    with Reader("") as reader:
        found = reader.coarse(Asset(str(path), "none"), spec(10, "uint16", 0))
    assert 16 * 1000 <= found.size <= COARSE_BLOCKS * 50 * 1000
    assert np.abs(np.percentile(found, [10, 50, 90]) - np.percentile(pixels, [10, 50, 90])).max() < 130


def test_the_coarse_look_is_the_same_whatever_was_read_before(tmp_path):
    large(tmp_path / "s.tif", "mask", 1024, [2, 4])
    asset, array = Asset(str(tmp_path / "s.tif"), "none"), spec(10, "uint16", 0)
    with Reader("") as reader:
        first = reader.coarse(asset, array)
    with Reader("", ahead_bytes=1) as reader:
        reader.prefetch([Read(asset, array, AT)])
        reader.read([asset], array, AT)
        assert np.array_equal(reader.coarse(asset, array), first)


def test_the_coarse_look_leaves_out_what_is_not_finite(tmp_path):
    pixels = np.full((H, W), 0.5, "float32")
    pixels[0, :3] = np.nan, np.inf, -32768
    path = made(tmp_path / "s.tif", "none", pixels, np.ones((H, W), bool))
    with Reader("") as reader:
        assert reader.coarse(Asset(str(path), "none"), spec(10)).size == H * W - 3


def test_the_coarse_look_raises_as_reading_does(tmp_path):
    path = made(tmp_path / "s.tif", "none", np.ones((H, W), "float32"), np.ones((H, W), bool))
    with Reader("") as reader:
        with pytest.raises(ReadError, match="pixels are float32, expected uint16"):
            reader.coarse(Asset(str(path), "none"), spec(10, "uint16", 0))
        with pytest.raises(ReadError, match="has 1 bands, expected a band 2"):
            reader.coarse(Asset(str(path), "none", 2), spec(10))
