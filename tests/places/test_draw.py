import dataclasses
import functools
import hashlib
import math
import re
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Transformer

from curation.errors import ConfigError, DamageError
from curation.model import Location
from curation.places import children, draw, era5_cells, from_file, grid, grids, land, parquet, sampling, tiling
from curation.places.draw import NOWHERE
from curation.places.grids import Places
from curation.places.locations import Locations
from curation.places.order import hilbert, hilbert_order
from curation.places.overlap import Placed, overlapping
from curation.places.regions import Region, find, from_bbox
from curation.recipe.dataset import Dataset, load_dataset
from curation.recipe.places import PlacesSpec
from curation.recipe.schema import Recipe
from curation.store.objects import Store
from tests.properties import examples

SIZE_M = 2640.0


@pytest.fixture(scope="module")
def example() -> Dataset:
    return load_dataset("ssl4eo-s12-ml")


def dataset(example: Dataset, path: Path | None = None, size_m: float = SIZE_M, seed: int = 42, **changes) -> Dataset:
    """The example with other places."""
    spec = {"sampler": "gaussian-cities", "count": 3000, "cities": 300, "regions": ["europe", "asia"]} | changes
    raw = example.recipe.model_dump() | {"places": spec, "seed": seed, "grid": {"size_m": size_m}}
    return Dataset(Recipe.model_validate(raw), example.specs, path or example.path)


@pytest.fixture(scope="module")
def drawn(example: Dataset) -> Locations:
    return draw.draw(dataset(example))


def as_places(locations: Sequence[Location]) -> Places:
    return Places(*(np.array([getattr(c, k) for c in locations]) for k in ("epsg", "x0_m", "y0_m", "lon", "lat")))


@functools.lru_cache
def to_local(epsg: int, lon: float, lat: float) -> Transformer:
    """Into the equal-area projection about a point."""
    local = CRS.from_proj4(f"+proj=laea +lat_0={lat} +lon_0={lon} +datum=WGS84")
    return Transformer.from_crs(epsg, local, always_xy=True)


@functools.lru_cache(maxsize=2000)
def local_footprint(location: Location, lon: float, lat: float) -> shapely.Polygon:
    """The footprint in the equal-area projection about a point, by densified sides."""
    move = to_local(location.epsg, lon, lat)
    south, east = location.y0_m - location.size_m, location.x0_m + location.size_m
    outline = shapely.segmentize(shapely.box(location.x0_m, south, east, location.y0_m), location.size_m / 8)
    return shapely.transform(outline, lambda x, y: move.transform(x, y), interleaved=False)


def shared_m2(a: Location, b: Location, lon: float, lat: float) -> float:
    """Square metres that two footprints near a point share, measured without UTM."""
    return local_footprint(a, lon, lat).intersection(local_footprint(b, lon, lat)).area


# --- vectorised snapping ---------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.floats(-180, 180), st.floats(-80, 84, exclude_max=True)), min_size=1, max_size=8),
    st.sampled_from([SIZE_M, 320.0, 2240.0, 2560.0]),
)
def test_many_points_snap_as_one_does(points, size_m):
    lon, lat = np.array(points).T
    found = grids.snap(lon, lat, size_m)
    rows = list(zip(found.epsg.tolist(), found.x0_m.tolist(), found.y0_m.tolist(), strict=True))
    assert rows == [grid.snapped(x, y, size_m) for x, y in points]


def test_zones_with_their_exceptions_as_one_by_one():
    lon, lat = (v.ravel() for v in np.meshgrid(np.arange(-180, 180.5, 1.5), [-80, -1, 0, 55.9, 56, 63.9, 64, 72, 83.9]))
    assert grids.utm_epsgs(lon, lat).tolist() == [grid.utm_epsg(x, y) for x, y in zip(lon, lat, strict=True)]


@pytest.mark.parametrize("lat", [84.0, 89.0, -80.5, math.nan])
def test_points_without_a_zone_are_refused(lat):
    with pytest.raises(ConfigError, match="no UTM zone"):
        grids.snap(np.array([0.0, 0.0]), np.array([0.0, lat]), SIZE_M)


def test_a_size_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="expected a positive size"):
        grids.snap(np.zeros(1), np.zeros(1), 0.0)


# --- land ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lon", "lat", "is_land"),
    [
        (2.35, 48.85, True),
        (-30, 45, False),
        (133, -25, True),
        (-160, 10, False),
        (-46.63, -23.55, True),
        (180, 0, False),
    ],
)
def test_land_and_sea(lon, lat, is_land):
    assert land.is_land(np.array([lon]), np.array([lat])).tolist() == [is_land]


# --- the draws -------------------------------------------------------------------------------------------------------------


def test_a_draw_has_exactly_its_count_in_order(drawn):
    assert [c.rank for c in drawn] == list(range(3000))
    assert len({c.id for c in drawn}) == 3000
    assert all(c.id == grid.location_id(c.epsg, c.x0_m, c.y0_m, SIZE_M) for c in drawn)


def test_locations_lie_on_the_snapped_grid_of_their_zone_on_land(drawn):
    found = as_places(drawn)
    for c in drawn[:500]:
        assert grid.snapped(c.lon, c.lat, SIZE_M) == (c.epsg, c.x0_m, c.y0_m)
    assert (grids.utm_epsgs(found.lon, found.lat) == found.epsg).all()
    assert land.is_land(found.lon, found.lat).all()


