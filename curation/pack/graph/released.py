"""What a graph is made of: places, patches and scenes of a finished dataset as columns, read of its shards."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from curation.errors import ConfigError, DamageError
from curation.format.annotations import decoded
from curation.format.index import INDEX, FileEntry, Index
from curation.format.names import META, MemberName
from curation.format.table import read_members
from curation.model import STATIC, parse_time
from curation.pack.graph import series, sphere
from curation.pack.graph.series import Read, SampleSeries
from curation.pack.graph.stored import FRACTIONS
from curation.places import era5_cells
from curation.places.grids import Floats, Ints
from curation.store import paths
from curation.store.objects import AT_ONCE, Store
from curation.work.progress import Counting

Vectors = NDArray[np.float32]

BATCH = 1024
"""Samples read together."""


@dataclass(slots=True)
class FoundSamples:
    """What is found of a dataset, sample by sample, in whatever order."""

    dataset: str
    index_sha256: str
    content_sha256: str
    seasons: tuple[str, ...]
    """In order; `static` alone of a dataset without seasons."""
    label_names: tuple[str, ...] = ()
    target: str = ""
    """The column that is the recipe's target; empty where none is."""
    columns: dict[str, list[Any]] = field(default_factory=dict)
    """Domain column → a text or number of each place, None where unknown."""
    ids: list[str] = field(default_factory=list)
    """Of places."""
    lon: list[float] = field(default_factory=list)
    lat: list[float] = field(default_factory=list)
    half_deg: list[tuple[float, float]] = field(default_factory=list)
    """Half width and half height of footprints, degrees."""
    splits: list[str] = field(default_factory=list)
    regions: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    """Row of each place's sample in the samples table of its split."""
    patch_place: list[int] = field(default_factory=list)
    patch_season: list[int] = field(default_factory=list)
    time_s: list[int] = field(default_factory=list)
    """Seconds since 1970 UTC; -1 where unknown."""
    fractions: list[Sequence[float]] = field(default_factory=list)
    """Share of each label, of each patch; NaN where unknown."""
    vectors: dict[str, Vectors] = field(default_factory=dict)
    """Annotation → (place, number); NaN of places that have none."""
    scene_patch: list[int] = field(default_factory=list)
    scene_name: list[str] = field(default_factory=list)
    """`<source>/<id>`, one per scene that a patch was made of."""
    series: SampleSeries | None = None
    """Of samples, where variables are wanted."""


@dataclass(frozen=True, slots=True)
class PackedRelease:
    """A dataset as columns, places in order of id, patches of place and season, each as `FoundSamples` has it."""

    dataset: str
    index_sha256: str
    content_sha256: str
    seasons: tuple[str, ...]
    label_names: tuple[str, ...]
    target: str
    columns: Mapping[str, Sequence[Any]]
    ids: Sequence[str]
    lon: Floats
    lat: Floats
    half_deg: Floats
    splits: NDArray[np.str_]
    regions: Sequence[str]
    rows: Ints
    patch_place: Ints
    patch_season: Ints
    time_s: Ints
    fractions: Vectors
    vectors: Mapping[str, Vectors]
    scene_patch: Ints
    scene_name: Sequence[str]
    series: SampleSeries | None


def ordered(found: FoundSamples) -> PackedRelease:
    """The columns of what was found; they depend on no order.

    Raises:
        DamageError: a place is there twice.
    """
    order = np.array(sorted(range(len(found.ids)), key=found.ids.__getitem__), np.int64)
    ids = [found.ids[i] for i in order]
    if twice := [one for one, other in itertools.pairwise(ids) if one == other]:
        raise DamageError(f"{found.dataset}: place {twice[0]} is in its shards twice; pack the dataset again")
    place, season = _ranks(order)[np.asarray(found.patch_place, np.int64)], np.asarray(found.patch_season, np.int64)
    patches = np.lexsort([season, place])
    fractions = np.asarray(found.fractions, np.float32).reshape(len(patches), len(found.label_names))
    return PackedRelease(
        **{
            n: getattr(found, n)
            for n in ("dataset", "index_sha256", "content_sha256", "seasons", "label_names", "target")
        },
        columns={name: [values[i] for i in order] for name, values in sorted(found.columns.items())},
        ids=ids,
        lon=np.asarray(found.lon, np.float64)[order],
        lat=np.asarray(found.lat, np.float64)[order],
        half_deg=np.asarray(found.half_deg, np.float64).reshape(-1, 2)[order],
        splits=np.asarray(found.splits, np.str_)[order],
        regions=[found.regions[i] for i in order],
        rows=np.asarray(found.rows, np.int64)[order],
        patch_place=place[patches],
        patch_season=season[patches],
        time_s=np.asarray(found.time_s, np.int64)[patches],
        fractions=fractions[patches],
        vectors={name: found.vectors[name][order] for name in sorted(found.vectors)},
        scene_patch=_ranks(patches)[np.asarray(found.scene_patch, np.int64)],
        scene_name=found.scene_name,
        series=found.series,
    )


