"""Batches in the order of a plan, fetched and decoded by threads, some ahead of who takes them."""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation.format.names import DOMAIN
from curation.stream.batch import Batch, Shape
from curation.stream.decode import Decoder
from curation.stream.fetch import Scratch
from curation.stream.layout import Layout
from curation.stream.opening import OpenSplit
from curation.stream.reading import Check, SampleReader
from curation.stream.ring import Ring

_MOST_THREADS = 8


class Step(NamedTuple):
    """A batch to be filled."""

    filling: Filling
    shape: Shape
    ring: Ring | None
    """Where its memory comes from; its own where None."""
    rows: NDArray[np.int64]
    """Of the samples table, (batch,)."""
    positions: NDArray[np.int64]
    """Of those in the epoch's order."""
    pads: NDArray[np.bool_]
    """Whether each is a repeat."""
    seed: int
    """Of what is drawn of each."""
    epoch: int
    """Likewise."""


class _Job(NamedTuple):
    """A batch that is being filled."""

    filling: Filling
    batch: Batch
    left: deque[tuple[int, int, int]]
    """(place in the batch, row, position in the order) of those not begun."""
    seed: int
    epoch: int
    is_alone: bool
    """Whether one thread alone fills it."""
    fills: list[Future[None]]


class _Run:
    """One iteration: gone, or over, when nobody wants what is still being filled.

    Who leaves one may be the garbage collector, on any thread, on one of those that fill as well. So an iteration that is
    left waits for nobody and takes no lock: its threads look whether it is still there, and a batch's memory is free when
    the last of them lets go of it.
    """

    __slots__ = ("__weakref__", "is_over")

    def __init__(self) -> None:
        self.is_over = False

    def asked(self) -> Callable[[], bool]:
        """What tells others whether it is still wanted, without holding it."""
        seen = weakref.ref(self)

        def is_wanted() -> bool:
            run = seen()
            return run is not None and not run.is_over

        return is_wanted


class _Tools:
    """What one thread at a time reads and decodes with: its memory is as large as samples make it, and warm."""

    def __init__(self, reader: SampleReader) -> None:
        self.reader = reader
        self.scratch = Scratch()


def default_threads(*, is_local: bool, in_worker: bool) -> int:
    """How many threads fetch and decode: one per core, unless other workers have those; more where they wait."""
    if not is_local:
        return _MOST_THREADS
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 1 if in_worker else min(cores, _MOST_THREADS)


def filled(work: Iterator[Step], *, threads: int, ahead: int) -> Iterator[Batch]:
    """Filled batches, in order; who takes one delivers it or drops it. It may be left at any time, by anybody.

    Args:
        work: what to fill, which is asked for when its turn comes.
        threads: that fill.
        ahead: how many more are being filled while one is taken.
    """
    todo: deque[_Job] = deque()
    run, is_left = _Run(), True
    is_wanted = run.asked()
    # No `with`: leaving it would wait. Threads end by themselves when nobody holds their pool.
    pool = ThreadPoolExecutor(threads, "curation-stream")
    try:
        while is_left or todo:
            while is_left and len(todo) <= ahead:
                if (next_one := next(work, None)) is None:
                    is_left = False
                    break
                todo.append(_begun(next_one, is_alone=threads == 1))
                for _ in range(min(threads, next_one.shape.count)):
                    todo[-1].fills.append(pool.submit(todo[-1].filling.fill_some, todo[-1], is_wanted))
            if not todo:
                break
            for fill in todo[0].fills:
                fill.result()
            yield todo.popleft().batch  # nothing here holds what it gave
        pool.shutdown()
    except Exception:
        run.is_over = True  # whoever keeps the error keeps all that is here
        todo.clear()
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def _begun(work: Step, *, is_alone: bool) -> _Job:
    """Step with memory of its own, of which nothing is filled yet."""
    job = _Job(work.filling, Batch(work.shape, work.ring), deque(), work.seed, work.epoch, is_alone, [])
    job.batch.facts["is_pad"][...] = work.pads
    job.left.extend(zip(range(work.shape.count), work.rows.tolist(), work.positions.tolist(), strict=True))
    return job


