"""The one file that puts the steps in order: locate, search, select, build; pack is in `shards`.

Stage boundaries are files, never futures: each stage may be stopped at any instant and run again.
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
from distributed import Client

from curation import candidates, catalogs, causes, cluster, cube, locate, regions, storage
from curation.build import SlabJob, SlabReceipt, build_slab
from curation.catalogs import Catalog
from curation.cube import Cube
from curation.ledger import Ledger, SlabRecord, again, size_mark
from curation.locate import rows
from curation.locations import Locations
from curation.model import (
    SLAB,
    STATIC,
    Code,
    ConfigError,
    CurationError,
    DamageError,
    Location,
    PatchOutcome,
    SourceOutcome,
    Status,
    StorageError,
    code_of,
    counted,
)
from curation.progress import Counting, Doing
from curation.recipe import Dataset, changes
from curation.regions import Region
from curation.remaining import Remaining
from curation.search.cells import cell_of
from curation.search.saved import Searches, Wanted
from curation.store import Store

log = logging.getLogger(__name__)

BROKEN_AFTER_SLABS = 5
"""So many slabs in a row of which every patch failed: the code, the network or the catalog is broken, not the patches."""


@dataclass(frozen=True, slots=True)
class Run:
    """What the stages share."""

    dataset: Dataset
    catalog: Catalog
    store: Store
    """The dataset's folder: `<root>/<dataset>`."""
    client: Client | None = None
    """None: work in this process."""
    limit: int | None = None
    """Only the first so many locations of each cube."""
    refresh_search: bool = False


@dataclass(slots=True)
class Built:
    """What building one cube came to."""

    region: str
    season: str
    counts: Counter[str] = field(default_factory=Counter)
    """Reason → patches of those asked for, earlier runs' included."""
    built: int = 0
    """Patches built by this run."""
    seconds: float = 0.0
    """Worker seconds spent on them."""
    worker_bytes: int = 0
    """Highest resident memory of a worker."""
    passed_over: int = 0
    """Patches for which a scene was passed over, since it could not be read; earlier runs' included."""
    excluded: int = 0
    """Patches that were built with a scene which the recipe excludes by now: they keep it."""
    unreadable: str = ""
    """What is wrong with the catalog, where too many of its items could not be read."""

    def add(self, patches: int, result: SlabReceipt | BaseException) -> None:
        """Takes up one slab."""
        self.built += patches
        if isinstance(result, SlabReceipt):
            self.seconds += result.seconds
            self.worker_bytes = max(self.worker_bytes, result.worker_bytes)

    @property
    def failed(self) -> int:
        """Patches that failed: a rerun tries them again."""
        return sum(n for reason, n in self.counts.items() if reason.startswith("failed"))


def asked_regions(dataset: Dataset, catalog: Catalog, text: str) -> list[Region]:
    """The regions that `--region` names: `all` (the recipe's, for this catalog), or names, a bbox or a file.

    Several names are separated by `+`; a comma belongs to a bbox.
    """
    places = dataset.recipe.places
    own = places.regions_of.get(catalog.identity, places.regions)
    # The draw needs the recipe's own regions, whatever is asked for: a typo is told before it. Files may have gone since.
    named = [n for n in places.regions if Path(n).suffix.lower() not in regions.FILE_SUFFIXES]
    wanted = list(dict.fromkeys([*named, *(own if text == regions.ALL else ())]))
    found = dict(zip(wanted, regions.of_recipe(dataset.path, wanted), strict=True))
    if text == regions.ALL:
        return [found[n] for n in own]
    if "," in text:
        return [regions.find(text)]
    return [regions.find(n) for n in text.split("+")]


def asked_seasons(dataset: Dataset, text: str) -> list[str]:
    """The seasons that `--season` names: `all` (static first), or names separated by commas.

    Raises:
        ConfigError: the recipe has no such season.
    """
    every = dataset.cube_seasons()
    if text == regions.ALL:
        return every
    names = list(dict.fromkeys(text.split(",")))
    for name in names:
        dataset.recipe.season(name)
    # Labels and elevation come from the static cube, so its missing slabs are built first.
    return [s for s in every if s == STATIC] + [n for n in names if n != STATIC]


