"""Whether shards keep a training step busy: `python -m tests.benchmarks.gpu [--steps 100] [--workers 8] [--smoke]`.

A ViT-S at 224 px, of 12 bands, is trained in bfloat16 with batches from native shards (10, 20 and 60 m groups, lz4): one
random season and crop of each sample comes as it is stored, through pinned memory and a copy that runs beside the step
before; to 10 m it is brought, and normalised, on the device. Told are samples/s and the share of time that the step waits
for data, beside the same steps fed from one batch that lies on the device: what no reader can be better than.

Without a GPU it runs on the CPU, where the step is so slow that it proves only that all of this works (`--smoke`: a smaller
model, few steps). `CURATION_SHARED` names the folder of recordings with real pixels; the first run writes 1 GB.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from curation.examples.pretrain import ARCHITECTURES, ViT
from curation.stream.dataset import ShardDataset
from curation.stream.open import open_shards
from curation.stream.resample import upsample
from tests.benchmarks import machine
from tests.benchmarks.streaming import layouts

BANDS = ("s2l2a_10m", "s2l2a_20m", "s2l2a_60m")


@dataclass
class Times:
    """Of the steps that count, seconds."""

    waited: list[float] = field(default_factory=list)
    """Until a batch was on the device, after the step before was done."""
    whole: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Of the time that was waited for data."""
        return sum(self.waited) / sum(self.whole)


def endless(loader: DataLoader[Any], data: ShardDataset) -> Iterator[dict[str, Any]]:
    """Batches of one epoch after the other."""
    for epoch in itertools.count():
        data.set_epoch(epoch)
        yield from loader


def moved(batches: Iterator[dict[str, Any]], device: torch.device) -> Iterator[list[Tensor]]:
    """The bands of batches on the device; the next one is copied on a stream of its own while one is worked with."""
    if device.type != "cuda":
        for batch in batches:
            yield [batch[name] for name in BANDS]
        return
    stream = torch.cuda.Stream(device)

    def begun() -> list[Tensor]:
        with torch.cuda.stream(stream):
            return [its.to(device, non_blocking=True) for its in (next(batches)[name] for name in BANDS)]

    ahead = begun()
    while True:
        torch.cuda.current_stream(device).wait_stream(stream)
        now, ahead = ahead, begun()
        for its in now:
            its.record_stream(torch.cuda.current_stream(device))
        yield now


def image(arrays: list[Tensor], middle: Tensor, spread: Tensor, px: int) -> Tensor:
    """(sample, band, y, x) on the finest grid, normalised, of so many pixels, in bfloat16."""
    fine_px = max(its.shape[-1] for its in arrays)
    one = torch.cat([upsample(its[:, 0], fine_px // its.shape[-1], "nearest") for its in arrays], 1)[..., :px, :px]
    return ((one.to(torch.float32) - middle) / spread).to(torch.bfloat16)


def steps(batches: Iterator[list[Tensor]], model: torch.nn.Module, args: argparse.Namespace) -> Times:
    """Trains, and tells how long the steps after the first few took."""
    device, found = args.device, Times()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    first = torch.cat([its[:, 0].float().flatten(2).movedim(1, 0).flatten(1).mean(1) for its in next(batches)])
    middle, spread = (its[:, None, None].to(device) for its in (first, first.clamp(min=1)))
    # Not for the whole device: the next batch is copied beside the step.
    wait = torch.cuda.current_stream(device).synchronize if device.type == "cuda" else (lambda: None)
    for step in range(args.steps + args.warm):
        wait()
        began = time.perf_counter()
        arrays = next(batches)
        wait()
        ready = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16):
            loss = model(image(arrays, middle, spread, args.px)).float().square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        wait()
        if step >= args.warm:
            found.waited.append(ready - began)
            found.whole.append(time.perf_counter() - began)
    return found


def measure(folder: Path, args: argparse.Namespace) -> None:
    """Prints the table."""
    torch.manual_seed(0)
    data = open_shards(
        folder,
        batch_size=args.batch,
        fields=list(BANDS),
        draw_seasons=1,
        crop_px=args.crop,
        shuffle=True,
        remainder="drop",
    )
    cuda = args.device.type == "cuda"
    loader: DataLoader[Any] = DataLoader(
        data, batch_size=None, num_workers=args.workers, persistent_workers=args.workers > 0, pin_memory=cuda
    )
    model = ViT(12, *ARCHITECTURES[args.arch]).to(args.device)
    with contextlib.closing(endless(loader, data)) as batches:
        fed = steps(moved(batches, args.device), model, args)
        kept = [its.to(args.device) for its in (next(batches)[name] for name in BANDS)]
    bound = steps(itertools.repeat(kept), model, args)
    name = torch.cuda.get_device_name(args.device) if cuda else "the CPU"
    print(f"\n## {args.arch} at {args.px} px, bfloat16, batches of {args.batch}, {args.workers} workers, {name}\n")
    print("| fed from | samples/s | ms a step, median and quartiles | waited for data | × from memory |")
    print("|---|---|---|---|---|")
    best = args.batch / statistics.median(bound.whole)
    for title, its in (("shards", fed), ("one batch on the device", bound)):
        rate = args.batch / statistics.median(its.whole)
        ms = machine.spread([1e3 * s for s in its.whole], ".1f")
        print(f"| {title} | {rate:,.0f} | {ms} | {100 * its.share:.1f} % | {rate / best:.2f} |")
    print(f"\n{machine.told(min(folder.rglob('*.tar')))}")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=320)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--arch", choices=ARCHITECTURES, default="vit-s")
    parser.add_argument("--smoke", action="store_true", help="4 steps of 8 samples by vit-tiny with 2 workers")
    parser.add_argument("--device", type=torch.device, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--cache", type=Path, default=Path(platformdirs.user_cache_dir("curation-benchmarks")))
    args = parser.parse_args()
    args.device, args.px, args.crop, args.warm = torch.device(args.device), 224, 228, 10
    if args.smoke:
        args.samples, args.batch, args.workers, args.steps, args.warm, args.arch = 96, 8, 2, 4, 1, "vit-tiny"
    folder = args.cache.absolute() / f"samples-{args.samples}" / "ours-native-lz4"
    layouts.ensure(folder, (), lambda into: layouts.write_ours(into, args.samples, "native", "lz4"))
    layouts.warm(folder)
    measure(folder, args)


if __name__ == "__main__":
    main()