@pytest.mark.slow
def test_a_draw_repeats_and_another_seed_is_another(example, drawn):
    assert draw.draw(dataset(example)) == drawn
    other = draw.draw(dataset(example, seed=43))
    assert len({c.id for c in other} & {c.id for c in drawn}) < 30


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["gaussian-cities", "uniform"])
def test_batches_change_nothing(sampler):
    spec = PlacesSpec(sampler=sampler, count=700, cities=40, std_km=20, regions=["europe"])
    whole = sampling.drawn(spec, 1, SIZE_M)
    for batch in (97, 1000):
        parts = sampling.drawn(spec, 1, SIZE_M, batch=batch)
        assert all((getattr(whole, k) == getattr(parts, k)).all() for k in ("epsg", "x0_m", "y0_m", "lon", "lat"))


def test_the_shorter_draw_is_the_beginning_of_the_longer(example, drawn):
    assert draw.draw(dataset(example, count=500)) == drawn[:500]


def test_regions_select_and_change_nothing_else(example, drawn):
    asked = [from_bbox("100,20,125,45"), find("asia")]
    chosen = draw.draw(dataset(example), asked)
    assert chosen == draw.select(drawn, asked)
    by_id = {c.id: c for c in drawn}
    assert all(dataclasses.replace(c, region=by_id[c.id].region) == by_id[c.id] for c in chosen)
    assert {c.region for c in chosen} == {r.name for r in asked}
    for c in chosen:
        assert c.region == next(r.name for r in asked if r.contains(c.lon, c.lat))
    left = set(by_id) - {c.id for c in chosen}
    assert not any(r.contains(by_id[k].lon, by_id[k].lat) for r in asked for k in left)


def test_the_global_draw_names_the_recipes_regions_and_keeps_what_is_in_none(drawn):
    assert {c.region for c in drawn} == {"europe", "asia", NOWHERE}
    regions = [find("europe"), find("asia")]
    for c in drawn:
        assert c.region == next((r.name for r in regions if r.contains(c.lon, c.lat)), NOWHERE)


@pytest.mark.slow
def test_no_two_footprints_overlap_where_it_is_crowded(example):
    crowded = draw.draw(dataset(example, count=600, cities=1, std_km=40))
    city, overlaps = (crowded[0].lon, crowded[0].lat), []
    for k, a in enumerate(crowded):
        near = [b for b in crowded[:k] if abs(b.lat - a.lat) < 0.05 and abs(b.lon - a.lon) < 0.08]
        overlaps += [shared_m2(a, b, *city) for b in near]
    assert len(overlaps) > 200
    assert max(overlaps) < 1


@pytest.mark.parametrize(
    ("lon0", "lat0"),
    [(6, 51.3), (0, 0), (0, 45), (6, 0), (180, 10), (-180, -17), (180, 0), (3, 60), (9, 78), (12, -79.5)],
)
def test_overlaps_are_those_of_a_local_projection_at_every_seam(lon0, lat0):
    rng = np.random.default_rng(3)
    half = 0.06
    lon = lon0 + rng.uniform(-half, half, 40) / math.cos(math.radians(lat0))
    lat = np.clip(lat0 + rng.uniform(-half, half, 40), -79.99, 83.9)
    found = grids.snap(lon, lat, SIZE_M)
    rows = zip(*(getattr(found, k).tolist() for k in ("lon", "lat", "epsg", "x0_m", "y0_m")), strict=True)
    these = [Location(str(k), *row, SIZE_M, "r") for k, row in enumerate(rows)]
    expected: list[int] = []
    for k, a in enumerate(these):
        if all(shared_m2(a, these[j], lon0, lat0) < 1 for j in expected):
            expected.append(k)
    assert np.flatnonzero(Placed(SIZE_M).admit(found)).tolist() == expected
    assert 3 < len(expected) < 40
    assert len({c.epsg for c in these}) > 1 or lat0 == -79.5


def test_touching_in_one_zone_is_no_overlap_and_the_equator_is_no_seam():
    north = grids.of_grids(np.array([32631, 32631]), np.array([300000.0, 302640]), np.array([2640.0, 2640]), SIZE_M)
    south = grids.of_grids(np.array([32731, 32731]), np.array([300000.0, 300000]), np.array([1e7, 1e7 + 60]), SIZE_M)
    assert overlapping(north, north.take(np.array([1, 0])), SIZE_M).tolist() == [False, False]
    assert overlapping(north.take(np.array([0, 0])), south, SIZE_M).tolist() == [False, True]


@given(st.integers(1, 400), st.integers(0, 5))
@pytest.mark.slow
def test_admitting_in_parts_is_admitting_at_once(cut, seed):
    rng = np.random.default_rng(seed)
    found = grids.snap(5.9 + rng.uniform(0, 0.2, 400), rng.uniform(-0.1, 0.1, 400), SIZE_M)
    at_once, kept = Placed(SIZE_M).admit(found), Placed(SIZE_M)
    parts = [kept.admit(found.take(slice(k, k + cut))) for k in range(0, 400, cut)]
    assert (np.concatenate(parts) == at_once).all()


@given(st.floats(-180, 180), st.floats(-75, 75), st.floats(-100, 100), st.floats(-100, 100))
def test_a_point_moved_is_that_far_away(lon, lat, east_km, north_km):
    x, y = (float(v[0]) for v in sampling.moved(*(np.array([v]) for v in (lon, lat, east_km, north_km))))
    a, b = (
        np.array([np.cos(p) * np.cos(q), np.cos(p) * np.sin(q), np.sin(p)])
        for q, p in ((math.radians(lon), math.radians(lat)), (math.radians(x), math.radians(y)))
    )
    assert 2 * 6371.0088 * math.asin(np.linalg.norm(a - b) / 2) == pytest.approx(
        math.hypot(east_km, north_km), abs=1e-6
    )
    if abs(north_km) > 1e-6 and abs(east_km) < abs(north_km):
        assert (y > lat) == (north_km > 0)


