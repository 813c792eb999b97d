"""Only what is read of items is asked for, where a catalog offers that (STAC API, fields extension).

What is read is not listed here a second time: the reading of whole items is watched. What a catalog then leaves out or makes
up is found in two ways. Before its trimmed items are believed, a search is asked both ways, and must come to the same; and
where a trimmed item cannot be read, or something is looked at that was not asked for, the search is asked again whole.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from curation.errors import CurationError
from curation.scenes.items import Found

log = logging.getLogger(__name__)

EVERY = "*"
"""Stands for all members of an object: somebody has looked through them."""

_PARTED = {"": ("properties", "assets"), "assets": (EVERY,)}
"""Objects of an item whose members are asked for one by one, by the path of what they lie in."""


class Watched(dict[str, Any]):
    """An object of JSON, which notes the paths of its members that are looked at."""

    def __init__(self, value: dict[str, Any], looked: set[str], path: str = "") -> None:
        super().__init__(value)
        self._looked, self._path = looked, path

    def _within(self, key: Any, value: Any) -> Any:
        """The member, watched too where it is parted; else it counts as looked at, whether it is there or not."""
        path = f"{self._path}.{key}" if self._path else str(key)
        parted = _PARTED.get(self._path, ())
        if isinstance(value, dict) and (key in parted or EVERY in parted):
            return Watched(value, self._looked, path)
        self._looked.add(path if isinstance(key, str) and "." not in key else f"{self._path or EVERY}.{EVERY}")
        return value

    def __getitem__(self, key: Any) -> Any:
        return self._within(key, super().get(key)) if key in self else super().__getitem__(key)

    def get(self, key: Any, default: Any = None) -> Any:
        """As of dict."""
        return self._within(key, super().get(key, default))

    def __contains__(self, key: Any) -> bool:
        there = super().__contains__(key)
        if not there:
            self._within(key, None)
        return there

    def __iter__(self) -> Iterator[Any]:
        self._looked.add(f"{self._path or EVERY}.{EVERY}")
        return super().__iter__()

    def keys(self) -> Any:
        """As of dict."""
        return list(self)

    def values(self) -> Any:
        """As of dict."""
        return [self[k] for k in self]

    def items(self) -> Any:
        """As of dict."""
        return [(k, self[k]) for k in self]


def asked_for(looked: frozenset[str]) -> list[str]:
    """What a catalog is asked to include, in order: of an object that was looked through all of it."""
    whole = {p.removesuffix(f".{EVERY}") for p in looked if p.endswith(f".{EVERY}")}
    return sorted(whole | {p for p in looked if not any(p.startswith(f"{w}.") for w in whole)})


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """What one search gave."""

    found: list[Found]
    """Of each of its cells."""
    looked: frozenset[str]
    """Paths of what was looked at of its items."""
    items: int
    """That were served."""


class Fields:
    """What is asked for of the items of one source. Safe to use from threads."""

    def __init__(self, what: str) -> None:
        self.what = what
        """Of whose items, for a person."""
        self._lock = threading.Lock()
        self._looked: frozenset[str] = frozenset()
        """What was looked at of whole items."""
        self._proven = 0
        """Items of the largest answer that came to the same both ways. A larger one is asked for both ways, too: servers
        make the link to the next page of members that a trimmed item may lack, and an answer that ends early is like one
        that is whole. Of many answers in any order few are larger than all before them."""
        self._refuted = False

    @property
    def refuted(self) -> bool:
        """Whether whole items are asked for, since others came to something else."""
        with self._lock:
            return self._refuted

    def found(self, ask: Callable[[frozenset[str] | None], SearchAnswer], *, cells: int) -> list[Found]:
        """What a search of so many cells finds; `ask` makes it, with items of so much, or whole (None).

        Raises:
            CurationError: the catalog does not answer.
        """
        with self._lock:
            looked, proven, refuted = self._looked, self._proven, self._refuted
        if refuted or not looked or f"{EVERY}.{EVERY}" in looked:  # somebody has looked through all of an item
            return self._whole(ask).found
        try:
            few = ask(looked)
        except CurationError as err:
            if cells > 1:  # it may be too much of them
                raise
            log.info("%s: asked for some fields of items (%s); asking for whole ones", self.what, err)
            whole = self._whole(ask)
            self._refute(f"it does not answer: {err}")
            return whole.found
        more = few.looked - looked
        if not more and few.items <= proven and not any(f.unreadable for f in few.found):
            return few.found
        whole = self._whole(ask)
        with self._lock:
            if not more and [f.to_json() for f in few.found] == [f.to_json() for f in whole.found]:
                # An answer without items shows nothing.
                if any(f.scenes for f in few.found) and looked == self._looked:
                    self._proven = max(self._proven, few.items)
                return whole.found
        if not more <= whole.looked or not more:
            self._refute("it gives others than when it is asked for whole ones")
        return whole.found

    def _whole(self, ask: Callable[[frozenset[str] | None], SearchAnswer]) -> SearchAnswer:
        answer = ask(None)
        with self._lock:
            if not answer.looked <= self._looked:
                self._looked |= answer.looked
                self._proven = 0
        return answer

    def _refute(self, why: str) -> None:
        with self._lock:
            first, self._refuted = not self._refuted, True
        if first:
            log.warning("%s: offers to give some fields of items alone, but %s; whole items are read", self.what, why)
