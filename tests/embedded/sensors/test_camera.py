"""Aerial pictures of the embedded Earth: names and places of sheets, and that their means are the ground of all sensors."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from curation.embedded.archive.aerial import SHEET_DEG, Sheet, sheets
from curation.embedded.sensors import camera
from curation.embedded.world.cover import COVERS, STEPS, reflectance
from curation.embedded.world.grids import frame_pixels
from curation.embedded.world.ground import COARSE, Ground
from curation.embedded.world.regions import frame


def test_sheets_are_called_as_naip_calls_them():
    # A recorded one: fl_m_2608004_nw_17_060_20191215_20200113, around 26.935 to 27.002 N, 80.56 to 80.627 W.
    of = sheets()[0]
    florida = Sheet(of.region, "fl", of.date, of.published, 0.6, -80.625, 26.9375)
    assert florida.id.startswith("fl_m_2608004_nw_17_060_")
    assert len({s.id for s in sheets()}) == len(sheets())


def test_a_picture_covers_its_sheet_and_some_beyond_on_whole_pixels():
    for sheet in sheets():
        grid = sheet.grid
        box = shapely.box(sheet.lon, sheet.lat, sheet.lon + SHEET_DEG, sheet.lat + SHEET_DEG)
        assert sheet.footprint.covers(box.buffer(0.002))
        for edge in (grid.x0, grid.y0):
            assert edge / grid.dx == pytest.approx(round(edge / grid.dx), abs=1e-6)


def test_pictures_are_of_some_places_and_of_several_years():
    years = {s.date.year for s in sheets()}
    assert len(years) > 1
    boxes = shapely.union_all([s.footprint for s in sheets() if s.date.year == 2021])
    region = next(s.region for s in sheets() if s.date.year == 2021)
    assert not boxes.covers(shapely.box(*region.bbox))


@pytest.mark.parametrize("gsd", [0.6, 1.0])
def test_the_mean_over_a_pixel_of_the_ground_is_what_the_ground_is(gsd):
    sheet = next(s for s in sheets() if s.gsd == gsd)
    rows, cols = frame(sheet.region).shape
    code = np.random.default_rng(6).integers(0, len(COVERS) * STEPS, (rows, cols)).astype(np.uint16)
    grid = sheet.grid.part(4000, 4000, 512)
    pixels = camera.picture(sheet, Ground(code, np.zeros((rows // COARSE, cols // COARSE), np.float32)), grid, 1)
    assert pixels.shape == (512, 512, 4)
    assert pixels.min() >= 1
    row, col = frame_pixels(grid, sheet.region)
    r, c = row.astype(int), col.astype(int)
    cell = (r - r.min()) * 1000 + (c - c.min())
    count = np.bincount(cell.ravel())
    whole = count >= 0.9 * (10 / gsd) ** 2
    table = reflectance(sheet.doy, south=sheet.region.south, evergreen=sheet.region.evergreen)
    red = 0.28 * table[2] + 0.72 * table[3]
    first = np.unique(cell, return_index=True)
    truth = np.zeros(count.size)
    truth[first[0]] = 600 * red[code[r.ravel()[first[1]], c.ravel()[first[1]]]]
    mean = np.bincount(cell.ravel(), pixels[..., 0].ravel()) / np.maximum(count, 1)
    dark = whole & (truth < 200) & (truth > 8)  # what neither end of eight bits cuts off
    assert dark.sum() > 300
    assert np.abs(mean - truth)[dark].max() < 0.06 * truth[dark].max()
    assert np.median(np.abs(mean - truth)[dark] / truth[dark]) < 0.02
    # And there is more to see than the ground's pixels: brightness differs within them.
    spread = [pixels[..., 0][cell == k].std() for k in np.flatnonzero(dark)[:50]]
    assert np.median(spread) > 1.5
