"""Picks of scenes by the orbit that they were seen from: of one direction, of one relative orbit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from curation.model import Location, Scene
from curation.recipe.facts import Fact
from curation.recipe.sources import Pick
from curation.scenes import rank


class ByOrbit(Pick):
    """Scenes of any orbit, unless it says which."""

    orbit: Literal["ascending", "descending"] | None = Field(default=None, exclude_if=lambda value: value is None)
    """Only scenes of this orbit direction."""
    one_orbit_direction: bool = Field(default=False, exclude_if=lambda value: not value)
    """Only one orbit direction per location, fixed from the counts over all seasons."""
    one_relative_orbit: bool = Field(default=False, exclude_if=lambda value: not value)
    """Only one relative orbit per location, fixed likewise: all seasons are then seen from the same track."""

    @property
    def one_way(self) -> bool:
        """Where its file says so."""
        return self.one_orbit_direction or self.one_relative_orbit

    @property
    def asks_for_orbit(self) -> bool:
        """Whether the orbit decides anything, and so is told."""
        return self.one_way or self.orbit is not None

    def orbit_of(self, seasons: Sequence[Sequence[Scene]], place: Location) -> tuple[str | None, int | None]:
        """From the scenes of all seasons that cover it: first the direction, then the relative orbit of that direction."""
        direction: str | None = self.orbit
        if direction is None and self.one_orbit_direction:
            direction = rank.orbit_direction(seasons, place)
        return direction, rank.relative_orbit(seasons, place, direction) if self.one_relative_orbit else None

    def of_orbit(self, scenes: Sequence[Scene]) -> list[Scene]:
        """Those of its orbit direction. Raises Reject where there is none of them."""
        return rank.of_direction(scenes, self.orbit)

    def orbit_facts(self, source: str) -> list[Fact]:
        """What is told of a scene's orbit, by the source's name."""
        if not self.asks_for_orbit:
            return []
        number = "number of the orbit within the repeat cycle; -1 where unknown"
        return [
            Fact(f"{source}_orbit_state", "string", "ascending or descending"),
            Fact(f"{source}_relative_orbit", "int16", number),
        ]

    def orbit_noted(self, scene: Scene) -> dict[str, Any]:
        """Those facts of a scene, by names without the source's."""
        if not self.asks_for_orbit:
            return {}
        number = scene.relative_orbit if scene.relative_orbit is not None else -1
        return {"orbit_state": scene.orbit_state or "", "relative_orbit": number}
