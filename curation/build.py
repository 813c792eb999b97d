"""One slab: scenes in, pixels and facts out, published and hashed. Runs on a worker.

Masks are read first, bands only of scenes that won. A patch stores all of its sources or none.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import resource
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray

from curation import (
    backscatter,
    candidates,
    clouds,
    cube,
    facts,
    grid,
    labels,
    ocean,
    radiometry,
    select,
    shift,
    swathgrid,
    zarrshard,
)
from curation.candidates import Candidates, Times
from curation.catalogs import Catalog
from curation.causes import one_line
from curation.choice import OF_MASK, Refusal, Stage, furthest
from curation.cube import Cube
from curation.ledger import SlabRecord, StoredObject, again
from curation.locations import Locations
from curation.model import (
    SETTLED,
    STATIC,
    Code,
    CurationError,
    DamageError,
    Location,
    PassingError,
    PatchOutcome,
    ReadError,
    Reject,
    Scene,
    SourceOutcome,
    Status,
    StorageError,
    TrustError,
    code_of,
)
from curation.read.cog import Asset, Read, Reader
from curation.read.swath import Swaths
from curation.recipe import Dataset
from curation.search.saved import Searches
from curation.sources import ArraySpec, CatalogForm, SourceSpec
from curation.store import Receipt, Store

log = logging.getLogger(__name__)
T = TypeVar("T")
Pixels = dict[str, NDArray[Any]]
"""Array name → (band, y, x)."""

Reading = Generator[list[Read], None, T]
"""Work that says what it will read next, and goes on when that is on its way."""


@dataclass(frozen=True, slots=True)
class SlabJob:
    """One slab to build: small values only. Which scenes its patches may use, the worker finds in the saved searches."""

    dataset: Dataset
    catalog: Catalog
    region: str
    season: str
    slab: int
    locations: tuple[Location, ...]
    """All of the slab's, in order of slot."""
    todo: tuple[str, ...]
    """Ids of those to be built now."""
    store: Store
    per_host: int
    """Requests that one host may have of a worker at a time."""
    searches: str
    """Name of the client's searches: what a worker has read of them stays right."""
    prior: SlabRecord | None = None
    """What was committed of the slab before."""
    unsearched: CurationError | None = None
    """Why a search that it needs failed: its patches then fail with that."""


@dataclass(frozen=True, slots=True)
class SlabReceipt:
    """What a worker did."""

    record: SlabRecord
    etags: dict[str, str]
    """Key → the store's mark of this very writing."""
    seconds: float
    worker_bytes: int
    """Highest resident memory of the worker's process so far."""


@dataclass(frozen=True, slots=True)
class _Slab:
    """What is known of a slab while it is built."""

    dataset: Dataset
    region: str
    season: str
    candidates: dict[str, dict[str, Candidates]]
    """Source → location id → candidates."""
    forms: dict[str, CatalogForm | None]
    """Source → how the catalog offers it."""
    swaths: Swaths
    """What reads sources that are swaths."""
    excluded: frozenset[str]
    """Ids of scenes that are never used."""
    searches: str
    """Name of the client's searches."""


@dataclass(slots=True)
class _Patch:
    """What is known of a patch while it is built."""

    location: Location
    pixels: Pixels = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, SourceOutcome] = field(default_factory=dict)
    passed_over: dict[str, dict[str, str]] = field(default_factory=dict)
    """Source → id of a scene that could not be read → why."""


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
    here = Cube(job.dataset, job.region, job.season, Locations.of(job.locations))
    chunks, rows, outcomes = _kept(job, here)
    ahead_bytes, folders = job.dataset.recipe.fetch.ahead_mb * 10**6, job.dataset.local_folders()
    with (
        Reader(job.catalog.base, ahead_bytes, job.per_host, folders) as reader,
        Swaths(job.catalog.base, ahead_bytes, per_host=job.per_host, folders=folders) as swaths,
    ):
        slab = _slab(job, swaths)
        slots = {p.id: slot for slot, p in enumerate(job.locations)}
        for patch, outcome in _together(
            reader, [_build_patch(slab, reader, p) for p in job.locations if p.id in job.todo]
        ):
            location, hashes = patch.location, {}
            slot = slots[location.id]
            if outcome.status is Status.OK:
                for name, pixels in patch.pixels.items():
                    chunk = here.encode(name, pixels)
                    chunks[name][slot] = chunk
                    hashes[name] = cube.chunk_hash(chunk)
            outcome = dataclasses.replace(outcome, chunks=hashes)
            outcomes[location.id] = outcome
            rows[slot] = patch.facts | facts.told(outcome)
            log.debug("%s/%s/%s: %s", job.region, job.season, location.id, outcome.reason)
    hashed = zip(job.locations, here.row_hashes(rows), strict=True)
    decided = [dataclasses.replace(outcomes[p.id], facts=found) for p, found in hashed if p.id in outcomes]
    receipts = job.store.publish_all(here.slab_objects(job.slab, chunks, rows))
    record = SlabRecord(
        job.slab,
        tuple(decided),
        tuple(map(StoredObject.of, receipts)),
        _excluded_here(slab, job.prior),
    )
    return SlabReceipt(record, _etags(receipts), time.perf_counter() - started, peak_bytes())


