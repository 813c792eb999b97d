"""From ten thousand patches to a million: `python -m tests.benchmarks.scale [PATCHES …]`, or `make bench-scale`.

For each number of patches, in a process of its own: a planet with as many places (four seasons each) and a snapshot of a
catalog are made; all searches are answered from the snapshot; all slabs are planned, scheduled on a local cluster, recorded
and committed as ever, only that reading is replaced by sleeping; then the ledgers are replayed. Told are times per patch
and per slab, and the highest memory of the client, which holds the scheduler too. The last line of the table is the ratio of
the largest run to the smallest: 1.0 means that a patch costs the same however many there are.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import multiprocessing
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil

from curation import pipeline
from curation.build import slab
from curation.build.context import SlabJob
from curation.build.slab import SlabReceipt
from curation.cubes import cube, selection
from curation.cubes.cube import Cube
from curation.cubes.facts import outcome_facts
from curation.outcomes import PatchOutcome, SourceOutcome, Status
from curation.places.locations import Locations
from curation.places.regions import from_bbox
from curation.recipe import catalogs
from curation.recipe.dataset import Dataset, load_dataset
from curation.scenes import candidates
from curation.scenes.saved import Searches
from curation.store.ledger import Ledger
from curation.store.objects import Store
from curation.store.records import SlabRecord, StoredObject
from curation.work import cluster
from curation.work.run import Run
from tests.benchmarks.scale import planet

SLEEP_S = 0.005
"""In place of reading a slab."""
SOME: dict[str, Any] = {"float32": 0.123456, "time": 1.6e9 + 1 / 3, "string": "descending", "uint8": 1, "int16": 44}
"""What is measured of a patch, by type of fact."""
T = TypeVar("T")


def slept(job: SlabJob) -> SlabReceipt:
    """What `build_slab` does but reading: scenes are chosen, facts are written, outcomes told."""
    started = time.perf_counter()
    here = Cube(job.dataset, job.region, job.season, Locations.of(job.locations))
    places = [p for p in job.locations if p.id in job.todo]
    searches = Searches(job.dataset, job.catalogs, job.store, job.searches)
    found = candidates.of_slab(job.dataset, searches, job.season, places)
    time.sleep(SLEEP_S)
    chunk = "0123456789abcdef" * 2
    outcomes = tuple(
        PatchOutcome(
            p.id,
            Status.OK,
            {n: SourceOutcome(Status.OK, scenes=tuple(s.id for s in its[p.id].scenes[:1])) for n, its in found.items()},
            dict.fromkeys(here.arrays, chunk),
        )
        for p in places
    )
    rows = [{f.name: SOME[f.type] for f in here.facts if not f.axis} | outcome_facts(o) for o in outcomes]
    receipts = job.store.publish_all(here.slab_objects(job.slab, {}, rows))
    hashed = tuple(dataclasses.replace(o, facts=its) for o, its in zip(outcomes, here.row_hashes(rows), strict=True))
    record = SlabRecord(job.slab, hashed, tuple(map(StoredObject.of, receipts)))
    return SlabReceipt(record, {r.key: r.etag for r in receipts}, time.perf_counter() - started, slab.peak_bytes())


def dataset_of(folder: Path, slab_patches: int) -> Dataset:
    """SSL4EO-S12-ML over the places of a file, in slabs of a size."""
    made = load_dataset("ssl4eo-s12-ml")
    own = {
        "places": {"sampler": "file", "file": "places.parquet", "regions": ["africa"]},
        "cube": {"slab_patches": slab_patches},
    }
    return Dataset(type(made.recipe).model_validate(made.recipe.model_dump() | own), made.specs, folder / "recipe.toml")


def timed(work: Callable[[], T]) -> tuple[T, float, float]:
    """What it gave, its seconds, and those of this process's CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    return work(), time.perf_counter() - wall, time.process_time() - cpu


