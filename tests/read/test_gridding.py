"""Footprints on the pixels of a cell: what is constant, linear, conserved; what never spreads; other libraries' answers."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.read import gridding
from curation.read.gridding import Accumulator, Footprints
from tests.properties import examples

SIZE, PX = 0.25, 28
CELLS = [(10.0, 46.5), (-180.0, -16.75), (179.0, 67.5), (16.0, 78.0), (-45.5, -60.5), (20.0, 0.0)]
"""Longitude and latitude of nodes, on both sides of the antimeridian and of the equator."""


def cell(lon: float, lat: float, bands: int = 1, px: int = PX, **how) -> Accumulator:
    return Accumulator(lon - SIZE / 2, lat + SIZE / 2, SIZE, px, bands, **how)


def swath(
    lon: float, lat: float, along_km: float = 5.5, across_km: float = 7.0, turn_deg: float = 13.0, east_km=0.0, rows=16
) -> tuple[np.ndarray, np.ndarray]:
    """Corners (n, 4) of footprints side by side around a point, on the sphere: each shares its corners with the next."""
    cols = rows
    t = np.radians(turn_deg)
    a = (np.arange(cols + 1) - cols / 2) * across_km + east_km
    b = (np.arange(rows + 1) - rows / 2) * along_km
    a, b = np.meshgrid(a, b)
    x, y = (a * np.cos(t) + b * np.sin(t)) / 6371, (b * np.cos(t) - a * np.sin(t)) / 6371
    phi, la = np.radians(lat), np.radians(lon)
    up = np.array([np.cos(phi) * np.cos(la), np.cos(phi) * np.sin(la), np.sin(phi)])
    east = np.array([-np.sin(la), np.cos(la), 0])
    north = np.array([-np.sin(phi) * np.cos(la), -np.sin(phi) * np.sin(la), np.cos(phi)])
    at_lon, at_lat = gridding.lon_lat(up + x[..., None] * east + y[..., None] * north)
    around = [np.s_[:-1, :-1], np.s_[:-1, 1:], np.s_[1:, 1:], np.s_[1:, :-1]]
    return tuple(np.stack([v[w] for w in around], axis=-1).reshape(-1, 4) for v in (at_lon, at_lat))


def seen(lon, lat, values, **more) -> Footprints:
    return Footprints(lon, lat, np.atleast_2d(np.asarray(values, float)), **more)


def pixel_centres(lon: float, lat: float, px: int = PX) -> tuple[np.ndarray, np.ndarray]:
    t = (np.arange(px) + 0.5) / px * SIZE - SIZE / 2
    return np.meshgrid(lon + t, lat - t)


def unwrapped(lon: np.ndarray, about: float) -> np.ndarray:
    return about + (lon - about + 180) % 360 - 180


# ---- what a mean must be ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lon", "lat"), CELLS)
@pytest.mark.parametrize("km", [(5.5, 7.0), (0.3, 0.3), (15.0, 3.5)])
def test_a_constant_field_stays_constant(lon, lat, km):
    at = cell(lon, lat)
    for turn in (13, -13, 60):
        corners = swath(lon, lat, *km, turn_deg=turn, rows=100 if km[0] < 1 else 16)
        at.add(seen(*corners, np.full(len(corners[0]), -3.75e-5)), orbit=turn)
    got = at.result()
    is_seen = got.weight[0] > 0
    assert is_seen.all() or km[0] < 1
    assert is_seen.mean() > 0.5
    np.testing.assert_allclose(got.mean[0][is_seen], -3.75e-5, rtol=1e-6)
    np.testing.assert_allclose(got.mean[0][is_seen], -3.75e-5, rtol=1e-12)


@pytest.mark.parametrize(("lon", "lat"), CELLS)
def test_a_pixel_under_a_closed_swath_is_covered_exactly_once(lon, lat):
    at = cell(lon, lat)
    corners = swath(lon, lat)
    at.add(seen(*corners, np.ones(len(corners[0]))))
    np.testing.assert_allclose(at.result().weight[0], 1, atol=1e-9)


def field(lon, lat, about) -> np.ndarray:
    """1 at the cell's centre, 0.3 and 1.7 at corners of a cell on the equator, as steep per kilometre on all."""
    east = (unwrapped(lon, about[0]) - about[0]) * np.cos(np.radians(about[1]))
    return 1 + 0.9 * east / SIZE - 0.5 * (lat - about[1]) / SIZE


