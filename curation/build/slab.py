"""One slab: scenes in, pixels and facts out, published and hashed. Runs on a worker.

Masks are read first, bands only of scenes that won. A patch stores all of its sources or none; one that stood before its
cube was given more sources, and of which one of these failed, keeps what it had until that one is tried again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from curation.build import before, masks
from curation.build.context import Patch, Reading, Slab, SlabJob, Source, StandingPatch
from curation.build.patch import build_patch
from curation.cubes import facts, zarrshard
from curation.cubes.chunks import chunk_hash, joined_hashes
from curation.cubes.cube import Cube
from curation.outcomes import PatchOutcome
from curation.places.locations import Locations
from curation.read.heads import Heads
from curation.read.reader import Read, Reader
from curation.read.swath import Swaths
from curation.recipe.dataset import Dataset
from curation.recipe.masked import MaskedSource
from curation.recipe.sources import SourceSpec
from curation.scenes import candidates
from curation.scenes.candidates import Candidates
from curation.scenes.saved import Searches
from curation.store.objects import Store
from curation.store.records import SlabRecord, StoredObject
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
    found = before.read(job, cube)
    chunks, rows, outcomes = found.chunks, found.rows, found.outcomes
    heads = _heads(job)
    with _readers(job, heads) as (reader, swaths):
        slab = _slab(job, reader, swaths, cube, found.standing)
        slots = {p.id: slot for slot, p in enumerate(job.locations)}
        for patch, outcome in _together(reader, [build_patch(slab, p) for p in job.locations if p.id in job.todo]):
            location, hashes = patch.location, {}
            slot = slots[location.id]
            fresh = {n: [cube.encode(n, pixels)] for n, pixels in patch.pixels.items() if n not in patch.packed}
            for name, of in (fresh | patch.packed).items():
                hashes[name] = joined_hashes([chunk_hash(chunk) for chunk in of])
                chunks[name] |= dict(zip(cube.hashes_by_place(name, slot, hashes[name]), of, strict=True))
            outcome = dataclasses.replace(outcome, chunks=hashes)
            outcomes[location.id] = outcome
            rows[slot] = patch.facts | facts.outcome_facts(outcome)
            log.debug("%s/%s/%s: %s", job.folder, job.season, location.id, outcome.reason)
    heads.publish()
    hashed = zip(job.locations, cube.row_hashes(rows), strict=True)
    decided = [dataclasses.replace(outcomes[p.id], facts=found) for p, found in hashed if p.id in outcomes]
    objects = cube.slab_objects(job.slab, chunks, rows) | _emptied(job, cube, chunks)
    receipts = _published(job.store, objects, found.objects)
    record = SlabRecord(
        job.slab,
        tuple(decided),
        tuple(map(StoredObject.of, receipts)),
        _excluded_ids(slab, job.prior),
        tuple(s.name for s in cube.sources),
    )
    return SlabReceipt(record, _etags(receipts), time.perf_counter() - started, peak_bytes())


def _heads(job: SlabJob) -> Heads:
    """Heads of scenes' files that the dataset keeps, wherever its catalogs are asked by now."""
    return Heads(job.store, {c.base: c.identity for c in job.catalogs.every if "://" in c.base})


@contextlib.contextmanager
def _readers(job: SlabJob, heads: Heads) -> Iterator[tuple[Reader, Swaths]]:
    """What reads a job's files."""
    ahead_bytes, folders = job.dataset.recipe.fetch.ahead_mb * 10**6, job.dataset.local_folders()
    with (
        Reader(job.catalogs.default.base, ahead_bytes, job.per_host, folders, heads) as reader,
        Swaths(job.catalogs.default.base, ahead_bytes, per_host=job.per_host, folders=folders) as swaths,
    ):
        yield reader, swaths


def tried(job: SlabJob) -> Iterator[tuple[Patch, PatchOutcome]]:
    """What the patches of a job come to, as a build has them; nothing is stored."""
    cube = Cube(job.dataset, job.region, job.season, Locations.of(job.locations))
    with _readers(job, _heads(job)) as (reader, swaths):
        slab = _slab(job, reader, swaths, cube, {})
        yield from _together(reader, [build_patch(slab, p) for p in job.locations if p.id in job.todo])


def _emptied(job: SlabJob, cube: Cube, chunks: Mapping[str, Mapping[int, bytes]]) -> dict[str, bytes]:
    """Shards without a chunk in place of those that were recorded and are wanted no more: of nothing else would they be."""
    before_keys = {o.key for o in job.prior.objects} if job.prior else set()
    names = {cube.array_key(name, job.slab): name for name, its in chunks.items() if not its}
    return {key: zarrshard.assemble({}, cube.slab_chunks(name)) for key, name in names.items() if key in before_keys}


def _published(store: Store, objects: Mapping[str, bytes], stored: Mapping[str, Receipt]) -> list[Receipt]:
    """Publishes a slab's objects; those that are stored just so are left as they are. Receipts of all."""
    same = {
        k: its for k, its in stored.items() if k in objects and hashlib.sha256(objects[k]).hexdigest() == its.sha256
    }
    made = store.publish_all({k: data for k, data in objects.items() if k not in same})
    receipts = {r.key: r for r in made} | same
    return [receipts[key] for key in objects]


def prepare(dataset: Dataset, store: Store) -> None:
    """Lays what slabs need beside scenes where workers find it: models that say masks.

    Raises as `masks.publish` does, and as `Pick.check_reach`.
    """
    for level in dataset.levels:
        for spec in level.specs.values():
            spec.pick.check_reach()
            masks.publish(store, spec, level.recipe.grid.size)


def _slab(job: SlabJob, reader: Reader, swaths: Swaths, cube: Cube, standing: Mapping[str, StandingPatch]) -> Slab:
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
        standing,
        cube.decode,
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
        use.min_share or {},
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


def _together(reader: Reader, works: Sequence[Reading[T]]) -> Iterator[T]:
    """What each work comes to. What they want to read next is fetched for as many of them as have room, together."""
    begun: list[tuple[Reading[T], list[Read]]] = [(work, []) for work in works]
    while begun:
        later = []
        for number in reader.ahead([wants for _, wants in begun]):
            work, _ = begun[number]
            try:
                later.append((work, next(work)))
                reader.ask_heads(later[-1][1])  # while others read what they wait for
            except StopIteration as done:
                yield done.value
        begun = later
