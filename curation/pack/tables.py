"""The index of a dataset and the tables beside it."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import geopandas as gpd
import pandas as pd
import pyarrow as pa

from curation.format.annotations import ColumnEntry
from curation.format.content import ContentHash
from curation.format.index import (
    ArrayEntry,
    BandStatistics,
    FileEntry,
    Index,
    ShardEntry,
    SourceEntry,
    SplitEntry,
    member_names,
)
from curation.format.names import DOMAIN
from curation.format.table import members_to_arrow
from curation.model import STATIC, Location
from curation.outcomes import PatchOutcome
from curation.pack import angles, derive, pruned, targets
from curation.pack.annotate import add_up
from curation.pack.domains import gather
from curation.pack.domains.domain import is_value
from curation.pack.labels import imported as imported_labels
from curation.pack.labels.imported import Imported
from curation.pack.meta import label_names, meta_of_sample
from curation.pack.plan import Plan
from curation.pack.shard import ShardJob, ShardPart, array_entries, floor_of
from curation.pack.subject import Gathered
from curation.pack.writers import versions
from curation.places import grid
from curation.recipe import catalogs
from curation.recipe.dataset import Dataset
from curation.store import paths
from curation.work.run import Run


def statistics(entries: Mapping[str, ArrayEntry], parts: Iterable[ShardPart]) -> dict[str, dict[str, BandStatistics]]:
    """Band statistics over the parts; sums are added in order of shard, so that they are the same every time."""
    parts = list(parts)
    out: dict[str, dict[str, BandStatistics]] = {}
    for name, entry in entries.items():
        if entry.role != "data":
            continue
        out[name] = {}
        for band in entry.bands:
            found = [p.sums[name][band] for p in parts if band in p.sums.get(name, {})]
            count = int(sum(f[0] for f in found))
            if not count:
                out[name][band] = BandStatistics(None, None, None, None, 0)
                continue
            mean = sum(f[1] for f in found) / count
            variance = max(sum(f[2] for f in found) / count - mean**2, 0.0)
            low, high = min(f[3] for f in found), max(f[4] for f in found)
            out[name][band] = BandStatistics(mean, math.sqrt(variance), low, high, count)
    return out


def _floored_counts(
    entries: Mapping[str, ArrayEntry], floor: Mapping[str, int], parts: Sequence[ShardPart]
) -> dict[str, dict[str, int]]:
    """Array → band → pixels at the radar's floor, of all splits."""
    return {
        name: {b: int(sum(p.sums[name][b][5] for p in parts if b in p.sums.get(name, {}))) for b in entries[name].bands}
        for name in sorted(floor)
    }


def index_of(
    dataset: Dataset,
    run: Run,
    jobs: Sequence[ShardJob],
    parts: Sequence[ShardPart],
    made: Plan,
    outcomes: Mapping[str, Mapping[str, Mapping[str, PatchOutcome]]],
    imported: Imported | None,
    read: Mapping[str, Gathered],
) -> tuple[Index, dict[str, bytes]]:
    """The index, and the tables it names: key → bytes."""
    identities = {name: its.identity for name, its in read.items()}
    entries = array_entries(dataset)
    seasons = [s for s in dataset.recipe.seasons if any(s in e.seasons for e in entries.values())]
    children = max((len(m.children) for j in jobs for m in j.members), default=0)
    notes = {n: a.spec.entry for n, a in dataset.annotations.items() if not a.spec.column}
    names = member_names(entries, seasons, children, notes)
    splits: dict[str, SplitEntry] = {}
    files: dict[str, bytes] = {}
    content = ContentHash()
    for split in sorted(dataset.recipe.split.parts):
        mine = [(j, p) for j, p in zip(jobs, parts, strict=True) if j.split == split]
        members = members_to_arrow((p.rows for _, p in mine), names)
        table = _samples_table(dataset, mine, made)
        of_members, of_samples = paths.tables(split)
        files |= {of_members: members, of_samples: table}
        for job, part in mine:
            for member, digest in zip(job.members, part.contents, strict=True):
                content.add(split, member.location.id, digest)
        splits[split] = SplitEntry(
            samples=sum(len(j.members) for j, _ in mine),
            shards=tuple(ShardEntry(j.key, p.receipt.size, p.receipt.sha256, len(j.members)) for j, p in mine),
            members=_entry(of_members, members),
            samples_table=_entry(of_samples, table),
        )
    patches = {
        region: {season: dict(Counter(o.label for o in found.values())) for season, found in by.items()}
        for region, by in outcomes.items()
    }
    metas = (meta_of_sample(dataset, m, f) for j in jobs for m, f in zip(j.members, j.facts, strict=True))
    labels = {"labels": imported_labels.counts(imported, metas)} if imported else {}
    learnt = dataset.recipe.split.learnt
    index = Index(
        dataset=dataset.name,
        title=dataset.recipe.title,
        pixels_digest=catalogs.pixels_digest(dataset, run.catalogs),
        release_digest=pruned.release_digest(
            imported_labels.release_digest(dataset, imported, made.target, identities),
            made.pruned.sha256 if made.pruned else None,
        ),
        content_sha256=content.hexdigest(),
        seasons=tuple(seasons),
        children=children,
        label_names=tuple(label_names(dataset)),
        arrays=entries,
        splits=splits,
        statistics=statistics(entries, [p for j, p in zip(jobs, parts, strict=True) if j.split in learnt]),
        sources={s.name: SourceEntry(s.title, s.licence) for s in dataset.specs.values()} | derive.sources(dataset),
        counts={
            "patches": patches,
            "dropped": dict(sorted(Counter(d.reason for d in made.dropped).items())),
            "shared": {kind: dataclasses.asdict(its) for kind, its in made.shared.items()},
            "catalogs": {name: run.catalogs.of(name).identity for name in dataset.specs},
            "floored": _floored_counts(entries, floor_of(dataset), parts),
            **labels,
        }
        | ({"taken_out": said} if (said := dict(Counter(d.note for d in made.dropped if d.note))) else {})
        | ({"annotations": counted} if (counted := add_up(p.counts for p in parts)) else {})
        | ({"read": {n: {**its.facts, "identity": its.identity} for n, its in read.items()}} if read else {})
        | ({"target": targets.counts(made.target, _by_split(dataset, jobs))} if made.target else {})
        | ({pruned.OF_INDEX: made.pruned.entry()} if made.pruned else {})
        | ({"domains": gather.counts(made.domains, _ids_by_split(dataset, jobs))} if made.domains else {}),
        written_by=versions(),
        annotations=notes,
        columns=_domains(dataset, made.columns),
        target=made.target,
        domains=gather.entries(dataset, made.domains, [m.location.id for j in jobs for m in j.members]),
    )
    return index, files


