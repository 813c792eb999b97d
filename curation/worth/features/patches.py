"""Patches of a packed dataset, streamed shard by shard: pixels in their quantity, NaN where there is no data."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.errors import ConfigError, DamageError
from curation.errors.words import did_you_mean
from curation.format import payload
from curation.format.index import ArrayEntry, Index, SplitEntry
from curation.format.names import DOMAIN, MemberName
from curation.model import STATIC
from curation.pack.export.of_shards import ShardPiece, ShardSample, samples_table
from curation.store.objects import Store

Pixels = NDArray[np.float32]

LEAST_VALID = 0.5
"""Share of the pixels of each band that a patch has to have, or it is `nodata` and has no row: of fewer, statistics are
those of a corner."""

HUNDREDTHS = "hundredths of a "
_TIMES = re.compile(r"\s*[×x*]\s*([0-9][0-9,.eE+-]*)$")
_IDENTITY = ("id", "lon", "lat", "region", "shard", "geometry")


@dataclass(frozen=True, slots=True)
class FeaturePatch:
    """A sample, or a child of one, in a season."""

    key: str
    place: str
    split: str
    season: str
    region: str
    lon: float
    lat: float
    columns: Mapping[str, str]
    """Of the samples table; empty where it is not known."""
    fractions: Mapping[str, float]
    """Label → share; empty where unknown."""
    pixels: Mapping[str, Pixels]
    """Array → (band, y, x) float32 in its quantity, NaN where there is no data; of a time axis (time, band, y, x)."""


@dataclass(frozen=True, slots=True)
class SkippedPatch:
    """One that has no row."""

    why: str


def quantity(entry: ArrayEntry) -> tuple[float, str]:
    """What an array's stored numbers are multiplied by, and the unit that they then have: 0.0001, `reflectance`."""
    if HUNDREDTHS in entry.unit:
        return 0.01, entry.unit.replace(HUNDREDTHS, "")
    found = _TIMES.search(entry.unit)
    return (1 / float(found[1].replace(",", "")), entry.unit[: found.start()]) if found else (1.0, entry.unit)


def chosen(index: Index, names: Sequence[str] | None = None) -> dict[str, ArrayEntry]:
    """Arrays that features are made of, by name: those that are asked for, else all data with seasons, else all without.

    Raises:
        ConfigError: there is no such array, or they are not all of samples, or all of their children.
    """
    data = {n: e for n, e in sorted(index.arrays.items()) if e.role == "data"}
    if names is None:
        own = {n: e for n, e in data.items() if not e.is_static and e.of_children == bool(index.children)}
        found = own or {n: e for n, e in data.items() if not e.is_static} or data
    else:
        if wrong := [n for n in names if n not in data]:
            known = ", ".join(data) or "none"
            raise ConfigError(f"--arrays {wrong[0]}: {did_you_mean(wrong[0], data)}arrays of pixels are: {known}")
        found = {n: data[n] for n in sorted(set(names))}
    if not found:
        raise ConfigError(f"dataset {index.dataset}: its shards have no array of pixels to make features of")
    if len({e.of_children for e in found.values()}) > 1:
        raise ConfigError(
            f"--arrays {','.join(found)}: some are of samples and some of their children; choose one kind"
        )
    return found


def pieces(shards: Store, index: Index, arrays: Mapping[str, ArrayEntry], limit: int | None = None) -> list[ShardPiece]:
    """The shards that are read, with the rows of the samples table of each; of each split the first `limit` samples."""
    members = tuple(m for m in index.members[1:] if any(f"{n}." in m for n in arrays))
    out = []
    for split, entry in sorted(index.splits.items()):
        table = samples_table(shards, entry)
        out += list(_of_split(shards, index, split, entry, table.slice(0, limit), members)) if table.num_rows else []
    return out


def _of_split(
    shards: Store, index: Index, split: str, entry: SplitEntry, table: pa.Table, members: tuple[str, ...]
) -> Iterator[ShardPiece]:
    numbers = table.column("shard").to_numpy()
    for n, shard in enumerate(np.unique(numbers).tolist()):
        rows = table.take(pa.array(np.flatnonzero(numbers == shard)))
        place = (shards, index.dataset, split, n, len(np.unique(numbers)), entry.shards[shard], rows)
        yield ShardPiece(*place, index.arrays, index.annotations, members)


