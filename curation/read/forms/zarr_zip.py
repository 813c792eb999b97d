"""A Zarr store in a zip, as TerraMesh and SSL4EO-S12 v1.1 have one per sample, or one for several."""

from __future__ import annotations

import io
import zipfile
from typing import Any, Literal

import numpy as np
import zarr
from pydantic import Field
from zarr.codecs import ShardingCodec
from zarr.core.buffer import cpu
from zarr.storage import MemoryStore

from curation.errors import ReadError
from curation.read.archive import MOST_BYTES
from curation.read.chipform import Axes, ChipPixels, ChipReader, check_size, in_order


class ZarrZip(ChipReader):
    """An array of a store of Zarr 2 or 3."""

    name: Literal["zarr-zip"] = "zarr-zip"
    key: str = Field(default="bands", min_length=1)
    """Path of the array."""
    axes: Axes = "byx"
    """Which axis is which, once steps are taken."""
    step: list[int] = Field(default_factory=list)
    """Which of each axis before these (sample, time): from 0."""
    empty_chunks: Literal["refuse", "fill"] = "refuse"
    """What a chunk is that is not there: `fill`, where they were left out since all of them is the fill value."""

    def _decoded(self, data: bytes, address: str, band: str) -> ChipPixels:
        array = zarr.open_group(_unpacked(data, address), mode="r")[self.key]
        if not isinstance(array, zarr.Array) or array.ndim != len(self.step) + len(self.axes):
            raise ReadError(
                f"{address}: {self.key!r} is {array!r}: expected an array of axes {self.step} and {self.axes!r}"
            )
        check_size(array.shape[len(self.step) :], array.dtype.itemsize, address)
        check_size(array.shards or array.chunks, array.dtype.itemsize, address)
        # Of Zarr 2, where without a fill value what is gone may be anything.
        if self.empty_chunks == "refuse" or array.fill_value is None:
            _check_whole(array, address)
        return ChipPixels(in_order(np.asarray(array[tuple(self.step)]), self.axes, address))


def _unpacked(data: bytes, address: str) -> MemoryStore:
    """The store's objects; their sizes are what they are unpacked to, and bounded."""
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        if sum(i.file_size for i in packed.infolist()) > MOST_BYTES:
            raise ReadError(f"{address}: unpacks to more than {MOST_BYTES} bytes, which is no chip")
        return MemoryStore(
            {i.filename: cpu.Buffer.from_bytes(packed.read(i)) for i in packed.infolist() if not i.is_dir()}
        )


def _check_whole(array: Any, address: str) -> None:
    """Passes where each chunk is stored: Zarr reads one that is gone as the fill value, which would be a pixel."""
    mend = "form = { name = 'zarr-zip', empty_chunks = 'fill' } where those that are not stored are fill"
    if any(isinstance(codec, ShardingCodec) for codec in getattr(array.metadata, "codecs", ())):
        raise ReadError(f"{address}: has its chunks in shards, which do not tell whether one is gone: {mend}")
    if array.nchunks_initialized < array.nchunks:
        missing = array.nchunks - array.nchunks_initialized
        raise ReadError(
            f"{address}: {missing} of {array.nchunks} chunks are not there, and would be read as fill "
            f"({array.fill_value}): {mend}"
        )
