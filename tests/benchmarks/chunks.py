"""What a chunk costs: by the compressors alone, as a build and a reader do it, and by an array of Zarr around each.

    python -m tests.benchmarks.chunks

Prints ratios of processor time, the best of several rounds each.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from curation.cubes.chunks import codecs, decode_chunk, encode_chunk

ROUNDS = 7


def main() -> None:
    rng = np.random.default_rng(0)
    facts = rng.random(16, "float32")
    ground = rng.integers(0, 3000, (4, 66, 66)).repeat(4, 1).repeat(4, 2)
    pixels = (ground + rng.integers(0, 40, ground.shape))[None].astype("uint16")
    for what, values, times in (("facts of 16 patches", facts, 200), ("pixels of a patch", pixels, 20)):
        chunk = encode_chunk(values, values.shape, values.dtype.name)
        write, read = _of_zarr(values)
        ours = _cost(lambda v=values: encode_chunk(v, v.shape, v.dtype.name), times)  # type: ignore[misc]
        print(f"{what}: encoding, Zarr's array / compressors: {_cost(lambda w=write: w(), times) / ours:.1f}")  # type: ignore[misc]
        ours = _cost(lambda c=chunk, v=values: decode_chunk(c, v.shape, v.dtype.name), times)  # type: ignore[misc]
        print(f"{what}: decoding, Zarr's array / compressors: {_cost(lambda r=read, c=chunk: r(c), times) / ours:.1f}")  # type: ignore[misc]


def _of_zarr(values: NDArray[Any]) -> tuple[Callable[[], bytes], Callable[[bytes], NDArray[Any]]]:
    objects: dict[str, Any] = {}
    array = zarr.create_array(
        MemoryStore(objects),
        shape=values.shape,
        chunks=values.shape,
        dtype=values.dtype.name,
        compressors=codecs(values.dtype.name),
        config={"write_empty_chunks": True},
    )
    key = "/".join(["c", *["0"] * values.ndim])

    def write() -> bytes:
        array[...] = values
        made: bytes = objects[key].to_bytes()
        return made

    def read(chunk: bytes) -> NDArray[Any]:
        objects[key] = default_buffer_prototype().buffer.from_bytes(chunk)
        return np.asarray(array[...])

    return write, read


def _cost(call: Callable[[], Any], times: int) -> float:
    """Seconds of the processor of a call, the least of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(times):
            call()
        best = min(best, (time.process_time() - began) / times)
    return best


if __name__ == "__main__":
    main()
