"""What is drawn of an array, as its source tells it: the report knows how each of these is drawn, and of no source.

A kind says which of them its arrays are (`Kind.pictures`); those of a mask follow from its codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from curation.recipe.strict import StrictTable

Bands = tuple[str, ...]

TRUE_COLOUR: Bands = ("B04", "B03", "B02")
FALSE_COLOUR: Bands = ("B08", "B04", "B03")
COMPOSITES: tuple[tuple[Bands, str], ...] = (
    (TRUE_COLOUR, "True colour"),
    (FALSE_COLOUR, "False colour"),
    (("B12", "B11", "B8A"), "Shortwave infrared"),
    (("B07", "B06", "B05"), "Red edge"),
)
"""What is drawn of the bands of one array together, where it has them; its others are drawn alone."""


class ClassSpec(StrictTable):
    """One class of a class map, or a code of a mask."""

    code: int
    name: str
    label: str | None = None
    """The scene label it counts as; the class's own name where left out."""
    colour: str | None = Field(default=None, pattern="^#[0-9a-f]{6}$", exclude=True)
    """How its makers draw it; one that no other class has where left out. It is in no dump: no digest follows from it."""


class MaskLegend(StrictTable):
    """What a mask's codes are called, for people."""

    title: str
    codes: list[ClassSpec] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Composite:
    """Three bands as red, green and blue, each stretched by its own values."""

    title: str
    bands: Bands


@dataclass(frozen=True, slots=True)
class DrawnChannel:
    """What is drawn between the same limits everywhere, in the kind's own unit, so that patches compare."""

    name: str
    bands: Bands
    """One; or two, of which the second is taken from the first."""
    limits: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Ranged:
    """One channel in grey, or three as red, green and blue."""

    title: str
    channels: tuple[DrawnChannel, ...]


@dataclass(frozen=True, slots=True)
class Alone:
    """A band between limits of its own values."""

    band: str


@dataclass(frozen=True, slots=True)
class Relief:
    """A band of heights, lit."""

    band: str


@dataclass(frozen=True, slots=True)
class Codes:
    """The one band of an array of codes, by their colours."""

    title: str
    legend: tuple[ClassSpec, ...]


Picture = Composite | Ranged | Alone | Relief | Codes


def of_bands(bands: Sequence[str]) -> list[Picture]:
    """The composites that bands make, and each of the others alone."""
    together = [(its, title) for its, title in COMPOSITES if set(its) <= set(bands)]
    drawn = {b for its, _ in together for b in its}
    return [*(Composite(title, its) for its, title in together), *(Alone(b) for b in bands if b not in drawn)]
