"""What captions and domains owe: whom to name of tables that they tell of, beside the sources of pixels. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from curation.format.index import Index
from curation.recipe import atlas
from curation.recipe.licences import LicenceSpec, licences

TERMS = {atlas.CITY_NAMES.file: "geonames", atlas.CLIMATE.file: "koppen-geiger"}
"""Table of the atlas that captions or domains tell of → its terms. Makers of the others (land, countries) ask for none."""


DOMAINS = {"climate_zone": atlas.CLIMATE.file}
"""Domain → the table that tells it, of those that somebody wants to be named for."""


def owed(
    index: Index, annotations: Collection[str] | None = None, *, domains: bool = True
) -> Mapping[str, LicenceSpec]:
    """Name → terms of what built-in captions and domains of a release tell of; empty of one without any.

    By what the index says was read of each: of a function of the user's own it says nothing, and nothing is known.

    Args:
        index: of the release.
        annotations: those that are asked for; all where None.
        domains: whether columns of domains are among what is asked for.
    """
    names = set(index.annotations) if annotations is None else set(annotations) & set(index.annotations)
    read = [its for name, its in index.counts.get("read", {}).items() if name in names]
    tables = {table for its in read for table in its.get("atlas", ())}
    tables |= {table for domain, table in DOMAINS.items() if domains and domain in index.domains}
    return {name: licences()[name] for table, name in TERMS.items() if table in tables}


def with_owed(licence: str, of: Mapping[str, LicenceSpec]) -> str:
    """A licence in words, and after it whom else to name."""
    return "; ".join([licence, *(its.attribution for its in of.values())])
