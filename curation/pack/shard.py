"""One shard: arrays of its samples as stored, written to where it waits. Runs on a worker."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import to_builtins
from numpy.typing import NDArray

from curation.cubes.cube import Cube
from curation.format import content, index, names, payload, tar
from curation.format.index import ArrayEntry
from curation.format.names import META, MemberName
from curation.format.tar import MemberRow, Sample
from curation.model import STATIC, Location
from curation.pack import derive
from curation.pack.annotate import AnnotationError, Failure, add_up, annotate
from curation.pack.meta import column_value, label_names, meta_of_sample, plain
from curation.pack.plan import PlannedSample
from curation.pack.writers import written_by
from curation.recipe.dataset import Dataset
from curation.recipe.digests import digest
from curation.store import paths
from curation.store.objects import Store
from curation.store.stat import Receipt


@dataclass(frozen=True, slots=True)
class ShardJob:
    """One shard to write."""

    dataset: Dataset
    store: Store
    split: str
    number: int
    members: tuple[PlannedSample, ...]
    facts: tuple[tuple[dict[str, dict[str, Any]], ...], ...]
    """Per sample, for itself and each of its children, season → facts."""
    pixels_digest: str = ""
    """Of all that the cubes follow from, seasons and sources among it."""
    gathered: tuple[Mapping[str, Any], ...] = ()
    """Per sample, annotation → what was read for it; empty where nothing is read for all samples at once."""
    staged: bool = False
    """Whether it is written aside, to be put into its place when all shards are made."""

    @property
    def key(self) -> str:
        """The tar's path below the shards' folder."""
        return paths.tar(self.dataset.name, self.split, self.number)

    @property
    def digest(self) -> str:
        """What the tar's bytes, and what the index says of it, follow from: what writes it, too.

        `meta.json` tells of each place whatever the draw says of it, its columns, and its windows by the dates in these.
        """
        value = [
            index.VERSION,
            written_by(),
            self.pixels_digest,
            digest(self.dataset.release_parts()),
            {n: _of_bytes(e, bool(self.dataset.annotations)) for n, e in array_entries(self.dataset).items()},
            [
                [
                    m.split,
                    [[_place_facts(p.location), [[s.season, s.outcome.chunks] for s in p.parts]] for p in m.places],
                ]
                for m in self.members
            ],
            *([self.gathered] if self.gathered else []),
        ]
        text = json.dumps([value, self.facts], sort_keys=True, default=plain)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ShardPart:
    """What writing one shard gave: small enough to keep, enough to make the index."""

    digest: str
    """Of the job."""
    receipt: Receipt
    """Its key is below the dataset's folder: the shard's place, or where it waits."""
    rows: list[MemberRow]
    contents: list[str]
    """Per sample, the digest of its decoded arrays and labels."""
    sums: dict[str, dict[str, list[float]]]
    """Array → band → count, sum, sum of squares, min, max over valid pixels that are not at the floor, and how many are."""
    floored: list[dict[str, dict[str, list[float]]]]
    """Per sample, season → array → shares of valid pixels of each band at the radar's floor."""
    columns: list[dict[str, str | float | None]]
    """Per sample, its domain columns."""
    counts: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    """Annotation → name → what it counted, over the samples."""


def _place_facts(place: Location) -> dict[str, Any]:
    """All that is known of a place but where it stands in the draw, which no sample tells."""
    columns = {name: column_value(value) for name, value in place.columns.items()}
    return {f.name: getattr(place, f.name) for f in dataclasses.fields(place) if f.name != "rank"} | {
        "columns": columns
    }


def level_of(dataset: Dataset, place: PlannedSample) -> Dataset:
    """The level that a place is of."""
    return dataset.levels[0 if place.location.parent is None else -1]


def folder_of(dataset: Dataset, place: PlannedSample) -> str:
    """What its cubes lie below."""
    return level_of(dataset, place).folder(place.location.region)


def keep(store: Store, key: str, part: ShardPart) -> None:
    """Publishes what a worker says of a shard."""
    value = dataclasses.asdict(part) | {"rows": [dataclasses.astuple(r) for r in part.rows]}
    store.publish(key, json.dumps(value).encode())