def locations(dataset: Dataset, store: Store, asked: Sequence[Region], *, keep: bool = True) -> dict[str, Locations]:
    """Folder → the locations of its cubes along a space-filling curve, so that neighbours share slabs and scenes.

    A region has a folder per level (`Dataset.folder`). The draw is made at first use and kept as GeoParquet (unless `keep`
    is False, where nothing is written); the sampler `grid` draws region by region.
    """
    if dataset.recipe.places.sampler == "grid":
        found = {r.name: _drawn(dataset, store, f"manifest/locations-{r.name}.parquet", [r], keep) for r in asked}
    else:
        everywhere = _drawn(dataset, store, "manifest/locations.parquet", None, keep)
        found = {r.name: locate.select(everywhere, [r]) for r in asked}
    out = {}
    for region, places in found.items():
        for level in dataset.levels:
            out[level.folder(region)] = locate.curve_order(places.children() if level.level else places.roots())
    return out


def _drawn(dataset: Dataset, store: Store, key: str, asked: Sequence[Region] | None, keep: bool) -> Locations:
    if store.head(key) is None:
        count = dataset.recipe.places.count
        with Doing(f"locate: drawing {f'{count:,}' if count else 'all'} locations"):
            made = locate.draw(dataset, asked)
        if not keep:
            return made
        if given := rows.of(dataset, regions.of_recipe(dataset.path, dataset.recipe.places.regions)):
            store.publish("manifest/dropped.parquet", rows.table(given.dropped))  # until packing knows of the others
        locate.save(made, store, key, dataset)
    return locate.load(store, key, dataset)


@dataclass(slots=True)
class _Work:
    """One cube while it is built."""

    run: Run
    """Of its level."""
    left: Remaining
    built: Built

    @property
    def here(self) -> Cube:
        """The cube."""
        return self.left.here

    @property
    def ledger(self) -> Ledger:
        """What is recorded of it."""
        return self.left.ledger


def build(
    run: Run,
    asked: Sequence[Region],
    seasons: Sequence[str],
    work: Callable[[SlabJob], SlabReceipt] | None = None,
) -> list[Built]:
    """Builds every asked patch that is not settled; the cubes one after another, their slabs in one stream.

    `work` is what a worker does with a slab: `build_slab`, unless something else is to be measured.

    Raises:
        ConfigError: a ledger is bound to another recipe or catalog, or the catalog cannot be reached.
        StorageError: nothing more can be kept; what was finished by then is recorded where that is possible.
        CurationError: everything fails.
    """
    with Doing("build: reading what is recorded", often_short=True):
        works = _works(run, asked, seasons)
    by_cube = {(w.here.region, w.here.season): w for w in works}
    total = sum(w.left.patches for w in works)
    _say_settled(works, total)
    searches = Searches(run.dataset, run.catalog, run.store)
    if run.catalog.is_file:
        _sweep(run, works, searches)
    jobs = itertools.chain.from_iterable(_jobs(w, searches) for w in works)
    broken, full = 0, None
    with Counting("build", total, "patch", "stored", searches.doing) as count:
        task = storage.Final(work or build_slab)
        for batch in cluster.stream(run.client, task, jobs, run.store, run.catalog.here):
            records: dict[tuple[str, str], list[SlabRecord]] = {}
            for job, result in batch:
                if isinstance(result, StorageError):  # the patches are pending, as they were: nothing is known of them
                    full = full or result
                    continue
                record = _record(run, job, result)
                records.setdefault((job.region, job.season), []).append(record)
                fresh = [o for o in record.patches if o.id in job.todo]
                stored = sum(o.size for o in record.objects) if isinstance(result, SlabReceipt) else 0
                count.add((o.told for o in fresh), stored)
                by_cube[job.region, job.season].built.add(len(fresh), result)
                broken = broken + 1 if all(o.status is Status.FAILED for o in fresh) else 0
            for key, lines in records.items():
                by_cube[key].ledger.append(lines)
            if full is not None:
                raise full
            if broken >= BROKEN_AFTER_SLABS:
                _stop(broken, [r for lines in records.values() for r in lines])
    _say_unknown(searches)
    for its in works:
        its.built.counts = its.left.counts()
        its.built.passed_over = its.ledger.passed_over()
        its.built.excluded = _with_excluded(run.dataset, its.ledger)
        its.built.unreadable = searches.read.told()
    return [w.built for w in works]


def _say_settled(works: Sequence[_Work], total: int) -> None:
    """Logs what earlier runs have done of what is asked for."""
    asked = sum(w.left.asked for w in works)
    if asked == total:
        return
    failed = sum(n for w in works for reason, n in w.left.counts().items() if reason.startswith("failed"))
    again = f" ({failed} of them failed before)" if failed else ""
    log.info("build: %d of %s are settled already, %d to build%s", asked - total, counted(asked, "patch"), total, again)


