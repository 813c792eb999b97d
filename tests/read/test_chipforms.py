"""Files of chips in each form, and in each container: pixels as other libraries wrote them; what is damaged is an error."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
import zarr
from PIL import Image as Pillow

from curation.errors import ConfigError, ReadError
from curation.read import archive
from curation.read.chipform import ChipReader
from curation.read.forms.hdf5 import Hdf5
from curation.read.forms.npy import Npy
from curation.read.forms.parquet_rows import ParquetRows
from curation.read.forms.picture import Picture
from curation.read.forms.tiff import Tiff
from curation.read.forms.zarr_zip import ZarrZip
from tests.geotiff import write

PIXELS = np.arange(3 * 8 * 8, dtype="uint16").reshape(3, 8, 8)


def npy(values: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


def hdf5(**arrays: Any) -> bytes:
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        for name, values in arrays.items():
            file[name.replace("__", "/")] = values
    return out.getvalue()


def zarr_zip(folder: Path, values: np.ndarray, version: int, without: str = "") -> bytes:
    """A store as a zip; `without`, the objects of that beginning are not in it."""
    store = zarr.storage.LocalStore(folder / f"s{version}{without}")
    group = zarr.open_group(store, mode="w", zarr_format=version)
    group.create_array("bands", data=values, chunks=(*values.shape[:-2], 4, 4))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for path in sorted(p for p in Path(store.root).rglob("*") if p.is_file()):
            name = path.relative_to(store.root).as_posix()
            if not without or not name.startswith(without):
                packed.writestr(name, path.read_bytes())
    return out.getvalue()


def image(values: np.ndarray, kind: str, mode: str | None = None) -> bytes:
    out = io.BytesIO()
    made = Pillow.fromarray(values)
    (made.convert(mode) if mode else made).save(out, kind)
    return out.getvalue()


def read(form: ChipReader, data: bytes, address: str = "a", band: str = "") -> np.ndarray:
    return form.decoded(data, address, band).pixels


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


def test_a_geotiff_tells_where_it_lies_and_one_without_a_transform_nothing(tmp_path: Path):
    write(tmp_path / "a.tif", PIXELS, west=500_000, north=5_600_000, res_m=10, nodata=7)
    chip = Tiff().decoded((tmp_path / "a.tif").read_bytes(), "a.tif")
    assert (chip.pixels == PIXELS).all()
    assert (chip.epsg, chip.nodata, chip.transform.c, chip.transform.a) == (32632, 7, 500_000, 10)
    tifffile.imwrite(tmp_path / "b.tif", PIXELS, photometric="minisblack", planarconfig="separate", metadata=None)
    bare = Tiff().decoded((tmp_path / "b.tif").read_bytes(), "b.tif")
    assert (bare.pixels == PIXELS).all()
    assert (bare.transform, bare.epsg, bare.nodata) == (None, None, None)


def test_a_folder_with_containers_is_listed_as_what_is_in_them(tmp_path: Path):
    write(tmp_path / "x/a.tif", PIXELS, west=0, north=0, res_m=10)
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        for name in ("k1.npy", "k2.npy"):
            info = tarfile.TarInfo(name)
            info.size = len(npy(PIXELS))
            tar.addfile(info, io.BytesIO(npy(PIXELS)))
    cells = [
        {"bytes": image(PIXELS[0], "PNG"), "path": "a.png"},
        {"bytes": (tmp_path / "x/a.tif").read_bytes(), "path": None},
    ]
    pq.write_table(pa.table({"image": cells, "label": [0, 1]}), tmp_path / "h.parquet", row_group_size=1)
    (tmp_path / "g.h5").write_bytes(hdf5(p1__s2=PIXELS, p2__s2=PIXELS + 1))
    (tmp_path / "one.h5").write_bytes(hdf5(s2=PIXELS))
    found = list(archive.addresses(tmp_path))
    assert found == [
        "g.h5!p1",
        "g.h5!p2",
        "h.parquet!0",
        "h.parquet!1",
        "one.h5",
        "t.tar!k1.npy",
        "t.tar!k2.npy",
        "x/a.tif",
    ]
    assert list(archive.addresses(tmp_path / "t.tar")) == ["t.tar!k1.npy", "t.tar!k2.npy"]
    assert (read(Npy(), archive.read(tmp_path, "t.tar!k2.npy")) == PIXELS).all()
    assert (read(Hdf5(key="s2"), archive.read(tmp_path, "g.h5!p2"), "g.h5!p2") == PIXELS + 1).all()
    rows = [read(ParquetRows(), archive.read(tmp_path, f"h.parquet!{n}", ParquetRows().cell)) for n in (0, 1)]
    assert (rows[0] == PIXELS[:1]).all()
    assert (rows[1] == PIXELS).all()


def test_what_cannot_be_had_of_a_container_is_told_by_its_name(tmp_path: Path):
    pq.write_table(pa.table({"image": [b"x"], "label": [0]}), tmp_path / "h.parquet")
    for address, column, why in [
        ("h.parquet!0", "picture", "no column 'picture', it has image, label"),
        ("h.parquet!0", "label", "holds no bytes"),
        ("h.parquet!1", "image", "has 1 rows"),
        ("a.tif", None, "No such file"),
    ]:
        with pytest.raises(ReadError, match=why):
            archive.read(tmp_path, address, column)
    with pytest.raises(ConfigError, match="no such folder or file"):
        list(archive.addresses(tmp_path / "nothing"))
    (tmp_path / "a.tar.gz").write_bytes(b"")
    with pytest.raises(ConfigError, match="unpack it"):
        list(archive.addresses(tmp_path))


def test_a_tar_that_is_cut_is_told(tmp_path: Path):
    data = npy(np.zeros(5000))
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        info = tarfile.TarInfo("k.npy")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    whole = (tmp_path / "t.tar").read_bytes()
    archive.read(tmp_path, "t.tar!k.npy")
    (tmp_path / "t.tar").write_bytes(whole[:2000])
    with pytest.raises(ConfigError, match="cannot be listed"):
        list(archive.addresses(tmp_path))
    with pytest.raises(ReadError, match=r"t\.tar"):
        archive.read(tmp_path, "t.tar!k.npy")
