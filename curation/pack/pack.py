"""The steps from cubes to shards; `pipeline` puts them in order."""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curation.cubes import bound, selection
from curation.cubes.cube import Cube
from curation.errors import ConfigError, CurationError, DamageError, StorageError
from curation.errors.causes import one_line
from curation.errors.codes import Code
from curation.errors.words import counted, did_you_mean
from curation.format.index import INDEX, Index
from curation.format.tar import MemberRow
from curation.outcomes import PENDING
from curation.pack import annotate, release, sharing, targets
from curation.pack import split as splits
from curation.pack.annotate import AnnotationError, Failure
from curation.pack.card import card
from curation.pack.card.facts import facts_of
from curation.pack.domains import gather
from curation.pack.facts import Cubes, read_facts, sample_shares, split_facts, times
from curation.pack.labels import coverage
from curation.pack.labels.imported import Imported
from curation.pack.plan import Plan, PlannedSample, SeasonCounts, plan, season_counts
from curation.pack.pruned import Decisions
from curation.pack.shard import ShardJob, ShardPart, folder_of, keep, write_shard
from curation.pack.sides import apart_rad
from curation.pack.subject import Gathered
from curation.places import rows
from curation.places.locations import Locations
from curation.places.regions import Region
from curation.places.rows import Dropped
from curation.recipe import catalogs, exclude
from curation.store import full, paths
from curation.store.ledger import Ledger, cube_names
from curation.store.objects import Store
from curation.store.stat import Receipt
from curation.work import cluster
from curation.work.progress import Counting, Doing
from curation.work.run import Run

log = logging.getLogger(__name__)

MOST_UNKNOWN, MOST_HINTS = 5, 20_000
"""Ids that exclude nothing that are told, and ids among which one that was meant is looked for."""


@dataclass(frozen=True, slots=True)
class PackedShards:
    """What packing came to."""

    index: Index
    where: str
    dropped: Counter[str]
    shared: str
    """What sides of the split have in common."""
    mixing: float | None
    reused: int
    labels: str = ""
    """What imported labels came to, where there are any."""

    def summary(self) -> str:
        """For a person."""
        lines = [
            f"{split}: {counted(e.samples, 'sample')} in {counted(len(e.shards), 'shard')}, "
            f"{sum(s.size for s in e.shards) / 1e6:.1f} MB"
            for split, e in self.index.splits.items()
        ]
        lines.append("dropped: " + (", ".join(f"{k} {v}" for k, v in self.dropped.most_common()) or "none"))
        lines.append(f"the split's sides share: {self.shared}")
        lines += [self.labels] if self.labels else []
        lines += [targets.summary(its, self.index.counts["target"])] if (its := self.index.target) else []
        if self.mixing is not None:
            lines.append(
                f"geography: neighbours in a shard lie {self.mixing:.2f} times as far apart as random pairs do"
            )
        lines.append(f"content sha256 {self.index.content_sha256}")
        lines.append(f"{self.where} ({counted(self.reused, 'shard')} made before)")
        return "\n".join(lines)


