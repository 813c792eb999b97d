"""What `curate prune` has decided of a release: which samples the next packing leaves out, and that it is of that one."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypedDict

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import ConfigError, DamageError
from curation.errors.codes import Code
from curation.errors.printable import printable
from curation.errors.words import counted
from curation.format.index import Index
from curation.format.strict import Count, Sha256, Text, json_of
from curation.recipe.digests import digest
from curation.store import paths
from curation.store.objects import Store

FORMAT, VERSION = "curation-prune", 1

CODES = (Code.DUPLICATE, Code.MISLABELLED, Code.UNINFORMATIVE, Code.CROWDED)
"""Why samples are left out; what follows a colon says more."""

OF_INDEX = "pruned"
"""What `counts` of an index calls the decisions that its samples follow."""

AGAIN = "`curate prune --undo` and `curate pack` bring all samples back, then prune again"


class PrunedRelease(TypedDict):
    """The release that was judged."""

    index_sha256: Sha256
    content_sha256: Sha256
    pixels_digest: Text
    release_digest: Text


class PrunedTable(TypedDict):
    """The table of all samples that were judged, with the score of each."""

    name: Text
    size: Count
    sha256: Sha256
    rows: Count


class PruneInfo(TypedDict):
    """What `prune.json` says."""

    format: str
    version: int
    dataset: Text
    of: PrunedRelease
    rules: dict[str, Any]
    embedding: dict[str, Any]
    table: PrunedTable
    dropped: dict[str, Count]
    found: dict[str, Any]
    written_by: dict[str, Any]


def is_reason(value: object) -> bool:
    """Whether a reason is one of ours."""
    return isinstance(value, str) and value.partition(":")[0] in CODES


@dataclass(frozen=True, slots=True)
class Decisions:
    """What was decided of each sample of a release."""

    where: str
    """The record, for errors."""
    info: PruneInfo
    sha256: str
    """Of the record, which tells the table's."""
    reasons: Mapping[str, str]
    """Id of each sample that was judged → why it is left out; empty of those that stay."""

    @classmethod
    def load(cls, store: Store) -> Self | None:
        """Those in a dataset's folder; None where there are none.

        Raises:
            ConfigError: they are of a newer version.
            DamageError: record or table is not what was written.
        """
        where = store.where(paths.PRUNED)
        try:
            data = store.get(paths.PRUNED)
        except FileNotFoundError:
            return None
        info = _info(data, where)
        reasons = _reasons(store, info)
        found = Counter(reason for reason in reasons.values() if reason)
        if found != info["dropped"]:
            raise DamageError(
                f"{where}: tells of {dict(info['dropped'])} left out, its table of {dict(found)}; {AGAIN}"
            )
        return cls(where, info, hashlib.sha256(data).hexdigest(), reasons)

    @property
    def out(self) -> dict[str, str]:
        """Id → why, of those that are left out."""
        return {name: reason for name, reason in self.reasons.items() if reason}

    def entry(self) -> dict[str, Any]:
        """What the index of the release without them says of it."""
        return {
            "record_sha256": self.sha256,
            "table_sha256": self.info["table"]["sha256"],
            "of_index_sha256": self.info["of"]["index_sha256"],
            "judged": len(self.reasons),
            "dropped": dict(sorted(self.info["dropped"].items())),
        }

    def check_samples(self, ids: Iterable[str], pixels_digest: str) -> None:
        """Passes where there would be the very samples that were judged, if none were left out, of the same pixels.

        Raises:
            ConfigError: there would be others.
        """
        if self.info["of"]["pixels_digest"] != pixels_digest:
            raise ConfigError(
                f"{self.where}: is of pixels {self.info['of']['pixels_digest'][:12]}…, these are {pixels_digest[:12]}…: "
                f"another release was judged; {AGAIN}"
            )
        now = set(ids)
        if new := sorted(now - self.reasons.keys()):
            raise ConfigError(
                f"{self.where}: {counted(len(new), 'sample')} ({new[0]} …) would be packed that were not judged; {AGAIN}"
            )
        if gone := sorted(self.reasons.keys() - now):
            raise ConfigError(
                f"{self.where}: {counted(len(gone), 'sample')} ({gone[0]} …) that were judged would be no samples now: "
                f"other regions are asked for, or the recipe is another; ask for the same, or: {AGAIN}"
            )

    def check_release(self, release_digest: str) -> None:
        """Passes where the recipe says of labels, split and packing what it said of the release that was judged.

        Raises:
            ConfigError: it says something else.
        """
        before = self.info["of"]["release_digest"]
        if before != release_digest:
            raise ConfigError(
                f"{self.where}: is of release {before[:12]}…, the recipe is of {release_digest[:12]}… by now: labels, "
                f"split, packing, or what annotations read, are others than were judged; {AGAIN}"
            )


def release_digest(own: str, record_sha256: str | None) -> str:
    """The release digest of a recipe, with the decisions that its samples follow; its own where they follow none."""
    return own if record_sha256 is None else digest([own, {OF_INDEX: record_sha256}])


def record_of(index: Index) -> str | None:
    """sha256 of the record of the decisions that a release follows; None where it follows none."""
    its = index.counts.get(OF_INDEX)
    return str(its.get("record_sha256")) if isinstance(its, dict) else None


def _info(data: bytes, where: str) -> PruneInfo:
    try:
        value = json_of(data)
    except ValueError as err:
        raise DamageError(f"{where}: not JSON ({err}); {AGAIN}") from err
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise DamageError(f"{where}: expected format {FORMAT!r}: this is not what tells of samples left out; {AGAIN}")
    if value.get("version") != VERSION:
        raise ConfigError(f"{where}: version {value.get('version')}, this software reads {VERSION}")
    try:
        return msgspec.convert(value, PruneInfo)
    except ValueError as err:  # msgspec's are such
        raise DamageError(f"{where}: {printable(str(err))}; {AGAIN}") from err


def _reasons(store: Store, info: PruneInfo) -> dict[str, str]:
    """Id → reason, or empty, of the table; its bytes are held against the record."""
    entry = info["table"]
    key = paths.of_pruned(entry["name"])
    where = store.where(key)
    try:
        data = store.get(key)
    except FileNotFoundError:
        raise DamageError(f"{where}: is recorded but not there; {AGAIN}") from None
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise DamageError(f"{where}: is not what was recorded; {AGAIN}")
    try:
        table = pq.read_table(io.BytesIO(data), columns=["id", "reason"])
    except (pa.ArrowException, OSError, KeyError) as err:
        raise DamageError(f"{where}: no Parquet file with ids and reasons ({err}); {AGAIN}") from err
    found = dict(zip(table["id"].to_pylist(), (r or "" for r in table["reason"].to_pylist()), strict=True))
    if len(found) != table.num_rows or table.num_rows != entry["rows"]:
        raise DamageError(f"{where}: {len(found)} ids in {table.num_rows} rows, expected {entry['rows']}; {AGAIN}")
    if odd := [r for r in found.values() if r and not is_reason(r)]:
        raise DamageError(f"{where}: reason {printable(odd[0])}: expected of {', '.join(CODES)}; {AGAIN}")
    return found
