"""How a dataset that stands is mended: what two releases differ in, the worst patches, what nothing refers to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from curation.api.results import Result, Rows
from curation.api.steps import Steps, path_of
from curation.errors import CurationError, DamageError
from curation.errors.words import counted
from curation.places.regions import ALL
from curation.verify import diff as diffs
from curation.verify import unreferred
from curation.verify.diff import Difference
from curation.verify.unreferred import CUBE, Unreferred
from curation.work import telling

if TYPE_CHECKING:  # it draws
    from curation.report.worst import Worst

MOST_IDS = 20
"""So many samples of a kind are told; the JSON has all."""


def diff(a: str, b: str | None = None, dataset: str = "") -> DiffResult:
    """What release B has other than A: samples, and what of them, by the indices and tables alone.

        curation.diff("shards/my-set/shards", "s3://bucket/datasets/my-set")
        curation.diff("shards/my-set")       # the release that stands, and the one before it

    Args:
        a: a folder of shards, a dataset's folder, or a root; a path, or the URL of a bucket.
        b: the same; where left out it is the release of `a`, and the one before that, which `pack` keeps, is A.
        dataset: name of the dataset below them, where they are roots.

    Raises:
        ConfigError: there is no index.
        DamageError: index or tables are not what they say of themselves.
    """
    before = diffs.release_at(str(a), dataset) if b is not None else diffs.previous_at(str(a), dataset)
    return DiffResult(diffs.difference(before, diffs.release_at(str(a if b is None else b), dataset)))


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
            (its.sort, its.what, f"{its.size / 1e6:.1f} MB", "deleted" if its in gone else its.why)
            for its in self.found
        ]
        return [("kind", "what", "size", "why"), *body]

    def lines(self) -> list[str]:
        """A line per thing, and what they come to."""
        gone = set(self.deleted)
        said = [
            f"{'deleted ' if its in gone else ''}{its.sort} {its.what}: {counted(len(its.keys), 'object')}, "
            f"{its.size / 1e6:.1f} MB: {its.why}"
            for its in self.found
        ]
        return [*said, *self.notes()]

    def notes(self) -> list[str]:
        """How much there is, and what deletes it."""
        if not self.found:
            return ["nothing there that nothing refers to"]
        total, freed = (sum(its.size for its in of) / 1e6 for of in (self.found, self.deleted))
        cubes = any(its.sort == CUBE and its not in self.deleted for its in self.found)
        out = [f"{total:.1f} MB that nothing refers to" + (f", {freed:.1f} MB of it deleted" if self.deleted else "")]
        if not self.deleted:
            out.append("nothing was deleted: --delete deletes it")
        return [*out, *(["cubes stay, unless --cubes is said, too"] if cubes else [])]


class MendSteps(Steps):
    """What `curate worst` and `curate gc` do."""

    __slots__ = ()

    @telling.shown()
    def worst(
        self,
        by: str,
        count: int = 200,
        region: str = ALL,
        season: str = ALL,
        *,
        out: str | Path | None = None,
        check: bool = True,
    ) -> WorstResult:
        """Draws the worst ok patches by a fact on one page, and says what excludes their places from the next release.

        Args:
            by: a fact: `s2l2a_clear_fraction`, or `clear_fraction` where one source has it. Of fractions that are clear or
                valid, and of sharpness, the lowest are the worst; else those furthest from zero.
            count: how many.
            region: one that is built, or `all`.
            season: one that is built, or `all`.
            out: a local file to write instead of `worst-<fact>.html` in the current folder.
            check: raise where something is damaged, rather than return it.
        """
        from curation.report import worst

        result = WorstResult(worst.write(self.dataset, self.store, by, count, region, season, path_of(out)))
        if check:
            result.raise_for_error()
        return result

    @telling.shown()
    def gc(self, *, delete: bool = False, cubes: bool = False) -> GcResult:
        """What nothing in the dataset's folder refers to; nothing else may be at work there while it is deleted.

        Args:
            delete: delete it, all but cubes.
            cubes: delete cubes, too, of regions and seasons that the recipe does not name.
        """
        store = self.store
        found = unreferred.unreferred(self.dataset, store)
        return GcResult(tuple(found), tuple(unreferred.delete(store, found, cubes=cubes)) if delete else ())
