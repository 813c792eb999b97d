"""The continent of a place."""

from curation.pack.domains.domain import Domain, Texts, why_not
from curation.places.domains import country
from curation.places.grids import Floats
from curation.recipe.schema import Recipe


def _of(lon: Floats, lat: Floats, _recipe: Recipe) -> Texts:
    its = country.find(lon, lat)
    return why_not(its.continent, its.continent_outcome)


DOMAIN = Domain("Continent", of_places=_of, values=lambda _: country.continents())
