"""Files of chips in each form: pixels as other libraries wrote them; what is damaged is an error."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
from rasterio.windows import Window

from curation.errors import ReadError
from curation.read import chipform
from curation.read.chipform import ChipReader
from curation.read.forms.hdf5 import Hdf5
from curation.read.forms.npy import Npy
from curation.read.forms.parquet_rows import ParquetRows
from curation.read.forms.picture import Picture
from curation.read.forms.tiff import Tiff
from curation.read.forms.zarr_zip import ZarrZip
from tests.geotiff import write
from tests.read.chipfiles import PIXELS, hdf5, hdf5_of, image, npy, png, read, tiff, zarr_zip


def test_npy_is_read_along_the_axes_that_are_told_and_never_as_pickled_objects():
    assert (read(Npy(), npy(PIXELS)) == PIXELS).all()
    assert (read(Npy(axes="yxb"), npy(np.moveaxis(PIXELS, 0, -1))) == PIXELS).all()
    assert (read(Npy(axes="yx"), npy(PIXELS[0])) == PIXELS[:1]).all()
    with pytest.raises(ReadError, match="expected numbers along axes 'byx'"):
        read(Npy(), npy(PIXELS[0]))
    with pytest.raises(ReadError, match="allow_pickle"):
        read(Npy(), npy(np.array([{}], object)))


@pytest.mark.parametrize("version", [2, 3])
def test_a_zarr_store_in_a_zip_is_read_and_a_chunk_that_is_gone_is_no_fill_value(tmp_path: Path, version: int):
    assert (read(ZarrZip(), zarr_zip(tmp_path, PIXELS, version)) == PIXELS).all()
    four = np.stack([PIXELS, PIXELS + 1000])
    assert (read(ZarrZip(step=[1]), zarr_zip(tmp_path, four, version)) == PIXELS + 1000).all()
    lost = "bands/c/0/1/1" if version == 3 else "bands/0.1.1"
    with pytest.raises(ReadError, match="1 of 4 chunks are not there"):
        read(ZarrZip(), zarr_zip(tmp_path, PIXELS, version, without=lost))
    filled = read(ZarrZip(empty_chunks="fill"), zarr_zip(tmp_path, PIXELS, version, without=lost))
    assert (filled[0, 4:, 4:] == 0).all()
    with pytest.raises(ReadError, match="no chip of form 'zarr-zip'"):
        read(ZarrZip(), zarr_zip(tmp_path, PIXELS, version)[:-30])


def test_chunks_that_zarr_left_out_are_its_fill_value_where_the_recipe_says_so(tmp_path: Path):
    mask = np.zeros((1, 8, 8), "uint8")
    mask[0, 5, 5] = 3
    data = zarr_zip(tmp_path / "a", mask, 3)
    with pytest.raises(ReadError, match=r"3 of 4 chunks.*as fill \(0\).*empty_chunks = 'fill'"):
        read(ZarrZip(), data)
    assert (read(ZarrZip(empty_chunks="fill"), data) == mask).all()
    with pytest.raises(ReadError, match=r"as fill \(None\)"):
        read(ZarrZip(empty_chunks="fill"), zarr_zip(tmp_path / "c", mask, 2, without="bands/0.0", fill_value=None))
    shards = zarr_zip(tmp_path / "b", mask, 3, shards=(1, 8, 8))
    with pytest.raises(ReadError, match="in shards, which do not tell"):
        read(ZarrZip(), shards)
    assert (read(ZarrZip(empty_chunks="fill"), shards) == mask).all()


def test_what_an_array_says_to_have_is_bounded_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chipform, "MOST_DECODED_BYTES", PIXELS.nbytes - 1)
    wide = tiff(PIXELS)
    for form, data in [
        (Hdf5(key="s2"), hdf5(s2=PIXELS)),
        (ZarrZip(), zarr_zip(tmp_path, PIXELS, 3)),
        (Tiff(), wide),
        (Picture(), image(np.moveaxis(PIXELS.astype("uint8"), 0, -1), "PNG")),
    ]:
        with pytest.raises(ReadError, match="which is no chip: expected 383 bytes at most"):
            read(form, data)
    with pytest.raises(ReadError, match="a: s2: says 20 × 20 numbers"):  # of a chunk, which is unpacked as a whole
        read(Hdf5(key="s2", axes="yx"), hdf5_of(s2={"shape": (8, 8), "chunks": (20, 20), "maxshape": (None, None)}))


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"chunks": (4, 4), "rows": 4}, "2 of 4 chunks were never written"),
        ({}, "was never written"),
    ],
)
def test_what_was_never_written_to_hdf5_is_no_fill_value(how: dict[str, Any], why: str):
    with pytest.raises(ReadError, match=f"a: s2: {why}"):
        read(Hdf5(key="s2", axes="yx"), hdf5_of(s2={"shape": (8, 8), **how}))
    assert (read(Hdf5(key="s2", axes="yx"), hdf5_of(s2={"shape": (8, 8), **how, "rows": 8})) == 1).all()


def test_of_several_dates_of_hdf5_those_that_are_read_have_to_be_there():
    data = hdf5_of(s2={"shape": (3, 8, 8), "chunks": (1, 4, 4), "rows": 2})
    assert (read(Hdf5(key="s2", axes="yx", step=1), data) == 1).all()
    with pytest.raises(ReadError, match="4 of 4 chunks were never written"):
        read(Hdf5(key="s2", axes="yx", step=2), data)


def test_a_chunk_of_hdf5_that_unpacks_to_more_than_it_says_is_refused():
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        made = file.create_dataset("s2", (8, 8), "uint16", chunks=(8, 8), compression="gzip")
        made.id.write_direct_chunk((0, 0), zlib.compress(bytes(2**20)))
    noise = np.random.default_rng(0).integers(0, 2**16, (8, 8), "uint16")
    for packed in ("gzip", "lzf"):
        data = hdf5_of(s2={"data": noise, "chunks": (8, 8), "compression": packed})
        assert (read(Hdf5(key="s2", axes="yx"), data) == noise).all()
    with pytest.raises(ReadError, match=r"s2: its chunk would be unpacked to .* bytes or more, expected 128"):
        read(Hdf5(key="s2", axes="yx"), out.getvalue())


def test_an_array_of_hdf5_is_found_by_its_path_its_step_and_its_band():
    dates = np.stack([PIXELS, PIXELS + 1000])
    data = hdf5(s2=PIXELS, times=dates, p__B02=PIXELS[0], p__B03=PIXELS[1])
    assert (read(Hdf5(key="s2"), data) == PIXELS).all()
    assert (read(Hdf5(key="times", step=1), data) == PIXELS + 1000).all()
    by_band = Hdf5(key="{band}", axes="yx")
    assert by_band.per_band
    assert (read(by_band, data, "a.h5!p", "B03")[0] == PIXELS[1]).all()
    with pytest.raises(ReadError, match="no array 's1', it has p, s2, times"):
        read(Hdf5(key="s1"), data)
    with pytest.raises(ReadError, match="expected step 2"):
        read(Hdf5(key="times", step=2), data)
    with pytest.raises(ReadError, match="form 'hdf5'"):
        read(Hdf5(key="s2"), data[: len(data) // 2])


def test_images_have_bands_side_by_side_and_a_palette_is_refused():
    eight = PIXELS.astype("uint8")
    assert (read(Picture(), image(np.moveaxis(eight, 0, -1), "PNG")) == eight).all()
    assert (read(Picture(), image(PIXELS[0], "PNG"))[0] == PIXELS[0]).all()
    with pytest.raises(ReadError, match="has a palette"):
        read(Picture(), image(np.moveaxis(eight, 0, -1), "PNG", "P"))
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), "uint8")
    for kind in ("PNG", "JPEG"):
        data = image(noise, kind)
        with pytest.raises(ReadError, match=r"form 'picture'.*truncated"):
            read(Picture(), data[: len(data) // 2])


def test_numbers_of_a_png_are_those_of_the_file_or_it_is_refused():
    grey, colours = PIXELS[0], np.moveaxis(PIXELS, 0, -1)
    assert (read(Picture(), png(grey + 300, 16, 0))[0] == grey + 300).all()
    assert (read(Picture(), png(colours, 8, 2)) == PIXELS).all()
    for bits, kind, values in [
        (16, 2, colours),
        (4, 0, grey % 16),
        (2, 0, grey % 4),
        (1, 0, grey % 2),
        (16, 4, colours[..., :2]),
    ]:
        with pytest.raises(ReadError, match=rf"a PNG of {bits} bits .*form = 'tiff'"):
            read(Picture(), png(values, bits, kind))
    gaps = png(grey, 8, 0, (b"tRNS", b"\0\7"))
    assert Picture().decoded(gaps, "a").nodata == 7
    with pytest.raises(ReadError, match="a colour that is transparent"):
        read(Picture(), png(colours, 8, 2, (b"tRNS", b"\0\1\0\2\0\3")))
    with pytest.raises(ReadError, match="a JPEG of CMYK"):
        read(Picture(), image(colours.astype("uint8"), "JPEG", "CMYK"))


@pytest.mark.parametrize("form", [Tiff(), ParquetRows(), Picture()])
def test_bytes_of_another_format_open_no_file(tmp_path: Path, form: ChipReader):
    (tmp_path / "secret.tif").write_bytes(tiff(PIXELS))
    recipe = (
        '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
        f"<SourceFilename>{tmp_path}/secret.tif</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(ReadError, match="no chip of form"):
        read(form, recipe.encode())
    with pytest.raises(ReadError, match=r"no chip of form 'picture'.*Unidentified"):
        read(Picture(), image(PIXELS[0].astype("uint8"), "GIF"))


def test_scales_masks_and_holes_of_a_geotiff_are_not_passed_over():
    scaled, masked = tiff(PIXELS, scales=(0.1,) * 3), tiff(PIXELS, mask=np.eye(8, dtype=bool))
    with pytest.raises(ReadError, match=r"scaled, by 0.1 and \+0.*scale = 'ignore'"):
        read(Tiff(), scaled)
    assert (read(Tiff(scale="ignore"), scaled) == PIXELS).all()
    assert (Tiff().decoded(masked, "a").masked == ~np.eye(8, dtype=bool)).all()
    four = np.concatenate([PIXELS, PIXELS[:1]]).astype("uint8")  # GDAL calls the fourth alpha
    assert (read(Tiff(), tiff(four)) == four).all()
    assert Tiff().decoded(tiff(four), "a").masked is None
    holes = {"width": 32, "height": 32, "tiled": True, "blockxsize": 16, "blockysize": 16, "SPARSE_OK": True}
    for interleave, absent in [("pixel", 9), ("band", 9)]:
        how = {**holes, "interleave": interleave, "window": Window(0, 0, 8, 8)}
        with pytest.raises(ReadError, match=f"{absent} blocks are not there"):
            read(Tiff(), tiff(PIXELS, **how))
        chip = Tiff().decoded(tiff(PIXELS, **how, nodata=9), "a")
        assert (chip.pixels[:, 16:] == chip.nodata).all()


def test_a_geotiff_tells_where_it_lies_and_one_without_a_transform_nothing(tmp_path: Path):
    write(tmp_path / "a.tif", PIXELS, west=500_000, north=5_600_000, res_m=10, nodata=7)
    chip = Tiff().decoded((tmp_path / "a.tif").read_bytes(), "a.tif")
    assert (chip.pixels == PIXELS).all()
    assert (chip.epsg, chip.nodata, chip.transform.c, chip.transform.a) == (32632, 7, 500_000, 10)
    tifffile.imwrite(tmp_path / "b.tif", PIXELS, photometric="minisblack", planarconfig="separate", metadata=None)
    bare = Tiff().decoded((tmp_path / "b.tif").read_bytes(), "b.tif")
    assert (bare.pixels == PIXELS).all()
    assert (bare.transform, bare.epsg, bare.nodata) == (None, None, None)
