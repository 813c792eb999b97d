import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curation.build import clouds
from curation.build.clouds import Shares
from curation.errors import ReadError
from curation.errors.codes import Code
from curation.outcomes import Reject
from curation.recipe import files
from curation.recipe.schema import QualitySpec
from curation.recipe.sources import SourceSpec
from curation.recipe.toml import read_toml

MASK = hnp.arrays("u1", hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 11))


def source(name: str) -> SourceSpec:
    return read_toml(files.folder("stac_queries") / f"{name}.toml", SourceSpec)


@given(MASK)
@settings(deadline=None)
def test_shares_are_the_counts_of_pixels_by_their_codes(mask):
    counted = [sum(int(v) in codes for v in mask.ravel()) / mask.size for codes in (
        (2, 4, 5, 6, 7, 11), (7,), (11,), tuple(range(2, 12)),
    )]  # fmt: skip
    found = clouds.shares(mask, source("s2l2a"), "here")
    assert [found.clear, found.doubtful, found.snow, found.valid] == pytest.approx(counted)
    sure = sum(int(v) in (2, 4, 5, 6) for v in mask.ravel()) / mask.size
    assert found.clearness == pytest.approx(sure + counted[2] / 2)


def test_every_code_of_sentinel_2_is_in_one_set():
    spec = source("s2l2a")
    assert sorted(spec.mask_codes) == list(range(12))
    assert spec.cloudy == [3, 8, 9, 10], "shadow, cloud and cirrus"
    assert (spec.doubtful, spec.snow, spec.invalid) == ([7], [11], [0, 1])


def test_nodata_is_never_clear():
    found = clouds.shares(np.zeros((4, 4), "u1"), source("s2l2a"), "here")
    assert (found.clear, found.valid, found.clearness) == (0, 0, 0)


def test_a_code_that_the_source_does_not_know_is_no_cloud_and_no_ground():
    with pytest.raises(ReadError, match=r"^S2A_x: the mask of s2l2a holds codes \[12, 200\], expected one of \[0, 1, "):
        clouds.shares(np.array([[4, 12], [200, 9]], "u1"), source("s2l2a"), "S2A_x")


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        (Shares(0.95, 0.2, 0.5, 1.0), None),
        (Shares(0.9, 0.3, 0.6, 0.999), None),  # just good enough
        (Shares(0.9, 0.31, 0.6, 0.999), (Code.DOUBTFUL, 0.31)),
        (Shares(0.9, 0.31, 0.61, 0.999), (Code.SNOWY, 0.61)),
        (Shares(0.89, 0.31, 0.61, 0.999), (Code.CLOUDY, 0.89)),
        (Shares(0.89, 0.31, 0.61, 0.99), (Code.NODATA, 0.99)),
    ],
)
def test_each_share_has_a_limit_of_its_own(shares: Shares, told: tuple[Code, float] | None):
    quality = QualitySpec(min_clear=0.9, max_doubtful=0.3, max_snow=0.6)
    if told is None:
        shares.check(quality, 0.999)
        return
    with pytest.raises(Reject) as caught:
        shares.check(quality, 0.999)
    assert (caught.value.code, caught.value.value) == told


def test_clear_ground_is_better_than_snow_and_snow_than_cloud_or_doubt():
    clear, snow = Shares(1, 0, 0, 1), Shares(1, 0, 1, 1)
    cloud, doubt = Shares(0, 0, 0, 1), Shares(1, 1, 0, 1)
    assert clear.clearness > snow.clearness > cloud.clearness == doubt.clearness
