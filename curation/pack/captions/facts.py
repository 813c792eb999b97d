"""What is stored of a sample that a caption may tell: facts, each a name and a value. Pure.

A fact is a measure in a class: that trees cover most of a picture, not that it is 0.7132. So a text tells it exactly, and
whether a text is true is whether all that it tells is among these.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from curation.pack.annotations import refined_labels
from curation.pack.captions import layout
from curation.pack.captions.layout import COMPASS, POSITIONS
from curation.pack.captions.shares import NOISE_FLOOR, shares_of
from curation.pack.subject import Subject

__all__ = [
    "AMOUNTS",
    "COMPASS",
    "MONTHS",
    "NOISE_FLOOR",
    "POSITIONS",
    "RELIEF",
    "SEASONS",
    "WATER",
    "ZONES",
    "StoredFact",
    "facts_of",
]

AMOUNTS: Mapping[str, float] = {
    "all": 0.9, "most": 0.7, "dominant": 0.5, "much": 0.35, "large": 0.2, "some": 0.1, "small": 0.05, "trace": 0.0,
}  # fmt: skip
"""How much a class covers → least share. What covers half dominates (the first three); large is from a fifth, small from a
twentieth on."""

DOMINANT, LARGE = AMOUNTS["dominant"], AMOUNTS["large"]

SEASONS = ("winter", "spring", "summer", "autumn")
"""By three months, December first, in the north."""

TROPICS_DEG = 10.0
"""No season is told nearer to the equator: there is none of these."""

MONTHS = range(1, 13)

RELIEF: Mapping[str, float] = {"steep": 15.0, "hilly": 6.0, "gentle": 2.0, "flat": 0.0}
"""Least mean slope, degrees."""

ZONES = ("A", "B", "C", "D", "E")
"""Main climate zones after Köppen and Geiger."""

LASTING, CHANGING = WATER = ("lasting", "changing")

WATER_CHANGES = 0.1
"""By so much of the picture water has to come and go between seasons: maps of two days differ by less where it does not."""

FEWEST_SEASONS = 3
"""Of one or two seasons nobody knows whether water stays."""

ALTITUDE_STEP_M = 10
"""Heights are told in whole tens; what is less than one is not."""


@dataclass(frozen=True, slots=True)
class StoredFact:
    """One thing that is stored of a sample."""

    name: str
    """`cover.trees`, `layout.water`, `month` …"""
    value: str
    """In a class, the same in every language; of names and numbers themselves."""
    measured: float | None = None
    """What was measured, where the value is a class of that."""

    @property
    def pair(self) -> tuple[str, str]:
        """What a text tells of it."""
        return self.name, self.value

    def to_json(self) -> dict[str, Any]:
        """Its value, and what was measured."""
        return {"value": self.value} | ({} if self.measured is None else {"measured": float(f"{self.measured:.6g}")})

    @classmethod
    def from_json(cls, name: str, value: Mapping[str, Any]) -> StoredFact:
        """The fact of what `to_json` gave."""
        return cls(name, str(value["value"]), value.get("measured"))


def facts_of(sample: Subject, season: str | None = None, place: Mapping[str, Any] | None = None) -> list[StoredFact]:
    """All facts, greatest classes first.

    Args:
        sample: the sample.
        season: one of its seasons; None: what is true of all that it has.
        place: what is known of where it lies (`places.facts_of_places`).
    """
    seasons = [s for s in sample.season_names if s in sample.seasons] or list(sample.seasons)
    chosen = seasons if season is None else [season]
    covers = list(_cover(sample, chosen))
    where = _where(place or {}, covers)
    return [
        *covers,
        *_layout(sample, chosen, covers),
        *_time(sample, chosen),
        *_relief(sample, has_ground="sea" not in where and not _is_water(covers)),
        *_water(sample, seasons),
        *_sensors(sample, chosen),
        *(StoredFact(name, str(value)) for name, value in where.items()),
        *(StoredFact(f"column.{k}", v) for k, v in _columns(sample)),
    ]


def _where(place: Mapping[str, Any], covers: Iterable[StoredFact]) -> dict[str, Any]:
    """What is told of the place: not that it is at sea where maps have land of whichever classes; and at sea no country."""
    land = sum(f.measured or 0 for f in covers if label_of(f) != "water")
    at_sea = "sea" in place and land < DOMINANT
    return {name: value for name, value in place.items() if name != ("country" if at_sea else "sea")}


def _is_water(covers: Iterable[StoredFact]) -> bool:
    """Whether water dominates."""
    return any(label_of(f) == "water" and (f.measured or 0) >= DOMINANT for f in covers)


def covers_of(facts: Iterable[StoredFact]) -> list[StoredFact]:
    """The classes that are named, greatest first."""
    return [f for f in facts if f.name.startswith("cover.")]


def label_of(fact: StoredFact) -> str:
    """Whose cover or layout it is."""
    return fact.name.partition(".")[2]


def amount(share: float) -> str:
    """The class that a share is in."""
    return next(name for name, least in AMOUNTS.items() if share >= least)


def _cover(sample: Subject, seasons: list[str]) -> Iterator[StoredFact]:
    """Classes that are named: as they are seen (`shares`)."""
    shares, named = shares_of(sample, seasons)
    order = sorted(range(len(shares)), key=lambda n: (-shares[n], n))
    for n in order:
        if named[n]:
            label, share = sample.label_names[n], float(shares[n])
            yield StoredFact(f"cover.{label}", amount(share), round(share, 4))


def _layout(sample: Subject, seasons: list[str], covers: list[StoredFact]) -> Iterator[StoredFact]:
    """Where classes lie that are named and do not cover all: by all maps that there are."""
    maps, _ = refined_labels.maps_of(sample)
    days = [maps[s] for s in seasons if s in maps]
    every = [*([maps[None]] if None in maps else []), *days]
    if len({m.shape for m in every}) != 1:
        return
    for its in covers:
        number = sample.label_names.index(label_of(its))
        votes = np.mean([m == number for m in every], axis=0)
        where = layout.position(votes > 0.5)
        if where is not None and its.value != "all":
            yield StoredFact(f"layout.{label_of(its)}", where)


def _time(sample: Subject, seasons: list[str]) -> Iterator[StoredFact]:
    """Year, month and season, each where all acquisitions have the same; no season near the equator."""
    times = [t for s in seasons for its in sample.seasons[s].get("sources", {}).values() for t in _times(its)]
    years, months = {t.year for t in times}, {t.month for t in times}
    lat = float(sample.location["lat"])
    named = {SEASONS[(m % 12 // 3 + (2 if lat < 0 else 0)) % 4] for m in months}
    if len(years) == 1:
        yield StoredFact("year", str(years.pop()))
    if len(months) == 1:
        yield StoredFact("month", str(months.pop()))
    if len(named) == 1 and abs(lat) >= TROPICS_DEG:
        yield StoredFact("season", named.pop())


def _times(source: Mapping[str, Any]) -> list[dt.datetime]:
    """Of its acquisitions; of a composite its dates, and not their mean. Of a mean of orbits nothing else is stored."""
    if source.get("orbits") is not None:
        return []
    said = source.get("times") or source.get("dates", "").split() or [source.get("time")]
    return [dt.datetime.fromisoformat(t) for t in said if t]


def _relief(sample: Subject, *, has_ground: bool) -> Iterator[StoredFact]:
    """Height, and slope where there is ground to slope: of the surface of water nothing is said."""
    heights = sample.static.get("elevation") or {}
    slope, mean = heights.get("slope_mean_deg"), heights.get("elevation_mean_m")
    if slope is not None and has_ground:
        yield StoredFact("relief", next(name for name, least in RELIEF.items() if slope >= least), slope)
    if mean is not None and (steps := round(mean / ALTITUDE_STEP_M)) >= 1:
        yield StoredFact("altitude", str(steps * ALTITUDE_STEP_M), mean)


def _water(sample: Subject, seasons: list[str]) -> Iterator[StoredFact]:
    """Whether water stays: by the shares of at least three seasons."""
    shares = [its["water"] for s in seasons if "water" in (its := sample.fractions(s))]
    if len(shares) < FEWEST_SEASONS:
        return
    floor = max(sample.rules.min_fraction, NOISE_FLOOR)
    if max(shares) - min(shares) >= WATER_CHANGES:
        yield StoredFact("water", CHANGING, max(shares) - min(shares))
    elif min(shares) >= floor:
        yield StoredFact("water", LASTING, min(shares))


def _sensors(sample: Subject, seasons: list[str]) -> Iterator[StoredFact]:
    """Whose data there are, by what the index says of bands; which of them are told is for the words to say."""
    found: dict[str, None] = {}
    for name in sample.arrays:
        array, _, season = name.partition(".")
        entry = sample.entries.get(array)
        if entry is not None and season in seasons:
            found |= dict.fromkeys(b.sensor for b in entry.canonical if b.sensor)
    yield from (StoredFact(f"sensor.{name}", "yes") for name in found)


def _columns(sample: Subject) -> Iterator[tuple[str, str]]:
    """Columns of the sample's own, as text: 1 and not 1.0."""
    for name, value in (sample.location.get("columns") or {}).items():
        if value is not None and value != "":
            yield name, f"{value:g}" if isinstance(value, float) else str(value)
