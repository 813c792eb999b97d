"""The one file that puts the steps in order: locate, search, select, build; then plan, pack, index, release.

Stage boundaries are files, never futures: each stage may be stopped at any instant and run again.
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

from curation.build import masks, sourcecheck
from curation.build.chiplook import ForeignLook as ForeignLook
from curation.build.chiplook import ForeignSet as ForeignSet
from curation.build.chiplook import foreign_set as foreign_set
from curation.build.chiplook import look as look
from curation.build.chipmarks import changed_chips as changed_chips
from curation.build.context import SlabJob
from curation.build.counted import Cost as Cost
from curation.build.counted import build_counted
from curation.build.slab import SlabReceipt, build_slab, prepare
from curation.cubes import columns, creation
from curation.cubes.bound import Bound, check_bound
from curation.cubes.cube import Cube
from curation.cubes.selection import cubes
from curation.cubes.sizes import check_sizes
from curation.cubes.unsettled import Unsettled
from curation.errors import CurationError, DamageError, StorageError, causes, code_of
from curation.errors.codes import Code
from curation.errors.words import counted
from curation.model import Location, Window
from curation.outcomes import SETTLED, SLAB, PatchOutcome, SourceOutcome, Status
from curation.pack import annotate, sharing
from curation.pack import pack as packing
from curation.pack.labels import imported as imported_labels
from curation.pack.pack import PackedShards
from curation.pack.plan import mixing
from curation.pack.tables import index_of
from curation.places.regions import Region
from curation.recipe.catalogs import Catalog, Catalogs
from curation.recipe.dataset import Dataset
from curation.recipe.sources import SourceSpec
from curation.scenes import candidates
from curation.scenes.cells import SearchCell
from curation.scenes.saved import Searches, Wanted
from curation.store.full import Final
from curation.store.ledger import Ledger
from curation.store.objects import Store
from curation.store.paths import SHARDS
from curation.store.records import SlabRecord
from curation.work import cluster
from curation.work.progress import Counting, Doing
from curation.work.run import Run

log = logging.getLogger(__name__)

BROKEN_AFTER_SLABS = 5
"""So many slabs in a row of which every patch failed: not the patches are at fault."""


@dataclass(slots=True)
class Built:
    """What building one cube came to."""

    region: str
    """Its folder (`store.paths`)."""
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
    causes: Counter[str] = field(default_factory=Counter)
    """What went wrong → patches that failed for it."""
    unreadable: str = ""
    """What is wrong with catalogs of which too many items could not be read, by name."""
    damaged: str = ""
    """What is not what earlier runs recorded of it, where that was seen when columns of facts were made."""

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


@dataclass(slots=True)
class _Work:
    """One cube while it is built."""

    run: Run
    """Of its level."""
    left: Unsettled
    built: Built
    bound: Bound

    @property
    def cube(self) -> Cube:
        """The cube."""
        return self.left.cube

    @property
    def ledger(self) -> Ledger:
        """What is recorded of it."""
        return self.left.ledger

    def publish_columns(self) -> None:
        """Brings the columns of its facts to what is recorded."""
        self.built.damaged = columns.publish(self.cube, self.run.store, self.ledger)


def searches(dataset: Dataset, every: Catalogs, store: Store) -> Searches:
    """The searches that a build of a dataset makes: who asks its catalogs something before asks them by these."""
    return Searches(dataset, every, store)


def build(
    run: Run,
    asked: Sequence[Region],
    seasons: Sequence[str],
    work: Callable[[SlabJob], SlabReceipt] | None = None,
    *,
    run_code: bool = False,
    keep: Callable[[], None] = lambda: None,
    searches: Searches | None = None,
) -> list[Built]:
    """Builds every asked patch that is not settled; the cubes one after another, their slabs in one stream.

    Args:
        run: what is built, and where.
        asked: the regions.
        seasons: the seasons.
        work: what a worker does with a slab: `build_slab`, unless something else is to be measured.
        run_code: whether models that the recipe names for masks may be executed.
        keep: is called once nothing refuses the build any more, before anything else is written or searched.
        searches: of the dataset, by which its catalogs may have been asked something already; new ones where None.

    Raises:
        UnaskedCodeError: it names some, and that is not said.
        ConfigError: a ledger is bound to another recipe or catalog, or the catalog cannot be reached.
        StorageError: nothing more can be kept; what was finished by then is recorded where that is possible.
        CurationError: everything fails.
    """
    masks.check(run.dataset, run_code=run_code)
    with Doing("build: reading what is recorded", often_short=True):
        works = _works(run, asked, seasons)
    keep()
    by_cube = {(w.cube.folder, w.cube.season): w for w in works}
    total = sum(w.left.patches for w in works)
    _say_settled(works, total)
    if total:
        prepare(run.dataset, run.store)
    if searches is None:
        searches = Searches(run.dataset, run.catalogs, run.store)
    _sweep(run, works, searches)
    jobs = itertools.chain.from_iterable(_jobs(w, searches) for w in works)
    broken, full, waiting = 0, None, {key: len(w.left.slabs) for key, w in by_cube.items()}
    with Counting("build", total, "patch", "stored", searches.doing) as count:
        task = Final(work or build_slab)
        for batch in cluster.stream(run.client, task, jobs, run.store, run.catalogs.served_url):
            records: dict[tuple[str, str], list[SlabRecord]] = {}
            for job, result in batch:
                if isinstance(result, StorageError):  # the patches are pending, as they were: nothing is known of them
                    full = full or result
                    continue
                record = _record(run, job, result)
                records.setdefault((job.folder, job.season), []).append(record)
                fresh = [o for o in record.patches if o.id in job.todo]
                stored = sum(o.size for o in record.objects) if isinstance(result, SlabReceipt) else 0
                count.add((o.label for o in fresh), stored)
                by_cube[job.folder, job.season].built.add(len(fresh), result)
                broken = broken + 1 if all(o.status is Status.FAILED for o in fresh) else 0
            for key, lines in records.items():
                by_cube[key].ledger.append(lines)
                waiting[key] -= len(lines)
                if not waiting[key]:
                    by_cube[key].publish_columns()
            if full is not None:
                raise full
            if broken >= BROKEN_AFTER_SLABS:
                for its in works:
                    its.publish_columns()
                _stop(broken, [r for lines in records.values() for r in lines])
    _say_unknown(searches)
    for its in works:
        its.publish_columns()
        its.built.counts = its.left.counts()
        its.built.passed_over = its.ledger.passed_over()
        its.built.causes = _causes(its.built, its.ledger)
        its.built.excluded = _with_excluded(run.dataset, its.ledger)
        its.built.unreadable = searches.unreadable_share()
    return [w.built for w in works]


Costs = dict[tuple[str, str], Cost]
"""Level and season → what patches of it took."""


def calibrate(
    run: Run, asked: Sequence[Region], seasons: Sequence[str], *, run_code: bool = False
) -> tuple[Costs, list[Built]]:
    """What the first patches took, `run.limit` of each cube; and what became of them.

    They are built in this process, one slab after the other, into `run.store`. Raises as `build` does.
    """
    found: Costs = {}

    def work(job: SlabJob) -> SlabReceipt:
        return build_counted(job, found.setdefault((job.dataset.level, job.season), Cost()))

    return found, build(replace(run, client=None), asked, seasons, work, run_code=run_code)


def pack(
    run: Run, asked: Sequence[Region], *, run_code: bool = False, keep: Callable[[], None] = lambda: None
) -> PackedShards:
    """Makes the shards of all complete locations of the regions; index and release last.

    Args:
        run: what is packed, and where.
        asked: the regions.
        run_code: whether Python code that the recipe's annotations name may be executed.
        keep: is called once nothing refuses the packing any more; imported labels are read after it.

    Raises:
        UnaskedCodeError: they name some, and that is not said.
        ConfigError: a cube was built by another recipe or catalog, or nothing that is built can be packed.
        StorageError: nothing more can be kept; shards that are made are not made again.
        ReadError: what annotations are read from cannot be read, or is not what the recipe says.
        CurationError: nothing is complete since the build is unfinished; the split's rule is at fault; or a shard could not
            be written, since a cube is damaged or for another cause.
    """
    annotate.check(run.dataset, run.catalogs, run_code=run_code)
    with Doing("pack: reading what is built, and planning", often_short=True):
        built = packing.opened(run, asked)
        made = packing.planned(run, asked, built)
        keep()
        imported = imported_labels.load(run.store, run.dataset)
    read = packing.gathered(run, made)
    if made.pruned is not None:
        identities = {name: its.identity for name, its in read.items()}
        made.pruned.check_release(imported_labels.release_digest(run.dataset, imported, made.target, identities))
    jobs = list(packing.jobs(run, built, made, imported, read))
    parts, reused = packing.written(run, jobs)
    with Doing("pack: making the index", often_short=True):
        index, files = index_of(run.dataset, run, jobs, parts, made, built.outcomes, imported, read)
    labels = packing.matched(run, built, jobs, imported)
    packing.publish(run, jobs, parts, made, index, files, labels)
    dropped = Counter(d.reason for d in made.dropped)
    where = run.store.child(SHARDS).where("")
    return PackedShards(index, where, dropped, sharing.summary(made.shared), mixing(made), reused, labels.summary)


def _say_settled(works: Sequence[_Work], total: int) -> None:
    """Logs what earlier runs have done of what is asked for."""
    asked = sum(w.left.asked for w in works)
    if asked <= total:  # patches that lack sources are built with the rest of their slabs, asked for or not
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


def _causes(built: Built, ledger: Ledger) -> Counter[str]:
    """What went wrong of which source → patches that failed for it; of one that wants two sources, each counts."""
    if not built.failed:
        return Counter()  # nothing of the ledger is read for it
    failed = (o for o in ledger.outcomes() if o.status is Status.FAILED)
    return Counter(f"{name}: {s.cause}" for o in failed for name, s in o.sources.items() if s.cause)


def _with_excluded(dataset: Dataset, ledger: Ledger) -> int:
    """Patches that are ok with a scene which the recipe excludes."""
    excluded = set(dataset.recipe.search.exclude)
    if not excluded:
        return 0  # nothing of the ledger is read for it
    found = (o for o in ledger.outcomes() if o.status is Status.OK)
    return sum(any(not excluded.isdisjoint(s.scenes) for s in o.sources.values()) for o in found)


def search(run: Run, asked: Sequence[Region], seasons: Sequence[str]) -> None:
    """Searches catalogs of files for all patches that are to be built: what `build` does first.

    Raises:
        ConfigError: as `build` does.
    """
    _sweep(run, _works(run, asked, seasons), Searches(run.dataset, run.catalogs, run.store))


def _works(run: Run, asked: Sequence[Region], seasons: Sequence[str]) -> list[_Work]:
    """All cubes asked for. All ledgers are checked before the first slab is built."""
    return [_work(replace(run, dataset=cube.dataset), cube) for cube in cubes(run, asked, seasons)]


def _work(run: Run, cube: Cube) -> _Work:
    """A cube's ledger, bound to this recipe and catalog, and what is left to do."""
    ledger = Ledger.replay(run.store, cube.folder, cube.season)
    bound = check_bound(run, ledger, cube)
    check_sizes(run.store, ledger, cube)
    if bound.added:
        what = counted(sum(len(cube.slab(n)) for n in ledger.outgrown), "patch")
        log.info("build: %s is given %s: %s that stood, or were tried", cube.name, ", ".join(bound.added), what)
    return _Work(run, Unsettled(cube, ledger, run.limit), Built(cube.folder, cube.season), bound)


