"""Imported labels: kept below the dataset's folder, and found again by the patch that they are of.

A table of rows, and a record that names it and is published last: an import that was stopped changes nothing.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import to_builtins

from curation.errors import ConfigError, DamageError
from curation.format.target import TargetEntry
from curation.model import STATIC
from curation.outcomes import PatchOutcome
from curation.pack import meta
from curation.pack.labels import known
from curation.pack.labels.known import LISTED
from curation.pack.labels.listed import SCHEMA, key_of
from curation.recipe.dataset import Dataset
from curation.recipe.digests import digest
from curation.scenes import acquisition
from curation.scenes.acquisition import Acquisition
from curation.store import paths
from curation.store.objects import Store

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Record:
    """What was imported."""

    file: str
    """Its name, for people; no path."""
    origin: str
    """Digest of what was imported: of the file, or of the maps and the places that they were measured at."""
    source: str
    """The source that its labels stand in for."""
    seasonal: bool
    """Whether they are of images, or of places."""
    legend: str
    """Digest of the classes that they were read by."""
    content: str
    """Digest of the rows, which shards depend on."""
    rows: int
    key: str
    """Of the table."""
    size: int
    sha256: str
    made_by: str = ""
    """What made the maps that they were measured on, where that was done here: shards depend on it, too."""

    def to_bytes(self) -> bytes:
        """The record as JSON."""
        value = {"format": FORMAT} | dataclasses.asdict(self)
        if not self.made_by:
            del value["made_by"]
        return (json.dumps(value, sort_keys=True, indent=1) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Record:
        """The record. Raises DamageError where it is none."""
        try:
            value = json.loads(data)
            if value.pop("format") != FORMAT:
                raise ValueError("another format")
            made = cls(**value)
            kinds = {f.name: {"str": str, "bool": bool, "int": int}[str(f.type)] for f in dataclasses.fields(cls)}
            if odd := [n for n, kind in kinds.items() if type(getattr(made, n)) is not kind]:
                raise ValueError(f"{', '.join(odd)} of another type")
        except (ValueError, KeyError, TypeError, AttributeError) as err:
            raise DamageError(f"{where}: is no record of imported labels ({err}): {_AGAIN}") from err
        return made


_AGAIN = "import them again with `curate labels import`, or do without: `curate labels remove`"


def legend_digest(dataset: Dataset, source: str) -> str:
    """Digest of what classes are called and count as."""
    legend = dataset.specs[source].kind.legend
    return digest([[c.model_dump(mode="json") for c in legend], meta.label_names(dataset)])


def source_of(dataset: Dataset, *, seasonal: bool) -> str | None:
    """The source whose labels those of images, or of places, stand in for."""
    rules = dataset.recipe.labels
    return rules.seasonal if seasonal else rules.annual


def unsaved(dataset: Dataset, rows: pa.Table, file: str, origin: str, *, seasonal: bool, made_by: str = "") -> Imported:
    """Rows as imported labels, of which nothing is written yet.

    Args:
        dataset: the recipe.
        rows: of `SCHEMA`.
        file: name of what was imported.
        origin: its digest.
        seasonal: whether they are of images.
        made_by: what made the maps, where that was done here.
    """
    source = source_of(dataset, seasonal=seasonal)
    assert source is not None
    out = io.BytesIO()
    pq.write_table(rows, out, compression="zstd", write_page_checksum=True)
    sha256 = hashlib.sha256(out.getvalue()).hexdigest()
    record = Record(
        file=file,
        origin=origin,
        source=source,
        seasonal=seasonal,
        legend=legend_digest(dataset, source),
        content=_content(rows),
        rows=rows.num_rows,
        key=paths.labels_table(sha256),
        size=out.tell(),
        sha256=sha256,
        made_by=made_by,
    )
    return Imported(record, rows, out.getvalue())


def save(store: Store, made: Imported) -> None:
    """Publishes labels as those that are imported, in place of those before."""
    store.publish(made.record.key, made.data)
    store.publish(paths.LABELS_RECORD, made.record.to_bytes())
    for stat in list(store.list(paths.LABELS)):
        if stat.key not in (made.record.key, paths.LABELS_RECORD):
            store.delete(stat.key)


def _content(rows: pa.Table) -> str:
    """Digest of rows, whatever bytes they are stored in."""
    found = hashlib.sha256()
    for batch in rows.to_batches(max_chunksize=65_536):
        for row in batch.to_pylist():
            found.update(json.dumps(row, sort_keys=True, default=str).encode() + b"\n")
    return found.hexdigest()


def record_of(store: Store) -> Record | None:
    """What is imported; None where nothing is. Raises DamageError where that cannot be read."""
    try:
        data = store.get(paths.LABELS_RECORD)
    except FileNotFoundError:
        return None
    return Record.from_bytes(data, store.where(paths.LABELS_RECORD))


def load(store: Store, dataset: Dataset) -> Imported | None:
    """The dataset's imported labels; None where it has none.

    Raises:
        DamageError: they are not what was recorded.
        ConfigError: the recipe has other classes or labels by now.
    """
    record = record_of(store)
    if record is None:
        return None
    where = store.where(record.key)
    try:
        data = store.get(record.key)
    except FileNotFoundError as err:
        raise DamageError(f"{where}: is recorded but not there: {_AGAIN}") from err
    if hashlib.sha256(data).hexdigest() != record.sha256:
        raise DamageError(f"{where}: is not the table that was recorded: {_AGAIN}")
    check_fits(record, dataset)
    rows = pq.read_table(pa.BufferReader(data))
    if not rows.schema.equals(SCHEMA) or rows.num_rows != record.rows:
        raise DamageError(f"{where}: has other columns or rows than it should: {_AGAIN}")
    return Imported(record, rows, data)


def check_fits(record: Record, dataset: Dataset) -> None:
    """Passes where the recipe still means by labels what it meant when they were imported. Raises ConfigError otherwise."""
    source = source_of(dataset, seasonal=record.seasonal)
    if source != record.source or legend_digest(dataset, source) != record.legend:
        raise ConfigError(
            f"{dataset.path}: labels imported from {record.file} were read by the classes of {record.source!r}, and the "
            f"recipe or stac_queries/ says otherwise by now: {_AGAIN}"
        )


@dataclass(frozen=True)
class Imported:
    """Labels that were imported."""

    record: Record
    rows: pa.Table
    data: bytes = field(repr=False)
    """The table as it is stored."""

    @cached_property
    def _images(self) -> list[Acquisition]:
        columns = (self.rows[n].to_pylist() for n in ("tile", "start", "sensed", "day"))
        return [Acquisition(*values) for values in zip(*columns, strict=True)]

    @cached_property
    def _of_place(self) -> dict[str, list[int]]:
        """Location, as `key_of` has it → its rows."""
        out: dict[str, list[int]] = {}
        for n, place in enumerate(self.rows["location"].to_pylist()):
            if place is not None:
                out.setdefault(key_of(place), []).append(n)
        return out

    def of_season(self, season: str) -> bool:
        """Whether the labels of a season, or of `static`, come from here: then from nowhere else."""
        return (season != STATIC) == self.record.seasonal

    def matching(
        self, dataset: Dataset, season: str, place: str, outcome: PatchOutcome, facts: Mapping[str, Any]
    ) -> list[int]:
        """The rows that are of a patch."""
        rows = self._of_place.get(key_of(place), [])
        if not self.record.seasonal or not rows:
            return rows
        other = dataset.specs[self.record.source].pick.follows or ""
        scenes = outcome.sources[other].scenes if outcome.has(other) else ()
        if not scenes:
            return []
        seconds = facts.get(f"{other}_time")
        sensed = None if seconds is None else dt.datetime.fromtimestamp(float(seconds), dt.UTC)
        scene = acquisition.of_scene(scenes[0], sensed)
        return [n for n in rows if acquisition.same(self._images[n], scene)]

    def said(self, row: int) -> dict[str, Any]:
        """What a row says: an entry under `LISTED`."""
        labels, shares = self.rows["labels"][row].as_py(), self.rows["shares"][row].as_py()
        if labels is not None:
            return known.stated(labels)
        return known.unknown() if shares is None else known.measured(shares, self.rows["valid_fraction"][row].as_py())

    def facts(
        self, dataset: Dataset, season: str, place: str, outcome: PatchOutcome, facts: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What stands among the facts of a patch: nothing where its labels do not come from here.

        Rows that contradict one another say nothing.
        """
        if not self.of_season(season):
            return {}
        said = [self.said(n) for n in self.matching(dataset, season, place, outcome, facts)]
        alike = said and all(s == said[0] for s in said)
        return {LISTED: said[0] if alike else known.unknown()}


