import numpy as np

from curation.places.domains import elevation, hemisphere


def test_a_band_has_its_lower_edge_and_an_unknown_height_none():
    heights = np.array([-430.0, -0.1, 0.0, 199.9, 200.0, 4499.9, 4500.0, 8848.0, np.nan])
    assert elevation.find(heights).tolist() == [
        *("below 0 m", "below 0 m", "0-200 m", "0-200 m", "200-500 m", "3000-4500 m"),
        *("4500 m and above", "4500 m and above", ""),
    ]
    assert len(set(elevation.BANDS)) == 8


def test_the_equator_is_of_the_north():
    assert hemisphere.find(np.array([-90.0, -1e-9, 0.0, 90.0])).tolist() == ["south", "south", "north", "north"]
