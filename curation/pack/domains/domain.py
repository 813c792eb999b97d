"""What a domain is: a text of each place, by where it is or by what was built of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.outcomes import PatchOutcome
from curation.places.grids import Floats
from curation.recipe.schema import Recipe

Texts = NDArray[Any]

WHY = "?"
"""What the value of a place begins with that is not told, with why: `?near_border`."""

UNKNOWN = f"{WHY}unknown"
"""That of a place of which nothing says it."""

BETWEEN = "|"
"""What stands between values of a place that is of several, sorted: `2020|2021`."""


@dataclass(frozen=True, slots=True)
class BuiltPatch:
    """One patch that was built of a place."""

    source: str
    season: str
    outcome: PatchOutcome
    row: Mapping[str, Any]
    """Its facts."""

    @property
    def scenes(self) -> tuple[str, ...]:
        """Ids of the source's scenes."""
        return self.outcome.sources[self.source].scenes

    def each(self, fact: str) -> list[Any]:
        """What is known of a fact of the source: of a time axis each step's, of anything else one; none where unknown."""
        value, steps = np.asarray(self.row.get(f"{self.source}_{fact}")), self.row.get(f"{self.source}_steps")
        found = value.ravel()[: None if steps is None or value.ndim == 0 else int(steps)].tolist()
        return [v for v in found if v is not None and v != "" and not (isinstance(v, float) and math.isnan(v))]

    def words(self, fact: str) -> list[str]:
        """What a fact of the source lists, separated by spaces; none where it is unknown, or a number."""
        return [word for text in self.each(fact) if isinstance(text, str) for word in text.split()]


@dataclass(frozen=True, slots=True)
class Domain:
    """One domain: one of both functions says it."""

    title: str
    """For a person."""
    of_places: Callable[[Floats, Floats, Recipe], Texts] | None = None
    """Longitudes and latitudes of centres → text of each (n,); pure."""
    of_patch: Callable[[BuiltPatch], Iterable[str]] | None = None
    """What one patch's source says: values, of which a place may have several."""
    values: Callable[[Recipe], Iterable[str]] | None = None
    """All values that there can be, where they are known of a recipe alone."""
    of_static: bool = False
    """Whether patches without time tell it; else those with time."""
    of_any: bool = False
    """Whether patches of whatever source tell it; else those of one source."""


def is_value(text: str) -> bool:
    """Whether a domain is told."""
    return not text.startswith(WHY)


def why_not(values: Texts, outcomes: Texts) -> Texts:
    """Values, and where one is empty why that is so."""
    return np.where(values == "", np.char.add(WHY, outcomes.astype(str)), values)
