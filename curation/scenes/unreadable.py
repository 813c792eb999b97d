"""Which share of a catalog's items could not be read: too many of them, and no dataset is made of what is left."""

from __future__ import annotations

import itertools
import threading

import xxhash

from curation.scenes.items import Found

MOST_UNREADABLE = 0.05
"""Share of a catalog's items that may be unreadable. A stray item in a catalog of millions is its own loss; one in twenty is
a form that this release does not know, or a catalog that is broken, and nobody wants a dataset of what is left."""

SAMPLE = 4096
"""Items by which their share is told, at least, where there are as many: one in twenty is then known to a third of a
hundredth."""


class ItemTally:
    """Which share of the items looked at could not be read, and why. Safe to use from threads.

    Neighbouring searches give the same items, each counts once. So that memory does not grow with their numbers only those
    are kept whose ids have the least hashes: a fair sample, the same in whatever order they come.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[int, tuple[str, str]] = {}
        """Hash of an item's source and id → id, and why it could not be read; empty where it could."""
        self._most = 2**64 - 1
        """The greatest hash that is kept."""

    def add(self, found: Found, source: str = "") -> None:
        """Takes up a search of a source: ids are its own."""
        why = {its.id: its.reason for its in found.unreadable}
        with self._lock:
            for name in (*(s.id for s in found.scenes), *itertools.chain.from_iterable(found.dropped.values())):
                mark = xxhash.xxh3_64_intdigest(f"{source}/{name}".encode())
                if mark <= self._most:
                    self._seen[mark] = name, why.get(name, "")
            if len(self._seen) > 2 * SAMPLE:
                least = sorted(self._seen)[:SAMPLE]
                self._seen, self._most = {mark: self._seen[mark] for mark in least}, least[-1]

    def unreadable(self) -> str:
        """What is wrong, where more of the items than `MOST_UNREADABLE` could not be read; else empty."""
        with self._lock:
            lost: dict[str, list[str]] = {}
            for name, reason in self._seen.values():
                if reason:
                    lost.setdefault(reason, []).append(name)
            count, items = sum(map(len, lost.values())), len(self._seen)
            if not items or count <= MOST_UNREADABLE * items:
                return ""
            top = sorted(lost.items(), key=lambda kv: (-len(kv[1]), kv[0]))[:3]
            why = "; ".join(f"{len(ids)} {reason} (such as {min(ids)})" for reason, ids in top)
            sample = "" if self._most == 2**64 - 1 else "a sample of "
            return f"{count} of {sample}{items} items that were looked at could not be read: {why}"
