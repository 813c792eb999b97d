"""The city that a place is told by: the nearest one, and no district of another."""

import numpy as np
import pyproj
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.places import cities
from curation.recipe import atlas

KNOWN = {
    (-46.70, -23.65): "São Paulo",  # Santo Amaro, where the nearest name of GeoNames is Campo Grande's
    (-46.45, -23.54): "São Paulo",  # Itaquera
    (-46.47, -23.43): "São Paulo",  # the airport of Guarulhos, near Ermelino Matarazzo
    (-47.06, -22.91): "Campinas",
    (-73.97, 40.66): "New York City",  # Brooklyn
    (-74.17, 40.69): "New York City",  # the airport of Newark, near Elizabeth
    (13.40, 52.50): "Berlin",  # Kreuzberg
    (13.06, 52.40): "Potsdam",
    (10.09, 53.58): "Hamburg",  # Wandsbek
    (31.13, 29.98): "Giza",  # near Kirdāsah
    (139.64, 35.44): "Yokohama",
    (139.78, 35.55): "Tokyo",  # Ōta
    (77.35, 28.57): "Delhi",  # Noida
    (73.02, 19.03): "Mumbai",  # Navi Mumbai
    (114.17, 22.32): "Hong Kong",  # Kowloon
    (114.06, 22.54): "Shenzhen",
    (15.26, -4.26): "Brazzaville",  # across the river from Kinshasa, which is eight times as large
    (-83.03, 42.30): "Windsor",
    (-106.49, 31.76): "El Paso",
    (-122.27, 37.87): "Berkeley",
    (7.10, 51.52): "Gelsenkirchen",
    (6.69, 51.20): "Neuss",
    (4.64, 52.38): "Haarlem",
    (6.17, 51.37): "Venlo",
}
"""Places that a person knows → how they are told."""


def test_known_places_are_told_by_the_city_that_people_would_name():
    lon, lat = (np.array(values) for values in zip(*KNOWN, strict=True))
    found = cities.nearest(lon, lat)
    assert dict(zip(KNOWN, found.name, strict=True)) == KNOWN
    assert found.distance_km.max() < 25


def test_distance_and_direction_are_from_the_city_that_is_told():
    found = cities.nearest(np.array([-46.45, 6.0]), np.array([-23.54, 51.37]))
    names = bytes(atlas.CITY_NAMES.read()).decode().split("\n")
    table = atlas.cities()
    for n, lon, lat in ((0, -46.45, -23.54), (1, 6.0, 51.37)):
        at = names.index(found.name[n])
        azimuth, _, metres = pyproj.Geod(ellps="WGS84").inv(table["lon"][at] / 1e5, table["lat"][at] / 1e5, lon, lat)
        assert (found.distance_km[n], found.azimuth_deg[n]) == (
            pytest.approx(metres / 1000),
            pytest.approx(azimuth % 360),
        )


def test_the_open_sea_has_no_city():
    found = cities.nearest(np.array([-30.0, 180.0, -180.0]), np.array([30.0, 0.0, 0.0]))
    assert not any(found.name)
    assert np.isnan(found.distance_km).all()


def test_of_the_table_most_cities_are_their_own_and_each_part_is_of_one_that_is():
    found = cities._cities()
    own = found.whole == np.arange(len(found.names))
    assert (len(own), int((~own).sum())) == (6183, 940)
    assert own[found.whole].all()
    assert {found.names[n] for n in np.flatnonzero(own)} >= {"Giza", "Yokohama", "Brazzaville", "Potsdam", "Incheon"}
    parts = {found.names[n]: found.names[found.whole[n]] for n in np.flatnonzero(~own)}
    assert parts["Brooklyn"] == "New York City"
    assert parts["Guarulhos"] == parts["Itaquera"] == "São Paulo"


@given(st.lists(st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.integers(100_001, 9_000_000), st.booleans())))
def test_a_part_is_near_a_much_larger_city_of_its_country_that_is_no_part(
    towns: list[tuple[float, float, int, bool]],
):
    towns = sorted(towns, key=lambda town: -town[2])
    lon, lat, people = (np.array([t[k] for t in towns], float) for k in range(3))
    country = np.array([b"AA" if t[3] else b"BB" for t in towns], "S2")
    found = cities.wholes(lon, lat, people, country)
    assert found.tolist() == cities.wholes(lon, lat, people, country).tolist()
    for n, its in enumerate(found):
        km = 6371.0088 * np.radians(np.hypot((lon - lon[n]) * np.cos(np.radians(lat[n])), lat - lat[n]))
        fits = (people >= 3 * people[n]) & (country == country[n]) & (found == np.arange(len(found)))
        slack = km / (8 * np.sqrt(people / 1e6))
        if its == n:
            assert not (fits & (slack < 0.99)).any()
        else:
            assert fits[its]
            assert slack[its] < 1.01
            assert km[its] <= 1.01 * km[fits & (slack < 0.99)].min(initial=np.inf)
