"""How a dataset that stands is mended: what two releases differ in, the worst patches, what nothing refers to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curation.api.results import Result, Rows
from curation.errors import CurationError, DamageError
from curation.errors.words import counted
from curation.verify import diff as diffs
from curation.verify.diff import Difference
from curation.verify.unreferred import CUBE, Unreferred

if TYPE_CHECKING:  # it draws
    from curation.report.worst import Worst

MOST_IDS = 20
"""So many samples of a kind are told; the JSON has all."""


def diff(a: str, b: str, dataset: str = "") -> DiffResult:
    """What release B has other than A: samples, and what of them, by the indices and tables alone.

        curation.diff("shards/my-set/shards", "s3://bucket/datasets/my-set")

    Args:
        a: a folder of shards, a dataset's folder, or a root; a path, or the URL of a bucket.
        b: the same.
        dataset: name of the dataset below them, where they are roots.

    Raises:
        ConfigError: there is no index.
        DamageError: index or tables are not what they say of themselves.
    """
    return DiffResult(diffs.difference(*(diffs.release_at(str(place), dataset) for place in (a, b))))


@dataclass(frozen=True, slots=True, repr=False)
class DiffResult(Result):
    """What one release has other than another."""

    found: Difference

    @property
    def ok(self) -> bool:
        """Whether both have the same samples, with the same in them."""
        return self.found.is_none

    def to_json(self) -> str:
        """All of it."""
        return json.dumps(self.found.to_json(), indent=1, sort_keys=True)

    def rows(self) -> Rows:
        """A line per thing that is another."""
        return [("what is another", "samples"), *((why, str(n)) for why, n in self.found.why().most_common())]

    def lines(self) -> list[str]:
        """What is told beside the table, and the table."""
        return [
            *self.notes(),
            *(f"changed: {why}: {counted(n, 'sample')}" for why, n in self.found.why().most_common()),
        ]

    def notes(self) -> list[str]:
        """Samples in, out and changed; what else is another."""
        its = self.found
        out = [
            f"A {its.a}",
            f"B {its.b}",
            f"{counted(its.same, 'sample')} the same, {len(its.changed)} changed, {len(its.new)} in B alone, "
            f"{len(its.gone)} in A alone",
        ]
        out += [f"{name} digest: {one[:12]}… in A, {other[:12]}… in B" for name, (one, other) in its.digests.items()]
        out += [f"dropped for {why}: {one} in A, {other} in B" for why, (one, other) in its.dropped.items()]
        for what, names in (
            ("in B alone", its.new),
            ("in A alone", its.gone),
            ("changed", [c.id for c in its.changed]),
        ):
            out += [f"{what}: {_some(names)}"] if names else []
        return [*out, *its.notes]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_IDS} more (--json has all)" if len(names) > MOST_IDS else ""
    return ", ".join(names[:MOST_IDS]) + more


@dataclass(frozen=True, slots=True, repr=False)
class WorstResult(Result):
    """The worst patches by a fact, on a page."""

    found: Worst

    def error(self) -> CurationError | None:
        """Damage."""
        return DamageError("; ".join(self.found.damage)) if self.found.damage else None

    def rows(self) -> Rows:
        """A line per patch."""
        return [("patch", self.found.fact), *((name, f"{value:.4g}") for name, value in self.found.patches)]

    def lines(self) -> list[str]:
        """The patches, what excludes their places, and where the page is."""
        return [
            *(f"{name}  {value:.4g}" for name, value in self.found.patches),
            "",
            self.found.lines,
            "",
            *self.notes(),
        ]

    def notes(self) -> list[str]:
        """Where the page is."""
        return [self.found.where]


@dataclass(frozen=True, slots=True, repr=False)
class GcResult(Result):
    """What nothing refers to."""

    found: tuple[Unreferred, ...]
    deleted: tuple[Unreferred, ...]

    def rows(self) -> Rows:
        """A line per thing."""
        gone = set(self.deleted)
        body = [
            (its.kind, its.what, f"{its.size / 1e6:.1f} MB", "deleted" if its in gone else its.why)
            for its in self.found
        ]
        return [("kind", "what", "size", "why"), *body]

    def lines(self) -> list[str]:
        """A line per thing, and what they come to."""
        gone = set(self.deleted)
        told = [
            f"{'deleted ' if its in gone else ''}{its.kind} {its.what}: {counted(len(its.keys), 'object')}, "
            f"{its.size / 1e6:.1f} MB: {its.why}"
            for its in self.found
        ]
        return [*told, *self.notes()]

    def notes(self) -> list[str]:
        """How much there is, and what deletes it."""
        if not self.found:
            return ["nothing there that nothing refers to"]
        total, freed = (sum(its.size for its in of) / 1e6 for of in (self.found, self.deleted))
        cubes = any(its.kind == CUBE and its not in self.deleted for its in self.found)
        out = [f"{total:.1f} MB that nothing refers to" + (f", {freed:.1f} MB of it deleted" if self.deleted else "")]
        if not self.deleted:
            out.append("nothing was deleted: --delete deletes it")
        return [*out, *(["cubes stay, unless --cubes is said, too"] if cubes else [])]
