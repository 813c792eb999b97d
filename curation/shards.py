"""Cubes to shards: a pure plan over the ledgers, one task per shard, index and release last."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import importlib.resources
import io
import itertools
import json
import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
from numpy.typing import NDArray

from curation import catalogs, cluster, grid, labels, payload, pipeline, shardformat, sharing, shift, storage
from curation.backscatter import FLOOR_DB, decibels
from curation.causes import one_line
from curation.complete import Standing, standings
from curation.cube import Cube
from curation.ledger import Ledger, recorded_cubes
from curation.locate import rows as given_rows
from curation.locate.rows import Dropped
from curation.locate.split import reach_km
from curation.model import (
    PENDING,
    STATIC,
    ConfigError,
    CurationError,
    DamageError,
    Location,
    PatchOutcome,
    Status,
    StorageError,
    counted,
    iso,
    parse_time,
)
from curation.printable import storable
from curation.progress import Counting, Doing
from curation.recipe import UNSHARED_CELL, Dataset, PackSpec
from curation.regions import Region
from curation.shardformat import ArrayEntry, BandStatistics, FileEntry, Index, ShardEntry, SourceEntry, SplitEntry
from curation.sharing import Shared
from curation.sources import ArraySpec, SourceSpec
from curation.store import Receipt, Store

log = logging.getLogger(__name__)

SPLITS = ("train", "val")
FOLDER = "shards"
PARTS = "packing"
"""Where receipts of single shards lie, so that a pack that was stopped does not make them again."""
STAGE = f"{PARTS}/new"
"""Where new shards wait, with their receipts, while shards of an earlier packing stand: those stay readable meanwhile."""

CENTIDB_NODATA = -32768

READ_THREADS = 8
"""Facts are many small objects: so many are read at once."""


@dataclass(frozen=True, slots=True)
class Part:
    """One season of one sample: where it is, and what is known of it."""

    season: str
    patch: int
    """Its number in the cube."""
    outcome: PatchOutcome


@dataclass(frozen=True, slots=True)
class Member:
    """One sample to be: a location and its seasons."""

    location: Location
    parts: tuple[Part, ...]
    """`static` first, then in the recipe's order."""
    children: tuple[Member, ...] = ()
    """Of its children, those that have something, in the order of the draw."""

    @property
    def places(self) -> tuple[Member, ...]:
        """Itself, and its children."""
        return (self, *self.children)


@dataclass(frozen=True, slots=True)
class Plan:
    """Which samples, in which shards."""

    shards: dict[str, list[list[Member]]]
    """Split → shards → samples in order."""
    dropped: list[Dropped]
    shared: dict[str, Shared] = field(default_factory=dict)
    """Source, or `era5-cell` → what train and val have in common."""


@dataclass(frozen=True, slots=True)
class ShardJob:
    """One shard to write."""

    dataset: Dataset
    store: Store
    split: str
    number: int
    members: tuple[Member, ...]
    facts: tuple[tuple[dict[str, dict[str, Any]], ...], ...]
    """Per sample, for itself and each of its children, season → facts."""
    staged: bool = False
    """Whether it is written aside, to be put into its place when all shards are made."""

    @property
    def key(self) -> str:
        """The tar's path below the shards' folder."""
        return f"{self.split}/{self.dataset.name}-{self.split}-{self.number:06d}.tar"

    @property
    def digest(self) -> str:
        """What the tar's bytes, and what the index says of it, follow from: what writes it, too."""
        value = [
            shardformat.VERSION,
            written_by(),
            self.dataset.release_digest(),
            [
                [m.location.split, [[p.location.id, [[s.season, s.outcome.chunks] for s in p.parts]] for p in m.places]]
                for m in self.members
            ],
        ]
        text = json.dumps([value, self.facts], sort_keys=True, default=_plain)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ShardPart:
    """What writing one shard gave: small enough to keep, enough to make the index."""

    digest: str
    """Of the job."""
    receipt: Receipt
    """Its key is below the dataset's folder: the shard's place, or where it waits."""
    rows: list[shardformat.MemberRow]
    contents: list[str]
    """Per sample, the digest of its decoded arrays and labels."""
    sums: dict[str, dict[str, list[float]]]
    """Array → band → count, sum, sum of squares, min, max over valid pixels that are not at the floor, and how many are."""
    floored: list[dict[str, dict[str, list[float]]]]
    """Per sample, season → array → shares of valid pixels of each band at the radar's floor."""


@dataclass(frozen=True, slots=True)
class Packed:
    """What packing came to."""

    index: Index
    where: str
    dropped: Counter[str]
    shared: str
    """What train and val have in common."""
    mixing: float | None
    reused: int

    def summary(self) -> str:
        """For a person."""
        lines = [
            f"{split}: {counted(e.samples, 'sample')} in {counted(len(e.shards), 'shard')}, "
            f"{sum(s.size for s in e.shards) / 1e6:.1f} MB"
            for split, e in self.index.splits.items()
        ]
        lines.append("dropped: " + (", ".join(f"{k} {v}" for k, v in self.dropped.most_common()) or "none"))
        lines.append(f"train and val share: {self.shared}")
        if self.mixing is not None:
            lines.append(
                f"geography: neighbours in a shard lie {self.mixing:.2f} times as far apart as random pairs do"
            )
        lines.append(f"content sha256 {self.index.content_sha256}")
        lines.append(f"{self.where} ({counted(self.reused, 'shard')} made before)")
        return "\n".join(lines)


