"""What the machine allows that a table was measured on, and how its rounds scatter: without either a figure says little."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

_RUNS = 5
"""At least: the first one meets cold caches and pages never touched, and on a busy machine there is time for no more."""

_COPIED = (16, 8_293_824)
"""A batch of 16 samples of 8.3 MB, as the streaming benchmark's."""


def rate(work: Callable[[], int], seconds: float = 0.5, clock: Callable[[], float] = time.thread_time) -> float:
    """Best GB of runs of `work`, which gives the bytes it did, per second of this thread's CPU (or of another clock)."""
    best, runs, until = 0.0, 0, time.perf_counter() + seconds
    while runs < _RUNS or time.perf_counter() < until:
        runs += 1
        started = clock()
        size = work()
        best = max(best, size / (clock() - started) / 1e9)
    return best


def memcpy() -> float:
    """GB/s of one thread, of arrays of a sample's size into a reused buffer of a batch's."""
    source, target = np.ones(_COPIED, np.uint8), np.empty(_COPIED, np.uint8)

    def work() -> int:
        for into, of in zip(target, source, strict=True):
            np.copyto(into, of)
        return target.nbytes

    return rate(work)


def fresh_copy() -> float:
    """The same into memory that was never touched, which is what a new segment per batch costs."""
    source = np.ones(_COPIED, np.uint8)
    return rate(lambda: source.copy().nbytes)


def page_cache(file: Path) -> float:
    """GB/s of one thread, of a file that lies in the page cache into one reused buffer of 16 MB."""
    buffer = bytearray(1 << 24)

    def work() -> int:
        total = 0
        with file.open("rb", buffering=0) as opened:
            while n := opened.readinto(buffer):
                total += n
        return total

    return rate(work)


def written(folder: Path) -> tuple[float, float]:
    """CPU seconds a GB of one thread that writes a new file of 512 MiB.

    The first time, when a virtual machine may have to get the pages from its host, and at best.
    """
    data, taken = os.urandom(1 << 23), []
    for _ in range(_RUNS):
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            before = time.thread_time()
            for _ in range(64):
                file.write(data)
            taken.append((time.thread_time() - before) / (64 * len(data) / 1e9))
    return taken[0], min(taken)


def inflate() -> float:
    """GB/s of one thread, of decoded bytes of deflate: a block of 512² pixels of a ramp with noise of four bits."""
    noise = np.random.default_rng(0).integers(0, 16, (512, 512))
    packed = imagecodecs.deflate_encode((np.add.outer(np.arange(512), np.arange(512)) + noise).astype("<u2").tobytes())
    return rate(lambda: len(imagecodecs.deflate_decode(packed)))


def told(file: Path) -> str:
    """One line for beneath a table; `file` is some file that was just read."""
    return (
        f"One thread here copies {memcpy():.1f} GB/s, reads {page_cache(file):.1f} GB/s from the page cache and inflates "
        f"{inflate():.2f} GB/s; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}."
    )


def spread(values: Sequence[float], form: str = ",.0f") -> str:
    """Median and quartiles, for a cell of a table; of fewer than four their lowest and highest."""
    middle = format(statistics.median(values), form)
    if len(values) == 1:
        return middle
    low, _, high = (
        statistics.quantiles(values, n=4, method="inclusive") if len(values) > 3 else (min(values), 0, max(values))
    )
    return f"{middle} ({format(low, form)} to {format(high, form)})"


def middle(rounds: Sequence[dict[str, Any]], key: str) -> dict[str, Any]:
    """The round whose value of `key` is the median's, the lower of two."""
    return sorted(rounds, key=lambda r: r[key])[(len(rounds) - 1) // 2]