def test_spread_is_the_same_in_kilometres_east_and_north_in_the_far_north():
    lon, lat = sampling.cities(10_000)
    north = (lat >= 55) & (lat <= 65)
    assert north.sum() > 50
    words = np.random.PCG64(0).random_raw(3 * 40_000).reshape(-1, 3)
    unit = sampling.open_unit(words)
    city = (unit[:, 0] * north.sum()).astype(int)
    points = sampling._around_cities(PlacesSpec(sampler="gaussian-cities", count=1, cities=10_000, regions=["europe"]))
    # Choose among all cities so that the chosen ones are those in the north.
    wanted = np.flatnonzero(north)[city]
    unit[:, 0] = (wanted + 0.5) / len(lon)
    x, y = points(unit)
    north_km = (y - lat[wanted]) * 111.195
    east_km = (x - lon[wanted]) * 111.195 * np.cos(np.radians(y))
    assert np.std(north_km) == pytest.approx(50, rel=0.02)
    assert np.std(east_km) == pytest.approx(50, rel=0.02)
    assert abs(np.corrcoef(east_km, north_km)[0, 1]) < 0.02


def test_uniform_is_uniform_per_area():
    spec = PlacesSpec(sampler="uniform", count=6000, regions=["europe"])
    found = sampling.drawn(spec, 5, SIZE_M)
    assert land.is_land(found.lon, found.lat).all()
    # Shares of latitude bands against the mask's own land area there, poleward limits left out.
    rows = np.arange(-79.95, 84, 0.1)
    lon = np.arange(-179.9, 180, 0.5)
    area = np.array([land.is_land(lon, np.full_like(lon, v)).mean() * math.cos(math.radians(v)) for v in rows])
    expected = np.histogram(rows, bins=[-80, -60, -30, 0, 30, 60, 84], weights=area)[0] / area.sum()
    got = np.histogram(found.lat, bins=[-80, -60, -30, 0, 30, 60, 84])[0] / 6000
    assert np.abs(got - expected).max() < 0.025


@pytest.mark.slow
def test_draws_that_cannot_be(example):
    with pytest.raises(ConfigError, match="the gazetteer has only"):
        draw.draw(dataset(example, cities=100_000))
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        dataset(example, seed=-1)
    with pytest.raises(ConfigError, match="do not overlap"):
        draw.draw(dataset(example, count=60, cities=1, std_km=1))


def test_cities_are_the_most_populous_and_ties_go_by_id():
    lon, lat = sampling.cities(1)
    assert 121 < lon[0] < 122  # Shanghai
    assert 31 < lat[0] < 32
    assert all((a[:50] == b).all() for a, b in zip(sampling.cities(60), sampling.cities(50), strict=True))


@pytest.fixture(scope="module")
def whole(example: Dataset) -> tuple[Locations, int]:
    """All locations of the example, drawn once, and how many bytes their places took at most while they were drawn."""
    real, peaks = sampling.drawn, []

    def measured(*args, **how) -> Places:
        land._bits()
        tracemalloc.start()
        try:
            return real(*args, **how)
        finally:
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "drawn", measured)
        found = draw.draw(example)
    (peak,) = peaks
    return found, peak


@pytest.mark.slow
def test_the_whole_draw_stays_below_a_gigabyte(example, whole):
    found, peak = whole
    assert len(found) == example.recipe.places.count == 300_000
    assert 1e6 < peak < 400e6


# --- the grid sampler ------------------------------------------------------------------------------------------------------


@settings(max_examples=examples(30), deadline=None)
@given(
    st.sampled_from([5.9, 179.95, -180.0, 2.95, 8.95, 11.93, 20.9, 33.0, -45.3, 0.0]),
    st.sampled_from([51.0, -0.05, -33.2, 59.0, 55.97, 63.98, 71.97, 78.0, -79.9, 83.8]),
    st.floats(0.002, 0.15),
    st.floats(0.002, 0.1),
    st.sampled_from([1320.0, 1280.0, 1379.0]),
    st.randoms(use_true_random=False),
)
def test_the_grid_sampler_leaves_no_point_out(west, south, width, height, size_m, random):
    east, north = west + width, min(south + height, 83.999)
    region = from_bbox(f"{west},{south},{east if east <= 180 else east - 360},{north}")
    found = tiling.covering(region, size_m)
    assert set((found.x0_m % 60).tolist()) == {0}
    assert ((found.y0_m % 60) == np.where(found.epsg > 32700, 40, 0)).all()
    edge = [random.random() for _ in range(40)]
    lon = west + width * np.array(edge + [0, 1, 0, 1] + [0] * 20 + [1] * 20 + edge[:40])
    lat = south + (north - south) * np.array(edge[::-1] + [0, 0, 1, 1] + edge + [0] * 20 + [1] * 20)
    held = np.zeros(len(lon), dtype=bool)
    for epsg in np.unique(found.epsg):
        x, y = Transformer.from_crs(4326, int(epsg), always_xy=True).transform(lon, lat)
        its = found.take(found.epsg == epsg)
        dx, dy = x[:, None] - its.x0_m, its.y0_m - y[:, None]
        held |= ((dx >= 0) & (dx <= size_m) & (dy >= 0) & (dy <= size_m)).any(axis=1)
    assert held.all()
    # Nothing needless: a cell's footprint comes within a few metres of the region.
    area = region.geometry.buffer(1e-4 / max(0.1, math.cos(math.radians(south))))
    for k in range(len(found)):
        cell = Location("c", found.lon[k], found.lat[k], int(found.epsg[k]), found.x0_m[k], found.y0_m[k], size_m, "r")
        outline = grid.footprint(cell)
        assert any(area.intersects(shapely.affinity.translate(outline, turn)) for turn in (-360, 0, 360))


