"""The nearest city of a place, with how far it is and which way the place lies from it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from curation.places.grids import Floats, Ints
from curation.places.nearby import EARTH_RADIUS_KM, Nearby, arc
from curation.recipe import atlas

REACH_KM = 200.0
"""What is further from any city has none."""

PART_KM, TIMES = 8.0, 3.0
"""A city is a part of one in the same country that has so many times its people where it lies within so many km per square
root of that one's million people (as cities grow in area): 28 km of São Paulo, 15 of Berlin, 8 of Köln. GeoNames lists
districts as it does cities, and does not say which are such. Of the 6,183 that have a name 940 are parts: Itaquera of São
Paulo, Brooklyn of New York City. Giza, Potsdam and Haarlem are none, nor is what a border parts (Brazzaville)."""


@dataclass(frozen=True, slots=True)
class NearestCities:
    """Of each of some places, (n,)."""

    name: NDArray[Any]
    """Of the nearest city of more than 100,000 people, as GeoNames spells it, or of the one that this is a part of; empty
    where none is near."""
    distance_km: Floats
    """From the city's point to the place, on the WGS 84 ellipsoid; NaN where none is near."""
    azimuth_deg: Floats
    """Where the place lies, seen from the city: clockwise from north, 0 to 360; NaN where none is near."""


def nearest(lon: Floats, lat: Floats) -> NearestCities:
    """The nearest cities of points in degrees; longitudes may run beyond ±180. Of two that are as near the more populous."""
    lon, lat = (np.asarray(lon, np.float64) + 180.0) % 360.0 - 180.0, np.asarray(lat, np.float64)
    cities = _cities()
    # A sphere's distances differ from the ellipsoid's by less than a hundredth: none that is nearer is left out.
    whose, city = cities.points.pairs(lon, lat, 1.01 * REACH_KM / EARTH_RADIUS_KM)
    order = np.lexsort([city, _way(cities, city, lon[whose], lat[whose])[1], whose])
    first = order[np.unique(whose[order], return_index=True)[1]]
    whose, city = whose[first], cities.whole[city[first]]
    azimuth, km = _way(cities, city, lon[whose], lat[whose])
    near = km <= REACH_KM
    out = NearestCities(np.full(len(lon), "", object), np.full(len(lon), np.nan), np.full(len(lon), np.nan))
    out.name[whose[near]] = cities.names[city[near]]
    out.distance_km[whose[near]] = km[near]
    out.azimuth_deg[whose[near]] = azimuth[near] % 360
    return out


_GEOD = pyproj.Geod(ellps="WGS84")


@dataclass(frozen=True, slots=True)
class _Cities:
    """The cities that have a name, the most populous first."""

    lon: Floats
    lat: Floats
    names: NDArray[Any]
    points: Nearby
    whole: Ints
    """Number of the one that each is a part of, or its own."""


@functools.lru_cache(maxsize=1)
def _cities() -> _Cities:
    """Them. Raises as `Table.read` does."""
    names = np.array(bytes(atlas.CITY_NAMES.read()).decode().split("\n"), object)
    table = atlas.cities()[: len(names)]
    lon, lat = (table[k] / atlas.CITY_STEPS_PER_DEG for k in ("lon", "lat"))
    whole = wholes(lon, lat, atlas.CITY_PEOPLE.read(), table["country"])
    return _Cities(lon, lat, names, Nearby(lon, lat), whole)


def _way(cities: _Cities, city: Ints, lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """Azimuth, degrees, and km from cities, by number, to points."""
    azimuth, _, metres = _GEOD.inv(cities.lon[city], cities.lat[city], lon, lat)
    return np.asarray(azimuth), np.asarray(metres) / 1000


def wholes(lon: Floats, lat: Floats, people: NDArray[Any], country: NDArray[Any]) -> Ints:
    """Number of the city that each is a part of, the nearest of those that are no parts themselves; of others their own.

    Args:
        lon: degrees, -180 to 180.
        lat: degrees.
        people: how many live in each, descending.
        country: in which each lies.
    """
    reach = PART_KM * np.sqrt(people / 1e6) / EARTH_RADIUS_KM
    one, other = Nearby(lon, lat).pairs(lon, lat, float(reach.max(initial=0)))
    lam, phi = np.radians(lon), np.radians(lat)
    angle = arc(phi[one], phi[other], lam[one] - lam[other])
    larger = (angle <= reach[other]) & (people[other] >= TIMES * people[one]) & (country[other] == country[one])
    one, other, angle = one[larger], other[larger], angle[larger]
    found = np.arange(len(lon))
    for n in np.lexsort([other, angle, one]):  # the most populous first: what a larger one is, is settled by then
        if found[one[n]] == one[n] and found[other[n]] == other[n]:
            found[one[n]] = other[n]
    return found
