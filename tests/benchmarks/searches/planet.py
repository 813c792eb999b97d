"""A planet whose archives are full: where scenes lie and when, by rule, so that they can be counted without being made.

Each archive is a lattice of footprints, seen again after so many days. Those of orbits lie the denser the nearer to the
poles. Counts are on the high side: land is everywhere, and no scene is too cloudy to be asked for.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from curation.model import Window
from curation.scenes.cells import Box


@dataclass(frozen=True, slots=True)
class Archive:
    """Footprints of a source: rows of latitude, and in each as many of about a size as go around."""

    height_deg: float
    width_deg: float
    """At the equator."""
    overlap: float
    """How much wider and higher a footprint is than its place in the lattice."""
    narrows: bool
    """Whether footprints are as wide on the ground everywhere."""
    days: float | None
    """Between scenes of a footprint at the equator; None of what has one."""

    def touching(self, box: Box) -> Iterator[tuple[int, int]]:
        """Row and column of each footprint that touches a box."""
        west, south, east, north = box
        more = self.overlap * self.height_deg / 2
        for row in range(int((south - more + 90) // self.height_deg), int((north + more + 90) // self.height_deg) + 1):
            lat = (row + 0.5) * self.height_deg - 90
            if not -90 < lat < 90:
                continue
            width = 360 / self._columns(lat)
            wider = self.overlap * width / 2
            for col in range(int((west - wider + 180) // width), int((east + wider + 180) // width) + 1):
                if 0 <= col < self._columns(lat):
                    yield row, col

    def bounds(self, row: int, col: int) -> Box:
        """West, south, east, north of a footprint."""
        lat = (row + 0.5) * self.height_deg - 90
        width = 360 / self._columns(lat)
        lon = (col + 0.5) * width - 180
        x, y = width * (1 + self.overlap) / 2, self.height_deg * (1 + self.overlap) / 2
        return max(lon - x, -180.0), lat - y, min(lon + x, 180.0), lat + y

    def _columns(self, lat: float) -> int:
        wide = self.width_deg / (math.cos(math.radians(min(abs(lat), 85))) if self.narrows else 1)
        return max(round(360 / wide), 1)

    def _passes(self, row: int, col: int, window: Window) -> tuple[float, float, int]:
        """Days from the window's start to the first scene of a footprint, days between them, and how many there are."""
        if self.days is None:
            return 0.0, 0.0, 1
        lat = (row + 0.5) * self.height_deg - 90
        step = self.days * math.cos(math.radians(min(abs(lat), 75)))
        first = step * ((row * 31 + col * 17) % 97) / 97
        return first, step, math.ceil(((window.end - window.start).total_seconds() / 86_400 - first) / step)

    def times(self, row: int, col: int, window: Window) -> list[dt.datetime]:
        """When a footprint is seen in a window."""
        if self.days is None:
            return [dt.datetime(2021, 1, 1, tzinfo=dt.UTC)]
        first, step, count = self._passes(row, col, window)
        found = [window.start + dt.timedelta(days=first + n * step) for n in range(count)]
        return [t.replace(microsecond=0) for t in found]

    def count(self, box: Box, window: Window) -> int:
        """Scenes that touch a box in a window."""
        return sum(self._passes(row, col, window)[2] for row, col in self.touching(box))


ARCHIVES = {
    # Tiles of 109.8 km every 100 km, seen by two satellites of 10 days, of whose 143 orbits each touches 290 + 110 km.
    "s2l2a": Archive(0.9, 0.9, 0.098, narrows=True, days=10 / 2 * 280 / 400),
    # Frames of 250 by 170 km, seen ascending and descending by two satellites of 12 days and 175 orbits.
    "s1rtc": Archive(1.53, 2.25, 0.1, narrows=True, days=12 / 4 * 229 / 250),
    "dem": Archive(1.0, 1.0, 0.0, narrows=False, days=None),
    "worldcover": Archive(3.0, 3.0, 0.0, narrows=False, days=None),
}
"""By source; what else a recipe has, Planetary Computer has no scenes of."""


def items(source: str, template: dict[str, Any], collection: str, box: Box, window: Window) -> Iterator[dict[str, Any]]:
    """The items that touch a box in a window, each made of a recorded one by its place, time and name."""
    archive = ARCHIVES[source]
    for row, col in archive.touching(box):
        w, s, e, n = archive.bounds(row, col)
        ring = [[w, s], [e, s], [e, n], [w, n], [w, s]]
        for time in archive.times(row, col, window):
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ")
            properties = template["properties"] | ({} if archive.days is None else {"datetime": stamp})
            properties |= {k: stamp for k in ("start_datetime", "end_datetime") if template["properties"].get(k)}
            yield template | {
                "id": f"{source}-{row}-{col}-{time:%Y%m%dT%H%M%S}",
                "collection": collection,
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "bbox": [w, s, e, n],
                "properties": properties,
            }
