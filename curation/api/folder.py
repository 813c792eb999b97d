"""A dataset and its folder: what `curation.load` gives. The command's verbs are its methods, the flags their arguments."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import xarray as xr

from curation import pipeline
from curation.api import calibrated, earth, labelled
from curation.api.audited import AuditSteps
from curation.api.captioned import CaptionSteps
from curation.api.carded import CardSteps
from curation.api.embedding import EmbedSteps
from curation.api.exported import ExportSteps
from curation.api.graphed import GraphSteps
from curation.api.labelsteps import LabelSteps
from curation.api.mended import MendSteps
from curation.api.probed import ProbeSteps
from curation.api.pruning import PruneSteps
from curation.api.results import (
    BuildResult,
    EstimateResult,
    LocateResult,
    OffersResult,
    PackResult,
    ReportResult,
    ShowResult,
    VerifyResult,
)
from curation.api.steps import naming, path_of
from curation.api.viewed import ViewSteps
from curation.cubes import open_cube, open_patch, selection
from curation.errors import ConfigError, NoAccessError
from curation.pack import annotate
from curation.pack import split as splits
from curation.pack.labels import foreseen
from curation.pack.pack import check_built
from curation.places import parquet, rows
from curation.places.locations import Locations
from curation.places.regions import ALL, Region
from curation.recipe import catalogs as recipes
from curation.recipe.catalogs import EARTHS, Catalog, Catalogs
from curation.recipe.dataset import Dataset, load_dataset
from curation.recipe.lacking import missing_access
from curation.store import paths
from curation.store.objects import Store
from curation.verify import verify
from curation.work import cluster, telling
from curation.work.progress import Doing
from curation.work.run import Run

log = logging.getLogger(__name__)

ROOT, SCHEDULER = "shards", "local"
"""Where everything is written, and where work runs, unless somebody says so."""


def load(
    dataset: str | Path,
    root: str | Path = ROOT,
    *,
    catalog: str | None = None,
    catalogs: Mapping[str, str] | None = None,
    scheduler: str = SCHEDULER,
    workers: int | None = None,
) -> DatasetFolder:
    """A dataset by its recipe, and where it is made. Writes and asks nothing yet.

        made = curation.load("ssl4eo-s12-ml", "tiny", catalog="embedded")
        made.build("lower-rhine", "summer", limit=8)

    Args:
        dataset: a name under `manifests/`, or the path of a recipe.toml.
        root: a folder or URL; everything is written to `<root>/<dataset>`.
        catalog: who is asked for scenes, as `--catalog` has it; whom the recipe names where left out.
        catalogs: source (or a pattern, `s5p-*`) → who is asked for it instead, as `--catalog SOURCE=C` has it.
        scheduler: `local` (a Dask cluster on this machine for each step), `none` (this process), or an address. A script
            that starts a local cluster wants `if __name__ == "__main__":`, as with all that starts processes.
        workers: processes of a local cluster; one per core where left out.

    Raises:
        ConfigError: there is no such recipe, or it is none; or it has no source that `catalogs` names.
    """
    made = DatasetFolder(load_dataset(str(dataset)), str(root), catalog, scheduler, workers, dict(catalogs or {}))
    recipes.named(made.dataset, made.catalog, made.catalogs)  # a misspelt source is told at once
    return made


@dataclass(frozen=True, slots=True)
class DatasetFolder(
    LabelSteps,
    MendSteps,
    ExportSteps,
    ViewSteps,
    CaptionSteps,
    CardSteps,
    GraphSteps,
    EmbedSteps,
    ProbeSteps,
    PruneSteps,
    AuditSteps,
):
    """A dataset where it is made. Its steps are safe to stop (Ctrl-C, a notebook's stop) and to call again.

    Each returns what the command prints. Where the command would end with another exit code than 0 they raise what is in
    `curation.errors`: `ConfigError` for 2, another `CurationError` for 1, with the step's outcome as its `result`; those
    that take `check=False` return that instead. Regions, seasons and catalogs are told as the command's flags are, and
    messages that name a flag (`--allow-unknown-labels`) mean the argument (`allow_unknown_labels=True`).

        >>> made = curation.load("ssl4eo-s12-ml", "tiny", catalog="embedded")
        >>> built = made.build("lower-rhine", limit=2)  # print(built) says what the command says
        >>> built.failed                                # patches, which the same call tries again
        0
        >>> made.pack("lower-rhine").packed.index.splits["train"].samples > 0
        True
        >>> made.verify().found.faults                  # of every byte that was written
        []
        >>> "s2l2a_10m" in made.open_cube("lower-rhine")
        True
    """

    dataset: Dataset
    """The recipe, resolved."""
    root: str
    catalog: str | None = None
    """Who is asked; the recipe's where None."""
    scheduler: str = SCHEDULER
    workers: int | None = None
    catalogs: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Who is asked for some sources instead, by source or pattern."""

    @property
    def store(self) -> Store:
        """The dataset's folder, `<root>/<dataset>`.

        Raises:
            ConfigError: `root` is none, or nobody answers for it.
        """
        with naming("--root", self.root):
            store = Store(self.root).child(self.dataset.name)
            store.check_answers()
            return store

    @telling.shown()
    def build(
        self,
        region: str | Path = ALL,
        season: str = ALL,
        *,
        limit: int | None = None,
        refresh_search: bool = False,
        allow_unknown_labels: bool = False,
        labels: str | Path | None = None,
        run_code: bool = False,
        check: bool = True,
    ) -> BuildResult:
        """Searches scenes and builds the cubes of regions and seasons; what is settled is not built again.

        Args:
            region: a name (several: `a+b`), a bbox `W,S,E,N`, a file, or `all`.
            season: a season of the recipe, several with commas, `static`, or `all`.
            limit: only the first so many locations of each cube; the rest stays pending.
            refresh_search: ask the catalog again.
            allow_unknown_labels: go on where the catalog lacks a source of labels, or imported ones are of other places.
            labels: import these first, as `import_labels` does; or the catalog whose maps labels by season are measured on.
            run_code: execute the models that the recipe names for masks.
            check: raise where a patch failed, rather than return it.
        """
        seasons, store = selection.asked_seasons(self.dataset, season), self.store
        made, file = self._asking(store, labels)
        asked = made._asked(region)
        rows_of_file = made._rows(asked)
        with made._served() as every:
            made._check_access(every)
            made._check_writable(store)
            external = labelled.external(made.dataset, store, file, asked)
            notes = annotate.foreseen(made.dataset, every)
            for line in notes:
                log.warning("%s", line)
            notes += [*external.log_coverage(seasons, limit, or_else="" if allow_unknown_labels else labelled.GO_ON)]
            notes += external.log_pending_maps()
            searches = pipeline.searches(made.dataset, every, store)
            labelled.say_unknown(made.dataset, every, external.labels, searches.has, allowed=allow_unknown_labels)

            def keep() -> None:
                external.keep()
                if file != labels:
                    places = labelled.roots(made.dataset, store, asked, limit)
                    notes.append(foreseen.line(searches, places, seasons))
                    log.info("%s", notes[-1])

            with cluster.connect(made.scheduler, made.workers, store, every.served_url) as client:
                run = Run(made.dataset, every, store, client, limit, refresh_search)
                built = pipeline.build(run, asked, seasons, run_code=run_code, keep=keep, searches=searches)
        special = (*notes, *_special(asked, rows_of_file))
        result = BuildResult(tuple(built), store.where(paths.LEDGERS), every.label, special)
        if check:
            result.raise_for_error()
        return result

    @telling.shown()
    def estimate(
        self,
        region: str | Path = ALL,
        season: str = ALL,
        *,
        limit: int | None = None,
        allow_unknown_labels: bool = False,
        labels: str | Path | None = None,
        calibrate: bool = False,
        run_code: bool = False,
    ) -> EstimateResult:
        """What `build` would search, read and write: `--dry-run`. Asks the catalog what it has, and writes nothing.

        With `calibrate` the first ten patches of each season of the first region are built, in this process and into a
        temporary folder, and all are reckoned by what these took; `run_code` as of `build`.
        """
        from curation.report import estimate

        seasons = selection.asked_seasons(self.dataset, season)
        store = self.store
        made, file = self._asking(store, labels)
        every, asked = made._catalogs(), made._asked(region)
        rows_of_file = made._rows(asked)
        external = labelled.external(made.dataset, store, file, asked, draw=False)
        notes = external.log_coverage(seasons, limit)
        searches = pipeline.searches(made.dataset, every, store)

        def has(catalog: Catalog, collection: str) -> bool:
            return catalog.identity in EARTHS or searches.has(catalog, collection)  # which has all, and is not served

        unknown = labelled.say_unknown(made.dataset, every, external.labels, has, allowed=True)
        found = estimate.estimates(Run(made.dataset, every, store, None, limit), asked, seasons)
        flag = "labels: a build wants --allow-unknown-labels, since this catalog cannot give them"
        wants = [flag] if unknown and not allow_unknown_labels else []
        if calibrate:
            with made._served() as served:
                made._check_access(served)
                how = (made.scheduler, made.workers)
                reckoned = calibrated.lines(made.dataset, served, asked[:1], seasons, found, *how, run_code=run_code)
                notes = (*notes, *reckoned)
        notes = (*notes, *([] if file == labels else [foreseen.unknown(made.dataset, every)]))
        return EstimateResult(found, (f"Catalogs: {every.label}.", *notes, *wants, *_special(asked, rows_of_file)))

    @telling.shown()
    def locate(self, region: str | Path = ALL) -> LocateResult:
        """Draws the recipe's locations, and counts them by region."""
        store, asked = self.store, self._asked(region)
        rows_of_file = self._rows(asked)
        self._check_writable(store)
        found = selection.locations(self.dataset, store, asked)
        for key in selection.tables(self.dataset, asked):
            drawn, grown = parquet.load_grown(store, key, self.dataset)
            parquet.save(drawn, store, key, self.dataset, splits.sides(self.dataset.recipe, drawn), grown)
        split = splits.planned(self.dataset.recipe, Locations.joined(list(found.values())))
        counts = {r: Counter(map(split.of, places)) for r, places in found.items()}
        return LocateResult(counts, store.where(paths.MANIFEST), _special(asked, rows_of_file))

    @telling.shown()
    def pack(self, region: str | Path = ALL, *, run_code: bool = False, labels: str | Path | None = None) -> PackResult:
        """Makes WebDataset shards of the complete locations; index and release last.

        Args:
            region: as `build` has it.
            run_code: execute the Python code that the recipe's annotations name.
            labels: as `build` has it.

        Raises:
            UnaskedCodeError: they name some, and that is not said.
            CurationError: none is complete since the build is unfinished, or a shard could not be written.
        """
        store = self.store
        made, file = self._asking(store, labels)
        asked = made._asked(region)
        annotate.check(made.dataset, made._catalogs(), run_code=run_code)
        check_built(Run(made.dataset, made._catalogs(), store), asked)
        made._check_writable(store)
        external = labelled.ExternalLabels(made.dataset, store)
        if file is not None:
            external = labelled.external(made.dataset, store, file, asked)
            external.log_coverage(made.dataset.cube_seasons(), or_else=labelled.OTHER_FILE)
        with made._read_from() as every, cluster.connect(made.scheduler, made.workers, store) as client:
            packed = pipeline.pack(
                Run(made.dataset, every, store, client), asked, run_code=run_code, keep=external.keep
            )
        return PackResult(packed, _special(asked, rows.of(made.dataset, asked)))

    @telling.shown()
    def verify(self, *, check: bool = True) -> VerifyResult:
        """Reads every byte again, and compares it with what was recorded.

        Args:
            check: raise where something is damaged or unfinished, rather than return it.
        """
        result = VerifyResult(verify.verify(self.dataset, self.store))
        if check:
            result.raise_for_error()
        return result

    @telling.shown()
    def report(
        self, out: str | Path | None = None, *, scores: str | Path | None = None, features: str | Path | None = None
    ) -> ReportResult:
        """Draws one HTML page, written to `<root>/<dataset>/report.html` or to `out`; beside it the split as JSON.

        Args:
            out: a local file to write instead.
            scores: CSV or Parquet with columns `key` (ids of samples) and `score`, which are drawn by distance.
            features: likewise with any columns of numbers, whose variogram stands beside the buffer.
        """
        from curation.report import keyed, page
        from curation.report.splits import OwnTables

        own = OwnTables(
            None if scores is None else keyed.scores(Path(scores)),
            None if features is None else keyed.numbers(Path(features)),
        )
        return ReportResult(*page.write(self.dataset, self.store, path_of(out), own))

    @telling.shown()
    def show(
        self, patch: str, out: str | Path | None = None, *, caption: bool = False, check: bool = True
    ) -> ShowResult:
        """Draws one patch, `REGION/SEASON/ID`, written to `<ID>-<SEASON>.png` in the current folder or to `out`.

        Args:
            patch: as ledgers and logs name it.
            out: a local file to write instead.
            caption: with the captions that its sample has in the shards, and the facts that each tells.
            check: raise where something of the patch is damaged, rather than return it.
        """
        from curation.report import show

        shown = show.write(self.dataset, self.store, patch, path_of(out), caption=caption)
        result = ShowResult(shown.where, shown.png, shown.damage)
        if check:
            result.raise_for_error()
        return result

    def offers(self) -> OffersResult:
        """Which catalog offers which source, what lets one in there, and whether that is set on this machine.

        Nobody is asked: it is what `stac_queries/` and the environment say.
        """
        every = self._catalogs()
        if recipes.asks_nobody(self.dataset):
            columns = {n: ", ".join(spec.pick.place_columns) for n, spec in self.dataset.specs.items()}
            own = "files of the dataset itself, which `curate import` reads; no catalog is asked for them"
            return OffersResult(
                {n: {recipes.CHIPS: f"by column {c}"} for n, c in columns.items()}, {recipes.CHIPS: own}
            )
        known = [recipes.resolve(name, served_at="http://127.0.0.1") for name in recipes.table()]
        return OffersResult.of(self.dataset, every, list(dict.fromkeys([*known, *every.every])), recipes.unnamed())

    def open_cube(self, region: str) -> xr.Dataset:
        """The cubes of a region as one Dataset: see `curation.open_cube`."""
        return open_cube.open_cube(self.store, region)

    def open_patch(self, patch: str, arrays: Collection[str] | None = None) -> dict[str, xr.DataArray]:
        """One patch, `REGION/SEASON/ID`, as georeferenced arrays: see `curation.open_patch`."""
        return open_patch.open_patch(self.store, patch, arrays)

    def write_tifs(self, patch: str, into: str | Path) -> list[str]:
        """Paths of the GeoTIFFs of one patch, one per pixel array, written into a local folder."""
        return open_patch.write_tifs(self.store, patch, Path(into))

    def _check_writable(self, store: Store) -> None:
        with naming("--root", self.root):
            store.check_writable()

    def _asking(self, store: Store, labels: str | Path | None) -> tuple[DatasetFolder, str | Path | None]:
        """Itself, which asks whom `labels` names where that is a catalog; and what is to be imported, else."""
        apart, file = labelled.asking(self.dataset, store, labels, self.catalogs)
        return replace(self, catalogs=apart), file

    def _catalogs(self, served_at: str | None = "http://127.0.0.1") -> Catalogs:
        """Those asked for; the embedded Earth, where it is not served yet, has no true address."""
        return recipes.resolve_all(self.dataset, self.catalog, self.catalogs, served_at)

    def _read_from(self) -> contextlib.AbstractContextManager[Catalogs]:
        """Those asked for; the embedded Earth is served meanwhile where it has what annotations are read from."""
        stores = [its.spec.zarr for its in self.dataset.annotations.values() if its.spec.zarr]
        served = any(EARTHS.keys() & set(its.by_catalog) for its in stores)
        return self._served() if served else contextlib.nullcontext(self._catalogs())

    @contextlib.contextmanager
    def _served(self) -> Iterator[Catalogs]:
        """Those asked for; the embedded Earth is served meanwhile, where it is one."""
        asked = sorted(EARTHS.keys() & set(recipes.named(self.dataset, self.catalog, self.catalogs).values()))
        if not asked:
            yield self._catalogs(None)
            return
        if len(asked) > 1:
            raise ConfigError(
                f"catalogs {' and '.join(asked)}: are two Earths, of which no place has both: say one of them"
            )
        with contextlib.ExitStack() as stack:
            with Doing("embedded Earth: starting its server", often_short=True):
                url = stack.enter_context(earth.served(*asked))
            log.info("embedded Earth: %s", url)
            yield self._catalogs(url)

    def _check_access(self, every: Catalogs) -> None:
        """Passes where files can be come to, as far as this machine knows; of other machines' workers it knows nothing.

        Raises:
            NoAccessError: what lets one in where a catalog's files lie is not set here.
        """
        if self.scheduler not in cluster.LOCAL:
            return
        if missing := missing_access(self.dataset, every):
            lacking = "; ".join(f"catalog {label}: {', '.join(names)}" for label, names in missing.items())
            raise NoAccessError(
                f"{lacking}: not set here, and its files are read with it: set it, or take another catalog (`curate "
                "catalogs` has them)"
            )

    def _asked(self, region: str | Path) -> list[Region]:
        """The regions asked for; what is special about them is said before any work."""
        asked = selection.asked_regions(self.dataset, self._catalogs(), str(region))
        for its in asked:
            if its.note:
                log.info("region %s: %s", its.name, its.note)
        return asked

    def _rows(self, asked: Sequence[Region]) -> rows.Rows | None:
        """The account of a file of places, which is logged before any work; None where the recipe has none."""
        rows_of_file = rows.of(self.dataset, asked)
        if rows_of_file:
            odd = rows_of_file.dropped or rows_of_file.has_left_out
            log.log(logging.WARNING if odd else logging.INFO, "%s", rows_of_file.summary)
        return rows_of_file


def _special(asked: Sequence[Region], rows_of_file: rows.Rows | None) -> tuple[str, ...]:
    """What is to be said of regions, and of a file of places."""
    notes = [f"region {r.name}: {r.note}" for r in asked if r.note]
    return (*notes, rows_of_file.summary) if rows_of_file else tuple(notes)