@pytest.mark.parametrize(("lon", "lat"), CELLS)
def test_a_linear_field_is_within_a_hundredth_at_the_cells_centre(lon, lat):
    one_orbit = cell(lon, lat, px=1)  # one pixel, whose centre is the cell's
    corners = swath(lon, lat)
    one_orbit.add(seen(*corners, field(unwrapped(corners[0], lon).mean(1), corners[1].mean(1), (lon, lat))))
    assert one_orbit.result().mean[0, 0, 0] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(("lon", "lat"), CELLS)
def test_a_linear_field_is_within_a_hundredth_at_every_pixel_of_olci(lon, lat):
    """Footprints of 0.3 km on pixels of about as much: 96 a side."""
    at = cell(lon, lat, px=96)
    corners = swath(lon, lat, 0.3, 0.3, rows=140)
    values = field(unwrapped(corners[0], lon).mean(1), corners[1].mean(1), (lon, lat))
    at.add(seen(*corners, values))
    got = at.result()
    want = field(*pixel_centres(lon, lat, 96), (lon, lat))
    full = got.weight[0] > 0.999
    assert full.mean() > 0.99
    assert np.abs(got.mean[0] - want)[full].max() < 0.01


@pytest.mark.parametrize(("lon", "lat"), CELLS)
def test_a_linear_field_comes_out_of_a_month_of_orbits(lon, lat):
    """Footprints of S5P are seven pixels wide: one orbit is a staircase, a month of them, each placed otherwise, is not."""
    draw = np.random.default_rng(7)
    at = cell(lon, lat)
    for orbit in range(60):
        turn, east = draw.uniform(-30, 30), draw.uniform(-3.5, 3.5)
        corners = swath(lon + draw.uniform(-0.05, 0.05), lat + draw.uniform(-0.03, 0.03), turn_deg=turn, east_km=east)
        at.add(seen(*corners, field(unwrapped(corners[0], lon).mean(1), corners[1].mean(1), (lon, lat))), orbit)
    error = at.result().mean[0] - field(*pixel_centres(lon, lat), (lon, lat))
    middle = error[9:19, 9:19]
    assert abs(middle.mean()) < 0.01
    assert np.sqrt((error**2).mean()) < 0.05  # of a field that goes from 0.3 to 1.7


# ---- number, spread and days -----------------------------------------------------------------------------------------


