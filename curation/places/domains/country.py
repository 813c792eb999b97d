"""The country and continent of a place, by Natural Earth's outlines at 1:110 million: told or not, never guessed.

Outlines of that scale are generalised: what lies within `RESOLUTION_KM` of one may lie on its other side. So a place is of a
country where no other is so near, nor a city of one that is not drawn (Singapore, San Marino). Whether it is at sea the mask
of 1 km says, near a coast; land that no outline holds is of the one country that is near.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray

from curation.places.grids import Floats, Ints
from curation.places.land import is_land
from curation.places.nearby import EARTH_RADIUS_KM, Nearby
from curation.recipe import atlas

RESOLUTION_KM = 30.0
"""How far from the true border an outline may run. Of the cities of GeoNames that lie in the outline of another country than
theirs nine in ten lie within 25 km of their own's (the tests have it); the others are on contested ground, or at lagoons."""

AT_SEA, NEAR_BORDER, DISPUTED, UNMAPPED = "at_sea", "near_border", "disputed", "unmapped"
"""Why a place has no country: it lies in the sea; another country is too near; who governs it is disputed; it is land that
no outline is near (a small island)."""

_CODES = {"France": "FRA", "Norway": "NOR"}
"""ISO 3166-1 codes that the table has as -99 of countries that have one."""

_DISPUTED = frozenset({"W. Sahara", "N. Cyprus", "Somaliland", "Kosovo"})
"""Outlines that the table draws by who governs: of three it has no code."""

_CONTESTED = ((-17.2, 20.7, -8.6, 27.7), (32.4, 44.3, 36.7, 46.2), (73.3, 32.3, 80.4, 37.1), (91.6, 27.0, 97.4, 29.5))
"""West, south, east, north of ground that the table draws as one country's and another claims: Western Sahara; Crimea;
Kashmir with Aksai Chin; Arunachal Pradesh. What of a box is not contested is not told either."""

_PART_OF = frozenset({"GF", "SJ", "AX"})
"""ISO 3166-1 alpha-2 codes of parts of countries, which are drawn as such: Guyana, Svalbard, Åland."""

_STEP_KM = 5.0
"""Outlines are looked at by points so far apart at most."""

_KM_PER_DEG = math.radians(1) * EARTH_RADIUS_KM


@dataclass(frozen=True, slots=True)
class Countries:
    """What countries and continents places are of: arrays of text (n,), empty where it is not told."""

    iso_a3: NDArray[Any]
    """ISO 3166-1 alpha-3."""
    name: NDArray[Any]
    """As Natural Earth has it."""
    outcome: NDArray[Any]
    """One of the above where the country is not told, else empty."""
    continent: NDArray[Any]
    """Of the part of the country; told also where several countries of it are near, and where it is disputed whose it is."""
    continent_outcome: NDArray[Any]
    """As `outcome`; `near_border` where two continents are near."""


def find(lon: Floats, lat: Floats) -> Countries:
    """The countries of points in degrees; longitudes may run beyond ±180."""
    lon, lat = (np.asarray(lon, np.float64) + 180.0) % 360.0 - 180.0, np.asarray(lat, np.float64)
    return _found(lon.tobytes(), lat.tobytes())