def test_cells_of_one_zone_never_overlap_and_lie_on_the_60_m_lattice(example):
    covered = draw.draw(dataset(example, sampler="grid", count=None), [from_bbox("5.8,-0.1,6.2,0.1")])
    assert {c.epsg for c in covered} == {32631, 32632, 32731, 32732}
    for zone in (31, 32):
        its = as_places([c for c in covered if c.epsg % 100 == zone])
        i, j = np.triu_indices(len(its), 1)
        assert not overlapping(its.take(i), its.take(j), SIZE_M).any()
    assert len({(c.lon, c.lat) for c in covered}) == len(covered)
    assert all(c.x0_m % 60 == 0 and c.y0_m % 60 == (40 if c.epsg > 32700 else 0) for c in covered)


def test_a_cell_of_two_regions_is_the_first_ones(example):
    a, b = from_bbox("5.8,51.2,6,51.3"), from_bbox("5.9,51.2,6.1,51.3")
    spec = dataset(example, sampler="grid", count=None)
    both = draw.draw(spec, [a, b])
    assert [c.rank for c in both] == list(range(len(both)))
    assert len({c.id for c in both}) == len(both)
    assert {c.id for c in both if c.region == a.name} == {c.id for c in draw.draw(spec, [a])}
    assert {c.id for c in both} == {c.id for c in draw.draw(spec, [a])} | {c.id for c in draw.draw(spec, [b])}


def test_the_grid_sampler_wants_regions_and_refuses_too_many(example):
    spec = dataset(example, sampler="grid", count=None)
    with pytest.raises(ConfigError, match="sampler = 'grid' covers regions"):
        draw.draw(spec)
    with pytest.raises(ConfigError, match=r"about \d+,\d+,\d+ cells of 2640 m, expected at most 5,000,000"):
        draw.draw(spec, [find("africa")])


def test_zone_areas_are_those_of_the_zones():
    rng = np.random.default_rng(1)
    lon, lat = rng.uniform(-180, 180, 2000), rng.uniform(-80, 84, 2000)
    lon[:800], lat[:800] = rng.uniform(-1, 43, 800), rng.uniform(54, 84, 800)
    found = np.zeros(2000, dtype=int)
    for epsg, area in tiling.zone_areas():
        found[shapely.contains_xy(area, lon, lat)] = epsg
    assert (found == grids.utm_epsgs(lon, lat)).all()


# --- the file sampler ------------------------------------------------------------------------------------------------------


def from_table(example: Dataset, folder: Path, table: pd.DataFrame, size_m: float = SIZE_M) -> Locations:
    path = folder / ("places.parquet" if isinstance(table, gpd.GeoDataFrame) else "places.csv")
    if isinstance(table, gpd.GeoDataFrame):
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False)
    spec = dataset(example, folder / "recipe.toml", size_m=size_m, sampler="file", file=path.name, count=None)
    return draw.draw(spec)


@pytest.mark.parametrize("names", [("lon", "lat"), ("center_lon", "center_lat")])
def test_points_of_a_csv_are_snapped(example, tmp_path, names):
    table = pd.DataFrame({names[0]: [6.0, -46.6], names[1]: [51.3, -23.6]})
    found = from_table(example, tmp_path, table)
    assert [(c.epsg, c.x0_m, c.y0_m) for c in found] == [
        grid.snapped(6.0, 51.3, SIZE_M), grid.snapped(-46.6, -23.6, SIZE_M)
    ]  # fmt: skip
    assert [c.region for c in found] == ["europe", NOWHERE]
    assert [c.rank for c in found] == [0, 1]


def test_points_of_a_geoparquet_in_any_crs_with_ids(example, tmp_path):
    shapes = gpd.points_from_xy([6.0, 7.0], [51.3, 51.3], crs=4326).to_crs(3035)
    found = from_table(example, tmp_path, gpd.GeoDataFrame({"location_id": ["b", "a-1"]}, geometry=shapes))
    assert [c.id for c in found] == ["b", "a-1"]
    assert (found[1].epsg, found[1].x0_m, found[1].y0_m) == grid.snapped(7.0, 51.3, SIZE_M)


@pytest.mark.parametrize("crs", [32632, 4326])
def test_footprints_are_kept_exactly_in_their_zone_even_beyond_its_border(example, tmp_path, crs):
    boxes = [shapely.box(301003.0, 5_700_007, 303643, 5_702_647), shapely.box(200_001, 5_700_000, 202_641, 5_702_640)]
    table = gpd.GeoDataFrame({"id": ["1", "2"]}, geometry=boxes, crs=32632).to_crs(crs)
    found = from_table(example, tmp_path, table)
    assert [(c.epsg, c.x0_m, c.y0_m) for c in found] == [(32632, 301003, 5_702_647), (32632, 200_001, 5_702_640)]


