"""What a store says of its objects. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stat:
    """What a store says of an object without reading it."""

    key: str
    size: int
    """Bytes."""
    etag: str
    """Changes whenever the object is written."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was published: enough to tell later whether it is still that."""

    key: str
    size: int
    """Bytes."""
    sha256: str
    etag: str
    """The store's own mark of this very writing."""
