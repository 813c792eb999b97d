"""Which class maps are to be made here, that they are, and the labels they come to; `making` has how one is made."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from curation.cubes import contents
from curation.errors import ConfigError, CurationError, DamageError, StorageError
from curation.errors.causes import one_line
from curation.pack.labels.listed import LabelRow, table
from curation.pack.labels.making import MapOutcome, MapsJob, MapsPlan, Wanted, Way, failed, make_maps, read, read_record
from curation.places.regions import Region
from curation.scenes import acquisition
from curation.store import full, paths
from curation.store.ledger import cube_names
from curation.store.objects import Store
from curation.work import cluster
from curation.work.progress import Counting
from curation.work.run import Run

log = logging.getLogger(__name__)

BROKEN_AFTER_SLABS = 5
"""So many slabs in a row of which every map failed: the service, the account or the model is at fault, not the images."""

READ_THREADS = 8
"""Records and facts are many small objects: so many are read at once."""


def planned(run: Run, asked: Sequence[Region], way: Way, source: str) -> MapsPlan:
    """The maps of all patches that are built of the regions. Neither places are drawn nor a catalog is asked.

    Labels are the dataset's: of other regions what was made before stays known, and nothing is made.

    Raises:
        ConfigError: nothing is built of the regions.
        DamageError: a ledger, or a cube's facts, are not what was recorded.
    """
    dataset = run.dataset
    seasons, folders = dataset.seasons_of(source), [dataset.folder(r.name) for r in asked]
    there = [(f, s) for f, s in cube_names(run.store) if paths.level_of(f) == dataset.level and s in seasons]
    there.sort(key=lambda c: (folders.index(c[0]) if c[0] in folders else len(folders), seasons.index(c[1])))
    if not {f for f, _ in there}.intersection(folders):
        raise ConfigError(
            f"{run.store.where('')}: nothing is built there of {', '.join(r.name for r in asked)} in a season of "
            f"{source!r}: maps are made of the images that patches were built of; build first, and then do this again"
        )
    follows = dataset.specs[source].pick.follows or ""
    jobs: list[MapsJob] = []
    known: list[MapOutcome] = []
    ids: dict[str, frozenset[str]] = {}
    others = 0
    for folder, season in there:
        its = contents.opened(dataset, run.store, folder, season)
        ids[folder] = ids.get(folder, frozenset()) | {p.id for p in its.cube.locations}
        with ThreadPoolExecutor(READ_THREADS) as pool:
            look = functools.partial(_job, run, way, source, follows, its, folder in folders)
            for job, before, left in pool.map(look, range(its.cube.slabs)):
                known += before
                jobs += [job] if job.wanted else []
                others += left
    return MapsPlan(tuple(jobs), tuple(known), ids, others)


def _job(
    run: Run, way: Way, source: str, follows: str, its: contents.CubeContents, is_asked: bool, slab: int
) -> tuple[MapsJob, list[MapOutcome], int]:
    """The maps of a slab that are to be made, what is recorded of the others, and how many nobody asks to make."""
    cube, wanted = its.cube, []
    job = MapsJob(run.dataset, run.store, way, source, cube.folder, cube.season, slab, ())
    for slot, place in enumerate(cube.slab(slab)):
        outcome = its.outcomes.get(place.id)
        if outcome is not None and outcome.has(follows) and (scenes := outcome.sources[follows].scenes):
            number, px = slab * cube.slab_patches + slot, job.array.px(place.size_m)
            input_digest = way.input_digest(cube.dataset, outcome.chunks)
            wanted.append(Wanted(number, place, scenes[0], None, outcome.chunks, px, input_digest))
    before = read_record(job.store, job.key) if wanted else {}
    stays = MapOutcome.settles if is_asked else MapOutcome.is_of
    known = [o for w in wanted if (o := before.get(w.place.id)) is not None and stays(o, w)]
    settled = {o.place for o in known}
    left = [w for w in wanted if w.place.id not in settled]
    if not is_asked:
        return job, known, len(left)
    if left:
        facts = its.facts(slab)
        seconds = [facts[w.number - slab * cube.slab_patches].get(f"{follows}_time") for w in left]
        left = [
            dataclasses.replace(w, sensed_s=None if s is None else float(s)) for w, s in zip(left, seconds, strict=True)
        ]
    return dataclasses.replace(job, wanted=tuple(left)), known, 0


def made(run: Run, plan: MapsPlan, title: str) -> list[MapOutcome]:
    """What became of all maps: those that were made before, and those of the plan, which are made now.

    Raises:
        StorageError: nothing more can be kept; a rerun goes on.
        CurationError: everything fails.
    """
    out = list(plan.known)
    broken = 0
    workers = cluster.workers(run.client)
    jobs = (dataclasses.replace(j, way=j.way.shared(workers)) for j in plan.jobs)
    with Counting(title, plan.todo, "map", "stored") as count:
        for batch in cluster.stream(run.client, full.Final(make_maps), jobs, run.store):
            for job, result in batch:
                if isinstance(result, StorageError):
                    raise result
                fresh = _lost(job, result) if isinstance(result, BaseException) else result
                out += fresh
                count.add((o.label for o in fresh), sum(o.size for o in fresh))
                broken = broken + 1 if all(o.failed for o in fresh) else 0
                if broken >= BROKEN_AFTER_SLABS:
                    raise CurationError(
                        f"every map of {broken} slabs in a row failed, so no more are tried; {causes(fresh)}. What is made "
                        "is kept: see to that, and run the same command again"
                    )
    return out


def causes(outcomes: Sequence[MapOutcome], most: int = 3) -> str:
    """Why maps failed, the commonest first, for a person."""
    found = Counter(o.code or "" for o in outcomes if o.failed)
    first = {o.code or "": o.cause or "" for o in reversed(outcomes) if o.failed}
    return "; ".join(f"{n} such as {first[code]}" for code, n in found.most_common(most))


def _lost(job: MapsJob, err: BaseException) -> list[MapOutcome]:
    """What is said of maps whose whole task failed; nothing of it is recorded."""
    cause = one_line(err)
    log.warning("%s/%s, slab %d: %s", job.folder, job.season, job.slab, cause)
    return [failed(w, err) for w in job.wanted]


def rows_of(outcomes: Sequence[MapOutcome]) -> pa.Table:
    """Labels in the form of `listed.SCHEMA`: a row per map, in an order that does not depend on who made it when.

    An image that there is none of has a row without labels; of one that failed nothing is said.
    """
    rows: list[LabelRow] = []
    for its in sorted((o for o in outcomes if not o.failed), key=lambda o: (o.place, o.sensed_s or 0.0, o.scene)):
        sensed = None if its.sensed_s is None else dt.datetime.fromtimestamp(its.sensed_s, dt.UTC)
        image = acquisition.of_scene(its.image or its.scene, sensed)
        known: tuple[list[float], float] | None = None if its.shares is None else (its.shares, its.valid_fraction)
        shares, valid = known or (None, None)
        rows.append(LabelRow(len(rows) + 1, its.place, its.image or its.scene, image, None, shares, valid))
    return table(rows)


def digest_of(outcomes: Sequence[MapOutcome]) -> str:
    """Digest of the maps that there are: of where they lie and their bytes."""
    found = sorted(f"{o.key} {o.sha256}" for o in outcomes if o.key)
    return hashlib.sha256("\n".join(found).encode()).hexdigest()


def records(store: Store) -> Iterator[tuple[str, dict[str, MapOutcome] | DamageError]]:
    """Key and content of each record there is, of all ways; or what is wrong with it."""
    for stat in store.list(paths.MAPS):
        if paths.is_maps_record(stat.key):
            try:
                yield stat.key, read(store, stat.key)
            except DamageError as err:
                yield stat.key, err
