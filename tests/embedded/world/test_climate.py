"""The climate of the world: warm and cold where it should be, and wet somewhere always."""

from __future__ import annotations

import numpy as np
import pytest

from curation.embedded.world import climate
from curation.embedded.world.grids import Grid
from curation.embedded.world.regions import REGIONS

LAT = np.arange(90.0, -91.0, -1.0)
LON = np.arange(0.0, 360.0, 30.0)
SEA_LEVEL = np.zeros((len(LAT), len(LON)))


def year_of(lat: float, height_m: float = 0.0) -> np.ndarray:
    """Celsius, January first."""
    its = np.array([lat]), np.array([[height_m]])
    return np.array([climate.temperature_k(*its, 2021, month)[0, 0] for month in range(1, 13)]) - 273.15


def test_it_is_warm_at_the_equator_and_cold_at_the_poles_all_year():
    for month in range(1, 13):
        zonal = climate.temperature_k(LAT, SEA_LEVEL, 2021, month)[:, 0] - 273.15
        assert 20 < zonal[90] < 30
        assert zonal[0] < 3
        assert zonal[-1] < 3
    assert year_of(51.3).mean() == pytest.approx(6, abs=4)


@pytest.mark.parametrize("lat", [23.0, 45.0, 60.0])
def test_seasons_are_opposite_in_the_hemispheres(lat: float):
    assert year_of(lat).argmax() + 1 in (7, 8)
    assert year_of(-lat).argmax() + 1 in (1, 2)
    assert np.ptp(year_of(lat)) > np.ptp(year_of(lat / 2))


def test_it_is_colder_the_higher_it_is():
    assert (year_of(10) - year_of(10, 1000)).tolist() == pytest.approx([6.5] * 12)


def test_it_rains_everywhere_most_where_the_sun_stands_high():
    for month in range(1, 13):
        daily_mm = 1000 * climate.precipitation_m(LAT, LON, 2021, month)
        assert daily_mm.min() > 0.1
        assert daily_mm.max() < 12
    january, july = (1000 * climate.precipitation_m(LAT, LON, 2021, month).mean(axis=1) for month in (1, 7))
    assert LAT[january.argmax()] < 0 < LAT[july.argmax()]


def test_a_region_has_its_own_height():
    for region in REGIONS:
        w, s, e, n = region.bbox
        assert (
            climate.height_m(Grid(4326, (w + e) / 2 - 0.1, (s + n) / 2 + 0.1, 0.2, 0.2, 1, 1))[0, 0]
            == region.base_m + region.relief_m / 2
        )
