"""What Landsat sees of the embedded Earth: the ground's means where pixels lie, and a mask that says what the bands show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyproj
import pytest

from curation.embedded.archive.landsat import SceneL, landsat_scenes
from curation.embedded.archive.scenes import CLEAR, Sky
from curation.embedded.sensors import oli, optics
from curation.embedded.world import view
from curation.embedded.world.cover import COVERS, STEPS, kind, reflectance
from curation.embedded.world.ground import COARSE, Ground
from curation.embedded.world.regions import frame

SIDE = 240
"""Of the part that is looked at, pixels of 10 m."""


def scene_of(day: str, sky: Sky) -> SceneL:
    found = next(s for s in landsat_scenes() if s.acquired.date == day)
    return replace(found, acquired=replace(found.acquired, sky=sky, edge=None))


def level(scene: SceneL) -> Ground:
    """A level ground on which every pixel is another than its neighbours."""
    rows, cols = frame(scene.region).shape
    code = np.random.default_rng(5).integers(0, len(COVERS) * STEPS, (rows, cols)).astype(np.uint16)
    return Ground(code, np.zeros((rows // COARSE, cols // COARSE), np.float32))


def part_of(scene: SceneL, ground: Ground, side: int = SIDE) -> view.View:
    grid = scene.grid
    row, col = ((n - side) // 12 * 6 for n in (grid.height, grid.width))
    return view.make(ground, scene.region, grid.part(row, col, side))


@pytest.mark.parametrize("day", ["2021-06-16", "2021-07-25", "2021-06-14"])
def test_a_pixel_is_the_mean_of_the_ground_that_its_transform_says(day):
    scene = scene_of(day, CLEAR)
    ground = level(scene)
    seen = part_of(scene, ground)
    under = optics.light(scene, seen)
    assert (under.lit == 1).all()
    numbers = oli.bands(scene, seen, under)
    # Where the ground below each of nine points of a pixel lies, point by point.
    grid = seen.grid.coarser(3)
    n = grid.width
    x = grid.x0 + 30 * (np.arange(3 * n) + 0.5) / 3
    y = grid.y0 - 30 * (np.arange(3 * n) + 0.5) / 3
    to_frame = pyproj.Transformer.from_crs(grid.epsg, frame(scene.region).crs, always_xy=True)
    fx, fy = to_frame.transform(*np.meshgrid(x, y))
    row, col = frame(scene.region).pixel(fx, fy)
    table = reflectance(scene.doy, south=scene.region.south, evergreen=scene.region.evergreen)
    swir16 = 0.01 * table[7] + 0.99 * table[10]
    truth = swir16[ground.code[row.astype(int), col.astype(int)]].reshape(n, 3, n, 3).mean(axis=(1, 3))
    got = numbers["swir16"] * oli.SCALE + oli.OFFSET
    assert (
        np.median(np.abs(got - truth)) < 0.004
    )  # noise; and a point within a millimetre of an edge may be of the next one
    beside = np.abs(got[:, 1:] - truth[:, :-1])
    assert np.median(beside) > 0.02


def test_centres_of_pixels_lie_on_multiples_of_30_m():
    for scene in landsat_scenes():
        grid = scene.grid.coarser(oli.FACTOR)
        assert ((grid.x0 + 15) % 30, (grid.y0 - 15) % 30) == (0, 0)
        assert grid.epsg < 32700
        assert (grid.y0 < 0) == scene.region.south


def test_both_satellites_fly_and_the_second_only_since_it_was_launched():
    days = {n: sorted(s.acquired.date for s in landsat_scenes() if s.number == n) for n in (8, 9)}
    assert days[8]
    assert days[9]
    assert days[9][0] > "2021-10-31"


def test_the_mask_says_what_the_bands_show():
    scene = scene_of("2021-07-02", Sky(0.5))
    ground = level(scene)
    seen = part_of(scene, ground, 1920)
    under = optics.light(scene, seen)
    assert under.cloud is not None
    qa, blue = oli.quality(scene, seen, under), oli.bands(scene, seen, under)["blue"]
    opacity = optics.resized(under.cloud, oli.FACTOR)
    bits = np.unpackbits(qa.astype("<u2").view(np.uint8).reshape(*qa.shape, 2), axis=-1, bitorder="little")
    bit = {n: bits[..., n].astype(bool) for n in range(16)}
    assert np.array_equal(bit[3], opacity > oli.OPAQUE)
    assert np.array_equal(bit[6], ~bit[3] & ~bit[1])  # clear: neither cloud nor beside one
    assert not (bit[1] & bit[3]).any()
    assert not bit[0].any()
    # Two bits each: medium confidence has the higher alone.
    assert np.array_equal(bit[8] & bit[9], bit[3])
    assert np.array_equal(bit[9] & ~bit[8], ~bit[3] & (opacity > oli.HAZY))
    water = seen.code[1::3, 1::3] // STEPS
    assert np.array_equal(bit[7], np.isin(water, (kind("river"), kind("lake"))) & ~bit[3])
    assert 0.1 < bit[3].mean() < 0.9
    assert np.median(blue[bit[3]]) > np.median(blue[~bit[3]])


def test_beyond_the_swath_is_fill_and_nothing_else_is():
    scene = next(s for s in landsat_scenes() if s.acquired.edge is not None)
    scene = replace(scene, acquired=replace(scene.acquired, sky=CLEAR))
    ground = level(scene)
    seen = part_of(scene, ground, 1200)
    under = optics.light(scene, seen)
    inside = optics.valid(seen.grid.coarser(oli.FACTOR), scene)
    assert inside is not None
    assert 0.05 < inside.mean() < 0.95
    for numbers in oli.bands(scene, seen, under).values():
        assert np.array_equal(numbers == oli.FILL, ~inside)
    assert np.array_equal(oli.quality(scene, seen, under) == oli.QA_FILL, ~inside)
