"""What every contender's script shares: delivering, proving, timing. Imported by path, in each contender's own environment.

A script calls `main(write, loader)`. With `write SOURCE FOLDER VARIANT` it makes its layout from the plain tars in
SOURCE (stock WebDataset with `.npy` members); with `read FOLDER …` it delivers batches and prints one line of JSON.

A loader is made by `loader(Options)` and yields per batch (keys, tensors, crops): a list of texts; name → tensor with a
leading sample axis; and None, or per sample (season, row, column). Samples of a pad are left out by giving their key as "".
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import tarfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
import xxhash

NAMES = ("s2", "s1", "dem", "worldcover", "dynamicworld")
SEASONAL = ("s2", "s1", "dynamicworld")
CROP = 224
Batch = tuple[list[str], dict[str, torch.Tensor], list[tuple[int, int, int]] | None]

warnings.filterwarnings("ignore", message="The given NumPy array is not writable")


@dataclass(frozen=True, slots=True)
class Options:
    """How to deliver."""

    at: str
    """Folder or URL of the layout."""
    variant: str
    """Which of the script's layouts or settings."""
    crop: bool
    """One random season and a crop of CROP px of it, of everything; else all."""
    workers: int
    batch: int


Loader = Callable[[Options], Iterable[Batch]]


def cropped(arrays: dict[str, Any]) -> tuple[dict[str, Any], tuple[int, int, int]]:
    """One random season and window of a sample's arrays, as views; and which."""
    size = arrays["s1"].shape[-1]
    season = random.randrange(arrays["s1"].shape[0])
    y, x = random.randint(0, size - CROP), random.randint(0, size - CROP)
    cut = {
        k: (a[season : season + 1] if k in SEASONAL else a)[..., y : y + CROP, x : x + CROP] for k, a in arrays.items()
    }
    return cut, (season, y, x)


def tar_samples(path: Path) -> Iterator[tuple[str, dict[str, np.ndarray[Any, Any]], bytes]]:
    """(key, arrays at 10 m, JSON) of every sample of a plain tar, in order."""
    with tarfile.open(path) as tar:
        parts: dict[str, Any] = {}
        for member in tar:
            key, _, suffix = member.name.partition(".")
            data = tar.extractfile(member)
            body = data.read() if data else b""
            if suffix == "json":  # the last member of a sample
                yield key, parts, body
                parts = {}
            else:
                parts[suffix.removesuffix(".npy")] = np.load(io.BytesIO(body))


def tars(folder: Path) -> list[Path]:
    """The plain tars of the source, in order."""
    return sorted(folder.glob("*.tar"))


def digests(
    keys: list[str], tensors: dict[str, torch.Tensor], crops: Any, wanted: set[str]
) -> Iterator[dict[str, Any]]:
    """Per wanted key: what was cut, and xxh3 over every tensor's bytes."""
    for i, key in enumerate(keys):
        if key in wanted:
            sums = {n: xxhash.xxh3_64_hexdigest(np.ascontiguousarray(t[i].numpy())) for n, t in sorted(tensors.items())}
            yield {"key": key, "crop": crops[i] if crops else None, "xxh3": sums}


def _tree() -> list[psutil.Process]:
    me = psutil.Process()
    return [me, *me.children(recursive=True)]


def cpu_seconds() -> float:
    """Of this process and all below it, those that ended included."""
    total = 0.0
    for process in _tree():
        try:
            t = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += t.user + t.system
    ended = os.times()
    return total + ended.children_user + ended.children_system


def memory_bytes() -> tuple[int, str]:
    """(proportional set size of this process and all below it, "pss"); resident sizes where that cannot be read."""
    total, kind = 0, "pss"
    for process in _tree():
        try:
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:"))
        except (OSError, StopIteration):
            try:
                total, kind = total + process.memory_info().rss, "rss"
            except psutil.NoSuchProcess:
                continue
    return total, kind


class _Watch(threading.Thread):
    """Takes the highest memory while it runs; only outside the timed part, since looking costs time."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.top, self.kind, self.stop = 0, "pss", threading.Event()

    def run(self) -> None:
        while not self.stop.wait(0.1):
            now, self.kind = memory_bytes()
            self.top = max(self.top, now)


def measure(loader: Iterable[Batch], seconds: float, wanted: set[str], batches_ahead: int) -> dict[str, Any]:
    """One epoch to prove what comes, with memory watched; then as many epochs as fit into `seconds`, timed."""
    watch, found, names = _Watch(), [], []
    watch.start()
    for keys, tensors, crops in loader:
        names += [k for k in keys if k]
        found += list(digests(keys, tensors, crops, wanted))
    watch.stop.set()
    watch.join()
    count, size, number, started, cpu = 0, 0, 0, 0.0, 0.0
    while True:
        for keys, tensors, _ in loader:
            number += 1
            if number == batches_ahead:  # what came until here fills the pipeline and is not counted
                cpu, started = cpu_seconds(), time.perf_counter()
            if number <= batches_ahead:
                continue
            mine = sum(1 for k in keys if k)
            count += mine
            size += sum(t.nbytes for t in tensors.values()) * mine // len(keys)
            if number > batches_ahead + 2 and time.perf_counter() - started > seconds:
                took = time.perf_counter() - started
                return {
                    "samples_per_s": count / took,
                    "bytes_per_s": size / took,
                    "cpu_s_per_gb": (cpu_seconds() - cpu) / (size / 1e9),
                    "memory_bytes": watch.top,
                    "memory_kind": watch.kind,
                    "keys": len(set(names)),
                    "delivered": len(names),
                    "proof": found,
                }


def main(write: Callable[[Path, Path, str], None] | None, loader: Loader) -> None:
    """The command line of a contender's script."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    writing = commands.add_parser("write")
    writing.add_argument("source", type=Path)
    writing.add_argument("folder", type=Path)
    writing.add_argument("variant")
    reading = commands.add_parser("read")
    reading.add_argument("at")
    reading.add_argument("variant")
    reading.add_argument("mode", choices=("full", "crop"))
    reading.add_argument("workers", type=int)
    reading.add_argument("seconds", type=float)
    reading.add_argument("--batch", type=int, default=16)
    reading.add_argument("--keys", default="", help="whose tensors to hash, with commas between")
    args = parser.parse_args()
    if args.command == "write":
        if write is None:
            raise SystemExit("this contender's layout is written by the runner; run tests.benchmarks.streaming")
        write(args.source, args.folder, args.variant)
        return
    options = Options(args.at, args.variant, args.mode == "crop", args.workers, args.batch)
    ahead = 2 * max(1, args.workers) + 2
    wanted = {k for k in args.keys.split(",") if k}
    print(json.dumps(measure(loader(options), args.seconds, wanted, ahead)), flush=True)
    # No contender's way of stopping its workers is measured, and some take seconds. Python's own tracker stays: it frees
    # what shared memory a contender left.
    for process in _tree()[1:]:
        if not any("resource_tracker" in part for part in process.cmdline()):
            process.kill()
    os._exit(0)
