"""What mixing costs: datasets of three signatures in one loader, beside each of them alone, and beside plain arrays.

    python -m tests.benchmarks.mix [--samples 48] [--rounds 7] [--epoch 960] [--workers 0 1 2]

Real pixels as `streaming` has them (`CURATION_SHARED`), shards on disk and in the page cache. Each round reads, one after
another, as many batches of each dataset: by `open_shards`, the arrays alone; by `open_mix` of that one part; and by
`open_mix` of all three. Prints, of rates in samples per second and of CPU time of all processes, the median over rounds of
the ratio to the parts alone, and the extremes.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from torch.utils.data import DataLoader

from curation.stream import Part, open_mix, open_shards
from tests.benchmarks.streaming import layouts

BATCH = 16
PARTS = {"s1": "s1rtc_10m", "s2-10m": "s2l2a_10m", "s2-20m": "s2l2a_20m"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--epoch", type=int, default=960, help="samples of an epoch of the mix")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="curation-mix-") as folder:
        layouts.write_ours(Path(folder), asked.samples, "native", "lz4")
        for workers in asked.workers:
            _compare(folder, workers, asked.rounds, asked.epoch)


def _compare(folder: str, workers: int, rounds: int, epoch: int) -> None:
    each = epoch // len(PARTS)
    plain = [
        _loader(open_shards(folder, batch_size=BATCH, fields=[a], draw_seasons=1, shuffle=True), workers)
        for a in PARTS.values()
    ]
    alone = [_loader(_mixed(folder, [n], each), workers) for n in PARTS]
    mixed = [_loader(_mixed(folder, list(PARTS), epoch), workers)]
    found: dict[str, list[tuple[float, float]]] = {"open_shards, each alone": [], "each alone": [], "mixed": []}
    for number in range(rounds + 1):
        for name, loaders in zip(found, (plain, alone, mixed), strict=True):
            cost = _read(loaders, epoch // len(loaders))
            if number:  # the first starts workers and fills caches
                found[name].append(cost)
    print(f"{workers} workers")
    for name, costs in found.items():
        walls = [base[0] / cost[0] for base, cost in zip(found["each alone"], costs, strict=True)]
        cpus = [cost[1] / base[1] for base, cost in zip(found["each alone"], costs, strict=True)]
        rate = epoch / statistics.median(wall for wall, _ in costs)
        print(f"  {name}: {rate:.0f} samples/s, rate {_shown(walls)}, CPU {_shown(cpus)}")


def _shown(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


def _mixed(folder: str, names: list[str], samples: int) -> Any:
    parts = {n: Part(folder, [PARTS[n]]) for n in names}
    return open_mix(parts, batch_size=BATCH, resampled=True, epoch_samples=samples)


def _loader(dataset: Any, workers: int) -> DataLoader[Any]:
    return DataLoader(dataset, batch_size=None, num_workers=workers, persistent_workers=workers > 0)


def _read(loaders: list[DataLoader[Any]], samples: int) -> tuple[float, float]:
    """(seconds, CPU seconds of all processes) of so many samples of each loader."""
    with _cost() as spent:
        for loader in loaders:
            for _ in itertools.islice(_endless(loader), -(-samples // BATCH)):
                pass
    return spent[0], spent[1]


def _endless(loader: DataLoader[Any]) -> Iterator[Any]:
    while True:
        yield from loader


@contextmanager
def _cost() -> Iterator[list[float]]:
    spent: list[float] = []
    cpu, began = _cpu_s(), time.perf_counter()
    yield spent
    spent += [time.perf_counter() - began, _cpu_s() - cpu]


def _cpu_s() -> float:
    children = psutil.Process().children(recursive=True)
    return time.process_time() + sum(sum(p.cpu_times()[:2]) for p in children)


if __name__ == "__main__":
    main()
