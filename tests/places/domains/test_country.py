from collections import Counter

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import DamageError
from curation.places.domains import country
from curation.places.nearby import EARTH_RADIUS_KM, unit
from curation.recipe import atlas

KNOWN = {
    # lat, lon → code, why not, continent, why not
    "Munich": (48.14, 11.58, "DEU", "", "Europe", ""),
    "Manaus": (-3.1, -60.0, "BRA", "", "South America", ""),
    "Cairo": (30.04, 31.24, "EGY", "", "Africa", ""),
    "Athens": (37.98, 23.73, "GRC", "", "Europe", ""),
    "Reykjavik": (64.1, -21.9, "ISL", "", "Europe", ""),
    "Lhasa": (29.65, 91.1, "CHN", "", "Asia", ""),
    "the South Pole": (-90.0, 0.0, "ATA", "", "Antarctica", ""),
    "beside the South Pole": (-89.9, 179.9, "ATA", "", "Antarctica", ""),
    "the North Pole": (90.0, 0.0, "", "at_sea", "", "at_sea"),
    "the Pacific": (0.0, -140.0, "", "at_sea", "", "at_sea"),
    "Oslo, whose code the table lacks": (60.3, 10.5, "NOR", "", "Europe", ""),
    "Guyana of France": (4.0, -53.0, "FRA", "", "South America", ""),
    "France": (47.0, 2.0, "FRA", "", "Europe", ""),
    "Turkey west of the Bosporus": (41.3, 27.3, "TUR", "", "Europe", ""),
    "Turkey east of it": (39.0, 33.0, "TUR", "", "Asia", ""),
    "New Guinea of Indonesia": (-4.1, 138.0, "IDN", "", "Oceania", ""),
    "Korea's north, whose slip of an outline borders on Russia alone": (40.0, 127.0, "PRK", "", "Asia", ""),
    "Basel, where three countries meet": (47.55, 7.6, "", "near_border", "Europe", ""),
    "Istanbul, of one country and two continents": (41.05, 29.0, "TUR", "", "", "near_border"),
    "Singapore, which is not drawn": (1.35, 103.8, "", "near_border", "Asia", ""),
    "Hong Kong": (22.3, 114.17, "", "near_border", "Asia", ""),
    "Mauritius, which no outline is near": (-20.3, 57.55, "", "unmapped", "", "unmapped"),
    "Pristina": (42.6, 20.9, "", "disputed", "Europe", ""),
    "Western Sahara": (24.5, -13.7, "", "disputed", "Africa", ""),
    "Crimea": (45.2, 34.2, "", "disputed", "Europe", ""),
    "Srinagar": (34.1, 74.8, "", "disputed", "Asia", ""),
}


@pytest.mark.parametrize("place", KNOWN)
def test_places_are_told_and_those_that_cannot_be_are_not(place):
    lat, lon, *wanted = KNOWN[place]
    its = country.find(np.array([lon]), np.array([lat]))
    assert [its.iso_a3[0], its.outcome[0], its.continent[0], its.continent_outcome[0]] == wanted
    assert (its.name[0] == "") == (its.iso_a3[0] == "")


@pytest.fixture(scope="module")
def cities():
    known = atlas.cities()
    return known["lon"] / 1e5, known["lat"] / 1e5, known["country"].astype(str)


@pytest.fixture(scope="module")
def told(cities):
    return country.find(cities[0], cities[1])


def test_of_34_006_cities_one_in_a_thousand_is_told_of_another_country_than_geonames_has_it(cities, told):
    code, told_of = cities[2], told.iso_a3
    there = told_of != ""
    assert there.sum() > 29_000
    home = {k: Counter(code[told_of == k]).most_common(1)[0][0] for k in np.unique(told_of[there])}
    wrong = Counter((k, c) for k, c in zip(told_of[there], code[there], strict=True) if home[k] != c)
    assert wrong.pop(("FRA", "GF")) == 3  # Guyana has a code of its own
    assert wrong.total() <= 20, wrong
    assert Counter(told.outcome.tolist()).keys() == {"", "at_sea", "near_border", "disputed", "unmapped"}


