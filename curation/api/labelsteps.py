"""The steps of a dataset that take labels, and make maps of them: part of what `curation.load` gives."""

from __future__ import annotations

from pathlib import Path

from curation.api import labelled
from curation.api.results import LabelsResult, MapsResult
from curation.api.steps import Steps
from curation.pack.labels import importing
from curation.pack.labels.earthengine import ENDPOINT as ENDPOINT
from curation.pack.labels.making import Way
from curation.places.regions import ALL
from curation.store import paths
from curation.work import cluster, telling
from curation.work.run import Run


class LabelSteps(Steps):
    """What `curate labels` does."""

    __slots__ = ()

    @telling.shown()
    def import_labels(self, path: str | Path, region: str | Path = ALL) -> LabelsResult:
        """Takes labels from a file or a folder of class maps; shards that are packed from then on have them.

        Args:
            path: JSON `{location id: {Sentinel-2 id: [class, …]}}`, a CSV or Parquet table, or a folder of GeoTIFFs named by
                their Sentinel-2 images: see `manifests/README.md`.
            region: as `build` has it: where maps are measured, and of what locations the share is told.

        Raises:
            ConfigError: it is none of these, cannot be read without doubt, or labels nothing here; nothing is kept then.
        """
        store, asked = self.store, self._asked(region)
        self._check_writable(store)
        external = labelled.external(self.dataset, store, path, asked)
        summary = external.log_coverage(self.dataset.cube_seasons(), or_else=labelled.OTHER_FILE)
        external.keep()
        return LabelsResult(summary, store.where(paths.LABELS))

    @telling.shown()
    def labels_of_earthengine(
        self,
        region: str | Path = ALL,
        *,
        project: str = "",
        endpoint: str = ENDPOINT,
        dry_run: bool = False,
        check: bool = True,
    ) -> MapsResult:
        """Takes labels from Dynamic World at Earth Engine, of the images that patches were built of.

        Maps are kept below `maps/` of the dataset: none is asked for twice. Never run against the real service.

        Args:
            region: as `build` has it: where maps are made. Labels of maps of other regions stay.
            project: the Cloud project that requests count for; that of the credentials where left out.
            endpoint: URL of the REST API.
            dry_run: only say what would be asked for.
            check: raise where a map failed, rather than return it.

        Raises:
            ConfigError: there is no account here, where it is this machine that asks; the extra `earthengine` is not
                installed; or nothing is built.
        """
        on_this_machine = not dry_run and self.scheduler in cluster.LOCAL
        way = labelled.by_earthengine(self.dataset, project, endpoint, on_this_machine=on_this_machine)
        return self._labels_made(way, region, b"", dry_run, check)

    @telling.shown()
    def labels_by_model(
        self,
        path: str | Path,
        region: str | Path = ALL,
        *,
        source: str | None = None,
        constants: str | Path | None = None,
        dry_run: bool = False,
        check: bool = True,
    ) -> MapsResult:
        """Takes labels from a model of Dynamic World's form, of the pixels that are stored of each patch.

        Args:
            path: an ONNX or TorchScript file. **It is executed**: a file of somebody else's is a program of his.
            region: as `build` has it: where maps are made. Labels of maps of other regions stay.
            source: whose nine bands the model is given; where left out, the one that is of the acquisition that labels are
                of, beside the source that these are measured for.
            constants: a JSON file of exact constants; the rounded ones of `curation.pack.labels.model` where left out.
            dry_run: only say what would be made; the file is not executed, so that nobody knows whether it is such a model.
            check: raise where a map failed, rather than return it.

        Raises:
            ConfigError: it is no such model, or the recipe makes no such source.
        """
        exact = None if constants is None else Path(constants)
        way, file = labelled.by_model(self.dataset, Path(path), source, exact, dry=dry_run)
        return self._labels_made(way, region, file, dry_run, check)

    def _labels_made(self, way: Way, region: str | Path, file: bytes, dry_run: bool, check: bool) -> MapsResult:
        run, work = Run(self.dataset, self._catalogs(), self.store), (self.scheduler, self.workers)
        if not dry_run:
            self._check_writable(run.store)
        result = labelled.make_maps(run, way, self._asked(region), work, file, dry=dry_run)
        if check:
            result.raise_for_error()
        return result

    @telling.shown()
    def remove_labels(self) -> LabelsResult:
        """Does without imported labels from now on."""
        count = importing.remove(self.store)
        what = "removed; shards follow when they are packed" if count else "there were no imported labels"
        return LabelsResult((f"labels: {what}",), self.store.where(paths.LABELS))
