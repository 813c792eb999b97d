"""Where windows of files lie."""

import rasterio.windows
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.windows import Window

from curation.read.georeference import moved

NUMBER = st.floats(-1e7, 1e7)
INDEX = st.integers(-20_000, 20_000)


@given(st.tuples(*[NUMBER] * 6), INDEX, INDEX)
def test_a_window_lies_where_rasterio_says_to_the_last_bit(of, col, row):
    transform = Affine(*of)
    assert moved(transform, col, row) == rasterio.windows.transform(Window(col, row, 1, 1), transform)
