"""The bytes of one chunk, as Zarr's codecs make them. Pure.

By the compressors that Zarr itself calls, without an array of Zarr's around each: that hands every chunk to a loop in
another thread and back, which costs a chunk of facts two hundred times what decoding it does, and one of pixels twice
(`python -m tests.benchmarks.chunks`). The bytes are the same, held by a test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import google_crc32c
import numcodecs.blosc
import numpy as np
import xxhash
from numcodecs import Blosc, VLenUTF8, Zstd
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

_LEVEL = 3
"""Of Zstandard within Blosc. Measured on real Sentinel-2 (benchmarks): with bit shuffle it is a fifth smaller than lz4 and
decodes at about 2 GB/s a thread, which is far above what reading scenes gives."""

_TEXT, _TEXT_ZSTD = VLenUTF8(), Zstd(level=0)

UNDECODED = (RuntimeError, TypeError, ValueError)
"""What is raised of bytes that are no chunk."""


def codecs(dtype: str) -> tuple[BloscCodec | ZstdCodec, Crc32cCodec]:
    """What a chunk's bytes go through: compressed, and then a CRC-32C that every Zarr reader checks before it decodes."""
    if dtype == "str":
        return ZstdCodec(), Crc32cCodec()
    return BloscCodec(cname="zstd", clevel=_LEVEL, shuffle="bitshuffle"), Crc32cCodec()


def chunk_hash(chunk: bytes) -> str:
    """The hash a ledger keeps of a stored chunk: xxh3-128, hexadecimal."""
    return xxhash.xxh3_128_hexdigest(chunk)


def joined_hashes(hashes: Sequence[str]) -> str:
    """What a ledger keeps of a patch's part of an array: the hash of its chunk, or of each step's, in order."""
    return " ".join(hashes)


def each_hash(chunk_hashes: str) -> list[str]:
    """The hashes that `joined_hashes` joined: of an array without a time axis one."""
    return chunk_hashes.split(" ")


def encode_chunk(values: NDArray[Any], shape: tuple[int, ...], dtype: str) -> bytes:
    """The bytes of one chunk, the same for the same values.

    Args:
        values: what it holds, of its shape or broadcast to it.
        shape: of the chunk.
        dtype: of the chunk; `str` for text.
    """
    whole = np.broadcast_to(values, shape)
    if dtype == "str":
        text = whole.astype(np.dtypes.StringDType()).astype(object)  # plain text: a code is text and more
        packed = _TEXT_ZSTD.encode(_TEXT.encode(text.ravel()))
    else:
        numcodecs.blosc.use_threads = False  # with threads, blocks stand in the order in which threads finish
        stored = np.ascontiguousarray(whole, np.dtype(dtype).newbyteorder("<"))
        packed = Blosc("zstd", _LEVEL, Blosc.BITSHUFFLE, typesize=stored.itemsize).encode(stored)
    data, crc = bytes(packed), int(google_crc32c.value(bytes(packed)))
    return data + crc.to_bytes(4, "little")


def decode_chunk(chunk: bytes, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """The values of one chunk; text as Python's own.

    Raises:
        RuntimeError, TypeError, ValueError: the bytes are no chunk of this shape and dtype: see `UNDECODED`.
    """
    packed, crc = chunk[:-4], chunk[-4:]
    if google_crc32c.value(packed) != int.from_bytes(crc, "little") or not packed:
        raise ValueError(f"{len(chunk)} bytes that do not end with their own CRC-32C")
    if dtype == "str":
        text: NDArray[Any] = _TEXT.decode(_TEXT_ZSTD.decode(packed))
        return text.reshape(shape)
    kind = np.dtype(dtype).newbyteorder("<")
    data = numcodecs.blosc.decompress(packed)
    if len(data) != math.prod(shape) * kind.itemsize:
        raise ValueError(f"{len(data)} bytes, expected {shape} of {dtype}")
    return np.frombuffer(bytearray(data), kind).reshape(shape)  # who asked may write into it
