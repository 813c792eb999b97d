"""Where labels come from: a file or folder that is imported, or maps of a catalog, and what that catalog lacks."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from curation.api.results import MapsResult
from curation.cubes import selection
from curation.errors import ConfigError
from curation.errors.words import counted
from curation.pack.labels import coverage, earthengine, importing, made, model
from curation.pack.labels import imported as imported_labels
from curation.pack.labels.earthengine import EarthEngine
from curation.pack.labels.imported import Imported
from curation.pack.labels.making import Way
from curation.pack.labels.model import ByModel
from curation.places.locations import Locations
from curation.places.regions import Region
from curation.recipe.catalogs import Catalog, Catalogs
from curation.recipe.dataset import Dataset
from curation.recipe.lacking import missing_labels
from curation.store import paths
from curation.store.objects import Store
from curation.work import cluster
from curation.work.run import Run

log = logging.getLogger(__name__)

OTHER_FILE = "nothing of it is kept; give a file of these places, or the region that it is of"
GO_ON = "give a file of these places, do without (`curate labels remove`), or say --allow-unknown-labels to go on"
"""What to do where imported labels label nothing."""
AGAIN = (
    "run `curate labels earthengine` or `curate labels model` again after the build, which makes those of what is new"
)


def asking(
    dataset: Dataset, store: Store, labels: str | Path | None, apart: Mapping[str, str]
) -> tuple[Mapping[str, str], str | Path | None]:
    """Source → who is asked for it, with the catalog that `labels` names if it is one; and what is to be imported, else.

    Raises:
        ConfigError: `labels` is neither, or such a catalog cannot be asked for labels.
    """
    if labels is None or not importing.is_catalog(labels):
        return apart, labels
    return importing.asked_too(dataset, store, str(labels), apart), None


@dataclass(frozen=True, slots=True)
class ExternalLabels:
    """Imported labels before any work: those of what somebody names now, of which nothing is kept yet, or from before."""

    dataset: Dataset
    store: Store
    labels: Imported | None = None
    roots: Sequence[Locations] = ()
    """The locations asked for, region by region, without children."""

    def log_coverage(self, seasons: Sequence[str], limit: int | None = None, *, or_else: str = "") -> tuple[str, ...]:
        """What is to be said of them, which is logged.

        Args:
            seasons: those asked for.
            limit: only the first so many locations of each region are to be built.
            or_else: what to do where nothing at all that is asked for, whatever the limit, can be labelled by them.

        Raises:
            ConfigError: nothing can be, and it is said what to do then.
        """
        if self.labels is None:
            return ()
        stated = coverage.coverage(self.labels, self.dataset, Locations.joined(self.roots), seasons)
        if or_else and stated.fault and not self.labels.record.made_by:  # maps made here are of what was built before
            raise ConfigError(
                f"{stated.fault}. All labels from {self.labels.record.source} would be unknown: {or_else}"
            )
        if limit is not None:
            few = Locations.joined([its[:limit] for its in self.roots])
            stated = coverage.coverage(self.labels, self.dataset, few, seasons)
        log.info("%s", stated.summary)
        return (stated.summary,)

    def log_pending_maps(self) -> tuple[str, ...]:
        """That maps are to be made of what it builds, where labels are of maps that were made here; which is logged."""
        if self.labels is None or not self.labels.record.made_by:
            return ()
        line = f"labels: from maps made here, by {self.labels.record.file}: {AGAIN}"
        log.info("%s", line)
        return (line,)

    def keep(self) -> None:
        """Keeps them as the dataset's, in place of those before; from now on shards are packed with them."""
        if self.labels is not None:
            importing.keep(self.dataset, self.store, self.labels, Locations.joined(self.roots))


def external(
    dataset: Dataset, store: Store, path: str | Path | None, asked: Sequence[Region], *, draw: bool = True
) -> ExternalLabels:
    """The labels of a file or folder, or, where none is named, those that were imported before; if there are any.

    Args:
        dataset: the recipe.
        store: the dataset's folder.
        path: what somebody names.
        asked: the regions asked for.
        draw: whether a draw that is made for them is kept.

    Raises:
        ConfigError: it is nothing to import, or cannot be read without doubt.
        DamageError: what was imported is not what was recorded.
    """
    if path is not None:
        importing.check(path)
    elif store.head(paths.LABELS_RECORD) is None:
        return ExternalLabels(dataset, store)
    found = selection.locations(dataset, store, asked, keep=draw)
    roots = [p for folder, p in found.items() if not dataset.level_of(folder).level]
    if path is None:
        labels = imported_labels.load(store, dataset)
    else:
        labels = importing.take_in(dataset, store, path, Locations.joined(roots))
    return ExternalLabels(dataset, store, labels, roots)


