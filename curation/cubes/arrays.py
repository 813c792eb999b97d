"""Arrays and chunks of a cube as Zarr has them."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numcodecs.blosc
import numpy as np
import xxhash
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import MemoryStore

from curation.recipe.bands import BandSpec
from curation.recipe.facts import Fact
from curation.recipe.schema import GridSpec
from curation.recipe.sources import ArraySpec


def codecs(dtype: str) -> tuple[BloscCodec | ZstdCodec, Crc32cCodec]:
    """What a chunk's bytes go through: compressed, and then a CRC-32C that every Zarr reader checks before it decodes."""
    if dtype == "str":
        return ZstdCodec(), Crc32cCodec()
    # Measured on real Sentinel-2 (benchmarks): zstd with bit shuffle is a fifth smaller than lz4 and decodes at
    # about 2 GB/s a thread, which is far above what reading scenes gives.
    return BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"), Crc32cCodec()


def chunk_hash(chunk: bytes) -> str:
    """The hash a ledger keeps of a stored chunk: xxh3-128, hexadecimal."""
    return xxhash.xxh3_128_hexdigest(chunk)


def create_array(root: zarr.Group, name: str, **kw: Any) -> zarr.Array[Any]:
    """An array of the group, packed as those of its dtype are."""
    return root.create_array(name, compressors=codecs(kw["dtype"]), **kw)


def coordinate(root: zarr.Group, name: str, values: Sequence[str], attributes: Mapping[str, Any] | None = None) -> None:
    """Writes a coordinate of text."""
    own = {"attributes": dict(attributes)} if attributes else {}
    n = len(values)
    array = create_array(root, name, shape=(n,), chunks=(n,), dtype="str", dimension_names=(name,), **own)
    array[:] = np.array(values, dtype=object)


def of_bands(bands: Sequence[BandSpec]) -> dict[str, list[str] | list[float]]:
    """What a cube says of an array's bands: canonical names, and centres and widths where each band has them."""
    out: dict[str, list[str] | list[float]] = {"canonical": [b.name for b in bands]}
    for key in ("centre_nm", "width_nm", "centre_mhz", "width_mhz"):
        values = [getattr(b, key) for b in bands]
        if None not in values:
            out[key] = values
    return out


def axes(root: zarr.Group, array: ArraySpec, of: GridSpec) -> None:
    """Where pixel centres lie within a patch, the same for all patches; x0_m and y0_m added, they are in its CRS."""
    px = array.px(of.size)
    along = (np.arange(px) + 0.5) * array.step(of.size)
    unit = "metres" if of.unit == "m" else of.unit
    for axis, values, long_name in (
        ("x", along, f"{unit} east of the patch's west edge (add x0_m for its CRS)"),
        ("y", -along, f"{unit} north of the patch's north edge, so negative (add y0_m for its CRS)"),
    ):
        name = f"{axis}_{array.pixel}"
        attributes: dict[str, Any] = {"long_name": long_name, "units": of.unit, "axis": axis.upper()}
        made = create_array(
            root, name, shape=(px,), chunks=(px,), dtype="float64", dimension_names=(name,), attributes=attributes
        )
        made[:] = values


@functools.lru_cache(maxsize=1024)
def _chunk_array(
    thread: int, shape: tuple[int, ...], dtype: str, fill: Any
) -> tuple[dict[str, Buffer], zarr.Array[Any], str]:
    """Objects, an array of a single chunk over them, and that chunk's key: Zarr itself encodes and decodes.

    A thread keeps its arrays: a slab has some fifty chunks, and making an array takes as long as writing one.
    """
    del thread
    numcodecs.blosc.use_threads = False  # with threads, blocks stand in the order in which threads finish
    objects: dict[str, Buffer] = {}
    array = zarr.create_array(
        MemoryStore(objects),
        shape=shape,
        chunks=shape,
        dtype=dtype,
        fill_value=fill,
        compressors=codecs(dtype),
        config={"write_empty_chunks": True},
    )
    return objects, array, "/".join(["c", *["0"] * len(shape)])


UNDECODED = (RuntimeError, TypeError, ValueError)
"""What Zarr's codecs raise of bytes that are no chunk."""


def encode_chunk(values: NDArray[Any], shape: tuple[int, ...], dtype: str, fill: Any) -> bytes:
    """The bytes of one chunk; the same for the same values."""
    objects, array, key = _chunk_array(threading.get_ident(), shape, dtype, fill)
    array[...] = values
    return objects.pop(key).to_bytes()


def decode_chunk(chunk: bytes, shape: tuple[int, ...], dtype: str, fill: Any) -> NDArray[Any]:
    """The values of one chunk."""
    objects, array, key = _chunk_array(threading.get_ident(), shape, dtype, fill)
    objects[key] = default_buffer_prototype().buffer.from_bytes(chunk)
    try:
        return np.asarray(array[...])
    finally:
        del objects[key]


def python(value: Any, fact: Fact) -> Any:
    """A stored fact as a plain value; None where nothing was measured."""
    if fact.axis:
        return None if np.isnan(value).all() else value
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, float) and np.isnan(plain):
        return None
    return plain
