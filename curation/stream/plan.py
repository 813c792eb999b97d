"""In which order samples come, and to whom: pure functions of (shards, seed, epoch, rank, worker). No I/O.

The order is made by SplitMix64, not by a library's generator, so that it is the same for ever and in any language
(`shards/README.md` has the definition).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

_GOLDEN = 0x9E3779B97F4A7C15


def epoch_order(
    shard_samples: Sequence[int], *, shuffle: bool, seed: int, epoch: int, mix_shards: int | None = None
) -> NDArray[np.int64]:
    """Rows of the samples table in the order of the epoch: each exactly once.

    Args:
        shard_samples: samples per shard, in order; rows count through them.
        shuffle: whether to shuffle; otherwise the order is that of the rows, in every epoch.
        seed: the order is a pure function of `seed` and `epoch`.
        epoch: as above.
        mix_shards: shuffle the shards, then the samples of every so many consecutive ones among each other, so that at
            any time only these are read. Where None, any order of all samples is as likely as any other.

    Returns:
        int64, (samples,).
    """
    shard = np.repeat(np.arange(len(shard_samples)), shard_samples)
    if not shuffle:
        return np.arange(shard.size, dtype=np.int64)
    keys = _random(shard.size, seed, epoch, "samples")
    if mix_shards is None:
        return np.argsort(keys, kind="stable").astype(np.int64)
    place = np.empty(len(shard_samples), dtype=np.int64)
    place[np.argsort(_random(len(shard_samples), seed, epoch, "shards"), kind="stable")] = np.arange(place.size)
    return np.lexsort((keys, place[shard] // mix_shards)).astype(np.int64)


def rank_length(samples: int, world_size: int) -> int:
    """How many samples every rank gets in an epoch: the same for all of them."""
    return -(-samples // world_size)


def deal(
    samples: int, *, rank: int, world_size: int, worker: int, workers: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(positions in the epoch's order that a worker delivers, whether each is a pad).

    Step t of rank r is position `t * world_size + r`; worker w of a rank takes its steps w, w + workers, … Where the last
    step has too few samples for all ranks, it goes on from the beginning of the order: these repeats are the pads, fewer
    than `world_size` in all.

    Returns:
        int64 and bool, both (steps of the worker,).
    """
    steps = np.arange(worker, rank_length(samples, world_size), workers, dtype=np.int64)
    positions = steps * world_size + rank
    return positions % max(samples, 1), positions >= samples


def _random(count: int, seed: int, epoch: int, salt: str) -> NDArray[np.uint64]:
    """The first `count` outputs of SplitMix64 whose state is the xxh3_64 of salt, seed and epoch."""
    state = xxhash.xxh3_64_intdigest(salt.encode() + struct.pack("<qq", seed, epoch))
    z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN) + np.full(count, state, dtype=np.uint64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
