"""The country of a place: ISO 3166-1 alpha-3."""

from curation.pack.domains.domain import Domain, Texts, why_not
from curation.places.domains import country
from curation.places.grids import Floats
from curation.recipe.schema import Recipe


def _of(lon: Floats, lat: Floats, _recipe: Recipe) -> Texts:
    its = country.find(lon, lat)
    return why_not(its.iso_a3, its.outcome)


DOMAIN = Domain("Country, ISO 3166-1 alpha-3", of_places=_of, values=lambda _: country.codes())
