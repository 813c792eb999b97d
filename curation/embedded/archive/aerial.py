"""Which aerial pictures there are: the sheets of a table of flights, as NAIP has them, of a quarter of a quadrangle each."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import shapely

from curation.embedded.world import tables
from curation.embedded.world.grids import Grid
from curation.embedded.world.regions import Region, by_name, projected, utm_box

COLLECTION = "naip"

SHEET_DEG = 3.75 / 60
"""Side of a sheet."""

BEYOND_M = 300
"""How far a picture reaches beyond its sheet, at least."""

_TABLE = tables.beside(__file__)

BLOCK_PX = 512
"""Sides of pictures are multiples of it: whole blocks."""

_CORNER_M = 6
"""Corners lie on multiples of it: whole pixels of every size."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One picture: the ground of a sheet, and some beyond."""

    region: Region
    state: str
    date: dt.date
    published: dt.date
    gsd: float
    """Side of a pixel, metres."""
    lon: float
    """West of the sheet, degrees."""
    lat: float
    """South of the sheet, degrees."""

    @property
    def id(self) -> str:
        """As NAIP's: quadrangle by degree and number of 64 from the north-west, quarter, zone, centimetres, two days."""
        lon, lat = self.middle
        number = 8 * (7 - int(lat % 1 * 8)) + int(lon % 1 * 8) + 1
        quarter = ("n" if lat * 8 % 1 > 0.5 else "s") + ("e" if lon * 8 % 1 > 0.5 else "w")
        where = f"{int(abs(lat)):02d}{int(abs(lon)):03d}{number:02d}_{quarter}_{self.epsg % 100:02d}"
        return f"{self.state}_m_{where}_{round(100 * self.gsd):03d}_{self.date:%Y%m%d}_{self.published:%Y%m%d}"

    @property
    def middle(self) -> tuple[float, float]:
        """Longitude and latitude of the sheet's middle."""
        return self.lon + SHEET_DEG / 2, self.lat + SHEET_DEG / 2

    @property
    def epsg(self) -> int:
        """The UTM zone of its middle."""
        zone = int((self.middle[0] + 180) // 6) + 1
        return (32600 if self.lat >= 0 else 32700) + zone

    @property
    def grid(self) -> Grid:
        """Its own pixels: the rectangle around the sheet."""
        w, s, e, n = utm_box((self.lon, self.lat, self.lon + SHEET_DEG, self.lat + SHEET_DEG), self.epsg)
        x0 = math.floor((w - BEYOND_M) / _CORNER_M) * _CORNER_M
        y0 = math.ceil((n + BEYOND_M) / _CORNER_M) * _CORNER_M
        step = BLOCK_PX * self.gsd
        across, down = math.ceil((e + BEYOND_M - x0) / step), math.ceil((y0 - s + BEYOND_M) / step)
        return Grid(self.epsg, x0, y0, self.gsd, self.gsd, down * BLOCK_PX, across * BLOCK_PX)

    @property
    def footprint(self) -> shapely.Polygon:
        """What the picture covers in longitude and latitude."""
        there = projected(shapely.box(*self.grid.bounds), f"EPSG:{self.epsg}", "EPSG:4326")
        rounded = shapely.set_precision(there, 1e-6)
        assert isinstance(rounded, shapely.Polygon)
        return rounded

    @property
    def doy(self) -> int:
        """Day of the year."""
        return self.date.timetuple().tm_yday


def _of_flight(row: dict[str, Any]) -> list[Sheet]:
    west, south, east, north = row["box"]
    date, published = (dt.date.fromisoformat(row[k]) for k in ("date", "published"))
    return [
        Sheet(
            by_name(row["region"]), row["state"], date, published, row["gsd"], west + i * SHEET_DEG, south + j * SHEET_DEG
        )
        for j in range(round((north - south) / SHEET_DEG))
        for i in range(round((east - west) / SHEET_DEG))
    ]  # fmt: skip


@cache
def sheets() -> tuple[Sheet, ...]:
    """Every picture, in the table's order, from the south-west on."""
    return tuple(sheet for row in _TABLE["flights"] for sheet in _of_flight(row))
