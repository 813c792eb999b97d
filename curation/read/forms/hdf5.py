"""HDF5: an array of a file, or of one of its groups; of several dates one."""

from __future__ import annotations

import io
from typing import Literal

import h5py
import numpy as np
from pydantic import Field

from curation.errors import ReadError
from curation.read.archive import INNER
from curation.read.chipform import Axes, ChipPixels, ChipReader, in_order
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
        path = "/".join(filter(None, [address.partition(INNER)[2], self.key.replace(BAND, band)]))
        with h5py.File(io.BytesIO(data), "r") as file:
            if not isinstance(found := file.get(path), h5py.Dataset):
                raise ReadError(f"{address}: no array {path!r}, it has {', '.join(sorted(file)[:8])}")
            if self.step is None:
                return ChipPixels(in_order(np.asarray(found), self.axes, address))
            if found.ndim != len(self.axes) + 1 or self.step >= found.shape[0]:
                raise ReadError(
                    f"{address}: {path} has shape {found.shape}: expected step {self.step} before {self.axes!r}"
                )
            return ChipPixels(in_order(np.asarray(found[self.step]), self.axes, address))
