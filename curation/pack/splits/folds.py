"""k folds, each of whole split blocks or of whole domains: as even as these let them be, or the same however it grows. Pure.

Even folds follow from how many places each block has, so that a dataset which has grown has others; stable ones from the
block's name alone, so that they are as uneven as chance has it. No rule is both: a block that comes to be the largest would
have to move, or be where it makes its fold so.

Whoever trains takes all folds but one, and is judged by that one. All keep off one another's ground; a fold gives way to
those before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation.pack.domains.domain import BETWEEN, is_value
from curation.pack.domains.rule import DomainRule
from curation.pack.sides import NO_DOMAIN, TWO_DOMAINS, keep_apart
from curation.places.locations import Locations
from curation.recipe.domains import SEASON
from curation.recipe.schema import Recipe
from curation.recipe.split import Tiers


class Folds(DomainRule):
    """By one domain, whose values are dealt to folds whole: the largest first, each to the fold that has least."""

    rule: Literal["folds"] = "folds"
    k: int = Field(default=5, ge=2, le=100)
    """How many folds: parts `fold0`, `fold1`, …"""
    domain: str = "split_block"
    """What is dealt: split blocks (`[domains] block_deg`), or another domain."""
    dealt: Literal["even", "stable"] = Field(default="even", exclude_if=lambda value: value == "even")
    """`even`: no two folds are further apart than the largest value is, before buffers; another set of places has other
    folds. `stable`: a value is of the same fold whatever else there is, by a hash of seed and value."""
    tolerance: float = Field(default=0.1, ge=0)
    """How far the largest and the smallest fold may lie apart, as a share of their mean, before it is told."""

    @model_validator(mode="after")
    def _labelled(self) -> Self:
        if self.unlabelled is not None:
            raise ValueError(f"unlabelled = {self.unlabelled!r}: folds have no such part; leave it out")
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        """The folds."""
        return tuple(f"fold{n}" for n in range(self.k))

    @property
    def tiers(self) -> Tiers:
        """Each fold by itself."""
        return tuple((part,) for part in self.parts)

    @property
    def learnt(self) -> tuple[str, ...]:
        """All: each is learnt from by those that are judged by another."""
        return self.parts

    def check(self, recipe: Any) -> None:
        """As of any rule by a domain; and that samples have one value of it. Raises ValueError otherwise."""
        super().check(recipe)
        if self.domain == SEASON:
            raise ValueError(
                "split.domain = 'season': a sample has several seasons and is of one fold; leave a season out at a time, by "
                "rule = 'leave-out', or deal blocks: domain = 'split_block'"
            )

    def sides(self, places: Locations, recipe: Recipe) -> NDArray[Any]:
        """As any rule's; empty before what is built tells the domain.

        Even ones depend on what else is there, as the sizes of folds do, and neither on its order.
        """
        values = self.values_of(places, recipe)
        if values is None:
            return np.full(len(places), "", "<U6")
        names, of, counts = np.unique(values, return_inverse=True, return_counts=True)
        fold = self._dealt(dict(zip(names.tolist(), counts.tolist(), strict=True)), recipe.seed)
        part = np.array([fold[name] for name in names.tolist()], "<U40")[of] if len(of) else np.empty(0, "<U40")
        return keep_apart(places, part, recipe, self.tiers)

    def _dealt(self, counts: Mapping[str, int], seed: int) -> dict[str, str]:
        """What a domain tells → its fold, or why it is of none."""
        out = {text: NO_DOMAIN if not is_value(text) else TWO_DOMAINS for text in counts}
        whole = [text for text in counts if is_value(text) and BETWEEN not in text]
        if self.dealt == "stable":
            return out | {text: self.parts[self._number(text, seed)] for text in whole}
        sizes = dict.fromkeys(self.parts, 0)
        for text in sorted(whole, key=lambda t: (-counts[t], hashlib.sha256(f"{seed}:{t}".encode()).digest())):
            out[text] = min(sizes, key=lambda part: (sizes[part], self.parts.index(part)))
            sizes[out[text]] += counts[text]
        return out

    @property
    def helps(self) -> str:
        """Fewer folds, or what is dealt in smaller pieces."""
        return f"take fewer folds (k = {self.k}), or smaller pieces ([domains] block_deg)"

    def _number(self, text: str, seed: int) -> int:
        """The fold of a value by seed and value alone."""
        drawn = int.from_bytes(hashlib.sha256(f"{seed}:{text}".encode()).digest()[:8], "big")
        return drawn * self.k >> 64

    def faults(self, samples: Mapping[str, Mapping[str, int]]) -> list[str]:
        """As of any rule by a domain, and how many values there are to be dealt where some folds have none."""
        lines, values = super().faults(samples), {text for of in samples.values() for text in of}
        if len(values) < self.k:
            lines.append(
                f"k = {self.k} folds of {len(values)} values of {self.domain}: say fewer folds, or smaller blocks"
            )
        return lines

    def notes(self, samples: Mapping[str, int]) -> list[str]:
        """How uneven the folds are, where that is more than the tolerance."""
        low, high, mean = min(samples.values()), max(samples.values()), sum(samples.values()) / len(samples)
        if high - low <= self.tolerance * mean:
            return []
        each = ", ".join(f"{part} {n}" for part, n in samples.items())
        return [
            f"folds have {each} samples: {(high - low) / mean:.0%} of their mean apart, more than {self.tolerance:.0%}"
        ]
