"""Batches in the order of a plan, fetched and decoded by threads, some ahead of who takes them."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation.stream.batch import Batch, Shape
from curation.stream.decode import Decoder
from curation.stream.fetch import Scratch
from curation.stream.layout import Layout
from curation.stream.opening import OpenSplit
from curation.stream.reading import Check, SampleReader
from curation.stream.ring import Ring

_MOST_THREADS = 8


class _Job(NamedTuple):
    """A batch that is being filled."""

    batch: Batch
    left: deque[tuple[int, int, int]]
    """(place in the batch, row, position in the order) of those not begun; the last in the batch first."""
    seed: int
    epoch: int
    is_alone: bool
    """Whether one thread alone fills it."""
    fills: list[Future[None]]


class _Tools:
    """What one thread reads and decodes with: its memory is as large as samples make it, and warm."""

    def __init__(self, reader: SampleReader) -> None:
        self.reader = reader
        self.scratch = Scratch()


def default_threads(*, is_local: bool, in_worker: bool) -> int:
    """How many threads fetch and decode: one per core, unless other workers have those; more where they wait."""
    if not is_local:
        return _MOST_THREADS
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 1 if in_worker else min(cores, _MOST_THREADS)


class Filling:
    """Fills batches with samples, epoch after epoch. Each thread has tools of its own; nothing else changes."""

    def __init__(self, opened: OpenSplit, layout: Layout, check: Check) -> None:
        self._opened = opened
        self._layout = layout
        self._check: Check = check
        self.fetcher = opened.fetcher()
        self._decoder = Decoder(opened.index, layout, f"{opened.url} {opened.split}")
        self._has_plain = any(p.entry.encoding == "npy" for p in layout.arrays)
        self._own = threading.local()
        self._spare: list[_Tools] = []
        """Of threads that ended."""

    def batches(
        self,
        rows: NDArray[np.int64],
        positions: NDArray[np.int64],
        pads: NDArray[np.bool_],
        *,
        seed: int,
        epoch: int,
        ring: Ring | None,
        threads: int,
        ahead: int,
    ) -> Iterator[Batch]:
        """Filled batches, in order; who takes one delivers it or drops it.

        Args:
            rows: of the samples table, (steps, batch).
            positions: of those in the epoch's order.
            pads: whether each is a repeat.
            seed: of what is drawn of each.
            epoch: likewise.
            ring: where their memory comes from; their own where None.
            threads: that fill.
            ahead: how many more are being filled while one is taken.
        """
        shape = Shape.of(self._layout, rows.shape[1])
        todo: deque[_Job] = deque()
        step = 0
        used: list[_Tools] = []
        owner = os.getpid()
        try:
            with ThreadPoolExecutor(threads, "curation-stream", self._begin_thread, (used,)) as pool:
                try:
                    while step < len(rows) or todo:
                        while step < len(rows) and len(todo) <= ahead:
                            job = _Job(Batch(shape, ring), deque(), seed, epoch, threads == 1, [])
                            job.batch.facts["is_pad"][...] = pads[step]
                            job.left.extendleft(
                                zip(range(shape.count), rows[step].tolist(), positions[step].tolist(), strict=True)
                            )
                            job.fills.extend(
                                pool.submit(self._fill_some, job) for _ in range(min(threads, shape.count))
                            )
                            todo.append(job)
                            step += 1
                        for fill in todo[0].fills:
                            fill.result()
                        yield todo.popleft().batch
                finally:  # nobody may write to memory that goes back to the ring
                    if os.getpid() != owner:  # a fork's copy: threads and slots are the parent's
                        todo.clear()
                    for job in todo:
                        job.left.clear()
                    for tools in used:
                        tools.reader.over.set()
                    for job in todo:
                        wait(job.fills)
                        job.batch.drop()
        finally:
            self._spare += used

    def _begin_thread(self, used: list[_Tools]) -> None:
        try:
            self._own.tools = self._spare.pop()
        except IndexError:
            self._own.tools = self._new_tools()
        self._own.tools.reader.over.clear()
        used.append(self._own.tools)

    def _new_tools(self) -> _Tools:
        return _Tools(SampleReader(self._opened, self.fetcher, self._check))

    def _fill_some(self, job: _Job) -> None:
        """Fills what no other thread has begun, until nothing is left: a task per sample would cost more than a crop."""
        while job.left:
            try:
                number, row, position = job.left.popleft()
            except IndexError:  # another thread was faster
                return
            self.fill(job.batch, number, row, position, seed=job.seed, epoch=job.epoch, before_is_free=job.is_alone)

    def fill(
        self,
        batch: Batch,
        number: int,
        row: int,
        position: int,
        *,
        seed: int,
        epoch: int,
        before_is_free: bool = False,
    ) -> None:
        """Writes one sample into its place in a batch.

        Args:
            batch: to write to.
            number: of the sample in it.
            row: in the samples table.
            position: in the epoch's order.
            seed: of what is drawn of it.
            epoch: likewise.
            before_is_free: whether those before it in the batch are written later, and not at the same time.
        """
        own, opened, decoder = self._own, self._opened, self._decoder
        if not hasattr(own, "tools"):
            own.tools = self._new_tools()
        tools: _Tools = own.tools
        members = tuple(opened.members.member[opened.first[row] : opened.first[row + 1]].tolist())
        draw = self._layout.drawing.draw(decoder.present(members), seed=seed, epoch=epoch, position=position)
        assembly = decoder.assembly(members, draw)
        placed = decoder.targets(assembly, batch, number) if self.fetcher.is_local and self._has_plain else {}
        payloads = tools.reader.read(row, assembly.wanted, placed)
        key = str(opened.ids[row].as_py())
        decoder.fill(batch, number, key, payloads, draw, assembly, tools.scratch, placed, before_is_free=before_is_free)
        batch.keys[number] = key
