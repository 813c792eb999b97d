"""Which Landsat scenes there are: those of a table of acquisitions."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cache

from curation.embedded.archive.scenes import Edge, Part, Sky, clock_time, edge_of, flown
from curation.embedded.world import noise, tables
from curation.embedded.world.grids import Grid, landsat_grid
from curation.embedded.world.regions import Region, by_name

COLLECTION = "landsat-c2-l2"

_TABLE = tables.beside(__file__)

_CYCLE_DAYS = 8
"""From one satellite's passage to the other's."""


@dataclass(frozen=True, slots=True)
class PassL:
    """A Landsat acquisition of a region."""

    region: str
    date: str
    path: int
    """Of WRS-2."""
    sky: Sky
    edge: Edge | None = None
    """The swath's edge; None where the swath covers the whole region."""


@dataclass(frozen=True, slots=True)
class SceneL:
    """One Landsat scene, of Collection 2 Level 2."""

    acquired: PassL
    region: Region
    row: int
    """Of WRS-2."""
    epsg: int
    number: int
    """Of the satellite: 8 or 9."""
    time: dt.datetime
    """UTC."""
    part: Part | None = None
    """The whole: there are no others."""

    @property
    def id(self) -> str:
        """As the Planetary Computer names its items: without the day on which it was processed."""
        return f"LC{self.number:02d}_L2SP_{self.acquired.path:03d}{self.row:03d}_{self.time:%Y%m%d}_02_T1"

    @property
    def seed(self) -> int:
        """Of what differs from pixel to pixel."""
        return noise.seed_of("landsat", self.id)

    @property
    def grid(self) -> Grid:
        """Its ground by pixels of 10 m, nine of which are one of its own."""
        return landsat_grid(self.region, self.epsg)

    @property
    def doy(self) -> int:
        """Day of the year."""
        return self.time.timetuple().tm_yday


@cache
def landsat_scenes() -> tuple[SceneL, ...]:
    """Every Landsat scene, in the table's order."""
    out = []
    for region, rows in _TABLE["passes"].items():
        for row in rows:
            path = _TABLE["paths"][str(row["path"])]
            is_first, day = flown(path["day"], row["date"], _CYCLE_DAYS, row["path"])
            acquired = PassL(region, row["date"], row["path"], Sky(row["cover"]), edge_of(row))
            time = clock_time(day, path["clock"])
            out.append(SceneL(acquired, by_name(region), path["row"], path["epsg"], 8 if is_first else 9, time))
    return tuple(out)
