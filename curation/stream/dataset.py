"""What torch sees: a dataset that goes straight into a DataLoader."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterator, Mapping
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
from curation.stream.epochs import EpochDataset
from curation.stream.filling import Filling
from curation.stream.layout import Layout, Selection, layout
from curation.stream.loading import Loading
from curation.stream.mixing import Course
from curation.stream.opening import OpenSplit, holding
from curation.stream.ranks import Rank
from curation.stream.reading import Check
from curation.stream.samples import SampleMap
from curation.stream.state import Reached, check_state


class ShardDataset(EpochDataset):
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
        loading: Loading,
        wanted: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(loading)
        self.selection = selection
        """What of a sample is delivered."""
        self.batch_size = batch_size
        self.order = order
        """What the order of an epoch follows from."""
        self.check: Check = loading.check
        self.wanted = dict(sorted((wanted or {}).items()))
        """Source → how many members of it, at least, a sample has that is delivered."""
        self._opened = opened
        self._holding = holding(opened, self.wanted)
        if not opened.entry.samples:
            others = {split: e.samples for split, e in opened.index.splits.items() if e.samples}
            raise ConfigError(
                f"{opened.url}: split {opened.split!r} has no sample: no complete place lies there yet; there are: "
                f"{', '.join(f'{split} ({n})' for split, n in others.items()) or 'none at all'}"
            )
        if not self._holding.rows.size:
            raise ConfigError(f"{opened.url}: no sample of {opened.split!r} has at least {self.wanted}: ask for less")
        self.layout: Layout = layout(opened.index, selection, opened.url)
        """What a sample looks like."""

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

    def _courses(self, world_size: int) -> list[Course]:
        """One: all of them."""
        return [Course(self.order.seed, self.samples, 1.0, self._dealt_in * world_size)]

    @property
    def _dealt_in(self) -> int:
        return self.batch_size or 1

    @property
    def _largest_batch(self) -> int | None:
        return self.batch_size

    @property
    def _largest_bytes(self) -> int:
        return Shape.of(self.layout, self._dealt_in).size

    def _fillings(self) -> list[Filling]:
        return [self.filling()]

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
        epoch, (end,) = self._full()
        return self.ids(self.rows_of(epoch)[end:])

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
        return self._progress.state(self.identity(), steps, ranks=self.world_size, batch=self._dealt_in)

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

    def _iterate(self, begun: tuple[Rank, Reached] | None) -> Iterator[Any]:
        info = torch.utils.data.get_worker_info()
        rank, (epoch, (start,), skip) = begun or self._begun()
        if not sum(self._steps(self._courses(rank.world_size), [0])):
            raise ConfigError(
                f"remainder = 'drop' leaves nothing of {self.samples} samples in steps of "
                f"{rank.world_size} ranks × {self._dealt_in}: ask for smaller batches, or remainder = 'mask'"
            )
        rows = self.rows_of(epoch)
        positions, pads = plan.deal(
            rows.size,
            rank=rank.rank,
            world_size=rank.world_size,
            worker=info.id if info else 0,
            workers=info.num_workers if info else 1,
            batch=self._dealt_in,
            start=start,
            remainder=self.remainder,
        )
        positions, pads = positions[skip:], pads[skip:]
        filler = self._filler_of_process()
        threads = self._threads_of(filler, in_worker=info is not None)
        batches = filler.fillings[0].batches(
            rows[positions],
            positions,
            pads,
            seed=self.order.seed,
            epoch=epoch,
            ring=filler.ring,
            threads=threads,
            ahead=self._ahead(threads, in_worker=info is not None),
        )
        turn = self._turn(threads)
        for made in batches:
            self._progress.step()
            yield self._delivered(made, turn, in_worker=info is not None)  # nothing here holds what it gave
            if turn is not None:
                turn.asked()
        self._progress.end()
