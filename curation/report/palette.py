"""Colours: the official ones of class maps, and ours for seasons and outcomes."""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib import colormaps
from matplotlib.colors import to_hex

from curation.recipe.sources import SourceSpec

OFFICIAL: dict[str, dict[int, str]] = {
    # Google Earth Engine catalog, "Dynamic World V1", class table
    "dynamicworld": {
        0: "#419bdf",
        1: "#397d49",
        2: "#88b053",
        3: "#7a87c6",
        4: "#e49635",
        5: "#dfc35a",
        6: "#c4281b",
        7: "#a59b8f",
        8: "#b39fe1",
    },
    # WorldCover Product User Manual v2.0, table 4
    "worldcover": {
        10: "#006400",
        20: "#ffbb22",
        30: "#ffff4c",
        40: "#f096ff",
        50: "#fa0000",
        60: "#b4b4b4",
        70: "#f0f0f0",
        80: "#0064c8",
        90: "#0096a0",
        95: "#00cf75",
        100: "#fae6a0",
    },
}
"""Source → code → colour, as the makers of the map draw it."""

SCL: dict[int, tuple[str, str]] = {
    0: ("no data", "#000000"),
    1: ("saturated or defective", "#ff0000"),
    2: ("dark", "#2f2f2f"),
    3: ("cloud shadow", "#643200"),
    4: ("vegetation", "#00a000"),
    5: ("not vegetated", "#ffe65a"),
    6: ("water", "#0000ff"),
    7: ("unclassified", "#808080"),
    8: ("cloud, medium", "#c0c0c0"),
    9: ("cloud, high", "#ffffff"),
    10: ("thin cirrus", "#64c8ff"),
    11: ("snow or ice", "#ff96ff"),
}
"""Sentinel-2 scene classification: code → name and colour, as SNAP and the Sentinel Hub draw it."""

QUALITATIVE = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#dd8452", "#8172b3")
"""Paul Tol's bright scheme and two more: distinct with every common colour blindness."""

_SEASONS = {"spring": "#5a9e4b", "summer": "#d99a1c", "autumn": "#bf5b2c", "fall": "#bf5b2c", "winter": "#4a86c5"}

UNTIMED = "#7d6bb0"
"""What has no season."""

OUTCOMES = {"complete": "#2f9e77", "rejected": "#e0803f", "failed": "#c8374a", "pending": "#a3abb3"}
"""What became of a location, or of a patch."""

REJECTS = ("#e0803f", "#b0709b", "#d9b13b", "#6f8fbf", "#a5673f", "#7d6bb0", "#c98f8f", "#5f9ea0", "#94803f", "#777f88")
"""One per reason, in order."""


def classes(spec: SourceSpec) -> dict[int, str]:
    """Code → colour for each class of a source; the official one where the source has such."""
    official = OFFICIAL.get(spec.name, {})
    return {c.code: official.get(c.code, QUALITATIVE[n % len(QUALITATIVE)]) for n, c in enumerate(spec.kind.legend)}


def seasons(names: Iterable[str]) -> dict[str, str]:
    """Season → colour, each its own; the well-known ones have theirs, and many others are spread over the spectrum."""
    names = list(names)
    others = [n for n in names if n not in _SEASONS]
    free = list(QUALITATIVE)
    if len(others) > len(free):
        free = [to_hex(colormaps["turbo"](0.06 + 0.88 * n / len(others))) for n in range(len(others))]
    own = dict(zip(others, free, strict=False))
    return {n: _SEASONS.get(n) or own[n] for n in names}


def rgb(colour: str) -> tuple[int, int, int]:
    """`#rrggbb` as three bytes."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
