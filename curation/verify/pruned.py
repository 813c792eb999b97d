"""Proof of what `curate prune` left out: the table of it, and that the shards are of the rest."""

from __future__ import annotations

import io
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import ConfigError, DamageError
from curation.errors.words import counted
from curation.format.index import INDEX, Index
from curation.pack import pruned
from curation.pack.pruned import Decisions
from curation.store import paths
from curation.store.objects import Store
from curation.store.records import StoredObject
from curation.verify.found import NOT_THERE, Verified, table_of


def check_pruned(store: Store, found: Verified) -> None:
    """Takes up what is wrong with decisions in a dataset's folder, and where the shards do not follow them."""
    try:
        decisions = Decisions.load(store)
    except (ConfigError, DamageError) as err:
        found.faults.append(str(err))
        return
    shards = store.child(paths.SHARDS)
    try:
        index = Index.from_bytes(shards.get(INDEX), shards.where(INDEX))
    except (*NOT_THERE, DamageError, ConfigError):
        return  # which is told of shards
    follows = pruned.record_of(index)
    if follows != (decisions and decisions.sha256):
        found.unfinished.append(_unfollowed(store, follows, decisions))
    elif decisions is not None:
        _check_followed(store, shards, index, decisions, found)


def _unfollowed(store: Store, follows: str | None, decisions: Decisions | None) -> str:
    """That shards are of other decisions than those that stand, or of none."""
    where = store.where(paths.PRUNED)
    if decisions is None:
        return f"{where}: is gone, and the shards follow it: `curate pack` brings the samples back that it left out"
    out = counted(len(decisions.out), "sample")
    return f"{where}: leaves out {out}, the shards do not follow it yet: `curate pack` does that"


def _check_followed(store: Store, shards: Store, index: Index, decisions: Decisions, found: Verified) -> None:
    """The samples are those that stay, all of them; what is left out is listed, each with its reason."""
    where, out = store.where(paths.PRUNED), decisions.out
    if index.counts.get(pruned.OF_INDEX) != decisions.entry():
        found.faults.append(f"{shards.where(INDEX)}: counts.{pruned.OF_INDEX} is not what {where} says; pack again")
    packed = _ids(shards, index)
    if packed is None:
        return  # which is told of shards
    if wrong := sorted(packed & out.keys()):
        found.faults.append(f"{where}: leaves out {wrong[0]}, which is packed ({len(wrong)} such samples); pack again")
    if lost := sorted(decisions.reasons.keys() - out.keys() - packed):
        found.faults.append(f"{where}: keeps {lost[0]}, which is not packed ({len(lost)} such samples); pack again")
    if strange := sorted(packed - decisions.reasons.keys()):
        found.faults.append(f"{where}: {strange[0]} was not judged, and is packed ({len(strange)} such); pack again")
    listed = _listed(store, found)
    if listed is not None and (odd := sorted(i for i, why in out.items() if listed.get(i) != why)):
        found.faults.append(
            f"{store.where(paths.DROPPED)}: tells {odd[0]} as {listed.get(odd[0], 'nothing')}, left out as {out[odd[0]]} "
            f"({len(odd)} such samples); pack again"
        )


def _ids(shards: Store, index: Index) -> set[str] | None:
    """Ids of all samples, by the tables; None where one is not what the index says."""
    found = set[str]()
    for its in (entry.samples_table for entry in index.splits.values()):
        table = table_of(shards, StoredObject(its.name, its.size, its.sha256), ["id"])
        if table is None:
            return None
        found.update(table["id"].to_pylist())
    return found


def _listed(store: Store, found: Verified) -> Mapping[str, str] | None:
    """Id → why, of what the release lists as dropped for a reason of ours."""
    where = store.where(paths.DROPPED)
    try:
        table = pq.read_table(io.BytesIO(store.get(paths.DROPPED)), columns=["id", "reason"])
        pairs = list(zip(table["id"].to_pylist(), table["reason"].to_pylist(), strict=True))
    except NOT_THERE:
        found.faults.append(f"{where}: is not there, and lists what was left out; pack again")
        return None
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as err:  # by where the fault is
        found.faults.append(f"{where}: no Parquet file with ids and reasons ({err}); pack again")
        return None
    return {i: why for i, why in pairs if pruned.is_reason(why)}
