"""The satellite that a source's scenes are of decides: those of some satellites are val, of others train. Pure."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from curation.pack.sides import BUFFER, Rule, buffered_sides
from curation.places.locations import Locations
from curation.recipe.angles import PLATFORM
from curation.recipe.schema import Recipe


class Platform(Rule):
    """By the satellites of a location's scenes of one source, in all seasons that it has.

    A sample has several seasons. Where all of their scenes are of satellites of `val` it is val, where none is train. What
    has some of both, or a scene that says no satellite, is used for neither: in train, val's satellite would be seen.
    """

    rule: Literal["platform"] = "platform"
    source: str
    """Whose scenes are looked at: one whose patches tell their satellite (`angles = true`, or radar)."""
    val: list[str] = Field(min_length=1)
    """Satellites, as `sentinel-2c`."""

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """The one that tells it."""
        return ((self.source, PLATFORM),)

    def _of_each(self, places: Locations) -> list[list[str]] | None:
        """Satellites of each place's scenes, empty text of one that says none; None where they are not known yet."""
        name = f"{self.source}_{PLATFORM}"
        return places.table[name].to_pylist() if name in places.table.schema.names else None

    def check(self, recipe: Any) -> None:
        """Passes where the recipe has the source. Raises ValueError otherwise."""
        if self.source not in recipe.sources:
            raise ValueError(f"split.source = {self.source!r} is not in [sources]: {sorted(recipe.sources)}")

    def sides(self, places: Locations, recipe: Recipe) -> NDArray[np.str_]:
        """As any rule's; empty before the satellites are known, which is when shards are packed."""
        found = self._of_each(places)
        if found is None:
            return np.full(len(places), "", "<U6")
        val = {*self.val}
        is_val = np.array([bool(of) and {*of} <= val for of in found], bool)
        is_train = np.array([bool(of) and not {*of} & {*val, ""} for of in found], bool)
        out = buffered_sides(places, is_val, recipe)
        out[~is_val & ~is_train & (out != "")] = BUFFER
        return out

    def unmatched(self, places: Locations) -> list[str]:
        """Satellites that no scene is of, and how many places are used for neither."""
        val, found = {*self.val}, [{*of} for of in self._of_each(places) or [] if of]
        there = sorted(set().union(*found) - {""})
        lines = [
            f"val: no scene of {self.source} here is of {name!r}, but of {', '.join(there) or 'none'}; a typo?"
            for name in self.val
            if found and name not in there
        ]
        both = sum(bool(of & val) and bool(of - val - {""}) for of in found)
        unsaid = sum("" in of and not (of & val and of - val - {""}) for of in found)
        lines += [f"{both} places have scenes of satellites of both sides: they are used for neither"] if both else []
        lines += [f"{unsaid} places have scenes that say no satellite: they are used for neither"] if unsaid else []
        return lines
