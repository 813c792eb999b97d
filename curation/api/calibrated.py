"""What a build will take, reckoned by what a few of its patches took."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import defaultdict
from collections.abc import Sequence

from curation import pipeline
from curation.errors import CurationError
from curation.errors.words import counted
from curation.pipeline import Costs
from curation.places.regions import Region
from curation.recipe.catalogs import Catalogs
from curation.recipe.dataset import Dataset
from curation.report.estimate import Estimate, Estimates, size
from curation.store import full, paths
from curation.store.objects import Store
from curation.work.cluster import THREADS_PER_WORKER
from curation.work.run import Run

PATCHES = 10
"""So many are built of each season."""


def lines(
    dataset: Dataset,
    catalogs: Catalogs,
    asked: Sequence[Region],
    seasons: Sequence[str],
    estimates: Estimates,
    scheduler: str,
    workers: int | None,
    *,
    run_code: bool = False,
) -> list[str]:
    """Builds the first patches of each season of some regions into a temporary folder, and tells what all will take.

    Raises:
        UnaskedCodeError: the recipe names a model for a mask, and `run_code` is not said.
        CurationError: each of them failed.
    """
    with contextlib.ExitStack() as stack:
        with full.temporary():
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="curation-calibrate-"))
        run = Run(dataset, catalogs, Store(folder).child(dataset.name), None, PATCHES)
        costs, built = pipeline.calibrate(run, asked, seasons, run_code=run_code)
    tried, failed = sum(c.patches for c in costs.values()), sum(b.failed for b in built)
    causes = ", ".join(cause for b in built for cause in b.causes)
    if tried and failed == tried:
        raise CurationError(f"--calibrate: each of {counted(tried, 'patch')} that were built failed: {causes}")
    threads = {"none": 1, "local": (workers or os.cpu_count() or 1) * THREADS_PER_WORKER}.get(scheduler)
    where = ", ".join(r.name for r in asked)
    out = [f"Calibrated by {counted(tried, 'patch')} of {where}, built in this process into a temporary folder:"]
    out += [f"{failed} of them failed, and count as the others do: {causes}"] if failed else []
    return [*out, *said(estimates.cubes, costs, threads)]


def said(cubes: Sequence[Estimate], costs: Costs, threads: int | None) -> list[str]:
    """What cubes take whose patches take what was measured: requests and bytes by source, disk and hours. Pure.

    Args:
        cubes: what is to be built.
        costs: level and season → what patches of it took.
        threads: how many build at a time, where that is known.
    """
    requests, read = defaultdict[str, float](float), defaultdict[str, float](float)
    seconds = disk = patches = 0.0
    unknown = []
    for its in cubes:
        cost = costs.get((paths.level_of(its.region), its.season))
        if cost is None or not cost.patches:
            unknown += [f"{its.region}/{its.season}"] if its.todo else []
            continue
        times = its.todo / cost.patches
        patches += its.todo
        seconds += times * cost.seconds
        disk += times * cost.stored_bytes
        for source in cost.requests:
            requests[source] += times * cost.requests[source]
            read[source] += times * cost.read_bytes[source]
    out = [f"{source}: {requests[source]:,.0f} requests, {size(read[source])} read" for source in requests]
    total = f"{sum(requests.values()):,.0f} requests, {size(sum(read.values()))} read"
    out.append(f"all: {total}, {size(disk)} stored of {patches:,.0f} patches")
    hours = f"{seconds / 3600:,.2f} hours of one thread"
    if threads is not None and threads > 1:
        hours += f", {seconds / 3600 / threads:,.2f} of {threads}, where server and network give as much to each"
    out.append(hours)
    return [*out, *([f"not calibrated, and not among these: {', '.join(unknown)}"] if unknown else [])]
