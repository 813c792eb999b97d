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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import ConfigError, DamageError
from curation.errors.codes import Code
from curation.errors.words import counted
from curation.model import STATIC, Window
from curation.outcomes import PatchOutcome, Status
from curation.pack import meta
from curation.pack.labels import acquisition, known
from curation.pack.labels.acquisition import Image
from curation.pack.labels.known import LISTED
from curation.pack.labels.listed import SCHEMA
from curation.pack.plan import PlannedSample
from curation.places.locations import Locations
from curation.recipe.dataset import Dataset
from curation.recipe.digests import digest
from curation.store import paths
from curation.store.objects import Store

FORMAT = 1

Unmatched = tuple[int, Code]
"""A row, counted from 0, and why it is of no patch."""


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

    def to_bytes(self) -> bytes:
        """The record as JSON."""
        value = {"format": FORMAT} | dataclasses.asdict(self)
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


def unsaved(dataset: Dataset, rows: pa.Table, file: str, origin: str, *, seasonal: bool) -> Imported:
    """Rows as imported labels, of which nothing is written yet.

    Args:
        dataset: the recipe.
        rows: of `SCHEMA`.
        file: name of what was imported.
        origin: its digest.
        seasonal: whether they are of images.
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
    )
    return Imported(record, rows, out.getvalue())


def save(store: Store, dataset: Dataset, rows: pa.Table, file: str, origin: str, *, seasonal: bool) -> Imported:
    """Publishes rows as the dataset's imported labels, in place of those before. Arguments as of `unsaved`."""
    made = unsaved(dataset, rows, file, origin, seasonal=seasonal)
    store.publish(made.record.key, made.data)
    store.publish(paths.LABELS_RECORD, made.record.to_bytes())
    for stat in list(store.list(paths.LABELS)):
        if stat.key not in (made.record.key, paths.LABELS_RECORD):
            store.delete(stat.key)
    return made


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
    def _images(self) -> list[Image]:
        columns = (self.rows[n].to_pylist() for n in ("tile", "start", "sensed", "day"))
        return [Image(*values) for values in zip(*columns, strict=True)]

    @cached_property
    def _of_place(self) -> dict[str, list[int]]:
        """Location, as `_key` has it → its rows."""
        out: dict[str, list[int]] = {}
        for n, place in enumerate(self.rows["location"].to_pylist()):
            if place is not None:
                out.setdefault(_key(place), []).append(n)
        return out

    def of_season(self, season: str) -> bool:
        """Whether the labels of a season, or of `static`, come from here: then from nowhere else."""
        return (season != STATIC) == self.record.seasonal

    def _matching(
        self, dataset: Dataset, season: str, place: str, outcome: PatchOutcome, facts: Mapping[str, Any]
    ) -> list[int]:
        """The rows that are of a patch."""
        rows = self._of_place.get(_key(place), [])
        if not self.record.seasonal or not rows:
            return rows
        other = dataset.specs[self.record.source].pick.follows or ""
        its = outcome.sources.get(other)
        if its is None or its.status is not Status.OK or not its.scenes:
            return []
        seconds = facts.get(f"{other}_time")
        sensed = None if seconds is None else dt.datetime.fromtimestamp(float(seconds), dt.UTC)
        scene = acquisition.of_scene(its.scenes[0], sensed)
        return [n for n in rows if acquisition.same(self._images[n], scene)]

    def _said(self, row: int) -> dict[str, Any]:
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
        said = [self._said(n) for n in self._matching(dataset, season, place, outcome, facts)]
        alike = said and all(s == said[0] for s in said)
        return {LISTED: said[0] if alike else known.unknown()}

    def unmatched(self, dataset: Dataset, places: Locations) -> list[Unmatched]:
        """Rows of none of the places, or of no season."""
        there = _keys(places)
        seasons = self._seasons(dataset, places)
        out = []
        for n, place in enumerate(self.rows["location"].to_pylist()):
            if place is None or _key(place) not in there:
                out.append((n, Code.UNKNOWN_LOCATION))
            elif self.record.seasonal and not seasons[n]:
                out.append((n, Code.OUTSIDE_SEASONS))
        return out

    def unused(
        self,
        dataset: Dataset,
        places: Locations,
        samples: Iterable[tuple[PlannedSample, Mapping[str, Mapping[str, Any]]]],
    ) -> list[Unmatched]:
        """Rows that no sample has its labels from, once it is known of which images samples are made.

        Args:
            dataset: the recipe.
            places: that were asked for.
            samples: each with season → facts.
        """
        found: dict[int, Code | None] = {}
        for member, facts in samples:
            for part in member.parts:
                if self.of_season(part.season):
                    args = (dataset, part.season, member.location.id, part.outcome, facts[part.season])
                    rows = self._matching(*args)
                    alike = all(self._said(n) == self._said(rows[0]) for n in rows)
                    found |= dict.fromkeys(rows, None if alike else Code.AMBIGUOUS_LABELS)
        before = dict(self.unmatched(dataset, places))
        out = []
        for n in range(self.rows.num_rows):
            why = found[n] if n in found else before.get(n, Code.OTHER_IMAGE)
            out += [] if why is None else [(n, why)]
        return out

    def _seasons(self, dataset: Dataset, places: Locations) -> list[list[str]]:
        """The seasons that each row's image was taken in, as they are at its location."""
        seasons = [dataset.recipe.season(s) for s in dataset.seasons_of(self.record.source)]
        numbers = {_key(name): n for n, name in enumerate(places.table["id"].to_pylist())}
        alike = all(season.column is None for season in seasons)

        @cache
        def windows_at(number: int) -> list[Window | None]:
            return [season.window(places[number]) for season in seasons]

        out = []
        for image, place in zip(self._images, self.rows["location"].to_pylist(), strict=True):
            number = None if place is None else numbers.get(_key(place))
            windows = [] if number is None else windows_at(0 if alike else number)
            time = image.start or image.sensed
            if time is None and image.day is not None:
                time = dt.datetime.combine(image.day, dt.time(), dt.UTC)
            held = [time is not None and w is not None and w.holds(time) for w in windows]
            out.append([season.name for season, its in zip(seasons, held, strict=False) if its])
        return out

    def coverage(self, dataset: Dataset, places: Locations, asked: Sequence[str]) -> Coverage:
        """What share of the patches can be labelled, as far as is known before scenes are chosen.

        Args:
            dataset: the recipe.
            places: those asked for.
            asked: the seasons asked for; where none of them has such labels, all count.
        """
        ids, names = _keys(places), dataset.seasons_of(self.record.source)
        names = [n for n in names if n in asked] or names
        told = [
            labels is not None or shares is not None
            for labels, shares in zip(self.rows["labels"].to_pylist(), self.rows["shares"].to_pylist(), strict=True)
        ]
        seasons = self._seasons(dataset, places) if self.record.seasonal else [[STATIC]] * self.rows.num_rows
        can = {
            (_key(place), season)
            for place, its, is_known in zip(self.rows["location"].to_pylist(), seasons, told, strict=True)
            for season in its
            if is_known and season in names and place is not None and _key(place) in ids
        }
        lost = Counter(code for _, code in self.unmatched(dataset, places))
        examples = next((p for p in self.rows["location"].to_pylist() if p is not None and _key(p) not in ids), "")
        example = str(places.table["id"][0].as_py()) if len(places) else ""
        return Coverage(
            self.record, len(can), len(ids) * len(names), self.rows.num_rows - sum(told), lost, (examples, example)
        )

    def table(self, unmatched: Sequence[Unmatched]) -> bytes:
        """Rows that are of no patch, with why, as Parquet."""
        rows = self.rows.take(pa.array([n for n, _ in unmatched], pa.int64()))
        reasons = pa.array([str(code) for _, code in unmatched], pa.string())
        columns = ["row", "location", "s2_id", "sensed", "day"]
        out = io.BytesIO()
        pq.write_table(rows.select(columns).append_column("reason", reasons), out, compression="zstd")
        return out.getvalue()