def _table() -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Outline (WKB), continent, name and code of each country of the table, (n,)."""
    for file in atlas.COUNTRIES:
        file.content()
    _, _, shapes, (continent, name, code) = pyogrio.raw.read(
        atlas.COUNTRIES[0].path, columns=["continent", "name", "iso_a3"]
    )
    codes = np.array([_CODES.get(n, c) for n, c in zip(name.astype(str), code, strict=True)])
    return shapes, continent.astype(str), name.astype(str), codes


@functools.lru_cache(maxsize=1)
def codes() -> tuple[str, ...]:
    """ISO 3166-1 alpha-3 of all countries that a place can be told to be of, sorted."""
    _, _, name, code = _table()
    return tuple(sorted({*code[~np.isin(name, [*_DISPUTED])].tolist()}))


@functools.lru_cache(maxsize=1)
def continents() -> tuple[str, ...]:
    """All continents that a place can be told to be of, sorted."""
    return tuple(sorted({*_table()[1].tolist()}))


@functools.lru_cache(maxsize=1)
def _found(east: bytes, north: bytes) -> Countries:
    """`find` of the bytes of longitudes and latitudes: whoever asks for countries asks for continents, too."""
    lon, lat = np.frombuffer(east), np.frombuffer(north)
    drawn = _drawn()
    within, near = drawn.within(lon, lat), drawn.near(lon, lat)
    points, parts = np.concatenate([within, near], axis=1)
    deep = np.zeros(len(lon), bool)
    deep[within[0]] = True
    deep[near[0]] = False
    there = is_land(lon, lat) | deep
    country, countries = _only(points, drawn.country[parts], len(lon))
    continent, continents = _only(points, drawn.continent[parts], len(lon))
    countries[drawn.near_another(lon, lat) & (countries == 1)] = 2
    disputed = (countries == 1) & (drawn.is_disputed[country] | _contested(lon, lat))
    outcome, continent_outcome = _outcome(there, countries), _outcome(there, continents)
    outcome[(outcome == "") & disputed] = DISPUTED
    out = Countries(
        np.where(outcome == "", drawn.iso_a3[country], ""),
        np.where(outcome == "", drawn.name[country], ""),
        outcome,
        np.where(continent_outcome == "", drawn.continents[continent], ""),
        continent_outcome,
    )
    for field in dataclasses.fields(out):  # which is the next one's answer, too
        getattr(out, field.name).flags.writeable = False
    return out


def _outcome(there: NDArray[np.bool_], candidates: Ints) -> NDArray[Any]:
    return np.select([~there, candidates == 0, candidates > 1], [AT_SEA, UNMAPPED, NEAR_BORDER], "").astype("<U11")


def _only(points: Ints, of: Ints, count: int) -> tuple[Ints, Ints]:
    """What each point is of where that is one thing (0 where not), and of how many things it may be."""
    pairs = np.unique(np.stack([points, of]), axis=1)
    several = np.bincount(pairs[0], minlength=count)
    one = np.zeros(count, np.int64)
    one[pairs[0]] = pairs[1]
    return one, several


def _contested(lon: Floats, lat: Floats) -> NDArray[np.bool_]:
    out = np.zeros(len(lon), bool)
    for west, south, east, north in _CONTESTED:
        out |= (lon >= west) & (lat >= south) & (lon <= east) & (lat <= north)
    return out


class _Drawn:
    """The outlines: each part of each country, points along all of them, and cities of countries that have none."""

    def __init__(self) -> None:
        shapes, continent, self.name, self.iso_a3 = _table()
        self.is_disputed = np.isin(self.name, [*_DISPUTED])
        parts, self.country = shapely.get_parts(shapely.from_wkb(shapes), return_index=True)
        self._tree = shapely.STRtree(parts)
        self.continents, of_country = np.unique(continent, return_inverse=True)
        self.continent = self._continents(parts, of_country[self.country])
        lon, lat, self._of_point = _along(parts)
        self._points = Nearby(lon, lat)
        self._others = Nearby(*self._cities_of_others())

    def _continents(self, parts: NDArray[Any], said: Ints) -> Ints:
        """Of each part that of its country; of one that is not its largest that of its neighbours, where these are of one.

        So Guyana of France is of South America, Turkey west of the Bosporus of Europe, New Guinea whole of Oceania.
        """
        out, (a, b) = said.copy(), self._tree.query(parts, predicate="intersects")
        km2 = shapely.area(parts) * np.cos(np.radians(shapely.get_y(shapely.centroid(parts)))) * _KM_PER_DEG**2
        for part in np.flatnonzero(km2 >= RESOLUTION_KM**2):  # a smaller one may be a slip of the pen
            around = b[a == part]
            foreign = np.unique(said[around[self.country[around] != self.country[part]]])
            if len(foreign) == 1 and km2[part] < km2[self.country == self.country[part]].max():
                out[part] = foreign[0]
        return out

    def _cities_of_others(self) -> tuple[Floats, Floats]:
        """Cities whose country has no outline: of none do most cities in it have that code."""
        known = atlas.cities()
        lon, lat = (known[k] / atlas.CITY_STEPS_PER_DEG for k in ("lon", "lat"))
        codes, of_city = np.unique(known["country"].astype(str), return_inverse=True)
        city, part = self.within(lon, lat)
        counts = np.zeros((len(self.name), len(codes)), np.int64)
        np.add.at(counts, (self.country[part], of_city[city]), 1)
        drawn = {*codes[counts.argmax(axis=1)[counts.any(axis=1)]], *_PART_OF}
        others = ~np.isin(codes, [*drawn])[of_city]
        return lon[others], lat[others]

    def within(self, lon: Floats, lat: Floats) -> Ints:
        """(2, pairs) of points and the parts that they lie in."""
        return self._tree.query(shapely.points(lon, lat), predicate="intersects")

    def near_another(self, lon: Floats, lat: Floats) -> NDArray[np.bool_]:
        """Whether points are near a city of a country that has no outline."""
        out = np.zeros(len(lon), bool)
        out[self._others.pairs(lon, lat, RESOLUTION_KM / EARTH_RADIUS_KM)[0]] = True
        return out

    def near(self, lon: Floats, lat: Floats) -> Ints:
        """(2, pairs) of points and the parts whose outlines are near."""
        angle = (RESOLUTION_KM + _STEP_KM / 2) / EARTH_RADIUS_KM
        points, these = self._points.pairs(lon, lat, angle)
        return np.unique(np.stack([points, self._of_point[these]]), axis=1)


@functools.lru_cache(maxsize=1)
def _drawn() -> _Drawn:
    return _Drawn()


def _along(parts: NDArray[Any]) -> tuple[Floats, Floats, Ints]:
    """Longitudes and latitudes of points along outlines, `_STEP_KM` apart at most, and which part each is of."""
    rings, of_ring = shapely.get_rings(parts, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    start = np.flatnonzero(ring[1:] == ring[:-1])
    delta = xy[start + 1] - xy[start]
    longest_km = np.hypot(*delta.T) * _KM_PER_DEG
    steps = np.maximum(np.ceil(longest_km / _STEP_KM).astype(np.int64), 1)
    of = np.repeat(np.arange(len(steps)), steps)
    nth = np.arange(len(of)) - np.repeat(np.cumsum(steps) - steps, steps)
    at = xy[start][of] + delta[of] * (nth / steps[of])[:, None]
    return at[:, 0], at[:, 1].clip(-90, 90), of_ring[ring[start][of]]
