"""The folder or bucket that an export is written to: whose it is, what is there, and what was recorded of each piece.

```
export.json                what was exported: written last, so that where it is, all is there
.export/asked.json         whose folder it is: written first
.export/<piece>.json       the files of a piece with their hashes: written when all of these are there
```
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from curation.errors import ConfigError, CurationError, DamageError
from curation.errors.printable import shown
from curation.pack.export.pieces import ExportPiece, Form, digest
from curation.store import paths
from curation.store.objects import Store
from curation.store.records import StoredObject

FORMAT = 1
"""Of what is recorded."""

_NOT_INTO = (
    paths.CUBES,
    paths.LEDGERS,
    paths.SHARDS,
    paths.PARTS,
    paths.MANIFEST,
    paths.LABELS,
    paths.MAPS,
    paths.MODELS,
    paths.CARD,
    "scenes",
)
"""Folders of a dataset that nobody else writes into."""


@dataclass(frozen=True, slots=True)
class PieceRecord:
    """What was written of a piece."""

    digest: str
    """What the files follow from (`pieces.digest`)."""
    count: int
    """Patches, or samples."""
    files: tuple[StoredObject, ...]
    stale: tuple[str, ...] = ()
    """Files of an earlier run that the piece has no more: they go once all pieces are there, where they are no other's."""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(f.size for f in self.files)

    def to_bytes(self) -> bytes:
        """As it is kept."""
        files = [[f.key, f.size, f.sha256] for f in self.files]
        stale = {"stale": list(self.stale)} if self.stale else {}
        return _json({"format": FORMAT, "digest": self.digest, "count": self.count, "files": files} | stale)

    @classmethod
    def of_bytes(cls, data: bytes, where: str) -> PieceRecord:
        """What `to_bytes` gave.

        Raises:
            DamageError: it is something else.
        """
        try:
            value = json.loads(data)
            if value["format"] != FORMAT:
                raise ValueError(f"format {shown(value['format'], 40)}, expected {FORMAT}")
            files = tuple(StoredObject(str(k), int(n), str(h)) for k, n, h in value["files"])
            stale = tuple(map(str, value.get("stale", [])))
            if wrong := [k for k in (*(f.key for f in files), *stale) if {"", ".", ".."} & set(k.split("/"))]:
                raise ValueError(f"file {shown(wrong[0], 60)}, expected one below it")  # it may be removed one day
            return cls(str(value["digest"]), int(value["count"]), files, stale)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
            raise DamageError(
                f"{where}: is no record of an export ({err}); delete it, and run the export again"
            ) from err


