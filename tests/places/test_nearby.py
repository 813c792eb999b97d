"""Which points lie near which, against comparing each with each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.places.nearby import Nearby, crowded, unit

PLACES = st.lists(
    st.tuples(
        st.one_of(st.floats(-180, 180), st.sampled_from([-180.0, 180.0, 179.999, -179.999, 0.0])),
        st.one_of(st.floats(-90, 90), st.sampled_from([-90.0, 90.0, 83.99, 89.9, 0.0])),
    ),
    max_size=12,
)


@given(PLACES, PLACES, st.sampled_from([1e-5, 1e-3, 0.1, 1.0, np.pi]))
def test_each_pair_that_is_near_is_found_once_across_the_antimeridian_and_the_poles(one, other, angle):
    a, b = (np.array(p, np.float64).reshape(-1, 2) for p in (one, other))
    found = list(zip(*(x.tolist() for x in Nearby(b[:, 0], b[:, 1]).pairs(a[:, 0], a[:, 1], angle)), strict=True))
    apart = np.linalg.norm(unit(a[:, 0], a[:, 1])[:, None] - unit(b[:, 0], b[:, 1])[None], axis=-1)
    chord = 2 * np.sin(angle / 2)
    surely, perhaps = (set(map(tuple, np.argwhere(apart <= chord + e).tolist())) for e in (-1e-9, 1e-9))
    assert len(found) == len(set(found))
    assert surely <= set(found) <= perhaps


@pytest.mark.parametrize(("count", "is_crowded"), [(3000, True), (30, False)])
def test_a_crowd_in_one_place_is_told_before_its_pairs_are_listed(count, is_crowded):
    lon = np.full(count, 6.0) + np.linspace(0, 1e-4, count)
    assert crowded(lon, np.full(count, 51.0), 1e-3, 1_000_000) is is_crowded