def planned(run: Run, asked: Sequence[Region], built: Cubes) -> Plan:
    """Which samples there will be and what is dropped, rows of a file of places among it.

    Args:
        run: what is packed, and where.
        asked: the regions.
        built: what is built of them.

    Raises:
        ConfigError: nothing is complete, and no further build would change that; or the target can be none.
        CurationError: nothing is complete since the build is unfinished; or the split's rule is at fault.
    """
    dataset = run.dataset
    excluded = exclude.read(dataset.recipe.exclude, dataset.path)
    facts, shares = split_facts(run, built), sample_shares(run, built)
    splits.check_values(dataset)
    texts, pruned = gather.gathered(run, built), Decisions.load(run.store)
    made = plan(
        dataset,
        built.cubes,
        built.outcomes,
        excluded,
        facts,
        shares,
        texts.places,
        texts.seasons,
        times(run, built),
        pruned,
    )
    if pruned is not None:
        pruned.check_samples(_judged(made, pruned), catalogs.pixels_digest(dataset, run.catalogs))
    if dataset.recipe.labels.column is not None:
        made = dataclasses.replace(made, target=targets.of(dataset, selection.everywhere(dataset, run.store)))
    if not any(made.shards.values()):
        raise _nothing_complete(run, asked, made.dropped, season_counts(dataset, built.cubes, built.outcomes))
    chosen = [m for of in made.shards.values() for shard in of for m in shard]
    rule = dataset.recipe.split
    places, parts = [m.location for m in chosen], [m.split for m in chosen]
    if pairs := sharing.near_pairs(places, parts, apart_rad(dataset.recipe.grid, rule.buffer_km), rule.tiers):
        raise CurationError(
            f"{dataset.path}: [split]: {pairs} pairs of samples of two sides have less than buffer_km of ground between "
            "them, which its rule has to keep apart: it is at fault; nothing was packed, take another rule"
        )
    if faults := splits.faults(dataset.recipe, parts, [_domain_of(made, rule.domains, p.id) for p in places]):
        why = ", ".join(f"{reason} {n}" for reason, n in Counter(d.reason for d in made.dropped).most_common(5))
        raise ConfigError(
            f"{dataset.path}: [split]: {'; '.join([*faults, *made.unmatched])}. Left out: {why or 'none'}. "
            "Nothing was packed"
        )
    made.unmatched.extend(splits.notes(dataset.recipe, parts))
    for name in sorted(excluded.keys() - made.sides.keys())[:MOST_UNKNOWN]:
        hint = did_you_mean(name, itertools.islice(made.sides, MOST_HINTS))
        log.warning(
            "%s: [exclude] %r is no location of these regions, so it excludes nothing; %s", dataset.path, name, hint
        )
    for line in made.unmatched:
        log.warning("[split] %s", line)
    if rows_of_file := rows.of(dataset, asked):
        made.dropped.extend(rows_of_file.dropped)
    return made


def _judged(made: Plan, pruned: Decisions) -> Iterator[str]:
    """Ids of the samples that there would be if none had been left out by what was decided."""
    yield from (m.location.id for shards in made.shards.values() for members in shards for m in members)
    yield from (d.location.id for d in made.dropped if pruned.reasons.get(d.location.id, "") == d.reason)


def _domain_of(made: Plan, domains: Sequence[str], name: str) -> str:
    """What the domain that a rule looks at tells of a root; empty where it looks at none."""
    return next((made.domains[d][name] for d in domains), "")


@dataclass(frozen=True, slots=True)
class Matched:
    """What became of imported labels."""

    summary: str = ""
    """For a person; empty where there are none."""
    unmatched: bytes | None = None
    """Their rows that no sample has its labels from, as a table."""


def matched(run: Run, built: Cubes, jobs: Sequence[ShardJob], imported: Imported | None) -> Matched:
    """What became of imported labels in these shards."""
    if imported is None:
        return Matched()
    firsts = (next(iter(by.values())) for by in built.cubes.values())
    places = Locations.joined([c.locations for c in firsts if not c.dataset.level])
    samples = ((m, facts[0]) for j in jobs for m, facts in zip(j.members, j.facts, strict=True))
    lost = coverage.unused(imported, run.dataset, places, samples)
    why = ", ".join(f"{code} {n}" for code, n in Counter(code for _, code in lost).most_common())
    text = f"labels of {imported.record.file}: {imported.record.rows - len(lost)} of {counted(imported.record.rows, 'row')}"
    return Matched(
        f"{text} are of samples" + (f"; the others ({why}) are listed in {paths.UNMATCHED}" if lost else ""),
        coverage.table(imported, lost),
    )


