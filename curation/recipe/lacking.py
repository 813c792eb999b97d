"""What catalogs that are asked lack, before anything is searched: sources of labels, and what lets one in."""

from __future__ import annotations

from collections.abc import Callable

from curation.errors import ConfigError
from curation.recipe.catalogs import Catalog, Catalogs
from curation.recipe.dataset import Dataset


def missing_access(dataset: Dataset, catalogs: Catalogs) -> dict[str, list[str]]:
    """Public catalog, by its label → what is not set here of what lets one in where its files lie: names of variables.

    Of a catalog of one's own it is not known where its hrefs lead; whoever reads them is told.
    """
    found: dict[str, list[str]] = {}
    for name, spec in dataset.specs.items():
        catalog = catalogs.of(name)
        for access in () if catalog.own else catalog.access_of(spec).values():
            found.setdefault(catalog.label, []).extend(access.missing())
    return {label: list(dict.fromkeys(names)) for label, names in found.items() if names}


def missing_labels(dataset: Dataset, catalogs: Catalogs, has: Callable[[Catalog, str], bool]) -> list[str]:
    """The recipe's label sources that the catalogs asked for them do not have.

    Args:
        dataset: the recipe.
        catalogs: who is asked.
        has: whether a catalog answered to have a collection, by its id.

    Raises:
        ConfigError: one lacks a source that is no label source.
    """
    labels = {dataset.recipe.labels.annual, dataset.recipe.labels.seasonal} - {None}
    missing = []
    for name, spec in dataset.specs.items():
        catalog = catalogs.of(name)
        if not spec.pick.searches:
            continue
        form = catalog.form_of(spec)
        if form is not None and has(catalog, form.collection):
            continue
        if name in labels and not dataset.recipe.sources[name].required:
            missing.append(name)
            continue
        wanted = form.what if form else "no form of it in the source's file"
        raise ConfigError(
            f"catalog {catalog.label}: has no {spec.title!r} (source {name!r}: {wanted}); forms exist for: "
            f"{', '.join(sorted(spec.catalogs))}. Choose another catalog for it (--catalog {name}=…), or take the source "
            "out of the recipe"
        )
    return missing
