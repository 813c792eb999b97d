"""Features of a packed dataset: made shard by shard, kept beside the shards, and found again while these stand."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.errors import ConfigError, DamageError, ReadError
from curation.errors.words import did_you_mean
from curation.format.index import INDEX, ArrayEntry, Index
from curation.pack.export.of_shards import ShardPiece, index_of
from curation.recipe.digests import digest
from curation.store import paths
from curation.store.objects import Store
from curation.work import cluster
from curation.work.progress import Counting
from curation.worth.features import listed, own, patches
from curation.worth.features.convolutions import Convolutions
from curation.worth.features.handmade import Handmade
from curation.worth.features.patches import FeaturePatch, SkippedPatch, quantity
from curation.worth.features.table import Features, Vectors, joined
from curation.worth.features.way import FeatureWay

WAYS: Mapping[str, Callable[[int], FeatureWay]] = {
    "handmade": lambda _seed: Handmade(),
    "convolutions": lambda seed: Convolutions(seed),
}
"""What comes along, by name; each is made with a seed."""

BATCH = 32
"""Patches that are held, and given to a way, together."""


@dataclass(frozen=True, slots=True)
class MadeFeatures:
    """Features, and where they lie."""

    features: Features
    where: str
    """Empty where they were not kept."""
    reused: bool


def way_of(text: str, *, seed: int = 0, run_code: bool = False) -> FeatureWay:
    """The way that `--with` names: one that comes along, `file.py:function`, or a Parquet file of vectors.

    Raises:
        UnaskedCodeError: it is code, and `run_code` is not said.
        ConfigError: there is none such.
    """
    if own.FORM.fullmatch(text):
        return own.read(text, run_code=run_code)
    if text.endswith(listed.SUFFIX):
        return listed.read(text)
    if text not in WAYS:
        raise ConfigError(
            f"--with {text}: {did_you_mean(text, WAYS)}expected one of {', '.join(WAYS)}, file.py:function, or a .parquet "
            "file of vectors"
        )
    return WAYS[text](seed)


@dataclass(frozen=True, slots=True)
class EmbedJob:
    """A shard's samples to be made features of: one task. What comes back is a few numbers for each patch."""

    piece: ShardPiece
    way: FeatureWay
    """Prepared."""
    index: Index
    arrays: Mapping[str, ArrayEntry]
    embedding: str
    """Its digest."""


def made(
    store: Store,
    way: FeatureWay,
    *,
    arrays: Sequence[str] | None = None,
    limit: int | None = None,
    keep: bool = True,
    scheduler: str = "none",
    workers: int | None = None,
) -> MadeFeatures:
    """The features of a packed dataset: those that are kept, where they are of the shards that stand, else new ones.

    Args:
        store: the dataset's folder.
        way: how they are made.
        arrays: of which; all data with seasons where left out.
        limit: of each split only the first so many samples.
        keep: whether new ones are written below the dataset's folder.
        scheduler: where shards are read, one a task: `none` (this process), `local`, or an address.
        workers: processes of a local cluster.

    Raises:
        ConfigError: nothing is packed, there are no such arrays, no patch has a row, or nothing can be kept there.
        DamageError: a shard or table is not what was packed.
        ReadError: the user's function failed.
    """
    index = index_of(store)
    taken = patches.chosen(index, arrays)
    ready = way.prepared(taken)
    embedding = embedding_digest(ready, taken)
    release = _index_sha256(store)
    mark = digest([release, embedding, limit])
    key = paths.embedding(ready.name, mark, release)
    if (before := _standing(store, key, mark)) is not None:
        return MadeFeatures(before, store.where(key), reused=True)
    if keep:
        _check_writable(store)
    pieces = patches.pieces(store.child(paths.SHARDS), index, taken, limit)
    jobs = [EmbedJob(piece, ready, index, taken, embedding) for piece in pieces]
    with cluster.connect(scheduler, workers, store) as client:
        found = _joined(_streamed(client, jobs, store), index, ready)
    if not keep:
        return MadeFeatures(found, "", reused=False)
    store.publish(key, found.to_bytes(mark=mark))
    return MadeFeatures(found, store.where(key), reused=False)


def _check_writable(store: Store) -> None:
    """Raises ConfigError, before shards are read, where features could not be kept."""
    try:
        store.check_writable()
    except ValueError as err:
        raise ConfigError(f"{store.where('')}: features are kept there, and it {err}") from err


def _streamed(client: Any, jobs: Sequence[EmbedJob], store: Store) -> list[Features]:
    """Features of each shard, in order. Raises what a shard's raised."""
    parts: dict[str, Features] = {}
    with Counting(
        f"embed: {jobs[0].way.name if jobs else 'nothing'}", sum(j.piece.count for j in jobs), "sample"
    ) as count:
        for batch in cluster.stream(client, of_shard, jobs, store):
            for job, result in batch:
                if isinstance(result, BaseException):
                    raise result
                parts[job.piece.name] = result
                count.step(job.piece.count)
    return [parts[job.piece.name] for job in jobs]


