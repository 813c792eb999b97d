"""Imported labels, proven from their bytes, and that the shards were packed with them."""

from __future__ import annotations

import hashlib
from typing import Any

from curation.errors import ConfigError, DamageError
from curation.format.index import INDEX
from curation.format.strict import json_of
from curation.pack.labels import imported, made
from curation.pack.labels.making import MapOutcome
from curation.recipe.dataset import Dataset
from curation.store import paths
from curation.store.objects import Store
from curation.verify.found import Verified


def check_labels(dataset: Dataset, store: Store, found: Verified) -> None:
    """Takes up what is wrong with imported labels."""
    keys = [s.key for s in store.list(paths.LABELS)]
    content = None
    try:
        its = imported.load(store, dataset)
    except (DamageError, ConfigError) as err:
        found.faults.append(str(err))
        return
    if its is not None:
        content = its.record.content + its.record.made_by
        found.size += its.record.size
    named = {paths.LABELS_RECORD, its.record.key} if its is not None else set()
    if left := sorted(set(keys) - named):
        found.unfinished.append(
            f"{store.where(left[0])}: is of an import of labels that was stopped. The same `curate labels import` goes on "
            "with that; or delete it"
        )
    _check_maps(store, found)
    packed = _packed_with(store)
    if packed is not None and packed != (content or ""):
        found.unfinished.append(
            f"{store.where(paths.shard(INDEX))}: was packed with other labels than are imported by now. `curate "
            "pack` makes its shards anew"
        )


def _check_maps(store: Store, found: Verified) -> None:
    """Takes up which class maps that were made here are not what was recorded of them."""
    for key, outcomes in made.records(store):
        if isinstance(outcomes, DamageError):
            found.faults.append(
                f"{outcomes}; delete {key} and run the command again that made it: its maps tell it again"
            )
            continue
        for its in outcomes.values():
            if its.key and (wrong := _wrong(store, its)):
                found.faults.append(
                    f"{store.where(its.key)}: {wrong}; delete {paths.maps_records(paths.way_of(its.key))} and run the "
                    "command again that made it"
                )
            found.size += its.size


def _wrong(store: Store, its: MapOutcome) -> str:
    try:
        digest = hashlib.sha256(store.get(its.key)).hexdigest()
    except FileNotFoundError:
        return "is recorded but not there"
    return "" if digest == its.sha256 else f"has sha256 {digest[:12]}…, recorded was {its.sha256[:12]}…"


def _packed_with(store: Store) -> str | None:
    """Digest of the imported labels that shards have, and what made their maps; empty of none, None without an index."""
    try:
        index: Any = json_of(store.get(paths.shard(INDEX)))
        counts = index["counts"]
        labels = counts.get("labels")
        return str(labels["content"]) + str(labels.get("made_by", "")) if labels else ""
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # told as damage where the index is checked