def _slab(job: SlabJob, swaths: Swaths) -> _Slab:
    searches = Searches(job.dataset, job.catalog, job.store, job.searches)
    places = [p for p in job.locations if p.id in job.todo]
    found = candidates.of_slab(job.dataset, searches, job.season, places)
    forms = {s.name: job.catalog.form_of(s) for s in job.dataset.sources(job.season)}
    excluded = frozenset(job.dataset.recipe.search.exclude)
    return _Slab(job.dataset, job.region, job.season, found, forms, swaths, excluded, job.searches)


def _excluded_here(slab: _Slab, prior: SlabRecord | None) -> tuple[str, ...]:
    """Ids of the slab's candidates that the recipe excludes, or excluded when patches were built that are kept."""
    every = {s.id for by_place in slab.candidates.values() for found in by_place.values() for s in found.scenes}
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


def _kept(
    job: SlabJob, here: Cube
) -> tuple[dict[str, dict[int, bytes]], list[dict[str, Any]], dict[str, PatchOutcome]]:
    """What was committed before and is not built again: chunks, facts and outcomes, each proven by the ledger's hash of it.

    What is written again is recorded again: what was damaged meanwhile would from then on be what is right.

    Raises:
        DamageError: a committed chunk or row of facts is missing or changed.
    """
    chunks: dict[str, dict[int, bytes]] = {name: {} for name in here.arrays}
    rows: list[dict[str, Any]] = [{} for _ in job.locations]
    if job.prior is None:
        return chunks, rows, {}
    outcomes = {p.id: p for p in job.prior.patches if p.id not in job.todo}
    slots = {p.id: slot for slot, p in enumerate(job.locations)}
    ids = [p.id for p in job.locations]
    before = here.proven_facts(job.store, job.prior, ids) if job.prior.objects else rows
    for outcome in outcomes.values():
        # One that failed may have a row that a stopped build wrote since, which is not known.
        known = {} if outcome.status in SETTLED else facts.told(outcome)
        rows[slots[outcome.id]] = before[slots[outcome.id]] | known
    for name in here.arrays:
        wanted = {slots[p.id]: p.chunks[name] for p in outcomes.values() if name in p.chunks}
        if not wanted:
            continue
        key = here.array_key(name, job.slab)
        try:
            stored = zarrshard.parse(job.store.get(key), here.slab_patches, job.store.where(key))
        except DamageError as err:
            raise DamageError(f"{err}: {again(key)}") from err
        except FileNotFoundError as err:
            raise DamageError(f"{job.store.where(key)}: is recorded but not there: {again(key)}") from err
        for slot, expected in wanted.items():
            if slot not in stored or cube.chunk_hash(stored[slot]) != expected:
                found = cube.chunk_hash(stored[slot]) if slot in stored else "no chunk"
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


def _build_patch(slab: _Slab, reader: Reader, location: Location) -> Reading[tuple[_Patch, PatchOutcome]]:
    """A patch's pixels, facts and outcome. Pixels are kept only where the patch is ok."""
    patch = _Patch(location)
    required = {n for n, use in slab.dataset.recipe.sources.items() if use.required}
    try:
        if slab.season == STATIC:
            specs = slab.dataset.sources(STATIC)
            reads: list[Read] = []
            for spec in specs:
                with _outcome_of(slab, patch, spec):
                    scenes = slab.candidates[spec.name][location.id].scenes
                    reads += _reads(slab, location, spec, [s for s in scenes if s.id not in slab.excluded])
            yield reads
            for spec in specs:
                with _outcome_of(slab, patch, spec):
                    _read_mosaic(slab, reader, patch, spec)
        else:
            yield from _build_seasonal(slab, reader, patch, required)
    except _SourceError as err:
        cause = err.__cause__ or err
        if isinstance(cause, StorageError):  # no fault of the scene, nor of its server
            raise cause from None
        patch.sources[err.source] = SourceOutcome(Status.FAILED, code_of(cause), cause=one_line(cause))
        log.warning("%s/%s/%s: %s failed: %s", slab.region, slab.season, location.id, err.source, one_line(cause))
    status = _patch_status(patch, required, [s.name for s in slab.dataset.sources(slab.season)])
    for name, causes in patch.passed_over.items():
        told = tuple(causes.items())
        patch.sources[name] = dataclasses.replace(patch.sources[name], passed_over=told)
    return patch, PatchOutcome(location.id, status, patch.sources)


def _patch_status(patch: _Patch, required: set[str], names: Sequence[str]) -> Status:
    """The patch's status; sources that end unstored because of another are marked as such."""
    have = patch.sources
    if any(o.status is Status.FAILED for o in have.values()):
        status = Status.FAILED
    else:
        bad = [have[n].status for n in names if n in required and n in have and have[n].status is not Status.OK]
        if not any(o.status is Status.OK for o in have.values()):  # nothing to store, though nothing was required
            bad = [o.status for o in have.values()]
        status = Status.OK if not bad else Status.ABSENT if set(bad) <= {Status.ABSENT} else Status.REJECTED
    for name in names:
        if name not in have or (status is not Status.OK and have[name].status is Status.OK):
            patch.sources[name] = SourceOutcome(
                Status.FAILED if status is Status.FAILED else Status.REJECTED, Code.UPSTREAM
            )
    return status


