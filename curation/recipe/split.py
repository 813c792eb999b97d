"""`[split]` of a recipe: what is train and what is val, by one of several rules. Each is a file of `pack/splits/`, too."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from curation.recipe.strict import Fraction, Strict

UNSHARED_CELL = "era5-cell"
"""What `[split] unshared` calls the cell of 0.25° that a footprint touches, of which coarse data have one value."""


class _Rule(Strict):
    """What all rules have."""

    buffer_km: float = Field(default=5.0, ge=0)
    """Ground between a train and a val footprint, at least: what is nearer is used for neither. No less than the widest
    pixel of any source, on which both would have a part."""
    unshared: list[str] = Field(default_factory=list)
    """What train and val may not share beside ground: sources, of which no scene may be in both, and `era5-cell`, of which
    no cell may be. Samples of train that do are left out of shards, as `shared:<name>`; what is shared is counted anyway."""

    @property
    def two_sides(self) -> bool:
        """Whether there may be both train and val."""
        return True


class BlocksSplit(_Rule):
    """By split blocks on the sphere, of which some are val."""

    rule: Literal["blocks"] = "blocks"
    val_fraction: Fraction = 0.05
    block_deg: float = Field(default=1.0, gt=0, le=30)
    """Side of a split block, degrees of latitude (and about as much on the ground east to west)."""

    @property
    def two_sides(self) -> bool:
        """Whether there may be both train and val."""
        return 0 < self.val_fraction < 1


class ColumnSplit(_Rule):
    """By what a location says of itself: its region, or a column of the file of places."""

    rule: Literal["column"]
    column: str = "region"
    """What is looked at: the region, or one of `[places] columns`."""
    val: list[str | int | bool] = Field(min_length=1)
    """Locations of these values are val, all others train."""


def _blocks_unless_said(value: Any) -> Any:
    return {"rule": "blocks"} | value if isinstance(value, dict) else value


SplitSpec = Annotated[BlocksSplit | ColumnSplit, Field(discriminator="rule"), BeforeValidator(_blocks_unless_said)]
"""A table of `[split]`, by its `rule`; `blocks` where it has none."""
