"""Whole domains are test (and val), and train has none of them: a continent, a climate, a season is left out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation.pack.domains.by_season import BySeason
from curation.pack.domains.rule import named_twice
from curation.pack.sides import TEST, TRAIN, VAL, keep_apart
from curation.places.domains import block
from curation.places.locations import Locations
from curation.recipe.schema import Recipe
from curation.recipe.strict import Fraction


class LeaveOut(BySeason):
    """By one domain: test is of values that train and val have none of."""

    rule: Literal["leave-out"] = "leave-out"
    test: list[str] = Field(min_length=1)
    """Values of the domain that are left out."""
    val: list[str] | None = Field(default=None, min_length=1)
    """Others that are left out, by which a model is chosen; where left out val is of split blocks of what train is of."""
    val_fraction: Fraction = 0.05
    """Share of blocks that are val, where `val` names no values; 0: there is no val."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if twice := named_twice([*self.test, *(self.val or [])]):
            raise ValueError(f"{twice[0]!r} is named twice in 'test' and 'val', expected once")
        return self

    @property
    def has_test(self) -> bool:
        """Always."""
        return True

    @property
    def parts(self) -> tuple[str, ...]:
        """As of any rule, without val where there is none."""
        return tuple(p for p in super().parts if p != VAL or self.val is not None or self.val_fraction > 0)

    @property
    def held_against(self) -> tuple[tuple[str, str], ...]:
        """Val, where it is of blocks of what train is of."""
        return ((VAL, TEST),) if self.val is None else ()

    @property
    def left_out(self) -> Mapping[str, Sequence[str]]:
        """Those of test, and of val where it names some."""
        return {TEST: self.test, **({VAL: self.val} if self.val else {})}

    @property
    def helps(self) -> str:
        """A larger share of blocks for val, smaller blocks, or none."""
        return (
            f"raise val_fraction ({self.val_fraction:g}), lower block_deg ({self.block_deg:g}), name values in val, or "
            "have no val: val_fraction = 0"
        )

    def sides(self, places: Locations, recipe: Recipe) -> NDArray[Any]:
        """As any rule's; empty before what is built tells the domain."""
        values = self.values_of(places, recipe)
        if values is None:
            return np.full(len(places), "", "<U6")
        share = block.shares(places.column("lon"), places.column("lat"), recipe.seed, self.block_deg)
        within = np.where((share < self.val_fraction) & (self.val is None), VAL, TRAIN)
        return keep_apart(places, self.dealt(places, values, within, recipe), recipe, self.tiers)