def plan(
    dataset: Dataset,
    cubes: Mapping[str, Mapping[str, Cube]],
    outcomes: Mapping[str, Mapping[str, Mapping[str, PatchOutcome]]],
) -> Plan:
    """Which samples go into which shard. Pure: follows from recipe and ledgers, whatever order they were written in.

    The first `target` complete locations of the draw; then ordered by a seeded hash of their id, so that each shard mixes
    the whole geography.

    Args:
        dataset: the recipe.
        cubes: folder → season → cube.
        outcomes: folder → season → location id → outcome.
    """
    recipe = dataset.recipe
    dropped: list[Dropped] = []
    whole: list[Member] = []
    for its in _standings(dataset, cubes, outcomes):
        reason = its.verdict.reason
        if reason is None and its.location.split not in SPLITS:
            reason = its.location.split
        dropped += [Dropped(c.location, c.verdict.reason) for c in its.children if c.verdict.reason is not None]
        if reason is None:
            whole.append(_member(its))
        else:
            dropped.append(Dropped(its.location, reason))
    whole.sort(key=lambda m: m.location.rank)
    cells = sharing.cells_of(recipe, [m.location for m in whole])
    uses = {m.location.id: _uses(m, its) for m, its in zip(whole, cells, strict=True)}
    out = sharing.left_out(uses.values(), recipe.split.unshared)
    dropped += [Dropped(m.location, out[m.location.id]) for m in whole if m.location.id in out]
    whole = [m for m in whole if m.location.id not in out]
    target = recipe.pack.target
    if target is not None:
        dropped += [Dropped(m.location, "target") for m in whole[target:]]
        whole = whole[:target]
    whole.sort(key=lambda m: hashlib.sha256(f"{recipe.seed}:{m.location.id}".encode()).digest())
    n = recipe.pack.samples_per_shard
    shards = {}
    for split in SPLITS:
        mine = [m for m in whole if m.location.split == split]
        shards[split] = [mine[i : i + n] for i in range(0, len(mine), n)]
    shared = sharing.shared(uses[m.location.id] for m in whole)
    return Plan(shards, sorted(dropped, key=lambda d: d.location.rank), shared)


def _uses(member: Member, cells: set[str]) -> sharing.Uses:
    things: dict[str, set[str]] = {UNSHARED_CELL: cells}
    for part in (part for place in member.places for part in place.parts):
        for source, its in part.outcome.sources.items():
            if its.status is Status.OK:
                things.setdefault(source, set()).update(its.scenes)
    return sharing.Uses(member.location.id, member.location.split, things)


def _standings(
    dataset: Dataset,
    cubes: Mapping[str, Mapping[str, Cube]],
    outcomes: Mapping[str, Mapping[str, Mapping[str, PatchOutcome]]],
) -> Iterator[Standing]:
    """Where each root stands, once: regions may overlap, and the first asked for has it."""
    places = {folder: next(iter(by_season.values())).locations for folder, by_season in cubes.items()}
    seen: set[str] = set()
    for region in (f for f in cubes if not dataset.level_of(f).level):
        for its in standings(dataset, region, places, lambda f, s, i: outcomes[f][s].get(i)):
            if its.location.id not in seen:
                seen.add(its.location.id)
                yield its


def _member(its: Standing) -> Member:
    parts = tuple(Part(s, its.number, o) for s, o in its.have.items() if o is not None and o.status is Status.OK)
    return Member(its.location, parts, tuple(_member(c) for c in its.children if c.verdict.reason is None))


def pack(run: pipeline.Run, asked: Sequence[Region]) -> Packed:
    """Makes the shards of all complete locations of the regions; index and release last.

    Shards of an earlier packing stay readable until every new one is made: only then the index goes, the new shards are
    put into their places, and the new index comes.

    Raises:
        ConfigError: a cube was built by another recipe or catalog, or nothing that is built can be packed.
        StorageError: nothing more can be kept; shards that are made are not made again.
        CurationError: nothing is complete since the build is unfinished; or a shard could not be written, since a cube is
            damaged or for another cause.
    """
    dataset, store = run.dataset, run.store.child(FOLDER)
    with Doing("pack: reading what is built, and planning", often_short=True):
        cubes, ledgers = _cubes(run, asked)
        outcomes = {r: {s: {o.id: o for o in its.outcomes()} for s, its in by.items()} for r, by in ledgers.items()}
        made = plan(dataset, cubes, outcomes)
    if not any(made.shards.values()):
        raise _nothing_complete(run, asked, made.dropped)
    chosen = [m.location for of in made.shards.values() for shard in of for m in shard]
    if pairs := sharing.near_pairs(chosen, reach_km(dataset.recipe.grid)):
        raise DamageError(
            f"{run.store.where('manifest')}: {pairs} pairs of a train and a val sample may share ground: its locations were "
            "not split by this recipe's rule; delete locations*.parquet and pack again, which draws the same places"
        )
    if given := given_rows.of(dataset, asked):
        made.dropped.extend(given.dropped)
    jobs = list(_jobs(run, cubes, ledgers, made))
    parts, reused = _write(run, jobs)
    with Doing("pack: making the index", often_short=True):
        index, files = _index(dataset, run, jobs, parts, made, outcomes)
        data = index.to_bytes()
    if any(_waits(p) for p in parts) or not all(_stands(store, k, content) for k, content in files.items()):
        store.delete(shardformat.INDEX)  # from here until it is back, the dataset is not complete
    with Doing("pack: putting the new shards into their places", often_short=True):
        for job, part in zip(jobs, parts, strict=True):
            if _waits(part):
                _put_in_place(run.store, job, part)
    for key, content in files.items():
        store.publish(key, content)
    dropped = Counter(d.reason for d in made.dropped)
    run.store.publish("manifest/dropped.parquet", given_rows.table(made.dropped))
    store.publish(shardformat.INDEX, data)
    run.store.publish("manifest/release.json", _release(dataset, index, data))
    _forget(run.store, index)
    return Packed(index, store.where(""), dropped, sharing.told(made.shared), mixing(made), reused)


