"""Where the time of a loader goes: what each batch spent in fetching, hashing, decoding and copying, and who waited.

Threads read the clock four times a sample, which takes 0.4 µs, whether there is a meter or not; who iterates three times a
batch, 4 µs of 32 samples, where there is one. What workers measure lies in memory that the process which iterates sees, too,
so that nothing of it travels with a batch.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Sequence
from multiprocessing.reduction import DupFd, ForkingPickler
from typing import Any, NamedTuple

import numpy as np
import torch.utils.data
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.errors.words import counted
from curation.store.afterwards import Leavings
from curation.store.local import memory

KEEP = 512
"""Batches of each worker that are remembered, the last ones."""

MOST_WORKERS = 256


class BatchTimes(NamedTuple):
    """What one batch took, in seconds. Fetching, hashing and decoding are summed over the threads that did so at a time."""

    worker: int
    """Who made it; 0 where the process that iterates does."""
    number: int
    """Of the batch among those of its worker, from 0, over all epochs."""
    samples: int
    threads: int
    """Of its worker."""
    fetch_s: float
    """Bytes from where the shards lie."""
    hash_s: float
    """Whether these are the ones that were packed."""
    decode_s: float
    """Into the batch's memory: unpacked, cropped, normalised."""
    copy_s: float
    """From there to who iterates, the transform included."""
    wait_s: float
    """How long whoever was asked for the batch had to wait until it was filled."""
    consumer_s: float
    """How long nobody asked for the next one; NaN of one that is in use."""

    @property
    def made_s(self) -> float:
        """How long a worker takes for it with all of its threads at work."""
        return (self.fetch_s + self.hash_s + self.decode_s) / self.threads + self.copy_s

    @property
    def waited(self) -> dict[str, float]:
        """Stage → seconds waited for it: the wait for the batch by what its threads were at, the copy, the consumer."""
        stages = {"fetch": self.fetch_s, "hash": self.hash_s, "decode": self.decode_s}
        total = sum(stages.values()) or 1.0
        return {n: self.wait_s * s / total for n, s in stages.items()} | {
            "copy": self.copy_s,
            "consumer": self.consumer_s,
        }


_NUMBERS = len(BatchTimes._fields) - 2


class _Rows:
    """Rows of numbers, of each worker its own, in memory that a process and its DataLoader's workers see.

    Pickled for a worker that is being made, it is the same memory there; pickled otherwise, and copied, it is empty.
    """

    def __init__(self, handle: int | None = None) -> None:
        counts, rows = 8 * MOST_WORKERS, 8 * MOST_WORKERS * KEEP * _NUMBERS
        _descriptors.settle()
        self.handle = memory(counts + rows) if handle is None else handle  # pages cost nothing until they are written
        shared = mmap.mmap(self.handle, counts + rows)
        self.counts: NDArray[np.int64] = np.frombuffer(shared, np.int64, MOST_WORKERS)
        self.rows: NDArray[np.float64] = np.frombuffer(shared, np.float64, offset=counts).reshape(-1, KEEP, _NUMBERS)
        _descriptors.when_gone(self, os.close, self.handle)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Rows, ()


ForkingPickler.register(_Rows, lambda rows: (_rows_by, (DupFd(rows.handle),)))


def _rows_by(handle: Any) -> _Rows:
    return _Rows(handle.detach())


_descriptors = Leavings()
"""Of the memory of meters that are gone."""


