"""Figures of the main job on the embedded Earth: `python -m tests.benchmarks.main_job [PLACES]`.

Prints, from one run on this machine: patches per second with one process and with a cluster, and their ratio; a worker's
highest memory beside its limit; the scheduler's cost per slab beside the time a slab takes; and how fast the shards are
streamed beside what stock webdataset does with them. Absolute numbers mean little on a shared machine; ratios more.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import webdataset
from torch.utils.data import DataLoader

from curation import embedded, pipeline
from curation.cubes import selection
from curation.recipe import catalogs
from curation.recipe.dataset import load_dataset
from curation.store.objects import Store
from curation.stream.decode import decoder
from curation.stream.open import open_shards
from curation.work import cluster
from curation.work.run import Run

WORKER_LIMIT_MIB = 1536
EPOCHS = 6


def nothing(number: int) -> int:
    """A slab that costs nothing: what is left is the scheduler's own cost."""
    return number


def timed(work: Iterator[object]) -> tuple[int, float]:
    """How many things came, and in how many seconds."""
    started = time.perf_counter()
    return sum(1 for _ in work), time.perf_counter() - started


def rate(loader: Iterable[Any]) -> float:
    """Samples per second over some epochs, after one that is not counted."""
    counts = []
    for epoch in range(EPOCHS + 1):
        if epoch == 1:
            started = time.perf_counter()
        counts.append(sum(len(b["key"]) if "key" in b else 1 for b in loader))
    return sum(counts[1:]) / (time.perf_counter() - started)


def main(places: int) -> None:
    """Builds `places` per region twice and prints what it took."""
    dataset = load_dataset("ssl4eo-s12-ml")
    with tempfile.TemporaryDirectory() as folder, embedded.serve() as url:
        catalog = catalogs.Catalogs(catalogs.resolve("embedded", served_at=url))
        regions = selection.asked_regions(dataset, catalog, "all")
        seasons = selection.asked_seasons(dataset, "all")
        rates = {}
        for round_, scheduler in enumerate(("none", "none", "local")):  # the first round renders the Earth: not counted
            store = Store(Path(folder) / str(round_)).child(dataset.name)
            selection.locations(dataset, store, regions)
            with cluster.connect(scheduler) as client:
                run = Run(dataset, catalog, store, client, limit=places)
                started = time.perf_counter()
                built = pipeline.build(run, regions, seasons)
                rates[scheduler] = sum(b.built for b in built) / (time.perf_counter() - started)
                if client is not None:
                    count, seconds = timed(p for batch in cluster.stream(client, nothing, range(2000)) for p in batch)
                    overhead_ms = 1000 * seconds / count
        slab_s = sum(b.seconds for b in built) / max(1, sum(b.built for b in built)) * dataset.recipe.cube.slab_patches
        memory = max(b.worker_bytes for b in built) / 2**20
        pipeline.pack(Run(dataset, catalog, store), regions)
        gain, share = rates["local"] / rates["none"], memory / WORKER_LIMIT_MIB
        cost = overhead_ms / 1000 / slab_s
        print(f"build, one process        {rates['none']:6.1f} patches/s")
        print(f"build, local cluster      {rates['local']:6.1f} patches/s, {gain:.2f} times one process")
        print(f"a worker's highest memory {memory:6.0f} MiB, {share:.2f} of the limit of {WORKER_LIMIT_MIB}")
        print(f"scheduler per slab        {overhead_ms:6.1f} ms, {cost:.5f} of a slab's {slab_s:.1f} s")
        tars = [str(p) for p in sorted((Path(folder) / "2" / dataset.name / "shards" / "train").glob("*.tar"))]
        split = open_shards(f"{folder}/2/{dataset.name}", "train", batch_size=8)
        for workers in (0, 2):
            keep = workers > 0
            ours = rate(DataLoader(split, batch_size=None, num_workers=workers, persistent_workers=keep))
            plain = webdataset.WebDataset(tars, shardshuffle=False, empty_check=False).decode(decoder)
            stock = rate(webdataset.WebLoader(plain, batch_size=None, num_workers=workers, persistent_workers=keep))
            gain = ours / stock
            print(f"stream, {workers} workers         {ours:6.0f} samples/s, {gain:.1f} times stock webdataset")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 16)
