"""What torch sees: a dataset that goes straight into a DataLoader."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import torch
import torch.distributed
import torch.utils.data

from curation.model import ConfigError
from curation.shardformat import Index
from curation.stream import plan
from curation.stream.decode import Decoder, Selection
from curation.stream.opening import OpenSplit, open_split
from curation.stream.reading import Check, SampleReader

Transform = Callable[[dict[str, Any]], Any]


class ShardDataset(torch.utils.data.IterableDataset[Any]):
    """One split of a dataset of shards, as `open_shards` gives it: each sample once per epoch over ranks × workers."""

    def __init__(
        self,
        opened: OpenSplit,
        selection: Selection,
        *,
        shuffle: bool,
        mix_shards: int | None,
        seed: int,
        rank: int,
        world_size: int,
        transform: Transform | None,
        check: Check,
    ) -> None:
        super().__init__()
        self.selection = selection
        """Which arrays and seasons are read, in order."""
        self.shuffle = shuffle
        self.mix_shards = mix_shards
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.transform = transform
        self.check: Check = check
        self._opened = opened
        # In shared memory, so that set_epoch also reaches workers that a DataLoader keeps from epoch to epoch.
        self._epoch = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]  # torch leaves it without annotations

    @property
    def index(self) -> Index:
        """The index: arrays with bands, units and nodata, label names, statistics, licences."""
        return self._opened.index

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration delivers."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next iteration, as a DistributedSampler's does; 0 until it is called.

        Call it with the same number on every rank, before iterating; it reaches persistent workers too.
        """
        if epoch < 0:
            raise ConfigError(f"epoch {epoch}: expected ≥ 0")
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        """Samples that this rank gets in an epoch, pads included: the same number on every rank."""
        return plan.rank_length(self._opened.entry.samples, self.world_size)

    def __iter__(self) -> Iterator[Any]:
        """The samples of this rank (in a DataLoader's worker: of this worker) in the order of the epoch."""
        info = torch.utils.data.get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        order = plan.epoch_order(
            [s.samples for s in self._opened.entry.shards],
            shuffle=self.shuffle,
            seed=self.seed,
            epoch=self.epoch,
            mix_shards=self.mix_shards,
        )
        positions, pads = plan.deal(
            len(order), rank=self.rank, world_size=self.world_size, worker=worker, workers=workers
        )
        decoder = Decoder(self.index, self.selection, f"{self._opened.url} {self._opened.split}")
        reader = SampleReader(self._opened, decoder.wanted, self.check)
        for position, pad in zip(positions, pads, strict=True):
            row = int(order[position])
            sample = decoder.sample(self._opened.ids[row].as_py(), reader.read(row))
            sample["is_pad"] = bool(pad)
            yield sample if self.transform is None else self.transform(sample)


