"""Files of chips as other libraries write them, and what a form reads of one."""

from __future__ import annotations

import io
import struct
import tarfile
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import rasterio
import zarr
from PIL import Image as Pillow
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from curation.read.chipform import ChipReader

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


def zarr_zip(folder: Path, values: np.ndarray, version: int, without: str = "", **how: Any) -> bytes:
    """A store as a zip; `without`, the objects of that beginning are not in it."""
    store = zarr.storage.LocalStore(folder / f"s{version}{without}")
    group = zarr.open_group(store, mode="w", zarr_format=version)
    group.create_array("bands", data=values, chunks=(*values.shape[:-2], 4, 4), **how)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for path in sorted(p for p in Path(store.root).rglob("*") if p.is_file()):
            name = path.relative_to(store.root).as_posix()
            if not without or not name.startswith(without):
                packed.writestr(name, path.read_bytes())
    return out.getvalue()


def png(values: np.ndarray, bits: int, colours: int, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG of rows of numbers that are packed as its header says; `extra`, chunks before its pixels."""
    header = struct.pack(">IIBBBBB", *values.shape[1::-1], bits, colours, 0, 0, 0)
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in values]
    else:
        each = np.unpackbits(values.astype("uint8").reshape(len(values), -1, 1), axis=2)[:, :, 8 - bits :]
        rows = [np.packbits(row).tobytes() for row in each.reshape(len(values), -1)]
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = [(b"IHDR", header), *extra, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks
    )


def tiff(pixels: np.ndarray, **how: Any) -> bytes:
    """As GDAL writes one; `mask`, `scales` and `window` beside its profile."""
    mask, scales, window = (how.pop(k, None) for k in ("mask", "scales", "window"))
    count, height, width = pixels.shape
    profile = {"count": count, "height": height, "width": width, "dtype": pixels.dtype, **how}
    with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(driver="GTiff", **profile) as file:
            file.write(pixels, window=window)
            file.scales = scales or file.scales
            if mask is not None:
                file.write_mask(mask)
        return bytes(memory.getbuffer())


def tar_of(path: Path, *members: tuple[str, bytes, bytes, str]) -> None:
    """A tar of (name, type, data, name that it is linked to)."""
    with tarfile.open(path, "w") as tar:
        for name, kind, data, to in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(data), to
            tar.addfile(info, io.BytesIO(data))


def image(values: np.ndarray, kind: str, mode: str | None = None) -> bytes:
    out = io.BytesIO()
    made = Pillow.fromarray(values)
    (made.convert(mode) if mode else made).save(out, kind)
    return out.getvalue()


def read(form: ChipReader, data: bytes, address: str = "a", band: str = "") -> np.ndarray:
    return form.decoded(data, address, band).pixels


def hdf5_of(**arrays: Any) -> bytes:
    """A file with arrays that are made so, of which `rows` alone are written."""
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        for name, how in arrays.items():
            rows = how.pop("rows", 0)
            made = file.create_dataset(name, dtype="uint16", **how)
            if rows:
                made[:rows] = 1
    return out.getvalue()
