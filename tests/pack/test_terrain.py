"""Slope and aspect on the ground, wherever a grid lies and whatever it is in."""

import numpy as np
import pytest
from pyproj import Geod, Proj

from curation.model import Location
from curation.pack import terrain
from curation.places import grid

GEOD = Geod(ellps="WGS84")
PX = 24


def place(epsg: int, x0: float, y0: float, step: float) -> Location:
    lon, lat = grid.transformer(epsg, 4326).transform(x0 + step * PX / 2, y0 - step * PX / 2)
    return Location("p", lon, lat, epsg, x0, y0, step * PX, "r")


def in_utm(lat: float, lon_off: float = 0.0, step: float = 10.0) -> Location:
    x, y = grid.transformer(4326, 32632).transform(9 + lon_off, lat)
    return place(32632, round(x), round(y), step)


def in_degrees(lat: float, step: float = 1 / 3600) -> Location:
    return place(4326, 9, lat + step * PX / 2, step)


def in_mercator(lat: float) -> Location:
    x, y = grid.transformer(4326, 3857).transform(9, lat)
    return place(3857, x, y, 10.0)


def plane(location: Location, towards_deg: float, rise: float = 0.1) -> np.ndarray:
    """Heights of a plane that rises towards an azimuth: by geodesics from the middle, an oracle apart from the code's."""
    step = location.size_m / PX
    x = location.x0_m + (np.arange(PX) + 0.5) * step
    y = location.y0_m - (np.arange(PX) + 0.5) * step
    lon, lat = grid.transformer(location.epsg, 4326).transform(*np.meshgrid(x, y))
    same = np.full_like(lon, location.lon), np.full_like(lat, location.lat)
    azimuth, _, metres = GEOD.inv(*same, lon, lat)
    return 200 + rise * metres * np.cos(np.radians(azimuth - towards_deg))


def ground(location: Location) -> np.ndarray:
    return grid.ground_axes(location, location.size_m / PX)


PLACES = [in_degrees, in_utm, in_mercator]


@pytest.mark.parametrize("lat", [0.0, 45.0, 60.0])
@pytest.mark.parametrize("made", PLACES, ids=[f.__name__ for f in PLACES])
def test_a_plane_of_ten_percent_is_one_wherever_it_lies(made, lat: float):
    its = made(lat + 0.05)
    for towards in (0.0, 90.0, 210.0):
        heights = plane(its, towards)
        assert np.abs(terrain.slope(heights, ground(its)) - 0.1).max() < 1e-3  # edges, too
        turned = (terrain.aspect(heights, ground(its)) - (towards + 180) + 180) % 360 - 180
        assert np.abs(turned).max() < 0.5