def _nothing_complete(run: pipeline.Run, asked: Sequence[Region], dropped: Sequence[Dropped]) -> CurationError:
    """Why there is nothing to pack: a ConfigError where no further build would change that."""
    reasons = Counter(d.reason for d in dropped)
    why = ", ".join(f"{reason} {n}" for reason, n in reasons.most_common(3))
    text = f"{_looked(run, asked)}, found no location that is complete, of {len(dropped)}: {why}; "
    if any(f"({PENDING})" in reason or "(failed " in reason for reason in reasons):
        return CurationError(
            text + "the build is unfinished: go on with it (a sample needs all of its seasons), then pack"
        )
    return ConfigError(text + "relax the recipe, or build another region")


def check_built(run: pipeline.Run, asked: Sequence[Region]) -> None:
    """Passes where something is built of the regions. Reads nothing but names, and what a few cubes say of themselves.

    Raises:
        ConfigError: nothing is; where it looked, and what is built there, is told.
    """
    built: dict[str, list[str]] = {}
    for region, season in recorded_cubes(run.store):
        built.setdefault(region, []).append(season)
    if any(r.name in built for r in asked):
        return
    told = []
    for region, seasons in built.items():
        made = (Cube(run.dataset, region, s).made_by(run.store) for s in seasons)
        catalog = next((f", catalog {m['catalog']}" for m in made if m and "catalog" in m), "")
        told.append(f"region {region} ({', '.join(seasons)}{catalog})")
    there = f"built there: {'; '.join(told)}" if told else "nothing is built there"
    raise ConfigError(
        f"{_looked(run, asked)}, found nothing to pack: {there}. Give --catalog, --region and --root as they were for the "
        "build, or build it first"
    )


def _looked(run: pipeline.Run, asked: Sequence[Region]) -> str:
    """Where packing looked."""
    names = ", ".join(r.name for r in asked)
    return f"{run.store.where('')}: looked for regions {names}, built from catalog {run.catalog.told}"


def _cubes(
    run: pipeline.Run, asked: Sequence[Region]
) -> tuple[dict[str, dict[str, Cube]], dict[str, dict[str, Ledger]]]:
    """Folder → season → cube, and ledger, of the regions, each bound to this recipe."""
    cubes: dict[str, dict[str, Cube]] = {}
    ledgers: dict[str, dict[str, Ledger]] = {}
    for here in pipeline.cubes(run, asked, run.dataset.cube_seasons()):
        ledger = Ledger.replay(run.store, here.region, here.season)
        pipeline.check_bound(dataclasses.replace(run, dataset=here.dataset), ledger, here)
        cubes.setdefault(here.region, {})[here.season] = here
        ledgers.setdefault(here.region, {})[here.season] = ledger
    return cubes, ledgers


def _jobs(
    run: pipeline.Run,
    cubes: Mapping[str, Mapping[str, Cube]],
    ledgers: Mapping[str, Mapping[str, Ledger]],
    made: Plan,
) -> Iterable[ShardJob]:
    wanted: dict[tuple[str, str], set[int]] = {}
    for shards in made.shards.values():
        for place in (p for members in shards for m in members for p in m.places):
            for part in place.parts:
                slab = part.patch // run.dataset.recipe.cube.slab_patches
                wanted.setdefault((_folder(run.dataset, place), part.season), set()).add(slab)
    facts = _facts(run, cubes, ledgers, wanted)

    def known(place: Member) -> dict[str, dict[str, Any]]:
        return {p.season: facts[_folder(run.dataset, place), p.season, p.patch] for p in place.parts}

    for split, shards in made.shards.items():
        for number, members in enumerate(shards):
            of = tuple(tuple(known(p) for p in m.places) for m in members)
            yield ShardJob(run.dataset, run.store, split, number, tuple(members), of)


def _level(dataset: Dataset, place: Member) -> Dataset:
    """The level that a place is of."""
    return dataset.levels[0 if place.location.parent is None else -1]


def _folder(dataset: Dataset, place: Member) -> str:
    """What its cubes lie below."""
    return _level(dataset, place).folder(place.location.region)


