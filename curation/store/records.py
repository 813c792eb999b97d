"""What a ledger records of a slab, as values and as JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import xxhash

from curation.errors import DamageError
from curation.errors.printable import shown
from curation.outcomes import SETTLED, PatchOutcome, SourceOutcome, Status
from curation.store import paths
from curation.store.objects import Store
from curation.store.stat import Receipt


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that must exist, with its content's digest."""

    key: str
    """Below the dataset's folder."""
    size: int
    """Bytes."""
    sha256: str

    @classmethod
    def of(cls, receipt: Receipt) -> StoredObject:
        """What a receipt says, without the store's mark."""
        return cls(receipt.key, receipt.size, receipt.sha256)


def size_mark(key: str, size: int) -> bytes:
    """8 bytes that stand for an object's key and size: a million objects are compared with a listing in 8 MB."""
    return xxhash.xxh3_64_digest(f"{size} {key}".encode())


def again(key: str) -> str:
    """What to do about a cube of which the object at `key` is damaged: the end of an error."""
    return f"cube {'/'.join(paths.cube_of(key))} is damaged. `curate verify` names all holes; {paths.again(key)}"


def read_checked(store: Store, objects: Mapping[str, StoredObject], key: str) -> bytes:
    """The object's bytes, checked against what was recorded of it.

    Raises:
        DamageError: nobody recorded it, it is not there, or it is not what was recorded.
    """
    where = store.where(key)
    item = objects.get(key)
    if item is None:
        raise DamageError(f"{where}: nobody recorded it: {again(key)}")
    try:
        data = store.get(key)
    except FileNotFoundError as err:
        raise DamageError(f"{where}: is recorded but not there: {again(key)}") from err
    found = hashlib.sha256(data).hexdigest()
    if found != item.sha256:
        raise DamageError(
            f"{where}: has {len(data)} bytes with sha256 {found[:12]}…, recorded were {item.size} with "
            f"{item.sha256[:12]}…: {again(key)}"
        )
    return data


@dataclass(frozen=True, slots=True)
class SlabRecord:
    """One line: what became of the patches of a slab, and the objects that hold them. A later line replaces it."""

    slab: int
    patches: tuple[PatchOutcome, ...]
    """Those decided so far; the others are pending."""
    objects: tuple[StoredObject, ...]
    excluded: tuple[str, ...] = ()
    """Ids of its candidates that the recipe excluded when patches of it were built."""
    sources: tuple[str, ...] = ()
    """Names of the sources that the objects are of; those of its cube where none is named."""

    @property
    def settled(self) -> int:
        """Patches that no build looks at again."""
        return sum(o.status in SETTLED for o in self.patches)


def encoded(record: SlabRecord) -> dict[str, Any]:
    """A record as JSON values."""
    return {
        "slab": record.slab,
        "patches": [
            {
                "id": p.id,
                "status": p.status.name.lower(),
                "chunks": p.chunks,
                "facts": p.facts,
                "sources": {name: _encode_source(o) for name, o in p.sources.items()},
            }
            for p in record.patches
        ],
        "objects": [{"key": o.key, "size": o.size, "sha256": o.sha256} for o in record.objects],
        **{k: list(v) for k in ("excluded", "sources") if (v := getattr(record, k))},
    }


def _encode_source(outcome: SourceOutcome) -> dict[str, Any]:
    """What is known of it: what is not is left out."""
    names = ("code", "value", "cause", "scenes", "passed_over")
    known = {n: v for n in names if (v := getattr(outcome, n)) not in (None, ())}
    return known | {"status": outcome.status.name.lower()}


STATUS = {s.name.lower(): s for s in Status}


def decoded(value: dict[str, Any]) -> SlabRecord:
    """The record of JSON values. Raises KeyError, TypeError or ValueError where they are none."""
    return SlabRecord(
        slab=slab_of(value),
        patches=tuple(map(patch_of, value["patches"])),
        objects=tuple(StoredObject(**o) for o in value["objects"]),
        excluded=tuple(value.get("excluded", ())),
        sources=tuple(value.get("sources", ())),
    )


def slab_of(value: dict[str, Any]) -> int:
    """Which slab JSON values are the record of. Raises as `decoded` does."""
    return number_of(value, "slab")


def number_of(value: dict[str, Any], key: str) -> int:
    """A number that JSON values have at a key. Raises as `decoded` does."""
    number = value[key]
    if type(number) is not int or number < 0:  # True is an int, too
        raise ValueError(f"{key} {shown(number, 40)}, expected a number from 0 on")
    return number


def patch_of(value: dict[str, Any]) -> PatchOutcome:
    """The outcome of JSON values. Raises as `decoded` does."""
    return PatchOutcome(
        id=value["id"],
        status=STATUS[value["status"]],
        chunks=value["chunks"],
        facts=value["facts"],
        sources={
            name: SourceOutcome(
                **o
                | {
                    "status": STATUS[o["status"]],
                    "scenes": tuple(o.get("scenes", ())),
                    "passed_over": tuple(map(tuple, o.get("passed_over", ()))),
                }
            )
            for name, o in value["sources"].items()
        },
    )
