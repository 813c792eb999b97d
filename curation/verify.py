"""Proof of cubes and shards from their own bytes. Every hole is named; nothing is believed that can be read."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation import regions, shardformat, zarrshard
from curation.cube import Cube, chunk_hash
from curation.ledger import Ledger, SlabRecord, StoredObject, recorded_cubes
from curation.localfiles import NotAFileError
from curation.model import SETTLED, ConfigError, DamageError, Status, counted
from curation.progress import Counting, Doing
from curation.recipe import Dataset
from curation.shardformat import Index, SplitEntry
from curation.shards import FOLDER, STAGE
from curation.store import Store

log = logging.getLogger(__name__)

_NOT_THERE = FileNotFoundError, NotADirectoryError, NotAFileError


@dataclass(slots=True)
class Verified:
    """What was proven, and what was not."""

    faults: list[str] = field(default_factory=list)
    """One line each: what is wrong, and where."""
    unfinished: list[str] = field(default_factory=list)
    """One line each: what a stopped command left, and which goes on with it. Nothing of it is wrong."""
    cubes: int = 0
    patches: int = 0
    """Ok patches whose every chunk and fact is what was committed."""
    samples: int = 0
    """Samples read whole from tars, and equal to what the index says."""
    size: int = 0
    """Bytes read."""

    def summary(self) -> str:
        """For a person."""
        found = [counted(self.cubes, "cube"), counted(self.patches, "patch"), counted(self.samples, "sample")]
        read = f"{self.size / 1e6:.1f} MB read: {', '.join(found)}"
        said = counted(len(self.faults), "fault") if self.faults else "all as recorded"
        return f"{read}; {said}" + (", not finished" if self.unfinished else "")


def verify(dataset: Dataset, store: Store) -> Verified:
    """Everything below a dataset's folder, read again and compared with what was recorded of it.

    Raises:
        ConfigError: there is nothing to verify, or a cube is in another format than this release's.
    """
    found = Verified()
    recorded: set[str] = set()
    with Doing("verify: listing what is there", often_short=True):
        names = recorded_cubes(store)
        has_more = next(iter(store.list("cubes")), None) is not None
    if not names and not has_more and store.head(f"{FOLDER}/{shardformat.INDEX}") is None:
        raise ConfigError(
            f"{store.where('')}: nothing is built there; build it first, or give its --root and --dataset"
        )
    unknown: list[str] = []
    cubes: dict[str, _Opened] = {}
    for region, season in names:
        try:
            ledger = Ledger.replay(store, region, season)
        except DamageError as err:
            found.faults.append(str(err))
            unknown.append(f"cubes/{region}/{season}.zarr/")  # what it recorded of this cube is not known
            continue
        found.cubes += 1
        here = Cube(dataset.level_of(region), region, season)
        opened = cubes[here.prefix] = _Opened(here, ledger)
        recorded |= _cube(store, opened, found)
    for stat in store.list("cubes"):
        if stat.key in recorded or stat.key.startswith(tuple(unknown)):
            continue
        its = cubes.get("/".join(stat.key.split("/")[:3]))
        if its is not None and its.goes_on_with(stat.key):
            its.left += 1
        else:
            found.faults.append(f"{store.where(stat.key)}: nobody recorded it, and no build will; delete it")
    found.unfinished += [its.told() for its in cubes.values() if its.left]
    _shards(store.child(FOLDER), store, {(c.here.region, c.here.season): c.ledger for c in cubes.values()}, found)
    return found


@dataclass(slots=True)
class _Opened:
    """One cube while it is verified."""

    here: Cube
    ledger: Ledger
    ids: list[str] | None = None
    """Of its locations, in order; None where they cannot be read."""
    left: int = 0
    """Objects that a stopped build left, which are not recorded yet."""

    def slab_ids(self, slab: int) -> list[str]:
        """Ids of a slab's locations, in order of slot."""
        first = slab * self.here.slab_patches
        return (self.ids or [])[first : first + self.here.slab_patches]

    def open(self, slab: int) -> bool:
        """Whether a build will write the slab (again): it is one of the cube's, and some patch of it is not settled."""
        return self.ledger.settled(slab) < len(self.slab_ids(slab))

    def goes_on_with(self, key: str) -> bool:
        """Whether a build will write an object that nobody recorded.

        It does where the object belongs to a slab that is open, or to a cube whose creation was not recorded.
        """
        if not self.ledger.cube_objects:
            return True
        name, _, rest = key.removeprefix(f"{self.here.prefix}/").partition("/c/")
        number = rest.partition("/")[0]
        if not number.isdecimal() or not self.open(int(number)):
            return False
        facts = [self.here.fact_key(f, int(number)) for f in self.here.facts]
        return key in facts or (name in self.here.arrays and key == self.here.array_key(name, int(number)))

    def told(self) -> str:
        """What is unfinished, and what goes on with it."""
        name, season = self.here.region, self.here.season
        what = f"`curate --region {name} --season {season}`" if name in regions.named() else f"`--season {season}`"
        return (
            f"{counted(self.left, 'object')} of cube {name}/{season} not recorded: a build was stopped. The same command "
            f"goes on with that ({what}, with the flags as before)"
        )


