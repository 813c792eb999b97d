import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from curation.read.shift import FALSE_ACCEPTS, least_peak, shift_px
from curation.recipe.bounds import LEAST_PX, MAX_SHIFT_PX
from tests.properties import examples, fast


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
@settings(max_examples=examples(40), deadline=None)
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


def unrelated(kind: str, px: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two images that have nothing to do with each other."""
    if kind == "noise":
        return rng.normal(size=(px, px)), rng.normal(size=(px, px))
    one, other = (scene(int(rng.integers(1 << 30)), px + 32)[16:-16, 16:-16] for _ in range(2))
    return (one, other) if kind == "fields" else (one, other + 3 * np.log(rng.gamma(4.4, 1 / 4.4, (px, px))))


def accepted(kind: str, px: int, count: int) -> float:
    """Share of unrelated pairs that are taken for related ones."""
    rng = np.random.default_rng([px, len(kind)])
    return float(np.mean([shift_px(*unrelated(kind, px, rng))[2] >= least_peak(px) for _ in range(count)]))


@pytest.mark.parametrize("px", fast([32, 96], [32, 48, 96, 264]))
@pytest.mark.slow
def test_few_unrelated_images_have_a_sharp_peak_whatever_their_size(px):
    # Each kind is below 1 % (the slow test below); so few pairs say it to a factor of two.
    assert np.mean([accepted(kind, px, 120 if px < 200 else 50) for kind in ("noise", "fields", "speckle")]) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("px", [32, 64, 264])  # the least that is compared, and that of 10 m
def test_fewer_unrelated_images_than_told_have_a_sharp_peak(px):
    assert (
        np.mean([accepted(kind, px, 1000 if px < 100 else 300) for kind in ("noise", "fields", "speckle")])
        < FALSE_ACCEPTS
    )


@pytest.mark.parametrize("px", [32, 64, 132, 176])
def test_few_real_images_of_two_places_have_a_sharp_peak(shared, px):
    optical, radar = {}, {}
    for path in sorted((shared / "data/terramind/S2L2A").glob("*.tif")):
        with rasterio.open(path) as file:
            optical[path.name] = file.read((2, 3, 4, 8)).astype(float).mean(axis=0)
        with rasterio.open(shared / "data/terramind/S1RTC" / path.name) as file:
            radar[path.name] = 10 * np.log10(np.maximum((10 ** (file.read() / 10)).mean(axis=0), 1e-6))
    rng = np.random.default_rng(px)

    def crop(image: np.ndarray) -> np.ndarray:
        row, col = rng.integers(0, image.shape[0] - px + 1, 2)
        return image[row : row + px, col : col + px]

    pairs = [rng.choice(sorted(optical), 2, replace=False) for _ in range(120)]
    assert np.mean([shift_px(crop(optical[a]), crop(radar[b]))[2] >= least_peak(px) for a, b in pairs]) < 0.025


def test_the_least_peak_falls_with_the_number_of_pixels_and_lets_what_is_related_pass():
    peaks = [least_peak(px) for px in range(LEAST_PX, 400)]
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[0] > 8
    assert least_peak(264) < 4.5
    image = scene(2)
    speckle = np.random.default_rng(3).gamma(4.4, 1 / 4.4, still(image).shape)
    assert shift_px(still(image), (5 - moved(image, 2, -1)) * speckle**0.25)[2] > least_peak(128)


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
