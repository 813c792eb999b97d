"""Colours: of classes, whose makers' own stand in `stac_queries/`, of seasons and of outcomes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from matplotlib import colormaps
from matplotlib.colors import to_hex

from curation.recipe.pictures import ClassSpec

QUALITATIVE = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#8b22c4", "#b979f1")
"""Paul Tol's bright scheme and two more: told apart by whoever lacks one kind of cones, too."""

SEASONS = {"spring": "#1fae78", "summer": "#e8a820", "autumn": "#9c3d1f", "fall": "#9c3d1f", "winter": "#2a6ddc"}
"""Of the well-known ones, which differ in lightness, too: who cannot tell green from red tells spring from autumn."""

UNTIMED = "#755d76"
"""What has no season."""

OUTCOMES = {"complete": "#2f9e77", "rejected": "#e0803f", "failed": "#c8374a", "pending": "#a3abb3"}
"""What became of a location, or of a patch."""

REJECTS = ("#e0803f", "#b0709b", "#d9b13b", "#6f8fbf", "#a5673f", "#7d6bb0", "#c98f8f", "#5f9ea0", "#94803f", "#777f88")
"""One per reason, in order."""


def classes(legend: Sequence[ClassSpec]) -> dict[int, str]:
    """Code → colour for each class of a legend: its makers', or else one that no other class of it has."""
    own = {c.code: c.colour for c in legend if c.colour is not None}
    others = [c.code for c in legend if c.code not in own]
    return own | dict(zip(others, distinct(len(others), set(own.values())), strict=True))


def distinct(count: int, taken: Collection[str] = ()) -> list[str]:
    """So many colours that differ from one another and from those that are taken; many are spread over the spectrum."""
    free = [c for c in QUALITATIVE if c not in taken]
    if count <= len(free):
        return free[:count]
    spread = [to_hex(colormaps["turbo"](0.06 + 0.88 * n / (count + len(taken)))) for n in range(count + len(taken))]
    return [c for c in spread if c not in taken][:count]


def seasons(names: Iterable[str]) -> dict[str, str]:
    """Season → colour, each its own; the well-known ones have theirs, and many others are spread over the spectrum."""
    names = list(names)
    others = [n for n in names if n not in SEASONS]
    own = dict(zip(others, distinct(len(others)), strict=True))
    return {n: SEASONS.get(n) or own[n] for n in names}


def rgb(colour: str) -> tuple[int, int, int]:
    """`#rrggbb` as three bytes."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
