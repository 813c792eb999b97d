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
import time
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from curation import candidates, clouds, cube, facts, grid, labels, radiometry, select, shift, swathgrid, zarrshard
from curation.candidates import Candidates
from curation.catalogs import Catalog
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
    PatchOutcome,
    ReadError,
    Reject,
    Scene,
    SourceOutcome,
    Status,
    shortened,
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


@dataclass(slots=True)
class _Patch:
    """What is known of a patch while it is built."""

    location: Location
    pixels: Pixels = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, SourceOutcome] = field(default_factory=dict)


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
    ahead_bytes = job.dataset.recipe.fetch.ahead_mb * 10**6
    with (
        Reader(job.catalog.base, ahead_bytes, job.per_host) as reader,
        Swaths(job.catalog.base, ahead_bytes, per_host=job.per_host) as swaths,
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
    )
    return SlabReceipt(record, _etags(receipts), time.perf_counter() - started, peak_bytes())


def _slab(job: SlabJob, swaths: Swaths) -> _Slab:
    searches = Searches(job.dataset, job.catalog, job.store, job.searches)
    places = [p for p in job.locations if p.id in job.todo]
    found = candidates.of_slab(job.dataset, searches, job.season, places)
    forms = {s.name: job.catalog.form_of(s) for s in job.dataset.sources(job.season)}
    return _Slab(job.dataset, job.region, job.season, found, forms, swaths)


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
                with _outcome_of(patch, spec):
                    reads += _reads(slab, location, spec, slab.candidates[spec.name][location.id].scenes)
            yield reads
            for spec in specs:
                with _outcome_of(patch, spec):
                    _read_mosaic(slab, reader, patch, spec)
        else:
            yield from _build_seasonal(slab, reader, patch, required)
    except _SourceError as err:
        cause = err.__cause__ or err
        patch.sources[err.source] = SourceOutcome(Status.FAILED, type(cause).__name__, cause=one_line(cause))
        log.warning("%s/%s/%s: %s failed: %s", slab.region, slab.season, location.id, err.source, one_line(cause))
    status = _patch_status(patch, required, [s.name for s in slab.dataset.sources(slab.season)])
    return patch, PatchOutcome(location.id, status, patch.sources)


def one_line(err: BaseException) -> str:
    """One line on an error, each URL in it without its query (signatures stand there)."""
    line = (str(err).splitlines() or [""])[0]
    return f"{type(err).__name__}: " + shortened(" ".join(w.split("?")[0] for w in line.split(" ")), 600)


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


@contextlib.contextmanager
def _outcome_of(patch: _Patch, spec: SourceSpec) -> Iterator[None]:
    """A Reject inside becomes the source's outcome; an error inside is told as the source's, and ends the patch."""
    try:
        yield
    except Reject as why:
        patch.sources[spec.name] = SourceOutcome(why.status, why.code, why.value, cause=why.cause)
    except _SourceError:
        raise
    except Exception as err:
        raise _SourceError(spec.name) from err


def _build_seasonal(slab: _Slab, reader: Reader, patch: _Patch, required: set[str]) -> Reading[None]:
    """Reads the sources that choose for themselves, each with those that go with it; a required one refused ends it."""
    for spec in slab.dataset.sources(slab.season):
        if spec.pick == "mean":
            with _outcome_of(patch, spec):
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
    with _outcome_of(patch, anchor):
        chosen = yield from _walk(slab, reader, patch, anchor, [f for f in followers if f.name in required])
    if chosen is None:
        return
    for spec in followers:
        if spec.name not in patch.sources:
            with _outcome_of(patch, spec):
                _read_nearest(slab, reader, patch, spec, chosen)
                _measure_shift(slab, patch, anchor, spec)
    for spec in matched:
        with _outcome_of(patch, spec):
            _read_matched(slab, reader, patch, spec, chosen)


