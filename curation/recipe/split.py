"""`[split]` of a recipe: what any rule says of what is train and what is val. Each rule is a file of `pack/splits/`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SerializeAsAny

from curation.recipe.strict import StrictTable
from curation.recipe.tagged import SPLITS, tagged

UNSHARED_CELL = "era5-cell"
"""What `[split] unshared` calls the cell of 0.25° that a footprint touches, of which coarse data have one value."""


DATATAKE, EVENT = "datatake", "event"
"""What it calls the pass of a Sentinel satellite that a scene is of, and what the column `event` of places tells."""

EVERYTHING = "all"
"""What it calls scenes of every source whose scenes are of one moment, datatakes and events together."""

Tiers = tuple[tuple[str, ...], ...]
"""Parts of a split: those of a tier give way to those of all before it, and need not keep off one another."""


class SplitRule(StrictTable, ABC):
    """What all rules have, and a recipe asks of them. What places are of, `pack/sides.py` asks."""

    rule: str
    buffer_km: float = Field(default=5.0, ge=0)
    """Ground between a train and a val footprint, at least: what is nearer is used for neither. No less than the widest
    pixel of any source, on which both would have a part."""
    unshared: list[str] = Field(default_factory=list)
    """What train and val may not share beside ground: sources, of which no scene may be in both; `era5-cell`, of which no
    cell may be; `datatake`; `event`; or `all` but that cell. Samples of train that do are left out of shards, as
    `shared:<name>`; what is shared is counted anyway."""

    unlabelled: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """The source of labels: samples that lack it are of no split but of a part of their own, `unlabelled`, which keeps off
    val and test as train does; those that would be val or test are left out."""

    @property
    def title(self) -> str:
        """Its name, for a person."""
        return self.rule

    @property
    def has_test(self) -> bool:
        """Whether there is a side `test` beside val."""
        return False

    @property
    def parts(self) -> tuple[str, ...]:
        """What samples may be of."""
        return ("train", "val", *["test"] * self.has_test, *["unlabelled"] * (self.unlabelled is not None))

    @property
    def tiers(self) -> Tiers:
        """Which parts keep off which others' ground: test stays whole, val gives way to it, all else to both."""
        return (("test",), ("val",), ("train", "unlabelled"))

    @property
    def learnt(self) -> tuple[str, ...]:
        """The parts whose pixels statistics are of."""
        return ("train",)

    def kinds(self, timed: Sequence[str]) -> tuple[str, ...]:
        """What tiers may not share beside ground, of `unshared`; `timed` are sources whose scenes are of one moment each."""
        every = (*timed, DATATAKE, EVENT)
        return tuple(dict.fromkeys(k for name in self.unshared for k in (every if name == EVERYTHING else (name,))))

    @property
    def held_against(self) -> tuple[tuple[str, str], ...]:
        """Parts that are judged and of what train is of, each with the part of something else that it is held against."""
        return ()

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

    @property
    def domains(self) -> tuple[str, ...]:
        """What samples are told to be of that it looks at (`[domains]`)."""
        return ()

    @abstractmethod
    def check(self, recipe: Any) -> None:
        """Passes where a `Recipe`, whose file imports this one, has what the rule wants. Raises ValueError otherwise."""


def _by_its_file(value: Any) -> Any:
    return tagged({"rule": "blocks"} | value, SPLITS, "rule") if isinstance(value, dict) else value


SplitSpec = Annotated[SerializeAsAny[SplitRule], BeforeValidator(_by_its_file)]
"""A table of `[split]`, by its `rule`; `blocks` where it has none."""
