"""One array as the bytes of a shard's member, and back: a `.npy` file, or one inside a Blosc buffer.

Both containers are published and say of themselves what they hold, so that any reader can open them: `numpy.load`, and
any Blosc 1 library before it. Nothing here knows tars, torch or a store.
"""

from __future__ import annotations

import functools
import io
import tokenize
from typing import Any, Literal

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from curation.model import ConfigError, DamageError

Codec = Literal["lz4", "zstd", "none"]
Encoding = Literal["npy", "npy.blosc"]

ENCODINGS: tuple[Encoding, ...] = ("npy.blosc", "npy")
"""What a member's name ends in; the longer one first, since the shorter is a part of it."""

DTYPES = ("uint8", "uint16", "int16", "float32")


_BLOSC = {"lz4": (b"lz4hc", 5), "zstd": (b"zstd", 5)}
"""Compressor and level, both with shuffled bytes: shuffled bits cost lz4 half its speed of decoding for a hundredth of
the room. lz4hc writes what lz4 reads, slowly, but with bytes as densely as lz4 does with bits
(`python -m tests.benchmarks.streaming.codecs`)."""


def encoding_of(codec: Codec) -> Encoding:
    """What members that `codec` wrote are called."""
    return "npy" if codec == "none" else "npy.blosc"


def npy_header(shape: tuple[int, ...], dtype: str) -> bytes:
    """The bytes with which the `.npy` file of such an array begins: format 1.0, C order, little-endian."""
    out = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype).newbyteorder("<"))
    np.lib.format.write_array_header_1_0(out, {"descr": descr, "fortran_order": False, "shape": shape})
    return out.getvalue()


def encode(array: NDArray[Any], codec: Codec) -> bytes:
    """The array as a member's payload; the same array gives the same bytes.

    Args:
        array: of any shape, and one of the dtypes of the format.
        codec: `none` for a plain `.npy`; `lz4` is decoded fastest; `zstd` is densest.

    Raises:
        ConfigError: its dtype is none that the format has.
    """
    if array.dtype.name not in DTYPES:
        raise ConfigError(f"member: dtype {array.dtype}, expected one of {', '.join(DTYPES)}; convert it first")
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    file = npy_header(plain.shape, plain.dtype.name) + plain.tobytes()
    if codec == "none":
        return file
    name, level = _BLOSC[codec]
    packed: bytes = blosc.compress(file, name, level, blosc.SHUFFLE, blosc.AUTOBLOCKS, plain.itemsize)
    return packed


def decode(payload: Any, encoding: str, where: str) -> NDArray[Any]:
    """The array of a member's payload, in memory of its own.

    Args:
        payload: its bytes.
        encoding: what its name ends in.
        where: how a person names it, for errors.

    Raises:
        DamageError: it is no such payload.
    """
    try:
        file = payload if encoding == "npy" else blosc.decompress(payload)
        # A copy, so that what comes back can be written to and does not keep the payload's own memory.
        return opened(memoryview(file), where).copy()
    except (RuntimeError, ValueError) as err:
        raise DamageError(f"{where}: not a .{encoding} member ({err}); pack it again") from err


def opened(file: memoryview, where: str) -> NDArray[Any]:
    """The array of a `.npy` file, as a view of its bytes.

    Raises:
        DamageError: it is no such file, or has more or fewer bytes than its header says.
    """
    start = 10 + int.from_bytes(file[8:10], "little")
    try:
        shape, dtype = _parsed(bytes(file[:start]))
    except (ValueError, SyntaxError, tokenize.TokenError) as err:  # numpy reads the header as Python
        raise DamageError(f"{where}: not a .npy member ({err}); pack it again") from err
    size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    if len(file) - start != size:
        raise DamageError(f"{where}: {len(file) - start} bytes of {dtype} {shape}, expected {size}: pack it again")
    return np.frombuffer(file, dtype, offset=start).reshape(shape)


@functools.lru_cache(maxsize=256)  # a dataset has a handful of different headers, and parsing one takes 30 µs
def _parsed(header: bytes) -> tuple[tuple[int, ...], np.dtype[Any]]:
    file = io.BytesIO(header)
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"version {version}, expected (1, 0)")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if fortran:
        raise ValueError("Fortran order, expected C order")
    if dtype.name not in DTYPES:  # an object array would be pickled
        raise ValueError(f"dtype {dtype}, expected one of {', '.join(DTYPES)}")
    return tuple(shape), np.dtype(dtype)