class _SourceError(Exception):
    """Reading a source failed; the cause is the error it is raised from."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.source = source


_OF_OTHERS = (Code.UPSTREAM, Code.EXHAUSTED)
"""Codes that no other scene of the source would change: another source decided, or the recipe's own limit."""


def _refused(slab: _Slab, patch: _Patch, source: str, why: Reject, near: Times = None) -> SourceOutcome:
    """What becomes of a source that refuses all; where an item that could not be read might have passed, that is told."""
    lost = candidates.lost(slab.dataset, slab.candidates, source, patch.location, near)
    told = why if lost is None or why.code in _OF_OTHERS else lost
    return SourceOutcome(told.status, told.code, told.value, cause=told.cause)


@contextlib.contextmanager
def _outcome_of(slab: _Slab, patch: _Patch, spec: SourceSpec, near: Times = None) -> Iterator[None]:
    """A Reject inside becomes the source's outcome; an error inside is told as the source's, and ends the patch."""
    try:
        yield
    except Reject as why:
        patch.sources[spec.name] = _refused(slab, patch, spec.name, why, near)
    except _SourceError:
        raise
    except Exception as err:
        raise _SourceError(spec.name) from err


def _build_seasonal(slab: _Slab, reader: Reader, patch: _Patch, required: set[str]) -> Reading[None]:
    """Reads the sources that choose for themselves, each with those that go with it; a required one refused ends it."""
    for spec in slab.dataset.sources(slab.season):
        if spec.pick == "mean":
            with _outcome_of(slab, patch, spec):
                _read_mean(slab, patch, spec)
        elif spec.goes_with is None:
            yield from _build_chosen(slab, reader, patch, spec, required)
        outcome = patch.sources.get(spec.name)
        if spec.goes_with is None and spec.name in required and (outcome is None or outcome.status is not Status.OK):
            return


def _build_chosen(slab: _Slab, reader: Reader, patch: _Patch, anchor: SourceSpec, required: set[str]) -> Reading[None]:
    """Reads a source that is picked by clearness, and those that go with it."""
    with_it = [s for s in slab.dataset.sources(slab.season) if s.goes_with == anchor.name]
    followers = [s for s in with_it if s.pick == "nearest"]
    matched = [s for s in with_it if s.pick == "same-acquisition"]
    chosen: Scene | None = None
    with _outcome_of(slab, patch, anchor):
        chosen = yield from _walk(slab, reader, patch, anchor, [f for f in followers if f.name in required])
    if chosen is None:
        return
    for spec in followers:
        if spec.name not in patch.sources:
            with _outcome_of(slab, patch, spec, [chosen.time]):
                _read_nearest(slab, reader, patch, spec, chosen)
                _measure_shift(slab, patch, spec)
    for spec in matched:
        with _outcome_of(slab, patch, spec, [chosen.time]):
            _read_matched(slab, reader, patch, spec, chosen)


def _walk(
    slab: _Slab, reader: Reader, patch: _Patch, anchor: SourceSpec, followers: Sequence[SourceSpec]
) -> Reading[Scene]:
    """The candidate that was chosen for the patch, read; its required followers are read with it.

    Raises:
        Reject: none passes.
    """
    mine = slab.candidates[anchor.name][patch.location.id]
    mine.check()
    for spec in followers:
        its = slab.candidates[spec.name][patch.location.id]
        try:  # what no candidate can mend is told before a mask is read
            its.check()
            select.of_direction(its.scenes, its.direction)
        except Reject as why:
            _refuse(slab, patch, anchor, spec.name, why, candidates.times(mine, slab.excluded))
    return (yield from _Walk(slab, reader, patch, anchor, followers).chosen(mine.groups))


def _refuse(slab: _Slab, patch: _Patch, anchor: SourceSpec, source: str, why: Reject, near: Times = None) -> NoReturn:
    """Raises what becomes of the anchor where a source refuses all: that, or `upstream` where it is another's."""
    if source == anchor.name:
        raise why
    patch.sources[source] = _refused(slab, patch, source, why, near)
    raise Reject(Code.UPSTREAM)


@dataclass(frozen=True, slots=True)
class _Measured:
    """A candidate whose mask is read, and good enough."""

    scene: Scene
    trial: _Patch
    """The patch as it would be with it."""
    shares: clouds.Shares


