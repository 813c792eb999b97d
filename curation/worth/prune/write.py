"""The steps of pruning: the release that stands, its features, what the rules say of it, and the record, last."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import logging
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import ConfigError, DamageError
from curation.errors.words import did_you_mean
from curation.format.index import INDEX
from curation.pack import pruned
from curation.pack.pruned import Decisions
from curation.pack.writers import versions
from curation.recipe.dataset import Dataset
from curation.store import paths
from curation.store.objects import Store
from curation.work.progress import Doing
from curation.worth.features import making
from curation.worth.features.way import FeatureWay
from curation.worth.prune import gather, rates
from curation.worth.prune.gather import JudgedRelease
from curation.worth.prune.rates import Rate
from curation.worth.prune.rules import MISLABELLED, Judged, PruneRules, judged
from curation.worth.prune.samples import JudgedSamples

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pruning:
    """What pruning came to, or would come to."""

    by_reason: dict[str, int]
    """Code → samples that are left out."""
    whole: Rate
    """Of all samples that might be left out."""
    each: list[Rate]
    """Of their classes and domains; those that lose most come first."""
    marked: list[Rate]
    """Of these such that lose more than twice as much as all do."""
    found: dict[str, Any]
    """Thresholds that followed from the data."""
    where: str
    """The record; empty of a dry run."""


def prune(dataset: Dataset, store: Store, way: FeatureWay, rules: PruneRules, *, dry_run: bool = False) -> Pruning:
    """Decides which samples of the release that stands the next packing leaves out. Safe to stop and to run again.

    Args:
        dataset: the recipe.
        store: its folder.
        way: what samples are compared by.
        rules: which, and how strict; of the parts that models learn from where they name none.
        dry_run: only tell; nothing is written but features.

    Raises:
        ConfigError: nothing is packed, what is packed follows such decisions already, or a rule cannot be asked.
        DamageError: what is packed is not what was recorded.
    """
    rules = rules.checked()
    with Doing("prune: reading tables", often_short=True):
        release = JudgedRelease.load(store)
    if pruned.record_of(release.index) is not None:
        raise ConfigError(
            f"{release.store.where(INDEX)}: follows decisions of an earlier `curate prune`, and who is left out cannot be "
            f"judged again; {pruned.AGAIN}"
        )
    rules = dataclasses.replace(rules, splits=_splits(dataset, release, rules))
    features = making.made(store, way).features
    samples = gather.candidates(dataset, release, features)
    if MISLABELLED in rules.rules and samples.labels is None:
        log.warning("prune: samples have no labels, so that none is doubted")
    its = judged(samples, rules, lambda name: log.info("prune: %s", name))
    table = _table(samples, its)
    whole, each = rates.rates(samples, rules, its)
    found = _plain(its.found)
    where = (
        "" if dry_run else _publish(store, dataset, release, rules, features.name, features.digest, its, table, found)
    )
    return Pruning(rates.by_reason(its), whole, each, rates.marked(whole, each), found, where)


def _splits(dataset: Dataset, release: JudgedRelease, rules: PruneRules) -> tuple[str, ...]:
    """Whose samples may be left out."""
    parts = tuple(release.index.splits)
    if odd := [s for s in rules.splits if s not in parts]:
        raise ConfigError(f"--splits {odd[0]!r}: {did_you_mean(odd[0], parts)}expected of {', '.join(parts)}")
    return rules.splits or tuple(s for s in parts if s in dataset.recipe.split.learnt)


def _table(samples: JudgedSamples, its: Judged) -> bytes:
    """A row per sample, in order of id, with its reason (null of those that stay) and its scores, as Parquet."""
    columns: dict[str, Any] = {
        "id": pa.array(samples.ids, pa.string()),
        "split": pa.array(samples.splits, pa.string()),
        "reason": pa.array([r or None for r in its.reason], pa.string()),
    }
    for name, values in its.scores.items():
        if values.dtype == object:
            columns[name] = pa.array([v or None for v in values.tolist()], pa.string())
        elif np.issubdtype(values.dtype, np.integer):
            columns[name] = pa.array(values, pa.int32())
        else:
            columns[name] = pa.array(np.round(values, 6), pa.float32(), from_pandas=True)
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, compression="zstd")
    return out.getvalue()


def _publish(
    store: Store,
    dataset: Dataset,
    release: JudgedRelease,
    rules: PruneRules,
    embedding: str,
    embedding_digest: str,
    its: Judged,
    table: bytes,
    found: dict[str, Any],
) -> str:
    """Writes the table, then the record of it, then removes tables of others; gives where the record is."""
    index, sha256 = release.index, hashlib.sha256(table).hexdigest()
    name = paths.pruned_table(sha256)
    record = {
        "format": pruned.FORMAT,
        "version": pruned.VERSION,
        "dataset": dataset.name,
        "of": {
            "index_sha256": release.index_sha256,
            "content_sha256": index.content_sha256,
            "pixels_digest": index.pixels_digest,
            "release_digest": index.release_digest,
        },
        "rules": rules.to_json(),
        "embedding": {"name": embedding, "digest": embedding_digest},
        "table": {"name": name, "size": len(table), "sha256": sha256, "rows": len(its.reason)},
        "dropped": rates.by_reason(its),
        "found": found,
        "written_by": versions(),
    }
    folder = store.child(paths.PRUNE)
    folder.publish(name, table)
    store.publish(paths.PRUNED, (json.dumps(record, sort_keys=True, indent=1, allow_nan=False) + "\n").encode())
    _forget(store, {name})
    return store.where(paths.PRUNED)


def _forget(store: Store, stays: set[str]) -> None:
    """Removes tables that no record names."""
    folder = store.child(paths.PRUNE)
    for stat in list(folder.list()):
        if paths.is_pruned_table(stat.key) and stat.key not in stays:
            folder.delete(stat.key)


def undo(store: Store) -> int | None:
    """Forgets what was decided, so that the next packing has all samples again; gives how many were left out.

    None where nothing was decided. What is damaged is forgotten, too, and counts as none.
    """
    there = store.head(paths.PRUNED) is not None
    try:
        decisions = Decisions.load(store)
    except (ConfigError, DamageError) as err:
        log.warning("prune: %s", err)
        decisions = None
    store.delete(paths.PRUNED)
    _forget(store, set())
    return len(decisions.out) if decisions else 0 if there else None


def _plain(value: Any) -> Any:
    """The value without NaN, which is no JSON."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