def publish(
    run: Run,
    jobs: Sequence[ShardJob],
    parts: Sequence[ShardPart],
    made: Plan,
    index: Index,
    files: Mapping[str, bytes],
    labels: Matched,
) -> None:
    """Puts new shards in the place of those packed before; index and release last.

    Shards of an earlier packing stay readable until here: only now the index goes, the new shards are put into their
    places, and the new index comes. Cards follow it: a release without them is told by `verify`.
    """
    store, data = run.store.child(paths.SHARDS), index.to_bytes()
    release.keep_previous(run.store, data)
    if any(_waits(p) for p in parts) or not all(_stands(store, k, content) for k, content in files.items()):
        store.delete(INDEX)  # from here until it is back, the dataset is not complete
    with Doing("pack: putting the new shards into their places", often_short=True):
        for job, part in zip(jobs, parts, strict=True):
            if _waits(part):
                _put_in_place(run.store, job, part)
    for key, content in files.items():
        store.publish(key, content)
    run.store.publish(paths.DROPPED, rows.table(made.dropped))
    run.store.publish(paths.SPLIT, splits.record(made.sides))
    if labels.unmatched is not None:
        run.store.publish(paths.UNMATCHED, labels.unmatched)
    elif run.store.head(paths.UNMATCHED) is not None:
        run.store.delete(paths.UNMATCHED)
    store.publish(INDEX, data)
    run.store.publish(paths.RELEASE, release.content(run.dataset, index, data))
    release.forget_others(run.store, index)
    tables = {split: files[entry.samples_table.name] for split, entry in index.splits.items()}
    card.write(run.store, facts_of(run.dataset, data, tables))


def _nothing_complete(
    run: Run, asked: Sequence[Region], dropped: Sequence[Dropped], found: SeasonCounts
) -> CurationError:
    """Why there is nothing to pack: a ConfigError where no further build would change that."""
    reasons = Counter(d.reason for d in dropped)
    why = ", ".join(f"{reason} {n}" for reason, n in reasons.most_common(3))
    text = f"{_looked(run, asked)}, found no location that is complete, of {len(dropped)}: {why}; "
    ok = f". Patches that are ok: {', '.join(f'{season} {n}' for season, n in found.patches.items())}"
    if any(f"({PENDING})" in reason or "(failed " in reason for reason in reasons):
        return CurationError(
            f"{text}the build is unfinished: go on with it (a sample needs all of its seasons), then pack{ok}"
        )
    if run.dataset.recipe.pack.complete == "all" and found.by_any:
        text += (
            f'complete = "all" wants every season of each: write complete = "any" in [pack], by which '
            f"{counted(found.by_any, 'location')} would be samples with the seasons that they have, or "
        )
    return ConfigError(f"{text}relax the recipe, or build another region{ok}")


def check_built(run: Run, asked: Sequence[Region]) -> None:
    """Passes where something is built of the regions. Reads nothing but names, and what a few cubes say of themselves.

    Raises:
        ConfigError: nothing is; where it looked, and what is built there, is told.
    """
    built: dict[str, list[str]] = {}
    for region, season in cube_names(run.store):
        built.setdefault(region, []).append(season)
    if any(r.name in built for r in asked):
        return
    lines = []
    for region, seasons in built.items():
        made = (Cube(run.dataset.level_of(region), paths.region_of(region), s).made_by(run.store) for s in seasons)
        catalog = next((f", catalog {_asked(m['catalog'])}" for m in made if m and "catalog" in m), "")
        lines.append(f"region {region} ({', '.join(seasons)}{catalog})")
    there = f"built there: {'; '.join(lines)}" if lines else "nothing is built there"
    raise ConfigError(
        f"{_looked(run, asked)}, found nothing to pack: {there}. Give --catalog, --region and --root as they were for the "
        "build, or build it first"
    )


def _asked(catalog: Any) -> str:
    """Who was asked for a cube, as it says: one, or several by source."""
    return ", ".join(f"{k}: {v}" for k, v in catalog.items()) if isinstance(catalog, dict) else str(catalog)


def _looked(run: Run, asked: Sequence[Region]) -> str:
    """Where packing looked."""
    names = ", ".join(r.name for r in asked)
    return f"{run.store.where('')}: looked for regions {names}, built from catalog {run.catalogs.label}"


