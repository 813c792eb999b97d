"""Which Sentinel-2 image something is of, by names. Pure.

An image is named by the start of its datatake and its tile: `20200718T102559_20200718T103605_T31TFJ` at Earth Engine,
`S2A_MSIL2A_20200718T102559_…_T31TFJ_…` as a product. When the tile itself was sensed (`datetime` of STAC items, the time in
ids of Earth Search) is minutes later: up to 535 s in recorded items. Tiles are written as `spelling.tile` does.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from curation.model import Scene
from curation.scenes import spelling

_START = r"(?P<start>[0-9]{8}T[0-9]{6})"
_TILE = rf"T?(?P<tile>{spelling.SQUARE})"
_EARTH_ENGINE = re.compile(rf"(?<![A-Za-z0-9]){_START}_[0-9]{{8}}T[0-9]{{6}}_{_TILE}(?![A-Za-z0-9])")
_PRODUCT = re.compile(rf"S2[A-Z]_MSIL(?:1C|2A)_{_START}_(?:[A-Z0-9]+_)*?{_TILE}(?![A-Za-z0-9])")
_DATATAKE = re.compile(rf"GS2[A-Z]_{_START}_[0-9]{{6}}")
_ANY_TILE = re.compile(rf"(?<![A-Za-z0-9]){_TILE}(?![A-Za-z0-9])")

DATATAKE_S = 1500
"""A datatake is some 20 minutes at most, of an orbit of 100: what was sensed within it lies no further from its start."""

ROUNDED_S = 60
"""By so much times of one instant differ that are stated in different places."""


@dataclass(frozen=True, slots=True)
class Acquisition:
    """A Sentinel-2 image, by what is known of it."""

    tile: str | None
    """Its MGRS tile, `31TFJ`."""
    start: dt.datetime | None
    """Start of its datatake, UTC."""
    sensed: dt.datetime | None = None
    """An instant within it, UTC."""
    day: dt.date | None = None
    """Its day, UTC, where no more is known."""


def of_id(text: str) -> Acquisition | None:
    """The image that an id names which begins with the datatake; None where it is of another form."""
    found = _EARTH_ENGINE.search(text) or _PRODUCT.search(text)
    start = _started(found)
    return None if found is None or start is None else Acquisition(spelling.tile(found["tile"]), start)


def of_scene(name: str, sensed: dt.datetime | None) -> Acquisition:
    """The image that a scene is, by its id, and by when it was sensed where its id does not tell the datatake."""
    named = of_id(name)
    if named is not None:
        return Acquisition(named.tile, named.start, sensed)
    tile = _ANY_TILE.search(name)
    return Acquisition(spelling.tile(tile["tile"]) if tile else None, None, sensed)


def of(scene: Scene) -> Acquisition:
    """The image that a scene is, by its id, and by what its item states where that does not tell tile or datatake."""
    named = of_scene(scene.id, scene.time)
    return Acquisition(
        named.tile or scene.tile, named.start or _started(_DATATAKE.fullmatch(scene.datatake or "")), scene.time
    )


def _started(found: re.Match[str] | None) -> dt.datetime | None:
    """The start of a datatake that a name tells; None where it tells none."""
    try:
        return dt.datetime.strptime(found["start"], "%Y%m%dT%H%M%S").replace(tzinfo=dt.UTC) if found else None
    except ValueError:
        return None


def same(label: Acquisition, scene: Acquisition) -> bool:
    """Whether a label is of a scene's image.

    One with a tile is of the scene's tile and datatake: the same start, where both tell it; else one that the scene was
    sensed within. One without tells a time, or a day, of the same pass over the place.
    """
    if label.tile is not None and label.tile != scene.tile:
        return False
    if label.day is not None:
        known = scene.start or scene.sensed
        return known is not None and known.date() == label.day
    if label.start is not None and scene.start is not None:
        return label.start == scene.start
    if label.start is not None:
        return scene.sensed is not None and -ROUNDED_S <= (scene.sensed - label.start).total_seconds() <= DATATAKE_S
    if label.sensed is None:
        return False
    if scene.start is not None:
        return -ROUNDED_S <= (label.sensed - scene.start).total_seconds() <= DATATAKE_S
    return scene.sensed is not None and abs((label.sensed - scene.sensed).total_seconds()) <= DATATAKE_S
