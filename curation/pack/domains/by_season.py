"""What rules that leave out values of a domain have in common where a sample's seasons may be of different ones. Pure.

A sample has one place and several seasons. Where these are told apart, a place is of one part, as always, and of its seasons
it has in the shards those alone that may be in that part: train none that is left out, test no other. So both the ground and
the seasons of test are new to whoever learnt from train; and no two parts have ground in common, in whatever season.
"""

from __future__ import annotations

from abc import ABC
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from curation.pack.domains import known
from curation.pack.domains.domain import BETWEEN, Texts, is_value
from curation.pack.domains.rule import DomainRule
from curation.pack.sides import NO_DOMAIN, TWO_DOMAINS
from curation.places.domains import block
from curation.places.locations import Locations
from curation.recipe.domains import OF_SEASONS, SEASON
from curation.recipe.schema import Recipe

TEST_FRACTION = 0.2
"""Share of blocks, where the recipe says none: as many are held out where a fifth of all is, which is usual."""


class BySeason(DomainRule, ABC):
    """A rule that leaves out values of one domain: of whole samples, or of each season of them by itself."""

    by_season: bool | None = Field(default=None, exclude_if=lambda value: value is None)
    """Whether each season of a sample is of a value by itself, so that parts have samples with those seasons alone that they
    may have; where left out: where the domain is `season`. Else a sample of values of two parts is of none."""
    test_fraction: float | None = Field(default=None, gt=0, lt=0.5, exclude_if=lambda value: value is None)
    """By season: the share of split blocks whose places are test, and as many that are of each other part which values are
    left out for. Where left out: `TEST_FRACTION`."""
    block_deg: float = Field(default=1.0, gt=0, le=30)
    """Side of split blocks, degrees of latitude."""

    @property
    def apart_by_season(self) -> bool:
        """Whether a sample's seasons are told apart."""
        return self.domain == SEASON if self.by_season is None else self.by_season

    @property
    def season_domain(self) -> str | None:
        """The domain, where a sample's seasons are told apart."""
        return self.domain if self.apart_by_season else None

    def check(self, recipe: Any) -> None:
        """As of any rule by a domain; and that seasons tell it, and are no children's. Raises ValueError otherwise."""
        super().check(recipe)
        if not self.apart_by_season:
            if self.test_fraction is not None:
                raise ValueError(
                    "split.test_fraction goes with by_season = true (and the domain 'season'); leave it out"
                )
            return
        if self.domain not in OF_SEASONS:
            raise ValueError(
                f"split.by_season: {self.domain!r} is the same in all seasons of a place; expected one of "
                f"{', '.join(OF_SEASONS)}, or by_season left out"
            )
        if recipe.children is not None:
            raise ValueError(
                "split.by_season: seasons of cells with [children] cannot be told apart so far; leave out whole samples "
                "(by_season = false, by a domain that each has one value of)"
            )

    def keeps(self, part: str, text: str) -> bool:
        """Whether samples of a part have a season of which this is told.

        A part that values are left out for has what is of these alone, another what is of none of them.
        """
        if not is_value(text):
            return False
        values = {*text.split(BETWEEN)}
        if (own := self.left_out.get(part)) is not None:
            return values <= {*own}
        return values.isdisjoint(value for its in self.left_out.values() for value in its)

    def dealt(self, places: Locations, values: Texts, within: NDArray[Any], recipe: Recipe) -> NDArray[Any]:
        """Parts of places; `within` are those of what has nothing that is left out, by blocks.

        By season a place is of the part that its block is dealt to, where it has a season for that, else of another that it
        has one for: of `within`, then of those that values are left out for, in their order.
        """
        if not self.apart_by_season:
            return self.by_domain(values, within)
        held, fraction = [*self.left_out], self.test_fraction or TEST_FRACTION
        at = places.column("lon"), places.column("lat"), recipe.seed, self.block_deg
        nth = (block.shares(*at, "seasons that are left out") / fraction).astype(np.int64).tolist()
        of_each, able = _of_each(places, self.domain, values), dict[tuple[str, ...], list[str]]()
        out = []
        for texts, n, rest in zip(of_each, nth, within.tolist(), strict=True):
            if texts not in able:
                able[texts] = [p for p in ("", *held) if any(self.keeps(p, text) for text in texts)]
            wanted = held[n] if n < len(held) else ""
            its = wanted if wanted in able[texts] else next(iter(able[texts]), None)
            out.append(rest if its == "" else its or (TWO_DOMAINS if any(map(is_value, texts)) else NO_DOMAIN))
        return np.array(out, "<U40") if out else np.empty(0, "<U40")


def _of_each(places: Locations, domain: str, values: Texts) -> list[tuple[str, ...]]:
    """What is told of each season of each place; where no season is known, of the place."""
    if (column := known.seasons_column(domain)) not in places.table.schema.names:
        return [(text,) for text in values.tolist()]
    return [tuple(texts or ()) for texts in places.table[column].to_pylist()]
