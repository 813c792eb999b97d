"""The seasons that a sample has, of whatever source."""

from curation.pack.domains.domain import Domain

DOMAIN = Domain("Season", of_patch=lambda patch: [patch.season], of_any=True, values=lambda recipe: recipe.seasons)
