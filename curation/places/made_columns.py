"""Columns of locations that no file gives: they follow from where a location is."""

from __future__ import annotations

import pyarrow as pa

from curation.places import majortom, strata
from curation.places.locations import Locations
from curation.places.strata import Strata
from curation.recipe.dataset import Dataset
from curation.recipe.places import MAJORTOM, STRATUM


def strata_of(dataset: Dataset) -> Strata | None:
    """What the draw of a recipe is balanced by; None where it is not. Raises as `strata.read` does."""
    spec = dataset.recipe.places.balance
    if spec is None:
        return None
    path = spec.path(dataset.path)
    return strata.read(path, spec, f"{dataset.path}: [places.balance] {path}")


def added(dataset: Dataset, locations: Locations, by: Strata | None) -> Locations:
    """The locations, children among them, with the columns that the recipe wants made; `by` is `strata_of` it."""
    lon, lat = locations.column("lon"), locations.column("lat")
    made = {
        MAJORTOM: lambda: pa.array(majortom.ids(lon, lat), pa.string()),
        STRATUM: lambda: pa.array(by.of(lon, lat) if by else [], pa.int64()),
    }
    table = locations.table
    for name in dataset.recipe.places.made_columns:
        table = table.append_column(name, made[name]())
    return Locations(table)