def _cube(store: Store, its: _Opened, found: Verified) -> set[str]:
    """Checks one cube; gives the keys its ledger records."""
    ledger, here = its.ledger, its.here
    recorded: set[str] = set()
    for item in ledger.cube_objects:
        recorded.add(item.key)
        _object(store, item, found)
    if not ledger.cube_objects:
        return recorded  # begun, and stopped before its creation was recorded
    try:
        its.ids = here.read_ids(store)
    except DamageError as err:
        found.faults.append(str(err))
        return recorded | {o.key for r in ledger.slabs.values() for o in r.objects}
    with Counting(f"verify {here.region}/{here.season}", len(ledger.slabs), "slab", "read") as count:
        for _, record in sorted(ledger.slabs.items()):
            before = found.size
            recorded |= {o.key for o in record.objects}
            _slab(store, its, record, found)
            count.step(1, found.size - before)
    return recorded


def _object(store: Store, item: StoredObject, found: Verified) -> bytes | None:
    """The object's bytes where they are what was recorded; what they are not is a fault."""
    data = _got(store, item, found)
    if data is not None and not _is(data, item):
        found.faults.append(_other(store, item, data))
        return None
    return data


def _got(store: Store, item: StoredObject, found: Verified) -> bytes | None:
    """The object's bytes; that it is not there is a fault."""
    try:
        data = store.get(item.key)
    except _NOT_THERE:
        found.faults.append(f"{store.where(item.key)}: is recorded but not there")
        return None
    found.size += len(data)
    return data


def _is(data: bytes, item: StoredObject) -> bool:
    return len(data) == item.size and hashlib.sha256(data).hexdigest() == item.sha256


def _other(store: Store, item: StoredObject, data: bytes) -> str:
    """A fault: the object is not what was recorded."""
    return (
        f"{store.where(item.key)}: has {len(data)} bytes with sha256 {hashlib.sha256(data).hexdigest()[:12]}…, "
        f"recorded were {item.size} with {item.sha256[:12]}…"
    )


def _slab(store: Store, its: _Opened, record: SlabRecord, found: Verified) -> None:
    """Checks a slab's objects, and each chunk and row of facts in them.

    A build that was stopped may have written an open slab once more. That is no fault where the chunks and facts of the
    patches that are settled are those recorded: the next build keeps these, and makes the rest again.
    """
    here, is_open = its.here, its.open(record.slab)
    slots = {name: slot for slot, name in enumerate(its.slab_ids(record.slab))}
    names = {here.array_key(n, record.slab) for n in here.arrays} | {here.fact_key(f, record.slab) for f in here.facts}
    objects: dict[str, bytes | None] = {}
    rewritten: set[str] = set()
    for item in record.objects:
        data = _got(store, item, found)
        if data is not None and not _is(data, item):
            if is_open and item.key in names:
                rewritten.add(item.key)
            else:
                found.faults.append(_other(store, item, data))
                data = None
        objects[item.key] = data
    wrong = _unproven(store, its, record, objects, found)
    for name, (spec, _) in here.arrays.items():
        key = here.array_key(name, record.slab)
        expected = {slots[o.id]: o for o in record.patches if name in o.chunks}
        lacking = [
            o.id
            for o in record.patches
            if o.status is Status.OK and o.sources[spec.name].status is Status.OK and name not in o.chunks
        ]
        for patch in lacking:
            wrong.add(patch)
            found.faults.append(f"{store.where(key)}: {patch} is ok, but no chunk of {name} is recorded of it")
        if key not in objects:
            wrong |= {o.id for o in expected.values()}
            found.faults += [f"{store.where(key)}: no object is recorded for {o.id}" for o in expected.values()]
            continue
        data = objects[key]
        if data is None:
            wrong |= {o.id for o in expected.values()}
            continue  # named already
        try:
            chunks = zarrshard.parse(data, here.slab_patches, store.where(key))
        except DamageError as err:
            found.faults.append(str(err))
            wrong |= {o.id for o in expected.values()}
            continue
        for slot in sorted(set(chunks) | set(expected)):
            outcome = expected.get(slot)
            if outcome is None:
                if key not in rewritten:
                    found.faults.append(f"{store.where(key)}: slot {slot} holds pixels that nobody recorded")
            elif slot not in chunks or chunk_hash(chunks[slot]) != outcome.chunks[name]:
                wrong.add(outcome.id)
                found.faults.append(f"{store.where(key)}: slot {slot} is not the chunk recorded of {outcome.id}")
    its.left += len(rewritten)
    found.patches += sum(o.status is Status.OK and o.id not in wrong for o in record.patches)


