"""`[split]` of a recipe: what any rule says of what is train and what is val. Each rule is a file of `pack/splits/`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SerializeAsAny

from curation.recipe.strict import StrictTable
from curation.recipe.tagged import SPLITS, tagged

UNSHARED_CELL = "era5-cell"
"""What `[split] unshared` calls the cell of 0.25° that a footprint touches, of which coarse data have one value."""


class SplitRule(StrictTable, ABC):
    """What all rules have, and a recipe asks of them. What places are of, `pack/sides.py` asks."""

    rule: str
    buffer_km: float = Field(default=5.0, ge=0)
    """Ground between a train and a val footprint, at least: what is nearer is used for neither. No less than the widest
    pixel of any source, on which both would have a part."""
    unshared: list[str] = Field(default_factory=list)
    """What train and val may not share beside ground: sources, of which no scene may be in both, and `era5-cell`, of which
    no cell may be. Samples of train that do are left out of shards, as `shared:<name>`; what is shared is counted anyway."""

    unlabelled: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """The source of labels: samples that lack it are of no split but of a part of their own, `unlabelled`, which keeps off
    val and test as train does; those that would be val or test are left out."""

    @property
    def has_test(self) -> bool:
        """Whether there is a side `test` beside val."""
        return False

    @property
    def parts(self) -> tuple[str, ...]:
        """What samples may be of."""
        return ("train", "val", *["test"] * self.has_test, *["unlabelled"] * (self.unlabelled is not None))

    @property
    def two_sides(self) -> bool:
        """Whether there may be both train and val."""
        return True

    @property
    def columns(self) -> tuple[str, ...]:
        """What of a location it looks at that not every location has: its region, or columns of the file of places."""
        return ()

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What of a location's patches it looks at, source and fact, which is text: they are known once these are built."""
        return ()

    @abstractmethod
    def check(self, recipe: Any) -> None:
        """Passes where a `Recipe`, whose file imports this one, has what the rule wants. Raises ValueError otherwise."""


def _by_its_file(value: Any) -> Any:
    return tagged({"rule": "blocks"} | value, SPLITS, "rule") if isinstance(value, dict) else value


SplitSpec = Annotated[SerializeAsAny[SplitRule], BeforeValidator(_by_its_file)]
"""A table of `[split]`, by its `rule`; `blocks` where it has none."""
