"""What `fomo` reads: the parts of its mix, and what is known of the channels of each."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from curation.errors import ConfigError
from curation.examples.fomo_model import Channels, channels, words_of
from curation.format.index import ArrayEntry, Index
from curation.format.signature import channels_of
from curation.stream import MixDataset, Part, open_mix, open_shards

MOST_VALUES = 2**24
"""Of a batch of whole footprints, 64 MB: of larger ones it has fewer samples, and one at least."""


def stacks(name: str, arrays: Mapping[str, ArrayEntry]) -> dict[str, list[str]]:
    """Name of a part → arrays that make its images, of one dataset: those whose pixels nest on one footprint.

    Arrays of several times, of children, and in degrees have no part.
    """
    found: list[list[str]] = []
    usable = {
        n: e for n, e in arrays.items()
        if e.role == "data" and not e.of_children and e.steps is None and e.res_m is not None
    }  # fmt: skip
    for array, entry in sorted(usable.items(), key=lambda item: (item[1].is_static, item[1].res_m, item[0])):
        for group in found:
            first = arrays[group[0]]
            finest_m = first.res_m or 1.0
            times = (entry.res_m or 1.0) / finest_m
            nests = math.isclose(times, round(times)) and entry.shape[1] * round(times) == first.shape[1]
            if nests and not (entry.has_offsets or first.has_offsets) and entry.seasons in ((), first.seasons):
                group.append(array)
                break
        else:
            found.append([array])
    return {name if group is found[0] else f"{name}/{group[0]}": group for group in found}


class Data:
    """The datasets: their parts, and what is known of the channels of each."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.unseen = args, set(args.unseen)
        self.stacks: dict[str, tuple[str, list[str]]] = {}
        self.channels: dict[str, Channels] = {}
        self.ground_m: dict[str, float] = {}
        self.side_px: dict[str, int] = {}
        self.splits: dict[str, set[str]] = {}
        for name, url in args.data.items():
            index = open_shards(url, "train", fields=[]).index
            for part, arrays in stacks(name, index.arrays).items():
                self._take(part, url, arrays, index)
        if not self.stacks:
            raise ConfigError(
                f"{', '.join(args.data)}: no array of role 'data' has pixels in metres: nothing to train on"
            )
        if missing := self.unseen - {band for of in self.channels.values() for band in of.names}:
            known = sorted({band for of in self.channels.values() for band in of.names})
            raise ConfigError(f"--unseen {' '.join(sorted(missing))}: expected some of: {', '.join(known)}")

    def _take(self, part: str, url: str, arrays: list[str], index: Index) -> None:
        its = [channels_of(index, array) for array in arrays]
        entries = [band for one in its for band in one.entries]
        if all(band.name in self.unseen for band in entries):
            return  # nothing of it is left to be seen
        units = [one.signature.unit for one in its for _ in one.bands]
        statistics = [of for one in its for of in one.statistics]
        self.stacks[part] = url, arrays
        self.channels[part] = channels(f"part {part!r}", entries, units, statistics, self.unseen)
        finest = index.arrays[arrays[0]]
        self.ground_m[part], self.side_px[part] = finest.res_m or math.nan, finest.shape[1]
        self.splits[part] = {split for split, of in index.splits.items() if of.samples}
        if finest.shape[1] < self.args.token:
            raise ConfigError(f"part {part!r}: {finest.shape[1]} px: expected a --token of no more")

    def seen(self, part: str) -> Channels:
        """What training sees of a part's channels."""
        of = self.channels[part]
        return of.select([name for name in of.names if name not in self.unseen])

    @property
    def words(self) -> list[str]:
        """What any band of any part is called by."""
        return sorted({word for of in self.channels.values() for band in of.bands for word in words_of(band)})

    def open(self, split: str, *, crop: bool = False, every: bool = False, **how: Any) -> MixDataset:
        """The mix of parts that have such a split: bands that training sees, or every one; crops, or whole footprints."""
        parts = {}
        for part, (url, arrays) in self.stacks.items():
            if split not in self.splits[part]:
                continue
            bands = (self.channels[part] if every else self.seen(part)).names
            size = min(self.args.crop, self.side_px[part]) if crop else None
            is_cut = size is not None and size < self.side_px[part]
            finer = self.args.upsample if len(arrays) > 1 else None
            most = None if crop else max(1, MOST_VALUES // (len(bands) * self.side_px[part] ** 2))
            few = most if most is not None and most < self.args.batch_size else None  # a picture of 2200 px is 77 MB
            parts[part] = Part(url, arrays, bands, upsample=finer, crop_px=size if is_cut else None, batch_size=few)
        if not parts:
            raise ConfigError(f"no part has samples of {split}: expected one at least")
        return open_mix(parts, split, batch_size=self.args.batch_size, dtype=torch.float32, **how)


def batches(args: argparse.Namespace, mix: MixDataset) -> DataLoader[Any]:
    """Batches come ready from the reader, so that `batch_size` is None here."""
    return DataLoader(mix, batch_size=None, num_workers=args.workers, persistent_workers=args.workers > 0)


def scaled(batch: Mapping[str, Any], of: Channels, device: torch.device) -> tuple[Tensor, Tensor]:
    """(image, where it is valid) of a batch with these channels; what fills up a batch is valid nowhere."""
    valid = batch["valid"].to(device) & ~batch["is_pad"].to(device)[:, None, None, None]
    return of.scaled(batch["image"].to(device), valid), valid
