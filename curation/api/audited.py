"""The steps that hold labels against what people see, part of what `curation.load` gives, and what they come to."""

from __future__ import annotations

import logging
import webbrowser
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from curation.api.results import Result, Rows
from curation.api.steps import Steps, naming
from curation.errors import ConfigError
from curation.errors.words import counted
from curation.pack.export.of_shards import index_of
from curation.store import paths
from curation.store.objects import Store
from curation.work import telling

if TYPE_CHECKING:
    from curation.worth.audit.drawn import AuditDraw
    from curation.worth.audit.scored import Agreement, ReaderScore, Score
    from curation.worth.audit.shares import ShareEstimate

log = logging.getLogger(__name__)

COUNT = 200
"""Patches that are drawn where nobody says how many."""

MOST_LISTED = 20
"""Disagreements that are printed; the files have all."""


@dataclass(frozen=True, slots=True, repr=False)
class AuditResult(Result):
    """A sample of patches, and how many of it each reader has marked."""

    draw: AuditDraw
    marked: dict[str, int]
    """Reader → patches."""
    where: str
    """The folder; empty of a dry run."""

    def rows(self) -> Rows:
        """A line per class that patches have: how many, and how many of those drawn."""
        has = Counter(name for p in self.draw.patches for name in p.stored)
        found = ((n, f"{c}", f"{has[n]}") for n, c in self.draw.labelled.items() if c)
        return [("class", "patches", "drawn"), *found]

    def lines(self) -> list[str]:
        """The table, and what is told beside it."""
        return [*_table(self.rows()), *self.notes()]

    def notes(self) -> list[str]:
        """How many are drawn, and marked."""
        its = self.draw
        strata = "1 stratum" if len(its.strata) == 1 else f"{len(its.strata)} strata"
        drawn = f"{counted(len(its.patches), 'patch')} of {int(its.sizes.sum())} in {strata}, seed {its.seed}"
        if not self.where:
            return [f"{drawn} to mark; nothing is written"]
        marked = [f"{reader}: {n} of {len(its.patches)} marked" for reader, n in self.marked.items()]
        return [f"{drawn}: {self.where}", *(marked or ["nobody has marked yet: curate audit --reader NAME"])]


@dataclass(frozen=True, slots=True, repr=False)
class AuditScore(Result):
    """How right labels are by what readers saw, weighted so that it is of all patches, with intervals of 95 %."""

    score: Score

    def rows(self) -> Rows:
        """A line per reader and class."""
        out: list[tuple[str, ...]] = [("reader", "class", "stored", "seen", "right where stored", "stored where seen")]
        for its in self.score.readers:
            out.append((its.name, "all", "", "", _said(its.overall), ""))
            out += [
                (its.name, c.name, f"{c.stored:.1%}", _said(c.seen), _said(c.right), _said(c.found))
                for c in its.by_class
                if c.right or c.found
            ]
        return out

    def lines(self) -> list[str]:
        """The table, and what is told beside it."""
        return [*_table(self.rows()), *self.notes()]

    def notes(self) -> list[str]:
        """Domains, what is hardly known, and how readers agree."""
        out = [line for its in self.score.readers for line in self._of_reader(its)]
        out += [line for its in self.score.pairs for line in _of_pair(its)]
        return [
            *out,
            "value [interval of 95 %] (marks); weighted by stratum; of these patches, not of places elsewhere",
        ]

    def _of_reader(self, its: ReaderScore) -> list[str]:
        out = [
            f"{its.name}: {its.marked + its.unsure} of {self.score.drawn} marked, {its.unsure} of them unsure (left out)"
        ]
        if its.covered < 1:
            out.append(
                f"{its.name}: strata with {1 - its.covered:.1%} of all patches have no mark yet, and no part in this"
            )
        if len(its.domains) > 1:
            out.append(f"{its.name}, by domain: {'; '.join(f'{n} {_said(e)}' for n, e in its.domains.items())}")
        if its.few:
            out.append(f"{its.name}: few marks in {', '.join(its.few)}: their spread is hardly known")
        return out


def _of_pair(its: Agreement) -> list[str]:
    names = " and ".join(its.readers)
    out = [f"{names}: kappa of {n} {_said(e)}" for n, e in its.kappa.items() if e]
    none = [n for n, e in its.kappa.items() if e is None]
    out += [f"{names}: no kappa of {', '.join(none)}: chance alone would have them agree"] if none else []
    out.append(f"{names}: differ on {len(its.differ)} of {counted(its.both, 'patch')}")
    for d in its.differ[:MOST_LISTED]:
        said = "; ".join(", ".join(c) or "none" for c in (d.first, d.second, d.stored))
        out.append(f"  {d.patch}: {said} stored")
    return out + ([f"  and {len(its.differ) - MOST_LISTED} more"] if len(its.differ) > MOST_LISTED else [])


def _said(its: ShareEstimate | None) -> str:
    return "" if its is None else f"{its.value:.3f} [{its.low:.3f}, {its.high:.3f}] ({its.marks})"


def _table(rows: Rows) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


