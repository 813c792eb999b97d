import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from curation.shift import MAX_SHIFT_PX, shift_px


def scene(seed: int, size: int = 160) -> np.ndarray:
    """Fields with sharp borders, as land has."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(size, size)), 6)
    fields = np.digitize(smooth, np.quantile(smooth, [0.2, 0.4, 0.6, 0.8])).astype(float)
    return ndimage.gaussian_filter(fields, 0.8)


def moved(image: np.ndarray, east: float, south: float) -> np.ndarray:
    return ndimage.shift(image, (south, east), order=5, mode="reflect")[16:-16, 16:-16]


def still(image: np.ndarray) -> np.ndarray:
    return image[16:-16, 16:-16]


@given(st.floats(-6, 6), st.floats(-6, 6), st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_a_known_shift_below_a_pixel_is_measured(east, south, seed):
    image = scene(seed)
    x, y, peak = shift_px(still(image), moved(image, east, south))
    assert abs(x - east) <= 0.1
    assert abs(y - south) <= 0.1
    assert peak > 20


@pytest.mark.parametrize(("east", "south"), [(3, 0), (0, 2), (-1, -4), (0, 0)])
def test_x_is_east_and_y_is_south(east, south):
    image = scene(1)
    a, b = image[20:-20, 20:-20], image[20 - south : -20 - south, 20 - east : -20 - east]
    x, y, _ = shift_px(a, b)
    assert (round(x), round(y)) == (east, south)
    back = shift_px(b, a)
    assert (round(back[0]), round(back[1])) == (-east, -south)


def test_edges_are_found_whatever_is_bright_and_under_speckle():
    image = scene(2)
    speckle = np.random.default_rng(3).gamma(4.4, 1 / 4.4, still(image).shape)
    x, y, peak = shift_px(still(image), (5 - moved(image, 2, -1)) * speckle**0.25)
    assert abs(x - 2) <= 0.5
    assert abs(y + 1) <= 0.5
    assert peak > 5


def test_unrelated_images_have_no_sharp_peak():
    rng = np.random.default_rng(4)
    peaks = [shift_px(rng.normal(size=(128, 128)), rng.normal(size=(128, 128)))[2] for _ in range(40)]
    peaks += [shift_px(still(scene(n)), still(scene(n + 1000)))[2] for n in range(40)]
    assert np.quantile(peaks, 0.95) < 5


def test_an_image_without_structure_has_no_shift():
    flat = np.full((64, 64), 7.0)
    assert np.isnan(shift_px(flat, still(scene(5, 96)))).all()
    assert np.isnan(shift_px(still(scene(5, 96)), flat)).all()


@pytest.mark.parametrize("shapes", [((64, 64), (64, 63)), ((4 * MAX_SHIFT_PX - 1, 64),) * 2])
def test_shapes_that_cannot_be_compared_are_refused(shapes):
    with pytest.raises(ValueError, match="expected equal, at least 32 px"):
        shift_px(*(np.ones(s) for s in shapes))


def test_a_shift_between_two_bands_of_a_real_scene_is_found_again(shared):
    path = sorted((shared / "data/terramind/S2L2A").glob("*.tif"))[0]
    with rasterio.open(path) as file:
        green, red = (file.read(b).astype(float) for b in (3, 4))
    apart = shift_px(still(green), still(red))
    assert abs(apart[0]) <= 0.3
    assert abs(apart[1]) <= 0.3, "bands of one scene lie upon each other"
    for east, south in ((0.5, 0), (1.0, -2.0), (-1.5, 0.25)):
        x, y, peak = shift_px(still(green), moved(red, east, south))
        assert abs(x - apart[0] - east) <= 0.3
        assert abs(y - apart[1] - south) <= 0.3
        assert peak > 5
