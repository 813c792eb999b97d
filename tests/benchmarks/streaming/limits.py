"""What this machine allows in one thread of what a reader does: asking, hashing, decoding, in GB/s of what comes out."""

from __future__ import annotations

import http.client
import math
import multiprocessing
import time
import urllib.parse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
import xxhash
from numcodecs import blosc

from curation.format.index import Index
from curation.format.table import read_members
from curation.stream.layout import STORED
from curation.stream.resample import Upsample, upsample
from tests.benchmarks import machine
from tests.benchmarks.machine import rate


def http_read(url: str, name: str) -> float:
    """One connection, one file after another into a reused buffer: what the server and loopback allow a plain client."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc)
    buffer = bytearray(1 << 22)

    def work() -> int:
        connection.request("GET", f"{parts.path}/{name}")
        answer, total = connection.getresponse(), 0
        while n := answer.readinto(buffer):
            total += n
        return total

    try:
        return rate(work, clock=time.perf_counter)  # it waits for the server
    finally:
        connection.close()


def _payloads(folder: Path) -> list[bytes]:
    index = Index.from_bytes((folder / "index.json").read_bytes())
    entry = index.splits["train"]
    table = read_members(pa.py_buffer((folder / entry.members.name).read_bytes()), "members.arrow", index, "train")
    shard = (folder / entry.shards[0].name).read_bytes()
    here = (table.shard == 0) & (table.member > 0)
    return [shard[o : o + s] for o, s in zip(table.offset[here].tolist(), table.size[here].tolist(), strict=True)]


def _is_packed(folder: Path) -> bool:
    return '"npy.blosc"' in (folder / "index.json").read_text()


def _decoded_size(member: bytes) -> int:
    """Blosc 1: bytes 4 to 8 of a buffer."""
    return int.from_bytes(member[4:8], "little")


def hashing(folder: Path) -> tuple[float, float]:
    """(GB/s of packed bytes, packed bytes per decoded byte) of xxh3 over the members of a shard."""
    members = _payloads(folder)

    def work() -> int:
        for m in members:
            xxhash.xxh3_64_intdigest(m)
        return sum(map(len, members))

    decoded = sum(map(_decoded_size, members)) if _is_packed(folder) else sum(map(len, members))
    return rate(work), sum(map(len, members)) / decoded


def decoding(folder: Path) -> float | None:
    """GB/s of decoded bytes of Blosc over the members of a shard, each into a reused buffer; None where they are plain."""
    if not _is_packed(folder):
        return None
    members = _payloads(folder)
    blosc.use_threads = False
    sizes = [_decoded_size(m) for m in members]
    buffer = np.empty(max(sizes), np.uint8)

    def work() -> int:
        for m, size in zip(members, sizes, strict=True):
            blosc.decompress(m, buffer[:size])
        return sum(sizes)

    return rate(work)


def _upsampling_s(index: Index, mode: Upsample) -> tuple[float, float]:
    """(CPU seconds for all coarse arrays of a sample in one thread, by how much more GB they have then)."""
    torch.set_num_threads(1)
    fine_m = min(e.res_m or 0.0 for e in index.arrays.values())
    took = more = 0.0
    for entry in index.arrays.values():
        factor, times = round(entry.res_m / fine_m), len(entry.seasons) or 1
        if factor == 1:
            continue
        pixels = torch.ones(entry.shape, dtype=STORED[entry.dtype])
        how: Upsample = mode if entry.role == "data" else "nearest"

        def work(pixels: torch.Tensor = pixels, factor: int = factor, how: Upsample = how) -> int:
            fine = upsample(pixels, factor, how)
            return fine.numel() * fine.element_size()

        fine_gb = work() * times / 1e9
        took += fine_gb / rate(work)
        more += fine_gb * (1 - 1 / factor**2)
    return took, more


def cpu_floor_s_per_gb(folder: Path, mode: Upsample | None = None) -> float:
    """CPU seconds per delivered GB of hashing and decoding a layout's members, upsampling where asked, and one copy.

    On two cores at once, as two workers do it: they share caches and memory, which costs either of them.
    """
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        both = [pool.submit(_floor_s_per_gb, folder, mode) for _ in range(2)]
        return sum(f.result() for f in both) / 2


def _floor_s_per_gb(folder: Path, mode: Upsample | None) -> float:
    copy_gb_s = machine.memcpy()
    hash_gb_s, share = hashing(folder)
    decode = decoding(folder)
    floor = share / hash_gb_s + (1 / decode if decode else 0)
    if mode is None:
        return floor + 1 / copy_gb_s
    index = Index.from_bytes((folder / "index.json").read_bytes())
    stored_gb = sum(
        math.prod(e.shape) * np.dtype(e.dtype).itemsize * (len(e.seasons) or 1) / 1e9 for e in index.arrays.values()
    )
    up_s, more_gb = _upsampling_s(index, mode)
    return (floor * stored_gb + up_s) / (stored_gb + more_gb) + 1 / copy_gb_s
