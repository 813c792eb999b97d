"""What `floods` learns from: batches of pixels, and thresholds that are fitted on them, on train alone."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from curation.errors import ConfigError
from curation.format.index import ArrayEntry, Index
from curation.stream.dataset import ShardDataset
from curation.stream.open import open_shards

IMAGES = ("s1post", "s1pre1", "s1pre2")
"""Sources of the images, in the order of channels."""
BANDS = ("VV", "VH")
LABELS = "water"
TERRAIN = ("dem", "slope")
CLASSES = ("none", "permanent", "flood")
NONE, PERMANENT, FLOOD, UNKNOWN = range(4)
"""Codes of labels."""
WINDOWS_PX = (1, 3, 5, 7, 9)
"""Sides of windows that thresholds may average over: speckle of a pixel spreads over several dB."""
LOWEST_DB, STEP_DB, BINS = -40.0, 0.1, 600
"""Which thresholds there are."""
LEAST_POWER = 1e-5
"""-50 dB, far below Sentinel-1's own noise (-22 dB or better, by its specification)."""


# ---- from shards to pixels -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pixels:
    """A batch of footprints, or of crops of them."""

    power: Tensor
    """Linear, NaN where there is no data: float32, (sample, image, band, y, x), in the order of IMAGES and BANDS."""
    terrain: Tensor
    """Heights in m and slope, NaN where there is no data: float32, (sample, channel, y, x); none without --terrain."""
    labels: Tensor
    """int64, (sample, y, x); UNKNOWN also where an image has no data."""
    floods: tuple[str, ...]
    """Which flood each sample is of."""

    def channels(self) -> Tensor:
        """Images in dB, then terrain: float32, (sample, channel, y, x), NaN where there is no data."""
        return torch.cat([decibels(self.power).flatten(1, 2), self.terrain], 1)


def decibels(power: Tensor) -> Tensor:
    """Linear power in dB; NaN stays."""
    return 10 * power.clamp(min=LEAST_POWER).log10()


def array_of(index: Index, source: str) -> str:
    """The name of the one array of a source. Raises ConfigError where it has none, or of several times."""
    found = [n for n, a in index.arrays.items() if a.source == source and a.role in ("data", "classes")]
    if len(found) != 1 or len(index.arrays[found[0]].seasons) > 1 or index.arrays[found[0]].steps:
        there = ", ".join(sorted(index.arrays))
        raise ConfigError(
            f"{index.dataset}: arrays {there}: expected one of {source!r} with one time. This learns "
            f"from {' '.join(IMAGES)} {LABELS} as `make kuro-siwo` packs them (and from dem and slope with --terrain)"
        )
    return found[0]


def linear(pixels: Tensor, entry: ArrayEntry) -> Tensor:
    """Radar as linear power, NaN where there is no data: float32, (sample, band, y, x) in the order of BANDS."""
    names = [band.upper() for band in entry.bands]
    if not set(BANDS) <= set(names):
        raise ConfigError(f"{entry.source}: bands {', '.join(names)}: expected {' and '.join(BANDS)}")
    pixels = pixels[:, [names.index(band) for band in BANDS]]
    values = pixels.float().masked_fill(pixels == entry.nodata, math.nan)
    if "linear" in entry.unit:
        return values
    if "hundredths of a dB" in entry.unit:
        return 10 ** (values / 1000)
    raise ConfigError(f"{entry.source}: unit {entry.unit!r}: expected linear power, or hundredths of a dB")


def names(column: list[str] | Tensor) -> list[str]:
    """Which flood each sample of a batch is of: some tables have numbers."""
    return [f"{number:.15g}" for number in column.tolist()] if isinstance(column, Tensor) else column


def pixels_of(batch: dict[str, Any], index: Index, args: argparse.Namespace) -> Pixels:
    """What a batch of the reader holds, without the repeats that fill it up, on the device."""
    real = ~batch["is_pad"]

    def of(source: str) -> tuple[Tensor, ArrayEntry]:
        name = array_of(index, source)
        pixels = batch[name][real].to(args.device)
        return pixels if index.arrays[name].is_static else pixels[:, 0], index.arrays[name]

    power = torch.stack([linear(*of(source)) for source in IMAGES], 1)
    terrain = [p.float().masked_fill(p == e.nodata, math.nan) for p, e in map(of, TERRAIN if args.terrain else ())]
    labels = of(LABELS)[0][:, 0].long()
    if labels.max() > UNKNOWN:
        raise ConfigError(f"{LABELS}: code {labels.max()}: expected 0 none, 1 permanent, 2 flood, 3 unknown")
    labels = labels.masked_fill(power.isnan().any(2).any(1), UNKNOWN)
    floods = tuple(name for name, is_real in zip(names(batch[args.column]), real.tolist(), strict=True) if is_real)
    return Pixels(power, torch.cat([power[:, 0, :0], *terrain], 1), labels, floods)


def open_side(args: argparse.Namespace, folder: str, split: str, **options: Any) -> ShardDataset:
    """A split with what is needed of it, on the finest grid."""
    index = open_shards(folder, split, fields=[]).index
    if args.column not in index.columns:
        there = ", ".join(sorted(index.columns)) or "none"
        raise ConfigError(
            f"{folder}: columns {there}: expected {args.column!r}, of which flood a sample is; see --column"
        )
    sources = (*IMAGES, LABELS, *(TERRAIN if args.terrain else ()))
    fields = [*(array_of(index, source) for source in sources), args.column]
    return open_shards(folder, split, fields=fields, upsample="bilinear", **options)


def loader(args: argparse.Namespace, data: ShardDataset) -> DataLoader[Any]:
    """Batches come ready from the reader, so that `batch_size` is None here."""
    return DataLoader(data, batch_size=None, num_workers=args.workers, persistent_workers=args.workers > 0)


