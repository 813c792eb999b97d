"""The climate zone of a place after Köppen and Geiger."""

from curation.pack.domains.domain import Domain, Texts, why_not
from curation.places.domains import climate
from curation.places.grids import Floats
from curation.recipe.schema import Recipe


def _of(lon: Floats, lat: Floats, _recipe: Recipe) -> Texts:
    its = climate.find(lon, lat)
    return why_not(its.zone, its.outcome)


DOMAIN = Domain("Climate zone after Köppen and Geiger", of_places=_of, values=lambda _: climate.ZONES)
