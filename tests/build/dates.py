"""Many dates of one place or a few, which differ by date and mask alone: what builds of them take, and refuse."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from curation.outcomes import PatchOutcome, SourceOutcome
from curation.store.ledger import Ledger
from tests import world as tiny
from tests.run import Curate

SUMMER = f"{tiny.SUMMER[:-2]}, anchor = 2021-07-15 }}"
BAND = 's2l2a = { bands = ["B04"] }'
REST = """
[search]
exclude = {exclude}

[quality]
{quality}

[split]
val_fraction = 0.0

[cube]
slab_patches = 2
"""

PX = tiny.SIZE_M // 20
"""Pixels of the mask along a side of a place."""

HERE = (0, 0)
CLEAR, UNSURE, SNOW, CLOUD = 4, 7, 11, 9
Codes = Mapping[int, float]
"""Code of the mask → share of a place."""


class Dates(tiny.World):
    """Scenes of one band that differ by date and mask alone."""

    def __init__(self, folder: Path, places: tuple[tuple[int, int], ...] = (HERE,)) -> None:
        super().__init__(folder)
        self.places = places
        self.band = self.raster("B04.tif", tiny.dn("B04", 10), tiny._at(10), f"EPSG:{tiny.EPSG}")

    def mask(self, day: str, codes: Mapping[tuple[int, int], Codes] | Codes, cloud_pct: float = 0.0) -> str:
        """A scene whose mask holds so much of each code in every place, or in those named; the rest is clear. Its id."""
        by_place = codes if any(isinstance(k, tuple) for k in codes) else dict.fromkeys(self.places, codes)
        scl = np.full((tiny.SIDE_PX // 2,) * 2, CLEAR, "u1")
        for place, wanted in by_place.items():
            (x, y), pixels = tiny.corner(*place), np.full(PX * PX, CLEAR, "u1")
            at = 0
            for code, share in wanted.items():
                n = round(share * PX * PX)
                pixels[at : at + n], at = code, at + n
            row, col = (tiny.Y0 - y) // 20, (x - tiny.X0) // 20
            scl[row : row + PX, col : col + PX] = pixels.reshape(PX, PX)
        name = f"S2A_{day.replace('-', '')}"
        assets = {"B04": self.band, "SCL": self.raster(f"{name}/SCL.tif", scl, tiny._at(20), f"EPSG:{tiny.EPSG}")}
        when = dt.datetime.fromisoformat(f"{day}T10:30:00+00:00")
        more = {"s2__processing_baseline": "03.01", "s2__mgrs_tile": "32ULC", "s2__datatake_id": name}
        more |= {"eo__cloud_cover": cloud_pct, "proj__epsg": tiny.EPSG, "platform": "Sentinel-2A"}
        footprint = tiny._footprint(tiny.X0, tiny.Y0 - 6_000, tiny.X0 + 6_000, tiny.Y0)
        self.item("sentinel-2-l2a", name, when, footprint, assets, **more)
        return name

    def radar(self, day: str, **how: Any) -> str:
        """A scene of Sentinel-1, at 05:50 of that day: 0.19 days before Sentinel-2's. Its id."""
        self.s1(day, "ascending", **how)
        return str(self.items[-1]["id"])

    def ready(self, *, exclude: list[str] | None = None, sources: str = "", **quality: Any) -> Curate:
        """The catalog and the recipe written; what builds it, in a folder of its own. Masks here may be cloudy and snowy."""
        quality = {"min_clear": 0.9, "max_snow": 1.0} | quality
        lines = [f"{x},{y},{tiny.EPSG}" for x, y in (tiny.corner(*p) for p in self.places)]
        (self.folder / "places.csv").write_text("\n".join(["x0_m,y0_m,epsg", *lines]) + "\n")
        told = "\n".join(f"{k} = {json.dumps(v)}" for k, v in quality.items())
        rest = REST.format(exclude=json.dumps(exclude or []), quality=told)
        self.recipe.write_text(tiny.recipe("Many dates of one place", f"{BAND}\n{sources}", rest, seasons=SUMMER))
        self.catalog.write_text(json.dumps({"type": "FeatureCollection", "features": self.items}))
        return Curate(self, self.folder / "root")


def outcomes(curate: Curate, season: str = "summer") -> dict[str, PatchOutcome]:
    return {o.id: o for o in Ledger.replay(curate.store, "europe", season).outcomes()}


def built(curate: Curate, source: str = "s2l2a") -> SourceOutcome:
    """What became of a source of the first place, once it is built."""
    curate()
    return outcomes(curate)[tiny.name(*HERE)].sources[source]


def reason(curate: Curate) -> str:
    curate()
    return outcomes(curate)[tiny.name(*HERE)].reason


def with_picks(dates: Dates, *, s2: str = "'clearest'", s1: str = "", **quality: Any) -> Curate:
    """What builds a recipe that says other picks; without Sentinel-2 where `s2` is empty."""
    curate = dates.ready(sources=f"s1rtc = {{ pick = {s1} }}" if s1 else "", **quality)
    own = f's2l2a = {{ bands = ["B04"], pick = {s2} }}' if s2 else ""
    dates.recipe.write_text(dates.recipe.read_text().replace(BAND, own))
    return curate


RADAR = "s1rtc = {}"
