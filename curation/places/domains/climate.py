"""The climate zone of a place after Köppen and Geiger, from a raster of 100 arc seconds (Rubel and others) in the atlas."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curation.places.grids import Floats, Ints
from curation.places.land import is_land
from curation.recipe import atlas

PX_PER_DEG = 36
"""Pixels of 100 arc seconds."""

ZONES = (
    *("Af", "Am", "As", "Aw", "BSh", "BSk", "BWh", "BWk", "Cfa", "Cfb", "Cfc", "Csa", "Csb", "Csc", "Cwa", "Cwb"),
    *("Cwc", "Dfa", "Dfb", "Dfc", "Dfd", "Dsa", "Dsb", "Dsc", "Dsd", "Dwa", "Dwb", "Dwc", "Dwd", "EF", "ET"),
)
"""Zones in the order of their codes, from 1 on; code 32 is the sea."""

_LEGEND = np.s_[:3, : 3 * len(ZONES)]
"""Where the published raster bears its own legend, 3 × 3 pixels of each code: at the North Pole, which is sea."""

_MAIN = {"A": "equatorial", "B": "arid", "C": "warm temperate", "D": "snow", "E": "polar"}
_RAIN = {"W": "desert", "S": "steppe", "f": "fully humid", "s": "summer dry", "w": "winter dry", "m": "monsoonal"}
_HEAT = {
    **{"h": "hot arid", "k": "cold arid", "a": "hot summer", "b": "warm summer", "c": "cool summer"},
    "d": "extremely continental",
}
_POLAR = {"F": "frost", "T": "tundra"}
"""What letters mean: Kottek and others 2006, doi:10.1127/0941-2948/2006/0130, table 1."""


def _in_words(zone: str) -> str:
    rest = [_POLAR[zone[1]]] if zone[0] == "E" else [_RAIN[zone[1]], *(_HEAT[c] for c in zone[2:])]
    return ", ".join([_MAIN[zone[0]], *rest])


WORDS: Mapping[str, str] = {zone: _in_words(zone) for zone in ZONES}
"""Zone → what it is, for a person: `Cfb` → `warm temperate, fully humid, warm summer`."""

AT_SEA, UNMAPPED = "at_sea", "unmapped"
"""Why a place has no zone: it lies in the sea; it is land of which the raster draws none (small islands, some coasts)."""


@dataclass(frozen=True, slots=True)
class Climates:
    """What zones places are of."""

    zone: NDArray[Any]
    """`<U3` (n,): one of `ZONES`, empty where it is not told."""
    outcome: NDArray[Any]
    """`<U8` (n,): `AT_SEA` or `UNMAPPED` where it is not, else empty."""


def find(lon: Floats, lat: Floats) -> Climates:
    """The zones of points in degrees; longitudes may run beyond ±180.

    A point is of the pixel that it lies in, whose north and west edges belong to it: the map is as fine as that, the
    boundaries between zones are not.
    """
    found = codes()[_pixels(lon, lat)]
    sea = found == len(ZONES) + 1
    zone = np.where(sea, "", np.array([*ZONES, ""])[found.astype(np.int64) - 1])
    why = np.where(is_land(lon, lat), UNMAPPED, AT_SEA)
    return Climates(zone, np.where(sea, why, ""))


def _pixels(lon: Floats, lat: Floats) -> tuple[Ints, Ints]:
    """Rows and columns: 180° E is 180° W, the south pole of the last row."""
    row = np.floor((90.0 - np.asarray(lat)) * PX_PER_DEG).astype(np.int64)
    column = np.floor((np.asarray(lon) + 180.0) % 360.0 * PX_PER_DEG).astype(np.int64)
    # What is a hair west of the antimeridian comes to 360 when rounded.
    return row.clip(0, 180 * PX_PER_DEG - 1), column % (360 * PX_PER_DEG)


@functools.lru_cache(maxsize=1)
def codes() -> NDArray[np.uint8]:
    """The raster, (y, x): 84 MB; north up, from 90° N and 180° W. Raises as `Released.content` does."""
    with Image.open(io.BytesIO(atlas.CLIMATE.content())) as image:
        drawn = np.array(image)
    drawn[_LEGEND] = len(ZONES) + 1
    drawn.flags.writeable = False
    return drawn
