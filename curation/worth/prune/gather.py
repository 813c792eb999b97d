"""The samples of a packed dataset, as the rules want them: features, labels, places and sizes of its tables."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray

from curation.errors import ConfigError, DamageError
from curation.format.index import INDEX, FileEntry, Index
from curation.format.names import DOMAIN, META, split_member
from curation.format.table import MemberTable, read_members
from curation.pack.export.of_shards import index_of
from curation.places.grids import Floats, Ints
from curation.recipe.dataset import Dataset
from curation.store import paths
from curation.store.objects import Store
from curation.worth.features.table import Features
from curation.worth.prune.neighbours import RADIUS_M, Values
from curation.worth.prune.samples import JudgedSamples, Labels


@dataclass(frozen=True, slots=True)
class JudgedRelease:
    """The release that stands, and its tables."""

    store: Store
    """The folder of its shards."""
    index: Index
    index_sha256: str
    tables: Mapping[str, pd.DataFrame]
    """Split → table of samples."""
    members: Mapping[str, MemberTable]

    @classmethod
    def load(cls, store: Store) -> JudgedRelease:
        """That of a dataset's folder.

        Raises:
            ConfigError: nothing is packed there.
            DamageError: a table is not what the index says.
        """
        shards, index = store.child(paths.SHARDS), index_of(store)
        tables, members = {}, {}
        for split, entry in index.splits.items():
            tables[split] = pq.read_table(io.BytesIO(_content(shards, entry.samples_table))).to_pandas()
            data = _content(shards, entry.members)
            members[split] = read_members(data, shards.where(entry.members.name), index, split)
        return cls(shards, index, hashlib.sha256(shards.get(INDEX)).hexdigest(), tables, members)


def _content(shards: Store, entry: FileEntry) -> bytes:
    try:
        data = shards.get(entry.name)
    except FileNotFoundError:
        raise DamageError(f"{shards.where(entry.name)}: the index names it, and it is not there; pack again") from None
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise DamageError(f"{shards.where(entry.name)}: is not the table that the index names; pack again")
    return data


def candidates(dataset: Dataset, release: JudgedRelease, features: Features) -> JudgedSamples:
    """The samples of a release, in order of their ids.

    A sample's numbers are those of its seasons one after the other, the mean over its children where it has some; those of
    a season that it lacks are NaN. Its labels are a class per label and season, or the recipe's target.

    Raises:
        ConfigError: the features are of another release.
    """
    table = pd.concat(
        [of.assign(split=split, row=np.arange(len(of))) for split, of in sorted(release.tables.items())]
    ).sort_values("id", ignore_index=True)
    ids = tuple(table["id"].tolist())
    scenes = Dates(release, table["split"].tolist(), table["row"].to_numpy())
    return JudgedSamples(
        ids,
        tuple(table["split"].tolist()),
        table["lon"].to_numpy(np.float64),
        table["lat"].to_numpy(np.float64),
        np.full(len(ids), _side_m(dataset)),
        by_sample(features, ids),
        labels_of(release.index, table),
        _sizes(release, table),
        _domains(table),
        scenes.same,
    )


def _side_m(dataset: Dataset) -> float:
    """Side of footprints; of those in degrees that along a meridian."""
    grid = dataset.recipe.grid
    return grid.size if grid.unit == "m" else float(np.radians(grid.size) * RADIUS_M)


def by_sample(features: Features, ids: Sequence[str]) -> Values:
    """A row per sample [N, seasons times D].

    Raises:
        ConfigError: the features are of samples that there are not.
    """
    seasons = list(dict.fromkeys(features.seasons.tolist()))
    row_of = {name: n for n, name in enumerate(ids)}
    if strange := sorted(set(features.places.tolist()) - row_of.keys()):
        raise ConfigError(f"features {features.name}: {strange[0]} is no sample of the release: make them again")
    rows = np.array([row_of[p] for p in features.places.tolist()], np.int64)
    wide = features.values.shape[1]
    out = np.full((len(ids), len(seasons) * wide), np.nan, np.float32)
    for n, season in enumerate(seasons):
        mine = np.flatnonzero(features.seasons == season)
        count = np.bincount(rows[mine], minlength=len(ids))
        total = np.zeros((len(ids), wide))
        np.add.at(total, rows[mine], features.values[mine])
        some = count > 0
        out[some, n * wide : (n + 1) * wide] = total[some] / count[some, None]
    return out


def labels_of(index: Index, table: pd.DataFrame) -> Labels | None:
    """What samples are labelled as: the recipe's target where it is a class, else labels of maps; None without any."""
    target = index.target
    if target is not None and target.classes:
        names = tuple(str(c) for c in target.classes)
        said = table[target.column].astype("object")
        known = said.notna().to_numpy()
        number = {c: n for n, c in enumerate(target.classes)}
        present = np.full((len(table), len(names)), np.nan, np.float32)
        present[known] = 0
        for row in np.flatnonzero(known).tolist():
            present[row, number[said.iloc[row]]] = 1
        return Labels(names, present, several=False)
    columns = [c for c in table.columns if c.startswith("labels_") and table[c].notna().any()]
    if not index.label_names or not columns:
        return None
    present = np.full((len(table), len(columns) * len(index.label_names)), np.nan, np.float32)
    for k, column in enumerate(columns):
        for row, there in enumerate(table[column]):
            if there is not None:
                at = slice(k * len(index.label_names), (k + 1) * len(index.label_names))
                present[row, at] = [name in set(there) for name in index.label_names]
    names = tuple(f"{c.removeprefix('labels_')}:{n}" for c in columns for n in index.label_names)
    return Labels(names, present, several=True)