class Turn:
    """One iteration, as who iterates goes through it."""

    def __init__(self, rows: _Rows, worker: int, threads: int) -> None:
        self._rows, self._worker, self._threads = rows, worker, threads
        self._last = time.perf_counter()
        self._wait_s = 0.0
        self._at = 0
        """Row of the batch that was given last: another iteration of this process may have given one since."""

    def came(self) -> None:
        """A batch is there."""
        now = time.perf_counter()
        self._wait_s, self._last = now - self._last, now

    def gave(self, spent: Sequence[tuple[float, float, float]]) -> None:
        """It is handed on. `spent`: what each of its samples took to fetch, hash and decode, seconds."""
        now = time.perf_counter()
        stages = [sum(of) for of in zip(*spent, strict=True)]
        counts, worker = self._rows.counts, self._worker
        row = [len(spent), self._threads, *stages, now - self._last, self._wait_s, np.nan]
        self._at = int(counts[worker]) % KEEP
        self._rows.rows[worker, self._at] = row
        counts[worker] += 1
        self._last = now

    def asked(self) -> None:
        """Somebody wants the next one."""
        now = time.perf_counter()
        self._rows.rows[self._worker, self._at, -1] = now - self._last
        self._last = now


class Meter:
    """What batches of a dataset take, from when it was asked for: before the loader's first iteration, or workers lack it.

    >>> meter = train.meter()
    >>> for batch in DataLoader(train, batch_size=None, num_workers=2): ...
    >>> print(meter)          # milliseconds of each stage, and the headroom
    >>> meter.batches()[-1]   # what the last batch took
    """

    def __init__(self) -> None:
        self._rows = _Rows()

    def turn(self, threads: int) -> Turn:
        """An iteration that begins now in this process.

        Raises:
            ConfigError: there are more workers than are measured.
        """
        info = torch.utils.data.get_worker_info()
        worker = info.id if info else 0
        if worker >= MOST_WORKERS:
            raise ConfigError(f"meter: {worker + 1} workers, expected at most {MOST_WORKERS}: take fewer, or no meter")
        return Turn(self._rows, worker, threads)

    def batches(self) -> list[BatchTimes]:
        """The last batches of each worker, at most `KEEP`, by worker and in the order in which it made them."""
        out = []
        for worker in np.flatnonzero(self._rows.counts).tolist():
            count = int(self._rows.counts[worker])
            for number in range(max(count - KEEP, 0), count):
                samples, threads, *times = self._rows.rows[worker, number % KEEP].tolist()
                out.append(BatchTimes(worker, number, int(samples), int(threads), *times))
        return out

    @property
    def headroom(self) -> float | None:
        """How many times as fast as they are asked for batches could come; None before the second batch of any worker.

        At 1 and below, the loader is what everybody waits for; above, it is the consumer. The first batch of each worker,
        which finds nothing filled, and one that is in use do not count.
        """
        its = [b for b in self.batches() if b.number and b.consumer_s == b.consumer_s]
        made_s = sum(b.made_s for b in its)
        return sum(b.wait_s + b.copy_s + b.consumer_s for b in its) / made_s if made_s else None

    def __str__(self) -> str:
        """Mean milliseconds of each stage, and the headroom."""
        its = self.batches()
        if not its:
            return "meter: no batch yet (ask for it before the loader's first iteration: its workers know of none else)"
        workers, threads = len({b.worker for b in its}), its[-1].threads
        lines = [f"{counted(len(its), 'batch')} of {counted(workers, 'process')}, {counted(threads, 'thread')} each"]
        for name, about in _STAGES.items():
            seconds = [getattr(b, f"{name}_s") for b in its]
            known = [s for s in seconds if s == s]  # of what is in use no consumer is known
            lines.append(f"{name:>8} {1000 * sum(known) / len(known) if known else np.nan:10.2f} ms  {about}")
        found = self.headroom
        said = "not known before the second batch" if found is None else f"{found:.2f}"
        return "\n".join([*lines, f"headroom {said}: so many times as fast as they are asked for batches could come"])


_STAGES = {
    "fetch": "bytes from where the shards lie, over all threads",
    "hash": "whether these are the ones that were packed, likewise",
    "decode": "into the batch's memory, likewise",
    "copy": "to who iterates, the transform included",
    "wait": "for a batch that was not filled yet",
    "consumer": "nobody asked for the next one",
}