class Filling:
    """Fills batches with samples, epoch after epoch. Each thread borrows tools; nothing else changes."""

    def __init__(
        self,
        opened: OpenSplit,
        layout: Layout,
        check: Check,
        finish: Callable[[Batch, int], None] | None = None,
    ) -> None:
        """What fills batches of a split; `finish` is called with each sample's place in its batch, once it is filled."""
        self._finish = finish
        self._opened = opened
        self._layout = layout
        self._check: Check = check
        self.fetcher = opened.fetcher()
        self._decoder = Decoder(opened.index, layout, f"{opened.url} {opened.split}")
        self._has_plain = any(p.entry.encoding == "npy" for p in layout.arrays)
        self._spare: list[_Tools] = []
        """Of threads that are done, the warmest last."""

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
        """`filled`, with the steps of one dataset.

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
        work = (Step(self, shape, ring, *step, seed, epoch) for step in zip(rows, positions, pads, strict=True))
        return filled(work, threads=threads, ahead=ahead)

    @contextlib.contextmanager
    def _borrowed(self, is_wanted: Callable[[], bool] | None = None) -> Iterator[_Tools]:
        """Tools that nobody else has meanwhile."""
        try:
            tools = self._spare.pop()
        except IndexError:
            tools = _Tools(SampleReader(self._opened, self.fetcher, self._check))
        tools.reader.over.is_wanted = is_wanted
        try:
            yield tools
        finally:
            self._spare.append(tools)

    def fill_some(self, job: _Job, is_wanted: Callable[[], bool]) -> None:
        """Fills what no other thread has begun, until nothing is left: a task per sample would cost more than a crop."""
        with self._borrowed(is_wanted) as tools:
            while job.left and is_wanted():
                try:
                    number, row, position = job.left.popleft()
                except IndexError:  # another thread was faster
                    return
                self.fill(
                    job.batch,
                    number,
                    row,
                    position,
                    seed=job.seed,
                    epoch=job.epoch,
                    is_alone=job.is_alone,
                    tools=tools,
                )

    def fill(
        self,
        batch: Batch,
        number: int,
        row: int,
        position: int,
        *,
        seed: int,
        epoch: int,
        is_alone: bool = False,
        tools: _Tools | None = None,
    ) -> None:
        """Writes one sample into its place in a batch.

        Args:
            batch: to write to.
            number: of the sample in it.
            row: in the samples table.
            position: in the epoch's order.
            seed: of what is drawn of it.
            epoch: likewise.
            is_alone: whether nobody else writes to the batch meanwhile.
            tools: to fill it with; borrowed where None.
        """
        if tools is None:
            with self._borrowed() as own:
                self.fill(batch, number, row, position, seed=seed, epoch=epoch, tools=own)
            return
        opened, decoder = self._opened, self._decoder
        members = tuple(opened.members.member[opened.first[row] : opened.first[row + 1]].tolist())
        draw = self._layout.drawing.draw(decoder.present(members), seed=seed, epoch=epoch, position=position)
        assembly = decoder.assembly(members, draw)
        placed = decoder.targets(assembly, batch, number) if self._has_plain else {}
        began = time.perf_counter()
        payloads = tools.reader.read(row, members, assembly.wanted, placed)
        key = str(opened.ids[row].as_py())
        decoder.fill(batch, number, key, payloads, draw, assembly, tools.scratch, is_alone=is_alone)
        for name in self._layout.selection.domains:
            batch.facts[f"{DOMAIN}{name}"][number] = opened.domains[name][row]
        batch.keys[number] = key
        if self._finish is not None:
            self._finish(batch, number)
        fetch_s, hash_s = tools.reader.fetch_s, tools.reader.hash_s
        batch.spent[number] = (fetch_s, hash_s, time.perf_counter() - began - fetch_s - hash_s)
