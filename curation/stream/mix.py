"""Many datasets, one loader: each batch is of one of them, in an order that follows from seed and epoch alone."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.utils.data
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.errors.words import counted
from curation.stream import mixing, plan
from curation.stream.epochs import EpochDataset, Filler
from curation.stream.filling import Filling, Step, filled
from curation.stream.loading import Loading
from curation.stream.mixing import Course
from curation.stream.mixstate import MixIdentity
from curation.stream.parts import OpenPart
from curation.stream.plan import Remainder
from curation.stream.ranks import Rank
from curation.stream.state import Reached


class MixDataset(EpochDataset):
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

    def __init__(self, parts: Sequence[OpenPart], *, drawn: Mapping[str, Any], loading: Loading) -> None:
        super().__init__(loading, len(parts))
        self.parts: dict[str, OpenPart] = {part.name: part for part in parts}
        """By name, in order of name."""
        self._identity = MixIdentity(tuple(parts), drawn)

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

    def _courses(self, world_size: int) -> list[Course]:
        return self._identity.courses(world_size)

    @property
    def _dealt_in(self) -> dict[str, int]:
        return self._identity.batch_sizes

    @property
    def _largest_batch(self) -> int:
        return max(part.batch_size for part in self.parts.values())

    @property
    def _largest_bytes(self) -> int:
        return max(part.shape.size for part in self.parts.values())

    @property
    def most_packed_bytes(self) -> int:
        """Of the members of one sample of any part, at most."""
        return max(part.dataset.most_packed_bytes for part in self.parts.values())

    def _fillings(self) -> list[Filling]:
        return [part.filling() for part in self.parts.values()]

    def dropped(self) -> dict[str, list[str]]:
        """Name of a part → ids that `remainder = "drop"` leaves out in the epoch that was begun last, or is next."""
        if self.remainder != "drop":
            return {}
        epoch, ends = self._full()
        ended = zip(self.parts.values(), ends, strict=True)
        return {part.name: part.dataset.ids(rows_of(part, epoch)[end:]) for part, end in ended}

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

    def _iterate(self, begun: tuple[Rank, Reached] | None) -> Iterator[Any]:
        info = torch.utils.data.get_worker_info()
        rank, reached = begun or self._begun()
        self._check_steps(rank.world_size)
        parts, filler = list(self.parts.values()), self._filler_of_process()
        threads = self._threads_of(filler, in_worker=info is not None)
        courses = self._courses(rank.world_size)
        order = mixing.interleaved(courses, reached.start, epoch=reached.epoch, remainder=self.remainder)
        mine = np.arange(info.id if info else 0, order.size, info.num_workers if info else 1)[reached.steps :]
        work = _work(parts, filler, order, mine, rank, reached, self.remainder)
        made = filled(work, threads=threads, ahead=self._ahead(threads, in_worker=info is not None))
        turn = self._turn(threads)
        for one, number in zip(made, order[mine].tolist(), strict=True):
            self._progress.step()
            # Nothing here holds what it gave.
            yield self._delivered(one, turn, in_worker=info is not None, finish=parts[number].delivered)
            if turn is not None:
                turn.asked()
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


def rows_of(part: OpenPart, epoch: int) -> NDArray[np.int64]:
    """Rows of a part's samples table in the order of the epoch, over all ranks: int64, (samples of the epoch,)."""
    if part.quota is None:
        return part.dataset.rows_of(epoch)
    return mixing.lasting(part.dataset.samples, epoch * part.quota, part.quota, part.dataset.rows_of)


def _work(
    parts: Sequence[OpenPart],
    filler: Filler,
    order: NDArray[np.int64],
    mine: NDArray[np.int64],
    rank: Rank,
    reached: Reached,
    remainder: Remainder,
) -> Iterator[Step]:
    """The steps of one process, in order."""
    nth = np.empty(order.size, np.int64)
    """Of each step, which one of its part's it is."""
    dealt, shapes = [], [part.shape for part in parts]
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
        yield Step(filler.fillings[number], shapes[number], filler.ring, rows, positions, pads, seed, reached.epoch)