@pytest.mark.parametrize("form", [int, lambda code: f"EPSG:{code}"])
def test_utm_columns_are_kept_exactly(example, tmp_path, form):
    table = pd.DataFrame({"x0_m": [301003.5], "y0_m": [5_702_647.0], "crs": [form(32632)]})
    (found,) = from_table(example, tmp_path, table)
    assert (found.epsg, found.x0_m, found.y0_m) == (32632, 301003.5, 5_702_647)
    assert found.id == "utm32n-301003p5-5700007"


def test_ids_keep_their_leading_zeros(example, tmp_path):
    found = from_table(example, tmp_path, pd.DataFrame({"sample_id": ["0000173"], "lon": [6.0], "lat": [51.3]}))
    assert found[0].id == "0000173"


BOX = shapely.box(301000, 5_700_000, 303640, 5_702_640)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            pd.DataFrame({"id": ["a", "B"], "lon": [6, 7], "lat": [51, 51]}),
            r'row 2: id = "B": expected only a-z.*rename',
        ),
        (pd.DataFrame({"id": ["a", "b", "a"], "lon": [6, 7, 8], "lat": [51] * 3}), r"rows 1 and 3: the same id 'a'"),
        (pd.DataFrame({"lon": [6, 7], "lat": [51, 89.0]}), r"row 2: lon 7.0, lat 89.0.*remove the row"),
        (pd.DataFrame({"lon": [6, 7], "lat": ["51", "x"]}), r"row 2: lat = 'x': expected a number"),
        (pd.DataFrame({"lon": [], "lat": []}), "no rows"),
        (pd.DataFrame({"a": [1]}), r"columns \['a'\]: expected"),
        (pd.DataFrame({"x0_m": [0], "y0_m": [0], "epsg": ["32N"]}), r"row 1: epsg = '32N': expected an EPSG code"),
        (
            pd.DataFrame({"x0_m": [0], "y0_m": [0], "epsg": [32632], "size_m": [1280]}),
            r"row 1: the footprint's side is 1280 m, the recipe's \[grid\] size_m is 2640 m",
        ),
        (
            gpd.GeoDataFrame(geometry=[BOX, shapely.box(0, 0, 960, 960)], crs=32632),
            r"row 2: the footprint's side is 960 m, the recipe's \[grid\] size_m is 2640 m",
        ),
        (
            gpd.GeoDataFrame(geometry=[shapely.affinity.rotate(BOX, 3)], crs=32632),
            r"row 1: its polygon strays .* from a square along the axes of EPSG:32632",
        ),
        (
            gpd.GeoDataFrame(geometry=[shapely.affinity.rotate(BOX, 3)], crs=32632).to_crs(4326),
            "row 1: its polygon strays",
        ),
        (gpd.GeoDataFrame(geometry=[BOX], crs=None), "the geometry has no CRS"),
        (gpd.GeoDataFrame(geometry=[BOX, shapely.Point(0, 0)], crs=32632), "expected all points or all polygons"),
        (
            gpd.GeoDataFrame({"epsg": [32633]}, geometry=gpd.GeoSeries([BOX], crs=32632).to_crs(4326)),
            "strays .* EPSG:32633",
        ),
        *(
            (pd.DataFrame({"x0_m": [3e5, x0], "y0_m": [57e5] * 2, "epsg": [32632, epsg]}), rf"row 2: {why}")
            for x0, epsg, why in (
                (3e5, 99999, "EPSG:99999 names no CRS .*such as 32632"),
                (3e5, 4326, "EPSG:4326 is WGS 84, in degree"),
                (3e5, 2227, "EPSG:2227 is .*in US survey foot"),
                (3e9, 32632, "west 3000000000 and north 5700000 in EPSG:32632 are nowhere on Earth"),
            )
        ),
        (gpd.GeoDataFrame(geometry=[shapely.box(6e6, 2e6, 6e6 + 2640, 2e6 + 2640)], crs=2227), "in US survey foot"),
    ],
)
def test_files_that_say_something_impossible(example, tmp_path, table, message):
    with pytest.raises(ConfigError, match=message):
        from_table(example, tmp_path, table)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConfigError, match="not readable"):
        from_file.read(tmp_path / "a.parquet", SIZE_M)
    (tmp_path / "a.txt").write_text("id,lon,lat\n")
    with pytest.raises(ConfigError, match=r"ending '\.txt'"):
        from_file.read(tmp_path / "a.txt", SIZE_M)


@pytest.mark.slow
def test_the_published_footprints_of_ssl4eo_s12_v1_1(example, shared, tmp_path):
    path = shared / "data/ssl4eo-s12-v1.1/splits/val_metadata.parquet"
    spec = dataset(example, tmp_path / "recipe.toml", sampler="file", file=str(path), count=None)
    found = draw.draw(spec)
    published = gpd.read_parquet(path)
    assert len(found) == 2176
    assert [c.id for c in found] == list(dict.fromkeys(published.sample_id))
    outlines = published.drop_duplicates("sample_id").set_index("sample_id").geometry
    codes = published.groupby("sample_id").tile_crs.agg(set)
    for c in found:
        # A whole number of pixels of 10 m from the zone's origin, in a CRS that the file names for the sample ...
        assert c.epsg in codes[c.id]
        assert c.x0_m % 10 == 0
        assert c.y0_m % 10 == 0
        # ... and the very corners that were published, to the centimetre.
        back = Transformer.from_crs(c.epsg, 4326, always_xy=True)
        south, east = c.y0_m - SIZE_M, c.x0_m + SIZE_M
        lon, lat = back.transform([c.x0_m, east, east, c.x0_m], [c.y0_m, c.y0_m, south, south])
        corners_deg = np.sort(shapely.get_coordinates(outlines[c.id])[:4], axis=0)
        assert np.abs(np.sort(np.column_stack([lon, lat]), axis=0) - corners_deg).max() < 1e-7


