"""What a delivered byte costs in bytes and CPU: `python -m tests.benchmarks.streaming.touched [--samples 96] [--rounds 9]`.

Bytes are counted where they are touched: read from the page cache, hashed, written by a decoder, copied into the batch. They
are the same on any machine. CPU is of one thread of one process, without a DataLoader, beside a floor of the same members,
hashed, decoded into a buffer that is used again, and copied once, each alone; rounds of both take turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import platformdirs
import torch
import xxhash
from numcodecs import blosc

from curation.format import frame
from curation.format.payload import npy_header
from curation.stream import decode, reading
from curation.stream.dataset import ShardDataset
from curation.stream.fetch import Fetcher
from curation.stream.open import open_shards
from curation.stream.opening import open_split
from tests.benchmarks.streaming import layouts, proof
from tests.benchmarks.streaming.pixels import Array

CASES = tuple(
    (form, codec, mode)
    for mode in ("full", "crop")
    for form, codec in (("ten", "none"), ("ten", "lz4"), ("native", "lz4"))
)
_SLOTS = 48
"""Samples that copies of the floor go round in, as batches of a ring do."""


@dataclass(slots=True)
class Touched:
    """Bytes of an epoch."""

    delivered: int = 0
    read: int = 0
    hashed: int = 0
    decoded: int = 0
    copied: int = 0

    @property
    def per_delivered(self) -> float:
        """Bytes hashed, written by a decoder or copied, for each that is delivered."""
        return (self.hashed + self.decoded + self.copied) / self.delivered


def dataset(folder: Path, variant: str, is_crop: bool) -> ShardDataset:
    """The shards as the benchmark's contender opens them, in one thread."""
    how: dict[str, Any] = {"upsample": variant} if variant in ("nearest", "bilinear") else {}
    how |= {"draw_seasons": 1, "crop_px": proof.CROPS[variant]} if is_crop else {}
    return open_shards(folder, "train", batch_size=16, threads=1, **how)


@contextmanager
def _counting(found: Touched) -> Iterator[None]:
    """While it lasts, every byte that is touched is counted."""

    class Digest:
        def __init__(self) -> None:
            self._of = xxhash.xxh3_64()

        def update(self, data: memoryview) -> None:
            found.hashed += len(data)
            self._of.update(data)

        def intdigest(self) -> int:
            return self._of.intdigest()

    def hashed(data: memoryview) -> int:
        found.hashed += len(data)
        return xxhash.xxh3_64_intdigest(data)

    def decompressed(data: Any, out: memoryview) -> None:
        found.decoded += len(out)
        blosc.decompress(data, out)

    def copied(place: Any, pixels: Array, seen: Any, out: Array, mode: Any) -> None:
        found.copied += out.nbytes
        put(place, pixels, seen, out, mode)

    def scattered(self: Fetcher, key: str, file: Any, start: int, views: Any) -> None:
        found.read += sum(map(len, views))
        scatter(self, key, file, start, views)

    put, scatter = decode.put, Fetcher._scatter
    with ExitStack() as stack:
        stack.enter_context(
            mock.patch.object(reading, "xxhash", SimpleNamespace(xxh3_64=Digest, xxh3_64_intdigest=hashed))
        )
        stack.enter_context(mock.patch.object(frame, "blosc", SimpleNamespace(decompress=decompressed)))
        stack.enter_context(mock.patch.object(decode, "put", copied))
        stack.enter_context(mock.patch.object(Fetcher, "_scatter", scattered))
        yield


def touched(folder: Path, variant: str, is_crop: bool) -> Touched:
    """Bytes of one epoch of a layout, counted."""
    found, data = Touched(), dataset(folder, variant, is_crop)
    with _counting(found):
        for batch in data:
            found.delivered += sum(batch[place.name].nbytes for place in data.layout.arrays)
    return found