def _say_unknown(searches: Searches) -> None:
    """Logs which ids that the recipe excludes exclude nothing: most likely they are misspelt."""
    for name, hint in searches.unknown(searches.dataset.recipe.search.exclude).items():
        where = f"{searches.dataset.path}: [search] exclude"
        log.warning(
            "%s: %r is in no search of this dataset, so it excludes nothing; %s", where, name, hint or "a typo?"
        )


def _with_excluded(dataset: Dataset, ledger: Ledger) -> int:
    """Patches that are ok with a scene which the recipe excludes."""
    excluded = set(dataset.recipe.search.exclude)
    if not excluded:
        return 0  # nothing of the ledger is read for it
    found = (o for o in ledger.outcomes() if o.status is Status.OK)
    return sum(any(not excluded.isdisjoint(s.scenes) for s in o.sources.values()) for o in found)


def search(run: Run, asked: Sequence[Region], seasons: Sequence[str]) -> None:
    """Searches a catalog of files for all patches that are to be built: what `build` does first.

    Raises:
        ConfigError: as `build` does.
    """
    _sweep(run, _works(run, asked, seasons), Searches(run.dataset, run.catalog, run.store))


def _works(run: Run, asked: Sequence[Region], seasons: Sequence[str]) -> list[_Work]:
    """All cubes asked for. All ledgers are checked before the first slab is built."""
    return [_work(replace(run, dataset=here.dataset), here) for here in cubes(run, asked, seasons)]


def cubes(run: Run, asked: Sequence[Region], seasons: Sequence[str], *, keep: bool = True) -> list[Cube]:
    """The cubes of regions and seasons, of every level that has them, the roots' first.

    Raises:
        ConfigError: a region holds nothing.
    """
    out = []
    for folder, places in locations(run.dataset, run.store, asked, keep=keep).items():
        level = run.dataset.level_of(folder)
        if level.level and not places:
            continue  # cells in which no place fits
        out += [cube.cube_of(level, folder, s, places) for s in seasons if s in level.cube_seasons()]
    return out


def _work(run: Run, here: Cube) -> _Work:
    """A cube's ledger, bound to this recipe and catalog, and what is left to do."""
    ledger = Ledger.replay(run.store, here.region, here.season)
    check_bound(run, ledger, here)
    _check_sizes(run.store, ledger, here)
    return _Work(run, Remaining(here, ledger, run.limit), Built(here.region, here.season))


def check_bound(run: Run, ledger: Ledger, here: Cube) -> None:
    """Passes where a cube's ledger is bound to this recipe and catalog, or to nothing yet.

    Raises:
        ConfigError: it is bound to others; what changed is told by its key where the cube says what it was made by.
    """
    try:
        ledger.check(here.binding(catalogs.pixels_digest(run.dataset, run.catalog)))
    except ConfigError as err:
        before = here.made_by(run.store)
        told = "; ".join(changes(before, catalogs.pixels_parts(run.dataset, run.catalog))) if before else ""
        if not told:
            raise
        if run.catalog.is_file:
            told = told.replace(f'is "{run.catalog.identity}"', f'is {run.catalog.told} ("{run.catalog.identity}")')
        raise ConfigError(f"{err}. What changed: {told}") from err


def _check_sizes(store: Store, ledger: Ledger, here: Cube) -> None:
    """Passes where each object of the cube is there with the size recorded of it, as one listing says; reads no byte.

    Slabs with patches yet to be settled are left out: a build that was stopped may have written them since, and each
    committed chunk of theirs is checked by its hash when they are built.

    Raises:
        DamageError: an object is missing, or has another size.
    """
    whole = [r for n, r in ledger.lines.items() if r.settled == here.patches_of(n)]
    marks = b"".join([*(size_mark(o.key, o.size) for o in ledger.cube_objects), *(r.marks for r in whole)])
    if not marks:
        return
    stored = b"".join(size_mark(s.key, s.size) for s in store.list(here.prefix))
    if not np.isin(np.frombuffer(marks, "u8"), np.frombuffer(stored, "u8")).all():
        _tell_missing(store, ledger, here)


def _tell_missing(store: Store, ledger: Ledger, here: Cube) -> NoReturn:
    sizes = {s.key: s.size for s in store.list(here.prefix)}
    recorded = list(ledger.cube_objects)
    for number, record in ledger.slabs.items():
        if record.settled == here.patches_of(number):
            recorded += record.objects
    wrong = [o for o in recorded if sizes.get(o.key) != o.size]
    first, size = wrong[0], sizes.get(wrong[0].key)
    found = "is recorded but not there" if size is None else f"has {size} bytes, recorded were {first.size}"
    raise DamageError(f"{store.where(first.key)}: {found} (the first of {len(wrong)} such objects): {again(first.key)}")


