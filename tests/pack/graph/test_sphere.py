"""Edges on the sphere are those of brute force, and know neither antimeridian nor poles nor the order of places."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from curation.errors import ConfigError
from curation.pack.graph import nearest, sphere
from curation.places import era5_cells
from tests.pack.graph.globe import lonlat, rotation, scattered
from tests.properties import examples

GEOD = Geod(ellps="WGS84")


def pairs(src: np.ndarray, dst: np.ndarray) -> set[tuple[int, int]]:
    return set(zip(src.tolist(), dst.tolist(), strict=True))


def brute_force(lon: np.ndarray, lat: np.ndarray, k: int, radius_m: float) -> set[tuple[int, int]]:
    """By the great circle between each two, and a loop."""
    lam, phi = np.radians(lon), np.radians(lat)
    h = (
        np.sin((phi[:, None] - phi) / 2) ** 2
        + np.cos(phi[:, None]) * np.cos(phi) * np.sin((lam[:, None] - lam) / 2) ** 2
    )
    far = 2 * 6_371_008.8 * np.arcsin(np.sqrt(np.minimum(h, 1)))
    out = set()
    for n, row in enumerate(far):
        others = [m for m in np.argsort(row) if m != n and row[m] <= radius_m]
        for m in others:
            if row[m] <= row[others[min(k, len(others)) - 1]] + 1e-3:
                out |= {(n, int(m)), (int(m), n)}
    return out


@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.floats(50, 20_000))
@settings(max_examples=examples(100))
def test_near_edges_are_those_of_brute_force(seed: int, k: int, radius_km: float):
    lon, lat = lonlat(scattered(60, seed))
    assert pairs(*sphere.near(lon, lat, k, radius_km * 1000)) == brute_force(lon, lat, k, radius_km * 1000)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
@settings(max_examples=examples(100))
def test_places_turned_with_the_globe_have_the_same_edges(seed: int, turn: int):
    points = scattered(200, seed)
    before = sphere.near(*lonlat(points), 6, 3e6)
    after = sphere.near(*lonlat(points @ rotation(turn).T), 6, 3e6)
    assert pairs(*before) == pairs(*after)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=examples(100))
def test_places_on_a_grid_that_are_as_near_as_one_another_are_all_neighbours_in_whatever_order(seed: int):
    numbers = np.concatenate([np.arange(5) + 1440 * row for row in range(360, 365)])
    lon, lat = era5_cells.nodes(numbers)
    order = np.random.default_rng(seed).permutation(len(numbers))
    before = pairs(*sphere.near(lon, lat, 2, 1e6))
    src, dst = sphere.near(lon[order], lat[order], 2, 1e6)
    assert pairs(order[src], order[dst]) == before
    turned = lonlat(np.stack(sphere.unit(lon, lat)) @ rotation(seed).T)
    assert pairs(*sphere.near(*turned, 2, 1e6)) == before


@pytest.mark.parametrize(
    ("lon", "lat"),
    [
        (np.where(np.arange(40) % 2, 179.5, -179.5) + np.linspace(0, 0.4, 40), np.linspace(-20, 20, 40)),
        (np.linspace(-180, 171, 40), np.full(40, 89.0)),
        (np.linspace(-180, 171, 40), np.full(40, -89.0)),
        (np.r_[np.linspace(-180, 170, 39), 0], np.r_[np.full(39, 89.9), 90.0]),
    ],
    ids=["antimeridian", "north pole", "south pole", "on the pole"],
)
def test_at_the_seams_places_have_their_neighbours_across_them(lon: np.ndarray, lat: np.ndarray):
    src, dst = sphere.near(lon, lat, 4, 5e6)
    assert pairs(src, dst) == brute_force(lon, lat, 4, 5e6)
    assert np.bincount(dst, minlength=40).min() >= 4
    assert np.abs(lon[src] - lon[dst]).max() > 180, "nobody has a neighbour on the other side"


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=examples(50))
def test_distances_are_the_ellipsoid_s_and_near_those_that_edges_are_chosen_by(seed: int):
    lon, lat = lonlat(scattered(80, seed))
    src, dst = sphere.near(lon, lat, 5, 2.1e7)
    its = sphere.measured(lon, lat, src, dst)
    _, _, distance = GEOD.inv(lon[dst], lat[dst], lon[src], lat[src])
    np.testing.assert_allclose(its["distance_m"].astype(np.float32), distance, rtol=0.005)
    np.testing.assert_allclose(np.hypot(its["bearing_sin"], its["bearing_cos"]), 1)
    # Whoever goes from the receiver along the bearing, as far as is said, comes to the sender.
    angle = np.degrees(np.arctan2(its["bearing_sin"], its["bearing_cos"]))
    there_lon, there_lat, _ = GEOD.fwd(lon[dst], lat[dst], angle, its["distance_m"])
    assert np.abs(GEOD.inv(there_lon, there_lat, lon[src], lat[src])[2]).max() < 1


def test_a_neighbour_in_the_east_is_in_the_east_across_the_antimeridian_too():
    lon, lat = np.array([179.9, -179.9]), np.array([0.0, 0.0])
    src, dst = sphere.near(lon, lat, 1, 1e6)
    its = sphere.measured(lon, lat, src, dst)
    assert pairs(src, dst) == {(0, 1), (1, 0)}
    np.testing.assert_allclose(its["bearing_sin"][dst == 0], 1)
    np.testing.assert_allclose(its["bearing_sin"][dst == 1], -1)


def test_places_on_one_another_are_neighbours_without_a_direction_and_none_is_its_own():
    lon, lat = np.array([5.0, 5.0, 5.0, 6.0]), np.array([50.0, 50.0, 50.0, 50.0])
    src, dst = sphere.near(lon, lat, 2, 1e3)
    its = sphere.measured(lon, lat, src, dst)
    assert pairs(src, dst) == {(a, b) for a in range(3) for b in range(3) if a != b}
    assert its["distance_m"].max() == 0
    assert not its["bearing_sin"].any()
    assert not its["bearing_cos"].any()


def test_more_on_one_another_than_are_looked_at_are_refused(monkeypatch: pytest.MonkeyPatch):
    assert nearest.MOST_ASKED > 1440, "ERA5's nodes on a pole"
    monkeypatch.setattr(nearest, "MOST_ASKED", 64)
    with pytest.raises(ConfigError, match="lie on one another"):
        nearest.nearest(np.zeros((66, 3)), 4)
    one, _, _ = nearest.nearest(np.zeros((64, 3)), 4)
    assert len(one) == 64 * 63


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_places_have_few_neighbours(count: int):
    src, dst = sphere.near(np.arange(count) * 0.1, np.zeros(count), 8, 1e6)
    assert pairs(src, dst) == ({(0, 1), (1, 0)} if count == 2 else set())


# ---- cells -----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=examples(50))
def test_shares_of_a_footprint_add_up_to_it_and_are_those_of_shapes(seed: int):
    draw = np.random.default_rng(seed)
    lon, lat = lonlat(scattered(50, seed))
    half = draw.uniform(0.001, 0.4, (50, 2))
    place, cell, share = sphere.cells_of(lon, lat, half)
    np.testing.assert_allclose(np.bincount(place, share, 50), 1)
    fine = np.stack(np.meshgrid(*[np.linspace(-1, 1, 101)[:-1] + 0.01] * 2), axis=-1).reshape(-1, 2)
    for n in range(0, 50, 10):
        points = np.array([lon[n], lat[n]]) + fine * half[n]
        inside = np.abs(points[:, 1]) <= 90
        its = sphere.merged(era5_cells.numbers_at(*points[inside].T))
        for number, part in zip(cell[place == n], share[place == n], strict=True):
            assert abs(np.mean(its == number) - part) < 0.03


def test_a_cell_lies_in_itself_alone():
    numbers = np.array([1440 * 300, 1440 * 301 - 1, 1440 * 400 + 77])
    lon, lat = era5_cells.nodes(numbers)
    place, cell, share = sphere.cells_of(lon, lat, np.full((3, 2), 0.125))
    assert dict(zip(place.tolist(), cell.tolist(), strict=True)) == dict(enumerate(numbers.tolist()))
    np.testing.assert_allclose(share, 1)


def test_around_a_pole_cells_are_one():
    lon, lat = np.array([-170.0, 10.0, 100.0]), np.full(3, 89.95)
    _, cell, _ = sphere.cells_of(lon, lat, np.full((3, 2), 0.001))
    assert set(cell.tolist()) == {720 * 1440}
    ring = np.r_[np.arange(1440) + 719 * 1440, 720 * 1440]
    _, dst, length = sphere.adjacent(ring)
    assert (np.bincount(dst) == np.r_[np.full(1440, 3), 1440]).all()
    assert length.min() > 0


@pytest.mark.parametrize("row", [1, 2, 300, 718, 719])
def test_cells_that_share_an_edge_are_those_beside_one_another_around_the_globe(row: int):
    rows = [r for r in (row - 1, row, row + 1) if 0 <= r <= 720]
    numbers = np.unique(np.concatenate([sphere.merged(np.arange(1440) + 1440 * r) for r in rows]))
    src, dst, length = sphere.adjacent(numbers)
    found = {(int(numbers[a]), int(numbers[b])): m for a, b, m in zip(src, dst, length, strict=True)}
    assert len(found) == len(src)
    assert all(found[b, a] == pytest.approx(m) for (a, b), m in found.items())
    for column in (0, 1, 700, 1439):
        here = row * 1440 + column
        beside = {row * 1440 + (column + 1) % 1440, row * 1440 + (column - 1) % 1440}
        beside |= {int(sphere.merged(np.array([r * 1440 + column]))[0]) for r in (row - 1, row + 1)}
        assert {b for a, b in found if a == here} == beside
    # The south edge of a cell is a parallel: its length is known.
    lat = row * 0.25 - 90 - 0.125
    south = int(sphere.merged(np.array([(row - 1) * 1440 + 5]))[0])
    want = np.radians(0.25) * 6_371_008.8 * np.cos(np.radians(lat))
    assert found[row * 1440 + 5, south] == pytest.approx(want)
