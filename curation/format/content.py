"""Digests of what samples hold, whatever shards they lie in."""

from __future__ import annotations

import hashlib
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.errors import DamageError
from curation.format.names import META, split_member
from curation.format.payload import decode
from curation.format.tar import meta_bytes
from curation.model import STATIC


def sample_digest(key: str, arrays: Iterable[tuple[str, NDArray[Any] | bytes]], meta: Mapping[str, Any]) -> str:
    """sha256 over a sample's decoded arrays, annotations and labels, hexadecimal: what stays when a codec changes.

    Args:
        key: the sample.
        arrays: (suffix without its encoding, array; of text and JSON the bytes) in the order of the members.
        meta: its `meta.json`, of which only labels, columns and offsets count.

    Raises:
        DamageError: that has them in another place or form than the format.
    """
    digest = hashlib.sha256(f"{key}\n".encode())
    for name, array in arrays:
        if isinstance(array, bytes):
            digest.update(f"{name} bytes {len(array)}\n".encode())
            digest.update(array)
            continue
        plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(f"{name} {plain.dtype.name} {','.join(map(str, plain.shape))}\n".encode())
        digest.update(plain.data)
    if not isinstance(meta, dict):
        raise DamageError(f"{key}.{META}: {type(meta).__name__}, expected an object; pack it again")
    static, seasons, children = (
        meta.get(k, empty) for k, empty in ((STATIC, None), ("seasons", None), ("children", []))
    )
    if not isinstance(static, dict) or not isinstance(seasons, dict) or not isinstance(children, list):
        raise DamageError(f"{key}.{META}: no static, no seasons or children that are no list; pack it again")
    wrong = [s for s, facts in seasons.items() if not isinstance(facts, dict)]
    if wrong or not all(isinstance(c, dict) and isinstance(c.get("id"), str) for c in children):
        raise DamageError(f"{key}.{META}: seasons {reprlib.repr(wrong)} or children are no objects; pack it again")
    labels = {STATIC: static.get("labels")} | {season: facts.get("labels") for season, facts in seasons.items()}
    try:
        digest.update(meta_bytes(labels))
        for child in children:
            digest.update(f"{child['id']}\n".encode())
        more = [{k: of[k] for k in ("columns", "offsets_m") if k in of} for of in (meta, *children)]
        if any(more):
            digest.update(meta_bytes({"places": more}))
    except (ValueError, RecursionError) as err:
        raise DamageError(f"{key}.{META}: labels or ids that are no text of UTF-8 JSON ({err}); pack it again") from err
    return digest.hexdigest()


class ContentHash:
    """The dataset's `content_sha256`, from sample digests that workers made.

    Split by split in order of name, within a split in order of row; how samples are cut into shards does not count.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._split = ""

    def add(self, split: str, key: str, digest: str) -> None:
        """Takes up the next sample. Raises ValueError where splits do not come in order of name."""
        if split < self._split:
            raise ValueError(f"content hash: split {split!r} after {self._split!r}; expected splits in order of name")
        self._split = split
        self._hash.update(f"{split} {key} {digest}\n".encode())

    def hexdigest(self) -> str:
        """The hash of what was added so far."""
        return self._hash.hexdigest()


def iter_arrays(members: Mapping[str, bytes]) -> Iterator[tuple[str, NDArray[Any] | bytes]]:
    """(suffix without its encoding, array or bytes) of a sample's members, in order: what `sample_digest` takes.

    Raises:
        DamageError: a member is not what its name says.
    """
    for name, data in members.items():
        if name != META:
            encoding = split_member(name).encoding
            value = data if encoding in ("txt", "json") else decode(data, encoding, name)
            yield name.removesuffix(f".{encoding}"), value