def release_digest(
    dataset: Dataset,
    imported: Imported | None,
    target: TargetEntry | None = None,
    read: Mapping[str, str] | None = None,
) -> str:
    """The recipe's release digest, with the legend of the target, what was imported, and what was read beside it.

    Args:
        dataset: the recipe.
        imported: labels.
        target: legend of the samples' target.
        read: annotation → identity of what was read for all samples (`Gathered`).
    """
    own = dataset.release_digest()
    if read:
        own = digest([own, dict(read)])
    if target is not None:
        own = digest([own, to_builtins(target)])
    if imported is None:
        return own
    record = imported.record
    parts = [own, record.content, record.source, record.seasonal]
    return digest([*parts, record.made_by] if record.made_by else parts)


def counts(imported: Imported, metas: Iterator[Mapping[str, Any]]) -> dict[str, Any]:
    """What the index says of imported labels: their digest, and season → patches that have them, measured or stated."""
    out: dict[str, Counter[str]] = {}
    for its in metas:
        for season, entry in {STATIC: its["static"], **its["seasons"]}.items():
            if imported.of_season(season):
                said = entry.get("labels") or {}
                kind = (
                    "unknown"
                    if said.get("multi_hot") is None
                    else "stated"
                    if said["fractions"] is None
                    else "measured"
                )
                out.setdefault(season, Counter())[kind] += 1
    names = ("stated", "measured", "unknown")
    patches = {season: {k: n[k] for k in names} for season, n in sorted(out.items())}
    made_by = {"made_by": imported.record.made_by} if imported.record.made_by else {}
    return {"file": imported.record.file, "content": imported.record.content, **made_by, "patches": patches}
