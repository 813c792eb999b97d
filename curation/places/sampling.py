"""The seeded global draws: around cities, or uniform on land.

A draw is one endless, ordered stream of points; those that cannot be a location are passed over. Point k follows from the
seed and k alone, so neither the size of batches nor the region asked for changes which locations there are.

Of what is installed nothing changes a draw that could be told: cities and land are the atlas's, the numbers are raw words,
and what sines and projections differ by in their last digits (nanometres) would have to carry a point over the edge of a
step of 60 m, of a cell of the mask or of another footprint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import NormalDist

import numpy as np

from curation.errors import ConfigError
from curation.places import grids
from curation.places.grids import Floats, Ints, Places
from curation.places.land import is_land
from curation.places.nearby import EARTH_RADIUS_KM
from curation.places.overlap import Placed
from curation.places.strata import Balance, turns
from curation.recipe import atlas
from curation.recipe.places import PlacesSpec
from curation.recipe.schema import ChildrenSpec

BATCH = 65_536
"""Points drawn at once; no result depends on it."""

MOST_TRIED = 500_000
"""Points that a balanced draw tries, however few places it is of, before a class has too few."""

_WORDS = 3
"""Numbers per point of the stream."""

_NORMAL = np.frompyfunc(NormalDist().inv_cdf, 1, 1)
"""What a share of a normal distribution lies below, in standard deviations (Wichura 1988, exact to a part in 10¹⁵)."""


def drawn(
    spec: PlacesSpec | ChildrenSpec, seed: int, size_m: float, batch: int = BATCH, by: Balance | None = None
) -> Places:
    """Exactly `spec.count` places in order of the draw: on land, within UTM's limits, in their own zone, none overlapping.

    A point is passed over where its snapped grid's centre is not on land (1 km mask), has no UTM zone or lies in another
    zone than its grid (a few metres beside a border), or where its footprint overlaps that of an earlier place.

    With `by` those of no class that is wanted are passed over, and of the others each class has its own stream: they take
    turns (`strata.turns`), so that what a place is follows from the seed and its number here, too.

    Raises:
        ConfigError: there are fewer cities than asked for, the places are too crowded, or there are too few of a class.
    """
    assert spec.count is not None
    if by is not None:
        return _balanced(spec, seed, size_m, batch, by)
    found, accepted, tried = list[Places](), 0, 0
    for batch_of in _accepted(spec, seed, size_m, batch):
        found.append(batch_of)
        accepted, tried = accepted + len(batch_of), tried + batch
        if accepted >= spec.count:
            break
        if tried > 100 * spec.count + 10_000:
            raise ConfigError(
                f"{spec.table} count = {spec.count:,}: {tried:,} draws gave only {accepted:,} places that do not overlap; "
                "ask for fewer, or raise 'cities' or 'std_km'"
            )
    return grids.joined(found).take(slice(0, spec.count))


def _accepted(
    spec: PlacesSpec | ChildrenSpec, seed: int, size_m: float, batch: int, by: Balance | None = None
) -> Iterator[Places]:
    """The places of the endless stream, a batch of points at a time; with `by` only those of a class that is wanted."""
    point = _around_cities(spec) if spec.sampler == "gaussian-cities" else _uniform
    stream, placed = np.random.PCG64(seed), Placed(size_m)
    while True:
        # Raw words are the one stream that numpy promises never to change (NEP 19).
        words = stream.random_raw(_WORDS * batch).reshape(batch, _WORDS)
        _, candidates = possible(*point(open_unit(words)), size_m)
        candidates = candidates.take(is_land(candidates.lon, candidates.lat))
        if by is not None:
            candidates = candidates.take(by.of(candidates.lon, candidates.lat) >= 0)
        yield candidates.take(placed.admit(candidates))


def _balanced(spec: PlacesSpec | ChildrenSpec, seed: int, size_m: float, batch: int, by: Balance) -> Places:
    """Of each class the first of the stream, as many as its turns; in the order of turns.

    A place that is not wanted yet, since its class has enough, keeps its ground: a longer draw has it.
    """
    assert spec.count is not None
    order = turns(by.weights, spec.count)
    wanted = {code: int((order == code).sum()) for code in by.weights}
    found, tried, have = list[Places](), 0, dict.fromkeys(wanted, 0)
    for places in _accepted(spec, seed, size_m, batch, by):
        codes = by.of(places.lon, places.lat)
        found.append(places)
        have = {code: n + int((codes == code).sum()) for code, n in have.items()}
        tried += batch
        short = {code: n for code, n in wanted.items() if have[code] < n}
        if not short:
            break
        if tried > 100 * spec.count + MOST_TRIED:
            lacking = ", ".join(f"{have[code]:,} of {n:,} of {by.names[code]}" for code, n in short.items())
            raise ConfigError(
                f"{by.where}: {tried:,} draws gave too few places of some classes: {lacking}. Ask for fewer (count), or "
                "for other parts of them (strata), or leave them out (without, least_km2)"
            )
    every = grids.joined(found)
    codes = by.of(every.lon, every.lat)
    rows = np.empty(spec.count, np.int64)
    for code, n in wanted.items():
        rows[order == code] = np.flatnonzero(codes == code)[:n]
    return every.take(rows)


def open_unit(words: np.ndarray[tuple[int, ...], np.dtype[np.uint64]]) -> Floats:
    """Words as numbers in the open interval (0, 1): the middles of 2**52 steps."""
    return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def possible(lon: Floats, lat: Floats, size_m: float) -> tuple[Ints, Places]:
    """Which points can be locations, land or not, and their snapped grids, in the points' order."""
    rows = np.flatnonzero(grids.has_utm(lat))
    found = grids.snap(lon[rows], lat[rows], size_m)
    within = grids.has_utm(found.lat)
    rows, found = rows[within], found.take(within)
    own_zone = grids.utm_epsgs(found.lon, found.lat) == found.epsg
    return rows[own_zone], found.take(own_zone)


