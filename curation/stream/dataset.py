"""What torch sees: a dataset that goes straight into a DataLoader."""

from __future__ import annotations

import logging
import os
import reprlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.utils.data
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.errors.words import counted, shortened
from curation.format.index import Index
from curation.format.signature import Channels, channels_of
from curation.stream import batch, plan
from curation.stream.batch import Shape
from curation.stream.filling import Filling, default_threads
from curation.stream.layout import Layout, Selection, layout
from curation.stream.opening import OpenSplit, holding
from curation.stream.plan import Remainder
from curation.stream.ranks import Rank, Ranks, refuse_batcher, refuse_sharder
from curation.stream.reading import Check
from curation.stream.ring import Ring
from curation.stream.samples import SampleMap
from curation.stream.state import Progress, check_state

log = logging.getLogger(__name__)

Transform = Callable[[dict[str, Any]], Any]

_AHEAD = 2
"""Batches being filled while one is used, in the consumer's own process. DataLoader keeps as many per worker."""


def batches_ahead(*, in_worker: bool) -> int:
    """Batches being filled while one is used."""
    return 1 if in_worker else _AHEAD


class ShardDataset(torch.utils.data.IterableDataset[Any]):
    """One split of a dataset of shards, as `open_shards` gives it: each sample once per epoch over ranks × workers.

    >>> dataset = open_shards("tiny/ssl4eo-s12-ml", "train", batch_size=2, shuffle=True)
    >>> loader = DataLoader(dataset, batch_size=None, num_workers=2)  # it is handed batches, and makes none
    >>> for step, batch in enumerate(loader, 1):
    ...     image = batch["s2l2a_10m"][~batch["is_pad"]]  # (sample, season, band, y, x), without what fills it up
    ...     state = dataset.state_dict(step)  # small: saved with the model
    ...     break
    >>> red_and_nir = dataset.channels("s2l2a_10m").select(bands=["s2.b04", "s2.b08"])
    >>> image, wavelength_nm = red_and_nir.of(batch["s2l2a_10m"]), red_and_nir.wavelength_nm  # of these, in this order
    >>> dataset.load_state_dict(state)  # the next iteration delivers what is left of the epoch, on any ranks
    >>> len(batch["key"]) + sum(len(more["key"]) for more in loader) >= dataset.index.splits["train"].samples
    True
    >>> sample = dataset.by_id()[batch["key"][0]]  # one of them, by its location
    """

    def __init__(
        self,
        opened: OpenSplit,
        selection: Selection,
        *,
        batch_size: int | None,
        order: plan.Order,
        remainder: Remainder,
        ranks: Ranks,
        transform: Transform | None,
        check: Check,
        threads: int | None,
        wanted: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.selection = selection
        """What of a sample is delivered."""
        self.batch_size = batch_size
        self.order = order
        """What the order of an epoch follows from."""
        self.remainder: Remainder = remainder
        self._ranks = ranks
        self.transform = transform
        self.check: Check = check
        self.threads = threads
        self.wanted = dict(sorted((wanted or {}).items()))
        """Source → how many members of it, at least, a sample has that is delivered."""
        self._opened = opened
        self._holding = holding(opened, self.wanted)
        if not self._holding.rows.size:
            raise ConfigError(f"{opened.url}: no sample of {opened.split!r} has at least {self.wanted}: ask for less")
        self.layout: Layout = layout(opened.index, selection, opened.url)
        """What a sample looks like."""
        self._progress = Progress()
        self._filler: _Filler | None = None
        self._token = uuid.uuid4().hex
        self._rings = batch.rings_of(self._token)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_filler": None, "_rings": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._rings = batch.rings_of(self._token)

    def __repr__(self) -> str:
        """What it delivers, line by line: how many samples, in what order and batches, then each array.

        Shapes are those of a sample; a batch has an axis more in front.
        """
        held, all_of = self.samples, self._opened.entry.samples
        of = counted(held, "sample") if held == all_of else f"{held} of {counted(all_of, 'sample')}"
        lines = [
            f"{self.index.dataset} {self._opened.split}: {of}, "
            + (f"batches of {self.batch_size}" if self.batch_size else "one by one")
            + (f", of rank {self.rank} of {self.world_size}" if self.world_size > 1 else "")
        ]
        drawn = "two views of" if self.selection.views else f"{self.selection.drawn} of" if self.selection.drawn else ""
        lines += [" ".join(f"seasons: {drawn} {', '.join(self.seasons)}".split())] if self.seasons else []
        for place in self.layout.arrays:
            children = ("child",) if place.entry.of_children else ()
            views = self.selection.views is not None or not place.entry.is_static
            seasons = ("view" if self.selection.views else "season",) if views else ()
            axes = [f"{name} {n}" for name, n in zip((*children, *seasons), place.lead, strict=True)]
            sides = [f"band {len(place.entry.bands)}", f"y {place.size_px}", f"x {place.size_px}"]
            dtype = str(place.dtype).removeprefix("torch.")
            unit = "normalised" if place.scale is not None else place.entry.unit
            lines.append(f"{place.name}: {dtype} ({', '.join(axes + sides)}), {unit}")
        if (target := self.index.target) is not None:
            names = ", ".join(map(str, target.classes or ()))
            what = (
                f"one of {counted(len(target.classes), 'class')}: {shortened(names, 80)}"
                if target.classes
                else "a number"
            )
            lines.append(f"label: {target.column}, {what}")
        return f"<ShardDataset {f'{chr(10)}  '.join(lines)}>"

    def __getitem__(self, key: object) -> Any:
        """Nothing: it is iterated. Raises ConfigError that says what has samples by row and id."""
        raise ConfigError(
            f"dataset[{reprlib.repr(key)}]: this one is iterated, in the order of its epoch; "
            f"dataset.by_id()[{reprlib.repr(key)}] is a sample by row or location id"
        )

    @property
    def index(self) -> Index:
        """The index: arrays with bands, units and nodata, label names, statistics, licences."""
        return self._opened.index

    def channels(self, array: str, platform: str | None = None) -> Channels:
        """What the band axis of an array of this dataset is: names, wavelengths, statistics, and a choice of them.

        Args:
            array: its name.
            platform: the satellite whose wavelengths are meant, as STAC calls it; those of the first of its kind where None.

        Raises:
            ConfigError: there is no such array.
        """
        return channels_of(self.index, array, platform)

    @property
    def samples(self) -> int:
        """How many there are, over all ranks."""
        return int(self._holding.rows.size)

    @property
    def seasons(self) -> tuple[str, ...]:
        """Those selected; `season` counts in them."""
        return self.selection.seasons

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
        return self._steps(self._progress.start[0])

    def _steps(self, start: int, world_size: int | None = None) -> int:
        return plan.steps(
            self.samples,
            world_size=world_size or self.world_size,
            batch=self.batch_size or 1,
            start=start,
            remainder=self.remainder,
        )

    def rows(self) -> NDArray[np.int64]:
        """Rows of the samples table in the order of the epoch, over all ranks: int64, (samples,).

        The epoch is that of the iteration that was begun last, or of the next one where `set_epoch` or `load_state_dict`
        was called since.
        """
        return self.rows_of(self._progress.begun[0])

    def rows_of(self, epoch: int) -> NDArray[np.int64]:
        """`rows` of any epoch."""
        held, opened = self._holding, self._opened
        return held.rows[self.order.rows(held.per_shard, epoch, lambda: opened.weights[held.rows])]

    def dropped(self) -> list[str]:
        """Ids of the samples that `remainder = "drop"` leaves out in the epoch that `rows` tells of."""
        if self.remainder != "drop":
            return []
        epoch, (start,) = self._progress.begun
        world_size = self.world_size
        together = (self.batch_size or 1) * world_size
        return self.ids(self.rows_of(epoch)[start + self._steps(start, world_size) * together :])

    def ids(self, rows: NDArray[np.int64]) -> list[str]:
        """Location ids of rows of the samples table."""
        return [str(self._opened.ids[int(row)].as_py()) for row in rows]

    def filling(self, finish: Callable[[batch.Batch, int], None] | None = None) -> Filling:
        """What fills batches of it in this process; `finish` is called with each sample's place in its batch."""
        return Filling(self._opened, self.layout, self.check, finish)

    @property
    def most_packed_bytes(self) -> int:
        """Of the members of one sample, at most."""
        members, first = self._opened.members, self._opened.first
        packed = members.offset[first[1:] - 1] + members.size[first[1:] - 1] - members.offset[first[:-1]]
        return int(packed.max(initial=0))

    def ahead_bytes(self, workers: int = 0, prefetch_factor: int = 2) -> int:
        """The most bytes that are read, packed or decoded, before who iterates wants them, over this rank's processes.

        It follows from the shape of a batch and the largest sample of the split: no slow consumer makes it more. Batches
        that the consumer keeps, and those that a DataLoader makes of samples, come on top.

        Args:
            workers: of the DataLoader.
            prefetch_factor: of the DataLoader: batches that it keeps of each worker.
        """
        fetcher = self._filler_of_process().filling.fetcher
        threads = self.threads or default_threads(is_local=fetcher.is_local, in_worker=workers > 0)
        ahead = self._ahead(threads, in_worker=workers > 0) + (prefetch_factor if workers else 1)
        copies = 1 if fetcher.is_local else 2  # as received, and where a helper put it
        one = Shape.of(self.layout, self.batch_size or 1).size
        return max(workers, 1) * (ahead * one + threads * copies * self.most_packed_bytes)

    def _ahead(self, threads: int, *, in_worker: bool) -> int:
        """Batches (samples) being filled while one is used."""
        return batches_ahead(in_worker=in_worker) if self.batch_size else 2 * threads

    def by_id(self) -> SampleMap:
        """The same samples by location id or row, for `DataLoader` with a sampler, evaluation, and looking at one."""
        return SampleMap(self._opened, self.layout, self.order.seed, self.check)

    def state_dict(self, steps: int | None = None) -> dict[str, Any]:
        """Where the epoch stands: small, plain values; any number of ranks and workers goes on from it.

        After the same number of steps it is the same on every rank: save one with the model. Where ranks were stopped at
        different steps, the one of the slowest (least `consumed`) is that of all; what the others were given beyond it
        comes again.

        torchdata's StatefulDataLoader calls it in its workers; what these give goes on with the same ranks, workers and
        batch size alone. With torch's own DataLoader and workers, only the caller knows how many batches were used,
        since others are on their way: give `steps`. Without workers and `steps`, after an iteration that ended, it is the
        beginning of the next epoch.

        Args:
            steps: batches (samples, where it yields those) that this rank was given since the iteration began.

        Raises:
            ConfigError: `steps` is needed and was not given.
        """
        return self._progress.state(self.identity(), steps, ranks=self.world_size, batch=self.batch_size or 1)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state_dict` was: the next iteration delivers what is left of that epoch, in the same order.

        Call it on every rank, with the same state, before iterating; `set_epoch` with its epoch leaves it as it is, with
        another begins that one. Where nothing is left of it, nothing comes; the iteration after that is the next epoch.
        Ranks, workers, batch size, arrays, crops and transforms may be others. Load before a DataLoader's first iteration,
        or make another one: kept workers may still be beginning one that was broken off.

        Raises:
            ConfigError: it is of another dataset, split, seed or order; both values are given.
        """
        self._progress.load(check_state(state, self.identity()))

    def identity(self) -> dict[str, Any]:
        """What must be the same for an epoch to be gone on with."""
        return {
            "content_sha256": self.index.content_sha256,
            "split": self._opened.split,
            "samples": self.samples,
            **({"wanted": self.wanted} if self.wanted else {}),
            **self.order.identity(),
        }

    def __iter__(self) -> Iterator[Any]:
        """What this rank (in a DataLoader's worker: this worker) delivers in the epoch, in order.

        Raises:
            ConfigError: what was given, the environment and torch.distributed do not say the same of which rank this is;
                or who iterates deals samples to processes a second time, or makes batches of batches.
        """
        if self.batch_size is not None:
            refuse_batcher(self.batch_size)
        refuse_sharder()
        if torch.utils.data.get_worker_info() is None:
            return self._iterate(None)
        return self._iterate(self._begun())  # all workers begin, whether they are asked for anything or not

    def _begun(self) -> tuple[Rank, int, int, int]:
        """(rank, epoch, position at which it begins, steps to leave out) of an iteration that begins now."""
        info, rank = torch.utils.data.get_worker_info(), self._ranks.now()
        self._ranks.tell_stray()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        batch = self.batch_size or 1
        begun = self._progress.begin(worker, workers, ranks=rank.world_size, batch=batch)
        return rank, begun.epoch, begun.start[0], begun.steps

    def _iterate(self, begun: tuple[Rank, int, int, int] | None) -> Iterator[Any]:
        info = torch.utils.data.get_worker_info()
        rank, epoch, start, skip = begun or self._begun()
        if not self._steps(0, rank.world_size):
            raise ConfigError(
                f"remainder = 'drop' leaves nothing of {self.samples} samples in steps of "
                f"{rank.world_size} ranks × {self.batch_size or 1}: ask for smaller batches, or remainder = 'mask'"
            )
        rows = self.rows_of(epoch)
        positions, pads = plan.deal(
            rows.size,
            rank=rank.rank,
            world_size=rank.world_size,
            worker=info.id if info else 0,
            workers=info.num_workers if info else 1,
            batch=self.batch_size or 1,
            start=start,
            remainder=self.remainder,
        )
        positions, pads = positions[skip:], pads[skip:]
        filler = self._filler_of_process()
        threads = self.threads or default_threads(is_local=filler.filling.fetcher.is_local, in_worker=info is not None)
        batches = filler.filling.batches(
            rows[positions],
            positions,
            pads,
            seed=self.order.seed,
            epoch=epoch,
            ring=filler.ring,
            threads=threads,
            ahead=self._ahead(threads, in_worker=info is not None),
        )
        for made in batches:
            self._progress.step()
            if self.batch_size is None:
                sample = made.sample()
                yield sample if self.transform is None else self.transform(sample)
                continue
            yield self._delivered(made, in_worker=info is not None)  # nothing here holds what it gave
        self._progress.end()

    def _delivered(self, made: batch.Batch, *, in_worker: bool) -> Any:
        try:
            value = made.tensors() if in_worker else made.in_process()
            value = value if self.transform is None else self.transform(value)
        except BaseException:
            made.drop()
            raise
        return made.parcel(value, (self._token, os.getpid())) if in_worker else value

    def _filler_of_process(self) -> _Filler:
        """What this process keeps from one epoch to the next: what a fork inherited is its parent's."""
        if self._filler is None or self._filler.pid != os.getpid():
            ring = Ring(Shape.of(self.layout, self.batch_size).size) if self.batch_size else None
            self._filler = _Filler(os.getpid(), self.filling(), ring)
        return self._filler


@dataclass(frozen=True, slots=True)
class _Filler:
    """What one process fills batches with: open files, connections, memory."""

    pid: int
    filling: Filling
    ring: Ring | None
    """Where batches lie; None where samples are yielded."""