def columns_of(rows: pa.Table) -> list[dict[str, str]]:
    """Domains and columns of each sample, as text; those of lists and of what names the sample are left out."""
    names = [f.name for f in rows.schema if f.name not in _IDENTITY and not pa.types.is_nested(f.type)]
    values = {n.removeprefix(DOMAIN): rows.column(n).to_pylist() for n in names}
    return [{n: "" if of[i] is None else str(of[i]) for n, of in values.items()} for i in range(rows.num_rows)]


def patches(
    piece: ShardPiece, index: Index, arrays: Mapping[str, ArrayEntry]
) -> Iterator[Sequence[FeaturePatch | SkippedPatch]]:
    """The patches of each sample of a shard, which is read whole; one sample is decoded at a time.

    Raises:
        DamageError: the shard, or a member, is not what was packed.
    """
    for sample, columns in zip(piece.samples(), columns_of(piece.rows), strict=True):
        yield list(_of_sample(piece, sample, columns, index, arrays))


def _of_sample(
    piece: ShardPiece, sample: ShardSample, columns: Mapping[str, str], index: Index, arrays: Mapping[str, ArrayEntry]
) -> Iterator[FeaturePatch | SkippedPatch]:
    meta = msgspec.json.decode(sample.meta)
    of_children = next(iter(arrays.values())).of_children
    owners = list(enumerate(meta.get("children") or [])) if of_children else [(None, meta)]
    seasons = [s for s in index.seasons if any(s in e.seasons for e in arrays.values())]
    where = piece.store.where(piece.entry.name)
    for child, own in owners:
        for season in seasons or [STATIC]:
            members = {
                n: MemberName(child, n, None if e.is_static else season, e.encoding).suffix for n, e in arrays.items()
            }
            there = [n for n, m in members.items() if m in sample.members]
            if not any(not arrays[n].is_static for n in there) and seasons:
                continue  # a season that the sample has not
            if lacks := [n for n in members if n not in there]:
                yield SkippedPatch(f"lacks:{lacks[0]}")
                continue
            pixels = {
                n: _pixels(sample.members[m], arrays[n], f"{where}: {sample.key}.{m}") for n, m in members.items()
            }
            if min(_valid(p) for p in pixels.values()) < LEAST_VALID:
                yield SkippedPatch("nodata")
                continue
            facts = own["seasons"].get(season) if seasons else own[STATIC]
            shares = _fractions(index.label_names, facts or {}, own[STATIC])
            place = (own["id"], sample.key, piece.split, season, meta["region"], own["lon"], own["lat"])
            yield FeaturePatch(*place, columns, shares, pixels)


def _pixels(data: bytes, entry: ArrayEntry, where: str) -> Pixels:
    stored = payload.decode(data, entry.encoding, where)
    if stored.shape[-3:] != tuple(entry.shape) or stored.dtype != entry.dtype:
        raise DamageError(
            f"{where}: {stored.dtype} {stored.shape}, the index says {entry.dtype} {entry.shape}; pack again"
        )
    missing: NDArray[np.bool_] = np.isnan(stored) if math.isnan(entry.nodata) else stored == entry.nodata
    out = (stored.astype(np.float64) * quantity(entry)[0]).astype(np.float32)
    out[missing] = np.nan
    return out


def _valid(pixels: Pixels) -> float:
    """The share of valid pixels of the band that has least; of a time axis what any step has counts."""
    known: NDArray[np.bool_] = np.isfinite(pixels)
    known = np.any(known, 0) if known.ndim == 4 else known
    return float(known.mean((1, 2)).min())


def _fractions(labels: Sequence[str], facts: Mapping[str, Any], static: Mapping[str, Any]) -> dict[str, float]:
    """Of the season where they are told, else of the annual map."""
    said = [(of.get("labels") or {}).get("fractions") for of in (facts, static)]
    found = next((f for f in said if f is not None), None)
    return {} if found is None else dict(zip(labels, found, strict=True))