def of_shard(job: EmbedJob) -> Features:
    """The features of a shard's samples; runs on a worker.

    Raises:
        DamageError: the shard is not what was packed.
        ReadError: the user's function failed.
    """
    parts, skipped, batch = list[Features](), Counter[str](), list[FeaturePatch]()
    for of_sample in patches.patches(job.piece, job.index, job.arrays):
        skipped.update(p.why for p in of_sample if isinstance(p, SkippedPatch))
        batch += [p for p in of_sample if not isinstance(p, SkippedPatch)]
        if len(batch) >= BATCH:
            parts.append(_table(batch, job, skipped))
            skipped, batch = Counter(), []
    parts.append(_table(batch, job, skipped))
    return _together(parts, job.way.name)


def _together(parts: Sequence[Features], way: str) -> Features:
    """The rows of several tables; all that was skipped.

    Raises:
        ReadError: they have not as many numbers.
    """
    whole = [p for p in parts if len(p)] or list(parts[:1])
    if len({p.values.shape[1] for p in whole}) > 1:
        raise ReadError(
            f"{way}: gave {', '.join(str(p.values.shape[1]) for p in whole)} numbers, expected always as many"
        )
    skipped: Counter[str] = sum((Counter(p.skipped) for p in parts), Counter())
    return replace(joined(whole), skipped=dict(sorted(skipped.items())))


def embedding_digest(way: FeatureWay, arrays: Mapping[str, ArrayEntry]) -> str:
    """Of what makes two vectors comparable: the way, its settings, our code, and bands, units and metres of the arrays."""
    signatures = {n: [list(e.bands), quantity(e)[1], e.res_m, _common(e)] for n, e in sorted(arrays.items())}
    return digest([way.name, way.settings, _code(), signatures])


def _common(entry: ArrayEntry) -> list[str | None]:
    return [band.common_name for band in entry.canonical]


@functools.cache
def _code() -> str:
    """A mark of the files beside this one: nobody has to remember to change it."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _index_sha256(store: Store) -> str:
    return hashlib.sha256(store.child(paths.SHARDS).get(INDEX)).hexdigest()


def _standing(store: Store, key: str, mark: str) -> Features | None:
    """What is kept, where it is just what would be made; what is damaged is made again."""
    try:
        found, beside = Features.from_bytes(store.get(key), store.where(key))
    except (FileNotFoundError, DamageError):
        return None
    return found if beside.get("mark") == mark else None


def _joined(parts: Sequence[Features], index: Index, way: FeatureWay) -> Features:
    """All of them. Raises ConfigError where no patch has a row."""
    found = _together(parts, way.name) if parts else None
    if found is None or not len(found):
        skipped = found.skipped if found is not None else {}
        why = ", ".join(f"{n} {name}" for name, n in skipped.items()) or "no sample"
        raise ConfigError(f"dataset {index.dataset}: no patch has features by {way.name} ({why})")
    return found


def _table(batch: Sequence[FeaturePatch], job: EmbedJob, skipped: Counter[str]) -> Features:
    values = job.way.vectors(batch) if batch else np.zeros((0, 0), np.float32)
    known: NDArray[np.bool_] = np.all(np.isfinite(values), 1)
    rows = [p for p, is_known in zip(batch, known, strict=True) if is_known]
    counts = skipped + Counter({"no_vector": int((~known).sum())})
    return of_patches(rows, values[known], job.way, job.index, job.arrays, job.embedding, counts)


def of_patches(
    rows: Sequence[FeaturePatch],
    values: Vectors,
    way: FeatureWay,
    index: Index,
    arrays: Mapping[str, ArrayEntry],
    embedding: str,
    skipped: Mapping[str, int],
) -> Features:
    """The table of some patches and their vectors."""
    names = sorted(rows[0].columns) if rows else []
    texts: dict[str, Any] = {
        f"{n}s": np.asarray([getattr(p, n) for p in rows], np.str_)
        for n in ("key", "place", "split", "season", "region")
    }
    nan = float("nan")
    return Features(
        way.name,
        embedding,
        **texts,
        lon=np.asarray([p.lon for p in rows], np.float64),
        lat=np.asarray([p.lat for p in rows], np.float64),
        values=values,
        names=way.names(),
        columns={n: np.asarray([p.columns.get(n, "") for p in rows], np.str_) for n in names},
        bands={
            f"{name}.{band}": np.asarray([_band_mean(p, name, b) for p in rows], np.float32)
            for name, entry in arrays.items()
            for b, band in enumerate(entry.bands)
        },
        fractions={n: np.asarray([p.fractions.get(n, nan) for p in rows], np.float32) for n in index.label_names},
        skipped=skipped,
    )


def _band_mean(patch: FeaturePatch, array: str, band: int) -> float:
    return float(np.nanmean(patch.pixels[array][..., band, :, :], dtype=np.float64))