@dataclass(slots=True)
class _Walk:
    """A patch's way through the candidates of the source that is picked by clearness.

    Of a group of equal rank all masks are read, together, and the clearest comes first; a candidate passes where its mask is
    good enough, each required follower has a scene near enough in time with enough valid pixels, and its own bands are good
    enough. What cannot be read, and not for what may pass, is passed over.
    """

    slab: _Slab
    reader: Reader
    patch: _Patch
    anchor: SourceSpec
    followers: Sequence[SourceSpec]
    masks: int = 0
    """Read so far; one that the recipe excludes counts as if it were."""
    refusals: list[Refusal] = field(default_factory=list)
    hopeless: set[str] = field(default_factory=set)
    """Ids of candidates that no follower could have helped."""
    faults: list[tuple[SourceSpec, ReadError]] = field(default_factory=list)
    """What could not be read, and whose fault that is, the best candidate's first."""
    snowy: list[_Measured] = field(default_factory=list)
    """Mostly snow by their masks: taken only where no other passes."""
    ruled_out: list[tuple[Scene, SourceSpec, Reject]] = field(default_factory=list)
    """Candidates that have no follower near enough, the follower, and what it says."""
    unread: int = 0
    """Candidates that might have passed and were not looked at."""
    is_over: bool = False
    """None passes: masks are read to tell why alone."""

    def chosen(self, groups: Sequence[Sequence[Scene]]) -> Reading[Scene]:
        """The candidate that passes, read. Raises Reject where none does, `_SourceError` where that is for a fault."""
        for group in groups:
            measured = yield from self._measured(self._with_partners(group))
            for found in sorted(measured, key=lambda m: -m.shares.clearness):
                if found.shares.mostly_snow:
                    self.snowy.append(found)
                elif (yield from self._passes(found)):
                    return found.scene
        for found in self.snowy:
            if (yield from self._passes(found)):
                return found.scene
        yield from self._ask_ruled_out()
        self._refuse()

    def _with_partners(self, group: Sequence[Scene]) -> list[Scene]:
        """Those of a group that each required follower has a scene for, near enough in time: known without a pixel."""
        found = []
        for scene in group:
            try:
                for spec in self.followers:
                    _ranked(self.slab, self.patch.location, spec, scene)
            except Reject as why:
                if scene.id not in self.slab.excluded:
                    self.ruled_out.append((scene, spec, why))
            else:
                found.append(scene)
        return found

    def _measured(self, scenes: Sequence[Scene]) -> Reading[list[_Measured]]:
        """Those whose masks are good enough, in order. Masks are read as far as the recipe allows, and counted."""
        most = self.slab.dataset.recipe.quality.max_candidates
        found, left = [], list(scenes)
        while left and self.masks < most and len(self.faults) < most:
            batch, left = left[: most - self.masks], left[most - self.masks :]
            wanted = [s for s in batch if s.id not in self.slab.excluded]
            self.masks += len(batch) - len(wanted)
            yield [r for s in wanted for r in _reads(self.slab, self.patch.location, self.anchor, [s], roles=("mask",))]
            for scene in wanted:
                trial = _Patch(self.patch.location)
                try:
                    shares = _read_mask(self.slab, self.reader, trial, self.anchor, scene)
                except Reject as why:
                    self.refusals.append(Refusal(OF_MASK[why.code], self.anchor.name, why, trial.facts))
                    self.hopeless.add(scene.id)
                except Exception as err:  # noqa: BLE001 - raised again unless it is the scene's
                    self._pass_over(scene, self.anchor, err)
                    continue
                else:
                    found.append(_Measured(scene, trial, shares))
                self.masks += 1
        self.unread += sum(s.id not in self.slab.excluded for s in left)
        return found

    def _passes(self, found: _Measured) -> Reading[bool]:
        """Whether the candidate passes by its followers and bands, too; the patch then has them."""
        slab, location, anchor = self.slab, self.patch.location, self.anchor
        scene, trial = found.scene, found.trial
        yield [
            *_looks(slab, self.reader, anchor, scene),
            *_reads(slab, location, anchor, [scene], roles=("data", "classes")),
            *_reads_with(slab, location, anchor, scene),
        ]
        stage, blame = Stage.PARTNER_PIXELS, anchor
        try:
            for blame in self.followers:
                _read_nearest(slab, self.reader, trial, blame, scene)
            stage, blame = Stage.BANDS, anchor
            _read_bands(slab, self.reader, trial, anchor, scene)
            stage = Stage.SHIFT
            for blame in self.followers:
                _measure_shift(slab, trial, blame)
        except Reject as why:
            self.refusals.append(Refusal(stage, blame.name, why, trial.facts))
            self.hopeless |= {scene.id} if stage is Stage.BANDS else set()
            return False
        except Exception as err:  # noqa: BLE001 - raised again unless it is the scene's
            self._pass_over(scene, blame, err)
            return False
        finally:
            for source, scenes in trial.passed_over.items():
                self.patch.passed_over.setdefault(source, {}).update(scenes)
        self.patch.pixels |= trial.pixels
        self.patch.facts = trial.facts
        self.patch.sources |= trial.sources
        return True

    def _pass_over(self, scene: Scene, blame: SourceSpec, err: Exception) -> None:
        """Takes down what could not be read, and goes on. Raises `_SourceError` where it may pass, or is no such fault."""
        if not _is_lasting(err, self.slab):
            raise _SourceError(blame.name) from err
        if not self.is_over:
            _note_passed_over(self.slab, self.patch, self.anchor, scene, err)
            self.faults.append((blame, err))

    def _ask_ruled_out(self) -> Reading[None]:
        """Looks whether a follower's gap ruled out a candidate that is good enough by its mask, as far as it may."""
        self.is_over = True
        if self.faults or self.unread or any(r.stage >= Stage.PARTNER for r in self.refusals):
            return
        by_scene = {scene.id: (spec, why) for scene, spec, why in self.ruled_out}
        for found in (yield from self._measured([scene for scene, _, _ in self.ruled_out])):
            spec, why = by_scene[found.scene.id]
            self.refusals.append(Refusal(Stage.PARTNER, spec.name, why, found.trial.facts))
            self.unread = 0  # of those that are left none can pass

    def _refuse(self) -> NoReturn:
        """Tells why none passes: what could not be read, or was not looked at, might have."""
        if self.faults:
            spec, err = self.faults[0]
            raise _SourceError(spec.name) from err
        every = self.refusals or [Refusal(Stage.PARTNER, spec.name, why) for _, spec, why in self.ruled_out]
        told = furthest(every) if every else None
        self.patch.facts = told.facts if told else {}
        if self.unread:
            raise Reject(Code.EXHAUSTED, self.unread)
        if told is None:
            raise Reject(Code.EXCLUDED)
        slab, place = self.slab, self.patch.location
        lost = candidates.lost(slab.dataset, slab.candidates, self.anchor.name, place)
        if lost is not None:
            raise lost
        near = candidates.times(slab.candidates[self.anchor.name][place.id], slab.excluded | self.hopeless)
        _refuse(slab, self.patch, self.anchor, told.source, told.why, near)


