"""The step that exports a dataset, part of what `curation.load` gives, and what it came to, or would come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from curation.api.results import Result
from curation.api.steps import Steps, naming
from curation.errors.words import counted
from curation.places.regions import ALL
from curation.store.objects import Store
from curation.work import cluster, telling
from curation.work.progress import shown_bytes
from curation.work.run import Run


@dataclass(frozen=True, slots=True, repr=False)
class ExportResult(Result):
    """Files that are there, each hashed; of a dry run those that would be."""

    form: str
    noun: str
    """`patch` or `sample`."""
    count: int
    """Patches, or samples."""
    files: int
    size: int
    """Bytes; of a dry run those of pixels, before they are packed."""
    reused: int
    """Of the patches or samples those that an earlier run wrote: their files were read again and are what was recorded."""
    where: str
    """The folder; empty of a dry run."""

    def notes(self) -> list[str]:
        """How many, and where."""
        what = f"{self.form}: {counted(self.count, self.noun)}, {counted(self.files, 'file')}"
        if not self.where:
            pixels = f", {shown_bytes(self.size)} of pixels before they are packed" if self.size else ""
            return [f"{what} to write{pixels}; nothing is written"]
        before = f"; {counted(self.reused, self.noun)} there already" if self.reused else ""
        return [f"{what}, {shown_bytes(self.size)}{before}", f"written to {self.where}"]


class ExportSteps(Steps):
    """What `curate export` does."""

    __slots__ = ()

    @telling.shown()
    def export(
        self,
        form: str,
        to: str | Path,
        region: str | Path = ALL,
        season: str = ALL,
        *,
        select: Sequence[str] = (),
        limit: int | None = None,
        dry_run: bool = False,
    ) -> ExportResult:
        """Writes what is built or packed in a form that others read. A rerun goes on; no file that is there is made again.

            made.export("geotiff", "for-qgis", season="summer", select=["s2l2a_clear_fraction >= 0.95"])

        Args:
            form: `geotiff`, `cog`, `netcdf`, `npz` or `stac`, of the patches of cubes that are ok; `parquet` and
                `litdata`, of samples, and `kuro-siwo`, of samples of floods.
            to: a folder or URL of its own: a new or an empty one, or that of the same export.
            region: of those that are built: a name (several: `a+b`), a bbox or a file as it was built by, or `all`.
            season: one that is built (several with commas), `static`, or `all`.
            select: conditions that all have to hold: `NAME = VALUE`, `!=`, `<`, `<=`, `>`, `>=`, or `NAME in FILE` or `A,B`.
                Of patches on `id`, `lon`, `lat`, `epsg`, `region`, `season`, `split` and what cubes have as coordinates; of
                samples on `split` and columns of the samples table.
            limit: only the first so many patches of each cube, or samples of each split, of those.
            dry_run: only count; nothing is written.

        Raises:
            ConfigError: there is no such form, nothing that is there is asked for, or the folder holds something else.
            DamageError: what is stored is not what was recorded; all else is written.
        """
        from curation.pack.export import export as exporting
        from curation.pack.export import selecting

        made = exporting.form_named(form)
        regions = None if region == ALL else tuple(r.name for r in self._asked(region))
        seasons = None if season == ALL else tuple(dict.fromkeys(season.split(",")))
        wish = exporting.Wish(regions, seasons, selecting.conditions(select), limit)
        with naming("--to", to):
            target = Store(to)
            target.check_answers()
        plan = exporting.planned(self.dataset, self.store, made, wish, target)
        if dry_run:
            return ExportResult(form, made.noun, plan.count, *plan.expected, 0, "")
        with naming("--to", to):
            target.check_writable()
        with cluster.connect(self.scheduler, self.workers, target) as client:
            done = exporting.exported(plan, Run(self.dataset, self._catalogs(), self.store, client))
        return ExportResult(form, made.noun, done.count, done.files, done.size, done.reused, target.where(""))
