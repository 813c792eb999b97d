"""Builds from COGs in a folder, on one worker and on two: nothing is served, so that both cores build."""

from __future__ import annotations

import hashlib
import json
import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation import embedded, pipeline
from curation.cubes import selection
from curation.embedded.service.server import default_cache
from curation.recipe import catalogs
from curation.recipe.catalogs import Catalogs
from curation.recipe.dataset import Dataset, load_dataset
from curation.store.objects import Store
from curation.work import cluster
from curation.work.run import Run
from tests.benchmarks import cores, machine
from tests.benchmarks.builds import job, layers, sampler
from tests.benchmarks.builds.sampler import Profile

LOOK_S = 0.1
AT_WORK = 0.25
"""Share of a core from which on a worker is said to be at work while it is looked at."""


def laid_out(folder: Path, dataset: Dataset, places: int, regions: str) -> Path:
    """An ItemCollection beside the Earth's files, all that a build of these places reads among them.

    The Earth renders a file when it is first asked for: so that many places are built once from its server.
    """
    with embedded.serve() as url:
        served = Catalogs(catalogs.resolve("embedded", served_at=url))
        store = Store(folder / "rendering").child(dataset.name)
        asked = selection.asked_regions(dataset, served, regions)
        selection.locations(dataset, store, asked)
        pipeline.build(Run(dataset, served, store, None, limit=places), asked, selection.asked_seasons(dataset, "all"))
        forms = [served.form_of(spec) for spec in dataset.specs.values()]
        items = _items(url, sorted({form.collection for form in forms if form is not None}))
    root = f"{url.rpartition('/')[0]}/"
    (folder / "archive").symlink_to(default_cache() / "archive")
    file = folder / "items.json"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": items}).replace(root, ""))
    return file


def _items(url: str, collections: Sequence[str]) -> list[dict[str, Any]]:
    """All items of an API's collections."""
    found: list[dict[str, Any]] = []
    link: str | None = f"{url}/search?limit=500&collections={','.join(collections)}"
    while link:
        with urllib.request.urlopen(link) as answer:
            page = json.load(answer)
        found += page["features"]
        link = next((its["href"] for its in page["links"] if its["rel"] == "next"), None)
    return found


@dataclass(frozen=True, slots=True)
class Round:
    """One build of all."""

    patches: int
    wall_s: float
    worker_s: list[float]
    """CPU of each worker while it built."""
    client: Profile
    busy_s: list[float]
    """Seconds in which none, one, two … workers were at work."""


class _Busy:
    """How many of some processes are at work, looked at now and then."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids, self._ended = pids, threading.Event()
        self.busy_s = [0.0] * (len(pids) + 1)
        self._thread = threading.Thread(target=self._run, name="busy", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        before, at = [cores.cpu_s([p]) for p in self._pids], time.perf_counter()
        while not self._ended.wait(LOOK_S):
            used, now = [cores.cpu_s([p]) for p in self._pids], time.perf_counter()
            self.busy_s[sum(b - a > AT_WORK * LOOK_S for a, b in zip(before, used, strict=True))] += now - at
            before, at = used, now

    def stop(self) -> None:
        """Ends."""
        self._ended.set()
        self._thread.join()


def built(dataset: Dataset, catalog: Catalogs, root: Path, places: int, regions: str, workers: int) -> Round:
    """Builds with a new cluster, whose start is not counted, as that of a machine's that stands is not."""
    store = Store(root).child(dataset.name)
    asked, seasons = selection.asked_regions(dataset, catalog, regions), selection.asked_seasons(dataset, "all")
    selection.locations(dataset, store, asked)
    with cluster.connect("local", workers=workers) as client:
        assert client is not None
        client.run(job.loaded)
        pids = list(client.run(job.pid).values())
        before, mine, busy = [cores.cpu_s([p]) for p in pids], sampler.Sampler(0.05), _Busy(pids)
        mine.start()
        began = time.perf_counter()
        run = Run(dataset, catalog, store, client, limit=places)
        patches = sum(b.built for b in pipeline.build(run, asked, seasons))
        wall_s = time.perf_counter() - began
        profile = mine.stop()
        busy.stop()
        return Round(
            patches,
            wall_s,
            [cores.cpu_s([p]) - b for p, b in zip(pids, before, strict=True)],
            profile,
            busy.busy_s,
        )