def _is_lasting(err: Exception, slab: _Slab) -> TypeGuard[ReadError]:
    """Whether the recipe wants the next scene for an error: a file cannot be read, and nothing but the file is to blame."""
    wants_next = slab.dataset.recipe.quality.unreadable == "next"
    return wants_next and isinstance(err, ReadError) and not isinstance(err, PassingError | TrustError)


def _note_passed_over(slab: _Slab, patch: _Patch, spec: SourceSpec, scene: Scene, err: Exception) -> None:
    patch.passed_over.setdefault(spec.name, {})[scene.id] = one_line(err)
    where = f"{slab.region}/{slab.season}/{patch.location.id}"
    log.warning("%s: %s scene %s is passed over: %s", where, spec.name, scene.id, one_line(err))


def _usable(slab: _Slab, scenes: Iterable[Scene]) -> list[Scene]:
    """Scenes without those that the recipe excludes.

    Raises:
        Reject: `excluded` where none is left of some.
    """
    every = list(scenes)
    left = [s for s in every if s.id not in slab.excluded]
    if every and not left:
        raise Reject(Code.EXCLUDED)
    return left


def _read_mask(slab: _Slab, reader: Reader, patch: _Patch, spec: SourceSpec, scene: Scene) -> clouds.Shares:
    """What the mask of a scene says of the patch. Raises Reject where that is not good enough."""
    name, array = next((n, a) for n, a in slab.dataset.arrays[spec.name].items() if a.role == "mask")
    pixels, _ = _read_array(slab, reader, patch.location, spec, array, [scene])
    shares = clouds.shares(pixels, spec, scene.id)
    patch.facts |= {
        f"{spec.name}_clear_fraction": shares.clear,
        f"{spec.name}_doubtful_fraction": shares.doubtful,
        f"{spec.name}_snow_fraction": shares.snow,
        f"{spec.name}_valid_fraction": shares.valid,
        f"{spec.name}_cloud_pct": scene.cloud_pct,
        f"{spec.name}_time": scene.time.timestamp(),
        f"{spec.name}_baseline": scene.baseline or "",
        f"{spec.name}_offset_dn": scene.offset_dn,
    }
    shares.check(slab.dataset.recipe.quality, slab.dataset.min_valid(spec.name))
    patch.pixels[name] = pixels
    return shares


def _read_bands(slab: _Slab, reader: Reader, patch: _Patch, spec: SourceSpec, scene: Scene) -> None:
    warped = False
    valid = patch.facts[f"{spec.name}_valid_fraction"]
    found = _evidence(slab, reader, spec, scene)
    if found is not None:
        patch.facts[f"{spec.name}_offset_evidence"] = found.value
        radiometry.check_offset(found, scene.offset_dn)
    clear = _clear(slab, patch, spec)
    for name, array in slab.dataset.arrays[spec.name].items():
        if array.role == "mask":
            continue
        pixels, was_warped = _read_array(slab, reader, patch.location, spec, array, [scene])
        patch.pixels[name] = radiometry.harmonised(pixels, scene.offset_dn, array.nodata)
        if array.unit == radiometry.UNIT:
            radiometry.check_possible(patch.pixels[name], clear, array.nodata)
            patch.pixels[name] = radiometry.measured(patch.pixels[name], array.nodata)
        valid = min(valid, _valid_fraction(patch.pixels[name], array))
        warped |= was_warped
    patch.facts |= {f"{spec.name}_valid_fraction": valid, f"{spec.name}_warped": int(warped)}
    if valid < slab.dataset.min_valid(spec.name):
        raise Reject(Code.NODATA, valid)
    patch.sources[spec.name] = SourceOutcome(Status.OK, scenes=(scene.id,))


_MOST_LOOKS = 4096
"""Scenes whose evidence a process keeps."""

_looked: OrderedDict[tuple[str, ...], radiometry.Evidence] = OrderedDict()
"""What was found of scenes, by the client's searches and what is asked of the scene: it follows from that alone."""

_looked_lock = threading.Lock()


def _looks(slab: _Slab, reader: Reader, spec: SourceSpec, scene: Scene) -> list[Read]:
    """What finding a scene's evidence will read; nothing where it is known."""
    asked = _asked(slab, spec, scene)
    with _looked_lock:
        is_known = _look_key(slab, reader, asked) in _looked
    return [] if is_known else [Read(asset, array, None) for _, asset, array in asked]


