"""Which seasons samples have where the split tells these apart, and what that leaves of what is told of samples. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from curation.cubes.complete import Standing
from curation.model import STATIC
from curation.pack import split as splits
from curation.pack.domains import known
from curation.pack.domains.domain import BETWEEN, is_value
from curation.places.locations import Locations
from curation.recipe.schema import Recipe

SeasonTexts = Mapping[str, Mapping[str, Mapping[str, str]]]
"""Domain → id of a root → season → what is told."""


@dataclass(frozen=True, slots=True)
class SeasonParts:
    """What a rule says of seasons that tells them apart by a domain."""

    domain: str
    texts: SeasonTexts

    @classmethod
    def of(cls, recipe: Recipe, texts: SeasonTexts | None) -> SeasonParts | None:
        """That of a recipe; None where its samples have all of their seasons."""
        domain = splits.season_domain(recipe)
        return None if domain is None else cls(domain, texts or {})

    def with_column(self, roots: Locations) -> Locations:
        """Roots with what is told of each of their seasons, as the rule looks at it."""
        of = self.texts.get(self.domain, {})
        texts = [[*of.get(name, {}).values()] for name in roots.column("id").tolist()]
        column = pa.array(texts, pa.list_(pa.string()))
        return Locations(roots.table.append_column(known.seasons_column(self.domain), column))

    def seasons(self, recipe: Recipe, sides: Mapping[str, str]) -> dict[str, set[str]]:
        """Id of each root that is of a part → the seasons that it has as a sample."""
        of = self.texts.get(self.domain, {})
        return {
            name: splits.seasons_of(recipe, side, of.get(name, {}))
            for name, side in sides.items()
            if side in recipe.split.parts
        }

    def domains(
        self, places: Mapping[str, Mapping[str, str]], stay: Mapping[str, set[str]]
    ) -> dict[str, Mapping[str, str]]:
        """What samples are of with those seasons alone: domain → id → text; of other places as it was."""
        return {
            name: {
                i: self._of_seasons(name, i, stay[i]) if i in stay and name in self.texts else v for i, v in of.items()
            }
            for name, of in places.items()
        }

    def _of_seasons(self, domain: str, name: str, seasons: set[str]) -> str:
        texts = [text for season, text in self.texts[domain].get(name, {}).items() if season in seasons]
        return known.joined(v for text in texts if is_value(text) for v in text.split(BETWEEN))


def without_others(found: Sequence[Standing], stay: Mapping[str, set[str]]) -> list[Standing]:
    """Standings of roots with the patches of those seasons alone that they have as samples, and what is static."""
    return [
        dataclasses.replace(
            one, have={s: o for s, o in one.have.items() if s == STATIC or s in stay.get(one.location.id, one.have)}
        )
        for one in found
    ]