# --- saving and order ------------------------------------------------------------------------------------------------------


def test_saved_locations_come_back_and_are_the_same_bytes(example, drawn, tmp_path):
    spec, store = dataset(example), Store(tmp_path)
    first = parquet.save(drawn, store, "m/locations.parquet", spec)
    assert parquet.load(store, "m/locations.parquet", spec) == drawn
    assert parquet.save(Locations.of(list(drawn)), store, "m/again.parquet", spec).sha256 == first.sha256


def test_saved_locations_open_in_geopandas_with_their_footprints(example, drawn, tmp_path):
    over = grids.snap(np.array([179.999, -179.999]), np.array([-17.0, -18]), SIZE_M)
    rows = zip(*(getattr(over, k).tolist() for k in ("lon", "lat", "epsg", "x0_m", "y0_m")), strict=True)
    fiji = [Location(f"fiji-{k}", *row, SIZE_M, "fiji", parent="p") for k, row in enumerate(rows)]
    parquet.save(Locations.of([*fiji, *drawn[:50]]), Store(tmp_path), "l.parquet", dataset(example))
    frame = gpd.read_parquet(tmp_path / "l.parquet")
    assert frame.crs.to_epsg() == 4326
    assert list(frame["parent"].fillna("none"))[1:3] == ["p", "none"]
    assert set(frame.geom_type[:2]) == {"MultiPolygon"}
    assert frame.total_bounds[0] == -180
    assert frame.total_bounds[2] == 180
    assert frame.geometry.is_valid.all()
    for c, shape in zip(drawn[:50], frame.geometry[2:], strict=True):
        assert shape.hausdorff_distance(grid.footprint(c)) < 1e-5


def test_saved_locations_are_places_of_a_file(example, drawn, tmp_path):
    parquet.save(drawn, Store(tmp_path), "l.parquet", dataset(example))
    spec = dataset(example, tmp_path / "recipe.toml", sampler="file", file="l.parquet", count=None)
    assert draw.draw(spec) == drawn


def test_no_locations_can_be_saved_too(example, tmp_path):
    parquet.save(Locations.of([]), Store(tmp_path), "l.parquet", dataset(example))
    assert parquet.load(Store(tmp_path), "l.parquet", dataset(example)) == []


def test_locations_of_another_draw_are_refused_with_both_digests(example, drawn, tmp_path):
    mine, other = dataset(example), dataset(example, seed=1)
    parquet.save(drawn, Store(tmp_path), "l.parquet", mine)
    with pytest.raises(ConfigError, match=f"{mine.places_digest()}.*{other.places_digest()}.*locate again"):
        parquet.load(Store(tmp_path), "l.parquet", other)


def test_damage_is_seen(example, drawn, tmp_path):
    spec, store = dataset(example), Store(tmp_path)
    parquet.save(drawn, store, "l.parquet", spec)
    data = (tmp_path / "l.parquet").read_bytes()
    for at in (len(data) // 7, len(data) // 3, len(data) // 2):
        (tmp_path / "l.parquet").write_bytes(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :])
        with pytest.raises(DamageError, match=re.escape(str(tmp_path / "l.parquet"))):
            parquet.load(store, "l.parquet", spec)
    (tmp_path / "l.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(DamageError, match="not a readable"):
        parquet.load(store, "l.parquet", spec)
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "l.parquet")
    with pytest.raises(DamageError, match="not written by"):
        parquet.load(store, "l.parquet", spec)
    with pytest.raises(FileNotFoundError):
        parquet.load(store, "none.parquet", spec)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_the_hilbert_curve_visits_every_cell_once_and_steps_to_neighbours(order):
    x, y = (v.ravel() for v in np.meshgrid(np.arange(1 << order), np.arange(1 << order)))
    along = hilbert(x, y, order)
    assert sorted(along.tolist()) == list(range(4**order))
    path = np.column_stack([x, y])[np.argsort(along)]
    assert (np.abs(np.diff(path, axis=0)).sum(axis=1) == 1).all()


def test_the_hilbert_curve_refuses_what_lies_outside():
    with pytest.raises(ValueError, match="expected 0 <= v < 8"):
        hilbert(np.array([8]), np.array([0]), 3)


@given(st.randoms(use_true_random=False))
@pytest.mark.slow
def test_hilbert_order_depends_on_the_set_alone_and_keeps_zones_together(drawn, random):
    shuffled = list(drawn[:300])
    random.shuffle(shuffled)
    ordered = hilbert_order(Locations.of(shuffled))
    assert ordered == hilbert_order(drawn[:300])
    assert sorted(c.id for c in ordered) == sorted(c.id for c in drawn[:300])
    codes = [c.epsg for c in ordered]
    assert codes == sorted(codes)


def test_neighbours_in_hilbert_order_are_near(example):
    cells = hilbert_order(draw.draw(dataset(example, sampler="grid", count=None), [from_bbox("7,51,8,51.6")]))
    xy = np.array([(c.x0_m, c.y0_m) for c in cells])
    steps = np.hypot(*np.diff(xy, axis=0).T)
    rows = np.hypot(*np.diff(xy[np.lexsort([xy[:, 0], xy[:, 1]])], axis=0).T)
    assert np.median(steps) <= SIZE_M * math.sqrt(2)
    slabs = [xy[k : k + 16] for k in range(0, len(xy) - 16, 16)]
    extent = np.mean([np.ptp(s, axis=0).max() for s in slabs])
    assert extent < 16 * SIZE_M / 2
    assert rows.max() > steps.max()


