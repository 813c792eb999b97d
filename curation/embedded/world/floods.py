"""Floods: when and where water stands on ground that is dry else. What is under water follows from the ground alone.

Water spreads over what lies lower than it, from rivers and lakes on: a hollow that nothing leads to stays dry. What stands
in it but reaches out of it (woods, houses) is not mapped as water, nor does radar see it so.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from curation.embedded.world import tables
from curation.embedded.world.cover import COVERS, STEPS, kind
from curation.embedded.world.ground import Ground, upsampled
from curation.embedded.world.regions import Region

_REACHES_OUT_M = 4.0
"""What is taller stands out of the water."""

_MIDDLE = 128
"""The parcel state of water."""


@dataclass(frozen=True, slots=True)
class Map:
    """What was mapped of a flood, from one image."""

    product: str
    """`first` or `monitoring`."""
    image: dt.datetime
    """When the image was taken, UTC."""


@dataclass(frozen=True, slots=True)
class Flood:
    """One event."""

    event: str
    flood: str
    """Which flood it is part of."""
    region: str
    begins: dt.datetime
    """UTC, as all times here."""
    falls: dt.datetime
    ends: dt.datetime
    high_m: float
    """How high water stands above the region's valley floor until it falls."""
    low_m: float
    """Likewise, from then until it is gone."""
    country: str
    climate: str
    area: tuple[tuple[float, float], ...]
    """The ring, in degrees, of what was looked at."""
    maps: tuple[Map, ...]

    def level_m(self, time: dt.datetime) -> float | None:
        """How high water stands above the valley floor at an instant; None where there is no flood."""
        if not self.begins <= time < self.ends:
            return None
        return self.high_m if time < self.falls else self.low_m


def _flood(row: dict[str, Any]) -> Flood:
    times = {name: dt.datetime.fromisoformat(row[name]) for name in ("begins", "falls", "ends")}
    maps = tuple(Map(m["product"], dt.datetime.fromisoformat(m["image"])) for m in row["maps"])
    return Flood(**row | times | {"maps": maps, "area": tuple(tuple(point) for point in row["area"])})


FLOODS = tuple(map(_flood, tables.beside(__file__)["floods"]))


def level_m(region: Region, time: dt.datetime) -> float | None:
    """How high water stands above a region's valley floor at an instant; None where there is no flood."""
    return next((m for f in FLOODS if f.region == region.name and (m := f.level_m(time)) is not None), None)


def water(ground: Ground) -> NDArray[np.bool_]:
    """Rivers and lakes, by 10 m pixel of the frame."""
    its = ground.code // STEPS
    return np.asarray((its == kind("river")) | (its == kind("lake")))


def flooded(ground: Ground, region: Region, level_m: float) -> NDArray[np.bool_]:
    """What is under water that is dry else, by 10 m pixel of the frame, where it stands so high above the valley floor."""
    permanent = water(ground)
    height = upsampled(ground.height, 0, ground.code.shape[0])
    under = (height < region.base_m + level_m) | permanent
    parts, _ = scipy.ndimage.label(under)
    reached = np.isin(parts, np.unique(parts[permanent]))
    out_of_it = np.array([c.height_m > _REACHES_OUT_M for c in COVERS])
    return np.asarray(under & reached & ~permanent & ~out_of_it[ground.code // STEPS])


def under_water(ground: Ground, region: Region, level_m: float) -> Ground:
    """The ground as a flood leaves it: heights are the land's still."""
    code = np.array(ground.code)
    code[flooded(ground, region, level_m)] = kind("river") * STEPS + _MIDDLE
    return Ground(code, ground.height)