def write_shard(job: ShardJob) -> ShardPart:
    """Writes one shard and its receipt. Runs on a worker; the same job gives the same bytes.

    Raises:
        AnnotationError: of some samples an annotation could not be made; all of them are named, and nothing is written.
    """
    contents: list[str] = []
    sums: dict[str, dict[str, list[float]]] = {}
    floored: list[dict[str, dict[str, list[float]]]] = []
    columns: list[dict[str, str | float | None]] = []
    counts: list[dict[str, dict[str, Any]]] = []
    failures: list[Failure] = []
    entries = array_entries(job.dataset)
    floor = floor_of(job.dataset)
    codec = job.dataset.recipe.pack.codec
    encoding = payload.encoding_of(codec)

    def samples() -> Iterable[Sample]:
        gathered = job.gathered or ({},) * len(job.members)
        for member, facts, read in zip(job.members, job.facts, gathered, strict=True):
            arrays = dict(_arrays(job, member, facts, entries))
            meta = meta_of_sample(job.dataset, member, facts)
            derive.add_facts(meta, arrays, encoding, job.dataset)
            floored.append(_add_floored(meta, arrays, entries, floor))
            made = annotate(job.dataset, meta, arrays, entries, label_names(job.dataset), read)
            failures.extend(made.failures)
            if failures:
                continue  # the others are asked, so that all failures are told at once
            columns.append(made.columns)
            counts.append(made.counts)
            if made.columns:
                meta["columns"] = meta.get("columns", {}) | made.columns
            for name, pixels in arrays.items():
                _add_sums(sums, names.split_member(f"{name}.{encoding}").array, pixels, entries, floor)
            notes = {names.split_member(n).array: n for n in made.members}
            digested = dict(content.iter_arrays(made.members)) | arrays
            order = [*sorted(n for n in digested if "." not in n), *(n for n in arrays if "." in n)]
            contents.append(content.sample_digest(member.location.id, [(n, digested[n]) for n in order], meta))
            members = {META: tar.meta_bytes(meta)}
            for name in order:
                if name in notes:
                    members[notes[name]] = made.members[notes[name]]
                else:
                    members[f"{name}.{encoding}"] = payload.encode(arrays[name], codec)
            yield Sample(member.location.id, members)

    data, rows = tar.write_tar(samples())
    if failures:
        raise AnnotationError(failures)
    receipt = job.store.publish(paths.shard(job.key, waiting=job.staged), data)
    part = ShardPart(job.digest, receipt, rows, contents, sums, floored, columns, add_up(counts))
    keep(job.store, paths.part(job.split, job.number, waiting=job.staged), part)
    return part


def _arrays(
    job: ShardJob,
    member: PlannedSample,
    facts: Sequence[Mapping[str, Mapping[str, Any]]],
    entries: Mapping[str, ArrayEntry],
) -> Iterable[tuple[str, NDArray[Any]]]:
    """(suffix without its encoding, array) in the order of the format, each chunk checked against the ledger's hash."""
    for number, place in enumerate(member.places):
        level = level_of(job.dataset, place)
        derived = [its for its in job.dataset.derived.values() if its.first.level == level.level]
        inputs = {i.array for its in derived for i in its.inputs}
        static: dict[str, NDArray[Any]] = {}
        for part in place.parts:
            cube = Cube(level, place.location.region, part.season)
            season = None if part.season == STATIC else part.season
            read, found = dict[str, NDArray[Any]](), dict[str, NDArray[Any]]()
            for name in (n for n in cube.arrays if n in part.outcome.chunks):
                pixels = cube.read_chunk(job.store, name, part.patch, part.outcome.chunks[name])
                spec, array = cube.arrays[name]
                packed = spec.kind.packed(array, job.dataset.recipe.pack)
                found[name] = packed.of(pixels) if packed else pixels
                read |= {name: pixels} if name in inputs else {}
            static = static if season else read  # it comes first
            for its in (d for d in derived if derive.may_have(d, season, part.outcome)):
                made = derive.calculated(its, static | read, place.location, facts[number][part.season])
                found |= {} if made is None else {its.name: made}
            for name in sorted(found):
                suffix = MemberName(number - 1 if number else None, name, season, entries[name].encoding).suffix
                yield suffix.removesuffix(f".{entries[name].encoding}"), found[name]


def floor_of(dataset: Dataset) -> dict[str, int]:
    """Array → the number that stands for the floor and all below it, of those that have one (radar in decibels)."""
    return {
        name: packed.floor
        for level in dataset.levels
        for spec in level.specs.values()
        for name, array in level.arrays[spec.name].items()
        if (packed := spec.kind.packed(array, dataset.recipe.pack)) is not None
    }


