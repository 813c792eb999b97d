"""Opens several datasets as one mix."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from curation.errors import ConfigError
from curation.stream import mixing
from curation.stream.loading import Loading, Transform
from curation.stream.mix import MixDataset
from curation.stream.opening import OpenSplit, open_split
from curation.stream.parts import OpenPart, Part, Unshared, opened
from curation.stream.plan import Remainder
from curation.stream.reading import Check


def open_mix(
    parts: Mapping[str, str | Path | Part],
    split: str = "train",
    *,
    batch_size: int,
    weights: Mapping[str, float] | None = None,
    temperature: float | None = None,
    resampled: bool = False,
    epoch_samples: int | None = None,
    normalize: bool = False,
    dtype: torch.dtype | None = None,
    shuffle: bool = True,
    seed: int = 0,
    mix_shards: int | None = None,
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
) -> MixDataset:
    """Many datasets for one `torch.utils.data.DataLoader`: each batch is of one of them, and of one signature.

    Give it to `DataLoader(mix, batch_size=None, num_workers=…)`, as what `open_shards` gives; with torchrun, too. A batch is
    a dict:

    ================  ==========  ===============  ===============================================================
    entry             dtype       shape            is
    ================  ==========  ===============  ===============================================================
    `image`           as stored   (B, C, y, x)     channels of one season of each sample; float32 where arrays of
                                                   several dtypes are stacked, or where it is normalised
    `valid`           bool        (B, C, y, x)     whether there is data; where not, the image has the array's
                                                   nodata (0 where normalised)
    `bands`           list[str]   C                canonical names: the same in every dataset
    `wavelength_nm`   float32     (C,)             centres, of a radar from its frequency; NaN, never 0, of what has
                                                   none (heights, gases, codes)
    `unit`            list[str]   C                of what is stored
    `ground_m`        float                        side of a pixel, metres; NaN where footprints are in degrees
    `time`            int64       (B,)             seconds since 1970 UTC, of the first array with a time; -1 where
                                                   there is none
    `dataset`         str                          name of the part
    `lon`, `lat`      float64     (B,)             centre, degrees, WGS 84
    `is_pad`          bool        (B,)             a repeat that fills a part's last step
    `key`             list[str]   B                location ids
    ================  ==========  ===============  ===============================================================

    and what else `open_shards` says of a sample (`<source>_ok`, labels, …), with a season axis of the one that was drawn.
    `select_bands(batch, names)` is a subset or another order of its bands, with all that is per band.

    Order: a pure function of `seed`, the epoch, and the samples that a step takes of each part over all ranks; it knows no
    speed of anybody. Every rank takes the same number of steps of each part. Each sample comes once per epoch (or
    `resampled`), each iteration is the next epoch, and `state_dict` goes on within one, as of `open_shards`.

    Args:
        parts: name → folder or URL, or a `Part` that says which arrays, bands and seasons make its images. What is random in
            a part follows from its name and the seed, so that others may come and go.
        split: name of the split, where a part names none.
        batch_size: samples per batch and rank, where a part says none.
        weights: one of each part: in proportion to which samples are drawn. Where each comes once, a part of more weight
            than its size gives comes sooner, and ends sooner.
        temperature: of an epoch that is `resampled`: draws in proportion to samples ** (1 / temperature) instead: 1 by size
            (as where both are None), more of it makes small parts come oftener, `math.inf` all alike.
        resampled: an epoch has of each part what its share of `epoch_samples` is, to the sample, whatever its size: a part
            is gone through again and again, across epochs, each time in another order, so that each of its samples comes as
            often as any other.
        epoch_samples: of an epoch that is `resampled`; as many as all parts have where None.
        normalize: (x - mean) / deviation by the statistics of each index (bands of train), for arrays of role `data`; what
            is not valid becomes 0, which is the mean.
        dtype: torch.float32, float64 or bfloat16 of all images; where None as they are stored.
        shuffle: whether the samples of each part are shuffled.
        seed: of everything that is random.
        mix_shards: as of `open_shards`, of each part.
        remainder: `mask` fills the last step of each part with repeats that `is_pad` marks; `drop` leaves out what does not
            fill one on every rank (`dropped()` names it).
        rank: of this process, as of `open_shards`.
        world_size: number of ranks; as `rank`.
        transform: as of `open_shards`, called with such a batch.
        check: as of `open_shards`.
        threads: that read and decode in each process, for all parts together.
        cache_dir: as of `open_shards`, for all parts together.
        cache_gb: likewise.
        retries: as of `open_shards`.
        timeout_s: likewise.

    Raises:
        ConfigError: a part has no such array, band or season, or these make no image of one size; weights that say nothing;
            or as `open_shards`.
        DamageError: as `open_shards`.
        ReadError: likewise.
    """
    whole = {name: part if isinstance(part, Part) else Part(part) for name, part in sorted(_named(parts).items())}
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
    if epoch_samples is not None and not (resampled and type(epoch_samples) is int and epoch_samples >= 1):
        raise ConfigError(f"epoch_samples = {epoch_samples!r}: expected ≥ 1, a whole number, with resampled=True")
    if temperature is not None and not resampled:
        raise ConfigError(
            f"temperature = {temperature!r} with resampled = {resampled}: each sample comes once per epoch then, whatever "
            "the temperature; say resampled=True, or give weights, by which a part comes sooner and not oftener"
        )
    splits: dict[tuple[str, str], OpenSplit] = {}
    found: dict[str, Unshared] = {}
    for name, part in whole.items():
        which = (str(part.dataset), part.split or split)
        if which not in splits:  # several parts may be of one
            splits[which] = open_split(part.dataset, which[1], loading.remote)
        size = batch_size if part.batch_size is None else part.batch_size
        if size is None:
            raise ConfigError(
                "batch_size = None: expected ≥ 1: samples of several signatures make no batches by themselves"
            )
        found[name] = opened(
            name, part, splits[which], batch_size=size, shuffle=shuffle, normalize=normalize, loading=loading
        )
    sizes = {name: one.dataset.samples for name, one in found.items()}
    shares = mixing.shares(sizes, weights, temperature)
    quotas = mixing.quotas(shares, epoch_samples or sum(sizes.values())) if resampled else {}
    return MixDataset(
        [OpenPart(n, o.dataset, o.image, shares[n], quotas.get(n)) for n, o in found.items()],
        drawn={
            "weights": None if weights is None else {name: float(weights[name]) for name in whole},
            "temperature": None if temperature is None else float(temperature),
            "resampled": bool(resampled),
        },
        loading=loading,
    )


def _named(parts: Any) -> dict[str, Any]:
    if not isinstance(parts, Mapping) or not parts or not all(isinstance(n, str) and n for n in parts):
        raise ConfigError(
            f"parts = {reprlib.repr(parts)}: expected name → folder, URL or Part(…), of one part at least, such as "
            '{"s2": "shards/ssl4eo"}'
        )
    return dict(parts)