def test_the_spread_is_that_of_the_footprints_about_their_mean_by_area():
    """Against all footprints at once, of a column of 1850 whose spread is a few: no difference of large numbers."""
    draw = np.random.default_rng(11)
    at, index, pixels, shares, values = cell(10.0, 46.5, px=7), [], [], [], []
    for orbit in range(6):
        corners = swath(10.0, 46.5, turn_deg=draw.uniform(-30, 30))
        mine = draw.normal(1850, 5, len(corners[0]))
        mine[draw.random(len(mine)) < 0.2] = np.nan
        at.add(seen(*corners, mine), orbit, day=orbit // 2)
        for f, p, w in gridding.overlaps(*corners, 10 - SIZE / 2, 46.5 + SIZE / 2, SIZE, 7):
            good = np.isfinite(mine[f])
            index.append(f[good]), pixels.append(p[good]), shares.append(w[good]), values.append(mine[f][good])
    p, w, v = map(np.concatenate, (pixels, shares, values))
    got = at.result()
    for k in range(49):
        mine = p == k
        mean = np.average(v[mine], weights=w[mine])
        want = np.sqrt(np.average((v[mine] - mean) ** 2, weights=w[mine]))
        assert got.spread[0].ravel()[k] == pytest.approx(want, rel=1e-9)
        assert got.mean[0].ravel()[k] == pytest.approx(mean, rel=1e-12)
    assert got.orbits.max() == 6
    assert got.days.max() == 3


def test_of_one_footprint_no_spread_is_known_and_of_equal_ones_it_is_none():
    corners = swath(10.0, 46.5, 40, 40, rows=1)
    at = cell(10.0, 46.5)
    at.add(seen(*corners, [3.0]))
    assert np.isnan(at.result().spread).all()
    at.add(seen(*corners, [3.0]), orbit=1, day=1)
    assert (at.result().spread == 0).all()
    assert (at.result().days == 2).all()
    assert (at.result().orbits == 2).all()


def test_what_is_left_out_by_its_quality_has_no_part_in_spread_and_days():
    corners = swath(10.0, 46.5, 40, 40, rows=1)
    at = cell(10.0, 46.5, min_quality=0.75)
    for day, (value, quality) in enumerate([(1.0, 0.8), (3.0, 0.8), (99.0, 0.7)]):
        at.add(seen(*corners, [value], quality=np.array([quality])), orbit=day, day=day)
    assert np.allclose(at.result().spread, 1)
    assert (at.result().days == 2).all()


# ---- mass ------------------------------------------------------------------------------------------------------------


def dense(lon, lat, values, west, north, px, n=400) -> tuple[np.ndarray, np.ndarray]:
    """The referee: value × area and area of each pixel by n × n points per footprint, spread over it evenly in area."""
    total, area = np.zeros((px, px)), np.zeros((px, px))
    u, v = np.meshgrid((np.arange(n) + 0.5) / n, (np.arange(n) + 0.5) / n)
    for x, y, value in zip(lon, np.sin(np.radians(lat)), values, strict=True):
        # bilinear between the corners; each point stands for the area that the map gives it there
        w = [(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v]
        px_, py = sum(a * b for a, b in zip(w, x, strict=True)), sum(a * b for a, b in zip(w, y, strict=True))
        xu, yu = (1 - v) * (x[1] - x[0]) + v * (x[2] - x[3]), (1 - v) * (y[1] - y[0]) + v * (y[2] - y[3])
        xv, yv = (1 - u) * (x[3] - x[0]) + u * (x[2] - x[1]), (1 - u) * (y[3] - y[0]) + u * (y[2] - y[1])
        weight = np.abs(xu * yv - xv * yu) / n**2
        col = np.floor((px_ - west) / (SIZE / px)).astype(int)
        row = np.floor((north - np.degrees(np.arcsin(py))) / (SIZE / px)).astype(int)
        inside = (col >= 0) & (col < px) & (row >= 0) & (row < px)
        np.add.at(total, (row[inside], col[inside]), value * weight[inside])
        np.add.at(area, (row[inside], col[inside]), weight[inside])
    return total, area


def pixel_areas(north: float, px: int) -> np.ndarray:
    """Of a row, in longitude × sine of latitude."""
    edges = np.sin(np.radians(north - SIZE / px * np.arange(px + 1)))
    return (edges[:-1] - edges[1:])[:, None] * SIZE / px


@pytest.mark.parametrize(("lon", "lat"), [(10.0, 46.5), (-180.0, 67.5), (16.0, 78.0)])
def test_mass_is_conserved_against_a_dense_referee(lon, lat):
    draw = np.random.default_rng(3)
    corners = swath(lon, lat, rows=8)
    values = draw.lognormal(0, 1, len(corners[0]))
    west, north = lon - SIZE / 2, lat + SIZE / 2
    at = cell(lon, lat)
    at.add(seen(*corners, values))
    got = at.result()
    mass = np.nansum(got.mean[0] * got.weight[0] * pixel_areas(north, PX))
    total, area = dense(unwrapped(corners[0], lon), corners[1], values, west, north, PX)
    assert mass == pytest.approx(total.sum(), rel=1e-3)
    covered = got.weight[0] * pixel_areas(north, PX)
    np.testing.assert_allclose(covered, area, atol=0.01 * area.max())
    one = area > 0.5 * area.max()
    np.testing.assert_allclose(got.mean[0][one], (total / np.maximum(area, 1e-30))[one], rtol=0.02)


def test_mass_is_conserved_exactly_where_footprints_lie_wholly_inside():
    lon, lat = 8.25, 50.0
    corners = swath(lon, lat, 2.0, 2.0, rows=5)
    values = np.arange(25.0) - 12
    at = cell(lon, lat)
    at.add(seen(*corners, values))
    got = at.result()
    ring = [shapely.Polygon(np.column_stack([x, np.sin(np.radians(y))])).area for x, y in zip(*corners, strict=True)]
    mass = np.nansum(got.mean[0] * got.weight[0] * pixel_areas(lat + SIZE / 2, PX))
    assert mass == pytest.approx(np.dot(values, ring), rel=1e-9, abs=1e-12)
    assert (got.weight[0] * pixel_areas(lat + SIZE / 2, PX)).sum() == pytest.approx(sum(ring), rel=1e-9)


# ---- overlaps, against GEOS ------------------------------------------------------------------------------------------


def by_geos(lon, lat, west, north, size, px) -> dict[tuple[int, int], float]:
    """Share of each pixel that each quadrilateral covers, by polygon intersection in longitude and sine of latitude."""
    step = size / px
    edges = np.sin(np.radians(north - step * np.arange(px + 1)))
    pixels = [
        shapely.box(west + c * step, edges[r + 1], west + (c + 1) * step, edges[r])
        for r in range(px)
        for c in range(px)
    ]
    tree = shapely.STRtree(pixels)
    out = {}
    for i, (x, y) in enumerate(zip(lon, lat, strict=True)):
        polygon = shapely.Polygon(np.column_stack([x, np.sin(np.radians(y))]))
        for p in tree.query(polygon):
            share = polygon.intersection(pixels[p]).area / pixels[p].area
            if share > 1e-7:
                out[i, int(p)] = share
    return out


def ours(lon, lat, west, north, size, px) -> dict[tuple[int, int], float]:
    out = {}
    for f, p, share in gridding.overlaps(lon, lat, west, north, size, px):
        for key in zip(f.tolist(), p.tolist(), share.tolist(), strict=True):
            assert key[:2] not in out
            out[key[:2]] = key[2]
    return {k: v for k, v in out.items() if v > 1e-7}


def test_overlaps_are_those_of_a_geometry_library():
    lon, lat = swath(9.0, 46.5, rows=10)
    got, want = ours(lon, lat, 8.875, 46.625, SIZE, PX), by_geos(lon, lat, 8.875, 46.625, SIZE, PX)
    assert got.keys() == want.keys()
    assert max(abs(got[k] - want[k]) for k in want) < 1e-8


near = st.floats(-0.3, 0.3).map(lambda v: round(v, 6))


@settings(deadline=None, max_examples=examples(150))
@given(st.lists(st.tuples(near, near), min_size=4, max_size=4), st.sampled_from([0.0, 46.5, -78.0]), st.integers(1, 9))
def test_any_quadrilateral_covers_what_a_geometry_library_says(points, lat, px):
    x, y = np.array(points).T
    corners = np.array([x]) + 20, np.array([y]) + lat
    polygon = shapely.Polygon(np.column_stack([corners[0][0], np.sin(np.radians(corners[1][0]))]))
    if not polygon.is_valid:  # sides that cross: the corners are taken in another order
        hull = polygon.convex_hull
        if hull.geom_type != "Polygon" or len(hull.exterior.coords) != 5:
            return
        crossed = np.array(hull.exterior.coords[:4])
        want_at = crossed[:, :1].T, np.degrees(np.arcsin(crossed[:, 1:].T))
    else:
        want_at = corners
    got = ours(*corners, 19.875, lat + SIZE / 2, SIZE, px)
    want = by_geos(*want_at, 19.875, lat + SIZE / 2, SIZE, px)
    keys = got.keys() | want.keys()
    assert all(abs(got.get(k, 0) - want.get(k, 0)) < 1e-6 for k in keys)


@settings(deadline=None, max_examples=examples(100))
@given(
    st.lists(st.tuples(near, near, st.floats(0.001, 0.2), st.floats(-1e3, 1e3)), min_size=1, max_size=8),
    st.sampled_from([0.0, 67.5, 78.0]),
    st.sampled_from([10.0, 180.0, -180.0]),
    st.integers(1, 12),
)
def test_a_mean_lies_between_the_values_and_turns_about_nothing(boxes, lat, lon, px):
    x, y, s, v = np.array(boxes).T
    lons = lon + x[:, None] + s[:, None] * np.array([-1, 1, 1, -1])
    lats = lat + y[:, None] + s[:, None] * np.array([-1, -1, 1, 1])
    at, other = cell(lon, lat, px=px), cell(lon, lat, px=px)
    at.add(seen(lons, lats, v))
    other.add(seen((lons[:, ::-1] + 540) % 360 - 180, lats[:, ::-1], v))  # wrapped, and the other way round
    got = at.result()
    is_seen = got.footprints > 0
    assert np.array_equal(is_seen, np.isfinite(got.mean[0]))
    assert (got.mean[0][is_seen] >= v.min() - 1e-6).all()
    assert (got.mean[0][is_seen] <= v.max() + 1e-6).all()
    assert (got.weight[0] <= got.footprints + 1e-9).all()
    np.testing.assert_allclose(other.result().weight, got.weight, atol=1e-6)


# ---- what never spreads ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["value", "lon", "lat", "quality", "below", "infinite"])
def test_what_is_unknown_or_too_bad_is_left_out_and_touches_no_other(what):
    lon, lat = 10.0, 46.5
    corners = swath(lon, lat)
    n = len(corners[0])
    values, quality = np.linspace(-1, 1, n), np.full(n, 0.8)
    bad = np.zeros(n, bool)
    bad[::7] = True
    want = cell(lon, lat, min_quality=0.75)
    want.add(seen(corners[0][~bad], corners[1][~bad], values[~bad], quality=quality[~bad]))
    lon4, lat4 = (c.copy() for c in corners)
    if what in ("value", "infinite"):
        values[bad] = np.nan if what == "value" else np.inf
    elif what == "lon":
        lon4[bad, 2] = np.nan
    elif what == "lat":
        lat4[bad, 0] = np.nan
    else:
        quality[bad] = np.nan if what == "quality" else 0.74
    got = cell(lon, lat, min_quality=0.75)
    got.add(seen(lon4, lat4, values, quality=quality))
    for field_name in ("mean", "weight", "orbits", "footprints", "quality_mean", "quality_min"):
        np.testing.assert_array_equal(getattr(got.result(), field_name), getattr(want.result(), field_name))


def test_a_quality_of_the_threshold_in_single_precision_passes():
    corners = swath(10.0, 46.5)
    packed = np.full(len(corners[0]), 75, np.uint8)
    for quality in (packed * np.float32(0.01), packed * np.float64(np.float32(0.01))):
        at = cell(10.0, 46.5, min_quality=0.75)
        at.add(seen(*corners, packed, quality=quality.astype(float)))
        assert (at.result().footprints > 0).all()


def test_symmetric_noise_averages_to_nothing():
    draw = np.random.default_rng(11)
    at = cell(10.0, 46.5)
    for orbit in range(60):
        corners = swath(10.0, 46.5, turn_deg=draw.uniform(-20, 20), east_km=draw.uniform(-4, 4))
        at.add(seen(*corners, draw.normal(0, 1, len(corners[0]))), orbit)
    got = at.result()
    assert (got.orbits == 60).all()
    assert abs(got.mean.mean()) < 4 / np.sqrt(60 * 20)  # about 20 footprints of an orbit lie on a cell
    assert (got.mean < 0).any()


def test_orbits_and_footprints_are_counted_and_their_quality_kept():
    lon, lat = swath(10.0, 46.5)
    n = len(lon)
    at = cell(10.0, 46.5)
    at.add(seen(lon, lat, np.full(n, 1.0), quality=np.full(n, 0.8)), orbit=1)
    at.add(seen(lon, lat, np.full(n, 3.0), quality=np.full(n, 1.0)), orbit=2)
    half = n // 2  # two files of one orbit
    at.add(seen(lon[:half], lat[:half], np.full(half, 5.0), quality=np.full(half, 0.6)), orbit=3)
    at.add(seen(lon[half:], lat[half:], np.full(n - half, 5.0), quality=np.full(n - half, 0.6)), orbit=3)
    got = at.result()
    assert (got.orbits == 3).all()
    single = cell(10.0, 46.5)
    single.add(seen(lon, lat, np.ones(n)))
    np.testing.assert_array_equal(got.footprints, 3 * single.result().footprints)
    np.testing.assert_allclose(got.mean, 3)
    np.testing.assert_allclose(got.quality_mean, 0.8)
    np.testing.assert_allclose(got.quality_min, 0.6)


def test_nothing_is_nothing_and_elsewhere_changes_nothing():
    at = cell(10.0, 46.5, bands=2)
    at.add(Footprints(np.zeros((0, 4)), np.zeros((0, 4)), np.zeros((2, 0))))
    corners = swath(50.0, 20.0)
    at.add(Footprints(*corners, np.ones((2, len(corners[0])))), orbit=2)
    got = at.result()
    assert np.isnan(got.mean).all()
    assert np.isnan(got.quality_min).all()
    assert got.orbits.sum() == got.footprints.sum() == got.weight.sum() == 0
    assert (got.codes == gridding.NO_CODE).all()


def test_a_band_without_a_value_leaves_the_others_theirs():
    corners = swath(10.0, 46.5)
    n = len(corners[0])
    values = np.stack([np.ones(n), np.full(n, 2.0)])
    values[0, ::2] = np.nan
    values[:, ::5] = np.nan
    at = cell(10.0, 46.5, bands=2)
    at.add(Footprints(*corners, values))
    got = at.result()
    assert (got.weight[0] <= got.weight[1]).all()
    assert got.weight[0].sum() < got.weight[1].sum()
    np.testing.assert_allclose(got.mean[1][got.weight[1] > 0], 2)
    np.testing.assert_allclose(got.mean[0][got.weight[0] > 0], 1)


def test_a_code_is_the_one_with_the_largest_share():
    west, north = 10.0, 46.0
    lon = np.array([[10.0, 10.6, 10.6, 10.0], [10.6, 11.0, 11.0, 10.6], [10.0, 11.0, 11.0, 10.0]])
    lat = np.array([[45.0, 45.0, 46.0, 46.0]] * 3)
    at = Accumulator(west, north, 1.0, 1, 0)
    codes = np.array([2, 1, gridding.NO_CODE])
    at.add(Footprints(lon, lat, np.zeros((0, 3)), codes=codes))
    assert at.result().codes == 2
    at.add(Footprints(lon, lat, np.zeros((0, 3)), codes=np.array([1, 1, gridding.NO_CODE])))
    assert at.result().codes == 1
    both = Accumulator(west, north, 1.0, 1, 0)
    both.add(Footprints(lon[2:].repeat(2, 0), lat[:2], np.zeros((0, 2)), codes=np.array([7, 4])))
    assert both.result().codes == 4  # of two alike the smaller


def test_codes_of_a_checkerboard_are_those_of_the_footprint_on_each_pixel():
    lon, lat = swath(10.0, 46.5, rows=12)
    codes = np.indices((12, 12)).sum(0).ravel() % 3
    at = cell(10.0, 46.5, bands=0)
    at.add(Footprints(lon, lat, np.zeros((0, 144)), codes=codes))
    share = np.zeros((3, PX * PX))
    for (f, p), s in by_geos(lon, lat, 9.875, 46.625, SIZE, PX).items():
        share[codes[f], p] += s
    clear = np.sort(share, axis=0)[-1] - np.sort(share, axis=0)[-2] > 1e-6
    np.testing.assert_array_equal(at.result().codes.ravel()[clear], share.argmax(0)[clear])


# ---- the antimeridian and the poles ----------------------------------------------------------------------------------


@pytest.mark.parametrize("lon", [-180.0, 180.0, 179.875, -179.875, 540.0])
def test_across_the_antimeridian_pixels_are_those_of_anywhere_else(lon):
    got, want = cell(lon, 67.5), cell(10.0, 67.5)
    here, there = swath(lon, 67.5), swath(10.0, 67.5)
    values = np.arange(len(here[0]), dtype=float)
    got.add(seen((here[0] + 540) % 360 - 180, here[1], values))
    want.add(seen(*there, values))
    np.testing.assert_allclose(got.result().mean, want.result().mean, rtol=1e-6)


def test_a_footprint_that_holds_a_pole_or_half_the_globe_is_left_out():
    lon = np.array([[0.0, 90.0, 180.0, -90.0], [-95.0, 0.0, 95.0, 0.0], [0.0, 90.0, -170.0, -80.0]])
    lat = np.array([[89.9] * 4, [88.0, 87.0, 88.0, 89.0], [89.5, 89.9, 89.5, 89.7]])
    at = Accumulator(-0.125, 90.125, SIZE, PX, 1)  # the cell of the pole's node: its northern half is nowhere
    at.add(seen(lon, lat, np.ones(3)))
    assert at.result().footprints.sum() == 0
    near_pole = np.array([[-10.0, 10.0, 10.0, -10.0]]), np.array([[89.0, 89.0, 89.95, 89.95]])
    at.add(seen(*near_pole, [5.0]))
    got = at.result()
    assert np.nansum(got.weight[0, :14]) == 0
    np.testing.assert_allclose(got.weight[0, 20], 1)
    assert np.isnan(got.mean[0, :14]).all()


# ---- corners ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lon", "lat"), [(10.0, 46.5), (180.0, -16.75), (30.0, 88.5), (0.0, 90.0)])
def test_corners_between_centres_are_those_of_the_swath(lon, lat):
    lon4, lat4 = (c.reshape(12, 12, 4) for c in swath(lon, lat, rows=12))
    centre = gridding.lon_lat(gridding.unit_vectors(lon4, lat4).mean(axis=2))
    got = gridding.corners(*centre)
    apart = gridding.unit_vectors(*got) - gridding.unit_vectors(lon4, lat4)
    assert np.linalg.norm(apart, axis=-1).max() * 6371 < 0.01  # km


def test_one_unknown_centre_leaves_its_own_footprint_out_and_no_other():
    lon4, lat4 = (c.reshape(12, 12, 4) for c in swath(10.0, 46.5, rows=12))
    centre = gridding.lon_lat(gridding.unit_vectors(lon4, lat4).mean(axis=2))
    for c in centre:
        c[5, 6] = np.nan
    got = gridding.corners(*centre)
    unknown = np.isnan(got[0]).any(-1) | np.isnan(got[1]).any(-1)
    assert np.argwhere(unknown).tolist() == [[5, 6]]
    apart = np.linalg.norm(gridding.unit_vectors(*got) - gridding.unit_vectors(lon4, lat4), axis=-1)
    assert np.nanmax(apart) * 6371 < 0.01


def test_corners_want_two_rows_and_columns():
    with pytest.raises(ValueError, match="1 × 5 centres: expected two"):
        gridding.corners(np.zeros((1, 5)), np.zeros((1, 5)))


# ---- a real file, and another library --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def co(shared: Path) -> Footprints:
    """Two scanlines of carbon monoxide, with fill values and qualities of 0 to 0.7."""
    with h5py.File(shared / "data/emissions-api/test.nc") as file:
        p = file["PRODUCT"]
        lon, lat = (p[k][0].astype(float) for k in ("longitude", "latitude"))
        values, quality = p["carbonmonoxide_total_column"][0].astype(float), p["qa_value"][0] / 100
    values[values > 1e30] = np.nan
    lon4, lat4 = gridding.corners(lon, lat)
    return Footprints(lon4.reshape(-1, 4), lat4.reshape(-1, 4), values.reshape(1, -1), quality=quality.ravel())


def test_the_real_file_is_gridded_as_pyresample_grids_it(co):
    """pyresample bins points: each footprint is 120 × 120 of them, each with its share of the footprint's area.

    What the points cannot say is which side of a pixel's edge the last of them is: with pixels of 1 km and points every
    60 m, a weight is good to some hundredths where footprints end, and a mean where they meet.
    """
    pytest.importorskip("pyresample")
    from pyresample import create_area_def
    from pyresample.bucket import BucketResampler

    is_used = (co.quality >= 0.5) & np.isfinite(co.values[0])
    assert is_used.sum() > 20
    centres = co.lon.mean(1)[is_used], co.lat.mean(1)[is_used]
    compared = 0
    for i in range(0, is_used.sum(), max(is_used.sum() // 6, 1)):
        west, north = centres[0][i] - SIZE / 2, centres[1][i] + SIZE / 2
        at = Accumulator(west, north, SIZE, PX, 1, 0.5)
        at.add(co)
        got = at.result()
        n = 120
        u, v = np.meshgrid((np.arange(n) + 0.5) / n, (np.arange(n) + 0.5) / n)
        w = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], axis=-1).reshape(-1, 4)
        near_by = is_used & (np.abs(centred(co.lon, west)) < 1).all(1) & (np.abs(co.lat - north) < 1).all(1)
        lons, lats = (c[near_by] @ w.T for c in (co.lon, co.lat))
        areas = [shapely.Polygon(np.column_stack(c)).area for c in zip(co.lon[near_by], co.lat[near_by], strict=True)]
        weight = np.repeat(np.array(areas) / n**2, n * n) * np.cos(np.radians(lats.ravel()))
        value = np.repeat(co.values[0][near_by], n * n)
        area = create_area_def(
            "cell", "EPSG:4326", area_extent=(west, north - SIZE, west + SIZE, north), shape=(PX, PX), units="degrees"
        )
        buckets = BucketResampler(area, *(da(a.ravel()) for a in (lons, lats)))
        total, covered = (np.asarray(buckets.get_sum(da(x))) for x in (value * weight, weight))
        pixel = (SIZE / PX) ** 2 * np.cos(np.radians(pixel_centres(west + SIZE / 2, north - SIZE / 2)[1]))
        assert np.abs(covered / pixel - got.weight[0]).max() < 0.05
        whole = got.weight[0] > 0.9
        np.testing.assert_allclose((total / np.maximum(covered, 1e-30))[whole], got.mean[0][whole], rtol=5e-3)
        assert total.sum() == pytest.approx(np.nansum(got.mean[0] * got.weight[0] * pixel), rel=1e-3)
        compared += whole.sum()
    assert compared > 300


def centred(lon: np.ndarray, about: float) -> np.ndarray:
    return (lon - about + 180) % 360 - 180


def da(values: np.ndarray):
    import dask.array

    return dask.array.from_array(values, chunks=-1)


@pytest.mark.parametrize("min_quality", [0.5, 0.75])
def test_the_real_files_fill_does_not_reach_a_pixel(co, min_quality):
    good = np.isfinite(co.values[0]) & (co.quality >= min_quality)
    assert not good.all()
    for i in range(0, len(co), 40):
        at = Accumulator(co.lon[i].mean() - SIZE / 2, co.lat[i].mean() + SIZE / 2, SIZE, PX, 1, min_quality)
        at.add(co)
        got = at.result()
        is_seen = got.footprints > 0
        assert (got.mean[0][is_seen] <= co.values[0][good].max(initial=-np.inf) + 1e-12).all()
        assert (got.quality_min[is_seen] >= min_quality - 1e-9).all()
