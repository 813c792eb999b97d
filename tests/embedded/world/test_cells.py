"""The world's cells: each has the scenes that the rules say, over all of it, in its own zones."""

from __future__ import annotations

import datetime as dt
import itertools

import numpy as np
import pytest
import rasterio
import requests
from pyproj import Transformer

from curation.embedded.archive import cellscenes, scenes
from curation.embedded.archive.archive import Archive, Key
from curation.embedded.service import items
from curation.embedded.world import cells, ground, terrain
from curation.embedded.world.world import CELLS, TRACKS
from curation.errors.codes import Code
from curation.model import Location, Scene
from curation.outcomes import Reject
from curation.places import grid, regions
from curation.scenes import rank

SIZE_M = 2640
SEASONS = {
    "winter": ("2020-12-01", "2021-03-01"),
    "spring": ("2021-03-01", "2021-06-01"),
    "summer": ("2021-06-01", "2021-09-01"),
    "autumn": ("2021-09-01", "2021-12-01"),
}


def _place(lon: float, lat: float) -> Location:
    lon = (lon + 180) % 360 - 180
    epsg, x0, y0 = grid.snapped(lon, lat, SIZE_M)
    return Location("a-place", lon, lat, epsg, x0, y0, SIZE_M, "anywhere")


def _season(time: dt.datetime) -> str:
    return next(name for name, (start, end) in SEASONS.items() if start <= time.date().isoformat() < end)


def _found(of, season: str) -> list[Scene]:
    return [
        Scene(s.id, "any", s.time, scenes.footprint(s), {}, epsg=s.grid.epsg, orbit_state=getattr(s, "direction", None))
        for s in of
        if _season(s.time) == season
    ]


@pytest.fixture(scope="module")
def archive(earth) -> Archive:
    return Archive(earth.cache)


@pytest.mark.parametrize("cell", cells.cells(), ids=lambda c: c.region.name)
@pytest.mark.parametrize("season", SEASONS)
def test_a_place_anywhere_in_a_cell_has_what_the_rules_say(cell, season):
    s2 = _found((s for s in cells.s2_scenes() if s.region is cell.region), season)
    s1 = _found((s for s in cells.s1_scenes() if s.region is cell.region), season)
    assert bool(s2) == cells.has_s2(cell.node, season)
    assert bool(s1) == cells.has_s1(cell.node, season)
    places = [(0.004, 0.004), *itertools.product((-0.125, 0.125), (-0.125, 0.125))]
    for east, north in places:
        place = _place(cell.lon + east * 0.9999, cell.lat + north * 0.9999)
        if s2:
            covering = rank.covering(s2, place)
            own = [s for s in covering if s.epsg == place.epsg]
            assert own, f"none in the place's own zone: {place.epsg}"
            if s1:
                # A pair that belongs together, of the direction that has most.
                direction = rank.orbit_direction([s1], place)
                for scene in own:
                    near = rank.rank_nearest(rank.covering(s1, place), place, scene.time, direction, 12)
                    assert rank.gap_days(near[0], scene.time) <= 12
        if s1:
            assert rank.covering(s1, place)


def test_what_is_missing_where():
    polar = {node for node in CELLS if not cells.has_s2(node, "winter")}
    assert polar == {node for node in CELLS if node[1] >= 68}
    assert {node for node in CELLS if not cells.has_s2(node, "summer")} == {(-45.5, -60.5)}
    assert {node for node in CELLS if not cells.has_s2(node, "spring")} == set(cells.WITHOUT_S2)
    assert all(cells.has_s2(node, "autumn") for node in CELLS)
    assert {len(cells.dates(n, s)) for n in CELLS for s in SEASONS} == {1, 2}


@pytest.mark.slow
def test_a_season_under_cloud_has_candidates_that_are_cloudy_over_the_cell(earth):
    ((node, season),) = cells.CLOUDY.items()
    found = [
        i
        for i in items.all_items()
        if i["collection"] == "sentinel-2-l2a"
        and i["id"]
        in {s.id for s in cells.s2_scenes() if s.region.bbox == cells.bounds(node) and _season(s.time) == season}
    ]
    covers = sorted(i["properties"]["eo:cloud_cover"] for i in found)
    assert 50 < covers[0] < 90 < covers[1]
    cell = next(c for c in cells.cells() if c.node == node)
    for scene in (s for s in cells.s2_scenes() if s.id in {i["id"] for i in found}):
        path = f"{earth.url.removesuffix('/stac')}/archive/{Key('sentinel-2-l2a', scene.id, 'SCL').path}"
        for east, north in ((0, 0), (-0.12, -0.12), (0.12, 0.12)):
            place = _place(cell.lon + east, cell.lat + north)
            with rasterio.open(path) as file:
                x, y = place.x0_m, place.y0_m
                scl = file.read(1, window=file.window(x, y - SIZE_M, x + SIZE_M, y).round_offsets().round_lengths())
            assert scl.shape == (132, 132)
            assert np.isin(scl, (3, 8, 9, 10)).mean() > 0.5