def _evidence(slab: _Slab, reader: Reader, spec: SourceSpec, scene: Scene) -> radiometry.Evidence | None:
    """What the pixels of the whole scene say of the offset, whatever patch asks; None of a source that has none.

    Raises:
        ReadError: a band or the mask cannot be read.
    """
    asked = _asked(slab, spec, scene)
    if not asked:
        return None
    key = _look_key(slab, reader, asked)
    with _looked_lock:
        if key in _looked:
            _looked.move_to_end(key)
            return _looked[key]
    pixels: Pixels = {}
    clear = 0.0
    for band, asset, array in asked:
        values = reader.coarse(asset, array)
        if array.role == "mask":
            clear = float(np.isin(values, spec.clear).mean()) if values.size else 0.0
        else:
            pixels[band] = values
    found = radiometry.evidence(pixels, clear)
    with _looked_lock:
        _looked[key] = found
        while len(_looked) > _MOST_LOOKS:
            _looked.popitem(last=False)
    return found


def _asked(slab: _Slab, spec: SourceSpec, scene: Scene) -> list[tuple[str, Asset, ArraySpec]]:
    """Band, asset and array of all that evidence is taken of."""
    form = slab.forms[spec.name]
    if form is None or form.offset == "none":
        return []
    arrays = [a for a in slab.dataset.arrays[spec.name].values() if a.unit == radiometry.UNIT or a.role == "mask"]
    return [(b, asset, a) for a in arrays for b in a.bands for asset in _assets(slab, spec, b, [scene])]


def _look_key(slab: _Slab, reader: Reader, asked: Sequence[tuple[str, Asset, ArraySpec]]) -> tuple[str, ...]:
    return (slab.searches, reader.base, *(f"{band} {a.band} {a.href}" for band, a, _ in asked))


def _clear(slab: _Slab, patch: _Patch, spec: SourceSpec) -> NDArray[np.bool_]:
    """(y, x) of the patch's mask: True where it calls the ground seen, snow and what it is unsure of included."""
    name = next(n for n, a in slab.dataset.arrays[spec.name].items() if a.role == "mask")
    found: NDArray[np.bool_] = np.isin(patch.pixels[name][0], [*spec.clear, *spec.doubtful, *spec.snow])
    return found


def _reads_with(slab: _Slab, location: Location, anchor: SourceSpec, scene: Scene) -> list[Read]:
    """What will likely be read beside an anchor's scene: the first choice of each source that follows it."""
    found: list[Read] = []
    for spec in (s for s in slab.dataset.sources(slab.season) if s.goes_with == anchor.name):
        with contextlib.suppress(Reject):  # told where it is read
            if spec.pick == "nearest":
                found += _reads(slab, location, spec, _ranked(slab, location, spec, scene)[:1])
            elif spec.pick == "same-acquisition":
                found += _reads(slab, location, spec, [_matching(slab, location, spec, scene)])
    return found


def _ranked(slab: _Slab, location: Location, spec: SourceSpec, anchor: Scene) -> list[Scene]:
    mine = slab.candidates[spec.name][location.id]
    mine.check()
    quality = slab.dataset.recipe.quality
    ranked = select.rank_nearest(mine.scenes, location, anchor.time, mine.direction, quality.max_gap_days)
    return _usable(slab, ranked[: quality.max_candidates])


def _read_nearest(slab: _Slab, reader: Reader, patch: _Patch, spec: SourceSpec, to: Scene) -> None:
    """The nearest scene that can be read and has enough valid pixels.

    Raises:
        Reject: there is none near enough, none has enough valid pixels, or what they hold cannot be.
        ReadError: one could not be read, and no other will do.
    """
    best, fault, refused = 0.0, None, None
    for scene in _ranked(slab, patch.location, spec, to):
        try:
            pixels, warped, valid = _read_all(slab, reader, patch.location, spec, [scene])
        except Reject as err:
            refused = refused or err
            continue
        except ReadError as err:
            if not _is_lasting(err, slab):
                raise
            _note_passed_over(slab, patch, spec, scene, err)
            fault = fault or err
            continue
        best = max(best, valid)
        if valid < slab.dataset.min_valid(spec.name):
            continue
        patch.pixels |= pixels
        patch.facts |= {
            f"{spec.name}_time": scene.time.timestamp(),
            f"{spec.name}_gap_days": (scene.time - to.time).total_seconds() / 86_400,
            f"{spec.name}_valid_fraction": valid,
            f"{spec.name}_warped": int(warped),
        }
        if spec.one_orbit_direction:
            patch.facts[f"{spec.name}_orbit_state"] = scene.orbit_state or ""
            patch.facts[f"{spec.name}_relative_orbit"] = (
                scene.relative_orbit if scene.relative_orbit is not None else -1
            )
        patch.sources[spec.name] = SourceOutcome(Status.OK, scenes=(scene.id,))
        return
    raise fault or refused or Reject(Code.NODATA, best)