def _ranks(order: Ints) -> Ints:
    """Where each stands once they are put in order."""
    out = np.empty(len(order), np.int64)
    out[order] = np.arange(len(order))
    return out


def read(store: Store, vectors: Sequence[str] = (), variables: Sequence[str] = ()) -> PackedRelease:
    """A dataset's places, patches and scenes, of its index, tables of members, and each sample's facts.

    Where samples have children (cells with places in them), these are the places. Each member that is read is held
    against its hash in the table, each table against its hash in the index, the index against the release.

    Args:
        store: the dataset's folder.
        vectors: annotations whose vectors are wanted.
        variables: sources and annotations whose series are wanted.

    Raises:
        ConfigError: nothing is packed, packing was stopped, or there are no such vectors or variables.
        DamageError: something is not what was recorded.
    """
    shards = store.child(paths.SHARDS)
    try:
        data = shards.get(INDEX)
    except FileNotFoundError as err:
        raise ConfigError(f"{shards.where('')}: nothing is packed there: `curate pack` first") from err
    index = Index.from_bytes(data, shards.where(INDEX))
    sha256 = hashlib.sha256(data).hexdigest()
    _check_release(store, sha256)
    for name in vectors:
        _check_vectors(index, name, shards.where(INDEX))
    if index.label_names and FRACTIONS in {*index.columns, *vectors}:
        raise ConfigError(
            f"{shards.where(INDEX)}: {FRACTIONS!r} is a column or an annotation, and label fractions are called so in a "
            "graph: give it another name, and pack again"
        )
    its = FoundSamples(
        index.dataset,
        sha256,
        index.content_sha256,
        index.seasons or (STATIC,),
        index.label_names,
        index.target.column if index.target else "",
        {name: [] for name in sorted(index.columns)},
    )
    plan = series.plan(index, variables, shards.where(INDEX)) if variables else None
    suffixes = {name: MemberName(None, name, None, index.annotations[name].encoding).suffix for name in vectors}
    wanted: dict[str, Read] = {s: functools.partial(decoded, index.annotations[n]) for n, s in suffixes.items()}
    wanted |= {s: its_read for s, (its_read, _, _) in plan.members.items()} if plan else {}
    found: dict[str, list[Any]] = {name: [] for name in vectors}
    samples: list[tuple[str, float, float, str, Vectors]] = []
    with Counting("graph: reading facts", sum(e.samples for e in index.splits.values()), "sample") as count:
        for split in sorted(index.splits):
            for row, (meta, payloads) in enumerate(_samples(shards, index, split, wanted)):
                before = len(its.ids)
                _add(its, index, meta, split, row)
                for name in vectors:
                    found[name] += [payloads.get(suffixes[name])] * (len(its.ids) - before)
                if plan:
                    samples.append((meta["id"], meta["lon"], meta["lat"], split, plan.row(payloads)))
                count.step()
    its.vectors = {name: _stacked(values, index.annotations[name].shape[0]) for name, values in found.items()}
    its.series = series.of_samples(plan, samples) if plan else None
    return ordered(its)


def _check_release(store: Store, index_sha256: str) -> None:
    try:
        release = json.loads(store.get(paths.RELEASE))
    except FileNotFoundError as err:
        raise ConfigError(
            f"{store.where(paths.RELEASE)}: is not there: `curate pack` did not end; run it again"
        ) from err
    except ValueError as err:
        raise DamageError(f"{store.where(paths.RELEASE)}: not JSON ({err}); run `curate pack` again") from err
    if not isinstance(release, dict) or release.get("index_sha256") != index_sha256:
        raise ConfigError(
            f"{store.where(paths.RELEASE)}: is of another index than that of the shards: `curate pack` did not end; run it "
            "again"
        )


def _check_vectors(index: Index, name: str, where: str) -> None:
    known = [n for n, e in index.annotations.items() if e.encoding == "npy" and not e.ragged and len(e.shape) == 1]
    if name not in known:
        raise ConfigError(
            f"--like {name}: {where} has no such vectors; expected labels, none{''.join(f', {n}' for n in known)}"
        )


