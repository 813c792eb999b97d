"""Columns of locations that no file gives: they follow from where a location is."""

from __future__ import annotations

import pyarrow as pa

from curation.places import majortom, regions, strata
from curation.places.locations import Locations
from curation.places.strata import Balance, OnRegions
from curation.recipe.dataset import Dataset
from curation.recipe.places import LEAST_KM2, MAJORTOM, STRATUM


def balance_of(dataset: Dataset) -> Balance | None:
    """What the draw of a recipe is balanced by; None where it is not. Raises as `strata.read` does."""
    places, where = dataset.recipe.places, f"{dataset.path}: [places.balance]"
    spec = places.balance
    if spec is None:
        return None
    classes = None
    if spec.file:
        path = spec.path(dataset.path)
        classes = strata.read(path, spec, f"{where} {path}")
    elif spec.domain:
        classes = strata.of_climates(spec, f"{where} domain = {spec.domain!r}")
    if not spec.by_region:
        return classes
    known = regions.of_recipe(dataset.path, places.regions)
    return strata.on_regions(classes, known, spec.least_km2 or LEAST_KM2, where)


def added(dataset: Dataset, locations: Locations, balance: Balance | None) -> Locations:
    """The locations, children among them, with the columns that the recipe wants made; `balance` is `balance_of` it."""
    by = balance.strata if isinstance(balance, OnRegions) else balance
    lon, lat = locations.column("lon"), locations.column("lat")
    made = {
        MAJORTOM: lambda: pa.array(majortom.ids(lon, lat), pa.string()),
        STRATUM: lambda: by.labels(lon, lat) if by else pa.array([], pa.int64()),
    }
    table = locations.table
    for name in dataset.recipe.places.made_columns:
        table = table.append_column(name, made[name]())
    return Locations(table)
