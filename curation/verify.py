"""Proof of cubes and shards from their own bytes. Every hole is named; nothing is believed that can be read."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import pandas as pd

from curation import shardformat, zarrshard
from curation.cube import Cube, chunk_hash
from curation.ledger import Ledger, SlabRecord, StoredObject
from curation.model import ConfigError, DamageError, Status
from curation.progress import Counting
from curation.recipe import Dataset
from curation.shardformat import Index, SplitEntry
from curation.shards import FOLDER
from curation.store import Store

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Verified:
    """What was proven, and what was not."""

    faults: list[str] = field(default_factory=list)
    """One line each: what is wrong, and where."""
    cubes: int = 0
    patches: int = 0
    """Ok patches whose every chunk is what was committed."""
    samples: int = 0
    """Samples read whole from tars, and equal to what the index says."""
    size: int = 0
    """Bytes read."""

    def summary(self) -> str:
        """For a person."""
        read = f"{self.size / 1e6:.1f} MB read: {self.cubes} cubes, {self.patches} patches, {self.samples} samples"
        return f"{read}; " + (f"{len(self.faults)} faults" if self.faults else "all as recorded")


def verify(dataset: Dataset, store: Store) -> Verified:
    """Everything below a dataset's folder, read again and compared with what was recorded of it.

    Raises:
        ConfigError: there is nothing to verify.
    """
    found = Verified()
    recorded: set[str] = set()
    names = sorted({tuple(s.key.split("/")[1:3]) for s in store.list("ledger")})
    orphans = {tuple(k.split("/")[1:3]) for k in (s.key for s in store.list("cubes"))}
    if not names and not orphans and store.head(f"{FOLDER}/{shardformat.INDEX}") is None:
        raise ConfigError(
            f"{store.where('')}: nothing is built there; build it first, or give its --root and --dataset"
        )
    unknown: list[str] = []
    for region, season in names:
        try:
            ledger = Ledger.replay(store, region, season)
        except DamageError as err:
            found.faults.append(str(err))
            unknown.append(f"cubes/{region}/{season}.zarr/")  # what it recorded of this cube is not known
            continue
        found.cubes += 1
        recorded |= _cube(store, ledger, Cube(dataset, region, season, ()), found)
    for stat in store.list("cubes"):
        if stat.key not in recorded and not stat.key.startswith(tuple(unknown)):
            found.faults.append(
                f"{store.where(stat.key)}: nobody recorded it; build again to settle its slab, or delete it"
            )
    _shards(store.child(FOLDER), store, found)
    return found


def _cube(store: Store, ledger: Ledger, here: Cube, found: Verified) -> set[str]:
    """Checks one cube; gives the keys its ledger records."""
    recorded: set[str] = set()
    for item in ledger.cube_objects:
        recorded.add(item.key)
        _object(store, item, found)
    try:
        ids = here.read_ids(store)
    except DamageError as err:
        found.faults.append(str(err))
        return recorded | {o.key for r in ledger.slabs.values() for o in r.objects}
    with Counting(f"verify {here.region}/{here.season}", len(ledger.slabs), "slabs") as count:
        for _, record in sorted(ledger.slabs.items()):
            recorded |= {o.key for o in record.objects}
            first = record.slab * here.slab_patches
            slots = {name: slot for slot, name in enumerate(ids[first : first + here.slab_patches])}
            _slab(store, here, record, slots, found)
            count.step()
    return recorded


def _object(store: Store, item: StoredObject, found: Verified) -> bytes | None:
    """The object's bytes where they are what was recorded."""
    try:
        data = store.get(item.key)
    except FileNotFoundError:
        found.faults.append(f"{store.where(item.key)}: is recorded but not there")
        return None
    found.size += len(data)
    if len(data) != item.size or hashlib.sha256(data).hexdigest() != item.sha256:
        found.faults.append(
            f"{store.where(item.key)}: has {len(data)} bytes with sha256 {hashlib.sha256(data).hexdigest()[:12]}…, "
            f"recorded were {item.size} with {item.sha256[:12]}…"
        )
        return None
    return data