def _domains(table: pd.DataFrame) -> dict[str, list[str]]:
    """What samples are told to be of, with their regions."""
    named = {c.removeprefix(DOMAIN): c for c in table.columns if c.startswith(DOMAIN)}
    return {n: ["" if pd.isna(v) else str(v) for v in table[c]] for n, c in {"region": "region", **named}.items()}


def _sizes(release: JudgedRelease, table: pd.DataFrame) -> Floats:
    """Bytes of each data array of each sample [N, M]; NaN of what it has not."""
    index = release.index
    data = [n for n, e in index.arrays.items() if e.role == "data"]
    wanted = [m for m, name in enumerate(index.members) if name != META and split_member(name).array in data]
    column = {m: k for k, m in enumerate(wanted)}
    place = {its: n for n, its in enumerate(zip(table["split"], table["row"], strict=True))}
    out = np.full((len(table), len(wanted)), np.nan)
    for split, members in release.members.items():
        mine = np.isin(members.member, wanted)
        rows = np.array([place[split, s] for s in range(len(release.tables[split]))], np.int64)
        at = np.array([column[m] for m in members.member[mine].tolist()], np.int64)
        out[rows[members.sample[mine]], at] = members.size[mine]
    return out


@dataclass(slots=True)
class Dates:
    """On which days the scenes of samples were taken: read of single samples, where somebody asks."""

    release: JudgedRelease
    splits: Sequence[str]
    rows: Ints
    seen: dict[int, frozenset[tuple[str, str, str]]] = field(default_factory=dict)

    def same(self, a: Ints, b: Ints) -> NDArray[np.bool_]:
        """Whether two samples are of the same days in the seasons and sources that both have, of each pair."""
        pairs = zip(a.tolist(), b.tolist(), strict=True)
        return np.array([agree(self._of(one), self._of(other)) for one, other in pairs], bool)

    def _of(self, number: int) -> frozenset[tuple[str, str, str]]:
        if number not in self.seen:
            self.seen[number] = frozenset(_days(self._meta(self.splits[number], int(self.rows[number]))))
        return self.seen[number]

    def _meta(self, split: str, row: int) -> Mapping[str, Any]:
        table, entry = self.release.members[split], self.release.index.splits[split]
        at = int(np.searchsorted(table.sample, row))  # the first member of a sample
        shard = entry.shards[int(table.shard[at])]
        data = self.release.store.get_range(shard.name, int(table.offset[at]), int(table.size[at]))
        if xxhash.xxh3_64_intdigest(data) != int(table.xxh3[at]):
            where = self.release.store.where(shard.name)
            raise DamageError(f"{where}: {META} at {table.offset[at]}: is not what was packed; pack again")
        found: Mapping[str, Any] = msgspec.json.decode(data)
        return found


def _days(meta: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Season, source and day of each scene."""
    out = []
    for season, its in (meta.get("seasons") or {}).items():
        for source, facts in its["sources"].items():
            times = [facts.get("time"), *(facts.get("times") or [])]
            out += [(season, source, str(t)[:10]) for t in times if t]
    return out


def agree(one: frozenset[tuple[str, str, str]], other: frozenset[tuple[str, str, str]]) -> bool:
    """Whether two samples' days are the same in all seasons and sources that both have; not where they have none in common.

    Args:
        one: season, source and day of each of its scenes; empty where none has a day, as of heights alone.
        other: those of the other.
    """
    shared = {its[:2] for its in one} & {its[:2] for its in other}
    if not shared:
        return not one and not other
    return all({d for *k, d in one if tuple(k) == s} == {d for *k, d in other if tuple(k) == s} for s in shared)