def test_tiles_lie_in_the_zones_of_their_places():
    for cell in cells.cells():
        west, south, east, north = cell.region.bbox
        lon, lat = np.meshgrid(np.linspace(west, east, 9)[1:-1], np.linspace(south, north, 9)[1:-1])
        expected = {grid.utm_epsg((x + 180) % 360 - 180, y) for x, y in zip(lon.ravel(), lat.ravel(), strict=True)}
        assert {t.epsg for t in cell.region.tiles} == expected
        for tile in cell.region.tiles:
            assert tile.name[:2] == f"{tile.epsg % 100:02d}"
            assert (tile.name[2] >= "N") == (tile.epsg < 32700)
    names = {c.node: [t.name[:3] for t in c.region.tiles] for c in cells.cells()}
    assert names[16, 78] == ["33X"]
    assert names[8, 60] == ["32V"]
    assert names[-180, 67.5] == ["60W", "01W"]
    assert names[20, 0] == ["34M", "34N"]
    assert names[-60, -35] == ["20H", "21H"]


@pytest.mark.parametrize(
    ("lon", "lat", "name"),
    [
        (2.35, 48.86, "31UDQ"),
        (-118.2, 34.05, "11SLT"),
        (-46.6, -23.7, "23KLP"),
        (6.4, 51.4, "32ULB"),
        (15.6, 78.2, "33XWG"),
    ],
)
def test_names_of_squares(lon, lat, name):
    assert cells.mgrs(lon, lat) == name


def test_regions_are_the_cells_and_nothing_else():
    for track in TRACKS:
        region = regions.find(f"embedded-{track.name}")
        lon, lat = (np.array(v) for v in zip(*CELLS, strict=True))
        inside = region.contains(lon, lat)
        assert {CELLS[k] for k in np.flatnonzero(inside)} == set(track.cells)
        lon, lat = (np.array(v) for v in zip(*track.cells, strict=True))
        for east, north in itertools.product((-0.12, 0.12), (-0.12, 0.12)):
            assert region.contains((lon + east + 180) % 360 - 180, lat + north).all()
        assert not region.contains((lon + 0.13 + 180) % 360 - 180, lat).any()


def test_footprints_at_the_antimeridian_are_cut_there():
    cut = [s for s in cells.s2_scenes() if scenes.footprint(s).geom_type == "MultiPolygon"]
    assert {s.region.bbox[0] for s in cut} == {-180.125}
    for scene in cut:
        shape = scenes.footprint(scene)
        assert shape.is_valid
        assert shape.bounds[::2] == (-180, 180)
        assert shape.area < 1