def _jobs(work: _Work, searches: Searches) -> Iterator[SlabJob]:
    """The tasks of a cube. Its ledger is taken, its schema written and its scenes searched when the first is asked for."""
    run, here, ledger = work.run, work.here, work.ledger
    if not work.left.slabs and ledger.cube_objects:
        return
    digest = catalogs.pixels_digest(run.dataset, run.catalog)
    ledger.acquire(here.binding(digest))
    if not ledger.cube_objects:
        ledger.record_cube(here.create(run.store, catalogs.pixels_parts(run.dataset, run.catalog)))
    workers = cluster.workers(run.client)
    per_host = max(run.dataset.recipe.fetch.requests_per_host // workers, 1)
    slabs: Iterable[tuple[int, CurationError | None]]
    if run.catalog.is_file:
        slabs = ((slab, None) for slab in work.left.slabs)  # searched before
    else:
        needs = ((slab, _wanted(run, here, work.left.places(slab))) for slab in work.left.slabs)
        slabs = searches.ahead(needs, refresh=run.refresh_search)
    for slab, cause in slabs:
        yield SlabJob(
            dataset=run.dataset,
            catalog=run.catalog,
            region=here.region,
            season=here.season,
            slab=slab,
            locations=here.slab(slab),
            todo=tuple(p.id for p in work.left.places(slab)),
            store=run.store,
            per_host=per_host,
            searches=searches.name,
            prior=ledger.slabs.get(slab),
            unsearched=cause,
        )


def _wanted(run: Run, here: Cube, places: Sequence[Location]) -> list[Wanted]:
    return candidates.wanted(run.dataset, here.season, sorted({cell_of(p) for p in places}))


def _sweep(run: Run, works: Sequence[_Work], searches: Searches) -> None:
    """Searches a catalog of files for all cubes in one go, since each look at it is a look at all of it."""
    wanted = {}
    for work in works:
        for slab in work.left.slabs:
            for spec, season, cell in _wanted(work.run, work.here, work.left.places(slab)):
                wanted[spec.name, season.name, cell] = (spec, season, cell)
    if not wanted:
        return
    with Counting(f"search {run.catalog.told}", None, "item") as count:
        for line in searches.run(list(wanted.values()), refresh=run.refresh_search, progress=count.step):
            log.info("refreshed: %s", line)


def _stop(broken: int, records: Sequence[SlabRecord]) -> NoReturn:
    told = [s.cause for r in records for o in r.patches for s in o.sources.values() if s.cause]
    raise CurationError(
        f"every patch of {broken} slabs in a row failed; likely the network, the catalog or the recipe is at fault, not "
        f"the patches. Last cause: {told[-1] if told else 'unknown'}"
    )


def _record(run: Run, job: SlabJob, result: SlabReceipt | BaseException) -> SlabRecord:
    """What to record of a slab: the task's receipt, checked against the store; or its failure."""
    if isinstance(result, SlabReceipt):
        try:
            _check_stored(run.store, result)
        except DamageError as err:
            result = err
        else:
            return result.record
    cause = causes.whole(result)
    log.warning("%s/%s slab %d failed: %s", job.region, job.season, job.slab, cause)
    # Nobody has looked at a source: none is to blame.
    failed = {s.name: SourceOutcome(Status.FAILED, Code.UPSTREAM) for s in job.dataset.sources(job.season)}
    failed[SLAB] = SourceOutcome(Status.FAILED, code_of(result), cause=cause)
    kept = {o.id: o for o in job.prior.patches} if job.prior else {}
    fresh = {i: PatchOutcome(i, Status.FAILED, failed) for i in job.todo}
    return SlabRecord(
        job.slab,
        tuple(o for p in job.locations if (o := (kept | fresh).get(p.id)) is not None),
        job.prior.objects if job.prior else (),
        job.prior.excluded if job.prior else (),
    )


def _check_stored(store: Store, receipt: SlabReceipt) -> None:
    """Passes where the store holds what the task wrote.

    Raises:
        DamageError: another, presumed dead task has written since.
    """
    objects = receipt.record.objects
    for stored, stat in zip(objects, store.heads([o.key for o in objects]), strict=True):
        if stat is None or stat.size != stored.size or stat.etag != receipt.etags[stored.key]:
            raise DamageError(
                f"{store.where(stored.key)}: is not what the task wrote: another writer came between; rerun to settle it"
            )