def test_hilbert_order_of_nothing_is_nothing():
    assert hilbert_order(Locations.of([])) == []


def test_select_of_nothing_and_by_nothing(drawn):
    assert draw.select(Locations.of([]), [find("europe")]) == []
    assert draw.select(drawn, []) == []
    assert isinstance(find("europe"), Region)


# --- ERA5 cells and their children -----------------------------------------------------------------------------------------


def of_cells(example: Dataset, seed: int = 42, children: dict | None = None, **changes) -> Dataset:
    """The example on ERA5 cells, with children around a few cities."""
    spec = {"sampler": "era5-cells", "regions": ["europe", "asia"]} | changes
    of = {"size_m": SIZE_M, "sampler": "gaussian-cities", "count": 20_000, "cities": 300, "sources": ["s2l2a", "s1rtc"]}
    raw = example.recipe.model_dump() | {"places": spec, "seed": seed, "grid": {"size_deg": 0.25}, "labels": {}}
    raw |= {"children": of | (children or {}), "sources": {"s2l2a": {}, "s1rtc": {}}}
    return Dataset(Recipe.model_validate(raw), example.specs, example.path)


SEAMS = [from_bbox("178.9,-17,-179.9,-16"), from_bbox("178,66.5,-178,68.5"), from_bbox("76.4,27.8,79.1,29.6")]
"""Both sides of the antimeridian in south and north, and a seam of zones with cities."""


@pytest.fixture(scope="module")
def family(example: Dataset) -> Locations:
    return draw.draw(of_cells(example, land_buffer_deg=0.25), SEAMS)


