"""The split block of a place: a square of so many degrees of latitude, as the rule `blocks` has them."""

from curation.pack.domains.domain import Domain, Texts
from curation.places.domains import block
from curation.places.grids import Floats
from curation.recipe.domains import spec_of
from curation.recipe.schema import Recipe


def _of(lon: Floats, lat: Floats, recipe: Recipe) -> Texts:
    return block.names(lon, lat, spec_of(recipe).block_deg)


DOMAIN = Domain("Split block, by band and column", of_places=_of)