def by_earthengine(dataset: Dataset, project: str, endpoint: str, *, on_this_machine: bool) -> EarthEngine:
    """Earth Engine, for a recipe's labels by season.

    Args:
        dataset: the recipe.
        project: the Cloud project that requests count for.
        endpoint: of the REST API.
        on_this_machine: whether it is this machine that asks, which then must have an account.

    Raises:
        ConfigError: there is none, the extra is not installed, or the recipe makes no such labels.
    """
    source = importing.source_of_images(dataset, "labels earthengine")
    legend = imported_labels.legend_digest(dataset, source)
    way = earthengine.of(dataset, source, legend, project, endpoint)
    if on_this_machine:
        earthengine.check_account(project)
    return way


def by_model(
    dataset: Dataset, path: Path, source: str | None, constants: Path | None, *, dry: bool
) -> tuple[ByModel, bytes]:
    """A model for a recipe's labels by season, and its file. Arguments and errors as of `model.of`."""
    labels = importing.source_of_images(dataset, "labels model")
    legend = imported_labels.legend_digest(dataset, labels)
    return model.of(dataset, labels, legend, path, source, constants, dry=dry)


def make_maps(
    run: Run, way: Way, asked: Sequence[Region], work: tuple[str, int | None], file: bytes = b"", *, dry: bool
) -> MapsResult:
    """What making maps came to, whose labels are then the dataset's; or what that would be.

    Args:
        run: of this process.
        way: of making them.
        asked: the regions.
        work: the scheduler, and how many processes of a local cluster; used only where there is something to do.
        file: the model's, where one makes them: put where workers find it.
        dry: only say what would be done.

    Raises:
        ConfigError: nothing is built there; or who makes them cannot be reached from this machine, where its workers are.
        CurationError: everything fails.
    """
    plan = made.planned(run, asked, way, importing.source_of_images(run.dataset, way.title))
    todo = f"{counted(plan.todo, 'map')} of {counted(plan.images, 'image')} to make"
    summary = f"{way.title}: {todo}, {len(plan.known)} are settled"
    if plan.others:
        summary += f"; {counted(plan.others, 'patch')} of other regions have none"
    log.info("labels: %s", summary)
    if dry:
        return MapsResult(Counter(), (summary, *way.costs(plan)), "", "")
    outcomes = list(plan.known)
    if plan.jobs:
        if work[0] in cluster.LOCAL:
            way.check_there()
        if file:
            run.store.publish(paths.maps_model(way.key), file)
        with cluster.connect(*work, run.store) as client:
            outcomes = made.made(replace(run, client=client), plan, f"labels: {way.title}")
    lines: tuple[str, ...] = ()
    if any(not o.failed for o in outcomes):
        places = selection.of_cubes(run.dataset, run.store, plan.folders)
        its = ExternalLabels(run.dataset, run.store, importing.of_maps(run.dataset, way, outcomes), [places])
        lines = its.log_coverage(run.dataset.cube_seasons())
        its.keep()
    return MapsResult(Counter(o.label for o in outcomes), lines, run.store.where(paths.MAPS), made.causes(outcomes))


def roots(dataset: Dataset, store: Store, asked: Sequence[Region], limit: int | None) -> Locations:
    """The locations that a build is asked for, without children."""
    found = selection.locations(dataset, store, asked)
    return Locations.joined([p[:limit] for folder, p in found.items() if not dataset.level_of(folder).level])


def say_unknown(
    dataset: Dataset, every: Catalogs, imported: Imported | None, has: Callable[[Catalog, str], bool], *, allowed: bool
) -> bool:
    """Whether a catalog lacks a source of labels that are not imported; which, and what supplies them, is logged.

    Args:
        dataset: the recipe.
        every: who is asked.
        imported: imported labels.
        has: whether a catalog has a collection.
        allowed: whether a catalog may lack them.

    Raises:
        ConfigError: it does, and that is not allowed; or a catalog cannot be read, or lacks another source.
    """
    missing = [
        name for name in missing_labels(dataset, every, has) if imported is None or name != imported.record.source
    ]
    for name in missing:
        spec = dataset.specs[name]
        forms = sorted(set(spec.catalogs) - {"*"})
        supply = (
            f"{', '.join(forms)} have it"
            if forms
            else "a file of labels or a STAC catalog of your own with such maps (--labels), or the embedded Earth"
        )
        log.warning(
            "labels: catalog %s has no %s, so labels from it will be unknown; what supplies them: %s",
            every.of(name).label,
            spec.title,
            supply,
        )
    if missing and not allowed:
        raise ConfigError(
            f"catalog {', '.join(c.label for c in every.distinct(missing))}: cannot give labels from "
            f"{', '.join(missing)}; take another catalog (--catalog {missing[0]}=… for it alone), give a file of labels "
            "with --labels, or say --allow-unknown-labels to go on with these labels unknown"
        )
    return bool(missing)
