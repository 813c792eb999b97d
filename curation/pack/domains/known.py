"""All domains, and what places are told of those that follow from where they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from curation.format.names import DOMAIN
from curation.pack.domains import (
    climate_zone,
    continent,
    country,
    elevation_band,
    hemisphere,
    orbit_direction,
    platform,
    processing_baseline,
    season,
    split_block,
    year,
)
from curation.pack.domains.domain import BETWEEN, UNKNOWN, WHY, Domain, Texts
from curation.places.domains import polygons
from curation.places.grids import Floats
from curation.places.locations import Locations
from curation.recipe.domains import spec_of
from curation.recipe.schema import Recipe

DOMAINS: Mapping[str, Domain] = {
    "country": country.DOMAIN,
    "continent": continent.DOMAIN,
    "climate_zone": climate_zone.DOMAIN,
    "hemisphere": hemisphere.DOMAIN,
    "split_block": split_block.DOMAIN,
    "elevation_band": elevation_band.DOMAIN,
    "season": season.DOMAIN,
    "year": year.DOMAIN,
    "platform": platform.DOMAIN,
    "orbit_direction": orbit_direction.DOMAIN,
    "processing_baseline": processing_baseline.DOMAIN,
}
"""A new domain is a file here, a line here, and its name in `recipe/domains.py`."""


def seasons_column(name: str) -> str:
    """The column of places that tells a domain of each of their seasons: lists of text."""
    return f"{DOMAIN}{name}_by_season"


def values(name: str, recipe: Recipe) -> tuple[str, ...] | None:
    """All values that a domain can have; None where nobody knows them before something is built, or a file is read."""
    its = DOMAINS.get(name)
    return None if its is None or its.values is None else tuple(its.values(recipe))


def values_of_file(name: str, recipe: Recipe, path: Path) -> tuple[str, ...] | None:
    """All values of a domain that a file of the user's tells, sorted; None of others. Raises as `of_file` does."""
    if (spec := spec_of(recipe).files.get(name)) is None:
        return None
    file = spec.path(path, name)
    return tuple(sorted(map(_as_value, polygons.values(file, spec.column, f"{path}: [domains.files.{name}] {file}"))))


def _as_value(text: str) -> str:
    """What a file says, as a value: nothing in it means that it is not told, or that it is several."""
    return text.replace(BETWEEN, "/").lstrip(WHY)


def of_places(name: str, places: Locations, recipe: Recipe) -> Texts | None:
    """A domain of places, as a column of theirs tells it, or by where they are; None where only what is built would tell."""
    if (column := f"{DOMAIN}{name}") in places.table.schema.names:
        return places.column(column).astype(str)
    known = DOMAINS.get(name)
    if known is None or known.of_places is None:
        return None
    return known.of_places(places.column("lon"), places.column("lat"), recipe).astype(str)


def of_file(name: str, lon: Floats, lat: Floats, recipe: Recipe, path: Path) -> Texts:
    """A domain that a file of the user's tells, of points in degrees: that of the polygon which holds each.

    A point that several hold is of all of their values.

    Args:
        name: of the domain.
        lon: degrees, -180 <= lon <= 180.
        lat: degrees.
        recipe: whose domain it is.
        path: of the recipe.

    Raises:
        ConfigError: the file cannot be read, has no such column or no CRS, or holds other shapes than polygons.
    """
    spec = spec_of(recipe).files[name]
    where = f"{path}: [domains.files.{name}] {spec.path(path, name)}"
    found = polygons.find(spec.path(path, name), spec.column, lon, lat, where)
    return np.array([joined(map(_as_value, its)) for its in found], str)


def joined(values: Iterable[str]) -> str:
    """One text of what may be several values, `UNKNOWN` of none."""
    return BETWEEN.join(sorted({*values})) or UNKNOWN
