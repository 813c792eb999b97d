"""The DataCite record of a release, as its REST API and registration forms take it: the attributes of schema 4.

Mandatory are identifier, creators, titles, publisher, publicationYear and resourceType (DataCite Metadata Schema 4.5). An
identifier is registered by a publisher and never made up: what nobody has said is left out, and `CardSpec.missing` says so.
"""

from __future__ import annotations

from typing import Any

from curation.model import iso
from curation.pack.card.facts import CardFacts, spdx_url
from curation.recipe.card import CreatorSpec

SCHEMA = "http://datacite.org/schema/kernel-4"


def datacite(facts: CardFacts) -> dict[str, Any]:
    """The record."""
    spec = facts.spec
    shards = [s.entry for s in facts.shards]
    said: dict[str, Any] = {
        "doi": spec.doi,
        "identifiers": [{"identifier": spec.identifier, "identifierType": "URL"}]
        if spec.identifier and not spec.doi
        else [],
        "url": spec.url,
        "creators": [_creator(c) for c in spec.creators],
        "publisher": spec.publisher,
        "publicationYear": spec.published.year if spec.published else None,
        "version": spec.version,
        "subjects": [{"subject": k} for k in facts.keywords],
        "dates": _dates(facts),
    }
    return {
        "schemaVersion": SCHEMA,
        "titles": [{"title": facts.title}],
        "types": {"resourceTypeGeneral": "Dataset", "resourceType": "Dataset"},
        "descriptions": [{"description": facts.description, "descriptionType": "Abstract"}],
        "geoLocations": [{"geoLocationBox": _box(facts)}],
        "relatedIdentifiers": [_derived_from(s.about) for s in facts.credited if s.about and s.is_observed],
        "rightsList": _rights(facts),
        "sizes": [f"{sum(s.size for s in shards)} bytes", f"{sum(s.samples for s in shards)} samples"],
        "formats": ["application/x-tar"],
        **{key: value for key, value in said.items() if value},
    }


def _creator(creator: CreatorSpec) -> dict[str, Any]:
    out: dict[str, Any] = {"name": creator.name, "nameType": "Personal" if creator.is_person else "Organizational"}
    if creator.orcid:
        scheme = {"nameIdentifierScheme": "ORCID", "schemeUri": "https://orcid.org"}
        out["nameIdentifiers"] = [{"nameIdentifier": f"https://orcid.org/{creator.orcid}", **scheme}]
    return out | ({"affiliation": [{"name": creator.affiliation}]} if creator.affiliation else {})


def _dates(facts: CardFacts) -> list[dict[str, str]]:
    published, span = facts.spec.published, facts.interval
    out = [{"date": published.isoformat(), "dateType": "Issued"}] if published else []
    return out + ([{"date": "/".join(map(iso, span)), "dateType": "Collected"}] if span else [])


def _box(facts: CardFacts) -> dict[str, float]:
    """In the schema's order: west, east, south, north."""
    west, south, east, north = facts.box
    return {
        "westBoundLongitude": west,
        "eastBoundLongitude": east,
        "southBoundLatitude": south,
        "northBoundLatitude": north,
    }


def _derived_from(url: str) -> dict[str, str]:
    doi = url.removeprefix("https://doi.org/")
    kind = "DOI" if doi != url else "URL"
    return {"relatedIdentifier": doi, "relatedIdentifierType": kind, "relationType": "IsDerivedFrom"}


def _rights(facts: CardFacts) -> list[dict[str, str]]:
    """The publisher's, then those of each source, and of what captions and domains tell of."""
    own = facts.spec.licence
    out = [{"rights": own, "rightsUri": spdx_url(own)}] if own else []
    for source in facts.credited:
        its = {"rights": f"{source.title}: {source.licence}"}
        if source.terms:
            its["rightsUri"] = source.terms.url
            its |= (
                {"rightsIdentifier": source.terms.spdx, "rightsIdentifierScheme": "SPDX"} if source.terms.spdx else {}
            )
        out.append(its)
    return out