def _read_matched(slab: _Slab, reader: Reader, patch: _Patch, spec: SourceSpec, to: Scene) -> None:
    """The map of the very acquisition; it is sparse by nature, so gaps are kept and told, not refused.

    Nothing stands in for one that cannot be read.
    """
    scene = _matching(slab, patch.location, spec, to)
    pixels, warped, valid = _read_all(slab, reader, patch.location, spec, [scene])
    patch.pixels |= pixels
    patch.facts |= {
        f"{spec.name}_time": scene.time.timestamp(),
        f"{spec.name}_valid_fraction": valid,
        f"{spec.name}_warped": int(warped),
    }
    _class_facts(slab.dataset, patch, spec)
    patch.sources[spec.name] = SourceOutcome(Status.OK, scenes=(scene.id,))


def _matching(slab: _Slab, location: Location, spec: SourceSpec, to: Scene) -> Scene:
    """The scene of the anchor's acquisition."""
    mine = slab.candidates[spec.name][location.id]
    mine.check()
    return _usable(slab, select.same_acquisition(mine.scenes, to))[0]


def _read_mean(slab: _Slab, patch: _Patch, spec: SourceSpec) -> None:
    """The mean of all scenes of the season; pixels that no footprint of enough quality reaches are nodata.

    One that cannot be read fails it: without it the mean is another.
    """
    mine = slab.candidates[spec.name][patch.location.id]
    mine.check()
    arrays, scenes = slab.dataset.arrays[spec.name], _usable(slab, mine.scenes)
    found, used = swathgrid.pixels(slab.swaths, spec, arrays, patch.location, scenes, lambda s: _files(slab, spec, s))
    valid = min(_valid_fraction(found[n], a) for n, a in arrays.items() if a.role == "data")
    counts = [plane for n, a in arrays.items() for b, plane in zip(a.bands, found[n], strict=True) if b == "orbits"]
    times = [s.time.timestamp() for s in used]
    assert spec.swath is not None
    patch.facts |= {
        f"{spec.name}_time": sum(times) / len(times) if times else None,
        f"{spec.name}_orbits": max((int(plane.max()) for plane in counts), default=None),
        f"{spec.name}_mode": _each(s.mode for s in used),
        f"{spec.name}_version": _each(s.version for s in used),
        f"{spec.name}_min_quality": spec.swath.min_quality,
        f"{spec.name}_valid_fraction": valid,
        f"{spec.name}_warped": 1,
    }
    if valid <= 0 or valid < slab.dataset.min_valid(spec.name):
        raise Reject(Code.NODATA, valid)
    patch.pixels |= found
    patch.sources[spec.name] = SourceOutcome(Status.OK, scenes=tuple(s.id for s in used))


def _each(values: Iterable[str | None]) -> str:
    return " ".join(sorted({v for v in values if v}))


def _files(slab: _Slab, spec: SourceSpec, scene: Scene) -> dict[str, Asset]:
    """File of a swath → where the scene has it."""
    form = slab.forms[spec.name]
    return {file: Asset(href, form.sign if form else "none") for file, href in scene.hrefs.items()}


def _read_mosaic(slab: _Slab, reader: Reader, patch: _Patch, spec: SourceSpec) -> None:
    """All scenes that touch the patch as one; one that cannot be read fails it; what none reaches may be sea."""
    mine = slab.candidates[spec.name][patch.location.id]
    if spec.hole_value is None or mine.code is not Code.NO_SCENE:  # where no scene is, there may be sea
        mine.check()
    scenes = _usable(slab, mine.scenes)
    pixels, warped, valid = _read_all(slab, reader, patch.location, spec, scenes)
    patch.facts |= {f"{spec.name}_valid_fraction": valid, f"{spec.name}_warped": int(warped)}
    short = Code.NODATA
    if spec.hole_value is not None:
        valid = 1.0
        for name, array in slab.dataset.arrays[spec.name].items():
            empty = (pixels[name] == array.nodata).all(axis=0)
            void = empty & reader.covered(_assets(slab, spec, array.bands[0], scenes), array, patch.location)
            if len(scenes) < len(mine.scenes):  # what an excluded scene has there nobody knows
                void = empty
            # A void of a scene is not the sea beside it, and a tile that is not there is no sea where there is land.
            sea = ocean.sea_of(empty & ~void, patch.location, array.step(patch.location.size_m))
            short = Code.HOLE if (empty & ~void & ~sea).any() else short
            void = empty & ~sea
            patch.facts[f"{spec.name}_hole_fraction"] = float(sea.mean())
            patch.facts[f"{spec.name}_void_fraction"] = float(void.mean())
            pixels[name] = np.where(sea, pixels[name].dtype.type(spec.hole_value), pixels[name])
            valid = min(valid, 1 - float(void.mean()))
    if (valid <= 0 or valid < slab.dataset.min_valid(spec.name)) and not spec.classes:
        raise Reject(short, valid, status=Status.REJECTED if scenes else Status.ABSENT)
    patch.pixels |= pixels
    if spec.classes:
        _class_facts(slab.dataset, patch, spec)
    if spec.elevation:
        name, array = next(iter(slab.dataset.arrays[spec.name].items()))
        pixel_m = grid.pixel_m(patch.location, array.step(patch.location.size_m))
        patch.facts |= elevation_facts(pixels[name][0], *pixel_m, array.nodata)
    patch.sources[spec.name] = SourceOutcome(Status.OK, scenes=tuple(s.id for s in scenes))


