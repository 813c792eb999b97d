"""Where sun and satellite stood, as items say it, and which satellite it was: facts of patches on request. Pure.

Items state angles at the scene's centre. What one says may be anything: a value that cannot be is no value, and why is told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curation.errors.printable import shown
from curation.model import Scene
from curation.recipe.facts import Fact


@dataclass(frozen=True, slots=True)
class _Stated:
    """A property of items that states an angle."""

    name: str
    least: float
    most: float
    degrees: Callable[[float], float] = float
    """The angle of what is stated."""


def _azimuth(name: str) -> _Stated:
    """Of STAC 0 to 360; Landsat's metadata, and items made of them, have -180 to 180."""
    return _Stated(name, -180, 360, lambda value: value % 360)


@dataclass(frozen=True, slots=True)
class _Angle:
    """An angle that is a fact."""

    name: str
    meaning: str
    stated: tuple[_Stated, ...]
    """Who may state it: the first that is a number that can be counts."""


_ANGLES = (
    _Angle(
        "sun_zenith_deg",
        "angle of the sun from the zenith at the scene's centre, degrees; above 90 it is night",
        (_Stated("view:sun_elevation", -90, 90, lambda value: 90 - value), _Stated("s2:mean_solar_zenith", 0, 180)),
    ),
    _Angle(
        "sun_azimuth_deg",
        "where the sun stands at the scene's centre, degrees clockwise from true north",
        (_azimuth("view:sun_azimuth"), _azimuth("s2:mean_solar_azimuth")),
    ),
    _Angle(
        "view_zenith_deg",
        "angle from the vertical of the ground to the satellite at the scene's centre (incidence angle), degrees",
        (_Stated("view:incidence_angle", 0, 90),),
    ),
    _Angle(
        "view_azimuth_deg",
        "where the satellite stands at the scene's centre, degrees clockwise from true north",
        (_azimuth("view:azimuth"),),
    ),
    _Angle(
        "off_nadir_deg",
        "angle at the satellite between nadir and the scene's centre, degrees",
        (_Stated("view:off_nadir", 0, 90),),
    ),
)

NAMES = tuple(a.name for a in _ANGLES)
"""Of the facts, without the source's name."""

SUN = ("sun_zenith_deg", "sun_azimuth_deg")
"""Of them, those of the sun."""

UNKNOWN = "angles_unknown"
"""The fact that says why an angle that was stated is not known."""

PLATFORM = "platform"


def read(properties: Mapping[str, Any]) -> dict[str, float | str]:
    """The angles that an item states: name → degrees, or why what it says can be none. It raises nothing."""
    out: dict[str, float | str] = {}
    for angle in _ANGLES:
        for by in angle.stated:
            value = properties.get(by.name)
            if value is None or isinstance(out.get(angle.name), float):
                continue
            if isinstance(value, int | float) and not isinstance(value, bool) and by.least <= value <= by.most:
                out[angle.name] = by.degrees(float(value))
            else:
                why = f"{by.name} is {shown(value)}, expected a number from {by.least:g} to {by.most:g}"
                out.setdefault(angle.name, why)
    return out


def facts(source: str) -> list[Fact]:
    """What is told of a source whose recipe asks for it."""
    return [
        Fact(f"{source}_{PLATFORM}", "string", "the satellite, such as sentinel-2a; empty where unknown"),
        *(
            Fact(f"{source}_{a.name}", "float32", f"{a.meaning}; of several scenes that differ not known")
            for a in _ANGLES
        ),
        Fact(f"{source}_{UNKNOWN}", "string", "why angles that items state are not known; empty where all of them are"),
    ]


def of_scenes(source: str, scenes: Sequence[Scene]) -> dict[str, Any]:
    """Those facts of the scenes that a patch's pixels come from.

    Of several scenes an angle is known where it is the same for all to a degree (tiles of one pass): then it is that of the
    first. Satellites stand each once, separated by spaces.
    """
    out: dict[str, Any] = {f"{source}_{PLATFORM}": joined(s.platform for s in scenes)}
    why: list[str] = []
    for name in NAMES:
        values = [(s.angles or {}).get(name) for s in scenes]
        why += [v for v in values if isinstance(v, str)]
        known = [v for v in values if isinstance(v, int | float)]
        alike = len(known) == len(scenes) and all(_apart(known[0], v) <= 1 for v in known)
        out[f"{source}_{name}"] = known[0] if known and alike else None
        if known and not alike and len(known) == len(scenes):
            why.append(f"{name} differs among {len(scenes)} scenes")
    out[f"{source}_{UNKNOWN}"] = "; ".join(dict.fromkeys(why))
    return out


def _apart(one: float, other: float) -> float:
    """Degrees between two angles, which may lie on both sides of north."""
    return abs(math.remainder(one - other, 360))


def joined(values: Iterable[str | int | None]) -> str:
    """What is known of several scenes: each value once, separated by spaces."""
    return " ".join(dict.fromkeys(str(v) for v in values if v is not None))