def _facts(
    run: pipeline.Run,
    cubes: Mapping[str, Mapping[str, Cube]],
    ledgers: Mapping[str, Mapping[str, Ledger]],
    wanted: Mapping[tuple[str, str], set[int]],
) -> dict[tuple[str, str, int], dict[str, Any]]:
    """(folder, season, patch) → facts, of the slabs wanted; each row is what its ledger says."""
    todo = [(region, season, slab) for (region, season), slabs in wanted.items() for slab in sorted(slabs)]

    def read(job: tuple[str, str, int]) -> list[dict[str, Any]]:
        region, season, slab = job
        here = cubes[region][season]
        record = ledgers[region][season].slabs[slab]
        return here.proven_facts(run.store, record, [p.id for p in here.slab(slab)])

    out = {}
    with ThreadPoolExecutor(READ_THREADS) as pool, Counting("pack: facts", len(todo), "slab") as count:
        for (region, season, slab), rows in zip(todo, pool.map(read, todo), strict=True):
            first = slab * cubes[region][season].slab_patches
            out.update({(region, season, first + i): row for i, row in enumerate(rows)})
            count.step()
    return out


def _write(run: pipeline.Run, jobs: Sequence[ShardJob]) -> tuple[list[ShardPart], int]:
    """The parts of all shards, in order; those that an earlier run made are not made again."""
    done: dict[str, ShardPart] = {}
    for job in jobs:
        part = _made_before(run.store, job)
        if part is not None:
            done[job.key] = part
    reused = len(done)
    stands = run.store.head(f"{FOLDER}/{shardformat.INDEX}") is not None
    todo = [dataclasses.replace(j, staged=stands) for j in jobs if j.key not in done]
    failed: dict[str, BaseException] = {}
    if reused:
        log.info("pack: %d of %s are made already, %d to make", reused, counted(len(jobs), "shard"), len(todo))
    with Counting("pack: shards", len(todo), "shard", "stored") as count:
        for batch in cluster.stream(run.client, storage.Final(write_shard), todo, run.store):
            for job, result in batch:
                if isinstance(result, StorageError):
                    raise result  # receipts of shards that are made lie beside them
                if isinstance(result, BaseException):
                    failed[job.key] = result
                else:
                    done[job.key] = result
                count.step(1, 0 if isinstance(result, BaseException) else result.receipt.size)
    if failed:
        raise CurationError(_not_written(failed, len(jobs), stands=stands))
    return [done[j.key] for j in jobs], reused


def _not_written(failed: Mapping[str, BaseException], total: int, *, stands: bool) -> str:
    """Why shards were not written, and what to do: another try does not mend a damaged cube."""
    damaged = {k: e for k, e in failed.items() if isinstance(e, DamageError)}
    key, first = min((damaged or failed).items())
    text = f"{len(failed)} of {counted(total, 'shard')} could not be written"
    if damaged:
        cause = f"{first} (first found, for {key}; shards that want damaged pixels: {len(damaged)})"
        rest = len(failed) - len(damaged)
        text += f": {cause}. Packing again does not help before that" + (f"; {rest} had another cause" if rest else "")
    else:
        text += f"; rerun to try again. First: {key}: {one_line(first)}"
    return text + (". The shards packed before stand and can be read" if stands else "")


def _part_key(job: ShardJob, folder: str = PARTS) -> str:
    return f"{folder}/{job.split}-{job.number:06d}.json"


def _waits(part: ShardPart) -> bool:
    """Whether the shard is made, and not yet in its place."""
    return part.receipt.key.startswith(f"{STAGE}/")


def _stands(store: Store, key: str, content: bytes) -> bool:
    stat = store.head(key)
    return stat is not None and stat.size == len(content) and store.get(key) == content


def _put_in_place(store: Store, job: ShardJob, part: ShardPart) -> None:
    """Moves a shard that waits to its place; killed in between, it is made again.

    Its receipt stays among what waits until all is done (`_forget`), as the sign that packing has not ended.
    """
    stat = store.move(part.receipt.key, f"{FOLDER}/{job.key}")
    receipt = dataclasses.replace(part.receipt, key=stat.key, etag=stat.etag)
    _keep(store, _part_key(job), dataclasses.replace(part, receipt=receipt))


def _keep(store: Store, key: str, part: ShardPart) -> None:
    value = dataclasses.asdict(part) | {"rows": [dataclasses.astuple(r) for r in part.rows]}
    store.publish(key, json.dumps(value).encode())


def _made_before(store: Store, job: ShardJob) -> ShardPart | None:
    """The shard's part, where an earlier run made it from the very same chunks, facts and rules and it still stands."""
    return _recorded(store, job, _part_key(job)) or _recorded(store, job, _part_key(job, STAGE))


def _recorded(store: Store, job: ShardJob, key: str) -> ShardPart | None:
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
        [shardformat.MemberRow(*row) for row in value["rows"]],
        value["contents"],
        value["sums"],
        value["floored"],
    )


