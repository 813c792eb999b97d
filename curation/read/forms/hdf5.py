"""HDF5: an array of a file, or of one of its groups; of several dates one."""

from __future__ import annotations

import io
import math
from typing import Literal

import h5py
import numpy as np
from pydantic import Field

from curation.errors import ReadError
from curation.read import archive, hdfchunk
from curation.read.chipform import Axes, ChipPixels, ChipReader, check_size, in_order
from curation.recipe.chips import BAND


class Hdf5(ChipReader):
    """An array by its path. Of a file with a group per sample, the path within the group."""

    name: Literal["hdf5"] = "hdf5"
    key: str = Field(min_length=1)
    """Path of the array; `{band}` in it stands for each of `file_bands`, an array each."""
    axes: Axes = "byx"
    """Which axis is which, once a step is taken."""
    step: int | None = Field(default=None, ge=0)
    """Which of the first axis, where that is time: from 0."""

    @property
    def per_band(self) -> bool:
        """Where `key` says so."""
        return BAND in self.key

    def _decoded(self, data: bytes, address: str, band: str) -> ChipPixels:
        path = "/".join(filter(None, [archive.split(address)[1], self.key.replace(BAND, band)]))
        with h5py.File(io.BytesIO(data), "r") as file:
            found = _array(file, path, address)
            where = f"{address}: {path}"
            shape = found.shape if self.step is None else found.shape[1:]
            check_size(shape, found.dtype.itemsize, where)
            check_size(found.chunks or (), found.dtype.itemsize, where)
            if self.step is None:
                _check_whole(found, None, where)
                return ChipPixels(in_order(np.asarray(found), self.axes, address))
            if found.ndim != len(self.axes) + 1 or self.step >= found.shape[0]:
                raise ReadError(f"{where} has shape {found.shape}: expected step {self.step} before {self.axes!r}")
            _check_whole(found, self.step, where)
            return ChipPixels(in_order(np.asarray(found[self.step]), self.axes, address))


def _array(file: h5py.File, path: str, address: str) -> h5py.Dataset:
    """The array at a path. Raises ReadError where there is none, or where the way to it, or its pixels, leave the file."""
    try:
        is_own = archive.is_own(file, path)
    except KeyError:
        is_own = None
    if is_own is False:
        raise ReadError(f"{address}: a link leads to {path!r}: expected the array itself, in this file")
    if is_own is None or not isinstance(found := file[path], h5py.Dataset):
        raise ReadError(f"{address}: no array {path!r}, it has {', '.join(sorted(file)[:8])}")
    if found.external or found.is_virtual:
        raise ReadError(f"{address}: the pixels of {path!r} lie in other files, expected them in this one")
    return found


def _check_whole(found: h5py.Dataset, step: int | None, where: str) -> None:
    """Passes where all of an array, or of one step, was written, and is unpacked to what it says.

    HDF5 reads what was not written as the fill value.
    """
    if found.chunks is None:
        layout = found.id.get_create_plist().get_layout()
        if layout == h5py.h5d.CONTIGUOUS and found.size and not found.id.get_storage_size():
            raise ReadError(f"{where}: was never written, and would be read as fill")
        return
    grid = [-(-size // side) for size, side in zip(found.shape, found.chunks, strict=True)]
    every = list[tuple[int, ...]]()
    found.id.chunk_iter(lambda chunk: every.append(chunk.chunk_offset))
    there = [at for at in every if step is None or at[0] // found.chunks[0] == step // found.chunks[0]]
    count = math.prod(grid if step is None else grid[1:])
    if (missing := count - len(there)) > 0:
        raise ReadError(f"{where}: {missing} of {count} chunks were never written, and would be read as fill")
    plan = found.id.get_create_plist()
    if not all(plan.get_filter(n)[0] in hdfchunk.FILTERS for n in range(plan.get_nfilters())):
        return  # what other filters make cannot be counted beforehand
    for at in there:
        if (surplus := hdfchunk.surplus(found, *found.id.read_direct_chunk(at))) is not None:
            raise ReadError(f"{where}: {surplus}")
