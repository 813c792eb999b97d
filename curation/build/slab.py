"""One slab: scenes in, pixels and facts out, published and hashed. Runs on a worker.

Masks are read first, bands only of scenes that won. A patch stores all of its sources or none.
"""

from __future__ import annotations

import dataclasses
import logging
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from curation.build import masks
from curation.build.context import Reading, Slab, SlabJob, Source
from curation.build.patch import build_patch
from curation.cubes import facts, zarrshard
from curation.cubes.chunks import chunk_hash, joined_hashes
from curation.cubes.cube import Cube
from curation.errors import DamageError
from curation.outcomes import SETTLED, PatchOutcome, Status
from curation.places.locations import Locations
from curation.read.reader import Read, Reader
from curation.read.swath import Swaths
from curation.recipe.dataset import Dataset
from curation.recipe.masked import MaskedSource
from curation.recipe.sources import SourceSpec
from curation.scenes import candidates
from curation.scenes.candidates import Candidates
from curation.scenes.saved import Searches
from curation.store.objects import Store
from curation.store.records import SlabRecord, StoredObject, again
from curation.store.stat import Receipt

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SlabReceipt:
    """What a worker did."""

    record: SlabRecord
    etags: dict[str, str]
    """Key → the store's mark of this very writing."""
    seconds: float
    worker_bytes: int
    """Highest resident memory of the worker's process so far."""


def build_slab(job: SlabJob) -> SlabReceipt:
    """Builds the patches of `job.todo`, keeps those committed before byte for byte, and publishes the slab.

    Raises:
        CurationError: a search that it needs failed.
        DamageError: what was committed before is not there any more, or is another.
    """
    started = time.perf_counter()
    if job.unsearched is not None:
        raise job.unsearched
    # Only this slab's locations: schema and keys follow from the recipe and the slab's number.
    cube = Cube(job.dataset, job.region, job.season, Locations.of(job.locations))
    chunks, rows, outcomes = _settled_before(job, cube)
    ahead_bytes, folders = job.dataset.recipe.fetch.ahead_mb * 10**6, job.dataset.local_folders()
    with (
        Reader(job.catalogs.default.base, ahead_bytes, job.per_host, folders) as reader,
        Swaths(job.catalogs.default.base, ahead_bytes, per_host=job.per_host, folders=folders) as swaths,
    ):
        slab = _slab(job, reader, swaths, cube)
        slots = {p.id: slot for slot, p in enumerate(job.locations)}
        for patch, outcome in _together(reader, [build_patch(slab, p) for p in job.locations if p.id in job.todo]):
            location, hashes = patch.location, {}
            slot = slots[location.id]
            if outcome.status is Status.OK:
                its = {name: [cube.encode(name, pixels)] for name, pixels in patch.pixels.items()} | patch.packed
                for name, of in its.items():
                    hashes[name] = joined_hashes([chunk_hash(chunk) for chunk in of])
                    chunks[name] |= dict(zip(cube.hashes_by_place(name, slot, hashes[name]), of, strict=True))
            outcome = dataclasses.replace(outcome, chunks=hashes)
            outcomes[location.id] = outcome
            rows[slot] = patch.facts | facts.outcome_facts(outcome)
            log.debug("%s/%s/%s: %s", job.folder, job.season, location.id, outcome.reason)
    hashed = zip(job.locations, cube.row_hashes(rows), strict=True)
    decided = [dataclasses.replace(outcomes[p.id], facts=found) for p, found in hashed if p.id in outcomes]
    receipts = job.store.publish_all(cube.slab_objects(job.slab, chunks, rows))
    record = SlabRecord(
        job.slab,
        tuple(decided),
        tuple(map(StoredObject.of, receipts)),
        _excluded_ids(slab, job.prior),
    )
    return SlabReceipt(record, _etags(receipts), time.perf_counter() - started, peak_bytes())


def prepare(dataset: Dataset, store: Store) -> None:
    """Lays what slabs need beside scenes where workers find it: models that say masks. Raises as `masks.publish` does."""
    for level in dataset.levels:
        for spec in level.specs.values():
            masks.publish(store, spec, level.recipe.grid.size)


def _slab(job: SlabJob, reader: Reader, swaths: Swaths, cube: Cube) -> Slab:
    """All that the slab's patches are built from: the one place that climbs to recipe, catalog and searches."""
    dataset, recipe = job.dataset, job.dataset.recipe
    found = candidates_of(job)
    sources, judges = (
        [_source(job, spec, found[spec.name]) for spec in specs]
        for specs in (dataset.sources(job.season), dataset.judges(job.season))
    )
    excluded = frozenset(recipe.search.exclude)
    return Slab(
        job.folder,
        job.season,
        tuple(sources),
        recipe.quality,
        excluded,
        reader,
        swaths,
        job.searches,
        cube.encode,
        tuple(judges),
    )