def _table(shards: Store, entry: FileEntry) -> bytes:
    where = shards.where(entry.name)
    try:
        data = shards.get(entry.name)
    except FileNotFoundError as err:
        raise DamageError(f"{where}: the index names it, and it is not there; pack again") from err
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise DamageError(f"{where}: is not the table that the index names; pack again")
    return data


def _samples(
    shards: Store, index: Index, split: str, wanted: Mapping[str, Read]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Facts of each sample of a split, in order of row, and what is read of those members that are wanted and it has."""
    entry = index.splits[split]
    table = read_members(_table(shards, entry.members), shards.where(entry.members.name), index, split)
    names = {m: s for m, s in enumerate(index.members) if s in wanted}
    rows = np.flatnonzero(np.isin(table.member, [0, *names]))

    def payload(row: int) -> bytes:
        shard = entry.shards[int(table.shard[row])]
        where = f"{shards.where(shard.name)}: {META if not table.member[row] else index.members[table.member[row]]}"
        try:
            data = shards.get_range(shard.name, int(table.offset[row]), int(table.size[row]))
        except (FileNotFoundError, EOFError) as err:
            raise DamageError(f"{where} at {table.offset[row]}: is not there; pack again") from err
        if xxhash.xxh3_64_intdigest(data) != int(table.xxh3[row]):
            raise DamageError(f"{where} at {table.offset[row]}: is not what was packed; pack again")
        return data

    with ThreadPoolExecutor(AT_ONCE) as pool:
        meta: dict[str, Any] = {}
        beside: dict[str, Any] = {}
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            for row, data in zip(batch, pool.map(payload, batch.tolist()), strict=True):
                if table.member[row]:
                    name = names[int(table.member[row])]
                    beside[name] = wanted[name](data, shards.where(name))
                    continue
                if meta:
                    yield meta, beside
                meta, beside = msgspec.json.decode(data), {}
        if meta:
            yield meta, beside


def _add(its: FoundSamples, index: Index, meta: Mapping[str, Any], split: str, row: int) -> None:
    """A sample's places and patches."""
    for own in meta.get("children") or ([] if index.children else [meta]):
        number = len(its.ids)
        its.ids.append(own["id"])
        its.lon.append(own["lon"])
        its.lat.append(own["lat"])
        its.half_deg.append(_half_deg(own))
        its.splits.append(split)
        its.regions.append(meta["region"])
        its.rows.append(row)
        for name, values in its.columns.items():
            values.append(meta["columns"].get(name))
        seasons = own["seasons"] if index.seasons else {STATIC: own["static"]}
        for season in its.seasons:
            if season in seasons:
                _add_patch(its, number, season, seasons[season], own["static"])


def _half_deg(own: Mapping[str, Any]) -> tuple[float, float]:
    if own["epsg"] == era5_cells.EPSG:  # whose sizes are degrees
        return own["size_m"] / 2, own["size_m"] / 2
    wide, high = sphere.half_deg(np.array([own["lat"]]), np.array([own["size_m"]]))[0]
    return float(wide), float(high)


def _add_patch(its: FoundSamples, place: int, season: str, facts: Mapping[str, Any], static: Mapping[str, Any]) -> None:
    patch = len(its.patch_place)
    its.patch_place.append(place)
    its.patch_season.append(its.seasons.index(season))
    sources: Mapping[str, Mapping[str, Any]] = facts["sources"]
    times = [t for s in sorted(sources) for t in [sources[s].get("time"), *(sources[s].get("times") or [])] if t]
    its.time_s.append(round(parse_time(times[0]).timestamp()) if times else -1)
    labels = [(its_facts.get("labels") or {}).get("fractions") for its_facts in (facts, static)]
    unknown = [float("nan")] * len(its.label_names)
    its.fractions.append(next((f for f in labels if f is not None), unknown))
    for source in sorted(sources):
        for scene in dict.fromkeys(_flat(sources[source].get("scenes") or [])):
            its.scene_patch.append(patch)
            its.scene_name.append(f"{source}/{scene}")


def _flat(scenes: Sequence[Any]) -> Iterator[str]:
    for its in scenes:  # of a series a list per step
        yield from _flat(its) if isinstance(its, list) else [its]


def _stacked(values: Sequence[Any], size: int) -> Vectors:
    out = np.full((len(values), size), np.nan, np.float32)
    for row, value in enumerate(values):
        if value is not None:
            out[row] = value
    return out
