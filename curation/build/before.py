"""What was committed of a slab before, read again and proven by the ledger's hash of it: what stays, and what stands."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from curation.build.context import SlabJob, StandingPatch
from curation.cubes import facts, zarrshard
from curation.cubes.chunks import chunk_hash
from curation.cubes.cube import Cube
from curation.errors import DamageError
from curation.outcomes import SETTLED, PatchOutcome
from curation.store.records import again
from curation.store.stat import Receipt

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Before:
    """What a slab has of before; a patch that is to be built has nothing, unless it stands."""

    chunks: dict[str, dict[int, bytes]]
    """Array → place in the slab's shard → stored chunk, of patches that are not built now."""
    rows: list[dict[str, Any]]
    """Per slot, fact → value, likewise."""
    outcomes: dict[str, PatchOutcome] = field(default_factory=dict)
    """Location id → outcome, likewise."""
    standing: dict[str, StandingPatch] = field(default_factory=dict)
    """Location id → what stands of a patch that is to be built, since its cube is given more sources."""
    objects: dict[str, Receipt] = field(default_factory=dict)
    """Key → receipt of each array's object that is the very one recorded."""


def read(job: SlabJob, cube: Cube) -> Before:
    """What was committed before, proven; what is written again is recorded again, so that damage would be what is right.

    Of a patch that is to be built, or that failed, and cannot be proven nothing stands: a build that was stopped may have
    written it.

    Raises:
        DamageError: a committed chunk or row of facts of a patch that is settled and not to be built is missing or changed.
    """
    found = Before({name: {} for name in cube.arrays}, [{} for _ in job.locations])
    if job.prior is None:
        return found
    stored = cube.of_record(job.prior)
    slots = {p.id: slot for slot, p in enumerate(job.locations)}
    every = {p.id: p for p in job.prior.patches}
    found.outcomes = {i: p for i, p in every.items() if i not in job.todo}
    settled = {i: p for i, p in found.outcomes.items() if p.status in SETTLED}
    stands = {i: p for i, p in every.items() if i not in settled and (p.status in SETTLED or p.chunks)}
    if job.prior.objects:
        rows = stored.proven_facts(job.store, job.prior, [p.id for p in job.locations], tried=job.todo)
        proven = stored.row_hashes(rows)
        stands = {i: p for i, p in stands.items() if proven[slots[i]] == p.facts}
    else:
        rows, stands = found.rows, {}
    for outcome in found.outcomes.values():
        # One that failed may have a row that a stopped build wrote since, which is not known.
        known = {} if outcome.id in settled else facts.outcome_facts(outcome)
        found.rows[slots[outcome.id]] = rows[slots[outcome.id]] | known
    chunks_of: dict[str, dict[str, dict[str, list[bytes]]]] = {i: {s.name: {} for s in stored.sources} for i in stands}
    for name, (spec, _) in stored.arrays.items():
        holders = {i for i, p in every.items() if name in p.chunks}
        chunks = _chunks(job, stored, name, found, must=not holders.isdisjoint(settled)) if holders else {}
        for outcome in settled.values():
            for place, expected in _places(stored, name, slots, outcome).items():
                if place not in chunks or chunk_hash(chunks[place]) != expected:
                    its = chunk_hash(chunks[place]) if place in chunks else "no chunk"
                    where = job.store.where(stored.array_key(name, job.slab))
                    raise DamageError(
                        f"{where} slot {place}: holds {its}, recorded was {expected}: "
                        f"{again(stored.array_key(name, job.slab))}"
                    )
                found.chunks[name][place] = chunks[place]
        for i, outcome in list(stands.items()):
            wanted = _places(stored, name, slots, outcome)
            if any(place not in chunks or chunk_hash(chunks[place]) != its for place, its in wanted.items()):
                log.warning("%s/%s/%s: %s is not what was recorded, so the patch is built anew", *_where(job, i), name)
                del stands[i]
            elif wanted:
                chunks_of[i][spec.name][name] = [chunks[place] for place in wanted]
    for i, outcome in list(found.outcomes.items()):
        if i in stands:
            for of in chunks_of[i].values():
                for name, held in of.items():
                    found.chunks[name] |= dict(zip(_places(stored, name, slots, outcome), held, strict=True))
        elif i not in settled:  # it is tried again another time, and then all of it
            found.outcomes[i] = dataclasses.replace(outcome, chunks={})
    for i, outcome in [(i, p) for i, p in stands.items() if i in job.todo]:
        row = rows[slots[i]]
        measured = {s.name: {f.name: row[f.name] for f in stored.facts_of(s)} for s in stored.sources}
        found.standing[i] = StandingPatch(outcome, measured, chunks_of[i])
    return found


def _where(job: SlabJob, location: str) -> tuple[str, str, str]:
    return job.folder, job.season, location


def _places(cube: Cube, name: str, slots: Mapping[str, int], outcome: PatchOutcome) -> dict[int, str]:
    """Place in the slab's shard of an array → recorded hash, of each chunk of a patch."""
    return cube.hashes_by_place(name, slots[outcome.id], outcome.chunks[name]) if name in outcome.chunks else {}


def _chunks(job: SlabJob, cube: Cube, name: str, found: Before, *, must: bool) -> dict[int, bytes]:
    """Place → chunk of an array's object, nothing of it proven.

    Raises:
        DamageError: it is missing or torn, where it must be there.
    """
    key = cube.array_key(name, job.slab)
    try:
        stat = job.store.head(key)  # before it is read: who writes it meanwhile is noticed by its mark
        data = job.store.get(key)
        chunks = zarrshard.parse(data, cube.slab_chunks(name), job.store.where(key))
    except (DamageError, FileNotFoundError) as err:
        if not must:
            return {}
        if isinstance(err, FileNotFoundError):
            raise DamageError(f"{job.store.where(key)}: is recorded but not there: {again(key)}") from err
        raise DamageError(f"{err}: {again(key)}") from err
    digest = hashlib.sha256(data).hexdigest()
    hashes = {o.key: o.sha256 for o in job.prior.objects} if job.prior else {}
    if stat is not None and hashes.get(key) == digest:
        found.objects[key] = Receipt(key, len(data), digest, stat.etag)
    return chunks
