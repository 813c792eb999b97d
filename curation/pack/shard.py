"""One shard: arrays of its samples as stored, written to where it waits. Runs on a worker."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.cubes.cube import Cube
from curation.format import content, index, names, payload, tar
from curation.format.index import ArrayEntry
from curation.format.names import META, MemberName
from curation.format.tar import MemberRow, Sample
from curation.model import STATIC
from curation.pack.meta import meta_of_sample, plain
from curation.pack.plan import Member
from curation.pack.writers import written_by
from curation.read.backscatter import decibels
from curation.recipe.bounds import FLOOR_DB
from curation.recipe.dataset import Dataset
from curation.recipe.schema import PackSpec
from curation.recipe.sources import ArraySpec, SourceSpec
from curation.store.objects import Store
from curation.store.stat import Receipt

FOLDER = "shards"
PARTS = "packing"
"""Where receipts of single shards lie, so that a pack that was stopped does not make them again."""
STAGE = f"{PARTS}/new"
"""Where new shards wait, with their receipts, while shards of an earlier packing stand: those stay readable meanwhile."""

CENTIDB_NODATA = -32768


@dataclass(frozen=True, slots=True)
class ShardJob:
    """One shard to write."""

    dataset: Dataset
    store: Store
    split: str
    number: int
    members: tuple[Member, ...]
    facts: tuple[tuple[dict[str, dict[str, Any]], ...], ...]
    """Per sample, for itself and each of its children, season → facts."""
    staged: bool = False
    """Whether it is written aside, to be put into its place when all shards are made."""

    @property
    def key(self) -> str:
        """The tar's path below the shards' folder."""
        return f"{self.split}/{self.dataset.name}-{self.split}-{self.number:06d}.tar"

    @property
    def digest(self) -> str:
        """What the tar's bytes, and what the index says of it, follow from: what writes it, too."""
        value = [
            index.VERSION,
            written_by(),
            self.dataset.release_digest(),
            [
                [m.split, [[p.location.id, [[s.season, s.outcome.chunks] for s in p.parts]] for p in m.places]]
                for m in self.members
            ],
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


def level_of(dataset: Dataset, place: Member) -> Dataset:
    """The level that a place is of."""
    return dataset.levels[0 if place.location.parent is None else -1]


def folder_of(dataset: Dataset, place: Member) -> str:
    """What its cubes lie below."""
    return level_of(dataset, place).folder(place.location.region)


def part_key(job: ShardJob, folder: str = PARTS) -> str:
    """Where what a worker says of a shard is kept."""
    return f"{folder}/{job.split}-{job.number:06d}.json"


def keep(store: Store, key: str, part: ShardPart) -> None:
    """Publishes what a worker says of a shard."""
    value = dataclasses.asdict(part) | {"rows": [dataclasses.astuple(r) for r in part.rows]}
    store.publish(key, json.dumps(value).encode())


def write_shard(job: ShardJob) -> ShardPart:
    """Writes one shard and its receipt. Runs on a worker; the same job gives the same bytes."""
    contents: list[str] = []
    sums: dict[str, dict[str, list[float]]] = {}
    floored: list[dict[str, dict[str, list[float]]]] = []
    entries = array_entries(job.dataset)
    floor = floor_of(job.dataset)
    codec = job.dataset.recipe.pack.codec
    encoding = payload.encoding_of(codec)

    def samples() -> Iterable[Sample]:
        for member, facts in zip(job.members, job.facts, strict=True):
            arrays = dict(_arrays(job, member, entries))
            meta = meta_of_sample(job.dataset, member, facts)
            floored.append(_add_floored(meta, arrays, entries, floor))
            contents.append(content.sample_digest(member.location.id, arrays.items(), meta))
            for name, pixels in arrays.items():
                _add_sums(sums, names.split_member(f"{name}.{encoding}").array, pixels, entries, floor)
            members = {META: tar.meta_bytes(meta)}
            members |= {f"{name}.{encoding}": payload.encode(a, codec) for name, a in arrays.items()}
            yield Sample(member.location.id, members)

    data, rows = tar.write_tar(samples())
    receipt = job.store.publish(f"{STAGE if job.staged else FOLDER}/{job.key}", data)
    part = ShardPart(job.digest, receipt, rows, contents, sums, floored)
    keep(job.store, part_key(job, STAGE if job.staged else PARTS), part)
    return part


def _arrays(job: ShardJob, member: Member, entries: Mapping[str, ArrayEntry]) -> Iterable[tuple[str, NDArray[Any]]]:
    """(suffix without its encoding, array) in the order of the format, each chunk checked against the ledger's hash."""
    for number, place in enumerate(member.places):
        level, folder = level_of(job.dataset, place), folder_of(job.dataset, place)
        for part in place.parts:
            here = Cube(level, folder, part.season)
            season = None if part.season == STATIC else part.season
            for name in sorted(n for n in here.arrays if n in part.outcome.chunks):
                pixels = here.read_chunk(job.store, name, part.patch, part.outcome.chunks[name])
                spec, array = here.arrays[name]
                suffix = MemberName(number - 1 if number else None, name, season, entries[name].encoding).suffix
                stored = _as_stored(pixels, spec, array, job.dataset.recipe.pack)
                yield suffix.removesuffix(f".{entries[name].encoding}"), stored


def _as_stored(pixels: NDArray[Any], spec: SourceSpec, array: ArraySpec, rules: PackSpec) -> NDArray[Any]:
    if spec.radar and rules.radar == "centidb" and array.role == "data":
        return centidb(pixels, array.nodata, rules.radar_floor_db)
    return pixels


def centidb(power: NDArray[Any], nodata: float, floor_db: float = FLOOR_DB) -> NDArray[np.int16]:
    """Linear power as int16 hundredths of a decibel, `floor_db` at least, nodata -32768; shape as given."""
    hundredths = np.clip(np.round(100 * decibels(power, nodata, floor_db)), -32767, 32767)
    return np.where(np.isnan(hundredths), CENTIDB_NODATA, hundredths).astype(np.int16)


def floor_of(dataset: Dataset) -> dict[str, int]:
    """Array → the number that stands for the floor and all below it; only of radar in decibels."""
    rules = dataset.recipe.pack
    if rules.radar != "centidb":
        return {}
    return {
        name: int(centidb(np.zeros(1), math.nan, rules.radar_floor_db)[0])
        for level in dataset.levels
        for spec in level.specs.values()
        if spec.radar
        for name, array in level.arrays[spec.name].items()
        if array.role == "data"
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
        valid = (pixels != CENTIDB_NODATA).sum(axis=(1, 2))
        shares = (pixels == floor[at.array]).sum(axis=(1, 2)) / np.maximum(valid, 1)
        place = meta if at.child is None else meta["children"][at.child]
        season = at.season or STATIC
        facts = place["static"] if at.season is None else place["seasons"][season]
        told = [plain(share) for share in shares]
        facts["sources"][entries[at.array].source].setdefault("floored_fraction", {})[at.array] = told
        if at.child is None:
            out.setdefault(season, {})[at.array] = told
    return out


def array_entries(dataset: Dataset) -> dict[str, ArrayEntry]:
    """What the index says of each array."""
    out = {}
    for level, spec in ((one, spec) for one in dataset.levels for spec in one.specs.values()):
        for name, array in level.arrays[spec.name].items():
            px = array.px(level.recipe.grid.size)
            in_db = spec.radar and dataset.recipe.pack.radar == "centidb"
            out[name] = ArrayEntry(
                source=spec.name,
                seasons=() if spec.season == STATIC else tuple(level.seasons_of(spec.name)),
                bands=tuple(array.bands),
                shape=(len(array.bands), px, px),
                dtype="int16" if in_db else array.dtype,
                unit="gamma0, hundredths of a dB" if in_db else array.unit,
                nodata=float(CENTIDB_NODATA if in_db else array.nodata),
                res_m=array.res_m,
                role=array.role,
                encoding=payload.encoding_of(dataset.recipe.pack.codec),
                of_children=bool(level.level),
            )
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
    for band, plane in zip(entry.bands, pixels, strict=True):
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
