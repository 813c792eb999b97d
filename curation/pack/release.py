"""A release: what is committed of it, and which shards it leaves."""

from __future__ import annotations

import hashlib
import json
import logging

from curation.errors import ConfigError, DamageError
from curation.errors.printable import storable
from curation.format.index import INDEX, Index
from curation.recipe.dataset import Dataset
from curation.store import paths
from curation.store.objects import Store

log = logging.getLogger(__name__)


def content(dataset: Dataset, index: Index, data: bytes) -> bytes:
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


def keep_previous(store: Store, data: bytes) -> None:
    """Keeps index and tables of the release that stands, where another comes in its place: what `curate diff` compares.

    One alone is kept, its index last. Of one that cannot be read nothing is, nor of any before it.

    Args:
        store: the dataset's folder.
        data: the index that comes.
    """
    shards, previous = store.child(paths.SHARDS), store.child(paths.PREVIOUS)
    try:
        before = shards.get(INDEX)
    except FileNotFoundError:
        return  # there is none, or packing goes on with one that was stopped
    if before == data:
        return
    try:
        entries = Index.from_bytes(before, shards.where(INDEX)).splits.values()
        tables = {e.name: shards.get(e.name) for split in entries for e in (split.members, split.samples_table)}
    except (ConfigError, DamageError, FileNotFoundError) as err:
        log.warning("pack: nothing is kept of the release before: %s", err)
        previous.delete(INDEX)  # of one before that: what comes would be compared with it
        return
    previous.delete(INDEX)
    for stat in [s for s in previous.list() if s.key not in tables]:
        previous.delete(stat.key)
    for name, table in tables.items():
        previous.publish(name, table)
    previous.publish(INDEX, before)


def forget_others(store: Store, index: Index) -> None:
    """Removes shards and tables of an earlier packing that the index does not name, and what waited for another."""
    named = {INDEX}
    for entry in index.splits.values():
        named |= {entry.members.name, entry.samples_table.name, *(s.name for s in entry.shards)}
    shards = store.child(paths.SHARDS)
    for stat in list(shards.list()):
        if stat.key not in named and (paths.is_tar(stat.key) or paths.is_table(stat.key)):
            log.info("pack: removing %s, of an earlier packing", shards.where(stat.key))
            shards.delete(stat.key)
    for stat in list(store.list(paths.STAGE)):
        store.delete(stat.key)
    store.forget_empty(paths.SHARDS)  # a part that is no more would be looked for where its folder stands
