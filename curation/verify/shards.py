"""Shards, their index and tables, proven from their bytes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import DamageError
from curation.errors.words import counted
from curation.format import tar
from curation.format.content import ContentHash, iter_arrays, sample_digest
from curation.format.index import INDEX, Index, SplitEntry
from curation.format.names import META
from curation.format.strict import json_of
from curation.format.table import members_to_arrow
from curation.format.tar import MemberRow
from curation.pack import split as splits
from curation.store import paths
from curation.store.ledger import Ledger
from curation.store.objects import Store
from curation.store.records import StoredObject
from curation.verify.found import NOT_THERE, Verified, check_object
from curation.verify.sides import Proof
from curation.work.progress import Counting


def check_shards(
    store: Store, dataset_store: Store, ledgers: Mapping[tuple[str, str], Ledger], found: Verified, proof: Proof
) -> None:
    """Takes up what is wrong with shards, their index, their tables and what waits beside them."""
    present = {s.key: s for s in store.list()}
    waiting = [s.key for s in dataset_store.list(paths.STAGE)]
    if INDEX not in present:
        # With a release the index was there before: only what waits tells that it went while packing.
        if (present and dataset_store.head(paths.RELEASE) is None) or waiting:
            tars = sum(paths.is_tar(k) for k in [*waiting, *present])
            found.unfinished.append(
                f"{counted(tars, 'shard')} made and in no index yet: packing has not ended. `curate pack` goes on with that"
            )
        elif present:
            found.faults.append(f"{store.where(INDEX)}: shards are there, their index is not; pack again")
        return
    data = store.get(INDEX)
    try:
        index = Index.from_bytes(data, store.where(INDEX))
    except DamageError as err:
        found.faults.append(str(err))
        return
    if waiting:
        staged = sum(paths.is_tar(k) for k in waiting)
        found.unfinished.append(
            f"{counted(staged, 'new shard')} to replace those that stand: packing has not ended. `curate pack` goes on with "
            "that"
            if staged
            else "new shards have replaced those that stood, but packing has not ended. `curate pack` brings it to its end"
        )
    _release(dataset_store, data, found, ended=not waiting)
    _counts(dataset_store, index, ledgers, found)
    named = {INDEX}
    content, sides = ContentHash(), dict[str, str]()
    for split, entry in sorted(index.splits.items()):
        named |= {entry.members.name, entry.samples_table.name, *(s.name for s in entry.shards)}
        for key, digest in _split(store, index, split, entry, found, proof):
            content.add(split, key, digest)
            sides[key] = split
    if not waiting:
        _sides(dataset_store, sides, found)
        proof.check(store.where(INDEX), found)
        proof.check_domains(store, index, found)
    if content.hexdigest() != index.content_sha256:
        found.faults.append(
            f"{store.where(INDEX)}: decoded arrays and labels hash to {content.hexdigest()[:12]}…, "
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
            f"{store.where(paths.shard(INDEX))}: counts.patches: expected region, season and reason of each "
            "number of patches; pack again"
        )
        return
    for (region, season), counts in sorted(by_cube.items()):
        ledger = ledgers.get((region, season))
        now, then = ledger.decided() if ledger else 0, sum(counts.values())
        if now < then:
            found.faults.append(
                f"{store.where(paths.ledger(region, season))}: tells of {now} patches, the shards were packed when it "
                f"told of {then}: segments are lost at its end, or the cube is being made again; restore them, or build"
            )


def _table(value: object) -> dict[str, Any]:
    """The value, where it is an object of JSON; else an empty one."""
    return value if isinstance(value, dict) else {}


def _release(store: Store, index: bytes, found: Verified, *, ended: bool) -> None:
    """Checks that the release is of this index, which is published just before it; `ended`: packing is."""
    try:
        release = json_of(store.get(paths.RELEASE))
    except FileNotFoundError:
        found.unfinished.append(f"{store.where(paths.RELEASE)}: is not there; `curate pack` makes it")
        return
    except ValueError as err:
        found.faults.append(f"{store.where(paths.RELEASE)}: not JSON ({err}); pack again")
        return
    if ended and _table(release).get("index_sha256") != hashlib.sha256(index).hexdigest():
        found.faults.append(f"{store.where(paths.RELEASE)}: is of another index.json; pack again")


def _sides(store: Store, samples: Mapping[str, str], found: Verified) -> None:
    """Checks that what is told of every place's split is what its sample is of."""
    where = store.where(paths.SPLIT)
    try:
        sides = splits.packed_sides(store)
    except DamageError as err:
        found.faults.append(str(err))
        return
    if sides is None:
        if (
            store.head(paths.RELEASE) is not None
        ):  # else shards were copied alone, which say of themselves what they are
            found.faults.append(f"{where}: is not there, and is told by it what was packed as what; pack again")
        return
    wrong = [key for key, split in samples.items() if sides.get(key) != split]
    if wrong:
        key = wrong[0]
        found.faults.append(
            f"{where}: tells {key} as {sides.get(key, 'nothing')}, packed as {samples[key]} ({len(wrong)} such samples); "
            "pack again"
        )


