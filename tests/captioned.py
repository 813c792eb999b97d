"""Samples of the embedded Earth for captions, as packing has them: maps that err, and the ground, which is the truth."""

from __future__ import annotations

import datetime as dt
import functools
import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.embedded.sensors import labels, mistakes
from curation.embedded.sensors.mistakes import Mistakes
from curation.embedded.world import ground, regions
from curation.embedded.world.ground import COARSE, Ground
from curation.embedded.world.regions import Region
from curation.format.bands import BandEntry
from curation.format.index import ArrayEntry
from curation.model import Location
from curation.pack.annotations import captions
from curation.pack.annotations.refined_labels import fractions
from curation.pack.captions import words
from curation.pack.captions.facts import StoredFact
from curation.pack.captions.places import facts_of_places
from curation.pack.captions.words import Words
from curation.pack.subject import Subject
from curation.recipe import files
from curation.recipe.schema import LabelsSpec

NAMES = ("water", "trees", "grass", "flooded_vegetation", "crops", "shrub_and_scrub", "built", "bare", "snow_and_ice")
ENGLISH = (files.folder("stac_queries") / "captions" / "en.toml").read_bytes()
RULES = LabelsSpec(annual="worldcover", seasonal="dynamicworld")
RES_M, EPSG = 10, 32631
DAYS = {month: (dt.date(2021, month, 14), dt.date(2021, month, 14).timetuple().tm_yday) for month in range(1, 13)}

Codes = NDArray[np.int16]


SENSOR = "Sentinel-2 MSI"
SIDE = 60
HERE = {"country": "Germany", "climate": "C", "city": "Aachen", "city.km": "12", "city.direction": "north-east"}


def stripes(*shares: tuple[str, float]) -> Codes:
    """A map whose rows are filled from the north: (label, share) each."""
    rows = np.concatenate([np.full(round(s * SIDE), NAMES.index(n), np.int16) for n, s in shares])
    assert len(rows) == SIDE
    return np.repeat(rows[:, None], SIDE, axis=1)


FOREST = stripes(("trees", 0.6), ("crops", 0.3), ("water", 0.1))


def english() -> Words:
    """The words that come along."""
    return words.of_bytes(ENGLISH, "en")


@dataclass(frozen=True)
class Case:
    """One sample, and what its ground is."""

    subject: Subject
    truth: Codes
    """(y, x), numbers of `NAMES`."""

    @property
    def shares(self) -> NDArray[np.float64]:
        """Of each label, by the ground."""
        return fractions(self.truth, len(NAMES))[0]

    @functools.cached_property
    def made(self) -> dict[str, Any]:
        """Its `captions.json`."""
        value = captions.captions(self.subject)
        assert value is not None
        return dict(value.value)

    @property
    def facts(self) -> list[StoredFact]:
        """What its captions are written of."""
        return [StoredFact.from_json(n, f) for n, f in self.made["facts"].items()]


def entry(source: str, band: str, kind: Any, side: int, *, static: bool) -> ArrayEntry:
    """What an index says of a map or of pixels."""
    seasons = () if static else ("summer",)
    return ArrayEntry(source, seasons, (band,), (1, side, side), "uint8", "", 255, RES_M, "classes", "npy", False,
                      (BandEntry(f"{source}.{band}", kind=kind, sensor=SENSOR if kind == "optical" else None),))  # fmt: skip


def subject(
    annual: Codes | None,
    day: Codes | None,
    time: str = "2021-07-14T10:30:00Z",
    key: str = "here",
    lat: float = 51.3,
    place: dict[str, str] | None = None,
    **meta: Any,
) -> Subject:
    """A sample of one season, of its two maps (numbers of `NAMES`)."""
    side = len(annual if annual is not None else day if day is not None else np.zeros((8, 8)))
    arrays = {"s2_10m.summer": np.zeros((1, side, side), np.uint8)}
    entries = {"s2_10m": entry("s2", "b04", "optical", side, static=False)}
    shares: dict[str, Any] = {"": None, "summer": None}
    for codes, name, season in ((annual, "worldcover_10m", ""), (day, "dynamicworld_10m", "summer")):
        if codes is not None:
            arrays[".".join(filter(None, (name, season)))] = codes[None].astype(np.uint8)
            entries[name] = entry(name.removesuffix("_10m"), "map", "classes", side, static=not season)
            shares[season] = {"fractions": fractions(codes, len(NAMES))[0].tolist()}
    return Subject(
        key=key,
        location={"id": key, "lat": lat, "lon": 6.0, **({"columns": meta["columns"]} if "columns" in meta else {})},
        static={"labels": shares[""], "elevation": meta.get("elevation", {})},
        seasons={"summer": {"labels": shares["summer"], "sources": {"s2": {"time": time}}}},
        children=(),
        label_names=NAMES,
        arrays=types.MappingProxyType(arrays),
        entries=types.MappingProxyType(entries),
        season_names=("summer",),
        legends={n: dict(enumerate(NAMES)) for n in ("worldcover_10m", "dynamicworld_10m")},
        rules=RULES,
        gathered={"place": place or {}},
        beside=ENGLISH,
    )


def cases(name: str, count: int, size_px: int = 96, seed: int = 0) -> list[Case]:
    """So many samples anywhere in a region, each of a day of its own; the same for the same seed."""
    region = regions.by_name(name)
    land, rng = ground.make(region), np.random.default_rng(seed)
    rows, cols = land.code.shape
    tops, lefts = rng.integers(rows - size_px, size=count), rng.integers(cols - size_px, size=count)
    made = [
        _case(land, region, int(t), int(c), size_px, 1 + n % 12)
        for n, (t, c) in enumerate(zip(tops, lefts, strict=True))
    ]
    located = facts_of_places([place(one.subject) for one in made])
    return [replace(one, subject=replace(one.subject, gathered={"place": located[one.subject.key]})) for one in made]


def place(its: Subject) -> Location:
    """Where a sample lies; only its centre counts."""
    return Location(its.key, its.location["lon"], its.location["lat"], EPSG, 500_000, 5_600_000, 960, "here")


def _case(land: Ground, region: Region, top: int, left: int, size_px: int, month: int) -> Case:
    row, col = np.mgrid[top : top + size_px, left : left + size_px].astype(np.int32)
    date, doy = DAYS[month]
    raters = (labels.yearly("2.0.0"), labels.daily(region, str(date), doy))
    annual, day = (mistakes.mapped(land, region, row, col, r, Mistakes()).astype(np.int16) for r in raters)
    heights = land.height[top // COARSE : (top + size_px) // COARSE, left // COARSE : (left + size_px) // COARSE]
    down, right = np.gradient(heights, RES_M * COARSE)
    relief = {
        "elevation_mean_m": float(heights.mean()),
        "slope_mean_deg": float(np.degrees(np.arctan(np.hypot(down, right))).mean()),
    }
    its = subject(annual, day, f"{date}T10:30:00Z", f"{region.name}-{top:05d}-{left:05d}", elevation=relief)
    lon, lat = _centre(region, top + size_px / 2, left + size_px / 2)
    truth = mistakes.truth(land, row, col).astype(np.int16)
    return Case(replace(its, location={"id": its.key, "lon": lon, "lat": lat}), truth)


def _centre(region: Region, row: float, col: float) -> tuple[float, float]:
    frame = regions.frame(region)
    to_degrees: Callable[..., Any] = regions.transformer(frame.crs, "EPSG:4326").transform
    lon, lat = to_degrees((col - frame.half_w) * RES_M, (frame.half_h - row) * RES_M)
    return float(lon), float(lat)
