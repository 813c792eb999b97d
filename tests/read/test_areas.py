"""Which pixels of a grid a picture reaches: computed once for all of its bands, and the same as for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from curation.read import warp
from curation.read.reader import Asset, Reader
from tests.read.test_lattices import write as write_bands
from tests.read.test_reader import around, location, neighbour, north_up, spec

AT = location(5.999, 51.0)
"""Beside the edge of two zones, of which either has a picture."""
ARRAY = spec(10)


@pytest.fixture(autouse=True)
def _none_kept() -> Iterator[None]:
    warp.area_cache.clear()
    yield
    warp.area_cache.clear()


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    """Files of four bands of noise: one of the other zone, and one on the place's own grid, which ends within it."""
    rng = np.random.default_rng(0)
    transform, shape = around(AT, neighbour(AT), 10)
    for name, (where, size), epsg in (
        ("own", (north_up(AT.x0_m, AT.y0_m, 10), (30, 66)), AT.epsg),
        ("other", (transform, shape), neighbour(AT)),
    ):
        write_bands(tmp_path / f"{name}.tif", rng.uniform(1, 9, (4, *size)).astype("f4"), where, epsg)
    return [str(tmp_path / f"{name}.tif") for name in ("other", "own")]


def bands_of(pictures: list[str], *, anew: bool) -> list[np.ndarray]:
    out = []
    with Reader("") as reader:
        for band in range(1, 5):
            if anew:
                warp.area_cache.clear()
            pixels, warped = reader.read([Asset(p, "none", band) for p in pictures], ARRAY, AT)
            assert warped
            out.append(pixels)
    return out


def test_all_bands_of_a_picture_share_what_it_reaches_and_come_out_bit_for_bit_the_same(pictures, monkeypatch):
    points, seen = [], warp.seen

    def counted(transform, width, crs, epsg, x, y):
        points.append(np.size(x))
        return seen(transform, width, crs, epsg, x, y)

    monkeypatch.setattr(warp, "seen", counted)
    anew = bands_of(pictures, anew=True)
    each = sum(n == 66 * 66 for n in points)
    points.clear()
    warp.area_cache.clear()
    once = bands_of(pictures, anew=False)
    assert (each, sum(n == 66 * 66 for n in points)) == (4 * 2, 2)
    assert [o.tobytes() for o in once] == [a.tobytes() for a in anew]


def test_what_is_kept_is_of_the_very_grids(pictures):
    """Places, sizes of pixels and pictures that differ each have an area of their own."""
    rng = np.random.default_rng(1)
    transform, _ = around(AT, neighbour(AT), 10)
    with Reader("") as reader:
        crs = reader.opened(Asset(pictures[0], "none"), lambda raster: raster.crs)
    asked = [
        ((40 + int(n), 50), spec(res), location(5.99 + 0.001 * int(n), 51.0))
        for n in rng.integers(0, 9, 6)
        for res in (10, 20)
    ]
    kept = [warp.area_of(transform, shape, crs, array, place) for shape, array, place in asked for _ in range(2)][::2]
    assert len(warp.area_cache) == len({(shape, array.res_m, place.id) for shape, array, place in asked})
    for (shape, array, place), area in zip(asked, kept, strict=True):
        warp.area_cache.clear()
        assert np.array_equal(warp.area_of(transform, shape, crs, array, place), area)
        with pytest.raises(ValueError, match="read-only"):
            area[0, 0] = True


def test_no_more_is_kept_than_has_room(pictures, monkeypatch):
    with Reader("") as reader:
        crs = reader.opened(Asset(pictures[0], "none"), lambda raster: raster.crs)
    transform, shape = around(AT, neighbour(AT), 10)
    assert warp.area_cache.maxsize == warp.AREAS_BYTES == 2**25
    for k in range(9):  # 4 MB each
        warp.area_of(transform, (shape[0] + k, shape[1]), crs, spec(0.5), location(5.999, 51.0, 1024.0))
    assert len(warp.area_cache) == 8
    assert warp.area_cache.currsize <= warp.AREAS_BYTES