def _unproven(
    store: Store, its: _Opened, record: SlabRecord, objects: Mapping[str, bytes | None], found: Verified
) -> set[str]:
    """Ids of a slab's settled patches whose facts are not those recorded, or cannot be read; which is a fault."""
    here, settled = its.here, {o.id for o in record.patches if o.status in SETTLED}
    keys = {here.fact_key(f, record.slab) for f in here.facts}
    if not settled:
        return set()
    if lacking := sorted(keys - objects.keys()):
        found.faults += [f"{store.where(key)}: holds facts, but no object is recorded" for key in lacking]
        return settled
    known = {key: data for key, data in objects.items() if data is not None}
    if not keys <= known.keys():
        return settled  # named already
    ids = its.slab_ids(record.slab)
    try:
        rows = here.read_facts(store, record.slab, len(ids), known.__getitem__)
    except DamageError as err:
        found.faults.append(str(err))
        return settled
    hashes = dict(zip(ids, here.row_hashes(rows), strict=True))
    wrong = {o.id for o in record.patches if o.id in settled and hashes[o.id] != o.facts}
    if wrong:
        recorded = {o.key: o for o in record.objects}
        changed = [store.where(k) for k in sorted(keys) if not _is(known[k], recorded[k])] or [store.where(here.prefix)]
        found.faults += [
            f"{', '.join(changed)}: the facts of {name} are not those recorded of it" for name in sorted(wrong)
        ]
    return wrong


def _shards(store: Store, dataset_store: Store, ledgers: Mapping[tuple[str, str], Ledger], found: Verified) -> None:
    present = {s.key: s for s in store.list()}
    waiting = [s.key for s in dataset_store.list(STAGE)]
    if shardformat.INDEX not in present:
        # With a release the index was there before: only what waits tells that it went while packing.
        if (present and dataset_store.head("manifest/release.json") is None) or waiting:
            tars = sum(k.endswith(".tar") for k in [*waiting, *present])
            found.unfinished.append(
                f"{counted(tars, 'shard')} made and in no index yet: packing has not ended. `curate pack` goes on with that"
            )
        elif present:
            found.faults.append(f"{store.where(shardformat.INDEX)}: shards are there, their index is not; pack again")
        return
    data = store.get(shardformat.INDEX)
    try:
        index = Index.from_bytes(data, store.where(shardformat.INDEX))
    except DamageError as err:
        found.faults.append(str(err))
        return
    if waiting:
        staged = sum(k.endswith(".tar") for k in waiting)
        found.unfinished.append(
            f"{counted(staged, 'new shard')} to replace those that stand: packing has not ended. `curate pack` goes on with "
            "that"
            if staged
            else "new shards have replaced those that stood, but packing has not ended. `curate pack` brings it to its end"
        )
    _release(dataset_store, data, found, ended=not waiting)
    _counts(dataset_store, index, ledgers, found)
    named = {shardformat.INDEX}
    content = shardformat.ContentHash()
    for split, entry in sorted(index.splits.items()):
        named |= {entry.members.name, entry.samples_table.name, *(s.name for s in entry.shards)}
        for key, digest in _split(store, index, split, entry, found):
            content.add(split, key, digest)
    if content.hexdigest() != index.content_sha256:
        found.faults.append(
            f"{store.where(shardformat.INDEX)}: decoded arrays and labels hash to {content.hexdigest()[:12]}…, "
            f"the index says {index.content_sha256[:12]}…"
        )
    strays = sorted(set(present) - named)
    if not waiting:  # else packing goes on to remove them
        found.faults += [f"{store.where(key)}: the index does not name it; pack again, or delete it" for key in strays]


