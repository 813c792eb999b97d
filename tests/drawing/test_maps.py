"""Maps: bounds, the antimeridian, and how locations are marked."""

import dataclasses
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from curation import grid
from curation.drawing import maps
from curation.model import Location


def _place(lon: float, lat: float) -> Location:
    epsg, x0, y0 = grid.snapped(lon, lat, 2640)
    return Location(grid.location_id(epsg, x0, y0, 2640), lon, lat, epsg, x0, y0, 2640, "r", "train")


def test_places_across_the_antimeridian_lie_side_by_side():
    places = [_place(179.6, -17.0), _place(-179.7, -17.2)]
    assert not maps.spread(places)
    west, south, east, north = maps._bounds(places, 0.08)
    assert east - west == pytest.approx(0.7 * 1.16, abs=0.1)
    assert south < -17.2 < -17.0 < north
    lon = maps.places_lon(places, (west + east) / 2)
    assert ((lon > west) & (lon < east)).all()


def test_two_continents_are_spread_and_one_region_is_not():
    assert maps.spread([_place(6, 51), _place(-46.5, -23.5)])
    assert not maps.spread([_place(6, 51), _place(6.3, 51.3)])


def test_a_single_place_has_its_surroundings():
    west, south, east, north = maps._bounds([_place(3.02, 50.8)], 0.08)
    assert (east - west) * np.cos(np.radians(50.8)) == pytest.approx(1.2, abs=0.01)
    assert north - south == pytest.approx(1.2 * 0.7, abs=0.01)


@pytest.mark.parametrize("many", [3, 500])
def test_a_map_shows_every_state_in_its_colour(many: int):
    base = _place(6.0, 51.2)
    places = [dataclasses.replace(base, id=f"p{n}", lon=6 + n % 20 / 40, lat=51.2 + n // 20 / 60) for n in range(many)]
    states = {p.id: ("complete", "rejected", "pending")[n % 3] for n, p in enumerate(places)}
    text = maps.region(states, places, "m", "Map of somewhere, for a test")
    ET.fromstring(text)
    for state in ("complete", "rejected", "pending"):
        assert maps.OUTCOMES[state] in text
    assert maps.OUTCOMES["failed"] not in text


def test_the_world_has_land_and_its_dots():
    places = [_place(6, 51), _place(-46.5, -23.5)]
    text = maps.world({p.id: "failed" for p in places}, places, "w", "Map of the world, for a test")
    assert text.count(maps.OUTCOMES["failed"]) >= 1
    assert "data:image/png;base64" in text