def _class_facts(dataset: Dataset, patch: _Patch, spec: SourceSpec) -> None:
    name, array = next(iter(dataset.arrays[spec.name].items()))
    shares, valid = labels.class_fractions(patch.pixels[name], spec.classes, array.nodata)
    patch.facts |= {f"{spec.name}_fraction": shares, f"{spec.name}_valid_fraction": valid}


def elevation_facts(height: NDArray[Any], y_m: float, x_m: float, nodata: float = math.nan) -> dict[str, float]:
    """Mean, least and greatest height in metres and mean slope in degrees of heights (y, x); pixels of y_m by x_m.

    Voids (`nodata`) do not count.
    """
    known = np.where(height == nodata, np.nan, height.astype(np.float64))
    gy, gx = np.gradient(known, y_m, x_m)
    return {
        "elevation_mean_m": float(np.nanmean(known)),
        "elevation_min_m": float(np.nanmin(known)),
        "elevation_max_m": float(np.nanmax(known)),
        "slope_mean_deg": float(np.nanmean(np.degrees(np.arctan(np.hypot(gx, gy))))),
    }


def _measure_shift(slab: _Slab, patch: _Patch, spec: SourceSpec) -> None:
    """Measures how far a follower lies from the source it goes with, where they have arrays of equal pixels.

    Raises:
        Reject: that is more than the recipe allows, by a measurement that says something; the follower's pixels are dropped.
    """
    measured = slab.dataset.shift_arrays(spec.name)
    if measured is None:
        return
    other, name, _ = measured
    x, y, peak = shift.shift_px(
        patch.pixels[other].mean(axis=0), backscatter.decibels(patch.pixels[name].mean(axis=0), math.nan)
    )
    patch.facts |= {
        f"{spec.name}_shift_x_px": x,
        f"{spec.name}_shift_y_px": y,
        f"{spec.name}_shift_peak": peak,
    }
    limit, length = slab.dataset.recipe.quality.max_shift_px, math.hypot(x, y)
    if limit is not None and length > limit and peak >= shift.least_peak(patch.pixels[name].shape[-1]):
        for array in slab.dataset.arrays[spec.name]:
            patch.pixels.pop(array, None)
        raise Reject(Code.SHIFTED, length)


def _read_all(
    slab: _Slab, reader: Reader, location: Location, spec: SourceSpec, scenes: Sequence[Scene]
) -> tuple[Pixels, bool, float]:
    """All arrays of a source, whether any was warped, and the least valid fraction."""
    pixels, warped, valid = {}, False, 1.0
    reader.prefetch([_reads(slab, location, spec, scenes)])  # all of it at a time, where nobody foresaw it
    for name, array in slab.dataset.arrays[spec.name].items():
        pixels[name], was_warped = _read_array(slab, reader, location, spec, array, scenes)
        warped |= was_warped
        valid = min(valid, _valid_fraction(pixels[name], array))
    return pixels, warped, valid


def _valid_fraction(pixels: NDArray[Any], array: ArraySpec) -> float:
    """Share of pixels that have data in every band."""
    return float((pixels != array.nodata).all(axis=0).mean())


def _read_array(
    slab: _Slab, reader: Reader, location: Location, spec: SourceSpec, array: ArraySpec, scenes: Sequence[Scene]
) -> tuple[NDArray[Any], bool]:
    """(band, y, x) of an array, and whether any band was warped. Raises Reject where radar holds what cannot be."""
    if spec.swath is not None:
        (name,) = (n for n, a in slab.dataset.arrays[spec.name].items() if a is array)
        found, _ = swathgrid.pixels(slab.swaths, spec, {name: array}, location, scenes, lambda s: _files(slab, spec, s))
        return found[name], True
    bands, warped = [], False
    for band in array.bands:
        assets = _assets(slab, spec, band, scenes)
        pixels, was_warped = reader.read(assets, array, location, zero_is_nodata=spec.zero_is_nodata)
        if np.issubdtype(pixels.dtype, np.floating) and not np.isfinite(pixels).all():
            raise ReadError(f"{assets[0].href}: holds NaN or infinity, expected finite values or {array.nodata:g}")
        bands.append(pixels)
        warped |= was_warped
    stacked = np.stack(bands)
    if spec.radar and array.role == "data":
        stacked = backscatter.possible(stacked, array.nodata)
    return stacked, warped


def _assets(slab: _Slab, spec: SourceSpec, band: str, scenes: Sequence[Scene]) -> list[Asset]:
    form = slab.forms[spec.name]
    sign, index = (form.sign, form.asset_bands.get(band, 1)) if form else ("none", 1)
    return [Asset(s.hrefs[band], sign, index, select.held(s.geometry)) for s in scenes]


def _reads(
    slab: _Slab,
    location: Location,
    spec: SourceSpec,
    scenes: Sequence[Scene],
    roles: Collection[str] = ("data", "mask", "classes"),
) -> list[Read]:
    """What reading a source's arrays of some roles from scenes takes; nothing of swaths, which say it when they are open."""
    if spec.swath is not None:
        return []
    return [
        Read(asset, array, location)
        for array in slab.dataset.arrays[spec.name].values()
        if array.role in roles
        for band in array.bands
        for asset in _assets(slab, spec, band, scenes)
    ]
