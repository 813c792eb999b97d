"""What the scenes show: the same ground in every zone, clouds where the mask says, labels that follow the ground."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.warp import Resampling, reproject

from curation.embedded.archive import scenes
from curation.embedded.archive.archive import Archive, Key
from curation.embedded.sensors import optics
from curation.embedded.world import clouds, regions
from tests.properties import fast


@pytest.fixture(scope="module")
def archive(earth) -> Archive:
    """The server's own cache: what either renders, the other finds."""
    return Archive(earth.cache)


def _scene(date: str, tile: str, baseline: str | None = None) -> scenes.Scene2:
    found = [
        s
        for s in scenes.s2_scenes()
        if s.acquired.date == date and s.tile.name == tile and baseline in (None, s.baseline)
    ]
    (scene,) = found
    return scene


def _read(archive: Archive, scene: scenes.Scene2, asset: str) -> np.ndarray:
    with rasterio.open(archive.path(Key("sentinel-2-l2a", scene.id, asset))) as file:
        return file.read(1)


@pytest.mark.slow
def test_a_product_processed_again_differs_by_its_offset_alone(archive):
    old, new = _scene("2021-04-26", "32ULB", "03.00"), _scene("2021-04-26", "32ULB", "05.00")
    assert old.id != new.id
    a, b = (_read(archive, s, "B09").astype(int) for s in (old, new))
    assert np.array_equal(b - 1000, a)


@pytest.mark.slow
def test_both_zones_show_the_same_ground(archive):
    west, east = _scene("2021-06-15", "31UGS"), _scene("2021-06-15", "32ULB")
    a, b = (_read(archive, s, "B05") for s in (west, east))
    warped = np.zeros_like(b)
    grids = [s.grid.coarser(2) for s in (west, east)]
    reproject(
        a, warped, src_crs=f"EPSG:{west.grid.epsg}", dst_crs=f"EPSG:{east.grid.epsg}",
        src_transform=grids[0].transform, dst_transform=grids[1].transform, src_nodata=0, dst_nodata=0,
        resampling=Resampling.bilinear,
    )  # fmt: skip
    both = (warped > 0) & (b > 0)
    assert both.mean() > 0.3
    assert np.corrcoef(warped[both].astype(float), b[both].astype(float))[0, 1] > 0.95


@pytest.mark.slow
@pytest.mark.parametrize(
    ("date", "tile"),
    fast([("2021-07-14", "23KLP")], [("2021-02-15", "31UGS"), ("2021-04-26", "32ULB"), ("2021-07-14", "23KLP")]),
)
def test_clouds_are_bright_and_as_many_as_the_item_says(archive, date, tile):
    scene = max(
        (s for s in scenes.s2_scenes() if (s.acquired.date, s.tile.name) == (date, tile)), key=lambda s: s.baseline
    )
    scl = _read(archive, scene, "SCL")
    assert set(np.unique(scl)) <= {0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
    valid = scl > 0
    share = np.isin(scl[valid], (8, 9, 10)).mean()
    assert share == pytest.approx(clouds.covered_share(scene), abs=0.03)
    blue = _read(archive, scene, "B01").astype(int) - scene.offset
    centre = scl[1::3, 1::3][: blue.shape[0], : blue.shape[1]]
    assert np.median(blue[centre == 9]) > 2 * np.median(blue[np.isin(centre, (4, 5, 6))])


@pytest.mark.slow
def test_the_swath_ends_where_the_item_says(archive):
    scene = _scene("2021-10-13", "32ULB")
    scl = _read(archive, scene, "SCL")
    inside = optics.valid(scene.grid.coarser(2), scene)
    assert np.array_equal(scl > 0, inside)
    assert 0.05 < (~inside).mean() < 0.6


@pytest.mark.slow
def test_water_is_dark_to_the_radar_and_towns_are_bright(archive):
    scene = next(s for s in scenes.s1_scenes() if s.acquired.date == "2021-07-16")
    with rasterio.open(archive.path(Key("sentinel-1-rtc", scene.id, "vv"))) as file:
        w, s, e, n = file.bounds
        part = (w + 2000, s + 2000, e - 2000, n - 2000)
        vv = file.read(1, window=file.window(*part).round_offsets().round_lengths())
        assert file.nodata == -32768
    label = next(s for s in scenes.dynamicworld_scenes() if s.acquired.date == "2021-07-24")
    with rasterio.open(archive.path(Key("dynamicworld", label.dynamicworld_id, "label"))) as file:
        classes = file.read(1, window=file.window(*part).round_offsets().round_lengths())
    # The middle of each: maps err in patches.
    water, trees, built = (10 * np.log10(np.median(vv[classes == c])) for c in (0, 1, 6))
    assert water < trees - 5 < built - 5


@pytest.mark.slow
def test_zeros_and_nodata_at_a_radar_swaths_edge(archive):
    scene = next(s for s in scenes.s1_scenes() if s.acquired.zeros_m and s.region.name == "sao-paulo")
    with rasterio.open(archive.path(Key("sentinel-1-rtc", scene.id, "vh"))) as file:
        vh = file.read(1)
    assert (vh == 0).mean() == pytest.approx(scene.acquired.zeros_m / 10 / vh.shape[1], rel=0.3)
    assert (vh == -32768).any()
    assert vh[vh > 0].min() >= 1e-5 * 0.99


@pytest.mark.slow
def test_labels_err_in_a_few_places_and_the_versions_differ(archive):
    maps = []
    for item in ("ESA_WorldCover_10m_2020_v100_S24W048", "ESA_WorldCover_10m_2021_v200_S24W048"):
        with rasterio.open(archive.path(Key("esa-worldcover", item, "map"))) as file:
            maps.append(file.read(1))
            assert file.nodata == 0
    assert set(np.unique(maps[1])) <= {10, 20, 30, 40, 50, 60, 80, 90}
    assert 0.02 < (maps[0] != maps[1]).mean() < 0.35  # each errs in about a fifth, in part alike


def test_every_tile_covers_its_part_of_the_region():
    for region in regions.REGIONS:
        for tile in region.tiles:
            scene = next(s for s in scenes.s2_scenes() if s.tile is tile and s.acquired.edge is None)
            w, s, e, n = (
                max(a, b) if k < 2 else min(a, b) for k, (a, b) in enumerate(zip(tile.box, region.bbox, strict=True))
            )
            assert scenes.footprint(scene).buffer(1e-5).covers(shapely.box(w, s, e, n))