class AuditSteps(Steps):
    """What `curate audit` does."""

    __slots__ = ()

    @telling.shown()
    def audit(
        self,
        to: str | Path | None = None,
        *,
        count: int | None = None,
        label: str | None = None,
        domain: str | None = None,
        seed: int | None = None,
        least: int | None = None,
        dry_run: bool = False,
    ) -> AuditResult:
        """Draws patches whose labels are to be held against what people see, or more of them: what was drawn stays.

            made.audit(count=200)
            made.mark_audit("ann")
            made.score_audit()

        Args:
            to: a folder of this machine; `audit` below the dataset's where left out.
            count: how many patches; 200, or as many as there are, where left out. So with all that is left out beside: what
                an earlier draw has, else what stands here.
            label: `main` (the class with most of a patch; the default, unless the shards have a target), `present` (all
                classes that its labels have) or `target`.
            domain: column of the samples table, `season`, `split`, or "" for none; strata are of class and domain. `region`.
            seed: of the draw; 0.
            least: patches of a stratum before any has more; 5.
            dry_run: only draw; nothing is written.

        Raises:
            ConfigError: nothing is packed, there are no such labels, or what was drawn is of another packing.
            DamageError: what is packed is not what was recorded.
        """
        from curation.worth.audit import drawn

        target, before = self._audit_folder(to), self._draw(to)
        index = index_of(self.store)
        wish = drawn.DrawWish(
            count or (len(before.patches) if before else COUNT),
            label or (before.question if before else drawn.usual(index)),
            domain if domain is not None else (before.domain if before else "region"),
            seed if seed is not None else (before.seed if before else 0),
            least or (before.least if before else 5),
        )
        draw = drawn.drawn(self.store.child(paths.SHARDS), index, wish)
        if before is not None:
            draw = drawn.grown(before, draw, target.where(paths.AUDIT_DRAW))
        if dry_run:
            return AuditResult(draw, {}, "")
        if draw != before:
            with naming("--to", target.where("")):
                target.check_writable()
            target.publish(paths.AUDIT_DRAW, draw.to_json())
        return self._audited(target, draw)

    @telling.shown()
    def mark_audit(
        self,
        reader: str,
        to: str | Path | None = None,
        *,
        composites: Sequence[str] = (),
        season: str = "",
        port: int = 0,
        browser: bool = True,
    ) -> AuditResult:
        """Serves the page on which a reader marks what was drawn, until it is ended there. The same call goes on.

        The page says nothing of what the dataset has. It is served on loopback, to who has the token of its URL alone.

        Args:
            reader: whose marks these are: a file of their own, `marks-<reader>.jsonl`.
            to: the folder that was drawn into.
            composites: pictures: of `true-colour`, `false-colour`, `radar`; all that there are bands for where left out.
            season: of pictures of patches whose labels have none.
            port: 0 takes a free one.
            browser: open the page in one.

        Raises:
            ConfigError: nothing is drawn, somebody marks as that reader now, or the port is taken.
            DamageError: what is packed, or a line of the marks, is not what it should be.
        """
        from curation.worth.audit import marks, serving
        from curation.worth.audit.pictures import Pictures

        target, draw = self._audit_folder(to), self._drawn(to)
        index = index_of(self.store)
        if index.content_sha256 != draw.content_sha256:
            raise ConfigError(
                f"{target.where('')}: was drawn of another packing than stands in {self.store.where('')}: say --to for "
                "another"
            )
        pictures = Pictures(self.store.child(paths.SHARDS), index, composites, season)
        with marks.MarkFile(Path(target.where("")), reader, draw) as file:
            marking = serving.Marking(draw, file, pictures, reader)
            with serving.served(marking, port) as url:
                print(f"mark here, and press Escape to end: {url}", flush=True)
                if browser:
                    webbrowser.open(url)
                marking.ended.wait()
        return self._audited(target, draw)

    @telling.shown()
    def score_audit(self, to: str | Path | None = None) -> AuditScore:
        """How right labels are by all that readers have marked so far, and how readers agree.

        Args:
            to: the folder that was drawn into.

        Raises:
            ConfigError: nothing is drawn, or nobody has marked.
            DamageError: a line of the marks is none.
        """
        from curation.worth.audit import marks
        from curation.worth.audit.scored import scored

        target, draw = self._audit_folder(to), self._drawn(to)
        folder = Path(target.where(""))
        found = {name: its for name in marks.readers(folder) if (its := marks.read(marks.file_of(folder, name), draw))}
        if not found:
            raise ConfigError(f"{folder}: nobody has marked anything there: curate audit --reader NAME")
        return AuditScore(scored(draw, found))

    def _audit_folder(self, to: str | Path | None) -> Store:
        """Where an audit lies, which is a folder: marks are added to a file."""
        target = self.store.child(paths.AUDIT) if to is None else Store(to)
        if not target.is_local:
            raise ConfigError(f"{target.where('')}: marks are added to a file of this machine: say --to FOLDER")
        return target

    def _draw(self, to: str | Path | None) -> AuditDraw | None:
        """What was drawn there; None where nothing was."""
        from curation.worth.audit import drawn

        target = self._audit_folder(to)
        try:
            return drawn.of_bytes(target.get(paths.AUDIT_DRAW), target.where(paths.AUDIT_DRAW))
        except FileNotFoundError:
            return None

    def _drawn(self, to: str | Path | None) -> AuditDraw:
        found = self._draw(to)
        if found is None:
            raise ConfigError(f"{self._audit_folder(to).where('')}: nothing is drawn there: `curate audit` first")
        return found

    def _audited(self, target: Store, draw: AuditDraw) -> AuditResult:
        from curation.worth.audit import marks

        folder = Path(target.where(""))
        done = {name: len(marks.read(marks.file_of(folder, name), draw)) for name in marks.readers(folder)}
        return AuditResult(draw, done, target.where(""))