def _around_cities(spec: PlacesSpec | ChildrenSpec) -> Callable[[Floats], tuple[Floats, Floats]]:
    """What makes points of numbers (n, 3): a city of equal chance each, and a normal distance east and north of it."""
    city_lon, city_lat = cities(spec.cities, spec.table)

    def points(unit: Floats) -> tuple[Floats, Floats]:
        city = (unit[:, 0] * len(city_lon)).astype(np.int64)
        east_km, north_km = (np.asarray(_NORMAL(unit[:, k]), np.float64) * spec.std_km for k in (1, 2))
        return moved(city_lon[city], city_lat[city], east_km, north_km)

    return points


def _uniform(unit: Floats) -> tuple[Floats, Floats]:
    """Points (lon, lat) of equal chance per area of the sphere."""
    return grids.wrap(unit[:, 0] * 360.0 - 180.0), np.degrees(np.arcsin(2.0 * unit[:, 1] - 1.0))


def moved(lon: Floats, lat: Floats, east_km: Floats, north_km: Floats) -> tuple[Floats, Floats]:
    """Points moved on the sphere along great circles: kilometres count alike east and north at any latitude.

    To first order east is divided by cos(lat), which SSL4EO-S12 left out; the great circle is right near the poles too.
    """
    angle = np.hypot(east_km, north_km) / EARTH_RADIUS_KM
    bearing = np.arctan2(east_km, north_km)
    phi = np.radians(lat)
    sine = np.sin(phi) * np.cos(angle) + np.cos(phi) * np.sin(angle) * np.cos(bearing)
    there = np.arcsin(np.clip(sine, -1.0, 1.0))
    turn = np.arctan2(np.sin(bearing) * np.sin(angle) * np.cos(phi), np.cos(angle) - np.sin(phi) * np.sin(there))
    return grids.wrap(lon + np.degrees(turn)), np.degrees(there)


def cities(count: int, table: str = "[places]") -> tuple[Floats, Floats]:
    """Longitudes and latitudes of the `count` most populous cities of the atlas; ties by their GeoNames id.

    Raises:
        ConfigError: the atlas has fewer.
    """
    known = atlas.cities()
    if len(known) < count:
        raise ConfigError(f"{table} cities = {count:,}: the gazetteer has only {len(known):,}; ask for fewer")
    first = known[:count]
    return first["lon"] / atlas.CITY_STEPS_PER_DEG, first["lat"] / atlas.CITY_STEPS_PER_DEG