def test_cells_come_by_rank_and_their_children_after_them(family):
    roots, born = family.roots(), family.children()
    assert family == [*roots, *born]
    assert len(roots) > 30
    assert len(born) > 40
    assert {r.epsg for r in roots} == {4326}
    assert {r.size_m for r in roots} == {0.25}
    assert {c.size_m for c in born} == {SIZE_M}
    ranks = [r.rank for r in roots]
    assert ranks == sorted(ranks)
    rank = {r.id: r.rank for r in roots}
    order = [(rank[c.parent], c.rank) for c in born]
    assert order == sorted(order)
    assert len({p.id for p in family}) == len(family)
    assert all(c.id == grid.location_id(c.epsg, c.x0_m, c.y0_m, SIZE_M) for c in born)
    assert {c.epsg // 100 for c in born} == {326, 327}
    assert any(r.lon == -180 for r in roots)
    assert {r.lon > 0 for r in roots if abs(r.lon) > 179} == {True, False}


def test_children_have_the_region_of_their_cell(family):
    cells = {r.id: r for r in family.roots()}
    assert {c.region == cells[c.parent].region for c in family.children()} == {True}
    assert {r.region for r in family.roots()} == {region.name for region in SEAMS}
    assert {c.region for c in family.children()} == {region.name for region in SEAMS}


def test_children_lie_in_their_cell(family):
    cells = {r.id: grid.footprint(r) for r in family.roots()}
    for c in family.children():
        outline = grid.footprint(c, 20)
        cell = cells[c.parent]
        turn = 360 * round((cell.centroid.x - outline.centroid.x) / 360)
        assert cell.covers(shapely.affinity.translate(outline, turn))


@pytest.mark.slow
def test_regions_select_cells_with_their_children_and_change_nothing_else(example, family):
    spec = of_cells(example, land_buffer_deg=0.25)
    most = max(family.roots(), key=lambda r: (len(family.children(Locations.of([r]))), r.id))
    corner = from_bbox(f"{most.lon - 0.05},{most.lat - 0.05},{most.lon + 0.01},{most.lat + 0.01}")
    for asked in ([SEAMS[2]], SEAMS[:2], [corner]):
        chosen = draw.draw(spec, asked)
        assert chosen == draw.select(family, asked)
        for p in chosen.roots():
            assert p.region == next(r.name for r in asked if r.contains(p.lon, p.lat))
        assert {c.parent for c in chosen.children()} <= {r.id for r in chosen.roots()}
    # A cell goes by its centre, and its children go with it, wherever they lie.
    cut = draw.select(family, [corner])
    assert [r.id for r in cut.roots()] == [most.id]
    assert len(cut.children()) == 4
    assert not all(corner.contains(c.lon, c.lat) for c in cut.children())
    assert cut.children() == family.children(cut.roots()).with_regions([corner.name] * 4)


def test_children_without_their_cell_are_selected_by_their_own_centre(family):
    asked = [SEAMS[2]]
    born = family.children()
    assert {c.id for c in draw.select(born, asked)} == {c.id for c in born if SEAMS[2].contains(c.lon, c.lat)}


@pytest.mark.slow
def test_fewer_cells_are_the_first_and_keep_their_children(example, family):
    few = draw.draw(of_cells(example, count=200_000, land_buffer_deg=0.25), SEAMS)
    assert 0 < len(few.roots()) < len(family.roots())
    assert few.roots() == [r for r in family.roots() if r.rank < 200_000]
    assert few == [*few.roots(), *family.children(few.roots())]


@pytest.mark.slow
def test_all_land_cells_of_the_globe_are_drawn_at_once(example):
    found = draw.draw(of_cells(example, children={"count": 1, "fill": 0}))
    assert len(found.roots()) == 363_660
    assert [p.rank for p in found[:5]] == [0, 1, 2, 3, 4]
    assert found.table.nbytes / len(found) < 100
    assert set(found.column("region")) == {"europe", "asia", NOWHERE}


def test_cells_and_children_are_saved_with_their_footprints(example, family, tmp_path):
    spec, store = of_cells(example, land_buffer_deg=0.25), Store(tmp_path)
    first = parquet.save(family, store, "l.parquet", spec)
    assert parquet.load(store, "l.parquet", spec) == family
    assert parquet.save(Locations.of(list(family)), store, "again.parquet", spec).sha256 == first.sha256
    table = pq.read_table(tmp_path / "l.parquet")
    shapes = shapely.from_wkb(table["geometry"].to_numpy())
    assert table["parent"].null_count == len(family.roots())
    assert shapely.is_valid(shapes).all()
    assert shapely.total_bounds(shapes)[[0, 2]].tolist() == [-180, 180]
    for p, shape in zip(family, shapes, strict=True):
        if p.epsg == 4326:
            assert shape.area == pytest.approx(0.0625, abs=1e-12)
            parts = 2 if p.lon == -180 else 1
            assert len(shapely.get_parts(shape)) == parts
            assert shape.bounds == (
                (-180, p.lat - 0.125, 180, p.lat + 0.125) if parts == 2 else grid.footprint(p).bounds
            )
    frame = gpd.read_parquet(tmp_path / "l.parquet")
    assert frame.crs.to_epsg() == 4326
    with pytest.raises(ConfigError, match=r"children.fill was 1, is 0"):
        parquet.load(store, "l.parquet", of_cells(example, land_buffer_deg=0.25, children={"fill": 0}))


@given(st.randoms(use_true_random=False))
@pytest.mark.slow
def test_hilbert_order_of_cells_and_children_depends_on_the_set_alone(family, random):
    shuffled = list(family)
    random.shuffle(shuffled)
    ordered = hilbert_order(Locations.of(shuffled))
    assert ordered == hilbert_order(family)
    assert [p.parent is None for p in ordered] == sorted((p.parent is None for p in ordered), reverse=True)


def test_cells_beside_each_other_are_near_in_hilbert_order(example):
    roots = draw.draw(of_cells(example, children={"count": 1, "fill": 0}), [from_bbox("60,50,76,66")])
    ordered = hilbert_order(roots)
    steps = np.abs(np.diff(ordered.column("lon"))) + np.abs(np.diff(ordered.column("lat")))
    assert len(ordered) > 3500
    assert np.median(steps) == 0.25
    assert steps.mean() < 0.3


def test_the_example_is_drawn_as_it_always_was(example):
    # The first of the whole draw; of all 300,000 the ids had this digest before there were cells.
    first = sampling.drawn(example.recipe.places.model_copy(update={"count": 5}), 42, SIZE_M)
    assert from_file.ids_of(first, SIZE_M) == [
        "utm48n-669120-3165780", "utm38n-580080-4162680", "utm37n-261720-4092360", "utm35n-626940-5491800",
        "utm48n-678480-1247040",
    ]  # fmt: skip


def _digest(ids: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def test_draws_are_what_they_always_were(example):
    # Of each kind, whatever is installed; the same with numpy 2.1, scipy 1.14, shapely 2.0 and PROJ 9.4, and without AVX.
    cells = load_dataset("ssl4eo-s").recipe
    for sampler, count, digest in (
        ("gaussian-cities", 2000, "8a2db0d3079c19fc0c276d64d7232466dd411ff8f7c740f8566a37c81c0aa576"),
        ("uniform", 500, "9314d9f0804d20f175900d3dbd9d9097daaa4d7dedceb69d7cb2a03272f897e4"),
    ):
        spec = example.recipe.places.model_copy(update={"sampler": sampler, "count": count})
        assert _digest(from_file.ids_of(sampling.drawn(spec, 42, SIZE_M), SIZE_M)) == digest
    drawn = era5_cells.drawn(cells.places.model_copy(update={"count": 1000}), 42)
    assert _digest(era5_cells.ids(drawn)) == "75793fe1db49a3fb7be1ded5620ad0c2b20bab307d3ffab79bde4a7e11139dd6"
    family = children.of_cells(drawn[:100], cells.children.model_copy(update={"count": 1000}), 42)
    assert len(family.cell) == 85
    ids = from_file.ids_of(family.places, SIZE_M)
    assert _digest(ids) == "4e9cda7ee7261efa70b45ff5a0f7d1cc7eade5966b6079b1e5817ec49dc6a2eb"


def test_the_numbers_that_draws_are_made_of_stay_what_they_are():
    # numpy promises so of raw words alone (NEP 19), not of what its generators make of them.
    first = np.random.PCG64(42).random_raw(3).tolist()
    assert first == [14276969152011380360, 8095878257575067585, 15838336090824644132]
    of_cells = np.random.PCG64([42, era5_cells._STREAM]).random_raw(3).tolist()
    assert of_cells == [3222395765809843002, 18052177688626805760, 1051541136787920507]


@pytest.mark.slow
def test_the_whole_example_is_drawn_as_it_always_was(whole):
    ids = "\n".join(whole[0].column("id"))
    assert (
        hashlib.sha256(ids.encode()).hexdigest() == "e822ee94ed69e3710f564874d1025e93a84b0c061c55036e3a55dbc5e615a945"
    )
