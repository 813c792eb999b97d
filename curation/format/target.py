"""The target of samples: what a model is to say of one, out of a domain column. Pure."""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Mapping
from typing import Annotated

from msgspec import Meta

from curation.format.annotations import ColumnEntry
from curation.format.names import LABEL
from curation.format.strict import Name, StrictObject, Text

UNKNOWN = -100
"""The number of the class of a sample of which it is not known: what torch's cross entropy passes over by default."""

MOST = 1 << 53
"""Whole numbers below it are told apart in JSON and in doubles."""

Class = Text | Annotated[int, Meta(gt=-MOST, lt=MOST)]


class TargetEntry(StrictObject, frozen=True):
    """Which domain column is the target, and what a batch has of it: the number of a class, or the number itself."""

    column: Name
    classes: tuple[Class, ...] | None
    """The legend, in the order of the classes' numbers, from 0: text of a column of text, whole numbers of one of numbers
    (true is 1). None: the target is a number."""

    def __post_init__(self) -> None:
        """Raises ValueError where the classes cannot be told apart."""
        if self.classes is None:
            return
        kinds = {type(c) for c in self.classes}
        if len(kinds) != 1 or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes: got {reprlib.repr(self.classes)}, expected each once, text or whole numbers")

    @property
    def numbers(self) -> Mapping[str | float, int]:
        """Value of the column → number of its class; empty where the target is a number."""
        return {c: n for n, c in enumerate(self.classes or ())}

    def fault(self, columns: Mapping[str, ColumnEntry], taken: Collection[str]) -> str | None:
        """What is wrong with it beside domain columns, and names of what else there is; None where nothing is."""
        its = columns.get(self.column)
        if its is None:
            return f"column {self.column!r}, expected one of {reprlib.repr(sorted(columns))}"
        if (its.kind == "text") != (self.classes is not None and isinstance(self.classes[0], str)):
            return f"classes {reprlib.repr(self.classes)} of column {self.column!r}, which is {its.kind}"
        if self.column != LABEL and LABEL in {*taken, *columns}:
            return f"something else is called {LABEL!r}, too"
        return None