def open_shards(
    path_or_url: str | Path,
    split: str = "train",
    *,
    fields: Sequence[str] | None = None,
    seasons: Sequence[str] | None = None,
    shuffle: bool = False,
    seed: int = 0,
    rank: int | None = None,
    world_size: int | None = None,
    transform: Transform | None = None,
    check: Check = "xxh3",
    dtype: torch.dtype | None = None,
    mix_shards: int | None = None,
) -> ShardDataset:
    """A dataset for `torch.utils.data.DataLoader`, with any number of workers and any batch size.

    A sample is a dict; the default collate function stacks every entry:

    =========================  =========  ==================  =========================================================
    entry                      dtype      shape               is
    =========================  =========  ==================  =========================================================
    `key`                      str                            the location's id
    `lon`, `lat`               float64    ()                  centre, degrees, WGS 84
    `<array>` (static)         as stored  (band, y, x)        `dem_30m`, `worldcover_10m`, … in the unit of the index
    `<array>` (seasonal)       as stored  (season, band, y,   `s2l2a_10m`, `s1rtc_10m`, …; the season axis is `seasons`
                                          x)
    `<source>_ok`              bool       (season,) or ()     whether the source is there; where False its arrays are
                                                              filled with the array's nodata
    `<source>_time`            int64      (season,)           acquisition, seconds since 1970 UTC; -1 where absent
    `season_ok`                bool       (season,)           whether every seasonal source that is read is there
    `labels`                   float32    (season, label)     multi-hot 0/1 of `index.label_names`; NaN where unknown
    `labels_known`             bool       (season,)           whether `labels` are known
    `label_fractions`          float32    (season, label)     share of the labelled pixels; NaN where unknown
    `annual_labels`,           as above   (label,), (),       the same from the annual map
    `annual_labels_known`,                (label,)
    `annual_label_fractions`
    `is_pad`                   bool       ()                  a repeat that fills the last step: leave it out of metrics
    =========================  =========  ==================  =========================================================

    Unknown labels are NaN, so that using them shows: select with `labels_known`, do not multiply with it. Stored dtypes
    are uint16 (Sentinel-2), int16 (radar as hundredths of a dB), uint8 (classes), float32 (heights); torch stacks and
    moves uint16, but computes little with it, so ask for `dtype` or convert on the device.

    Order: without `shuffle` that of the shards. With it, a full permutation of the split, a pure function of `seed` and
    the epoch (`set_epoch`): samples are read by offset, one request per run of members, so a random one costs
    no more than the next. `mix_shards` bounds what is read from at any time. Samples are dealt to ranks in turn, and
    every rank gets the same number: where the last step lacks some, the first samples of the order come again with
    `is_pad`. Workers of a rank take turns too, so that the order within a batch depends on their number, but not which
    samples a rank sees. Since each worker makes batches of its own, up to `workers - 1` batches more
    than `len(loader)` come, the same number on every rank.

    Args:
        path_or_url: folder of the shards, the dataset's folder above it, or `index.json`: a path, or a URL (s3, gs, az,
            http, https), whose credentials come from the environment.
        split: name of the split.
        fields: names of arrays to read; all where None. Others are neither read nor decoded.
        seasons: names of seasons to read, in the order of the season axis; all in the index's order where None.
        shuffle: whether to shuffle.
        seed: of the shuffling.
        rank: of this process; from torch.distributed where None and that is initialised, else 0.
        world_size: number of ranks; as `rank`, else 1.
        transform: applied to each sample, in the worker; what it returns is delivered.
        check: `xxh3` checks the hash of every member before it is decoded; `none` does not.
        dtype: torch.float32 or torch.float64 to convert arrays of role `data` to; values and nodata stay the same.
            Masks and class maps keep their codes.
        mix_shards: shuffle among so many shards at a time (hard disks, caches); among all where None.

    Raises:
        ConfigError: no index, or an unknown split, field, season or value; what exists is listed.
        DamageError: a table or shard is missing, has another length or hash than the index says; on iterating, a member
            does.
    """
    opened = open_split(path_or_url, split)
    rank, world_size = _rank(rank, world_size)
    if check not in get_args(Check):
        raise ConfigError(f"check = {check!r}: expected one of {', '.join(get_args(Check))}")
    if dtype not in (None, torch.float32, torch.float64):
        raise ConfigError(f"dtype = {dtype}: expected torch.float32, torch.float64 (others do not hold uint16) or None")
    if not -(2**63) <= seed < 2**63:
        raise ConfigError(f"seed = {seed}: expected a whole number of 64 bits, signed")
    if mix_shards is not None and mix_shards < 1:
        raise ConfigError(f"mix_shards = {mix_shards}: expected ≥ 1, or None to mix all")
    selection = Selection(
        _chosen("fields", fields, tuple(sorted(opened.index.arrays))),
        _chosen("seasons", seasons, opened.index.seasons),
        dtype,
    )
    return ShardDataset(
        opened,
        selection,
        shuffle=shuffle,
        mix_shards=mix_shards,
        seed=operator.index(seed),
        rank=rank,
        world_size=world_size,
        transform=transform,
        check=check,
    )


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


def _rank(rank: int | None, world_size: int | None) -> tuple[int, int]:
    if (rank is None) != (world_size is None):
        raise ConfigError(f"rank = {rank}, world_size = {world_size}: give both, or neither to ask torch.distributed")
    if rank is None or world_size is None:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        return 0, 1
    if not 0 <= rank < world_size:
        raise ConfigError(f"rank = {rank}: expected 0 ≤ rank < world_size = {world_size}")
    return rank, world_size
