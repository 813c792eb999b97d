"""What torch sees: a dataset that goes straight into a DataLoader."""

from __future__ import annotations

import logging
import math
import mmap
import operator
import os
import reprlib
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
import torch.utils.data
from numpy.typing import NDArray

from curation.model import ConfigError, counted
from curation.shardformat import Index
from curation.stream import batch, plan
from curation.stream.batch import Shape
from curation.stream.cache import DiskCache
from curation.stream.fetch import Remote
from curation.stream.filling import Filling, default_threads
from curation.stream.layout import DTYPES, Crop, Layout, Selection, Views, layout
from curation.stream.opening import OpenSplit, holding, open_split
from curation.stream.plan import Remainder
from curation.stream.ranks import Rank, Ranks, refuse_batcher, refuse_sharder
from curation.stream.reading import Check
from curation.stream.resample import Upsample
from curation.stream.ring import Ring
from curation.stream.samples import SampleMap
from curation.stream.state import Progress, check_state

log = logging.getLogger(__name__)

Transform = Callable[[dict[str, Any]], Any]

_AHEAD = 2
"""Batches being filled while one is used, in the consumer's own process. DataLoader keeps as many per worker."""


class ShardDataset(torch.utils.data.IterableDataset[Any]):
    """One split of a dataset of shards, as `open_shards` gives it: each sample once per epoch over ranks × workers."""

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
        self._layout: Layout = layout(opened.index, selection, opened.url)
        self._progress = Progress()
        self._kept: _Kept | None = None
        self._token = uuid.uuid4().hex
        self._rings = batch.rings_of(self._token)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None, "_rings": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._rings = batch.rings_of(self._token)

    def __repr__(self) -> str:
        """What it delivers, line by line: how many samples, in what order and batches, then each array.

        Shapes are those of a sample; a batch has an axis more in front.
        """
        held, all_of = self._holding.rows.size, self._opened.entry.samples
        of = counted(held, "sample") if held == all_of else f"{held} of {counted(all_of, 'sample')}"
        lines = [
            f"{self.index.dataset} {self._opened.split}: {of}, "
            + (f"batches of {self.batch_size}" if self.batch_size else "one by one")
            + (f", of rank {self.rank} of {self.world_size}" if self.world_size > 1 else "")
        ]
        drawn = "two views of" if self.selection.views else f"{self.selection.drawn} of" if self.selection.drawn else ""
        lines += [" ".join(f"seasons: {drawn} {', '.join(self.seasons)}".split())] if self.seasons else []
        for place in self._layout.arrays:
            children = ("child",) if place.entry.of_children else ()
            views = self.selection.views is not None or not place.entry.is_static
            seasons = ("view" if self.selection.views else "season",) if views else ()
            axes = [f"{name} {n}" for name, n in zip((*children, *seasons), place.lead, strict=True)]
            sides = [f"band {len(place.entry.bands)}", f"y {place.size_px}", f"x {place.size_px}"]
            dtype = str(place.dtype).removeprefix("torch.")
            unit = "normalised" if place.scale is not None else place.entry.unit
            lines.append(f"{place.name}: {dtype} ({', '.join(axes + sides)}), {unit}")
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
        if isinstance(epoch, bool) or not isinstance(epoch, int | np.integer) or not 0 <= epoch < 2**63 - 1:
            raise ConfigError(f"epoch {epoch!r}: expected a whole number ≥ 0 and below 2**63 - 1")
        self._progress.set_epoch(int(epoch))

    def __len__(self) -> int:
        """Batches that this rank gets in an epoch (samples, where it yields those), the same number on every rank.

        After `load_state_dict`, until the next iteration begins, those that are left of that epoch.
        """
        return self._steps(self._progress.start)

    def _steps(self, start: int, world_size: int | None = None) -> int:
        return plan.steps(
            self._holding.rows.size,
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
        return self._rows(self._progress.begun[0])

    def _rows(self, epoch: int) -> NDArray[np.int64]:
        held, opened = self._holding, self._opened
        return held.rows[self.order.rows(held.per_shard, epoch, lambda: opened.weights[held.rows])]

    def dropped(self) -> list[str]:
        """Ids of the samples that `remainder = "drop"` leaves out in the epoch that `rows` tells of."""
        if self.remainder != "drop":
            return []
        epoch, start = self._progress.begun
        world_size = self.world_size
        together = (self.batch_size or 1) * world_size
        rows = self._rows(epoch)[start + self._steps(start, world_size) * together :]
        return [str(self._opened.ids[int(row)].as_py()) for row in rows]

    def ahead_bytes(self, workers: int = 0, prefetch_factor: int = 2) -> int:
        """The most bytes that are read, packed or decoded, before who iterates wants them, over this rank's processes.

        It follows from the shape of a batch and the largest sample of the split: no slow consumer makes it more. Batches
        that the consumer keeps, and those that a DataLoader makes of samples, come on top.

        Args:
            workers: of the DataLoader.
            prefetch_factor: of the DataLoader: batches that it keeps of each worker.
        """
        fetcher = self._keep().filling.fetcher
        threads = self.threads or default_threads(is_local=fetcher.is_local, in_worker=workers > 0)
        ahead = self._ahead(threads, in_worker=workers > 0) + (prefetch_factor if workers else 1)
        members, first = self._opened.members, self._opened.first
        packed = members.offset[first[1:] - 1] + members.size[first[1:] - 1] - members.offset[first[:-1]]
        copies = 1 if fetcher.is_local else 2  # as received, and where a helper put it
        one = Shape.of(self._layout, self.batch_size or 1).size
        return max(workers, 1) * (ahead * one + threads * copies * int(packed.max(initial=0)))

    def _ahead(self, threads: int, *, in_worker: bool) -> int:
        """Batches (samples) being filled while one is used."""
        return (1 if in_worker else _AHEAD) if self.batch_size else 2 * threads

    def by_id(self) -> SampleMap:
        """The same samples by location id or row, for `DataLoader` with a sampler, evaluation, and looking at one."""
        return SampleMap(self._opened, self._layout, self.order.seed, self.check)

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
        return self._progress.state(self._identity(), steps, ranks=self.world_size, batch=self.batch_size or 1)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state_dict` was: the next iteration delivers what is left of that epoch, in the same order.

        Call it on every rank, with the same state, before iterating; `set_epoch` with its epoch leaves it as it is, with
        another begins that one. Where nothing is left of it, nothing comes; the iteration after that is the next epoch.
        Ranks, workers, batch size, arrays, crops and transforms may be others. Load before a DataLoader's first iteration,
        or make another one: kept workers may still be beginning one that was broken off.

        Raises:
            ConfigError: it is of another dataset, split, seed or order; both values are given.
        """
        self._progress.load(check_state(state, self._identity()))

    def _identity(self) -> dict[str, Any]:
        return {
            "content_sha256": self.index.content_sha256,
            "split": self._opened.split,
            "samples": self._holding.rows.size,
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
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        batch = self.batch_size or 1
        return (rank, *self._progress.begin(worker, workers, ranks=rank.world_size, batch=batch))

    def _iterate(self, begun: tuple[Rank, int, int, int] | None) -> Iterator[Any]:
        info = torch.utils.data.get_worker_info()
        rank, epoch, start, skip = begun or self._begun()
        if not self._steps(0, rank.world_size):
            raise ConfigError(
                f"remainder = 'drop' leaves nothing of {self._holding.rows.size} samples in steps of "
                f"{rank.world_size} ranks × {self.batch_size or 1}: ask for smaller batches, or remainder = 'mask'"
            )
        rows = self._rows(epoch)
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
        kept = self._keep()
        threads = self.threads or default_threads(is_local=kept.filling.fetcher.is_local, in_worker=info is not None)
        batches = kept.filling.batches(
            rows[positions],
            positions,
            pads,
            seed=self.order.seed,
            epoch=epoch,
            ring=kept.ring,
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
            value = made.tensors() if in_worker else made.here()
            value = value if self.transform is None else self.transform(value)
        except BaseException:
            made.drop()
            raise
        return made.parcel(value, (self._token, os.getpid())) if in_worker else value

    def _keep(self) -> _Kept:
        """What this process keeps from one epoch to the next: what a fork inherited is its parent's."""
        if self._kept is None or self._kept.pid != os.getpid():
            ring = Ring(Shape.of(self._layout, self.batch_size).size) if self.batch_size else None
            self._kept = _Kept(os.getpid(), Filling(self._opened, self._layout, self.check), ring)
        return self._kept


@dataclass(frozen=True, slots=True)
class _Kept:
    """What one process fills batches with: open files, connections, memory."""

    pid: int
    filling: Filling
    ring: Ring | None
    """Where batches lie; None where samples are yielded."""


def open_shards(
    path_or_url: str | Path,
    split: str = "train",
    *,
    batch_size: int | None = None,
    fields: Sequence[str] | None = None,
    seasons: Sequence[str] | None = None,
    draw_seasons: int | None = None,
    views: Views | None = None,
    crop_px: int | None = None,
    crop: Crop = "random",
    require: Collection[str] = (),
    at_least: Mapping[str, int] | None = None,
    upsample: Upsample | None = None,
    normalize: bool = False,
    dtype: torch.dtype | None = None,
    shuffle: bool = False,
    seed: int = 0,
    mix_shards: int | None = None,
    balance: bool = False,
    remainder: Remainder = "mask",
    rank: int | None = None,
    world_size: int | None = None,
    transform: Transform | None = None,
    check: Check = "xxh3",
    threads: int | None = None,
    cache_dir: str | Path | None = None,
    cache_gb: float | None = None,
    retries: int = 5,
    timeout_s: float = 30.0,
) -> ShardDataset:
    """A dataset for `torch.utils.data.DataLoader`, with any number of workers.

    With `batch_size`, it yields batches whose arrays lie in memory that is used again when the last tensor over it
    is gone: give it to `DataLoader(dataset, batch_size=None, num_workers=…)`. Without, it yields samples, for a DataLoader
    that makes batches itself (slower: torch copies each batch through fresh shared memory).

    Ranks are dealt to here, and nowhere else: with torchrun and with Lightning give the DataLoader as it is, whether the
    dataset was opened before the process group or after. accelerate.prepare and transformers.Trainer would deal a second
    time, which is refused: leave the DataLoader out of `prepare`, and return it from `get_train_dataloader`.

    A sample is a dict; in a batch every entry has a leading axis, and `key` is a list, which comes last:

    =========================  =========  ==================  =========================================================
    entry                      dtype      shape               is
    =========================  =========  ==================  =========================================================
    `key`                      str                            the location's id
    `lon`, `lat`               float64    ()                  centre, degrees, WGS 84
    `<array>` (static)         as stored  (band, y, x)        `dem_30m`, `worldcover_10m`, … in the unit of the index
    `<array>` (seasonal)       as stored  (season, band, y,   `s2l2a_10m`, `s1rtc_10m`, …; the season axis is `seasons`
                                          x)
    `<source>_ok`              bool       (season,) or ()     whether the source is there; where False its arrays are
                                                              filled with the array's nodata (0 where normalised)
    `<source>_time`            int64      (season,)           acquisition, seconds since 1970 UTC; -1 where absent
    `child_ok`                 bool       (child,)            where arrays of children are read: whether there is such a one
    `child_lon`, `child_lat`   float64    (child,)            its centre, degrees; NaN where there is none
    `season_ok`                bool       (season,)           whether every seasonal source that is read is there
    `labels`                   float32    (season, label)     multi-hot 0/1 of `index.label_names`; NaN where unknown
    `labels_known`             bool       (season,)           whether `labels` are known
    `label_fractions`          float32    (season, label)     share of the labelled pixels; NaN where unknown
    `annual_labels`,           as above   (label,), (),       the same from the annual map
    `annual_labels_known`,                (label,)
    `annual_label_fractions`
    `is_pad`                   bool       ()                  a repeat that fills the last step: leave it out of metrics
    `season`                   int64      (season,)           with `draw_seasons` or `views`: position in the seasons
                                                              selected, -1 where there was none to draw
    `crop_yx`                  int64      (2,)                with `crop_px`: first row and column, finest pixels
    =========================  =========  ==================  =========================================================

    The season axis of an array has those of the seasons asked for that it may have. Arrays of children have an axis more in
    front, of `index.children`, and so have their `<source>_ok` and `<source>_time`.

    With `views`, the season axis is one of two views, static arrays have it too, and `crop_yx` is (view, 2).

    Unknown labels are NaN, so that using them shows: select with `labels_known`, do not multiply with it. Stored dtypes
    are uint16 (Sentinel-2), int16 (radar as hundredths of a dB), uint8 (classes), float32 (heights); torch stacks and
    moves uint16, but computes little with it, so ask for `dtype` or `normalize`, or convert on the device.

    Order: without `shuffle` that of the shards. With it, a full permutation of the split, a pure function of `seed` and
    the epoch: samples are read by offset, one request per run of members, so a random one costs no more than the next.
    Each iteration is the next epoch, whether the one before ended or was left; `set_epoch` chooses one. Samples are dealt
    to ranks in turn, and every rank takes the same number of steps. With `batch_size`, batches come in the order of the
    plan and hold the same samples whatever the number of workers. Without, each worker's samples become batches of its own,
    up to `workers - 1` more than `len(loader)` in all.

    Args:
        path_or_url: folder of the shards, the dataset's folder above it, or `index.json`: a path, or a URL (s3, gs, az,
            http, https), whose credentials come from the environment.
        split: name of the split.
        batch_size: samples per batch and rank; samples come one by one where None.
        fields: names of arrays to read; all where None. Others are neither read nor decoded.
        seasons: names of seasons to read, in the order of the season axis; all in the index's order where None.
        draw_seasons: so many of them, drawn anew for each sample and epoch among those of which it has any array that is
            read (among all, where no seasonal one is). Others are not read.
        views: two views of a location for contrastive learning: `seasons` draws two different seasons, `crops` one
            season and two crops of it. With `crop_px` each view has a crop of its own.
        crop_px: side of a square crop in pixels of the finest resolution read; of coarser arrays it takes the same ground.
        crop: `random`, or `center`.
        require: names of sources that a sample must have, in one season (of one child) at least; others are left out.
        at_least: source → in how many seasons (of all children together) a sample must have it.
        upsample: bring every array onto the finest resolution read: `nearest`, or `bilinear` (codes stay `nearest`).
            Leave it to the GPU with `curation.stream.upsample` where the CPU is the limit.
        normalize: (x - mean) / deviation by the statistics of the index (bands of train), for arrays of role `data`;
            pixels without data become 0, which is the mean.
        dtype: torch.float32, float64 or bfloat16 to convert arrays of role `data` to; values and nodata stay the
            same. Masks and class maps keep their codes.
        shuffle: whether to shuffle.
        seed: of everything that is random.
        mix_shards: shuffle among so many shards at a time (hard disks, caches); among all where None. Each shard
            of `curate pack` mixes all places, so that batches stay as mixed (`shards/README.md` has the numbers).
        balance: draw as many samples as there are, with repeats, instead of each once: for each label equally often,
            and for it in proportion to how much of it a sample has (its label fractions).
        remainder: `mask` fills the last step with repeats that `is_pad` marks; `drop` leaves out what does not fill a
            step on every rank (`dropped()` names it).
        rank: of this process. Where None it is asked for when an iteration begins, not now: of torch.distributed where that
            is initialised, and of RANK and WORLD_SIZE in the environment, as torchrun sets them; else 0 of 1. Whoever says
            anything must say the same.
        world_size: number of ranks; as `rank`.
        transform: applied to each batch (sample) in the process that made it; what it returns is delivered. It must not
            keep what it gets. Wrapping and collating belong here: a `collate_fn` or another dataset around this one
            meets batches in workers as parcels on their way, which are no dicts.
        check: `xxh3` checks the hash of every member before it is decoded; `none` does not.
        threads: that read and decode in each process; where None one in a DataLoader's worker and one per core without
            workers, and 8 where bytes come from elsewhere.
        cache_dir: folder on local disk that keeps shards which come from elsewhere: each is downloaded whole when its
            first sample is wanted, and checked by its sha256. All workers, ranks and datasets may share it. Shuffling
            among all shards wants all of them at once: give it room for the split, or `mix_shards`.
        cache_gb: how much it keeps, 10⁹ bytes; what was used longest ago goes first.
        retries: how often a read from elsewhere is tried again after a failure that may pass (server errors, rate limits,
            time-outs, short answers), after 0.2 s and twice as long each time, at most 15 s.
        timeout_s: how long such a read waits for the next bytes.

    Raises:
        ConfigError: no index, or an unknown split, field, season or value; what exists is listed.
        DamageError: a table or shard is missing, has another length or hash than the index says; on iterating, a member
            does.
        ReadError: it could not be read from elsewhere, in as many tries as allowed.
    """
    opened = open_split(path_or_url, split, _remote(cache_dir, cache_gb, retries, timeout_s))
    _check_room(opened)
    ranks = Ranks(rank, world_size)
    _one_of("check", check, get_args(Check))
    _one_of("views", views, (None, *get_args(Views)))
    _one_of("crop", crop, get_args(Crop))
    _one_of("upsample", upsample, (None, *get_args(Upsample)))
    _one_of("remainder", remainder, get_args(Remainder))
    if dtype not in (None, *DTYPES):
        raise ConfigError(f"dtype = {dtype}: expected one of {', '.join(map(str, DTYPES))}, or None")
    if not -(2**63) <= seed < 2**63:
        raise ConfigError(f"seed = {seed}: expected a whole number of 64 bits, signed")
    for name, value in (("mix_shards", mix_shards), ("batch_size", batch_size), ("threads", threads)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1):
            raise ConfigError(f"{name} = {value!r}: expected ≥ 1, or None, and a whole number")
    if draw_seasons is not None and views:
        raise ConfigError(f"draw_seasons = {draw_seasons} with views = {views!r}: views draw seasons; give one of them")
    if balance and mix_shards is not None:
        raise ConfigError(
            f"balance with mix_shards = {mix_shards}: expected one of them; balance draws from all shards"
        )
    if balance:
        _ = opened.weights  # here, and not by every worker
    chosen = _chosen("seasons", seasons, opened.index.seasons)
    arrays = opened.index.arrays
    there = tuple(n for n in sorted(arrays) if arrays[n].is_static or not set(arrays[n].seasons).isdisjoint(chosen))
    names = _chosen("fields", fields, tuple(sorted(arrays)))
    if fields is not None and (without := [n for n in names if n not in there]):
        raise ConfigError(f"fields: {without} have none of the seasons {list(chosen)}: {arrays[without[0]].seasons}")
    selection = Selection(
        arrays=tuple(n for n in names if n in there),
        seasons=chosen,
        dtype=dtype,
        drawn=draw_seasons,
        views=views,
        crop_px=crop_px,
        crop=crop,
        upsample=upsample,
        normalize=normalize,
    )
    _check_memory(opened, selection, batch_size or 1)
    return ShardDataset(
        opened,
        selection,
        batch_size=batch_size,
        order=plan.Order(operator.index(seed), shuffle, mix_shards, balance),
        remainder=remainder,
        ranks=ranks,
        transform=transform,
        check=check,
        threads=threads,
        wanted=_wanted(opened, require, at_least or {}),
    )


def _wanted(opened: OpenSplit, require: Collection[str], at_least: Mapping[str, int]) -> dict[str, int]:
    """Source → how many members, at least."""
    if isinstance(require, str):
        raise ConfigError(f"require = {require!r}: expected names of sources, such as {{{require!r}}}")
    wanted = dict.fromkeys(require, 1) | dict(at_least)
    known = sorted({a.source for a in opened.index.arrays.values()})
    if unknown := [s for s in wanted if s not in known]:
        raise ConfigError(f"require, at_least: no source {unknown}; expected some of: {', '.join(known)}")
    if wrong := {s: n for s, n in wanted.items() if n < 1}:
        raise ConfigError(f"at_least = {wrong}: expected ≥ 1")
    return wanted


def _remote(cache_dir: str | Path | None, cache_gb: float | None, retries: int, timeout_s: float) -> Remote:
    if (cache_dir is None) != (cache_gb is None):
        raise ConfigError(f"cache_dir = {cache_dir}, cache_gb = {cache_gb}: give both, or neither to keep nothing")
    if cache_gb is not None and not cache_gb > 0:
        raise ConfigError(f"cache_gb = {cache_gb}: expected > 0")
    if retries < 0 or not timeout_s > 0:
        raise ConfigError(f"retries = {retries}, timeout_s = {timeout_s}: expected ≥ 0 and > 0")
    cache = (
        None if cache_dir is None or cache_gb is None else DiskCache(Path(cache_dir).absolute(), int(cache_gb * 1e9))
    )
    return Remote(cache, retries, read_s=timeout_s)


def _check_room(opened: OpenSplit) -> None:
    cache, largest = opened.remote.cache, max(opened.entry.shards, key=lambda s: s.size, default=None)
    if cache is not None and largest is not None and largest.size > cache.limit_bytes:
        raise ConfigError(
            f"cache_gb = {cache.limit_bytes / 1e9:g}: {largest.name} has {largest.size / 1e9:.3g} GB and would not fit: "
            "give it room for several shards, better for the split, or read without a cache"
        )


def _check_memory(opened: OpenSplit, selection: Selection, batch_size: int) -> None:
    made = layout(opened.index, selection, opened.url)
    facts = sum(math.prod(shape) * dtype.itemsize for shape, dtype in made.facts.values())
    needed, there = Shape.of(made, batch_size).size + batch_size * facts, os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE
    if needed > there:
        raise ConfigError(
            f"batch_size = {batch_size}: such a batch takes {needed / 1e9:.4g} GB, this machine has {there / 1e9:.4g} GB: "
            "read fewer samples at a time, fewer fields, or crops"
        )


def _one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} = {value!r}: expected one of {', '.join(map(str, allowed))}")


def _chosen(what: str, names: Sequence[str] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    if names is None:
        return known
    if isinstance(names, str):
        raise ConfigError(f"{what} = {names!r}: expected a list of names, such as [{names!r}]")
    if unknown := [n for n in names if n not in known]:
        raise ConfigError(f"{what}: no {unknown}; expected some of: {', '.join(known)}")
    if len(set(names)) != len(names):
        raise ConfigError(f"{what} = {list(names)}: expected each once")
    return tuple(names)