def _jobs(work: _Work, searches: Searches) -> Iterator[SlabJob]:
    """The tasks of a cube. Its ledger is taken, its schema written and its scenes searched when the first is asked for."""
    run, cube, ledger = work.run, work.cube, work.ledger
    if not work.left.slabs and ledger.cube_objects and not ledger.is_growing:
        return
    ledger.acquire(work.bound.binding, more_sources=bool(work.bound.added))
    if not ledger.cube_objects or ledger.is_growing:
        stay = {o.key for its in ledger.columns.values() for o in its.objects}
        ledger.record_cube(creation.create(cube, run.store, work.bound.pixels, stay))
    workers = cluster.workers(run.client)
    per_host = max(run.dataset.recipe.fetch.requests_per_host // workers, 1)
    needs = ((slab, _wanted(run, cube, work.left.places(slab), of_files=False)) for slab in work.left.slabs)
    for slab, cause in searches.ahead(needs, refresh=run.refresh_search):
        yield SlabJob(
            dataset=run.dataset,
            catalogs=run.catalogs,
            region=cube.region,
            season=cube.season,
            slab=slab,
            locations=cube.slab(slab),
            todo=tuple(p.id for p in work.left.places(slab)),
            store=run.store,
            per_host=per_host,
            searches=searches.name,
            prior=ledger.slabs.get(slab) or ledger.before.get(slab),
            unsearched=cause,
        )


def _wanted(run: Run, cube: Cube, places: Sequence[Location], *, of_files: bool) -> list[Wanted]:
    """What places want of the catalogs that are files, or of those that are not."""
    if all(c.is_file != of_files for c in run.catalogs.every):
        return []
    every = candidates.wanted(run.dataset, cube.season, places)
    return [w for w in every if run.catalogs.of(w[0].name).is_file == of_files]


def _sweep(run: Run, works: Sequence[_Work], searches: Searches) -> None:
    """Searches catalogs of files for all cubes in one go, since each look at one is a look at all of it."""
    if not any(c.is_file for c in run.catalogs.every):
        return
    # Searches are cells times sources times windows: what differs is kept once.
    one_of: dict[SearchCell, SearchCell] = {}
    alike: dict[tuple[str, str], tuple[SourceSpec, Window, set[SearchCell]]] = {}
    for work in works:
        for slab in work.left.slabs:
            for spec, window, cell in _wanted(work.run, work.cube, work.left.places(slab), of_files=True):
                cells = alike.setdefault((spec.name, window.name), (spec, window, set()))[2]
                cells.add(one_of.setdefault(cell, cell))
    if not alike:
        return
    asked = run.catalogs.distinct(spec.name for spec, _, _ in alike.values())
    by_catalog = sorted(alike.values(), key=lambda its: asked.index(run.catalogs.of(its[0].name)))
    wanted = ((spec, window, cell) for spec, window, cells in by_catalog for cell in sorted(cells))
    with Counting(f"search {', '.join(c.label for c in asked)}", None, "item") as count:
        for line in searches.run(wanted, refresh=run.refresh_search, progress=count.step):
            log.info("refreshed: %s", line)


def check_source(spec: SourceSpec, file: str, catalog: Catalog) -> tuple[list[str], list[str]]:
    """What one item and one patch say of a source, and what is wrong with it, as `sourcecheck.check` has it."""
    found = sourcecheck.check(spec, file, catalog)
    return found.found, found.wrong


def _stop(broken: int, records: Sequence[SlabRecord]) -> NoReturn:
    causes = [s.cause for r in records for o in r.patches for s in o.sources.values() if s.cause]
    raise CurationError(
        f"every patch of {broken} slabs in a row failed; likely the network, the catalog or the recipe is at fault, not "
        f"the patches. Last cause: {causes[-1] if causes else 'unknown'}"
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
    log.warning("%s/%s slab %d failed: %s", job.folder, job.season, job.slab, cause)
    # Nobody has looked at a source: none is to blame.
    failed = {s.name: SourceOutcome(Status.FAILED, Code.UPSTREAM) for s in job.dataset.sources(job.season)}
    failed[SLAB] = SourceOutcome(Status.FAILED, code_of(result), cause=cause)
    settled = {o.id: o for o in job.prior.patches} if job.prior else {}
    fresh = {i: _failed(i, failed, settled.get(i)) for i in job.todo}
    return SlabRecord(
        job.slab,
        tuple(o for p in job.locations if (o := (settled | fresh).get(p.id)) is not None),
        job.prior.objects if job.prior else (),
        job.prior.excluded if job.prior else (),
        job.prior.sources if job.prior else (),
    )


def _failed(location: str, sources: Mapping[str, SourceOutcome], before: PatchOutcome | None) -> PatchOutcome:
    """What becomes of a patch whose slab failed; pixels that it has stay, since it was tried for sources that are added."""
    if before is None or not before.chunks:
        return PatchOutcome(location, Status.FAILED, dict(sources))
    stands = {name: o for name, o in before.sources.items() if o.status in SETTLED}
    return replace(before, status=Status.FAILED, sources={**sources, **stands})


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