def opened(run: Run, asked: Sequence[Region]) -> Cubes:
    """What is built of the regions, each cube bound to this recipe.

    Raises:
        ConfigError: a cube was built by another recipe or catalog.
    """
    cubes: dict[str, dict[str, Cube]] = {}
    ledgers: dict[str, dict[str, Ledger]] = {}
    for cube in selection.cubes(run, asked, run.dataset.cube_seasons()):
        ledger = Ledger.replay(run.store, cube.folder, cube.season)
        bound.check_bound(dataclasses.replace(run, dataset=cube.dataset), ledger, cube)
        cubes.setdefault(cube.folder, {})[cube.season] = cube
        ledgers.setdefault(cube.folder, {})[cube.season] = ledger
    outcomes = {r: {s: {o.id: o for o in its.outcomes()} for s, its in by.items()} for r, by in ledgers.items()}
    return Cubes(cubes, ledgers, outcomes)


def gathered(run: Run, made: Plan) -> dict[str, Gathered]:
    """What annotations read for all samples at once, by annotation; what is missing is told.

    Raises:
        ReadError: it cannot be read, or is not what the recipe says.
    """
    places = [m.location for shards in made.shards.values() for members in shards for m in members]
    with Doing("pack: reading what annotations are read from", often_short=True):
        found = annotate.gather(run.dataset, run.catalogs, sorted(places, key=lambda p: p.id))
    for name, its in found.items():
        if missing := its.facts.get("missing"):
            why = ", ".join(f"{code} {n}" for code, n in missing.items())
            log.warning("pack: %s: of %s some values are missing, NaN: %s", name, counted(len(places), "sample"), why)
    return found


def jobs(
    run: Run, built: Cubes, made: Plan, imported: Imported | None, read: Mapping[str, Gathered]
) -> Iterator[ShardJob]:
    """The shards that there will be, with the facts of what goes into them, imported labels and what was read among them."""
    wanted: dict[tuple[str, str], set[int]] = {}
    for shards in made.shards.values():
        for place in (p for members in shards for m in members for p in m.places):
            for part in place.parts:
                folder = folder_of(run.dataset, place)
                slab = part.patch // built.cubes[folder][part.season].slab_patches
                wanted.setdefault((folder, part.season), set()).add(slab)
    facts = read_facts(run, built, wanted)

    def known(place: PlannedSample) -> dict[str, dict[str, Any]]:
        out = {p.season: facts[folder_of(run.dataset, place), p.season, p.patch] for p in place.parts}
        if imported is not None and place.location.parent is None:
            for part in place.parts:
                args = (part.season, place.location.id, part.outcome, out[part.season])
                out[part.season] = out[part.season] | imported.facts(run.dataset, *args)
        return out

    pixels = catalogs.pixels_digest(run.dataset, run.catalogs)
    for split, shards in made.shards.items():
        for number, members in enumerate(shards):
            of = tuple(tuple(known(p) for p in m.places) for m in members)
            values = tuple({n: its.values[m.location.id] for n, its in read.items()} for m in members) if read else ()
            yield ShardJob(run.dataset, run.store, split, number, tuple(members), of, pixels, values)


def written(run: Run, jobs: Sequence[ShardJob]) -> tuple[list[ShardPart], int]:
    """The parts of all shards, in order, and how many of them an earlier run made: these are not made again.

    Raises:
        StorageError: nothing more can be kept; shards that are made are not made again.
        CurationError: a shard could not be written, since a cube is damaged or for another cause.
    """
    done: dict[str, ShardPart] = {}
    for job in jobs:
        part = _made_before(run.store, job)
        if part is not None:
            done[job.key] = part
    reused = len(done)
    stands = run.store.head(paths.shard(INDEX)) is not None
    todo = [dataclasses.replace(j, staged=stands) for j in jobs if j.key not in done]
    failed: dict[str, BaseException] = {}
    if reused:
        log.info("pack: %d of %s are made already, %d to make", reused, counted(len(jobs), "shard"), len(todo))
    with Counting("pack: shards", len(todo), "shard", "stored") as count:
        for batch in cluster.stream(run.client, full.Final(write_shard), todo, run.store):
            for job, result in batch:
                if isinstance(result, StorageError):
                    raise result  # receipts of shards that are made lie beside them
                if isinstance(result, BaseException):
                    failed[job.key] = result
                else:
                    done[job.key] = result
                count.step(1, 0 if isinstance(result, BaseException) else result.receipt.size)
    failures = [f for err in failed.values() if isinstance(err, AnnotationError) for f in err.failures]
    _record(run.store, failures)
    if failed:
        raise CurationError(_not_written(failed, len(jobs), stands=stands))
    return [done[j.key] for j in jobs], reused