def _walk(
    slab: _Slab, reader: Reader, patch: _Patch, anchor: SourceSpec, followers: Sequence[SourceSpec]
) -> Reading[Scene]:
    """The first candidate that passes on the patch, read; its required followers are read with it.

    A candidate passes where each follower has a scene near enough in time, its mask is clear and valid enough, the
    followers are valid, and its own bands are. The rejection told is that of the candidate that came furthest.

    Raises:
        Reject: none passes.
    """
    mine = slab.candidates[anchor.name][patch.location.id]
    mine.check()
    quality = slab.dataset.recipe.quality
    furthest: tuple[int, float, SourceSpec, Reject] | None = None

    for scene in mine.scenes[: quality.max_candidates]:
        trial = _Patch(patch.location)
        stage, blame = 0, anchor
        try:
            for blame in followers:
                _ranked(slab, patch.location, blame, scene)
            stage, blame = 1, anchor
            yield _reads(slab, patch.location, anchor, [scene], roles=("mask",))
            _read_mask(slab, reader, trial, anchor, scene)
            stage = 2
            yield [
                *_reads(slab, patch.location, anchor, [scene], roles=("data", "classes")),
                *_reads_with(slab, patch.location, anchor, scene),
            ]
            for blame in followers:
                _read_nearest(slab, reader, trial, blame, scene)
            stage, blame = 3, anchor
            _read_bands(slab, reader, trial, anchor, scene)
        except Reject as reject:
            patch.facts = _better(patch.facts, trial.facts, anchor)
            rank = (stage, reject.value if reject.value is not None else 0.0)
            if furthest is None or rank > furthest[:2]:
                furthest = (*rank, blame, reject)
            continue
        except Exception as err:
            raise _SourceError(blame.name) from err
        for spec in followers:
            _measure_shift(slab, trial, anchor, spec)
        patch.pixels |= trial.pixels
        patch.facts = trial.facts
        patch.sources |= trial.sources
        return scene
    assert furthest is not None, "candidates without a code hold at least one scene"
    _, _, spec, why = furthest
    if spec is not anchor:
        patch.sources[spec.name] = SourceOutcome(why.status, why.code, why.value)
        raise Reject(Code.UPSTREAM)
    raise why


def _better(old: dict[str, Any], new: dict[str, Any], anchor: SourceSpec) -> dict[str, Any]:
    """Of two candidates that failed, the facts of the clearer one."""
    name = f"{anchor.name}_clear_fraction"
    return new if new.get(name, -1.0) > old.get(name, -1.0) else old


def _read_mask(slab: _Slab, reader: Reader, patch: _Patch, spec: SourceSpec, scene: Scene) -> None:
    quality = slab.dataset.recipe.quality
    name, array = next((n, a) for n, a in slab.dataset.arrays[spec.name].items() if a.role == "mask")
    pixels, _ = _read_array(slab, reader, patch.location, spec, array, [scene])
    clear, doubtful = clouds.fraction(pixels, spec.clear), clouds.fraction(pixels, spec.doubtful)
    valid = 1 - clouds.fraction(pixels, spec.invalid)
    patch.facts |= {
        f"{spec.name}_clear_fraction": clear,
        f"{spec.name}_doubtful_fraction": doubtful,
        f"{spec.name}_valid_fraction": valid,
        f"{spec.name}_cloud_pct": scene.cloud_pct,
        f"{spec.name}_time": scene.time.timestamp(),
        f"{spec.name}_baseline": scene.baseline or "",
        f"{spec.name}_offset_dn": scene.offset_dn,
    }
    if valid < slab.dataset.min_valid(spec.name):
        raise Reject(Code.NODATA, valid)
    if clear < quality.min_clear:
        raise Reject(Code.CLOUDY, clear)
    if doubtful > quality.max_doubtful:
        raise Reject(Code.DOUBTFUL, doubtful)
    patch.pixels[name] = pixels


def _read_bands(slab: _Slab, reader: Reader, patch: _Patch, spec: SourceSpec, scene: Scene) -> None:
    warped = False
    valid = patch.facts[f"{spec.name}_valid_fraction"]
    for name, array in slab.dataset.arrays[spec.name].items():
        if array.role == "mask":
            continue
        pixels, was_warped = _read_array(slab, reader, patch.location, spec, array, [scene])
        radiometry.check_offset(pixels, scene.offset_dn, array.nodata)
        patch.pixels[name] = radiometry.harmonised(pixels, scene.offset_dn, array.nodata)
        valid = min(valid, _valid_fraction(pixels, array))
        warped |= was_warped
    patch.facts |= {f"{spec.name}_valid_fraction": valid, f"{spec.name}_warped": int(warped)}
    if valid < slab.dataset.min_valid(spec.name):
        raise Reject(Code.NODATA, valid)
    patch.sources[spec.name] = SourceOutcome(Status.OK, scenes=(scene.id,))


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
    max_gap_days = slab.dataset.recipe.quality.max_gap_days
    return select.rank_nearest(mine.scenes, location, anchor.time, mine.direction, max_gap_days)


