"""The main job on the embedded Earth, its server on a core of its own: rates, CPU by process, where the worker's goes."""

from __future__ import annotations

import contextlib
import importlib
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from curation import embedded, pipeline
from curation.cubes import selection
from curation.recipe import catalogs
from curation.recipe.dataset import load_dataset
from curation.store.objects import Store
from curation.work import cluster
from curation.work.run import Run
from tests.benchmarks import cores, machine
from tests.benchmarks.builds import layers, sampler
from tests.benchmarks.builds.sampler import Profile

DASK = "scheduler and nanny"
PROCESSES = ("worker", "client", DASK, "server")

OF_DASK = ("IO loop", "Dask-", "TaskStream", "AsyncProcess", "Nanny")
"""What threads of a client's process are called that are Dask's: scheduler, nanny, connections."""


@dataclass(frozen=True, slots=True)
class Round:
    """One build of all."""

    patches: int
    wall_s: float
    cpu_s: dict[str, float]
    """By process; of the client's those of Dask's threads apart."""
    worker: Profile
    """Empty where nobody looked."""
    client: Profile


def built(run: Run, regions: str, *, look: bool) -> Round:
    """Builds, and counts what that takes."""
    client = run.client
    assert client is not None
    asked, seasons = (
        selection.asked_regions(run.dataset, run.catalogs, regions),
        selection.asked_seasons(run.dataset, "all"),
    )
    selection.locations(run.dataset, run.store, asked)
    pids = {"worker": list(client.run(pid).values()), "server": cores.servers()}
    before = {name: cores.cpu_s(its) for name, its in pids.items()}
    if look:
        client.run(sampler.begin)
    mine = sampler.Sampler(0.05)
    mine.start()
    began = time.perf_counter()
    patches = sum(b.built for b in pipeline.build(run, asked, seasons))
    wall_s = time.perf_counter() - began
    here, worker = mine.stop(), Profile()
    if look:
        for its in client.run(sampler.end).values():
            worker.add(its)
    cpu_s = {name: cores.cpu_s(its) - before[name] for name, its in pids.items()}
    dask = dask_s(here)
    cpu_s |= {"client": here.cpu_s - here.looking_s - dask, DASK: dask}
    return Round(patches, wall_s, cpu_s, worker, here)


def dask_s(client: Profile) -> float:
    """CPU seconds of Dask's threads in a client's process."""
    return sum(s for name, s in client.by_thread.items() if name.startswith(OF_DASK))


def pid() -> int:
    """Of the process that runs it: for `Client.run`."""
    return os.getpid()


def loaded() -> None:
    """Imports what building takes: for `Client.run`."""
    importlib.import_module("curation.pipeline")


def rounds(dataset_name: str, places: int, regions: str) -> list[Round]:
    """Three builds: one that renders the Earth where it is not yet, one that is counted, one that is looked into."""
    dataset = load_dataset(dataset_name)
    served, working = cores.halves()
    out = []
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        with cores.on(served):
            url = stack.enter_context(embedded.serve())
        catalog = catalogs.Catalogs(catalogs.resolve("embedded", served_at=url))
        with cores.on(working):
            client = stack.enter_context(cluster.connect("local", workers=1))
        cores.move(served)  # the worker stays
        for number in range(3):
            store = Store(Path(folder) / str(number)).child(dataset.name)
            out.append(built(Run(dataset, catalog, store, client, limit=places), regions, look=number == 2))
    return out


def main(dataset_name: str, places: int, regions: str) -> None:
    """Prints what a patch takes of each process, and where the worker's part goes."""
    _, counted, seen = rounds(dataset_name, places, regions)
    n, cpu_s = counted.patches, counted.cpu_s
    print(f"\n{n} patches in {counted.wall_s:.1f} s: {n / counted.wall_s:.1f} patches/s\n")
    table("CPU ms a patch", {name: f"{1000 * cpu_s[name] / n:.1f}" for name in PROCESSES})
    share = cpu_s[DASK] / (sum(cpu_s.values()) - cpu_s["server"])
    print(f"\nDask's threads beside the worker: {100 * share:.1f} % of all but the server's.\n")
    its = seen.worker
    print(f"The worker was looked at {its.looks} times, which took {its.looking_s:.1f} of its {its.cpu_s:.1f} s.\n")
    table("the worker: share of its CPU", percent(layers.shares(its)))
    print()
    table("functions of this program, with what they call of others", percent(layers.functions(its, 15)))
    print()
    table("the client, Dask's threads among it: CPU ms a patch", layers.per_patch(counted.client, n))
    print(f"\nThreads that built, {its.tasks_s:.1f} s of them, were at work {_of(its, its.tasks_cpu_s)}, had no core "
          f"{_of(its, its.tasks_queued_s)} and waited {_of(its, its.waiting.total())}:\n")  # fmt: skip
    table("waited in", {f"`{p.file}: {p.function}`": _of(its, s) for p, s in its.waiting.most_common(6)})
    print(f"\n{machine.told(Path(__file__))}")


def _of(its: Profile, seconds: float) -> str:
    return f"{100 * seconds / its.tasks_s:.1f} %"


def percent(shares: Sequence[tuple[str, float]]) -> dict[str, str]:
    """Those of half a percent and more, for a table."""
    return {name: f"{100 * share:.1f} %" for name, share in shares if share >= 0.005}


def table(head: str, rows: Mapping[str, str]) -> None:
    """Prints two columns."""
    print(f"| {head} | |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")