def test_an_outline_runs_as_near_to_the_border_as_is_said(cities, told):
    lon, lat, code = cities
    there = told.iso_a3 != ""
    home = {Counter(code[told.iso_a3 == k]).most_common(1)[0][0]: k for k in np.unique(told.iso_a3[there])}
    drawn = country._drawn()
    iso = drawn.iso_a3[drawn.country]
    beyond = [(c, home[code[c]]) for c, p in drawn.within(lon, lat).T if home.get(code[c], iso[p]) != iso[p]]
    assert len(beyond) > 150
    km = [
        EARTH_RADIUS_KM * np.sqrt(((drawn._points._unit[iso[drawn._of_point] == of] - here) ** 2).sum(axis=1).min())
        for (_, of), here in zip(beyond, unit(*(v[[c for c, _ in beyond]] for v in (lon, lat))), strict=True)
    ]
    assert np.percentile(km, 90) < 25


def test_what_is_told_lies_as_far_from_any_other_country_as_is_said():
    rng = np.random.default_rng(3)
    lon, lat = rng.uniform(-180, 180, 4000), np.degrees(np.arcsin(rng.uniform(-1, 1, 4000)))
    its = country.find(lon, lat)
    drawn = country._drawn()
    iso, here = drawn.iso_a3[drawn.country[drawn._of_point]], unit(lon, lat)
    for k in np.flatnonzero(its.iso_a3 != "")[:200]:
        others = drawn._points._unit[iso != its.iso_a3[k]]
        apart = EARTH_RADIUS_KM * 2 * np.arcsin(np.sqrt(((others - here[k]) ** 2).sum(axis=1).min()) / 2)
        assert apart > country.RESOLUTION_KM


@given(
    lon=st.floats(-180, 180),
    lat=st.floats(-90, 90) | st.sampled_from([-90.0, 90.0, 66.5, -77.0]),
    turns=st.integers(-1, 1),
)
def test_a_meridian_is_the_same_by_any_of_its_numbers_and_a_point_the_same_among_others(lon, lat, turns):
    alone, again = (country.find(np.array(at), np.array([lat] * len(at))) for at in ([lon], [lon + 360 * turns, 11.6]))
    for field in ("iso_a3", "outcome", "continent", "continent_outcome"):
        if abs(lon + 360 * turns - lon) < 1 or abs((lon * 2**20) % 1) == 0:  # or the turn itself rounds
            assert getattr(alone, field)[0] == getattr(again, field)[0]


def test_both_sides_of_the_antimeridian_are_of_one_country():
    its = country.find(np.array([180.0, -180.0, 179.999, -179.999]), np.full(4, 66.5))
    assert set(its.iso_a3) == {"RUS"}


def test_parts_of_another_continent_than_their_country_are_three():
    drawn = country._drawn()
    _, _, shapes, (said,) = country.pyogrio.raw.read(atlas.COUNTRIES[0].path, columns=["continent"])
    parts = shapely.get_parts(shapely.from_wkb(shapes))
    other = [k for k in range(len(parts)) if drawn.continents[drawn.continent[k]] != said[drawn.country[k]]]
    assert {(str(drawn.name[drawn.country[k]]), str(drawn.continents[drawn.continent[k]])) for k in other} == {
        ("France", "South America"),
        ("Indonesia", "Oceania"),
        ("Turkey", "Europe"),
    }


def test_outlines_that_are_not_those_released_are_refused(monkeypatch, tmp_path):
    for file in atlas.COUNTRIES:
        (tmp_path / file.file).write_bytes(file.content())
    (tmp_path / "countries.dbf").write_bytes(atlas.COUNTRIES[2].content().replace(b"Germany", b"Germani"))
    monkeypatch.setattr(atlas, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(DamageError, match=r"countries.dbf: sha256 .*reinstall"):
        country._Drawn()
