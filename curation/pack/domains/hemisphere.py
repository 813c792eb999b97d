"""The hemisphere of a place."""

from curation.pack.domains.domain import Domain, Texts
from curation.places.domains import hemisphere
from curation.places.grids import Floats
from curation.recipe.schema import Recipe


def _of(_lon: Floats, lat: Floats, _recipe: Recipe) -> Texts:
    return hemisphere.find(lat)


DOMAIN = Domain("Hemisphere", of_places=_of, values=lambda _: (hemisphere.NORTH, hemisphere.SOUTH))
