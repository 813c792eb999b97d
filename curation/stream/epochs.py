"""What a dataset that torch iterates is, whether its batches come of one folder of shards or of many."""

from __future__ import annotations

import os
import uuid
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils.data

from curation.stream import batch, plan
from curation.stream.filling import Filling, default_threads
from curation.stream.loading import Loading, Transform
from curation.stream.meter import Meter, Turn
from curation.stream.mixing import Course
from curation.stream.plan import Remainder
from curation.stream.ranks import Rank, refuse_batcher, refuse_sharder
from curation.stream.ring import Ring
from curation.stream.state import Progress, Reached

_AHEAD = 2
"""Batches being filled while one is used, in the consumer's own process. DataLoader keeps as many per worker."""


def batches_ahead(*, in_worker: bool) -> int:
    """Batches being filled while one is used."""
    return 1 if in_worker else _AHEAD


@dataclass(frozen=True, slots=True)
class Filler:
    """What one process fills batches with: open files and connections of each part, and memory that they share."""

    pid: int
    fillings: list[Filling]
    ring: Ring | None
    """Where batches lie; None where samples are yielded."""

    @property
    def is_local(self) -> bool:
        """Whether nothing comes from elsewhere."""
        return all(filling.fetcher.is_local for filling in self.fillings)


