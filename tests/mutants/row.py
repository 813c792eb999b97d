"""One row of the table: a guard, how it is removed, and who must notice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """A guard, how it is removed, and who must notice."""

    guard: str
    """What it guards against, in a few words."""
    file: str
    """Below the tree."""
    find: str
    """Its text, which is there exactly once."""
    replacement: str
    """What stands there without it."""
    tests: tuple[str, ...]
    """Node ids, of which at least one must fail."""


HOSTILE = "tests/stream/test_hostile.py::test_"
"""What most tests of hostile input begin with."""
STORAGE, STOPPING = (f"tests/{name}.py::test_" for name in ("store/test_full", "work/test_stopping"))