def test_the_ground_is_what_proj_says_of_scale_and_north():
    its = in_utm(59.9, lon_off=-2.9)  # the zone's edge: grid north is 2.5 degrees off
    factors = Proj("EPSG:32632").get_factors(its.lon, its.lat)
    east, south = grid.ground_axes(its, 10.0)[PX // 2]
    assert np.hypot(*east) == pytest.approx(10 / factors.parallel_scale, rel=1e-5)
    assert np.hypot(*south) == pytest.approx(10 / factors.meridional_scale, rel=1e-5)
    assert abs(factors.meridian_convergence) > 2.4
    # East of the grid points as far from true east as grid north from true north.
    assert np.degrees(np.arctan2(*east)) == pytest.approx(90 + factors.meridian_convergence, abs=1e-3)
    its = in_degrees(60.0)
    east, south = grid.ground_axes(its, 1 / 3600)[PX // 2]
    y_m, x_m = grid.pixel_m(its, 1 / 3600)
    assert (np.hypot(*east), np.hypot(*south)) == pytest.approx((x_m, y_m), rel=1e-5)


def test_what_has_no_height_changes_nothing_beside_it():
    its = in_utm(45.0)
    heights = plane(its, 130.0)
    before = terrain.slope(heights, ground(its))
    holes = np.zeros(heights.shape, bool)
    holes[5:9, 7:12] = holes[15, :] = holes[:, 20] = holes[3, 3] = True  # a lake, lines one pixel wide, and one pixel
    heights[holes] = np.nan
    after = terrain.slope(heights, ground(its))
    assert np.isnan(after[holes]).all()
    assert np.abs(after - before)[~holes].max() < 1e-5  # the plane of the oracle is bent by that much


def test_what_has_nobody_beside_it_and_what_is_level_is_not_known():
    its = in_utm(45.0)
    heights = np.full((PX, PX), np.nan)
    heights[3, 3] = heights[8, 8:11] = 5.0
    heights[12:15, 12:15] = 7.0
    known = ~np.isnan(terrain.slope(heights, ground(its)))
    assert known.sum() == 9
    assert known[12:15, 12:15].all()
    assert np.isnan(terrain.aspect(heights, ground(its))).all()
    assert (terrain.slope(np.zeros((PX, PX)), ground(its)) == 0).all()


def test_the_sun_falls_on_a_plane_by_its_slope_and_aspect():
    its = in_utm(45.0)
    heights = plane(its, towards_deg=20.0, rise=0.5)  # it falls to 200 degrees
    tilt = np.arctan(0.5)
    for zenith, azimuth in ((30.0, 200.0), (60.0, 20.0), (70.0, 100.0), (np.degrees(tilt), 200.0)):
        want = np.cos(np.radians(zenith)) * np.cos(tilt)
        want += np.sin(np.radians(zenith)) * np.sin(tilt) * np.cos(np.radians(azimuth - 200))
        found = terrain.cos_incidence(heights, ground(its), terrain.Sun(zenith, azimuth))
        assert np.abs(found - want).max() < 1e-3
    assert found.max() == pytest.approx(1, abs=1e-5)  # straight from above the plane
    away = terrain.shadow(heights, ground(its), terrain.Sun(75.0, 20.0))
    assert (away == terrain.AWAY).all()
    for unknown in (terrain.Sun(np.nan, 20.0), terrain.Sun(30.0, np.nan)):
        assert np.isnan(terrain.shadow(heights, ground(its), unknown)).all()
    assert (terrain.shadow(heights, ground(its), terrain.Sun(91.0, 200.0)) == terrain.AWAY).all()


@pytest.mark.parametrize("made", [in_utm, in_degrees], ids=["utm", "degrees"])
def test_a_wall_throws_a_shadow_as_long_as_the_sun_is_low(made):
    its = made(0.01)
    east_m = np.hypot(*grid.ground_axes(its, its.size_m / PX)[PX // 2, 0])
    heights = np.zeros((PX, PX))
    heights[:, 15] = 5.2 * east_m
    for azimuth, behind in ((90.0, slice(10, 14)), (270.0, slice(17, 21))):  # the pixels beside the wall are its slope
        found = terrain.shadow(heights, ground(its), terrain.Sun(45.0, azimuth))
        want = np.zeros(PX, bool)
        want[behind] = True
        np.testing.assert_array_equal(found[12] == terrain.BEHIND, want)
    heights[:, 12] = np.nan  # what has no height hides nothing, and is not known itself
    found = terrain.shadow(heights, ground(its), terrain.Sun(45.0, 90.0))
    assert np.isnan(found[:, 12]).all()
    assert (found[:, [10, 13]] == terrain.BEHIND).all()


def test_shadows_are_those_of_rays_followed_in_fine_steps():
    its = in_utm(45.0)
    y, x = np.mgrid[:PX, :PX] * 10.0
    rng = np.random.default_rng(5)
    heights = sum(
        (20 + 60 * rng.random()) * np.exp(-((x - 240 * a) ** 2 + (y - 240 * b) ** 2) / 500)
        for a, b in rng.random((7, 2))
    )
    alike = []
    for zenith, azimuth in ((75.0, 33.0), (82.0, 160.0), (80.0, 290.0)):
        found = terrain.shadow(heights, ground(its), terrain.Sun(zenith, azimuth))
        lit = np.ones((PX, PX), bool)
        for metres in np.arange(1.0, 340.0):  # a metre at a time, bilinear: another way through the same heights
            at_x = x / 10 + metres * np.sin(np.radians(azimuth)) / 10
            at_y = y / 10 - metres * np.cos(np.radians(azimuth)) / 10
            inside = (at_x >= 0) & (at_x <= PX - 1) & (at_y >= 0) & (at_y <= PX - 1)
            c, r = (np.clip(np.floor(v).astype(int), 0, PX - 2) for v in (at_x, at_y))
            p, q = at_x - c, at_y - r
            top = heights[r, c] * (1 - p) + heights[r, c + 1] * p
            low = heights[r + 1, c] * (1 - p) + heights[r + 1, c + 1] * p
            ray = heights + metres / np.tan(np.radians(zenith))
            lit &= ~(inside & (top * (1 - q) + low * q > ray + 1e-9))
        alike.append(((found == terrain.LIT) == lit).mean())
        assert 0.05 < (found == terrain.BEHIND).mean() < 0.7
    assert min(alike) > 0.95
