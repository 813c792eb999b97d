import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.places import land
from tests.properties import examples


def by_points(top: int, left: int, rows: int, columns: int) -> np.ndarray:
    """The mask cells of a window by asking for the middle of each."""
    row, column = np.meshgrid(np.arange(top, top + rows), np.arange(left, left + columns), indexing="ij")
    return land.is_land((column + 0.5) / 120 - 180, 90 - (row + 0.5) / 120)


@settings(max_examples=examples(60), deadline=None)
@given(st.integers(0, 21_540), st.integers(-100, 43_300), st.integers(1, 60))
def test_windows_of_the_mask_are_its_points(top, left, side):
    (found,) = land.windows(np.array([top]), np.array([left]), side)
    assert (found == by_points(top, left, side, side)).all()


@settings(max_examples=examples(60), deadline=None)
@given(
    st.integers(-40, 21_590), st.integers(1, 60), st.lists(st.integers(-100, 43_300), min_size=1, max_size=4),
    st.integers(1, 90),
)  # fmt: skip
def test_land_in_windows_is_any_of_its_points(top, rows, left, width):
    (found,) = land.any_land(np.array([top]), np.array([top + rows]), np.array(left), width)
    first, last = max(top, 0), min(top + rows, 21_600)
    assert found.tolist() == [bool(by_points(first, x, max(last - first, 0), width).any()) for x in left]


@pytest.mark.parametrize("left", [0, 43_190, -10])
def test_windows_run_on_across_the_antimeridian(left):
    top = round((90 - 67.5) * 120)  # Chukotka lies on both sides
    assert land.any_land(np.array([top]), np.array([top + 30]), np.array([left]), 20).all()
    assert land.windows(np.array([top]), np.array([left]), 20).all()