@dataclass(frozen=True, slots=True)
class Coverage:
    """What imported labels come to before scenes are chosen."""

    record: Record
    can: int
    """Patches of which there are labels, if the right image is taken for them."""
    patches: int
    empty: int
    """Rows that say that there are no labels."""
    lost: Counter[Code]
    """Why rows are of no patch → how many."""
    examples: tuple[str, str]
    """A location of the file that is none here, and one that is here."""

    @property
    def summary(self) -> str:
        """For a person."""
        what = "patches" if self.record.seasonal else "places"
        share = 100 * self.can / self.patches if self.patches else 0.0
        text = (
            f"labels: {self.record.file} can label up to {self.can:,} of {self.patches:,} {what} ({share:.1f} %)"
            + (": those whose scene is of an image that it lists" if self.record.seasonal else "")
            + f"; {counted(self.record.rows, 'row')}, {self.empty} without labels"
        )
        if self.lost:
            text += f", {sum(self.lost.values())} of no patch ({_listed(self.lost)}), listed in {paths.UNMATCHED}"
        if self.lost[Code.UNKNOWN_LOCATION]:
            text += (
                f"; locations of the file are called like {self.examples[0]!r}, those here like {self.examples[1]!r}"
            )
        return text


def _listed(counts: Mapping[Code, int]) -> str:
    return ", ".join(f"{code} {n}" for code, n in Counter(counts).most_common())


def _key(location: str) -> str:
    """A location's id as ids are compared: of a number leading zeros do not count."""
    text = location.strip()
    return text.lstrip("0") or "0" if text.isascii() and text.isdigit() else text


def _keys(places: Locations) -> set[str]:
    """The ids of places, as ids are compared. Raises ConfigError where two are the same then."""
    ids = list(dict.fromkeys(places.table["id"].to_pylist()))
    found: dict[str, str] = {}
    for name in ids:
        other = found.setdefault(_key(name), name)
        if other != name:
            raise ConfigError(
                f"locations {other!r} and {name!r}: as numbers they are one, so labels cannot tell them apart"
            )
    return set(found)


def release_digest(dataset: Dataset, imported: Imported | None) -> str:
    """The recipe's release digest, and what was imported beside it."""
    own = dataset.release_digest()
    if imported is None:
        return own
    return digest([own, imported.record.content, imported.record.source, imported.record.seasonal])


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
    return {"file": imported.record.file, "content": imported.record.content, "patches": patches}
