"""Between which values a dataset's images are looked at: percentiles of train, or what somebody says."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from curation.errors import ConfigError, DamageError
from curation.errors.printable import printable
from curation.format import payload
from curation.format.index import ArrayEntry, Index, SplitEntry
from curation.format.names import MemberName
from curation.format.table import MemberTable, read_members
from curation.pack.export.rendering import Rendering, ViewChannel, unit_of
from curation.store.objects import Store

MOST_IMAGES = 64
"""So many images of train, evenly spaced over it, are measured."""

LEAST_BETWEEN = 0.01
"""Share of a channel's measured pixels that lies between limits as somebody states them, at least."""

MOST_PIXELS = 1 << 14
"""So many pixels of each, evenly spaced."""


def spoken(texts: Sequence[str], channels: Sequence[ViewChannel]) -> tuple[ViewChannel, ...]:
    """Channels with limits as somebody states them: `LOW:HIGH` once for all, or of each.

    Raises:
        ConfigError: one is none, or there are neither one nor as many as channels.
    """
    pairs = [_pair(text) for text in texts]
    if len(pairs) not in (1, len(channels)):
        raise ConfigError(
            f"--limits: got {len(pairs)} pairs, expected one LOW:HIGH, or one of each of {len(channels)} channels"
        )
    every = pairs * len(channels) if len(pairs) == 1 else pairs
    return tuple(dataclasses.replace(c, low=low, high=high) for c, (low, high) in zip(channels, every, strict=True))


def _pair(text: str) -> tuple[float, float]:
    low, _, high = text.partition(":")
    try:
        pair = float(low), float(high)
    except ValueError as err:
        raise ConfigError(f"--limits {printable(text)!r}: expected LOW:HIGH, two numbers") from err
    if not (np.isfinite(pair).all() and pair[0] < pair[1]):
        raise ConfigError(f"--limits {printable(text)!r}: expected two finite numbers, the lower one first")
    return pair


def measured(sampled: Sampled, rendering: Rendering, percentiles: tuple[float, float]) -> tuple[ViewChannel, ...]:
    """The rendering's channels between percentiles of valid pixels of train.

    What is exported has no part in it: the same dataset has the same limits, whichever of its samples are asked for.

    Raises:
        ConfigError: no image of the split has a valid pixel.
        DamageError: what is stored is not what the index says.
    """
    low, high = np.percentile(_measurable(sampled, rendering), percentiles, axis=1).round(4)
    return tuple(
        dataclasses.replace(c, low=float(a), high=float(max(b, a + 1e-3)))
        for c, a, b in zip(rendering.channels, low, high, strict=True)
    )


def check(sampled: Sampled, rendering: Rendering) -> None:
    """Passes where some of what is measured lies between the limits of each channel.

    Raises:
        ConfigError: all of a channel would be dark or bright: they are in another unit, or of another sensor.
        DamageError: as `measured`.
    """
    for channel, values in zip(rendering.channels, _measurable(sampled, rendering), strict=True):
        if np.mean((values > channel.low) & (values < channel.high)) < LEAST_BETWEEN:
            a, b = np.percentile(values, (2, 98))
            raise ConfigError(
                f"--limits {channel.low:g}:{channel.high:g} of {channel.name}: next to no pixel lies between; most are from "
                f"{a:.6g} to {b:.6g} {unit_of(sampled.index.arrays[channel.array])}: say others"
            )


@dataclass(frozen=True, slots=True)
class Sampled:
    """Samples of train (of the first split, where there is no train), of which some are measured."""

    shards: Store
    index: Index
    table: MemberTable

    @classmethod
    def of(cls, shards: Store, index: Index) -> Sampled:
        """Those of a release. Raises DamageError where its table is not the index's."""
        name = index.splits[split_of(index)].members.name
        return cls(shards, index, read_members(shards.get(name), shards.where(name), index, split_of(index)))

    def with_all(self, rendering: Rendering) -> list[int]:
        """Those that have all arrays of a rendering, in order."""
        return sorted(set.intersection(*(set(rows) for rows in self._rows(rendering).values())))

    def values(self, rendering: Rendering, images: int) -> NDArray[np.float64]:
        """(channel, pixel) of some valid pixels of so many images, evenly spaced over those that have all arrays.

        Raises:
            DamageError: what is stored is not what the index says.
        """
        entries = {name: self.index.arrays[name] for name in rendering.arrays}
        found = [np.empty((len(rendering.channels), 0))]
        for pixels in self._images(rendering, images):
            values, valid = rendering.values(pixels, entries)
            its = values[:, valid]
            found.append(its[:, :: max(1, its.shape[1] // MOST_PIXELS)])
        return np.concatenate(found, axis=1)

    def _rows(self, rendering: Rendering) -> dict[str, Mapping[int, int]]:
        """Array → sample → row of the table."""
        members, arrays = self.index.members, self.index.arrays
        numbers = {n: members.index(member_of(n, arrays[n], rendering.season)) for n in rendering.arrays}
        return {n: rows_of(self.table, number) for n, number in numbers.items()}

    def _images(self, rendering: Rendering, images: int) -> Iterator[dict[str, NDArray[Any]]]:
        """Pixels by array."""
        split, rows, there = self.index.splits[split_of(self.index)], self._rows(rendering), self.with_all(rendering)
        for number in np.unique(np.linspace(0, len(there) - 1, min(images, len(there))).round().astype(int)):
            sample = there[number]
            yield {
                n: read_member(self.shards, split, self.table, of[sample], self.index.arrays[n].encoding)
                for n, of in rows.items()
            }


def _measurable(sampled: Sampled, rendering: Rendering) -> NDArray[np.float64]:
    """(channel, pixel) of some valid pixels, one at least. Raises as `measured`."""
    every = sampled.values(rendering, MOST_IMAGES)
    if not every.shape[1]:
        raise ConfigError(
            f"{sampled.shards.where('')}: no valid pixel of {', '.join(rendering.arrays)} in {split_of(sampled.index)}: say "
            "--limits"
        )
    return every


def split_of(index: Index) -> str:
    """The side of the split whose pixels are measured."""
    return "train" if "train" in index.splits else min(index.splits)


def member_of(array: str, entry: ArrayEntry, season: str | None) -> str:
    """The member that holds an array of a sample in a season."""
    return MemberName(None, array, None if entry.is_static else season, entry.encoding).suffix


def rows_of(table: MemberTable, member: int) -> Mapping[int, int]:
    """Sample → row of the member table that is of a member, by its number."""
    rows = np.flatnonzero(table.member == member)
    return dict(zip(table.sample[rows].tolist(), rows.tolist(), strict=True))


def read_member(shards: Store, split: SplitEntry, table: MemberTable, row: int, encoding: str) -> NDArray[Any]:
    """The array of a row of the member table, read alone.

    Raises:
        DamageError: it is not there, or not what the table says.
    """
    key, offset = split.shards[int(table.shard[row])].name, int(table.offset[row])
    where = f"{shards.where(key)}: byte {offset}"
    try:
        data = shards.get_range(key, offset, int(table.size[row]))
    except (FileNotFoundError, EOFError) as err:
        raise DamageError(f"{where}: the index names it, and it is not there; pack again") from err
    if xxhash.xxh3_64_intdigest(data) != int(table.xxh3[row]):
        raise DamageError(f"{where}: not the member that the index names; pack again")
    return payload.decode(data, encoding, where)