def _add_floored(
    meta: dict[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    entries: Mapping[str, ArrayEntry],
    floor: Mapping[str, int],
) -> dict[str, dict[str, list[float]]]:
    """Writes the shares of pixels at the floor into a sample's `meta.json`.

    Returns:
        Season → array → share of each band's valid pixels, of the sample without its children.
    """
    out: dict[str, dict[str, list[float]]] = {}
    for member, pixels in arrays.items():
        at = names.split_member(f"{member}.{next(iter(entries.values())).encoding}")
        if at.array not in floor:
            continue
        by_band = np.moveaxis(pixels, -3, 0).reshape(pixels.shape[-3], -1)  # of a time axis all steps together
        valid = (by_band != entries[at.array].nodata).sum(axis=1)
        shares = (by_band == floor[at.array]).sum(axis=1) / np.maximum(valid, 1)
        place = meta if at.child is None else meta["children"][at.child]
        season = at.season or STATIC
        facts = place["static"] if at.season is None else place["seasons"][season]
        floored = [plain(share) for share in shares]
        facts["sources"][entries[at.array].source].setdefault("floored_fraction", {})[at.array] = floored
        if at.child is None:
            out.setdefault(season, {})[at.array] = floored
    return out


def _of_bytes(entry: ArrayEntry, is_looked_at: bool) -> dict[str, Any]:
    """What of an array's entry a tar's bytes follow from: what its bands are besides their names, where anybody looks at it.

    Args:
        entry: what the index says of it.
        is_looked_at: whether functions see it that say what stands beside pixels, and may make what they want of it.
    """
    value: dict[str, Any] = to_builtins(entry)
    if is_looked_at:
        return value
    return {k: v for k, v in value.items() if k not in ("level", "convention")} | {
        "canonical": [band.name for band in entry.canonical]
    }


def array_entries(dataset: Dataset) -> dict[str, ArrayEntry]:
    """What the index says of each array."""
    out = {}
    for level, spec in ((one, spec) for one in dataset.levels for spec in one.specs.values()):
        for name, array in level.arrays[spec.name].items():
            px = array.px(level.recipe.grid.size)
            packed = spec.kind.packed(array, dataset.recipe.pack) or array
            out[name] = ArrayEntry(
                source=spec.name,
                seasons=() if spec.timeless else tuple(level.seasons_of(spec.name)),
                bands=tuple(array.bands),
                shape=(len(array.bands), px, px),
                dtype=packed.dtype,
                unit=packed.unit,
                nodata=float(packed.nodata),
                res_m=array.res_m,
                role=array.role,
                encoding=payload.encoding_of(dataset.recipe.pack.codec),
                of_children=bool(level.level),
                steps=spec.pick.most_steps,
                level=array.level,
                convention=packed.convention,
                canonical=tuple(spec.band(b).entry for b in array.bands),
            )
    out |= {
        name: derive.entry_of(its, payload.encoding_of(dataset.recipe.pack.codec))
        for name, its in dataset.derived.items()
    }
    return {name: out[name] for name in sorted(out)}


def _add_sums(
    sums: dict[str, dict[str, list[float]]],
    name: str,
    pixels: NDArray[Any],
    entries: Mapping[str, ArrayEntry],
    floor: Mapping[str, int],
) -> None:
    entry = entries[name]
    if entry.role != "data":
        return
    for band, plane in zip(entry.bands, np.moveaxis(pixels, -3, 0), strict=True):
        valid = plane[plane != entry.nodata].astype(np.float64)
        floored = int((valid == floor[name]).sum()) if name in floor else 0
        if floored:
            # How far below they were is not known, and the floor is no measurement: it would only widen the rest.
            valid = valid[valid != floor[name]]
        have = sums.setdefault(name, {}).setdefault(band, [0, 0.0, 0.0, math.inf, -math.inf, 0])
        have[5] += floored
        if not valid.size:
            continue
        one = [valid.size, valid.sum(), np.square(valid).sum(), valid.min(), valid.max()]
        sums[name][band] = [
            int(have[0] + one[0]),
            float(have[1] + one[1]),
            float(have[2] + one[2]),
            float(min(have[3], one[3])),
            float(max(have[4], one[4])),
            have[5],
        ]
