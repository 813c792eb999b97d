import numpy as np
import pytest

from curation.report import variogram


def test_white_noise_is_unlike_from_the_nearest_on_and_what_grows_without_end_has_no_range():
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(0, 10, 800), rng.uniform(-5, 5, 800)
    noise = variogram.of(lon, lat, rng.normal(size=(800, 2)))
    assert noise.range_km == pytest.approx(noise.km[:4].mean(), rel=2)
    assert noise.gamma[-3:] == pytest.approx(noise.sill, rel=0.1)
    slope = variogram.of(lon, lat, lon[:, None])
    assert slope.range_km is None or slope.range_km > 300
    assert (np.diff(slope.gamma) > 0).all()


def test_a_range_is_interpolated_between_classes():
    assert variogram._range(np.array([1.0, 10.0, 100.0]), np.array([0.0, 0.5, 1.4]), 1.0) == pytest.approx(10**1.5)
    assert variogram._range(np.array([1.0, 10.0]), np.array([0.0, 0.5]), 1.0) is None
    assert variogram._range(np.array([2.0, 10.0]), np.array([0.99, 1.0]), 1.0) == 2.0


def test_what_says_nothing_is_none():
    lon = np.linspace(0, 1, 9)
    assert variogram.of(lon, lon, lon[:, None]) is None
    many = np.linspace(0, 1, 50)
    assert variogram.of(many, many, np.ones((50, 1))) is None
    assert variogram.of(np.zeros(50), np.zeros(50), many[:, None]) is None


def test_the_same_places_in_another_process_give_the_same():
    rng = np.random.default_rng(1)
    at = rng.uniform(-180, 180, 3000), rng.uniform(-60, 60, 3000), rng.normal(size=(3000, 1))
    one, again = variogram.of(*at), variogram.of(*at)
    assert (one.gamma == again.gamma).all()
