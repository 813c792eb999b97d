"""Information is what arrays pack into, beside what others of the same member do."""

import numpy as np
import pytest

from curation.worth.prune.information import information, little


def test_bits_are_told_beside_the_median_of_the_same_member():
    sizes = np.array([[100, 10, 7], [100, 40, 7], [50, 10, 7], [100, np.nan, 7], [np.nan] * 3])
    bits = information(sizes)
    assert bits[:4] == pytest.approx([0, 1, -0.5, 0])
    assert np.isnan(bits[4])
    assert little(bits, 0.8).tolist() == [False, False, True, False, False]


def test_what_is_not_packed_says_nothing():
    bits = information(np.full((5, 2), 64.0))
    assert np.isnan(bits).all()
    assert not little(bits, 1.0).any()
