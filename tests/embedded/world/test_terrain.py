"""The world's GLO-30: one function of longitude and latitude in every tile, with the real tiles' pixels."""

from __future__ import annotations

import time

import numpy as np
import pytest
import rasterio

from curation.embedded.archive.archive import Archive, Key
from curation.embedded.sensors import static
from curation.embedded.world import cells, terrain
from tests.properties import fast


@pytest.fixture(scope="module")
def archive(earth) -> Archive:
    return Archive(earth.cache)


def _read(archive: Archive, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Heights, and longitudes and latitudes of the pixels' centres."""
    with rasterio.open(archive.path(Key("cop-dem-glo-30", f"Copernicus_DSM_COG_10_{name}_DEM", "data"))) as file:
        t = file.transform
        lon = t.c + t.a * (np.arange(file.width) + 0.5)
        return file.read(1), lon, t.f + t.e * (np.arange(file.height) + 0.5)


def _truth(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    return np.maximum(terrain.height(lon[None, :], lat[:, None]), 0)


@pytest.mark.parametrize(
    ("lat", "factor"),
    [(0, 1), (49, 1), (50, 1.5), (59, 1.5), (60, 2), (69, 2), (70, 3), (79, 3), (80, 5), (84, 5), (85, 10)],
)
def test_pixels_are_wider_from_some_latitudes_on(lat, factor):
    for south in (lat, -lat - 1):
        assert static.lon_factor(south) == factor
        grid = static.tile_grid(7, south)
        assert (grid.height, grid.width) == (3600, round(3600 / factor))
        # The centre of the first pixel is the degree line, and that of the last is one short of the next.
        assert grid.x0 + grid.dx / 2 == pytest.approx(7, abs=1e-12)
        assert grid.y0 - grid.dy / 2 == pytest.approx(south + 1, abs=1e-12)
        assert grid.bounds[1] + grid.dy / 2 == pytest.approx(south + 1 / 3600, abs=1e-12)


def test_every_cell_has_its_tiles_but_for_the_sea():
    products = {p.id: p for p in static.world_elevation()}
    assert not products.keys() & {p.id for p in static.elevation_products()}
    missing = set()
    for cell in cells.cells():
        west, south, east, north = cell.region.bbox
        for lon in {np.floor(west), np.floor(east)}:
            for lat in {np.floor(south), np.floor(north)}:
                lon_in, lat_in = int((lon + 180) % 360 - 180), int(lat)
                ns, ew = static._corner_name(lon_in, lat_in)
                name = f"Copernicus_DSM_COG_10_{ns}_00_{ew}_00_DEM"
                if name in products:
                    assert products[name].grid == static.tile_grid(lon_in, lat_in)
                else:
                    missing.add(name)
    assert missing == {"Copernicus_DSM_COG_10_S52_00_W057_00_DEM"}
    assert (terrain.over(static.tile_grid(-57, -52)) <= 0).all()


@pytest.mark.parametrize(
    ("south", "north"),
    fast(
        [("N49_00_E008_00", "N50_00_E008_00")],
        [("N49_00_E008_00", "N50_00_E008_00"), ("N59_00_E007_00", "N60_00_E007_00")],
    ),
)
@pytest.mark.slow
def test_no_step_where_the_spacing_changes(archive, south, north):
    low, low_lon, low_lat = _read(archive, south)
    high, high_lon, high_lat = _read(archive, north)
    assert len(low_lon) > len(high_lon)
    # The last row of the northern tile is one pixel north of the first of the southern.
    assert high_lat[-1] - low_lat[0] == pytest.approx(1 / 3600, abs=1e-9)
    for tile, lon, lat, row in ((low, low_lon, low_lat, 0), (high, high_lon, high_lat, -1)):
        assert np.abs(tile[row] - _truth(lon, lat[[row]])[0]).max() <= 1 / 128 + 1e-4
        assert np.abs(tile[1800] - _truth(lon, lat[[1800]])[0]).max() <= 1 / 128 + 1e-4
    across = np.interp(high_lon, low_lon, low[0]) - high[-1]
    within = np.abs(np.diff(low[:50].astype(float), axis=0)).max()
    assert np.abs(across).max() <= 1.2 * within + 1 / 32


@pytest.mark.slow
def test_no_step_at_the_antimeridian(archive):
    west, west_lon, west_lat = _read(archive, "N67_00_E179_00")
    east, east_lon, _ = _read(archive, "N67_00_W180_00")
    step = east_lon[0] + 360 - west_lon[-1]
    assert step == pytest.approx(2 / 3600, abs=1e-9)
    assert np.abs(east[:, 0] - _truth(np.array([180.0]), west_lat)[:, 0]).max() <= 1 / 128 + 1e-4
    inside = np.abs(np.diff(west[:, -50:].astype(float), axis=1)).max()
    assert np.abs(east[:, 0] - west[:, -1]).max() <= 1.2 * inside + 1 / 32


def test_the_height_is_one_function_around_the_globe():
    lat = np.linspace(-70, 80, 500)
    assert terrain.height(-180.0, lat) == pytest.approx(terrain.height(180.0, lat), abs=1e-6)
    assert terrain.height(-59.0, lat) == pytest.approx(terrain.height(301.0, lat), abs=1e-6)


def test_land_and_sea_lie_where_they_should():
    rng = np.random.default_rng(3)
    lon, lat = rng.uniform(-40, 40, 20_000), rng.uniform(-50, 80, 20_000)
    assert terrain.height(lon, lat).min() > 0
    assert terrain.height(-45.5, -60.5) > 100
    assert terrain.height(-45.5, -60.7) <= 0
    island = terrain.elevation(static.tile_grid(-46, -61))
    assert (island == 0).any()
    assert (island > 0).any()
    assert island.min() == 0


@pytest.mark.slow
def test_a_tile_is_rendered_within_two_seconds(tmp_path):
    archive = Archive(tmp_path)
    before = time.process_time()
    path = archive.path(Key("cop-dem-glo-30", "Copernicus_DSM_COG_10_N46_00_E008_00_DEM", "data"))
    assert time.process_time() - before < 4  # of the processor, which other tests may slow down
    assert path.stat().st_size < 8e6
    with rasterio.open(path) as file:
        assert (file.height, file.width, file.dtypes[0]) == (3600, 3600, "float32")
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.overviews(1)
