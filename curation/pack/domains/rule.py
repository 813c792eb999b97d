"""What rules of the split have in common that leave out whole domains. Pure."""

from __future__ import annotations

from abc import ABC
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from curation.errors.words import counted, did_you_mean
from curation.pack.domains import known
from curation.pack.domains.domain import BETWEEN, Texts, is_value
from curation.pack.sides import NO_DOMAIN, TWO_DOMAINS, UNLABELLED, Rule
from curation.places.locations import Locations
from curation.recipe.schema import Recipe
from curation.recipe.split import EVERYTHING

LEAST = 10
"""Samples of a part, or of a domain that is left out, below which a score says nothing: ±0.3 of an accuracy, at ten."""


MOST_LISTED = 20
"""Values of a domain that an error lists."""


class DomainRule(Rule, ABC):
    """A rule by one domain (`[domains]`), of which samples of a place are told to be of one value or of several.

    Where `unshared` is left out its parts share nothing that they could: no scene, no datatake, no event.
    """

    unshared: list[str] = Field(default_factory=lambda: [EVERYTHING])

    domain: str
    """Which domain decides."""
    least_samples: int = Field(default=LEAST, ge=1)
    """What has fewer samples, of parts and of domains that are left out, is an error."""

    @property
    def domains(self) -> tuple[str, ...]:
        """The one."""
        return (self.domain,)

    def check(self, recipe: Any) -> None:
        """Passes where each value that is left out is one that the domain can have, as far as that is known of a recipe.

        Which domains there are, the recipe's table of them checks. Raises ValueError otherwise.
        """
        if (there := known.values(self.domain, recipe)) is None:
            return
        if lines := self._misspelt(there):
            raise ValueError(f"split.{'; '.join(lines)}")

    def _misspelt(self, there: Sequence[str]) -> list[str]:
        """Values that are left out and are none of these, a line each."""
        return [
            f"{side}: no {self.domain} is called {value!r}; {did_you_mean(value, there)}there are: {_some(there)}"
            for side, its in self.left_out.items()
            for value in its
            if value not in there
        ]

    def misspelt(self, path: Path, recipe: Recipe) -> list[str]:
        """Values that the domain cannot have by the file of the user's that tells it, a line each; none where none does.

        Args:
            path: of the recipe.
            recipe: whose rule this is.

        Raises:
            ConfigError: the file cannot be read, or has no such column.
        """
        there = known.values_of_file(self.domain, recipe, path)
        return [] if there is None else self._misspelt(there)

    def values_of(self, places: Locations, recipe: Recipe) -> Texts | None:
        """What each place is told to be of; None where only what is built would tell it."""
        return known.of_places(self.domain, places, recipe)

    @property
    def left_out(self) -> Mapping[str, Sequence[str]]:
        """Part → values of the domain that are of no other part."""
        return {}

    def by_domain(self, values: Texts, part: NDArray[Any]) -> NDArray[Any]:
        """Parts of places, of which those are others whose domain is left out, not told, or of more than one part.

        Args:
            values: what each is told to be of.
            part: of each, were it of no domain that is left out.
        """
        names, of = np.unique(values, return_inverse=True)
        held = {value: side for side, its in self.left_out.items() for value in its}
        found = [self._part_of(name, held) for name in names.tolist()]
        out = np.array(found, "<U40")[of] if len(of) else np.empty(0, "<U40")
        return np.where(out == "", part.astype("<U40"), out)

    def _part_of(self, text: str, held: Mapping[str, str]) -> str:
        """The part of a value, or of several; empty where none of them is left out."""
        if not is_value(text):
            return NO_DOMAIN
        parts = {held.get(value, "") for value in text.split(BETWEEN)}
        return parts.pop() if len(parts) == 1 else TWO_DOMAINS

    def unmatched(self, places: Locations) -> list[str]:
        """Values that no place has."""
        column = f"domain_{self.domain}"
        if column not in places.table.schema.names:
            return []
        texts = {*places.column(column).tolist()}
        there = sorted({v for text in texts if is_value(text) for v in text.split(BETWEEN)})
        return [
            f"{side}: no location here is of {self.domain} {value!r}; {did_you_mean(value, there)}there are: {_some(there)}"
            for side, its in self.left_out.items()
            for value in its
            if value not in there
        ]

    def leaks(self, samples: Mapping[str, Mapping[str, int]]) -> list[str]:
        """Values that are left out of all parts but one, and are in others; and others that are in that one."""
        strange = [
            f"{counted(n, 'sample')} of {self.domain} {text!r} in {side}, which is of {', '.join(its)} alone"
            for side, its in self.left_out.items()
            for text, n in sorted(samples.get(side, {}).items())
            if not {*text.split(BETWEEN)} <= {*its}
        ]
        return strange + [
            f"{counted(n, 'sample')} of {self.domain} {text!r} in {part}, which is left out for {side}"
            for side, its in self.left_out.items()
            for part, of in samples.items()
            for text, n in sorted(of.items())
            if part not in (side, *self.may_mix) and not {*its}.isdisjoint(text.split(BETWEEN))
        ]

    @property
    def may_mix(self) -> tuple[str, ...]:
        """Parts that may have what is left out."""
        return ()

    def faults(self, samples: Mapping[str, Mapping[str, int]]) -> list[str]:
        """As of any rule: parts and domains that are left out of which there are too few samples, and what would help."""
        few = [p for p, of in samples.items() if p != UNLABELLED and sum(of.values()) < self.least_samples]
        lines = [
            f"{part} has {counted(sum(samples[part].values()), 'sample')}, expected {self.least_samples} at least "
            "(least_samples)"
            for part in few
        ]
        for side, its in self.left_out.items():
            for value in its:
                n = sum(k for text, k in samples.get(side, {}).items() if value in text.split(BETWEEN))
                if n < self.least_samples:
                    lines.append(
                        f"{side}: {self.domain} {value!r} has {counted(n, 'sample')}, expected {self.least_samples} at "
                        "least (least_samples)"
                    )
                    few.append(side)
        return [*lines, *self._what_helps(few, samples)] if lines else []

    def _what_helps(self, few: Sequence[str], samples: Mapping[str, Mapping[str, int]]) -> list[str]:
        """What to change where parts have too few samples, and how many of them there are of each value."""
        held, by_blocks = ([p for p in dict.fromkeys(few) if (p in self.left_out) is its] for its in (True, False))
        out = [f"{' and '.join(held)}: leave out more values, or others with more samples"] if held else []
        out += [f"{' and '.join(by_blocks)}: {self.helps}"] if by_blocks else []
        out += [
            "a smaller buffer_km, or fewer things in unshared, leaves fewer places out; least_samples is what is too few"
        ]
        each = Counter[str]()
        for of in samples.values():
            each.update(of)
        there = ", ".join(f"{text} {n}" for text, n in each.most_common(MOST_LISTED)) or "none"
        more = f" and {len(each) - MOST_LISTED} more" if len(each) > MOST_LISTED else ""
        return [*out, f"samples of each {self.domain}: {there}{more}"]

    @property
    def helps(self) -> str:
        """What to change where a part that values are not left out for has too few samples."""
        return "build more places, or leave out less"


def _some(values: Sequence[str]) -> str:
    """Values as a list that is not too long, and how many more there are."""
    more = f" and {len(values) - MOST_LISTED} more" if len(values) > MOST_LISTED else ""
    return f"{', '.join(values[:MOST_LISTED])}{more}"


def named_twice(values: Iterable[str]) -> list[str]:
    """Values that stand there more than once."""
    every = list(values)
    return sorted({v for v in every if every.count(v) > 1})