def footprints(args: argparse.Namespace, folder: str, split: str) -> Iterator[Pixels]:
    """All of a split, whole and in order."""
    data = open_side(args, folder, split, batch_size=args.batch_size)
    return (pixels_of(batch, data.index, args) for batch in loader(args, data))


def held_out(args: argparse.Namespace, folder: str) -> set[str]:
    """The floods of val, of which none may be in train. Reads no pixels."""
    found = []
    for split in ("train", "val"):
        open_side(args, folder, split)  # tells what is missing
        data = open_shards(folder, split, fields=[args.column], batch_size=64)
        found.append({flood for batch in data for flood in names(batch[args.column])})
    if both := found[0] & found[1]:
        raise ConfigError(
            f"{folder}: {', '.join(sorted(map(repr, both)))} in train and in val: expected each {args.column} on one side; "
            f'set [split] rule = "column", column = "{args.column}" in the recipe, and pack again'
        )
    return found[1]


# ---- what is fitted without a network --------------------------------------------------------------------------------


def averaged(power: Tensor, window_px: int) -> Tensor:
    """The mean over a window around each pixel of what has data in it; NaN where nothing has: (…, y, x)."""
    planes, around = power.reshape(-1, 1, *power.shape[-2:]), window_px // 2
    there = (~planes.isnan()).float()
    total, count = (
        functional.avg_pool2d(functional.pad(p, [around] * 4), window_px, stride=1)
        for p in (planes.nan_to_num(), there)
    )
    return (total / count).reshape(power.shape)


def after_db(power: Tensor, window_px: int) -> Tensor:
    """VV after the flood: dB, (sample, y, x)."""
    return decibels(averaged(power[:, 0, 0], window_px))


def change_db(power: Tensor, window_px: int) -> Tensor:
    """By how much VV has risen since the mean of the two images before: dB, (sample, y, x)."""
    return after_db(power, window_px) - decibels(averaged(power[:, 1:, 0].mean(1), window_px))


MEASURES = {"threshold": after_db, "change": change_db}
"""Of which floods have low values."""


def bins(values: Tensor) -> Tensor:
    """In which step of the thresholds values lie: int64."""
    return ((values.nan_to_num() - LOWEST_DB) / STEP_DB).floor().clamp(0, BINS - 1).long()


@dataclass(frozen=True, slots=True)
class Threshold:
    """Says flood where a measure is below a value."""

    measure: str
    window_px: int
    below: int
    """In steps from LOWEST_DB on."""
    f1: float
    """Of flood, on train."""

    def __call__(self, pixels: Pixels) -> Tensor:
        """FLOOD or NONE for each pixel: int64, (sample, y, x)."""
        low = bins(MEASURES[self.measure](pixels.power, self.window_px)) < self.below
        return torch.where(low, FLOOD, NONE)

    def __str__(self) -> str:
        """How it decides."""
        value = LOWEST_DB + STEP_DB * self.below
        return f"{self.measure}: below {value:.1f} dB, mean of {self.window_px}² pixels (F1 on train {self.f1:.3f})"


def best_step(flood: Tensor, other: Tensor) -> tuple[float, int]:
    """(F1, step) of the threshold with the best F1, of counts per step of pixels that are flood, and of the others."""
    tp, fp = (functional.pad(counts.cumsum(0), (1, 0)).double() for counts in (flood, other))
    f1 = 2 * tp / (tp + fp + flood.sum()).clamp(min=1)
    best = int(f1.argmax())
    return float(f1[best]), best


@dataclass(frozen=True, slots=True)
class Fitted:
    """What train says before anything is learnt."""

    mean: Tensor
    """Of each channel: float32, (channel, 1, 1)."""
    deviation: Tensor
    thresholds: dict[str, Threshold]
    """By measure."""
    classes: Tensor
    """How many pixels each of CLASSES has: int64, (class,)."""


def fitted(args: argparse.Namespace, folder: str) -> Fitted:
    """One pass over whole footprints of train. Raises ConfigError where none of its pixels is flood."""
    sums: Any = 0.0
    counts = {(m, w): torch.zeros(2, BINS, dtype=torch.long) for m in MEASURES for w in WINDOWS_PX}
    classes = torch.zeros(len(CLASSES), dtype=torch.long)
    for pixels in footprints(args, folder, "train"):
        known = pixels.labels != UNKNOWN
        x = pixels.channels().double().movedim(1, 0)
        use = known & ~x.isnan()
        x = torch.where(use, x, 0.0)
        sums += torch.stack([use.double(), x, x.square()]).flatten(2).sum(2).cpu()
        classes += pixels.labels[known].bincount(minlength=len(CLASSES)).cpu()
        for (measure, window), found in counts.items():
            step = bins(MEASURES[measure](pixels.power, window))[known]
            both = step + BINS * (pixels.labels[known] == FLOOD)
            found += both.bincount(minlength=2 * BINS).reshape(2, BINS).cpu()
    if not classes[FLOOD]:
        raise ConfigError(f"{folder}: no pixel of train is flood (code {FLOOD}): expected some to learn from")
    number, total, squares = sums
    mean = total / number
    deviation = (squares / number - mean.square()).clamp(min=0).sqrt().clamp(min=1e-6)
    mean, deviation = (v.float()[:, None, None].to(args.device) for v in (mean, deviation))
    best = {m: max((*best_step(*counts[m, w].flip(0)), w) for w in WINDOWS_PX) for m in MEASURES}
    thresholds = {m: Threshold(m, window, step, f1) for m, (f1, step, window) in best.items()}
    return Fitted(mean, deviation, thresholds, classes)
