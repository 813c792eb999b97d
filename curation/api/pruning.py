"""The step that decides what of a release is left out, part of what `curation.load` gives, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curation.api.results import Result, Rows
from curation.api.steps import Steps, naming
from curation.errors.words import counted
from curation.store import paths
from curation.work import telling

if TYPE_CHECKING:  # what makes features wants much
    from curation.worth.prune.rules import PruneRules
    from curation.worth.prune.write import Pruning

MOST_SHOWN = 20


@dataclass(frozen=True, slots=True, repr=False)
class PruneResult(Result):
    """Samples that are left out from the next packing on; of a dry run those that would be."""

    found: Pruning

    def rows(self) -> Rows:
        """A line per reason, and per class and domain: how many are left out, of how many."""
        its = self.found
        reasons = [(code, str(n), str(its.whole.of), "") for code, n in its.by_reason.items()]
        groups = [(r.group, str(r.out), str(r.of), f"{r.share:.1%}") for r in (its.whole, *its.each)]
        return [("reason, class or domain", "left out", "of", "share"), *reasons, *groups]

    def lines(self) -> list[str]:
        """The rows, those of groups that lose least not all of them, and what is to be done."""
        head, *rows = self.rows()
        shown = [head, *rows[: len(self.found.by_reason) + 1 + MOST_SHOWN]]
        width = max(len(r[0]) for r in shown)
        lines = [f"{a:{width}}  {b:>8}  {c:>8}  {d:>6}".rstrip() for a, b, c, d in shown]
        rest = len(rows) + 1 - len(shown)
        return [*lines, *([f"… and {counted(rest, 'group')} that lose no more"] if rest else []), *self.notes()]

    def notes(self) -> list[str]:
        """Who loses far more than others, and what comes next."""
        its = self.found
        worst = ", ".join(f"{r.group} {r.share:.1%}" for r in its.marked[:5])
        out = [f"loses more than twice the share of all ({its.whole.share:.1%}): {worst}; --most-of-class limits that"]
        out = out if its.marked else []
        if not its.where:
            return [*out, "nothing is written"]
        return [*out, f"written to {its.where}; `curate pack` leaves them out, --undo forgets it"]


@dataclass(frozen=True, slots=True, repr=False)
class UndoneResult(Result):
    """Decisions that were forgotten."""

    left_out: int | None
    """Samples that they left out; None: there were no decisions."""
    where: str

    def notes(self) -> list[str]:
        """What is gone."""
        if self.left_out is None:
            return [f"{self.where}: is not there: nothing to undo"]
        out = counted(self.left_out, "sample")
        return [f"{self.where}: is gone, with what left out {out}; `curate pack` brings them back"]


class PruneSteps(Steps):
    """What `curate prune` does."""

    __slots__ = ()

    @telling.shown()
    def prune(
        self, rules: PruneRules | None = None, *, way: str = "handmade", run_code: bool = False, dry_run: bool = False
    ) -> PruneResult:
        """Decides which samples of the release that stands the next `pack` leaves out, each with a reason.

            from curation.worth.prune.rules import PruneRules

            made.prune(PruneRules(rules=("duplicates", "mislabelled")), dry_run=True)

        Args:
            rules: which, and how strict; copies, wrong labels and little information, of train, where left out.
            way: what samples are compared by, as `embed` has it.
            run_code: execute the file that `way` names.
            dry_run: only tell; nothing is written but features.

        Raises:
            ConfigError: nothing is packed, what is packed follows such decisions already, or a rule cannot be asked.
            DamageError: what is packed is not what was recorded.
        """
        from curation.worth.features import making
        from curation.worth.prune import write
        from curation.worth.prune.rules import PruneRules

        asked = PruneRules() if rules is None else rules
        its, store = making.way_of(way, seed=asked.seed, run_code=run_code), self.store
        with naming("--root", store.where("")):
            store.check_writable()
        return PruneResult(write.prune(self.dataset, store, its, asked, dry_run=dry_run))

    def undo_prune(self) -> UndoneResult:
        """Forgets what was decided: the next `pack` has all samples again."""
        from curation.worth.prune import write

        return UndoneResult(write.undo(self.store), self.store.where(paths.PRUNED))
