"""What is told of where samples lie: country, climate, nearest city, or the sea; what is in doubt is not."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from curation.model import Location
from curation.pack.captions import layout
from curation.places import cities, grid
from curation.places.domains import climate, country
from curation.places.land import PER_DEG, is_land

Floats = NDArray[np.float64]

NEAR_KM = 5.0
"""What is nearer to a city than that is near it, and lies in no direction: a city is as wide."""


def facts_of_places(places: Sequence[Location]) -> dict[str, dict[str, str]]:
    """Id of each place → name and value of what may be told of it."""
    lon, lat = (np.array([getattr(p, key) for p in places], np.float64) for key in ("lon", "lat"))
    sea = _is_sea(places, lon, lat)
    out: dict[str, dict[str, str]] = {p.id: {"sea": "sea"} if s else {} for p, s in zip(places, sea, strict=True)}
    for place, name, zone in zip(places, country.find(lon, lat).name, climate.find(lon, lat).zone, strict=True):
        out[place.id] |= {k: v for k, v in (("country", str(name)), ("climate", str(zone)[:1])) if v}
    near = cities.nearest(lon, lat)
    for place, name, km, azimuth in zip(places, near.name, near.distance_km, near.azimuth_deg, strict=True):
        if name:
            out[place.id] |= _city(str(name), float(km), float(azimuth))
    return out


def spelt(name: str) -> str:
    """A city's name as a sentence has it: one name of several, no full stop, letters without marks of their own."""
    one = re.split(r" / |, | \(", name)[0]
    plain = unicodedata.normalize("NFC", one).translate(_MARKS)
    return "".join(c for c in plain if not unicodedata.combining(c))


_MARKS = str.maketrans({".": None, "‘": "’", "–": "-"})


def _city(name: str, km: float, azimuth: float) -> Mapping[str, str]:
    if km < NEAR_KM:
        return {"city": spelt(name), "city.km": "near"}
    turn = np.radians(azimuth)
    return {
        "city": spelt(name),
        "city.km": str(round(km)),
        "city.direction": layout.towards(float(np.sin(turn)), float(np.cos(turn))),
    }


def _is_sea(places: Sequence[Location], lon: Floats, lat: Floats) -> NDArray[np.bool_]:
    """Whether no point of a place is land, by the mask of 1 km: of a lattice from edge to edge as dense as its rows."""
    half = np.array([grid.side_m(p) / 2 for p in places]) / 111_000
    wide = half / np.cos(np.radians(np.clip(lat, -89, 89)))
    sea = ~is_land(lon, lat)
    steps = np.linspace(-1, 1, int(np.ceil(2 * half.max(initial=0) * PER_DEG)) + 2)
    for east, north in itertools.product(steps, steps):
        sea &= ~is_land(lon + east * wide, np.clip(lat + north * half, -90, 90))
    return sea
