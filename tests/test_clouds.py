import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curation import clouds, resources
from curation.recipe import read_toml
from curation.sources import SourceSpec

MASK = hnp.arrays("u1", hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 11))


@given(MASK, st.sets(st.integers(0, 11)))
@settings(deadline=None)
def test_a_fraction_is_the_count_of_pixels_with_one_of_the_codes(mask, codes):
    counted = sum(int(v) in codes for v in mask.ravel())
    assert clouds.fraction(mask, sorted(codes)) == pytest.approx(counted / mask.size)


@given(MASK)
@settings(deadline=None)
def test_every_code_of_sentinel_2_is_clear_or_not_and_clear_and_invalid_do_not_meet(mask):
    source = read_toml(resources.folder("stac_queries") / "s2l2a.toml", SourceSpec)
    cloudy = sorted(set(range(12)) - set(source.clear) - set(source.invalid))
    assert cloudy == [3, 8, 9, 10], "shadow, cloud and cirrus"
    assert not set(source.clear) & set(source.invalid)
    assert set(source.doubtful) <= set(source.clear)
    parts = [clouds.fraction(mask, codes) for codes in (source.clear, source.invalid, cloudy)]
    assert sum(parts) == pytest.approx(1)


def test_nodata_is_never_clear():
    assert clouds.fraction(np.zeros((4, 4), "u1"), [2, 4, 5, 6, 7, 11]) == 0