def write_shard(job: ShardJob) -> ShardPart:
    """Writes one shard and its receipt. Runs on a worker; the same job gives the same bytes."""
    contents: list[str] = []
    sums: dict[str, dict[str, list[float]]] = {}
    floored: list[dict[str, dict[str, list[float]]]] = []
    entries = array_entries(job.dataset)
    floor = _floor(job.dataset)
    codec = job.dataset.recipe.pack.codec
    encoding = payload.encoding_of(codec)

    def samples() -> Iterable[shardformat.Sample]:
        for member, facts in zip(job.members, job.facts, strict=True):
            arrays = dict(_arrays(job, member, entries))
            meta = _meta(job.dataset, member, facts)
            floored.append(_add_floored(meta, arrays, entries, floor))
            contents.append(shardformat.sample_digest(member.location.id, arrays.items(), meta))
            for name, pixels in arrays.items():
                _add_sums(sums, shardformat.split_member(f"{name}.{encoding}").array, pixels, entries, floor)
            members = {shardformat.META: shardformat.meta_bytes(meta)}
            members |= {f"{name}.{encoding}": payload.encode(a, codec) for name, a in arrays.items()}
            yield shardformat.Sample(member.location.id, members)

    data, rows = shardformat.write_tar(samples())
    receipt = job.store.publish(f"{STAGE if job.staged else FOLDER}/{job.key}", data)
    part = ShardPart(job.digest, receipt, rows, contents, sums, floored)
    _keep(job.store, _part_key(job, STAGE if job.staged else PARTS), part)
    return part


def _arrays(job: ShardJob, member: Member, entries: Mapping[str, ArrayEntry]) -> Iterable[tuple[str, NDArray[Any]]]:
    """(suffix without its encoding, array) in the order of the format, each chunk checked against the ledger's hash."""
    for number, place in enumerate(member.places):
        level, folder = _level(job.dataset, place), _folder(job.dataset, place)
        for part in place.parts:
            here = Cube(level, folder, part.season)
            season = None if part.season == STATIC else part.season
            for name in sorted(n for n in here.arrays if n in part.outcome.chunks):
                pixels = here.read_chunk(job.store, name, part.patch, part.outcome.chunks[name])
                spec, array = here.arrays[name]
                suffix = shardformat.MemberName(
                    number - 1 if number else None, name, season, entries[name].encoding
                ).suffix
                stored = _as_stored(pixels, spec, array, job.dataset.recipe.pack)
                yield suffix.removesuffix(f".{entries[name].encoding}"), stored


def _as_stored(pixels: NDArray[Any], spec: SourceSpec, array: ArraySpec, rules: PackSpec) -> NDArray[Any]:
    if spec.radar and rules.radar == "centidb" and array.role == "data":
        return centidb(pixels, array.nodata, rules.radar_floor_db)
    return pixels


def centidb(power: NDArray[Any], nodata: float, floor_db: float = FLOOR_DB) -> NDArray[np.int16]:
    """Linear power as int16 hundredths of a decibel, `floor_db` at least, nodata -32768; shape as given."""
    hundredths = np.clip(np.round(100 * decibels(power, nodata, floor_db)), -32767, 32767)
    return np.where(np.isnan(hundredths), CENTIDB_NODATA, hundredths).astype(np.int16)


def _floor(dataset: Dataset) -> dict[str, int]:
    """Array → the number that stands for the floor and all below it; only of radar in decibels."""
    rules = dataset.recipe.pack
    if rules.radar != "centidb":
        return {}
    return {
        name: int(centidb(np.zeros(1), math.nan, rules.radar_floor_db)[0])
        for level in dataset.levels
        for spec in level.specs.values()
        if spec.radar
        for name, array in level.arrays[spec.name].items()
        if array.role == "data"
    }