@dataclass(frozen=True, slots=True)
class PieceJob:
    """One piece to be written."""

    form: Form
    piece: ExportPiece
    target: Store
    written_by: str


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a piece."""

    record: PieceRecord
    sha256: str
    """Of the record itself."""
    reused: bool
    """Whether an earlier run wrote it, and each file is still there with its hash."""


def write_piece(job: PieceJob) -> Written:
    """Writes the files of a piece and their record, last; where an earlier run did, reads them again. Runs on a worker.

    Raises:
        CurationError: two files of the piece have one name.
        DamageError: what is stored of the dataset is not what was recorded.
        StorageError: nothing more can be kept.
    """
    key, mark = record_key(job.piece.name), digest(job.form, job.piece, job.written_by)
    before = record_of(job.target, key)
    if before is not None and before.digest == mark and all(_is_there(job.target, f) for f in before.files):
        return Written(before, hashlib.sha256(before.to_bytes()).hexdigest(), reused=True)
    files: dict[str, StoredObject] = {}
    for name, data in job.form.files(job.piece):
        if name in files:
            raise CurationError(
                f"{job.piece.name}: two of its files would be {name}; give each sample a name of its own"
            )
        files[name] = StoredObject.of(job.target.publish(name, data))
    stale = {*(f.key for f in before.files), *before.stale} - files.keys() if before else set()
    record = PieceRecord(mark, job.piece.count, tuple(files.values()), tuple(sorted(stale)))
    receipt = job.target.publish(key, record.to_bytes())
    return Written(record, receipt.sha256, reused=False)


def record_of(target: Store, key: str) -> PieceRecord | None:
    """What is recorded of a piece; None where nothing is.

    Raises:
        DamageError: it cannot be read.
    """
    try:
        return PieceRecord.of_bytes(target.get(key), target.where(key))
    except FileNotFoundError:
        return None


def record_key(piece: str) -> str:
    """Of the record of a piece."""
    return paths.export_record(piece)


def settled(target: Store, done: Mapping[str, Written]) -> dict[str, Written]:
    """What is written, once files of earlier runs that it has no more are removed, and records that are none any more.

    Not before all pieces are there: a file that one has no more may by now be of another, which had fewer or was none.

    Args:
        target: where it is written.
        done: piece → what became of it.
    """
    known = {record_key(name) for name in done} | {paths.EXPORT_ASKED}
    gone = [stat.key for stat in list(target.list(paths.EXPORT_RECORDS)) if stat.key not in known]
    before = [record for key in gone if (record := record_of(target, key)) is not None]
    stale = {key for its in (*before, *(w.record for w in done.values())) for key in its.stale}
    stale |= {f.key for its in before for f in its.files}
    for key in sorted(stale - {f.key for w in done.values() for f in w.record.files}):
        target.delete(key)
    for key in gone:
        target.delete(key)
    return {name: _without_stale(target, name, its) if its.record.stale else its for name, its in done.items()}


def _without_stale(target: Store, piece: str, its: Written) -> Written:
    record = replace(its.record, stale=())
    receipt = target.publish(record_key(piece), record.to_bytes())
    return replace(its, record=record, sha256=receipt.sha256)


def claim(target: Store, asked: Mapping[str, Any]) -> None:
    """Makes a folder this export's, or passes where it is.

    Raises:
        ConfigError: it holds something else, or another export; which, is told.
    """
    data = _json({"format": FORMAT} | dict(asked))
    try:
        before = dict(json.loads(target.get(paths.EXPORT_ASKED)))
    except FileNotFoundError:
        there = next(iter(target.list()), None)
        if there is not None:
            raise ConfigError(
                f"--to {target.where('')}: holds {there.key}, which is of no export; expected a new or an empty folder, or "
                "that of the same export"
            ) from None
        target.publish(paths.EXPORT_ASKED, data)
        return
    except (ValueError, TypeError, RecursionError) as err:
        raise DamageError(
            f"{target.where(paths.EXPORT_ASKED)}: not what was written ({err}); export into another folder"
        ) from err
    now = json.loads(data)
    if before != now:
        differs = sorted(k for k in now.keys() | before.keys() if now.get(k) != before.get(k))
        differences = ", ".join(f"{k} {shown(before.get(k), 60)}, now {shown(now.get(k), 60)}" for k in differs)
        raise ConfigError(f"--to {target.where('')}: holds another export ({differences}); export into another folder")


def check_apart(target: Store, dataset: Store) -> None:
    """Passes where a target is none of the folders that a dataset keeps itself in.

    Raises:
        ConfigError: it is one.
    """
    within = relative(dataset, target)
    if within is not None and (within == "." or within.split("/")[0] in _NOT_INTO):
        raise ConfigError(
            f"--to {target.where('')}: is the dataset's own; expected another folder (below the dataset's, `exports/…` is "
            "free)"
        )


def relative(start: Store, to: Store) -> str | None:
    """The path that leads from one store to another, `/`-separated; None where none does: they are of several servers."""
    one, other = _located(start), _located(to)
    return posixpath.relpath(other[1], one[1]) if one[0] == other[0] else None


def _located(store: Store) -> tuple[str, str]:
    """Whose a store is, and its absolute path there."""
    if store.is_local:
        return "", posixpath.join(store.url, store.prefix).rstrip("/") or "/"
    parts = urlsplit(store.url)
    return f"{parts.scheme}://{parts.netloc}", posixpath.join("/", parts.path.strip("/"), store.prefix)


def _is_there(target: Store, file: StoredObject) -> bool:
    """Whether a file is there, byte for byte."""
    try:
        data = target.get(file.key)
    except FileNotFoundError:
        return False
    return hashlib.sha256(data).hexdigest() == file.sha256


def _json(value: Any) -> bytes:
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()
