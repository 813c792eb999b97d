"""One array as the bytes of a shard's member, and back: a `.npy` file, or one inside a Blosc buffer.

Both containers are published and say of themselves what they hold, so that any reader can open them: `numpy.load`, and
any Blosc 1 library before it. Nothing here knows tars, torch or a store.
"""

from __future__ import annotations

import functools
import io
import math
import re
from typing import Any, Literal

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from curation.errors import ConfigError, DamageError
from curation.format.frame import HEADER, content

Codec = Literal["lz4", "zstd", "none"]
Encoding = Literal["npy", "npy.blosc"]

ENCODINGS: tuple[Encoding, ...] = ("npy.blosc", "npy")
"""What a member's name ends in; the longer one first, since the shorter is a part of it."""

DTYPES = ("uint8", "uint16", "int16", "float32")

MOST_BYTES = (1 << 31) - 1
"""Of one array, decoded: Blosc 1 counts in 32 bits, with a sign."""

DENSEST = 1 << 16
"""How many bytes one byte of a payload may stand for. zstd makes one of 7,942 that are all alike; what claims more than
eight times that is refused before room is made for it."""

_DESCR = {np.dtype(d).newbyteorder("<").str: np.dtype(d) for d in DTYPES}
_NPY = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': (.{1,64}?), 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,10}, ){0,31}\d{1,10},?)?\), \} *\n",
    re.DOTALL,
)
"""The header of a `.npy` file as numpy spells it. It is matched and never evaluated, as numpy does."""


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
    file = payload
    if encoding != "npy":
        blosc_content(payload, where)
        try:
            file = blosc.decompress(payload)
        except (RuntimeError, ValueError) as err:
            raise DamageError(f"{where}: not a .{encoding} member ({err}); pack it again") from err
    # A copy, so that what comes back can be written to and does not keep the payload's own memory.
    return opened(memoryview(file), where).copy()


def blosc_content(payload: Any, where: str) -> int:
    """How many bytes a Blosc buffer says that it holds, after checking that this can be true.

    Raises:
        DamageError: it is shorter than a header, has another length than it says, or claims more than it can hold.
    """
    size = len(payload)
    inside, own = content(payload) if size >= HEADER else (0, -1)
    if own != size:
        raise DamageError(f"{where}: not a .npy.blosc member ({size} bytes); pack it again")
    if not 0 < inside <= min(MOST_BYTES, DENSEST * size):
        raise DamageError(f"{where}: {size} bytes that claim to hold {inside}: not a .npy.blosc member; pack it again")
    return inside


def opened(file: memoryview, where: str) -> NDArray[Any]:
    """The array of a `.npy` file, as a view of its bytes.

    Raises:
        DamageError: it is no such file, or has more or fewer bytes than its header says.
    """
    start = 10 + int.from_bytes(file[8:10], "little")
    try:
        shape, dtype = _parsed(bytes(file[:start]))
    except ValueError as err:
        raise DamageError(f"{where}: not a .npy member ({err}); pack it again") from err
    size = dtype.itemsize * math.prod(shape)
    if len(file) - start != size:
        raise DamageError(f"{where}: {len(file) - start} bytes of {dtype} {shape}, expected {size}: pack it again")
    return np.frombuffer(file, dtype, offset=start).reshape(shape)


@functools.lru_cache(maxsize=256)  # a dataset has a handful of different headers
def _parsed(header: bytes) -> tuple[tuple[int, ...], np.dtype[Any]]:
    found = _NPY.fullmatch(header)
    if found is None:
        raise ValueError("its header is not one of format version 1.0, as numpy spells it")
    descr = found[1].decode("latin-1")
    if (dtype := _DESCR.get(descr.strip("'"))) is None:  # an object array would be pickled
        raise ValueError(f"dtype {descr}, expected one of {', '.join(DTYPES)}, little-endian")
    if found[2] == b"True":
        raise ValueError("Fortran order, expected C order")
    shape = tuple(int(n) for n in (found[3] or b"").split(b",") if n)
    if 0 in shape:
        raise ValueError(f"shape {shape}, expected sides of at least 1")
    return shape, dtype