def _read_nearest(slab: _Slab, reader: Reader, patch: _Patch, spec: SourceSpec, to: Scene) -> None:
    """The nearest scene with enough valid pixels."""
    quality = slab.dataset.recipe.quality
    best = 0.0
    for scene in _ranked(slab, patch.location, spec, to)[: quality.max_candidates]:
        pixels, warped, valid = _read_all(slab, reader, patch.location, spec, [scene])
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
    raise Reject(Code.NODATA, best)


def _read_matched(slab: _Slab, reader: Reader, patch: _Patch, spec: SourceSpec, to: Scene) -> None:
    """The map of the very acquisition; it is sparse by nature, so gaps are kept and told, not refused."""
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
    return select.same_acquisition(mine.scenes, to)[0]


def _read_mean(slab: _Slab, patch: _Patch, spec: SourceSpec) -> None:
    """The mean of all scenes of the season; pixels that no footprint of enough quality reaches are nodata."""
    mine = slab.candidates[spec.name][patch.location.id]
    mine.check()
    arrays = slab.dataset.arrays[spec.name]
    found, used = swathgrid.pixels(
        slab.swaths, spec, arrays, patch.location, mine.scenes, lambda s: _files(slab, spec, s)
    )
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
    mine = slab.candidates[spec.name][patch.location.id]
    if spec.hole_value is None or mine.status is Status.FAILED:
        mine.check()
    pixels, warped, valid = _read_all(slab, reader, patch.location, spec, mine.scenes)
    patch.facts |= {f"{spec.name}_valid_fraction": valid, f"{spec.name}_warped": int(warped)}
    if spec.hole_value is not None:
        valid = 1.0
        for name, array in slab.dataset.arrays[spec.name].items():
            empty = (pixels[name] == array.nodata).all(axis=0)
            void = empty & reader.covered(_assets(slab, spec, array.bands[0], mine.scenes), array, patch.location)
            hole = empty & ~void  # a void of a scene is not the sea beside it
            patch.facts[f"{spec.name}_hole_fraction"] = float(hole.mean())
            patch.facts[f"{spec.name}_void_fraction"] = float(void.mean())
            pixels[name] = np.where(hole, pixels[name].dtype.type(spec.hole_value), pixels[name])
            valid = min(valid, 1 - float(void.mean()))
    if valid < slab.dataset.min_valid(spec.name) and not spec.classes:
        raise Reject(Code.NODATA, valid)
    patch.pixels |= pixels
    if spec.classes:
        _class_facts(slab.dataset, patch, spec)
    if spec.elevation:
        name, array = next(iter(slab.dataset.arrays[spec.name].items()))
        pixel_m = grid.pixel_m(patch.location, array.step(patch.location.size_m))
        patch.facts |= elevation_facts(pixels[name][0], *pixel_m, array.nodata)
    patch.sources[spec.name] = SourceOutcome(Status.OK, scenes=tuple(s.id for s in mine.scenes))


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


def _measure_shift(slab: _Slab, patch: _Patch, anchor: SourceSpec, spec: SourceSpec) -> None:
    """Measures how far a follower lies from the anchor, on their finest arrays of equal resolution."""
    finest = {n: a for n, a in slab.dataset.arrays[anchor.name].items() if a.role == "data"}
    for name, array in slab.dataset.arrays[spec.name].items():
        for other, reference in finest.items():
            if reference.pixel == array.pixel and min(patch.pixels[name].shape[1:]) >= 4 * shift.MAX_SHIFT_PX:
                x, y, peak = shift.shift_px(
                    patch.pixels[other].mean(axis=0), np.log(np.maximum(patch.pixels[name].mean(axis=0), 1e-5))
                )
                patch.facts |= {
                    f"{spec.name}_shift_x_px": x,
                    f"{spec.name}_shift_y_px": y,
                    f"{spec.name}_shift_peak": peak,
                }
                return


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
    """(band, y, x) of an array, and whether any band was warped."""
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
    return np.stack(bands), warped


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
