"""What verifying finds: what was proven, and what is wrong, by name."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors.words import counted
from curation.store.local import NotAFileError
from curation.store.objects import Store
from curation.store.records import StoredObject

NOT_THERE = FileNotFoundError, NotADirectoryError, NotAFileError


@dataclass(slots=True)
class Verified:
    """What was proven, and what was not."""

    faults: list[str] = field(default_factory=list)
    """One line each: what is wrong, and where."""
    unfinished: list[str] = field(default_factory=list)
    """One line each: what a stopped command left, and which goes on with it. Nothing of it is wrong."""
    cubes: int = 0
    patches: int = 0
    """Ok patches whose every chunk and fact is what was committed."""
    samples: int = 0
    """Samples read whole from tars, and equal to what the index says."""
    size: int = 0
    """Bytes read."""

    def summary(self) -> str:
        """For a person."""
        found = [counted(self.cubes, "cube"), counted(self.patches, "patch"), counted(self.samples, "sample")]
        read = f"{self.size / 1e6:.1f} MB read: {', '.join(found)}"
        said = counted(len(self.faults), "fault") if self.faults else "all as recorded"
        return f"{read}; {said}" + (", not finished" if self.unfinished else "")


def check_object(store: Store, item: StoredObject, found: Verified) -> bytes | None:
    """The object's bytes where they are what was recorded; what they are not is a fault."""
    data = got(store, item, found)
    if data is not None and not is_that(data, item):
        found.faults.append(other(store, item, data))
        return None
    return data


def got(store: Store, item: StoredObject, found: Verified) -> bytes | None:
    """The object's bytes; that it is not there is a fault."""
    try:
        data = store.get(item.key)
    except NOT_THERE:
        found.faults.append(f"{store.where(item.key)}: is recorded but not there")
        return None
    found.size += len(data)
    return data


def is_that(data: bytes, item: StoredObject) -> bool:
    """Whether bytes are those that were recorded."""
    return len(data) == item.size and hashlib.sha256(data).hexdigest() == item.sha256


def other(store: Store, item: StoredObject, data: bytes) -> str:
    """A fault: the object is not what was recorded."""
    return (
        f"{store.where(item.key)}: has {len(data)} bytes with sha256 {hashlib.sha256(data).hexdigest()[:12]}…, "
        f"recorded were {item.size} with {item.sha256[:12]}…"
    )


def table_of(store: Store, item: StoredObject, columns: Sequence[str]) -> pa.Table | None:
    """Columns of a Parquet file whose bytes are what was recorded; None of another one, which `check_object` tells."""
    try:
        data = store.get(item.key)
        return pq.read_table(io.BytesIO(data), columns=list(columns)) if is_that(data, item) else None
    except (*NOT_THERE, pa.ArrowException):
        return None
