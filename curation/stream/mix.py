"""Many datasets, one loader: each batch is of one of them, in an order that follows from seed and epoch alone."""

from __future__ import annotations

import os
import reprlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.utils.data
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.errors.words import counted
from curation.stream import batch, mixing, plan
from curation.stream.dataset import Transform, batches_ahead
from curation.stream.filling import Filling, Step, default_threads, filled
from curation.stream.mixing import Course
from curation.stream.mixstate import MixIdentity
from curation.stream.parts import OpenPart
from curation.stream.plan import Remainder
from curation.stream.ranks import Rank, Ranks, refuse_batcher, refuse_sharder
from curation.stream.ring import Ring
from curation.stream.state import Progress, Reached


class MixDataset(torch.utils.data.IterableDataset[Any]):
    """Batches of several datasets, as `open_mix` gives it: each batch of one part, and of one signature.

    >>> arrays = {"light": "s2l2a_10m", "radar": "s1rtc_10m"}
    >>> parts = {name: Part("tiny/ssl4eo-s12-ml", arrays=[array]) for name, array in arrays.items()}
    >>> mix = open_mix(parts, batch_size=2)
    >>> for step, batch in enumerate(DataLoader(mix, batch_size=None, num_workers=2), 1):
    ...     image = batch["image"].float()  # (sample, channel, y, x), of one part
    ...     first = select_bands(batch, batch["bands"][:1])  # with its wavelength, and where it is valid
    ...     state = mix.state_dict(step)
    ...     break
    >>> batch["dataset"] in mix.parts, len(first["wavelength_nm"])
    (True, 1)
    >>> mix.load_state_dict(state)  # the next iteration delivers what is left of the epoch, on any ranks
    >>> len(mix) == len(list(mix))
    True
    """

    def __init__(
        self,
        parts: Sequence[OpenPart],
        *,
        drawn: Mapping[str, Any],
        remainder: Remainder,
        ranks: Ranks,
        transform: Transform | None,
        threads: int | None,
    ) -> None:
        super().__init__()
        self.parts: dict[str, OpenPart] = {part.name: part for part in parts}
        """By name, in order of name."""
        self.remainder: Remainder = remainder
        self.transform = transform
        self.threads = threads
        self._ranks = ranks
        self._identity = MixIdentity(tuple(parts), drawn)
        self._progress = Progress(len(parts))
        self._filler: _Filler | None = None
        self._token = uuid.uuid4().hex
        self._rings = batch.rings_of(self._token)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_filler": None, "_rings": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._rings = batch.rings_of(self._token)

    def __repr__(self) -> str:
        """What it delivers: a line for each part."""
        parts = self.parts.values()
        of_rank = f", of rank {self.rank} of {self.world_size}" if self.world_size > 1 else ""
        lines = [f"{counted(sum(p.samples for p in parts), 'sample')} of {counted(len(parts), 'part')}{of_rank}"]
        for part in parts:
            image, metres = part.image, part.image.ground_m
            dtype = str(image.dtype).removeprefix("torch.")
            lines.append(
                f"{part.name}: {counted(part.samples, 'sample')}"
                f"{'' if part.quota is None else f' drawn of {part.dataset.samples}'} ({part.share:.1%}), "
                f"batches of {part.batch_size}, {dtype} (band {len(image.channels)}, y {image.size_px}, x {image.size_px})"
                f"{'' if metres is None else f' of {metres:g} m'}: {', '.join(image.bands)}"
            )
        return f"<MixDataset {f'{chr(10)}  '.join(lines)}>"

    def __getitem__(self, key: object) -> Any:
        """Nothing: it is iterated. Raises ConfigError that says what has samples by row and id."""
        raise ConfigError(
            f"mix[{reprlib.repr(key)}]: this one is iterated, in the order of its epoch; "
            "mix.parts[name].dataset.by_id()[…] is a sample by row or location id"
        )

    @property
    def rank(self) -> int:
        """Of this process; as of a `ShardDataset`."""
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
        """Chooses the epoch of the next iteration, as that of a `ShardDataset` does."""
        refuse_sharder()
        self._progress.set_epoch(epoch)

    def __len__(self) -> int:
        """Batches that this rank gets in an epoch, the same number on every rank.

        After `load_state_dict`, until the next iteration begins, those that are left of that epoch.
        """
        courses = self._courses(self.world_size)
        return sum(self._steps(courses, self._progress.start))

    def _courses(self, world_size: int) -> list[Course]:
        return self._identity.courses(world_size)

    def _steps(self, courses: Sequence[Course], start: Sequence[int]) -> list[int]:
        """Of each part."""
        return [
            plan.steps(c.samples, world_size=1, batch=c.together, start=begin, remainder=self.remainder)
            for c, begin in zip(courses, start, strict=True)
        ]

    def dropped(self) -> dict[str, list[str]]:
        """Name of a part → ids that `remainder = "drop"` leaves out in the epoch that was begun last, or is next."""
        if self.remainder != "drop":
            return {}
        epoch, start = self._progress.begun
        courses, found = self._courses(self.world_size), {}
        for part, course, begin, steps in zip(
            self.parts.values(), courses, start, self._steps(courses, start), strict=True
        ):
            rows = rows_of(part, epoch)[begin + steps * course.together :]
            found[part.name] = part.dataset.ids(rows)
        return found

    def ahead_bytes(self, workers: int = 0, prefetch_factor: int = 2) -> int:
        """The most bytes that are read, packed or decoded, before who iterates wants them, over this rank's processes.

        Parts share what is read ahead: it is that of the largest batches, and not of all parts' together.

        Args:
            workers: of the DataLoader.
            prefetch_factor: of the DataLoader: batches that it keeps of each worker.
        """
        filler, in_worker = self._filler_of_process(), workers > 0
        threads = self.threads or default_threads(is_local=filler.is_local, in_worker=in_worker)
        ahead = batches_ahead(in_worker=in_worker) + (prefetch_factor if workers else 1)
        one = max(part.shape.size for part in self.parts.values())
        packed = max(part.dataset.most_packed_bytes for part in self.parts.values())
        copies = 1 if filler.is_local else 2
        return max(workers, 1) * (ahead * one + threads * copies * packed)

    def state_dict(self, steps: int | None = None) -> dict[str, Any]:
        """Where the epoch stands, as of a `ShardDataset`: small, plain values, for any number of ranks and workers.

        Args:
            steps: batches that this rank was given since the iteration began.

        Raises:
            ConfigError: `steps` is needed and was not given, or is more than the epoch has.
        """
        reached = self._progress.reached(steps)
        return self._identity.state(reached, self.world_size, self.remainder)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state_dict` was: the next iteration delivers what is left of that epoch, in the same order.

        As of a `ShardDataset`. With other ranks or batches the samples that are left of each part come in the same order,
        in other steps.

        Raises:
            ConfigError: it is of other parts, samples, weights, or of another seed or order; both values are given.
        """
        self._progress.take_up(self._identity.reached(state), state)

    def __iter__(self) -> Iterator[Any]:
        """What this rank (in a DataLoader's worker: this worker) delivers in the epoch, in order.

        Raises:
            ConfigError: as of a `ShardDataset`.
        """
        refuse_batcher(max(part.batch_size for part in self.parts.values()))
        refuse_sharder()
        if torch.utils.data.get_worker_info() is None:
            return self._iterate(None)
        return self._iterate(self._begun())  # all workers begin, whether they are asked for anything or not

    def _begun(self) -> tuple[Rank, Reached]:
        """(rank, where it begins) of an iteration that begins now."""
        info, rank = torch.utils.data.get_worker_info(), self._ranks.now()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        return rank, self._progress.begin(worker, workers, ranks=rank.world_size, batch=self._identity.batch_sizes)

    def _iterate(self, begun: tuple[Rank, Reached] | None) -> Iterator[Any]:
        info = torch.utils.data.get_worker_info()
        rank, reached = begun or self._begun()
        self._check_steps(rank.world_size)
        parts, filler = list(self.parts.values()), self._filler_of_process()
        threads = self.threads or default_threads(is_local=filler.is_local, in_worker=info is not None)
        courses = self._courses(rank.world_size)
        order = mixing.interleaved(courses, reached.start, epoch=reached.epoch, remainder=self.remainder)
        mine = np.arange(info.id if info else 0, order.size, info.num_workers if info else 1)[reached.steps :]
        work = _work(parts, filler, order, mine, rank, reached, self.remainder)
        made = filled(work, threads=threads, ahead=batches_ahead(in_worker=info is not None))
        for one, number in zip(made, order[mine].tolist(), strict=True):
            self._progress.step()
            yield self._delivered(one, parts[number], in_worker=info is not None)  # nothing here holds what it gave
        self._progress.end()

    def _check_steps(self, world_size: int) -> None:
        courses = self._courses(world_size)
        steps = self._steps(courses, [0] * len(courses))
        if none := [(p.name, c) for p, c, n in zip(self.parts.values(), courses, steps, strict=True) if not n]:
            name, course = none[0]
            raise ConfigError(
                f"remainder = 'drop' leaves nothing of the {course.samples} samples of part {name!r} in steps of "
                f"{course.together} over all ranks: ask for smaller batches, or remainder = 'mask'"
            )

    def _delivered(self, made: batch.Batch, part: OpenPart, *, in_worker: bool) -> Any:
        try:
            value: Any = part.delivered(made.tensors() if in_worker else made.in_process())
            value = value if self.transform is None else self.transform(value)
        except BaseException:
            made.drop()
            raise
        return made.parcel(value, (self._token, os.getpid())) if in_worker else value

    def _filler_of_process(self) -> _Filler:
        """What this process has from one epoch to the next: what a fork inherited is its parent's."""
        if self._filler is None or self._filler.pid != os.getpid():
            shapes = [part.shape for part in self.parts.values()]
            fillings = [part.filling() for part in self.parts.values()]
            self._filler = _Filler(os.getpid(), fillings, shapes, Ring(max(shape.size for shape in shapes)))
        return self._filler


@dataclass(frozen=True, slots=True)
class _Filler:
    """What one process fills batches with: open files and connections of each part, and memory that they share."""

    pid: int
    fillings: list[Filling]
    shapes: list[batch.Shape]
    ring: Ring

    @property
    def is_local(self) -> bool:
        """Whether nothing comes from elsewhere."""
        return all(filling.fetcher.is_local for filling in self.fillings)


def rows_of(part: OpenPart, epoch: int) -> NDArray[np.int64]:
    """Rows of a part's samples table in the order of the epoch, over all ranks: int64, (samples of the epoch,)."""
    if part.quota is None:
        return part.dataset.rows_of(epoch)
    return mixing.lasting(part.dataset.samples, epoch * part.quota, part.quota, part.dataset.rows_of)


def _work(
    parts: Sequence[OpenPart],
    filler: _Filler,
    order: NDArray[np.int64],
    mine: NDArray[np.int64],
    rank: Rank,
    reached: Reached,
    remainder: Remainder,
) -> Iterator[Step]:
    """The steps of one process, in order."""
    nth = np.empty(order.size, np.int64)
    """Of each step, which one of its part's it is."""
    dealt = []
    for number, (part, begin) in enumerate(zip(parts, reached.start, strict=True)):
        its = order == number
        nth[its] = np.arange(np.count_nonzero(its))
        positions, pads = plan.deal(
            part.samples,
            rank=rank.rank,
            world_size=rank.world_size,
            worker=0,
            workers=1,
            batch=part.batch_size,
            start=begin,
            remainder=remainder,
        )
        dealt.append((rows_of(part, reached.epoch)[positions], positions, pads))
    for step in mine:
        number = order[step]
        rows, positions, pads = (of[nth[step]] for of in dealt[number])
        seed = parts[number].dataset.order.seed
        yield Step(
            filler.fillings[number], filler.shapes[number], filler.ring, rows, positions, pads, seed, reached.epoch
        )