@pytest.mark.slow
def test_blocks_fit_together_and_both_zones_show_the_same_ground():
    cell = next(c for c in cells.cells() if c.node == (12, 13))
    under = ground.make(cells.biome_region(cell.biome))
    west, east = (next(s for s in cells.s2_scenes() if s.tile is t) for t in cell.region.tiles)
    whole = cellscenes.view(cell, under, west.grid.part(960, 960, 480))
    for row, col in itertools.product((0, 240), (0, 240)):
        part = cellscenes.view(cell, under, west.grid.part(960 + row, 960 + col, 240))
        here = slice(row, row + 240), slice(col, col + 240)
        assert (part.code == whole.code[here]).mean() > 0.98
        half = slice(row // 2, row // 2 + 120), slice(col // 2, col // 2 + 120)
        assert np.abs(part.height - whole.height[half]).max() < 0.05
    # The same places through the other zone: its pixels, turned, and nearest neighbours.
    x, y = Transformer.from_crs(4326, east.grid.epsg, always_xy=True).transform(12.01, 13.0)
    row, col = (round((east.grid.y0 - y) / 10), round((x - east.grid.x0) / 10))
    there = cellscenes.view(cell, under, east.grid.part(row, col, 240))
    px, py = np.meshgrid(
        there.grid.x0 + 10 * (np.arange(20, 220) + 0.5), there.grid.y0 - 10 * (np.arange(20, 220) + 0.5)
    )
    wx, wy = Transformer.from_crs(east.grid.epsg, west.grid.epsg, always_xy=True).transform(px, py)
    r, c = np.floor((west.grid.y0 - wy) / 10).astype(int), np.floor((wx - west.grid.x0) / 10).astype(int)
    same = cellscenes.view(cell, under, west.grid.part(r.min(), c.min(), 480))
    agree = same.code[r - r.min(), c - c.min()] == there.code[20:220, 20:220]
    assert agree.mean() > 0.7  # edges of parcels fall on other pixels


@pytest.mark.slow
def test_sea_is_water_and_land_is_not():
    cell = next(c for c in cells.cells() if c.node == (-57, -51.75))
    scene = next(s for s in cells.s2_scenes() if s.region is cell.region)
    under = ground.make(cells.biome_region(cell.biome))
    to_utm = Transformer.from_crs(4326, scene.grid.epsg, always_xy=True)
    for lon, sea in ((-57.1, False), (-56.95, True)):
        x, y = to_utm.transform(lon, -51.75)
        row, col = round((scene.grid.y0 - y) / 10), round((x - scene.grid.x0) / 10)
        seen = cellscenes.view(cell, under, scene.grid.part(row, col, 240))
        assert (len(np.unique(seen.code)) == 1) == sea
        assert (terrain.height(lon, -51.75) <= 0) == sea
        assert (seen.height == 0).all() == sea


def _small() -> tuple[Key, ...]:
    """Two assets of the cell with the smallest scenes."""
    s2 = next(s for s in cells.s2_scenes() if s.region.bbox == cells.bounds((16, 78)) and s.acquired.sky.cover > 0)
    return Key("sentinel-2-l2a", s2.id, "B05"), Key("sentinel-2-l2a", s2.id, "SCL")


@pytest.mark.slow
@pytest.mark.parametrize("key", _small(), ids=lambda k: k.asset)
def test_read_over_http_equals_the_file_wherever_it_is_rendered(earth, tmp_path, key):
    far = f"{earth.url.removesuffix('/stac')}/archive/{key.path}"
    path = Archive(tmp_path).path(key)
    whole = requests.get(far, timeout=60)
    assert whole.status_code == 200
    assert whole.content == path.read_bytes()
    with rasterio.open(path) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.overviews(1) == [4]
        assert file.read(1).any()


@pytest.mark.slow
def test_only_the_blocks_asked_for_are_rendered(earth):
    scene = next(s for s in cells.s1_scenes() if s.region.bbox == cells.bounds((8.25, 50)))
    key = Key("sentinel-1-rtc", scene.id, "vv")
    with rasterio.open(f"{earth.url.removesuffix('/stac')}/archive/{key.path}") as file:
        assert file.nodata == -32768
        part = file.read(1, window=((700, 900), (500, 700)))
    assert np.isfinite(part).all()
    assert part.min() > 0
    there = {p.name for p in (earth.cache / "blocks" / key.path.removesuffix(".tif")).iterdir()}
    assert {"2-2", "3-2"} <= there
    assert len(there) <= 6


@pytest.mark.slow
def test_ranges(earth):
    key = _small()[0]
    far = f"{earth.url.removesuffix('/stac')}/archive/{key.path}"
    head = requests.head(far, timeout=30)
    size = int(head.headers["Content-Length"])

    def ask(text: str) -> tuple[int, int, str | None]:
        answer = requests.get(far, headers={"Range": text}, timeout=60)
        return answer.status_code, len(answer.content), answer.headers.get("Content-Range")

    assert ask("bytes=0-0") == (206, 1, f"bytes 0-0/{size}")
    assert ask(f"bytes={size - 10}-{size + 99}") == (206, 10, f"bytes {size - 10}-{size - 1}/{size}")
    assert ask("bytes=-7") == (206, 7, f"bytes {size - 7}-{size - 1}/{size}")
    assert ask(f"bytes={size - 3}-") == (206, 3, f"bytes {size - 3}-{size - 1}/{size}")
    assert ask(f"bytes={size}-")[::2] == (416, f"bytes */{size}")
    assert head.headers["ETag"] == requests.get(far, headers={"Range": "bytes=0-9"}, timeout=30).headers["ETag"]


def test_a_place_without_scenes_says_so():
    place = _place(20, 0.01)
    with pytest.raises(Reject) as caught:
        rank.covering(_found((s for s in cells.s2_scenes() if s.region.bbox[1] == -0.125), "spring"), place)
    assert caught.value.code is Code.NO_SCENE