def _by_split(dataset: Dataset, jobs: Sequence[ShardJob]) -> dict[str, list[Location]]:
    return {
        split: [m.location for j in jobs if j.split == split for m in j.members] for split in dataset.recipe.split.parts
    }


def _ids_by_split(dataset: Dataset, jobs: Sequence[ShardJob]) -> dict[str, list[str]]:
    return {split: [p.id for p in places] for split, places in _by_split(dataset, jobs).items()}


def _domains(dataset: Dataset, of_file: Mapping[str, pa.DataType]) -> dict[str, ColumnEntry]:
    """The domain columns: those of the file of places, and what annotations say."""
    made = {n: a.spec for n, a in dataset.annotations.items() if a.spec.column}
    texts = {n: pa.types.is_string(t) or pa.types.is_timestamp(t) for n, t in of_file.items()}
    return {n: ColumnEntry(n, "text" if text else "number") for n, text in texts.items()} | {
        n: ColumnEntry(spec.title, "text" if spec.type == "text" else "number") for n, spec in made.items()
    }


def _entry(name: str, data: bytes) -> FileEntry:
    return FileEntry(name, len(data), hashlib.sha256(data).hexdigest())


def _samples_table(dataset: Dataset, made: Sequence[tuple[ShardJob, ShardPart]], planned: Plan) -> bytes:
    """One row per sample with its labels, and what the file of places says of it, as GeoParquet of footprints."""
    names = label_names(dataset)
    rows = []
    radar, seen_from = sorted(floor_of(dataset.levels[0])), angles.columns(dataset)
    for shard, (job, part) in enumerate(made):
        for member, facts, floored, own in zip(job.members, job.facts, part.floored, part.columns, strict=True):
            place, meta = member.location, meta_of_sample(dataset, member, facts)
            row = {"id": place.id, "lon": place.lon, "lat": place.lat, "region": place.region, "shard": shard}
            vectors = {STATIC: meta["static"]["labels"]} | {s: e["labels"] for s, e in meta["seasons"].items()}
            for season in [STATIC, *dataset.season_names()]:
                hot = (vectors.get(season) or {}).get("multi_hot")
                row[f"labels_{season}"] = None if hot is None else [n for n, h in zip(names, hot, strict=True) if h]
                row[f"fractions_{season}"] = (vectors.get(season) or {}).get("fractions")
                for name in radar:
                    row[f"{name}_floored_fraction_{season}"] = floored.get(season, {}).get(name)
            row |= {column: angles.value(facts[0], *its) for column, *its in seen_from}
            rows.append(row | own)
    per_season = [f"{what}_{s}" for s in [STATIC, *dataset.season_names()] for what in ("labels", "fractions")]
    entries = array_entries(dataset)
    per_season += [f"{name}_floored_fraction_{s}" for name in radar for s in entries[name].seasons or (STATIC,)]
    per_season += [column for column, *_ in seen_from]
    domains = [n for n, a in dataset.annotations.items() if a.spec.column]
    columns = ["id", "lon", "lat", "region", "shard", *domains, *per_season]
    places = [m.location for j, _ in made for m in j.members]
    its = {c: pd.Series([p.columns[c] for p in places], dtype=pd.ArrowDtype(t)) for c, t in planned.columns.items()}
    of_domains = {
        f"{DOMAIN}{n}": [v if is_value(v := of[p.id]) else None for p in places] for n, of in planned.domains.items()
    }
    its |= {c: pd.Series(values, dtype=pd.ArrowDtype(pa.string())) for c, values in of_domains.items()}
    return _geoparquet({c: [r[c] for r in rows] for c in columns} | its, places)


def _geoparquet(columns: Mapping[str, Any], places: Sequence[Location]) -> bytes:
    frame = gpd.GeoDataFrame(dict(columns), geometry=[grid.footprint(p, 1) for p in places], crs=4326)
    types = {"id": "str", "region": "str", "shard": "int32"}  # of no sample, too
    frame = frame.astype({c: dtype for c, dtype in types.items() if c in frame})
    out = io.BytesIO()
    frame.to_parquet(out, compression="zstd")
    return out.getvalue()
