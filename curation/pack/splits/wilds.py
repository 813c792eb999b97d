"""Five parts as WILDS has them: train, id_val and id_test of the same domains, val and test of others. Pure.

WILDS: Koh and others 2021, arXiv:2012.07421. Its control `mixed-to-test` asks how much of a gap is of the shift: train of
the same size, half of it of the domains of test, is judged on the other half of these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation.errors import ConfigError
from curation.pack.domains.by_season import BySeason
from curation.pack.domains.domain import BETWEEN
from curation.pack.domains.rule import named_twice
from curation.pack.sides import TEST, TRAIN, VAL, keep_apart
from curation.places.domains import block
from curation.places.locations import Locations
from curation.recipe.schema import Recipe
from curation.recipe.split import Tiers

ID_VAL, ID_TEST = "id_val", "id_test"
"""Parts of the domains that train is of."""

MIXED = "mixed-to-test"
"""What a place is in `official-half` that would be of train in the control."""


class Wilds(BySeason):
    """By one domain: val and test are of values that nothing else is of, id_val and id_test of blocks of the rest."""

    rule: Literal["wilds"] = "wilds"
    test: list[str] = Field(min_length=1)
    """Values of the domain that only test is of."""
    val: list[str] = Field(min_length=1)
    """Values that only val is of."""
    id_fraction: float = Field(default=0.05, gt=0, lt=0.5)
    """Share of the split blocks of all other values that is id_val, and as much again id_test."""
    scheme: Literal["official", "official-half", "mixed-to-test"] = "official"
    """`mixed-to-test` is the control: half of the blocks of test are of train, up to half of it, and train has as many
    samples as in `official-half`, which has the same test and leaves that half out."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if twice := named_twice([*self.test, *self.val]):
            raise ValueError(f"{twice[0]!r} is named twice in 'test' and 'val', expected once")
        if self.unlabelled is not None:
            raise ValueError(f"unlabelled = {self.unlabelled!r}: this rule has no such part; leave it out")
        if self.apart_by_season and self.scheme != "official":
            raise ValueError(f"scheme = {self.scheme!r} goes with whole samples; by season there is 'official' alone")
        return self

    @property
    def has_test(self) -> bool:
        """Always."""
        return True

    @property
    def parts(self) -> tuple[str, ...]:
        """The five."""
        return (TRAIN, ID_VAL, ID_TEST, VAL, TEST)

    @property
    def tiers(self) -> Tiers:
        """Each by itself: test stays whole, train gives way to all."""
        return ((TEST,), (VAL,), (ID_TEST,), (ID_VAL,), (TRAIN,))

    @property
    def held_against(self) -> tuple[tuple[str, str], ...]:
        """Those of train's domains."""
        return ((ID_TEST, TEST), (ID_VAL, VAL))

    @property
    def left_out(self) -> Mapping[str, Sequence[str]]:
        """Of test and of val."""
        return {TEST: self.test, VAL: self.val}

    @property
    def helps(self) -> str:
        """A larger share of blocks for parts of train's domains, or smaller blocks."""
        return f"raise id_fraction ({self.id_fraction:g}), or lower block_deg ({self.block_deg:g})"

    def sides(self, places: Locations, recipe: Recipe) -> NDArray[Any]:
        """As any rule's; empty before what is built tells the domain."""
        values = self.values_of(places, recipe)
        if values is None:
            return np.full(len(places), "", "<U7")
        at = places.column("lon"), places.column("lat"), recipe.seed, self.block_deg
        share = block.shares(*at)
        within = np.select([share < self.id_fraction, share < 2 * self.id_fraction], [ID_VAL, ID_TEST], TRAIN)
        part = self.dealt(places, values, within, recipe)
        if self.scheme != "official":
            half = (part == TEST) & (block.shares(*at, "half of test") < 0.5)
            part[half] = TRAIN if self.scheme == "mixed-to-test" else MIXED
        return keep_apart(places, part, recipe, self.tiers)

    @property
    def may_mix(self) -> tuple[str, ...]:
        """Train of the control."""
        return (TRAIN,) if self.scheme == "mixed-to-test" else ()

    @property
    def sized_as(self) -> Wilds | None:
        """Of the control, what it is compared with."""
        return self.model_copy(update={"scheme": "official-half"}) if self.scheme == "mixed-to-test" else None

    def to_size(self, samples: Mapping[str, str], size: int, seed: int) -> set[str]:
        """Up to half are of the domains of test, the rest of others; which, a hash of seed and id says.

        Raises:
            ConfigError: there are not as many.
        """
        order = sorted(samples, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
        test = {*self.test}
        is_of_test = {name: test.issuperset(text.split(BETWEEN)) for name, text in samples.items()}
        of_test, others = ([name for name in order if is_of_test[name] is its] for its in (True, False))
        mixed = of_test[: size // 2]
        if len(mixed) + len(others) < size:
            raise ConfigError(
                f"[split] scheme = 'mixed-to-test': train has {len(mixed)} samples of the domains of test and "
                f"{len(others)} of others, expected {size} in all, as official-half has"
            )
        return {*mixed, *others[: size - len(mixed)]}
