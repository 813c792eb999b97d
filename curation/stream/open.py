"""Opens shards as a dataset."""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import get_args

import torch

from curation.errors import ConfigError
from curation.format.names import LABEL
from curation.stream import plan
from curation.stream.batch import Shape
from curation.stream.dataset import ShardDataset
from curation.stream.domains import load
from curation.stream.layout import Crop, Selection, Views, layout
from curation.stream.loading import Loading, Transform, check_counts, check_names, one_of
from curation.stream.opening import OpenSplit, open_split
from curation.stream.plan import Remainder
from curation.stream.reading import Check
from curation.stream.resample import Upsample


def open_shards(
    path_or_url: str | Path | OpenSplit,
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
    domains: Sequence[str] = (),
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
    `label_fractions`          float32    (season, label)     share of the labelled pixels; NaN where unknown, and
                                                              of labels that a file states without shares
    `annual_labels`,           as above   (label,), (),       the same from the annual map
    `annual_labels_known`,                (label,)
    `annual_label_fractions`
    `is_pad`                   bool       ()                  a repeat that fills the last step: leave it out of metrics
    `season`                   int64      (season,)           with `draw_seasons` or `views`: position in the seasons
                                                              selected, -1 where there was none to draw
    `crop_yx`                  int64      (2,)                with `crop_px`: first row and column, finest pixels
    `<array>` (ragged times)   as stored  (season, time,      as many times as any sample has, nodata beyond its own;
                                          band, y, x)         `<source>_time` is then (season, time), -1 beyond
    `<array>_offset_m`         float64    (2,)                how far east and south of the footprint's corner it begins
    `<annotation>` of text,                                   in a batch a list; "" (None of JSON) where a sample has
    JSON                                                      none
    `<annotation>` of numbers  float64    as the index says   NaN where unknown, or where a sample has none
    `<annotation>` of vectors  float32    as the index says   NaN beyond what a sample has
    `<annotation>_ok`          bool       (), ragged          whether the sample has it; of ragged vectors which of them
                                          (vector,)
    `<column>`                 float64    ()                  of text in a batch a list; NaN, or "", where unknown
    `domain_<name>`            int64      ()                  of `domains`: position in `index.domains[name].values`; -1
                                                              where it is not told
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
            http, https), whose credentials come from the environment. Or a split that is open.
        split: name of the split.
        batch_size: samples per batch and rank; samples come one by one where None.
        fields: names of arrays, annotations and columns to read; all where None. Others are neither read nor decoded.
        seasons: names of seasons to read, in the order of the season axis; all in the index's order where None.
        draw_seasons: so many of them, drawn anew for each sample and epoch among those of which it has any array that is
            read (among all, where no seasonal one is). Others are not read.
        views: two views of a location for contrastive learning: `seasons` draws two different seasons, `crops` one
            season and two crops of it. With `crop_px` each view has a crop of its own.
        crop_px: side of a square crop in pixels of the finest resolution read; of coarser arrays it takes the same ground.
        crop: `random`, or `center`.
        require: names of sources that a sample must have, in one season (of one child) at least; others are left out.
        at_least: source → in how many seasons (of all children together) a sample must have it.
        domains: names of domains of the index whose number is wanted of each sample.
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
            and for it in proportion to how much of it a sample has (its label fractions); where there is a target with
            classes, for each class of it equally often.
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
            first sample is wanted, its members are checked each time they are read, and a copy that is wrong is dropped.
            All workers, ranks and datasets may share it. Shuffling among all shards wants all of them at once: give it
            room for the split, or `mix_shards`.
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
    loading = Loading.of(
        seed=seed,
        dtype=dtype,
        mix_shards=mix_shards,
        remainder=remainder,
        transform=transform,
        check=check,
        threads=threads,
        rank=rank,
        world_size=world_size,
        cache_dir=cache_dir,
        cache_gb=cache_gb,
        retries=retries,
        timeout_s=timeout_s,
    )
    opened = path_or_url if isinstance(path_or_url, OpenSplit) else open_split(path_or_url, split, loading.remote)
    _check_room(opened)
    one_of("views", views, (None, *get_args(Views)))
    one_of("crop", crop, get_args(Crop))
    one_of("upsample", upsample, (None, *get_args(Upsample)))
    check_counts(batch_size=batch_size, draw_seasons=draw_seasons, crop_px=crop_px)
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
    target = {LABEL} if opened.index.target else set()  # it comes anyway, also where its column is called so
    beside = (*sorted(opened.index.annotations), *sorted({*opened.index.columns} | target))
    names = _chosen("fields", fields, (*sorted(arrays), *beside))
    if fields is not None and (without := [n for n in names if n not in (*there, *beside)]):
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
        annotations=tuple(n for n in names if n in opened.index.annotations),
        columns=tuple(n for n in names if n in opened.index.columns and n not in target),
        domains=load(opened, domains),
    )
    _check_memory(opened, selection, batch_size or 1)
    return ShardDataset(
        opened,
        selection,
        batch_size=batch_size,
        order=plan.Order(loading.seed, shuffle, mix_shards, balance),
        loading=loading,
        wanted=_wanted(opened, require, {} if at_least is None else at_least),
    )


def _wanted(opened: OpenSplit, require: Collection[str], at_least: Mapping[str, int]) -> dict[str, int]:
    """Source → how many members, at least."""
    known = sorted({a.source for a in opened.index.arrays.values()})
    check_names("require", require, known)
    if not isinstance(at_least, Mapping):
        raise ConfigError(f"at_least = {at_least!r}: expected how many by source, such as {{{known[0]!r}: 1}}")
    wanted = dict.fromkeys(require, 1) | dict(at_least)
    if unknown := [s for s in wanted if s not in known]:
        raise ConfigError(f"require, at_least: no source {unknown}; expected some of: {', '.join(known)}")
    if wrong := {s: n for s, n in wanted.items() if n < 1}:
        raise ConfigError(f"at_least = {wrong}: expected ≥ 1")
    return wanted


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


def _chosen(what: str, names: Sequence[str] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    if names is None:
        return known
    check_names(what, names, known)
    if unknown := [n for n in names if n not in known]:
        raise ConfigError(f"{what}: no {unknown}; expected some of: {', '.join(known)}")
    if len(set(names)) != len(names):
        raise ConfigError(f"{what} = {list(names)}: expected each once")
    return tuple(names)