def candidates_of(job: SlabJob) -> dict[str, dict[str, Candidates]]:
    """Source → location → what each patch that is to be built may use, by the saved searches."""
    places = [p for p in job.locations if p.id in job.todo]
    searches = Searches(job.dataset, job.catalogs, job.store, job.searches)
    return candidates.of_slab(job.dataset, searches, job.season, places)


def _source(job: SlabJob, spec: SourceSpec, found: dict[str, Candidates]) -> Source:
    dataset, use = job.dataset, job.dataset.recipe.sources[spec.name]
    model = masks.model_of(job.store, spec, dataset.recipe.grid.size) if isinstance(spec, MaskedSource) else None
    return Source(
        spec,
        dataset.read[spec.name],
        job.catalogs.form_of(spec),
        job.catalogs.of(spec.name).base,
        job.catalogs.of(spec.name).access_of(spec),
        found,
        dataset.min_valid(spec.name),
        use.required,
        dataset.shift_of(spec.name),
        use.relief == "correct",
        model,
    )


def _excluded_ids(slab: Slab, prior: SlabRecord | None) -> tuple[str, ...]:
    """Ids of the slab's candidates that the recipe excludes, or excluded when patches were built that are kept."""
    every = {s.id for source in slab.sources for found in source.found.values() for s in found.scenes}
    return tuple(sorted((slab.excluded & every).union(prior.excluded if prior else ())))


def _etags(receipts: Sequence[Receipt]) -> dict[str, str]:
    return {r.key: r.etag for r in receipts}


def peak_bytes() -> int:
    """Highest resident set of this process."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: it survives exec, so that a worker would report what the process that started it once had.
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _settled_before(
    job: SlabJob, cube: Cube
) -> tuple[dict[str, dict[int, bytes]], list[dict[str, Any]], dict[str, PatchOutcome]]:
    """What was committed before and is not built again: chunks, facts and outcomes, each proven by the ledger's hash of it.

    What is written again is recorded again: what was damaged meanwhile would from then on be what is right.

    Raises:
        DamageError: a committed chunk or row of facts is missing or changed.
    """
    chunks: dict[str, dict[int, bytes]] = {name: {} for name in cube.arrays}
    rows: list[dict[str, Any]] = [{} for _ in job.locations]
    if job.prior is None:
        return chunks, rows, {}
    outcomes = {p.id: p for p in job.prior.patches if p.id not in job.todo}
    slots = {p.id: slot for slot, p in enumerate(job.locations)}
    ids = [p.id for p in job.locations]
    before = cube.proven_facts(job.store, job.prior, ids) if job.prior.objects else rows
    for outcome in outcomes.values():
        # One that failed may have a row that a stopped build wrote since, which is not known.
        known = {} if outcome.status in SETTLED else facts.outcome_facts(outcome)
        rows[slots[outcome.id]] = before[slots[outcome.id]] | known
    for name in cube.arrays:
        mine = [p for p in outcomes.values() if name in p.chunks]
        wanted = {n: h for p in mine for n, h in cube.hashes_by_place(name, slots[p.id], p.chunks[name]).items()}
        if not wanted:
            continue
        key = cube.array_key(name, job.slab)
        try:
            stored = zarrshard.parse(job.store.get(key), cube.slab_chunks(name), job.store.where(key))
        except DamageError as err:
            raise DamageError(f"{err}: {again(key)}") from err
        except FileNotFoundError as err:
            raise DamageError(f"{job.store.where(key)}: is recorded but not there: {again(key)}") from err
        for slot, expected in wanted.items():
            if slot not in stored or chunk_hash(stored[slot]) != expected:
                found = chunk_hash(stored[slot]) if slot in stored else "no chunk"
                raise DamageError(
                    f"{job.store.where(key)} slot {slot}: holds {found}, recorded was {expected}: {again(key)}"
                )
            chunks[name][slot] = stored[slot]
    return chunks, rows, outcomes


def _together(reader: Reader, works: Sequence[Reading[T]]) -> Iterator[T]:
    """What each work comes to. What they want to read next is fetched for as many of them as have room, together."""
    begun: list[tuple[Reading[T], list[Read]]] = [(work, []) for work in works]
    while begun:
        later = []
        while begun:
            count = reader.prefetch([wants for _, wants in begun])
            for work, _ in begun[:count]:
                try:
                    later.append((work, next(work)))
                except StopIteration as done:
                    yield done.value
            begun = begun[count:]
        begun = later
