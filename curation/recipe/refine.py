"""How labels are refined from two maps, as `[labels.refine]` states it."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from curation.recipe.strict import Fraction, StrictTable


class RefineSpec(StrictTable):
    """What counts as speckle, which labels may change over the seasons, and how far maps have to agree.

    The defaults were set by one region of the embedded Earth, while its others were looked at, too: `python -m
    tests.benchmarks.labels --choose`.
    """

    least_area_m2: float = Field(default=500.0, ge=0)
    """Least connected area that counts, square metres (pixels that share a side); what is smaller is as if unlabelled."""
    least_area_m2_of: dict[str, float] = Field(default_factory=dict)
    """The same, of single labels."""
    linear: list[str] = Field(default_factory=lambda: ["water", "built"])
    """Labels of narrow things (rivers, roads), which have no least area: a line one pixel wide breaks into pieces."""
    stable: list[str] = Field(default_factory=lambda: ["trees", "shrub_and_scrub", "built"])
    """Labels that cannot change within the seasons: all seasons' maps are heard, and each season has the same label."""
    passing: list[str] = Field(default_factory=lambda: ["snow_and_ice"])
    """Labels that come and go: the season's own map alone is heard, and what lies beneath is as if unlabelled."""
    min_agreement: Fraction = 0.5
    """Least agreement of a label; below it is unknown. At 0.5 it is unknown where the maps say different things."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if both := sorted(set(self.stable) & set(self.passing)):
            raise ValueError(f"{both}: both 'stable' and 'passing': a label changes or does not; name it in one")
        if both := sorted(set(self.linear) & set(self.least_area_m2_of)):
            raise ValueError(f"{both}: 'linear' has no least area: leave it out of there, or of 'least_area_m2_of'")
        if odd := {k: v for k, v in self.least_area_m2_of.items() if not 0 <= v < float("inf")}:
            raise ValueError(f"least_area_m2_of: {odd}: expected square metres, 0 or more")
        return self

    def least_px(self, label: str, pixel_m2: float) -> float:
        """Least connected area of a label, in pixels of so many square metres."""
        if label in self.linear:
            return 0.0
        return self.least_area_m2_of.get(label, self.least_area_m2) / pixel_m2

    @property
    def named(self) -> set[str]:
        """All labels that it names."""
        return {*self.least_area_m2_of, *self.linear, *self.stable, *self.passing}