def _slab(store: Store, here: Cube, record: SlabRecord, slots: dict[str, int], found: Verified) -> None:
    """Checks a slab's objects, and each chunk in them; `slots` is location id → slot."""
    objects = {o.key: _object(store, o, found) for o in record.objects}
    wrong: set[str] = set()
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
                found.faults.append(f"{store.where(key)}: slot {slot} holds pixels that nobody recorded")
            elif slot not in chunks or chunk_hash(chunks[slot]) != outcome.chunks[name]:
                wrong.add(outcome.id)
                found.faults.append(f"{store.where(key)}: slot {slot} is not the chunk recorded of {outcome.id}")
    found.patches += sum(o.status is Status.OK and o.id not in wrong for o in record.patches)


def _shards(store: Store, dataset_store: Store, found: Verified) -> None:
    present = {s.key: s for s in store.list()}
    if shardformat.INDEX not in present:
        if present:
            found.faults.append(f"{store.where(shardformat.INDEX)}: shards are there, their index is not; pack again")
        return
    data = store.get(shardformat.INDEX)
    try:
        index = Index.from_bytes(data, store.where(shardformat.INDEX))
    except DamageError as err:
        found.faults.append(str(err))
        return
    _release(dataset_store, data, found)
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
    found.faults += [f"{store.where(key)}: the index does not name it" for key in sorted(set(present) - named)]


def _release(store: Store, index: bytes, found: Verified) -> None:
    try:
        release = json.loads(store.get("manifest/release.json"))
    except FileNotFoundError:
        found.faults.append(f"{store.where('manifest/release.json')}: is not there; pack again")
        return
    if release["index_sha256"] != hashlib.sha256(index).hexdigest():
        found.faults.append(f"{store.where('manifest/release.json')}: is of another index.json; pack again")


def _split(store: Store, index: Index, split: str, entry: SplitEntry, found: Verified) -> Iterator[tuple[str, str]]:
    """Checks a split; gives key and digest of each sample as its tar's own bytes say."""
    members = _object(store, StoredObject(entry.members.name, entry.members.size, entry.members.sha256), found)
    table = _object(
        store, StoredObject(entry.samples_table.name, entry.samples_table.size, entry.samples_table.sha256), found
    )
    ids = pd.read_parquet(io.BytesIO(table), columns=["id"])["id"].tolist() if table is not None else None
    scanned: list[list[shardformat.MemberRow]] = []
    with Counting(f"verify {split}", len(entry.shards), "shards") as count:
        for shard in entry.shards:
            data = _object(store, StoredObject(shard.name, shard.size, shard.sha256), found)
            count.step()
            try:
                rows = shardformat.scan_tar(
                    data if data is not None else store.get(shard.name), store.where(shard.name)
                )
            except FileNotFoundError:
                continue  # named already
            except DamageError as err:
                found.faults.append(str(err))
                continue
            scanned.append(rows)
            if data is not None:
                yield from _samples(data, rows, found)
    if len(scanned) != len(entry.shards):
        return
    keys = list(dict.fromkeys(r.key for rows in scanned for r in rows))
    if ids is not None and keys != ids:
        found.faults.append(
            f"{store.where(entry.samples_table.name)}: names other samples than the tars hold; pack again"
        )
    if members is not None and shardformat.members_to_arrow(scanned, index.members) != members:
        found.faults.append(
            f"{store.where(entry.members.name)}: tells other offsets or hashes than the tars have; pack again"
        )


def _samples(data: bytes, rows: list[shardformat.MemberRow], found: Verified) -> Iterator[tuple[str, str]]:
    by_key: dict[str, dict[str, bytes]] = {}
    for row in rows:
        by_key.setdefault(row.key, {})[row.member] = data[row.offset : row.offset + row.size]
    for key, members in by_key.items():
        meta = json.loads(members[shardformat.META])
        found.samples += 1
        yield key, shardformat.sample_digest(key, shardformat.iter_arrays(members), meta)