def _counts(store: Store, index: Index, ledgers: Mapping[tuple[str, str], Ledger], found: Verified) -> None:
    """Checks that ledgers tell no less than when the shards were packed: segments lost at a ledger's end leave no gap."""
    packed = index.counts.get("patches", {})
    by_cube = {(r, s): n for r, of in _table(packed).items() for s, n in _table(of).items()}
    odd = [of for of in (packed, *_table(packed).values(), *by_cube.values()) if not isinstance(of, dict)]
    if odd or any(type(n) is not int for of in by_cube.values() for n in of.values()):
        found.faults.append(
            f"{store.where(f'{FOLDER}/{shardformat.INDEX}')}: counts.patches: expected region, season and reason of each "
            "number of patches; pack again"
        )
        return
    for (region, season), counts in sorted(by_cube.items()):
        ledger = ledgers.get((region, season))
        now, then = ledger.counts(ledger.lines).total() if ledger else 0, sum(counts.values())
        if now < then:
            found.faults.append(
                f"{store.where(f'ledger/{region}/{season}')}: tells of {now} patches, the shards were packed when it "
                f"told of {then}: segments are lost at its end, or the cube is being made again; restore them, or build"
            )


def _table(value: object) -> dict[str, Any]:
    """The value, where it is an object of JSON; else an empty one."""
    return value if isinstance(value, dict) else {}


def _release(store: Store, index: bytes, found: Verified, *, ended: bool) -> None:
    """Checks that the release is of this index, which is published just before it; `ended`: packing is."""
    try:
        release = shardformat.json_of(store.get("manifest/release.json"))
    except FileNotFoundError:
        found.unfinished.append(f"{store.where('manifest/release.json')}: is not there; `curate pack` makes it")
        return
    except ValueError as err:
        found.faults.append(f"{store.where('manifest/release.json')}: not JSON ({err}); pack again")
        return
    if ended and _table(release).get("index_sha256") != hashlib.sha256(index).hexdigest():
        found.faults.append(f"{store.where('manifest/release.json')}: is of another index.json; pack again")


def _split(store: Store, index: Index, split: str, entry: SplitEntry, found: Verified) -> Iterator[tuple[str, str]]:
    """Checks a split; gives key and digest of each sample as its tar's own bytes say."""
    members = _object(store, StoredObject(entry.members.name, entry.members.size, entry.members.sha256), found)
    table = _object(
        store, StoredObject(entry.samples_table.name, entry.samples_table.size, entry.samples_table.sha256), found
    )
    ids = None
    try:
        ids = None if table is None else pq.read_table(io.BytesIO(table)).column("id").to_pylist()
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as err:  # by where the fault is
        found.faults.append(f"{store.where(entry.samples_table.name)}: no Parquet file with ids ({err}); pack again")
    scanned: list[list[shardformat.MemberRow]] = []
    with Counting(f"verify {split}", len(entry.shards), "shard", "read") as count:
        for shard in entry.shards:
            before = found.size
            data = _object(store, StoredObject(shard.name, shard.size, shard.sha256), found)
            count.step(1, found.size - before)
            try:
                rows = shardformat.scan_tar(
                    data if data is not None else store.get(shard.name), store.where(shard.name)
                )
            except _NOT_THERE:
                continue  # named already
            except DamageError as err:
                found.faults.append(str(err))
                continue
            scanned.append(rows)
            if data is not None:
                yield from _samples(data, rows, store.where(shard.name), found)
    if len(scanned) != len(entry.shards):
        return
    keys = list(dict.fromkeys(r.key for rows in scanned for r in rows))
    if ids is not None and keys != ids:
        found.faults.append(
            f"{store.where(entry.samples_table.name)}: names other samples than the tars hold; pack again"
        )
    try:
        again = shardformat.members_to_arrow(scanned, index.members)
    except DamageError as err:
        found.faults.append(f"{store.where('')}: {split}: {err}; pack again")
        return
    if members is not None and again != members:
        found.faults.append(
            f"{store.where(entry.members.name)}: tells other offsets or hashes than the tars have; pack again"
        )


def _samples(data: bytes, rows: list[shardformat.MemberRow], where: str, found: Verified) -> Iterator[tuple[str, str]]:
    by_key: dict[str, dict[str, bytes]] = {}
    for row in rows:
        by_key.setdefault(row.key, {})[row.member] = data[row.offset : row.offset + row.size]
    for key, members in by_key.items():
        try:
            meta = shardformat.json_of(members.get(shardformat.META, b""))
            digest = shardformat.sample_digest(key, shardformat.iter_arrays(members), meta)
        except ValueError as err:
            found.faults.append(f"{where}: sample {key}: its {shardformat.META} is not JSON ({err}); pack again")
        except DamageError as err:
            found.faults.append(f"{where}: sample {key}: {err}")
        else:
            found.samples += 1
            yield key, digest
