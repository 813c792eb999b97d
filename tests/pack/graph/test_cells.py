"""Cells of HEALPix and H3: whose a point is, who is beside whom, and which are within which."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import ConfigError, extras
from curation.pack.graph import cellgrids, healpix, sphere, write
from curation.pack.graph.cellgrids import CellGrid
from curation.pack.graph.edges import Rules
from curation.places.nearby import unit
from tests.pack.graph.globe import lonlat, scattered, simulated
from tests.pack.graph.test_graph import of
from tests.properties import examples

GRIDS = ("healpix:5", "h3:3")


def every(order: int) -> np.ndarray:
    """All cells of an order."""
    return 4 * 4**order + np.arange(12 * 4**order)


@given(st.integers(0, 2**32 - 1), st.integers(0, healpix.MOST_ORDER))
@settings(max_examples=examples(60))
def test_a_point_of_a_cell_is_in_it_all_around_the_globe(seed: int, order: int):
    draw = np.random.default_rng(seed)
    numbers = 4 * 4**order + draw.integers(12 * 4**order, size=100)
    assert (healpix.order_of(numbers) == order).all()
    x, y = draw.uniform(0.001, 0.999, 2)
    points = healpix.points(numbers, x, y)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1)
    np.testing.assert_array_equal(healpix.numbers_at(*sphere.lonlat(points), order), numbers)
    lon, lat = sphere.lonlat(points)
    np.testing.assert_array_equal(healpix.numbers_at(lon + 360, lat, order), numbers)
    # Of the next coarser order it is in the parent.
    if order:
        np.testing.assert_array_equal(healpix.numbers_at(lon, lat, order - 1), numbers >> 2)


def test_cells_are_of_equal_area_and_the_poles_and_the_seam_are_in_one_each():
    lon, lat = lonlat(scattered(120_000, 0))
    counts = np.bincount(healpix.numbers_at(lon, lat, 1) - 16, minlength=48)
    assert np.abs(counts / 2500 - 1).max() < 0.1
    assert len(set(healpix.numbers_at(np.array([180.0, -180.0]), np.zeros(2), 4).tolist())) == 1
    at_pole = healpix.numbers_at(np.array([10.0, 100.0, -100.0]), np.full(3, 90.0), 4)
    assert len(set(healpix.order_of(at_pole).tolist())) == 1


@pytest.mark.parametrize("order", range(4))
def test_each_cell_has_four_sides_with_a_neighbour_and_all_are_a_closed_surface(order: int):
    numbers = every(order)
    src, dst, length = CellGrid.of(f"healpix:{order}").adjacent(numbers)
    assert (np.bincount(src) == 4).all()
    pairs = {(a, b): m for a, b, m in zip(src.tolist(), dst.tolist(), length.tolist(), strict=True)}
    assert len(pairs) == len(src)
    assert all(pairs[b, a] == pytest.approx(m) for (a, b), m in pairs.items())
    # Euler: eight corners are of three cells, all others of four.
    corners = 8 + (4 * len(numbers) - 3 * 8) / 4
    assert corners - len(pairs) / 2 + len(numbers) == 2
    # Whoever goes beyond a side is there.
    points = healpix.points(numbers, 0.5, 0.5)
    assert (np.linalg.norm(points[src] - points[dst], axis=1) < 2.2 / 2**order).all()


def test_a_cell_on_the_equator_has_sides_as_long_as_it_is_wide():
    number = healpix.numbers_at(np.array([0.5]), np.array([0.5]), 6)
    _, far = healpix.sides(number)
    # Area is the same for all: of a diamond that is near enough to a rhombus.
    corners = [healpix.points(number, x, y)[0] for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))]
    across, along = np.linalg.norm(corners[0] - corners[2]), np.linalg.norm(corners[1] - corners[3])
    assert across * along / 2 == pytest.approx(4 * np.pi / (12 * 4**6), rel=0.01)
    np.testing.assert_allclose(far, np.hypot(across, along) / 2, rtol=0.02)


@pytest.mark.parametrize(
    "text", ["healpix", "healpix:13", "h3:9", "healpix:6,3", "healpix:3,3", "era5:1", "s2:4", "h3:-1"]
)
def test_cells_that_there_are_not_are_refused(text: str):
    with pytest.raises(ConfigError, match=r"--cells .*: expected era5, healpix:N"):
        write.checked(Rules(cells=text))


def test_h3_is_asked_for_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(extras.MODULES, "graph", ("no_such_module",))
    with pytest.raises(ConfigError, match=r"--cells h3: .*pip install 'curation\[graph\]'"):
        CellGrid.of("h3:4")


@pytest.mark.parametrize("name", GRIDS)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=examples(20))
def test_shares_of_a_footprint_add_up_and_are_those_of_its_points(name: str, seed: int):
    grid = CellGrid.of(name)
    lon, lat = lonlat(scattered(30, seed))
    lat = lat.clip(-85, 85)
    half = np.random.default_rng(seed).uniform(0.01, 1.5, (30, 2))
    place, cell, share = grid.holding(lon, lat, half)
    np.testing.assert_allclose(np.bincount(place, share, 30), 1)
    assert (np.diff(cell) >= 0).all()
    draw = np.random.default_rng(seed + 1)
    for n in range(0, 30, 10):
        x, y = draw.uniform(-1, 1, (2, 400)) * half[n][:, None]
        its = grid.numbers_at((lon[n] + x + 180) % 360 - 180, lat[n] + y)
        for number, part in zip(cell[place == n], share[place == n], strict=True):
            assert abs(np.mean(its == number) - part) < 0.12


@pytest.mark.parametrize("name", GRIDS)
def test_cells_beside_one_another_are_so_in_both_directions_and_their_centres_are_theirs(name: str):
    grid = CellGrid.of(name)
    lon, lat = lonlat(scattered(4000, 1) * [1, 0.2, 0.2] + [3, 0, 0])
    numbers = np.unique(grid.numbers_at(lon, lat))
    np.testing.assert_array_equal(grid.numbers_at(*grid.centres(numbers)), numbers)
    assert len(set(grid.ids(numbers))) == len(numbers)
    src, dst, length = grid.adjacent(numbers)
    pairs = {(a, b): m for a, b, m in zip(src.tolist(), dst.tolist(), length.tolist(), strict=True)}
    assert all(pairs[b, a] == pytest.approx(m) for (a, b), m in pairs.items())
    assert np.bincount(src).max() == (4 if grid.name == "healpix" else 6)
    centre = unit(*grid.centres(numbers))
    apart = np.linalg.norm(centre[src] - centre[dst], axis=1) * sphere.RADIUS_M
    assert 0.3 < np.median(length / apart) < 1.2


@pytest.mark.parametrize("name", ["healpix:1,3,5", "h3:1,3"])
def test_cells_of_several_levels_lie_within_one_another(name: str, tmp_path: Path):
    graph = of(simulated(200), tmp_path, Rules(cells=name))
    ids = graph.nodes("cell").column("id").to_pylist()
    up, back = graph.edges("cell", "in", "cell"), graph.edges("cell", "has", "cell")
    assert set(zip(up.src.tolist(), up.dst.tolist(), strict=True)) == set(
        zip(back.dst.tolist(), back.src.tolist(), strict=True)
    )
    parents = np.bincount(up.src, minlength=len(ids))
    assert set(parents.tolist()) == {0, 1}
    if name.startswith("healpix"):
        order, index = np.array([i.split("-")[1:] for i in ids], int).T
        np.testing.assert_array_equal(index[up.src] >> 2 * (order[up.src] - order[up.dst]), index[up.dst])
    # What a place lies in is of the finest level; a block has all that these are of.
    held = graph.edges("place", "in", "cell")
    assert not set(held.dst.tolist()) & set(up.dst.tolist())
    value = graph.to_dict(places=np.arange(10), across_splits=True)
    chosen = value["cell"]["number"]
    assert set(up.dst[np.isin(up.src, chosen)].tolist()) <= set(chosen.tolist())
    # A cell that holds places of several splits is of none, and so is what it is within.
    split = np.array(graph.nodes("cell").column("split").to_pylist())
    assert (split[up.dst][split[up.src] == ""] == "").all()
    of_place = np.array(graph.nodes("place").column("split").to_pylist())
    inside: list[set[str]] = [set() for _ in ids]
    above = dict(zip(up.src.tolist(), up.dst.tolist(), strict=True))
    for place, cell in zip(held.src.tolist(), held.dst.tolist(), strict=True):
        at: int | None = cell
        while at is not None:
            inside[at].add(str(of_place[place]))
            at = above.get(at)
    assert split.tolist() == [next(iter(its)) if len(its) == 1 else "" for its in inside]
    assert {"train", ""} <= set(split[list(set(up.dst.tolist()))])
    assert (up.crosses == ((split[up.src] != split[up.dst]) | (split[up.src] == ""))).all()


def test_relations_that_several_types_have_are_told_by_the_whole_type(tmp_path: Path):
    graph = of(simulated(50), tmp_path, Rules(cells="healpix:2,4"))
    with pytest.raises(ConfigError, match="several edges are called 'in'; say which: cell in cell, place in cell"):
        graph.edges("in")
    assert {t for t in graph.to_dict(edges=["in"]) if isinstance(t, tuple)} == {
        ("cell", "in", "cell"),
        ("place", "in", "cell"),
    }


def test_the_finest_levels_are_those_that_numbers_have_room_for():
    assert cellgrids.MOST["healpix"] == healpix.MOST_ORDER
    assert 16 * 4**healpix.MOST_ORDER < 2**62
    assert importlib.util.find_spec("h3"), "the extra `graph` brings it along"