def _split(
    store: Store, index: Index, split: str, entry: SplitEntry, found: Verified, proof: Proof
) -> Iterator[tuple[str, str]]:
    """Checks a split; gives key and digest of each sample as its tar's own bytes say."""
    members = check_object(store, StoredObject(entry.members.name, entry.members.size, entry.members.sha256), found)
    table = check_object(
        store, StoredObject(entry.samples_table.name, entry.samples_table.size, entry.samples_table.sha256), found
    )
    ids = None
    try:
        ids = None if table is None else pq.read_table(io.BytesIO(table)).column("id").to_pylist()
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as err:  # by where the fault is
        found.faults.append(f"{store.where(entry.samples_table.name)}: no Parquet file with ids ({err}); pack again")
    scanned: list[list[MemberRow]] = []
    with Counting(f"verify {split}", len(entry.shards), "shard", "read") as count:
        for shard in entry.shards:
            before = found.size
            data = check_object(store, StoredObject(shard.name, shard.size, shard.sha256), found)
            count.step(1, found.size - before)
            try:
                rows = tar.scan_tar(data if data is not None else store.get(shard.name), store.where(shard.name))
            except NOT_THERE:
                continue  # named already
            except DamageError as err:
                found.faults.append(str(err))
                continue
            scanned.append(rows)
            if data is not None:
                for key, digest, meta in _samples(data, rows, store.where(shard.name), found):
                    proof.take(split, meta)
                    yield key, digest
    if len(scanned) != len(entry.shards):
        return
    keys = list(dict.fromkeys(r.key for rows in scanned for r in rows))
    if ids is not None and keys != ids:
        found.faults.append(
            f"{store.where(entry.samples_table.name)}: names other samples than the tars hold; pack again"
        )
    try:
        again = members_to_arrow(scanned, index.members)
    except DamageError as err:
        found.faults.append(f"{store.where('')}: {split}: {err}; pack again")
        return
    if members is not None and again != members:
        found.faults.append(
            f"{store.where(entry.members.name)}: tells other offsets or hashes than the tars have; pack again"
        )


def _samples(data: bytes, rows: list[MemberRow], where: str, found: Verified) -> Iterator[tuple[str, str, Any]]:
    by_key: dict[str, dict[str, bytes]] = {}
    for row in rows:
        by_key.setdefault(row.key, {})[row.member] = data[row.offset : row.offset + row.size]
    for key, members in by_key.items():
        try:
            meta = json_of(members.get(META, b""))
            digest = sample_digest(key, iter_arrays(members), meta)
        except ValueError as err:
            found.faults.append(f"{where}: sample {key}: its {META} is not JSON ({err}); pack again")
        except DamageError as err:
            found.faults.append(f"{where}: sample {key}: {err}")
        else:
            found.samples += 1
            yield key, digest, meta
