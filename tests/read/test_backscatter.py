import numpy as np
import pytest

from curation.errors.codes import Code
from curation.outcomes import Reject
from curation.read import backscatter

NODATA = -32768.0


def patch(share: float, power: float, empty: int = 0) -> np.ndarray:
    pixels = np.full((2, 20, 20), 0.1, "float32")
    pixels[1].ravel()[: round(share * 400)] = power
    pixels[:, :empty] = NODATA
    return pixels


@pytest.mark.parametrize(("power", "share"), [(1e6, 0.02), (10_001, 1.0), (3e38, 0.5)])
def test_more_that_is_brighter_than_anything_is_refused_with_its_share_of_valid_pixels(power, share):
    with pytest.raises(Reject) as caught:
        backscatter.possible(patch(share, power), NODATA)
    assert (caught.value.code, caught.value.value) == (Code.IMPOSSIBLE, pytest.approx(share))
    few = patch(0.0, power, empty=19)
    few[0, -1, 0] = power
    with pytest.raises(Reject) as caught:
        backscatter.possible(few, NODATA)
    assert caught.value.value == pytest.approx(1 / 20)


def test_less_is_no_data_and_what_is_bright_and_may_be_is_kept():
    pixels = patch(0.01, 1e6)
    found = backscatter.possible(pixels, NODATA)
    assert found.dtype == pixels.dtype
    assert (found == NODATA).sum() == 4
    assert np.array_equal(found[pixels < 1e4], pixels[pixels < 1e4])
    for power in (-0.01, 0.0, 1.0, 1e3, 1e4):  # 40 dB itself may be
        pixels = patch(0.3, power)
        assert backscatter.possible(pixels, NODATA) is pixels
