"""Where labels come from: a file or folder that is imported, or maps of a catalog, and what that catalog lacks."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from curation.errors import ConfigError
from curation.pack.labels import importing
from curation.pack.labels.imported import Imported
from curation.recipe import catalogs as recipes
from curation.recipe.catalogs import Catalog, Catalogs
from curation.recipe.dataset import Dataset
from curation.scenes.saved import opened
from curation.store.objects import Store

log = logging.getLogger(__name__)


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


def untold(dataset: Dataset, every: Catalogs) -> str:
    """What is to be said before a build of labels by season that are measured on maps of a catalog."""
    source = str(dataset.recipe.labels.seasonal)
    return (
        f"labels: {source} of catalog {every.of(source).label}: what share of patches its maps can label is not known "
        "before scenes are searched and read; `curate report` counts it afterwards"
    )


def say_unknown(dataset: Dataset, every: Catalogs, given: Imported | None, *, allowed: bool, but: str = "") -> bool:
    """Whether a catalog lacks a source of labels that are not given; which, and what supplies them, is logged.

    Args:
        dataset: the recipe.
        every: who is asked.
        given: imported labels.
        allowed: whether a catalog may lack them.
        but: identity of a catalog that is not asked, since it has all.

    Raises:
        ConfigError: it does, and that is not allowed; or a catalog cannot be read, or lacks another source.
    """
    missing = [
        name
        for name in recipes.missing_labels(dataset, every, _has(but))
        if given is None or name != given.record.source
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


def _has(but: str) -> Callable[[Catalog, str], bool]:
    """Whether a catalog has a collection: each is asked once for all of them. One, by its identity, has all unasked."""
    collections = functools.cache(lambda catalog: opened(catalog).collections())
    return lambda catalog, name: catalog.identity == but or name in collections(catalog)
