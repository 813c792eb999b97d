"""In which order samples come, what of each, and to whom: pure functions of (shards, seed, epoch, rank, worker). No I/O.

All chance is SplitMix64, not a library's generator, so that it is the same for ever and in any language
(`shards/README.md` has the definition).
"""

from __future__ import annotations

import dataclasses
import functools
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xxhash
from numpy.typing import NDArray

Remainder = Literal["mask", "drop"]

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Order:
    """What the order of an epoch follows from, besides its number and the split."""

    seed: int
    shuffle: bool
    mix_shards: int | None
    balance: bool

    def identity(self) -> dict[str, Any]:
        """By name: what must be the same for an epoch to be gone on with."""
        return dataclasses.asdict(self)

    def rows(
        self, shard_samples: Sequence[int], epoch: int, weights: Callable[[], NDArray[np.float64]]
    ) -> NDArray[np.int64]:
        """Rows of the samples table in the order of the epoch: int64, (samples,).

        Args:
            shard_samples: samples per shard, in order.
            epoch: its number.
            weights: gives the samples' weights, where `balance` asks for them.
        """
        if self.balance:
            return balanced_order(weights(), seed=self.seed, epoch=epoch)
        return epoch_order(shard_samples, shuffle=self.shuffle, seed=self.seed, epoch=epoch, mix_shards=self.mix_shards)


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
    keys = _outputs(shard.size, _state("samples", seed, epoch))
    if mix_shards is None:
        return np.argsort(keys, kind="stable").astype(np.int64)
    place = np.empty(len(shard_samples), dtype=np.int64)
    shards = _outputs(len(shard_samples), _state("shards", seed, epoch))
    place[np.argsort(shards, kind="stable")] = np.arange(place.size)
    return np.lexsort((keys, place[shard] // mix_shards)).astype(np.int64)


def balanced_order(weights: NDArray[np.float64], *, seed: int, epoch: int) -> NDArray[np.int64]:
    """As many rows as there are samples, drawn in proportion to their weights, in random order.

    Drawn by systematic resampling: sample i comes ⌊n·wᵢ⌋ or ⌈n·wᵢ⌉ times (w adding up to 1), so that an epoch is as
    balanced as its length allows, and not only on average.

    Args:
        weights: (samples,), ≥ 0, not all 0.
        seed: the order is a pure function of `seed` and `epoch`.
        epoch: as above.

    Returns:
        int64, (samples,).
    """
    n = weights.size
    if n == 0:
        return np.empty(0, dtype=np.int64)
    first = _output(_state("balance", seed, epoch), 0) / 2**64
    edges = np.cumsum(weights) * (n / weights.sum())
    rows = np.searchsorted(edges, np.arange(n) + first, side="right").clip(max=n - 1)
    return rows[np.argsort(_outputs(n, _state("samples", seed, epoch)), kind="stable")].astype(np.int64)


def label_weights(fractions: NDArray[np.float32]) -> NDArray[np.float64]:
    """Weights that draw for each label alike: Σₗ fᵢₗ ∕ Σₖ fₖₗ for sample i.

    As if a label were drawn first, all of them equally often, and then a sample in proportion to its share of that label.

    Args:
        fractions: share of each label in each sample, (samples, label); a row of NaN where unknown, whose weight is the
            mean of the others.

    Returns:
        float64, (samples,), adding up to 1. All equal where nothing is known.
    """
    known: NDArray[np.bool_] = np.logical_not(np.isnan(fractions).any(axis=1))
    shares = np.where(known[:, None], fractions, 0.0).astype(np.float64)
    total = shares.sum(axis=0)
    weights = (shares / np.where(total > 0, total, 1.0)).sum(axis=1)
    weights[~known] = weights[known].mean() if known.any() and weights.any() else 1.0
    if not weights.any():
        weights[:] = 1.0
    return np.asarray(weights / weights.sum()) if weights.size else weights


def steps(samples: int, *, world_size: int, batch: int = 1, start: int = 0, remainder: Remainder = "mask") -> int:
    """How many steps every rank takes: the same number on all of them.

    Args:
        samples: positions of the epoch.
        world_size: ranks.
        batch: samples per rank and step.
        start: positions that were delivered before.
        remainder: `mask` fills the last step with repeats, `drop` leaves out what does not fill one.
    """
    left, together = max(samples - start, 0), world_size * batch
    return left // together if remainder == "drop" else -(-left // together)


def deal(
    samples: int,
    *,
    rank: int,
    world_size: int,
    worker: int,
    workers: int,
    batch: int = 1,
    start: int = 0,
    remainder: Remainder = "mask",
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(positions in the epoch's order that a worker delivers, whether each is a pad).

    Item j of step t of rank r is position `start + (t * batch + j) * world_size + r`; worker w of a rank takes its steps w,
    w + workers, … so that steps come in order when workers take turns. Where the last step has too few samples, it goes on
    from the beginning of the order: these repeats are the pads, fewer than `world_size * batch` in all.

    Returns:
        int64 and bool, both (steps of the worker, batch).
    """
    count = steps(samples, world_size=world_size, batch=batch, start=start, remainder=remainder)
    mine = np.arange(worker, count, workers, dtype=np.int64)
    positions = start + (mine[:, None] * batch + np.arange(batch)) * world_size + rank
    return positions % max(samples, 1), positions >= samples


@dataclass(frozen=True, slots=True)
class Draw:
    """What of one sample is delivered."""

    seasons: tuple[int, ...]
    """Along the season axis, positions in the seasons selected; −1 where there is none to draw."""
    corners: tuple[tuple[int, int], ...]
    """Per view, first row and column of its crop, in finest pixels."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is left to chance in a sample; the same (seed, epoch, position) draws the same."""

    seasons: int
    """How many are selected."""
    drawn: int | None
    """How many of those come, present ones first; all in their order where None."""
    twice: bool
    """Two views of one season, instead of one view of each."""
    views: int
    """How many crops a sample has: 1 or 2."""
    slack_px: int
    """By how much the footprint is larger than the crop, finest pixels."""
    step_px: int
    """Crops begin at multiples of this."""
    centred: bool
    """Crops lie in the middle, instead of anywhere."""

    def draw(self, present: Sequence[bool], *, seed: int, epoch: int, position: int) -> Draw:
        """The draw for a position of the epoch.

        Args:
            present: per season selected, whether the sample has it.
            seed: as for the order.
            epoch: as for the order.
            position: in the epoch's order.
        """
        seasons = tuple(range(self.seasons))
        if self.drawn is not None:
            state = _state("seasons", seed, epoch)
            there = [s for s in seasons if present[s]]
            there.sort(key=lambda s: _output(state, position * self.seasons + s))
            seasons = (*there, *[-1] * self.drawn)[: self.drawn]
        if self.twice:
            seasons = (*seasons, *seasons)
        places = self.slack_px // self.step_px + 1
        if self.centred or places == 1:
            corner = (places - 1) // 2 * self.step_px
            return Draw(seasons, ((corner, corner),) * self.views)
        state = _state("crops", seed, epoch)
        chance = [_output(state, position * 4 + k) % places * self.step_px for k in range(2 * self.views)]
        return Draw(seasons, tuple((chance[2 * v], chance[2 * v + 1]) for v in range(self.views)))


@functools.lru_cache(maxsize=64)  # asked for of each sample
def _state(salt: str, seed: int, epoch: int) -> int:
    return xxhash.xxh3_64_intdigest(salt.encode() + struct.pack("<qq", seed, epoch))


def chances(numbers: NDArray[np.int64], salt: str, seed: int, epoch: int) -> NDArray[np.float64]:
    """A number from 0 to below 1 for each of `numbers`, the same for ever: float64, of their shape."""
    outputs = _outputs_at(numbers.astype(np.uint64) + np.uint64(1), _state(salt, seed, epoch))
    return (outputs >> np.uint64(11)).astype(np.float64) / 2**53


def own_seed(seed: int, name: str) -> int:
    """The seed of a part of a mix that has one: 64 bits, signed."""
    return int.from_bytes(_state(f"part {name}", seed, 0).to_bytes(8, "little"), "little", signed=True)


def _outputs(count: int, state: int) -> NDArray[np.uint64]:
    """The first `count` outputs of SplitMix64 from a state."""
    return _outputs_at(np.arange(1, count + 1, dtype=np.uint64), state)


def _outputs_at(numbers: NDArray[np.uint64], state: int) -> NDArray[np.uint64]:
    """Outputs by their numbers, from 1."""
    z = numbers * np.uint64(_GOLDEN) + np.full(numbers.shape, state, dtype=np.uint64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _output(state: int, number: int) -> int:
    """Output `number` (from 0) of SplitMix64 from a state."""
    z = (state + (number + 1) * _GOLDEN) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)