def _add_floored(
    meta: dict[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    entries: Mapping[str, ArrayEntry],
    floor: Mapping[str, int],
) -> dict[str, dict[str, list[float]]]:
    """Writes the shares of pixels at the floor into a sample's `meta.json`.

    Returns:
        Season → array → share of each band's valid pixels, of the sample without its children.
    """
    out: dict[str, dict[str, list[float]]] = {}
    for member, pixels in arrays.items():
        at = shardformat.split_member(f"{member}.{next(iter(entries.values())).encoding}")
        if at.array not in floor:
            continue
        valid = (pixels != CENTIDB_NODATA).sum(axis=(1, 2))
        shares = (pixels == floor[at.array]).sum(axis=(1, 2)) / np.maximum(valid, 1)
        place = meta if at.child is None else meta["children"][at.child]
        season = at.season or STATIC
        facts = place["static"] if at.season is None else place["seasons"][season]
        told = [_plain(share) for share in shares]
        facts["sources"][entries[at.array].source].setdefault("floored_fraction", {})[at.array] = told
        if at.child is None:
            out.setdefault(season, {})[at.array] = told
    return out


def array_entries(dataset: Dataset) -> dict[str, ArrayEntry]:
    """What the index says of each array."""
    out = {}
    for level, spec in ((one, spec) for one in dataset.levels for spec in one.specs.values()):
        for name, array in level.arrays[spec.name].items():
            px = array.px(level.recipe.grid.size)
            in_db = spec.radar and dataset.recipe.pack.radar == "centidb"
            out[name] = ArrayEntry(
                source=spec.name,
                seasons=() if spec.season == STATIC else tuple(level.seasons_of(spec.name)),
                bands=tuple(array.bands),
                shape=(len(array.bands), px, px),
                dtype="int16" if in_db else array.dtype,
                unit="gamma0, hundredths of a dB" if in_db else array.unit,
                nodata=float(CENTIDB_NODATA if in_db else array.nodata),
                res_m=array.res_m,
                role=array.role,
                encoding=payload.encoding_of(dataset.recipe.pack.codec),
                of_children=bool(level.level),
            )
    return {name: out[name] for name in sorted(out)}


def _add_sums(
    sums: dict[str, dict[str, list[float]]],
    name: str,
    pixels: NDArray[Any],
    entries: Mapping[str, ArrayEntry],
    floor: Mapping[str, int],
) -> None:
    entry = entries[name]
    if entry.role != "data":
        return
    for band, plane in zip(entry.bands, pixels, strict=True):
        valid = plane[plane != entry.nodata].astype(np.float64)
        floored = int((valid == floor[name]).sum()) if name in floor else 0
        if floored:
            # How far below they were is not known, and the floor is no measurement: it would only widen the rest.
            valid = valid[valid != floor[name]]
        have = sums.setdefault(name, {}).setdefault(band, [0, 0.0, 0.0, math.inf, -math.inf, 0])
        have[5] += floored
        if not valid.size:
            continue
        one = [valid.size, valid.sum(), np.square(valid).sum(), valid.min(), valid.max()]
        sums[name][band] = [
            int(have[0] + one[0]),
            float(have[1] + one[1]),
            float(have[2] + one[2]),
            float(min(have[3], one[3])),
            float(max(have[4], one[4])),
            have[5],
        ]


def _statistics(entries: Mapping[str, ArrayEntry], parts: Iterable[ShardPart]) -> dict[str, dict[str, BandStatistics]]:
    """Band statistics over the parts; sums are added in order of shard, so that they are the same every time."""
    parts = list(parts)
    out: dict[str, dict[str, BandStatistics]] = {}
    for name, entry in entries.items():
        if entry.role != "data":
            continue
        out[name] = {}
        for band in entry.bands:
            found = [p.sums[name][band] for p in parts if band in p.sums.get(name, {})]
            count = int(sum(f[0] for f in found))
            if not count:
                out[name][band] = BandStatistics(None, None, None, None, 0)
                continue
            mean = sum(f[1] for f in found) / count
            variance = max(sum(f[2] for f in found) / count - mean**2, 0.0)
            low, high = min(f[3] for f in found), max(f[4] for f in found)
            out[name][band] = BandStatistics(mean, math.sqrt(variance), low, high, count)
    return out


def _floored_counts(
    entries: Mapping[str, ArrayEntry], floor: Mapping[str, int], parts: Sequence[ShardPart]
) -> dict[str, dict[str, int]]:
    """Array → band → pixels at the radar's floor, of all splits."""
    return {
        name: {b: int(sum(p.sums[name][b][5] for p in parts if b in p.sums.get(name, {}))) for b in entries[name].bands}
        for name in sorted(floor)
    }


def label_names(dataset: Dataset) -> list[str]:
    """The scene labels, in order: the seasonal source's, or the annual one's."""
    rules = dataset.recipe.labels
    source = rules.seasonal or rules.annual
    return dataset.specs[source].labels if source else []


def _meta(dataset: Dataset, member: Member, facts: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """A sample's `meta.json`."""
    meta = _meta_of(dataset.levels[0], member, facts[0])
    if len(dataset.levels) > 1:
        below = zip(member.children, facts[1:], strict=True)
        meta["children"] = [_meta_of(dataset.levels[-1], child, known) for child, known in below]
    return meta


def _meta_of(dataset: Dataset, member: Member, facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What is known of one place: a sample, or one of its children."""
    place = member.location
    meta: dict[str, Any] = {
        "id": place.id,
        "lon": place.lon,
        "lat": place.lat,
        "epsg": place.epsg,
        "x0_m": place.x0_m,
        "y0_m": place.y0_m,
        "size_m": place.size_m,
        "region": place.region,
        "split": place.split,
        "static": {"sources": {}, "labels": None},
        "seasons": {},
    }
    if place.parent is not None:
        meta["parent"] = place.parent
    for part in member.parts:
        known = facts[part.season]
        sources = {
            name: _source_facts(name, known) | {"scenes": list(outcome.scenes)}
            for name, outcome in part.outcome.sources.items()
            if outcome.status is Status.OK
        }
        rules = dataset.recipe.labels
        source = rules.annual if part.season == STATIC else rules.seasonal
        entry = {"sources": sources, "labels": _labels(dataset, source, known) if source in sources else None}
        if part.season == STATIC:
            heights = ("elevation_mean_m", "elevation_min_m", "elevation_max_m", "slope_mean_deg")
            entry["elevation"] = {k: _plain(known[k]) for k in heights if known.get(k) is not None}
            meta["static"] = entry
        else:
            paired = [n for n in sources if known.get(f"{n}_gap_days") is not None]
            entry["gap_days"] = {n: _plain(known[f"{n}_gap_days"]) for n in paired}
            entry["shift_px"] = {n: _shift(dataset, n, known) for n in paired}
            meta["seasons"][part.season] = entry
    return meta


def _shift(dataset: Dataset, source: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """A measured shift, the array whose pixel is its unit (None where it was not measured), and the least telling peak."""
    found = dataset.shift_arrays(source)
    out = {a: _plain(known.get(f"{source}_shift_{b}")) for a, b in (("x", "x_px"), ("y", "y_px"), ("peak", "peak"))}
    least = _plain(shift.least_peak(found[2].px(dataset.recipe.grid.size))) if found else None
    return out | {"least_peak": least, "array": found[1] if found else None}


def _source_facts(name: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """A source's facts without its name; what stands elsewhere in `meta.json` is left out."""
    elsewhere = ("status", "reason", "scenes", "gap_days", "fraction")
    out: dict[str, Any] = {}
    for key, value in known.items():
        short = key.removeprefix(f"{name}_")
        if short == key or short in elsewhere or short.startswith("shift_") or value is None:
            continue
        out[short] = iso(parse_time_s(value)) if short == "time" else _plain(value)
    return out


def parse_time_s(seconds: float) -> Any:
    """The instant of seconds since 1970, UTC."""
    return parse_time(str(np.datetime64(round(seconds * 1000), "ms")))


def _labels(dataset: Dataset, source: str | None, known: Mapping[str, Any]) -> dict[str, Any] | None:
    if source is None:
        return None
    rules, spec = dataset.recipe.labels, dataset.specs[source]
    shares, valid = known.get(f"{source}_fraction"), known.get(f"{source}_valid_fraction")
    if shares is None or valid is None:
        return {"fractions": None, "valid_fraction": _plain(valid) if valid is not None else 0.0, "multi_hot": None}
    fractions = labels.label_fractions(np.asarray(shares), spec.classes, label_names(dataset))
    return {
        "fractions": [_plain(f) for f in fractions],
        "valid_fraction": _plain(valid),
        "multi_hot": labels.multi_hot(fractions, valid, rules.min_fraction, rules.min_valid),
    }


def _plain(value: Any) -> Any:
    """A number as JSON has it: six digits are far below what is measured, and read well."""
    if isinstance(value, np.ndarray):
        return [_plain(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(f"{float(value):.6g}") if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def _index(
    dataset: Dataset,
    run: pipeline.Run,
    jobs: Sequence[ShardJob],
    parts: Sequence[ShardPart],
    made: Plan,
    outcomes: Mapping[str, Mapping[str, Mapping[str, PatchOutcome]]],
) -> tuple[Index, dict[str, bytes]]:
    """The index, and the tables it names: key → bytes."""
    entries = array_entries(dataset)
    seasons = [s for s in dataset.recipe.seasons if any(s in e.seasons for e in entries.values())]
    children = max((len(m.children) for j in jobs for m in j.members), default=0)
    names = shardformat.member_names(entries, seasons, children)
    splits: dict[str, SplitEntry] = {}
    files: dict[str, bytes] = {}
    content = shardformat.ContentHash()
    for split in sorted(SPLITS):
        mine = [(j, p) for j, p in zip(jobs, parts, strict=True) if j.split == split]
        members = shardformat.members_to_arrow((p.rows for _, p in mine), names)
        table = _samples_table(dataset, mine)
        files |= {f"{split}/members.arrow": members, f"{split}/samples.parquet": table}
        for job, part in mine:
            for member, digest in zip(job.members, part.contents, strict=True):
                content.add(split, member.location.id, digest)
        splits[split] = SplitEntry(
            samples=sum(len(j.members) for j, _ in mine),
            shards=tuple(ShardEntry(j.key, p.receipt.size, p.receipt.sha256, len(j.members)) for j, p in mine),
            members=_entry(f"{split}/members.arrow", members),
            samples_table=_entry(f"{split}/samples.parquet", table),
        )
    patches = {
        region: {season: dict(Counter(o.told for o in found.values())) for season, found in by.items()}
        for region, by in outcomes.items()
    }
    index = Index(
        dataset=dataset.name,
        title=dataset.recipe.title,
        pixels_digest=catalogs.pixels_digest(dataset, run.catalog),
        release_digest=dataset.release_digest(),
        content_sha256=content.hexdigest(),
        seasons=tuple(seasons),
        children=children,
        label_names=tuple(label_names(dataset)),
        arrays=entries,
        splits=splits,
        statistics=_statistics(entries, [p for j, p in zip(jobs, parts, strict=True) if j.split == "train"]),
        sources={s.name: SourceEntry(s.title, s.licence) for s in dataset.specs.values()},
        counts={
            "patches": patches,
            "dropped": dict(sorted(Counter(d.reason for d in made.dropped).items())),
            "shared": {kind: dataclasses.asdict(its) for kind, its in made.shared.items()},
            "floored": _floored_counts(entries, _floor(dataset), parts),
        },
        written_by=versions(),
    )
    return index, files


def versions() -> dict[str, str]:
    """Versions of what pixels and bytes depend on."""
    packages = ("curation", "numpy", "zarr", "numcodecs", "rasterio", "pyproj")
    return {p: importlib.metadata.version(p) for p in packages} | {"gdal": rasterio.__gdal_version__}


_WRITERS = ("shards", "shardformat", "payload", "labels", "backscatter", "grid", "shift")
"""Modules that what stands in a tar is made by."""


@functools.cache
def written_by() -> str:
    """A mark of what writes a tar: our files that do, and the versions. Nobody has to remember to change it.

    A tar that an earlier release made is made again, since the index that names it tells of this one.
    """
    found = hashlib.sha256(json.dumps(versions(), sort_keys=True).encode())
    for name in _WRITERS:
        found.update(importlib.resources.files("curation").joinpath(f"{name}.py").read_bytes())
    return found.hexdigest()


def _entry(name: str, data: bytes) -> FileEntry:
    return FileEntry(name, len(data), hashlib.sha256(data).hexdigest())


def _samples_table(dataset: Dataset, made: Sequence[tuple[ShardJob, ShardPart]]) -> bytes:
    """One row per sample with its labels, as GeoParquet of footprints."""
    names = label_names(dataset)
    rows = []
    radar = sorted(_floor(dataset.levels[0]))
    for shard, (job, part) in enumerate(made):
        for member, facts, floored in zip(job.members, job.facts, part.floored, strict=True):
            place, meta = member.location, _meta(dataset, member, facts)
            row = {"id": place.id, "lon": place.lon, "lat": place.lat, "region": place.region, "shard": shard}
            vectors = {STATIC: meta["static"]["labels"]} | {s: e["labels"] for s, e in meta["seasons"].items()}
            for season in [STATIC, *dataset.season_names()]:
                hot = (vectors.get(season) or {}).get("multi_hot")
                row[f"labels_{season}"] = None if hot is None else [n for n, h in zip(names, hot, strict=True) if h]
                row[f"fractions_{season}"] = (vectors.get(season) or {}).get("fractions")
                for name in radar:
                    row[f"{name}_floored_fraction_{season}"] = floored.get(season, {}).get(name)
            rows.append(row)
    per_season = [f"{what}_{s}" for s in [STATIC, *dataset.season_names()] for what in ("labels", "fractions")]
    entries = array_entries(dataset)
    per_season += [f"{name}_floored_fraction_{s}" for name in radar for s in entries[name].seasons or (STATIC,)]
    columns = ["id", "lon", "lat", "region", "shard", *per_season]
    return _geoparquet({c: [r[c] for r in rows] for c in columns}, [m.location for j, _ in made for m in j.members])


def _geoparquet(columns: Mapping[str, list[Any]], places: Sequence[Location]) -> bytes:
    frame = gpd.GeoDataFrame(dict(columns), geometry=[grid.footprint(p, 1) for p in places], crs=4326)
    if "shard" in frame:
        frame["shard"] = frame["shard"].astype("int32")
    out = io.BytesIO()
    frame.to_parquet(out, compression="zstd")
    return out.getvalue()


def _release(dataset: Dataset, index: Index, data: bytes) -> bytes:
    """What is committed of a dataset once it is made: enough to prove any copy of it, and the recipe that made it."""
    value = index.to_json()
    release = {
        "dataset": index.dataset,
        "title": index.title,
        "index_sha256": hashlib.sha256(data).hexdigest(),
        "content_sha256": index.content_sha256,
        **{k: value[k] for k in ("digests", "counts", "statistics", "sources", "written_by")},
        "samples": {split: e.samples for split, e in index.splits.items()},
        "shards": {s.name: s.sha256 for e in index.splits.values() for s in e.shards},
        # How servers are pressed changes nothing.
        "recipe": storable(dataset.recipe.model_dump(mode="json", exclude={"fetch"})),
    }
    return (json.dumps(release, sort_keys=True, indent=1) + "\n").encode()


def _forget(store: Store, index: Index) -> None:
    """Removes shards of an earlier packing that the index does not name, and what waited for one that never came."""
    named = {shardformat.INDEX}
    for entry in index.splits.values():
        named |= {entry.members.name, entry.samples_table.name, *(s.name for s in entry.shards)}
    shards = store.child(FOLDER)
    for stat in list(shards.list()):
        if stat.key not in named and stat.key.endswith(".tar"):
            log.info("pack: removing %s, of an earlier packing", shards.where(stat.key))
            shards.delete(stat.key)
    for stat in list(store.list(STAGE)):
        store.delete(stat.key)


def mixing(made: Plan) -> float | None:
    """Mean distance of neighbours within shards over that of random pairs: 1 is perfectly mixed, 0 is sorted.

    None where there are too few samples to tell.
    """
    members = [m for shards in made.shards.values() for s in shards for m in s]
    near: list[float] = []
    for shards in made.shards.values():
        for shard in shards:
            near += [_chord(a, b) for a, b in itertools.pairwise(shard)]
    if len(near) < 10:
        return None
    draws = np.random.default_rng(0).integers(0, len(members), (2000, 2))
    apart = np.mean([_chord(members[a], members[b]) for a, b in draws if a != b])
    return float(np.mean(near) / apart) if apart > 0 else None


def _chord(a: Member, b: Member) -> float:
    """Straight distance through a unit sphere."""
    return math.dist(_xyz(a), _xyz(b))


def _xyz(member: Member) -> tuple[float, float, float]:
    lon, lat = math.radians(member.location.lon), math.radians(member.location.lat)
    return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)