def main(dataset_name: str, places: int, regions: str, rounds: int) -> None:
    """Prints what each number of workers took, and what two come to where each has a core."""
    dataset = load_dataset(dataset_name)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        catalog = Catalogs(catalogs.resolve(f"planetary-computer+{laid_out(folder, dataset, places, regions)}"))
        found: dict[int, list[Round]] = {1: [], 2: []}
        hashes = set()
        for number in range(rounds):
            for workers in (1, 2) if number % 2 else (2, 1):
                root = folder / f"{number}-{workers}"
                found[workers].append(built(dataset, catalog, root, places, regions, workers))
                hashes.add(_hash(root))
    alike = "all cubes alike" if len(hashes) == 1 else "CUBES DIFFER"
    print(f"\n{found[1][0].patches} patches, {rounds} rounds, {alike}\n")
    for workers, its in found.items():
        job.table(f"{workers} of workers", _rows(its))
        print()
    _told_of_two(found)
    job.table("the client with one worker, Dask's threads among it: CPU ms a patch", _of_client(found[1][0]))
    print(f"\n{machine.told(Path(__file__))}")


def _of_client(its: Round) -> dict[str, str]:
    return layers.per_patch(its.client, its.patches)


def _rows(its: Sequence[Round]) -> dict[str, str]:
    n = its[0].patches
    of_dask = [job.dask_s(r.client) for r in its]
    of_client = [r.client.cpu_s - r.client.looking_s - dask for r, dask in zip(its, of_dask, strict=True)]
    busy = {f"s with {k} of them at work": [r.busy_s[k] for r in its] for k in range(len(its[0].busy_s))}
    return {
        "patches/s": machine.spread([n / r.wall_s for r in its], ".1f"),
        "CPU ms a patch of workers": machine.spread([1000 * sum(r.worker_s) / n for r in its], ".1f"),
        "of the client": machine.spread([1000 * s / n for s in of_client], ".1f"),
        "of scheduler and nanny": machine.spread([1000 * s / n for s in of_dask], ".1f"),
        "share of the busiest worker": machine.spread([max(r.worker_s) / sum(r.worker_s) for r in its], ".2f"),
    } | {name: machine.spread(s, ".1f") for name, s in busy.items()}


def _told_of_two(found: dict[int, list[Round]]) -> None:
    """By CPU: that of two workers over one's, and what remains where a core each had nothing else to do."""
    one, two = (statistics.median(sum(r.worker_s) for r in found[n]) for n in (1, 2))
    busiest = statistics.median(max(r.worker_s) for r in found[2])
    client = statistics.median(r.client.cpu_s - r.client.looking_s for r in found[2])
    wall = statistics.median(r.wall_s for r in found[1]) / statistics.median(r.wall_s for r in found[2])
    shared = (one + client) / max(busiest, (two + client) / 2)
    print(
        f"Two workers took {two / one:.2f} of one's CPU, the busier {busiest:.1f} of {two:.1f} s. By that, two do "
        f"{one / busiest:.2f} times what one does, each on a core of its own, the client ({client:.1f} s) on a third; on "
        f"two cores at most {shared:.2f} times what all did on one. By wall, as busy as the machine was: {wall:.2f}.\n"
    )


def _hash(root: Path) -> str:
    """Of all that cubes hold."""
    its = hashlib.sha256()
    for file in sorted(p for p in root.rglob("*") if p.is_file() and "cubes" in p.parts):
        its.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    return its.hexdigest()