@contextlib.contextmanager
def watched() -> Iterator[list[int]]:
    """This process's resident bytes, every half second while the block runs."""
    found, over = [psutil.Process().memory_info().rss], threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            found.append(psutil.Process().memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def measure(patches: int, slab_patches: int, root: Path, found: Any, *, only_search: bool = False) -> None:
    """Puts the figures of one run into the queue `found`."""
    dataset = dataset_of(root, slab_patches)
    seasons = dataset.season_names()
    count = max(patches // len(seasons) // planet.PLACES_PER_CITY, 1)
    # The planet is made by another process: its memory is not ours.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        locations = pool.apply(planet.write_places, (root / "places.parquet", count))
        (root / "items").mkdir()
        items = pool.apply(planet.write_snapshot, (root / "items", count, dataset))
    store = Store(root).child(dataset.name)
    catalog = catalogs.Catalogs(catalogs.resolve(str(root / "items")))
    region = from_bbox("-180,-80,180,80")
    out: dict[str, float] = {"patches": locations * len(seasons), "items": items}
    _, out["locate_s"], _ = timed(lambda: selection.locations(dataset, store, [region]))
    base = slab.peak_bytes()
    run = Run(dataset, catalog, store)
    _, out["search_s"], out["search_cpu_s"] = timed(lambda: pipeline.search(run, [region], seasons))
    out["search_mib"] = (slab.peak_bytes() - base) / 2**20
    if only_search:
        found.put(out)
        return
    with cluster.connect("local", workers=2) as client:
        run = Run(dataset, catalog, store, client)
        with watched() as resident:
            built, out["build_s"], out["build_cpu_s"] = timed(
                lambda: pipeline.build(run, [region], seasons, work=slept)
            )
    for share in (0.25, 0.5, 1):
        out[f"client_mib_{share:g}"] = resident[int(share * (len(resident) - 1))] / 2**20
    out["worker_mib"] = max(b.worker_bytes for b in built) / 2**20
    places = selection.locations(dataset, store, [region])
    slabs = [cube.cube_of(dataset, r, s, its).slabs for r, its in places.items() for s in seasons]
    out["slabs"] = sum(slabs)
    out["objects"] = sum(1 for _ in store.list("cubes"))
    ledgers, out["replay_s"], _ = timed(lambda: [Ledger.replay(store, region.name, s) for s in seasons])
    out["ledger_mb"] = sum(s.size for s in store.list("ledger")) / 1e6
    out["segments"] = sum(its.segments for its in ledgers)
    assert sum(its.counts(its.lines)["ok"] for its in ledgers) == out["patches"]
    found.put(out)


ROWS = {
    "patches": ("patches", lambda f: f["patches"]),
    "slabs": ("slabs", lambda f: f["slabs"]),
    "locate, µs per place": ("locate_s", lambda f: 4e6 * f["locate_s"] / f["patches"]),
    "search, µs per patch": ("search", lambda f: 1e6 * f["search_s"] / f["patches"]),
    "search, memory added, MiB": ("search_mib", lambda f: f["search_mib"]),
    "build, client CPU, µs per patch": ("cpu", lambda f: 1e6 * f["build_cpu_s"] / f["patches"]),
    "build, client CPU, ms per slab": ("cpu", lambda f: 1e3 * f["build_cpu_s"] / f["slabs"]),
    "objects of cubes without pixels, per slab": ("objects", lambda f: f["objects"] / f["slabs"]),
    "build, wall, µs per patch": ("wall", lambda f: 1e6 * f["build_s"] / f["patches"]),
    "client and scheduler after a quarter, MiB": ("client", lambda f: f["client_mib_0.25"]),
    "client and scheduler half-way, MiB": ("client", lambda f: f["client_mib_0.5"]),
    "client and scheduler at the end, MiB": ("client", lambda f: f["client_mib_1"]),
    "a worker, MiB": ("worker", lambda f: f["worker_mib"]),
    "ledger, bytes per patch": ("bytes", lambda f: 1e6 * f["ledger_mb"] / f["patches"]),
    "replay, µs per patch": ("replay", lambda f: 1e6 * f["replay_s"] / f["patches"]),
    "replay, s": ("replay", lambda f: f["replay_s"]),
}


FIRST = ("patches", "locate, µs per place", "search, µs per patch", "search, memory added, MiB")
"""What is known without a build."""


def table(runs: list[dict[str, float]]) -> str:
    """A line per figure, a column per run, and the ratio of the last to the first."""
    lines = []
    for name, (_, figure) in ROWS.items():
        if name not in FIRST and "build_s" not in runs[0]:
            continue
        values = [figure(f) for f in runs]
        cells = [f"{v:,.0f}" if v >= 100 else f"{v:.2f}" for v in values]
        lines.append([name, *cells, f"{values[-1] / values[0]:.2f}" if values[0] else ""])
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
    return "\n".join(
        "  ".join(c.rjust(w) if n else c.ljust(w) for n, (c, w) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    )


def main() -> None:
    """Runs each size and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patches", nargs="*", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--slab-patches", type=int, default=64, help="patches per slab (64)")
    parser.add_argument("--only-search", action="store_true", help="build nothing")
    parser.add_argument("--root", type=Path, default=Path("/dev/shm"), help="a folder, best in memory (/dev/shm)")
    parser.add_argument("--json", type=Path, help="also write all figures there")
    args = parser.parse_args()
    root = args.root if args.root.is_dir() else None
    runs = []
    for patches in args.patches:
        folder = Path(tempfile.mkdtemp(dir=root, prefix="curation-scale-"))
        try:
            queue: Any = multiprocessing.get_context("spawn").Queue()
            process = multiprocessing.get_context("spawn").Process(
                target=measure,
                args=(patches, args.slab_patches, folder, queue),
                kwargs={"only_search": args.only_search},
            )
            process.start()
            while process.is_alive() and queue.empty():
                time.sleep(1)
            if queue.empty():
                sys.exit(f"{patches} patches: failed")
            runs.append(queue.get())
            process.join()
        finally:
            shutil.rmtree(folder)
        print(json.dumps(runs[-1]), file=sys.stderr)
    if args.json:
        args.json.write_text(json.dumps(runs, indent=1))
    slept_ms = 1000 * SLEEP_S
    print(f"{psutil.cpu_count()} cores, slabs of {args.slab_patches} patches, {slept_ms:g} ms of sleep for reading one")
    print(table(runs))