class Floor:
    """The same members of some samples, each step alone: seconds of CPU a sample."""

    def __init__(self, folder: Path, variant: str, is_crop: bool, samples: int = 16) -> None:
        opened = open_split(folder, "train")
        table, index = opened.members, opened.index
        crop_px = proof.CROPS[variant] if is_crop else None
        fine_m = min(e.res_m or 0.0 for e in index.arrays.values())
        self._samples: list[list[tuple[bytes, Array, Array | None, Any]]] = []
        batch: dict[str, Array] = {}
        for row in range(min(samples, opened.entry.samples)):
            own: list[tuple[bytes, Array, Array | None, Any]] = []
            for i in range(int(opened.first[row]) + 1, int(opened.first[row + 1])):
                name, *season = index.members[table.member[i]].split(".")
                season = [s for s in season if s in index.seasons]
                if is_crop and season and season[0] != index.seasons[row % len(index.seasons)]:
                    continue
                entry = index.arrays[name]
                with (folder / opened.entry.shards[table.shard[i]].name).open("rb") as file:
                    file.seek(int(table.offset[i]))
                    data = file.read(int(table.size[i]))
                packed = entry.encoding == "npy.blosc"
                file_ = np.frombuffer(blosc.decompress(data) if packed else data, np.uint8)
                header = len(npy_header(entry.shape, entry.dtype))
                pixels = file_[header:].view(entry.dtype).reshape(entry.shape)
                factor = round((entry.res_m or fine_m) / fine_m)
                side = entry.shape[1] if crop_px is None else crop_px // factor
                at = row % (entry.shape[1] - side + 1)
                key = f"{name} {season}"
                slots = batch.setdefault(key, np.zeros((_SLOTS, entry.shape[0], side, side), entry.dtype))
                out = np.empty(len(file_), np.uint8) if packed else None
                own.append((data, slots, out, pixels[:, at : at + side, at : at + side]))
            self._samples.append(own)

    def seconds(self) -> dict[str, float]:
        """Of one run over the samples: part → CPU seconds a sample."""
        parts = {"hash": 0.0, "decode": 0.0, "copy": 0.0}
        for number, own in enumerate(self._samples):
            began = time.thread_time()
            for data, *_ in own:
                xxhash.xxh3_64_intdigest(data)
            hashed = time.thread_time()
            for data, _, out, _ in own:
                if out is not None:
                    blosc.decompress(data, out)
            decoded = time.thread_time()
            for _, slots, _, pixels in own:
                np.copyto(slots[number % _SLOTS], pixels)
            ended = time.thread_time()
            for part, took in zip(parts, (hashed - began, decoded - hashed, ended - decoded), strict=True):
                parts[part] += took / len(self._samples)
        return parts


def _own_s(data: ShardDataset) -> float:
    """CPU seconds of a sample of one epoch, of all threads."""
    began, count = time.process_time(), 0
    for batch in data:
        count += int((~batch["is_pad"]).sum())
    return (time.process_time() - began) / count


def report(base: Path, rounds: int) -> str:
    """Both tables."""
    lines = [
        "| delivered | read | hashed | decoded | copied | touched per delivered byte |",
        "|---|---|---|---|---|---|",
    ]
    its = {}
    for form, codec, mode in CASES:
        folder, name = base / f"ours-{form}-{codec}", f"{mode}, {form} {codec}"
        of = touched(folder, form, mode == "crop")
        shares = (f"{n / of.delivered:.2f}" for n in (of.read, of.hashed, of.decoded, of.copied))
        lines.append(f"| {name} | {' | '.join(shares)} | **{of.per_delivered:.2f}** |")
        its[name] = dataset(folder, form, mode == "crop"), Floor(folder, form, mode == "crop")
    lines += [
        "",
        "| CPU of a sample | × floor (quartiles) | hash | decode | copy | the rest |",
        "|---|---|---|---|---|---|",
    ]
    for name, (data, floor) in its.items():
        _own_s(data), floor.seconds()
        both = [(_own_s(data), floor.seconds()) for _ in range(rounds)]
        ratios = [own / sum(parts.values()) for own, parts in both]
        low, middle, high = statistics.quantiles(ratios, n=4)
        shares = [statistics.median(parts[p] / own for own, parts in both) for p in ("hash", "decode", "copy")]
        cells = (f"{share:.0%}" for share in (*shares, 1 - sum(shares)))
        lines.append(f"| {name} | {middle:.2f} ({low:.2f} to {high:.2f}) | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}."])


def main() -> None:
    """Writes the layouts where they are missing, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cache", type=Path, default=Path(platformdirs.user_cache_dir("curation-benchmarks")))
    args = parser.parse_args()
    torch.set_num_threads(1)
    blosc.use_threads = False
    base = args.cache.absolute() / f"samples-{args.samples}"
    for form, codec in dict.fromkeys(case[:2] for case in CASES):
        layouts.ensure(
            base / f"ours-{form}-{codec}",
            (),
            lambda folder, form=form, codec=codec: layouts.write_ours(folder, args.samples, form, codec),  # type: ignore[misc]
        )
    print(report(base, args.rounds))


if __name__ == "__main__":
    main()
