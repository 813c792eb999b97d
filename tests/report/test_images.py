"""Pixels to images: known values in, known colours out."""

import math

import numpy as np
import pytest

from curation.read import backscatter
from curation.recipe.bounds import FLOOR_DB
from curation.recipe.files import folder
from curation.recipe.sources import SourceSpec
from curation.recipe.toml import read_toml
from curation.report import images, palette
from curation.report.images import Stretch


def test_a_stretch_is_linear_between_its_limits_and_then_a_gamma():
    pixels = np.array([[[100, 200, 300, 50, 999]]] * 3, "uint16")
    image = Stretch((100.0,) * 3, (300.0,) * 3, 2.0)(pixels, nodata=0)
    assert image.dtype == np.uint8
    assert image.shape == (1, 5, 4)
    assert image[0, :, 0].tolist() == [0, round(255 * math.sqrt(0.5)), 255, 0, 255]
    assert (image[..., 3] == 255).all()


def test_no_data_is_transparent_and_only_that():
    pixels = np.full((3, 2, 2), 150, "uint16")
    pixels[1, 0, 1] = 0
    image = Stretch((100.0,) * 3, (300.0,) * 3)(pixels, nodata=0)
    assert image[..., 3].tolist() == [[255, 0], [255, 255]]


def test_seasons_share_one_stretch_that_snow_in_one_of_them_does_not_darken():
    rng = np.random.default_rng(1)
    summer, autumn = (rng.integers(300, 1500, (3, 32, 32)).astype("uint16") for _ in range(2))
    snow = np.full((3, 32, 32), 9000, "uint16")
    shared = images.optical_stretch([summer, autumn, snow], 0)
    assert 1300 < shared.high[0] < 1600
    assert len(set(shared.high)) == 1
    assert images.optical_stretch([snow, autumn, summer], 0) == shared


def test_an_image_without_any_data_has_a_stretch_too():
    empty = np.zeros((3, 4, 4), "uint16")
    assert (images.optical_stretch([empty], 0)(empty, 0)[..., 3] == 0).all()


def test_decibels_of_known_powers():
    db = backscatter.decibels(np.array([1.0, 0.1, 0.0, -32768.0], "float32"), -32768)
    assert db[:2].tolist() == pytest.approx([0, -10], abs=1e-5)
    assert db[2] == FLOOR_DB
    assert np.isnan(db[3])


def test_planes_are_drawn_each_between_its_own_limits():
    one, two = np.array([[-20.0, 0.0, -10.0]]), np.array([[-27.0, -7.0, -18.0]])
    image = images.ranged([one, two, one - two], [(-20.0, 0.0), (-27.0, -7.0), (2.0, 14.0)])
    assert image[0, 0, :3].tolist() == [0, 0, round(255 * (7 - 2) / 12)]
    assert image[0, 1, :2].tolist() == [255, 255]
    assert image[0, 2, :3].tolist() == [128, round(255 * 9 / 20), round(255 * 6 / 12)]


@pytest.mark.parametrize(
    ("source", "known"),
    [
        # Earth Engine's "Dynamic World V1" and WorldCover's product manual, written down here a second time
        (
            "dynamicworld",
            {0: (65, 155, 223), 1: (57, 125, 73), 4: (228, 150, 53), 6: (196, 40, 27), 8: (179, 159, 225)},
        ),
        ("worldcover2020", {20: (255, 187, 34), 60: (180, 180, 180), 95: (0, 207, 117), 100: (250, 230, 160)}),
        ("worldcover", {10: (0, 100, 0), 40: (240, 150, 255), 50: (250, 0, 0), 80: (0, 100, 200), 95: (0, 207, 117)}),
    ],
)
def test_class_maps_have_the_official_colours(source, known):
    spec = read_toml(folder("stac_queries") / f"{source}.toml", SourceSpec)
    colours = palette.classes(spec.kind.legend)
    assert set(colours) == {c.code for c in spec.kind.legend}
    image = images.class_map(np.array([[*known, 255 if source == "dynamicworld" else 0]], "uint8"), colours)
    assert [tuple(p) for p in image[0, :-1, :3].tolist()] == list(known.values())
    assert image[0, :, 3].tolist() == [255] * len(known) + [0]


def test_light_comes_from_the_north_west():
    y, x = np.mgrid[:20, :20] * 30.0
    level = images.hillshade(np.zeros((20, 20)), 30)
    facing = images.hillshade(x + y, 30)  # rises to the south-east: its face looks north-west
    away = images.hillshade(-x - y, 30)
    assert level == pytest.approx(np.full((20, 20), math.sqrt(0.5)))
    assert facing.mean() > level.mean() > away.mean()


def test_relief_keeps_the_colour_of_level_ground_and_leaves_holes_open():
    height = np.full((8, 8), 50.0, "float32")
    height[0, 0] = -32768
    image = images.relief(np.where(height == -32768, height, 50.0), 30, -32768)
    assert image[0, 0, 3] == 0
    middle = np.round(255 * np.array(images.LAND(0.5)[:3]))
    assert image[5, 5, :3].tolist() == middle.tolist()


def test_reducing_averages_blocks_and_thinning_takes_one_pixel_of_each():
    plane = np.arange(25.0).reshape(5, 5)
    assert images.reduced(plane[None], 2)[0].tolist() == [[3, 5], [13, 15]]
    assert images.thinned(plane, 2).tolist() == [[6, 8], [16, 18]]