def _record(store: Store, failures: Sequence[Failure]) -> None:
    """Keeps which annotations could not be made of which samples, and why, until a packing makes all of them."""
    if failures:
        rows = [{**dataclasses.asdict(f), "reason": Code.ANNOTATION_FAILED} for f in failures]
        store.publish(paths.FAILURES, (json.dumps(rows, indent=1, sort_keys=True) + "\n").encode())
    elif store.head(paths.FAILURES) is not None:
        store.delete(paths.FAILURES)


def _not_written(failed: Mapping[str, BaseException], total: int, *, stands: bool) -> str:
    """Why shards were not written, and what to do: another try does not mend a damaged cube."""
    damaged = {k: e for k, e in failed.items() if isinstance(e, DamageError)}
    key, first = min((damaged or failed).items())
    text = f"{len(failed)} of {counted(total, 'shard')} could not be written"
    if damaged:
        cause = f"{first} (first found, for {key}; shards that want damaged pixels: {len(damaged)})"
        rest = len(failed) - len(damaged)
        text += f": {cause}. Packing again does not help before that" + (f"; {rest} had another cause" if rest else "")
    elif any(isinstance(e, AnnotationError) for e in failed.values()):
        text += f": {one_line(first)}. {paths.FAILURES} names each sample and cause; mend the function, and pack again"
    else:
        text += f"; rerun to try again. First: {key}: {one_line(first)}"
    return text + (". The shards packed before stand and can be read" if stands else "")


def _waits(part: ShardPart) -> bool:
    """Whether the shard is made, and not yet in its place."""
    return paths.is_waiting(part.receipt.key)


def _stands(store: Store, key: str, content: bytes) -> bool:
    stat = store.head(key)
    return stat is not None and stat.size == len(content) and store.get(key) == content


def _put_in_place(store: Store, job: ShardJob, part: ShardPart) -> None:
    """Moves a shard that waits to its place; killed in between, it is made again.

    Its receipt stays among what waits until all is done (`release.forget_others`), as the sign that packing has not ended.
    """
    stat = store.move(part.receipt.key, paths.shard(job.key))
    receipt = dataclasses.replace(part.receipt, key=stat.key, etag=stat.etag)
    keep(store, paths.part(job.split, job.number), dataclasses.replace(part, receipt=receipt))


def _made_before(store: Store, job: ShardJob) -> ShardPart | None:
    """The shard's part, where an earlier run made it from the very same chunks, facts and rules and it still stands."""
    keys = (paths.part(job.split, job.number, waiting=waiting) for waiting in (False, True))
    return next((part for key in keys if (part := _packed_before(store, job, key))), None)


def _packed_before(store: Store, job: ShardJob, key: str) -> ShardPart | None:
    try:
        value = json.loads(store.get(key))
    except FileNotFoundError:
        return None
    receipt = Receipt(**value["receipt"])
    stat = store.head(receipt.key)
    if value["digest"] != job.digest or stat is None or (stat.size, stat.etag) != (receipt.size, receipt.etag):
        return None
    return ShardPart(
        value["digest"],
        receipt,
        [MemberRow(*row) for row in value["rows"]],
        value["contents"],
        value["sums"],
        value["floored"],
        value["columns"],
        value["counts"],
    )