class EpochDataset(torch.utils.data.IterableDataset[Any]):
    """Epochs that are shared out over ranks and workers, gone on with anywhere, whatever the samples are."""

    def __init__(self, loading: Loading, parts: int = 1) -> None:
        """`parts`: how many have an order of their own."""
        super().__init__()
        self.remainder: Remainder = loading.remainder
        self.transform: Transform | None = loading.transform
        self.threads = loading.threads
        self._ranks = loading.ranks
        self._progress = Progress(parts)
        self._filler: Filler | None = None
        self._meter: Meter | None = None
        self._token = uuid.uuid4().hex
        self._rings = batch.rings_of(self._token)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_filler": None, "_rings": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._rings = batch.rings_of(self._token)

    @abstractmethod
    def _courses(self, world_size: int) -> Sequence[Course]:
        """The parts in an epoch of so many ranks."""

    @property
    @abstractmethod
    def _dealt_in(self) -> Any:
        """What a rank is given in a step, as states of workers name it: a number of samples, or one by part."""

    @property
    @abstractmethod
    def _largest_batch(self) -> int | None:
        """Samples of the largest batch; None where samples are yielded."""

    @property
    @abstractmethod
    def _largest_bytes(self) -> int:
        """Of what is yielded, at most."""

    @property
    @abstractmethod
    def most_packed_bytes(self) -> int:
        """Of the members of one sample, at most."""

    @abstractmethod
    def _fillings(self) -> list[Filling]:
        """What fills batches in this process, of each part."""

    @abstractmethod
    def _iterate(self, begun: tuple[Rank, Reached] | None) -> Iterator[Any]:
        """What this process delivers; where `begun` is None the iteration begins with the first of it."""

    @property
    def rank(self) -> int:
        """Of this process, or of the one that iterates where this is its DataLoader's worker: asked anew each time.

        Raises:
            ConfigError: what was given, the environment and torch.distributed do not say the same.
        """
        return self._ranks.now().rank

    @property
    def world_size(self) -> int:
        """Number of ranks; as `rank`."""
        return self._ranks.now().world_size

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration delivers: 0, and one more with each iteration that was begun."""
        return self._progress.epoch

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch of the next iteration, as a DistributedSampler's does; those after it go on from there.

        It need not be called: an iteration is followed by the next epoch, whether it ended or was left early, as a
        shuffling DataLoader has a new order each time. Ranks agree as long as they begin the same iterations: look at a
        batch on one rank alone through `by_id()`, or a dataset of its own. Call it with the same number on every rank,
        before iterating; it reaches persistent workers too.

        Raises:
            ConfigError: below 0, or by who deals samples to processes a second time (see `open_shards`).
        """
        refuse_sharder()
        self._progress.set_epoch(epoch)

    def __len__(self) -> int:
        """Batches that this rank gets in an epoch (samples, where it yields those), the same number on every rank.

        After `load_state_dict`, until the next iteration begins, those that are left of that epoch.
        """
        return sum(self._steps(self._courses(self.world_size), self._progress.start))

    def _steps(self, courses: Sequence[Course], start: Sequence[int]) -> list[int]:
        """Of each part, on every rank."""
        return [
            plan.steps(c.samples, world_size=1, batch=c.together, start=begin, remainder=self.remainder)
            for c, begin in zip(courses, start, strict=True)
        ]

    def _full(self) -> tuple[int, list[int]]:
        """(epoch that was begun last, or is next; position of each part where its last step that is full ends)."""
        epoch, start = self._progress.begun
        courses = self._courses(self.world_size)
        steps = self._steps(courses, start)
        return epoch, [begin + n * c.together for begin, n, c in zip(start, steps, courses, strict=True)]

    def meter(self) -> Meter:
        """What its batches take from its next iteration on: seconds of each stage, and the headroom.

        Asked for before a DataLoader's first iteration, it knows of the workers', too.
        """
        self._meter = self._meter or Meter()
        return self._meter

    def ahead_bytes(self, workers: int = 0, prefetch_factor: int = 2) -> int:
        """The most bytes that are read, packed or decoded, before who iterates wants them, over this rank's processes.

        It follows from the shape of the largest batch and the largest sample: no slow consumer makes it more, and parts of
        a mix share it. Batches that the consumer keeps, and those that a DataLoader makes of samples, come on top.

        Args:
            workers: of the DataLoader.
            prefetch_factor: of the DataLoader: batches that it keeps of each worker.
        """
        filler, in_worker = self._filler_of_process(), workers > 0
        threads = self._threads_of(filler, in_worker=in_worker)
        ahead = self._ahead(threads, in_worker=in_worker) + (prefetch_factor if workers else 1)
        copies = 1 if filler.is_local else 2  # as received, and where a helper put it
        return max(workers, 1) * (ahead * self._largest_bytes + threads * copies * self.most_packed_bytes)

    def _threads_of(self, filler: Filler, *, in_worker: bool) -> int:
        return self.threads or default_threads(is_local=filler.is_local, in_worker=in_worker)

    def _ahead(self, threads: int, *, in_worker: bool) -> int:
        """Batches (samples) being filled while one is used."""
        return batches_ahead(in_worker=in_worker) if self._largest_batch else 2 * threads

    def __iter__(self) -> Iterator[Any]:
        """What this rank (in a DataLoader's worker: this worker) delivers in the epoch, in order.

        Raises:
            ConfigError: what was given, the environment and torch.distributed do not say the same of which rank this is;
                or who iterates deals samples to processes a second time, or makes batches of batches.
        """
        if (most := self._largest_batch) is not None:
            refuse_batcher(most)
        refuse_sharder()
        if torch.utils.data.get_worker_info() is None:
            return self._iterate(None)
        return self._iterate(self._begun())  # all workers begin, whether they are asked for anything or not

    def _begun(self) -> tuple[Rank, Reached]:
        """(rank, where it begins) of an iteration that begins now."""
        info, rank = torch.utils.data.get_worker_info(), self._ranks.now()
        self._ranks.tell_stray()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        return rank, self._progress.begin(worker, workers, ranks=rank.world_size, batch=self._dealt_in)

    def _turn(self, threads: int) -> Turn | None:
        """This process's iteration, where somebody wants to know what it takes."""
        return self._meter.turn(threads) if self._meter else None

    def _delivered(
        self,
        made: batch.Batch,
        turn: Turn | None,
        *,
        in_worker: bool,
        finish: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> Any:
        """A batch or sample as who iterates gets it, or its parcel; `finish` makes what the transform is called with."""
        if turn is not None:
            turn.came()
        is_sample = self._largest_batch is None
        try:
            value: Any = made.sample() if is_sample else made.tensors() if in_worker else made.in_process()
            value = value if finish is None else finish(value)
            value = value if self.transform is None else self.transform(value)
        except BaseException:
            made.drop()
            raise
        value = made.parcel(value, (self._token, os.getpid())) if in_worker and not is_sample else value
        if turn is not None:
            turn.gave(made.spent)
        return value

    def _filler_of_process(self) -> Filler:
        """What this process keeps from one epoch to the next: what a fork inherited is its parent's."""
        if self._filler is None or self._filler.pid != os.getpid():
            ring = Ring(self._largest_bytes) if self._largest_batch else None
            self._filler = Filler(os.getpid(), self._fillings(), ring)
        return self._filler
