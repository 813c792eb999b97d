"""The steps that write the cards of a release and lay it out for a hub, part of what `curation.load` gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from curation.api.results import Result
from curation.api.steps import Steps, naming
from curation.errors import ConfigError, DamageError
from curation.errors.words import counted
from curation.store import paths
from curation.store.objects import Store
from curation.work import cluster, telling
from curation.work.progress import Doing, shown_bytes
from curation.work.run import Run


@dataclass(frozen=True, slots=True, repr=False)
class CardResult(Result):
    """Cards that are there."""

    where: str
    files: tuple[str, ...]
    missing: tuple[str, ...]
    """What a hub or a registry asks for and [card] of the recipe does not say."""

    def notes(self) -> list[str]:
        """How many, where, and what nobody has said."""
        pictures = sum(map(paths.is_card_picture, self.files))
        said = f"{counted(len(self.files), 'file')}, {counted(pictures, 'picture')} among them"
        return [said, *unsaid(self.missing), f"written to {self.where}"]


@dataclass(frozen=True, slots=True, repr=False)
class PublishResult(Result):
    """What is laid out and checked; of a dry run what would be."""

    count: int
    """Samples."""
    files: int
    size: int
    """Bytes."""
    reused: int
    """Samples of shards that an earlier run wrote: these were read again and are what was recorded."""
    removed: int
    """Files of an earlier release that are there no more."""
    missing: tuple[str, ...]
    where: str
    """Empty of a dry run."""

    def notes(self) -> list[str]:
        """How much, where, and what nobody has said."""
        what = f"{counted(self.count, 'sample')}, {counted(self.files, 'file')}, {shown_bytes(self.size)}"
        if not self.where:
            return [f"{what} to write; nothing is written", *unsaid(self.missing)]
        before = f"; {counted(self.reused, 'sample')} there already" if self.reused else ""
        removed = f"; {counted(self.removed, 'file')} of an earlier release removed" if self.removed else ""
        done = f"laid out in {self.where} and checked; nothing is uploaded: do that with the hub's own program"
        return [f"{what}{before}{removed}", *unsaid(self.missing), done]


def unsaid(missing: Sequence[str]) -> list[str]:
    """A line of what [card] does not say; none where it says all."""
    return [f"[card] of the recipe does not say: {', '.join(missing)}"] if missing else []


class CardSteps(Steps):
    """What `curate card` and `curate publish` do."""

    __slots__ = ()

    @telling.shown()
    def card(self, *, pictures: bool = True) -> CardResult:
        """Writes the cards of the release anew: README, Croissant, STAC, DataCite, and what the report draws.

        `pack` writes them, too, without pictures. They follow from the index, its tables and the recipe alone.

        Args:
            pictures: draw the report's pictures, which wants the cubes; else those of this release that are there stay.

        Raises:
            ConfigError: nothing is packed, or nothing is built.
            DamageError: what is stored is not what was recorded.
        """
        from curation.pack.card import card as cards
        from curation.report.pictures import of_report

        facts = cards.release_facts(self.dataset, self.store)
        self._check_writable(self.store)
        drawn = of_report(self.dataset, self.store) if pictures else None
        record = cards.write(self.store, facts, drawn)
        return CardResult(self.store.where(paths.CARD), tuple(record.files), facts.spec.missing)

    @telling.shown()
    def publish(self, to: str | Path, *, dry_run: bool = False) -> PublishResult:
        """Lays a release out as a hub wants it, in a folder or bucket, and checks it. Uploads nothing by itself.

        Safe to stop and to call again: no shard that is there is written again, and each is hashed before it counts.

        Args:
            to: a folder or URL of its own: a new or an empty one, or that of the same dataset.
            dry_run: only count; nothing is written.

        Raises:
            ConfigError: nothing is packed, or the folder holds something else.
            DamageError: what is stored is not what was recorded, or what is laid out is not whole.
        """
        from curation.pack.export import export as exporting
        from curation.pack.export.forms import hub

        if str(to).startswith("hf://"):
            raise ConfigError(
                "--to hf://…: nothing is uploaded by itself; give a folder, look at it, and then: "
                "hf upload REPO FOLDER --repo-type dataset"
            )
        with naming("--to", to):
            target = Store(to)
            target.check_answers()
        plan = exporting.planned(self.dataset, self.store, hub.Hub(), exporting.Wish(), target)
        beside: hub.HubFiles = plan.asked.beside
        missing = beside.facts.spec.missing
        if dry_run:
            count, size = plan.expected
            return PublishResult(plan.count, count, size + sum(map(len, beside.files.values())), 0, 0, missing, "")
        with naming("--to", to):
            target.check_writable()
        with cluster.connect(self.scheduler, self.workers, target) as client:
            done = exporting.exported(plan, Run(self.dataset, self._catalogs(), self.store, client))
        with Doing("publish: checking what is laid out", often_short=True):
            removed = hub.cleared(target, beside)
            if faults := hub.faults(target, beside):
                raise DamageError(
                    f"{counted(len(faults), 'file')} not as laid out: {'; '.join(faults[:3])}; run it again"
                )
        return PublishResult(done.count, done.files, done.size, done.reused, len(removed), missing, target.where(""))
