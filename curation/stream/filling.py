"""Batches in the order of a plan, fetched and decoded by threads, some ahead of who takes them."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

import numpy as np
from numpy.typing import NDArray

from curation.stream.batch import Batch, Shape
from curation.stream.decode import Decoder
from curation.stream.fetch import Fetcher, Scratch
from curation.stream.layout import Layout
from curation.stream.opening import OpenSplit
from curation.stream.reading import Check, SampleReader
from curation.stream.ring import Ring

_MOST_THREADS = 8


class _Job:
    """A batch that is being filled."""

    def __init__(self, batch: Batch, samples: Iterable[tuple[int, int, int]]) -> None:
        self.batch = batch
        self.left = deque(samples)
        """(place in the batch, row, position in the order) of those not begun."""
        self.fills: list[Future[None]] = []


def default_threads(*, is_local: bool, in_worker: bool) -> int:
    """How many threads fetch and decode: one per core, unless other workers have those; more where they wait."""
    if not is_local:
        return _MOST_THREADS
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 1 if in_worker else min(cores, _MOST_THREADS)


class Filling:
    """Fills batches with samples. Each thread has its own reader and scratch; nothing else changes."""

    def __init__(
        self, opened: OpenSplit, layout: Layout, fetcher: Fetcher, *, seed: int, epoch: int, check: Check
    ) -> None:
        self._opened = opened
        self._layout = layout
        self._fetcher = fetcher
        self._seed = seed
        self._epoch = epoch
        self._check: Check = check
        self._decoder = Decoder(opened.index, layout, f"{opened.url} {opened.split}")
        self._own = threading.local()

    def batches(
        self,
        rows: NDArray[np.int64],
        positions: NDArray[np.int64],
        pads: NDArray[np.bool_],
        *,
        ring: Ring | None,
        threads: int,
        ahead: int,
    ) -> Iterator[Batch]:
        """Filled batches, in order; who takes one delivers it or drops it.

        Args:
            rows: of the samples table, (steps, batch).
            positions: of those in the epoch's order.
            pads: whether each is a repeat.
            ring: where their memory comes from; their own where None.
            threads: that fill.
            ahead: how many more are being filled while one is taken.
        """
        shape = Shape.of(self._layout, rows.shape[1])
        todo: deque[_Job] = deque()
        step = 0
        with ThreadPoolExecutor(threads, thread_name_prefix="curation-stream") as pool:
            try:
                while step < len(rows) or todo:
                    while step < len(rows) and len(todo) <= ahead:
                        batch = Batch(shape, ring)
                        batch.facts["is_pad"][...] = pads[step]
                        samples = list(
                            zip(range(shape.count), rows[step].tolist(), positions[step].tolist(), strict=True)
                        )
                        todo.append(_Job(batch, samples))
                        todo[-1].fills = [
                            pool.submit(self._fill_some, todo[-1]) for _ in range(min(threads, shape.count))
                        ]
                        step += 1
                    for fill in todo[0].fills:
                        fill.result()
                    yield todo.popleft().batch
            finally:  # nobody may write to memory that goes back to the ring
                for job in todo:
                    job.left.clear()
                for job in todo:
                    wait(job.fills)
                    job.batch.drop()

    def _fill_some(self, job: _Job) -> None:
        """Fills what no other thread has begun, until nothing is left: a task per sample would cost more than a crop."""
        while job.left:
            try:
                number, row, position = job.left.popleft()
            except IndexError:  # another thread was faster
                return
            self.fill(job.batch, number, row, position)

    def fill(self, batch: Batch, number: int, row: int, position: int) -> None:
        """Writes one sample into its place in a batch."""
        own = self._own
        if not hasattr(own, "reader"):
            own.reader, own.scratch = SampleReader(self._opened, self._fetcher, self._check), Scratch()
        opened = self._opened
        members = opened.members.member[int(opened.first[row]) : int(opened.first[row + 1])]
        draw = self._layout.drawing.draw(
            self._decoder.present(members), seed=self._seed, epoch=self._epoch, position=position
        )
        out = {name: array[number] for name, array in batch.arrays.items()}
        facts = {name: array[number : number + 1] for name, array in batch.facts.items()}
        placed = self._decoder.targets(draw, out) if self._fetcher.is_local else {}
        payloads = own.reader.read(row, self._decoder.wanted(draw), placed)
        key = str(opened.ids[row].as_py())
        self._decoder.fill(key, payloads, draw, out, facts, own.scratch, placed)
        batch.keys[number] = key
