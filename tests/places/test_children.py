import functools
import logging

import numpy as np
import pytest
import shapely
from pyproj import Transformer

from curation.model import Location
from curation.places import children, era5_cells, grid, grids, land, sampling
from curation.places.grids import Places
from curation.places.overlap import overlapping
from curation.recipe.schema import ChildrenSpec

SIZE_M = 2640.0
SPEC = ChildrenSpec(
    size_m=SIZE_M, sampler="gaussian-cities", count=60_000, cities=400, per_cell=3, fill=2, sources=["s2l2a"]
)


@functools.cache
def some() -> np.ndarray:
    """Cells at seams of zones, the antimeridian, the equator, the far north and south, coasts, and around cities."""
    at = [(6, 51.25), (6, 0), (-180, 67.5), (179.75, -16.5), (3, 60), (9, 78), (42, 75), (-40, 82.5), (24.25, -33.75)]
    lon, lat = (v.ravel() for v in np.meshgrid(np.arange(-1, 1.01, 0.25), np.arange(-1, 1.01, 0.25)))
    east, north = (np.concatenate([np.add(v, where[k]) for where in at]) for k, v in ((0, lon), (1, lat)))
    with_land = np.flatnonzero(era5_cells.with_land(0.25))
    near = np.intersect1d(era5_cells.numbers_at(east, north), with_land)
    anywhere = np.random.default_rng(4).choice(with_land, 1500, replace=False)
    return np.random.default_rng(5).permutation(np.union1d(near, anywhere))


@functools.cache
def found() -> children.Children:
    return children.of_cells(some(), SPEC, 42)


def location(made: Places, k: int) -> Location:
    row = (float(made.lon[k]), float(made.lat[k]), int(made.epsg[k]), float(made.x0_m[k]), float(made.y0_m[k]))
    return Location("c", *row, SIZE_M, "r")


def inside(child: Location, number: int) -> bool:
    """Whether a footprint lies within a cell, by shapely: in lon/lat and in the child's own zone."""
    lon, lat = (float(v[0]) for v in era5_cells.nodes(np.array([number])))
    cell = shapely.box(lon - 0.125, lat - 0.125, lon + 0.125, lat + 0.125)
    outline = shapely.affinity.translate(grid.footprint(child, 40), 360 * round((lon - child.lon) / 360))
    xy = Transformer.from_crs(4326, child.epsg, always_xy=True).transform(
        *shapely.get_coordinates(shapely.segmentize(cell, 0.0005)).T
    )
    square = shapely.box(child.x0_m, child.y0_m - SIZE_M, child.x0_m + SIZE_M, child.y0_m)
    both = cell.covers(outline), shapely.Polygon(np.column_stack(xy)).covers(square)
    assert both[0] == both[1]
    return both[0]


@pytest.mark.slow
def test_children_lie_wholly_within_their_cell_in_their_own_zone():
    made = found()
    assert len(made.cell) > 1500
    assert len(np.unique(made.places.epsg)) > 60
    for k in range(len(made.cell)):
        assert inside(location(made.places, k), int(some()[made.cell[k]]))
    assert (grids.utm_epsgs(made.places.lon, made.places.lat) == made.places.epsg).all()
    again = grids.snap(made.places.lon, made.places.lat, SIZE_M)
    assert (again.x0_m == made.places.x0_m).all()
    assert (again.y0_m == made.places.y0_m).all()


@pytest.mark.parametrize("lat", [0.0, -33.25, 51.25, 68.5, 80.0])
@pytest.mark.slow
def test_within_is_what_shapely_says(lat):
    rng = np.random.default_rng(1)
    for lon in (-180.0, 6.0, 8.75):
        number = era5_cells.numbers_at(np.array([lon]), np.array([lat]))
        at = grids.snap(lon + rng.uniform(-0.125, 0.125, 150), lat + rng.uniform(-0.125, 0.125, 150), SIZE_M)
        near = at.take(era5_cells.numbers_at(at.lon, at.lat) == number)
        got = children.within(near, np.repeat(number, len(near)), SIZE_M)
        want = np.array([inside(location(near, k), int(number[0])) for k in range(len(near))])
        assert not (got & ~want).any()
        assert (got == want).mean() > 0.98  # a metre from the edge is kept free
        assert 0.2 < want.mean() < 0.9 or lat == 80


@pytest.mark.slow
def test_no_two_children_overlap():
    made = found()
    cell = made.cell
    for step in (1, 2):
        k = np.flatnonzero(cell[step:] == cell[:-step])
        assert len(k) > 20
        assert not overlapping(made.places.take(k), made.places.take(k + step), SIZE_M).any()


@pytest.mark.slow
def test_the_first_of_the_draw_come_first_and_only_empty_cells_are_filled():
    made, cells = found(), some()
    draw = sampling.drawn(SPEC, 42, SIZE_M)
    number = era5_cells.numbers_at(draw.lon, draw.lat)
    whole = children.within(draw, number, SIZE_M)
    assert made.cell.tolist() == sorted(made.cell.tolist())
    assert 0.7 < whole.mean() < 0.9
    drawn_cells = 0
    for k, n in enumerate(cells.tolist()):
        its = np.flatnonzero(made.cell == k)
        assert made.rank[its].tolist() == list(range(len(its)))
        want = np.flatnonzero(whole & (number == n))[: SPEC.per_cell]
        if len(want):
            drawn_cells += 1
            assert made.places.x0_m[its].tolist() == draw.x0_m[want].tolist()
            assert made.places.y0_m[its].tolist() == draw.y0_m[want].tolist()
        else:
            assert len(its) <= SPEC.fill
    assert 20 < drawn_cells < len(cells) - 1000


def test_what_fills_a_cell_is_on_land_wherever_it_has_some():
    made, cells = children.of_cells(some(), SPEC.model_copy(update={"count": 1}), 42), some()
    on_land = land.is_land(made.places.lon, made.places.lat)
    has_land = era5_cells.with_land().ravel()[cells]
    assert (on_land == has_land[made.cell]).all()
    assert (~on_land).sum() > 50
    none = np.setdiff1d(np.arange(len(cells)), made.cell)
    _, lat = era5_cells.nodes(cells)
    assert (np.abs(lat[made.cell]) < 84.1).all()
    # Some have land at the edge alone, or are too narrow or beyond UTM; by far the most have theirs.
    within_utm = none[(lat[none] > -80) & (lat[none] < 80)]
    assert len(within_utm) < 0.02 * len(cells)
    for n in cells[within_utm][:20]:
        assert _land_away_from_the_edge(n) < 0.02


def _land_away_from_the_edge(number: int) -> float:
    """Share of a cell's snapped places that lie within it and on land, by trying 3,000."""
    lon, lat = era5_cells.nodes(np.array([number]))
    rng = np.random.default_rng(2)
    rows, at = sampling.possible(
        grids.wrap(lon + rng.uniform(-0.125, 0.125, 3000)), lat + rng.uniform(-0.125, 0.125, 3000), SIZE_M
    )
    good = children.within(at, np.full(len(rows), number), SIZE_M) & land.is_land(at.lon, at.lat)
    return float(good.sum()) / 3000


@pytest.mark.slow
def test_filling_is_uniform_per_area():
    # Inland cells of one row: where in the cell do places fall?
    row = np.flatnonzero(era5_cells.with_land()[era5_cells.numbers_at(np.array([90.0]), np.array([62.0]))[0] // 1440])
    cells = int(era5_cells.numbers_at(np.array([-180.0]), np.array([62.0]))[0]) + row
    spec = SPEC.model_copy(update={"count": 1, "fill": 3})
    made = children.of_cells(cells, spec, 7)
    lon, lat = era5_cells.nodes(cells[made.cell])
    mask = land.windows((720 - cells // 1440) * 30 - 15, (cells % 1440) * 30 - 15, 30)
    inland = mask.all(axis=(1, 2))[made.cell]
    east, north = (made.places.lon - lon)[inland], (made.places.lat - lat)[inland]
    assert len(east) > 1000
    for offset, half in ((east, 0.125 - 1320 / 111_320 / np.cos(np.radians(62))), (north, 0.125 - 1320 / 111_320)):
        assert np.abs(offset).max() < 0.125
        counts = np.histogram(offset, np.linspace(-half, half, 6))[0] / len(offset)
        assert np.abs(counts - 0.2).max() < 0.06


@pytest.mark.slow
def test_a_cells_children_do_not_depend_on_the_other_cells_nor_on_their_order():
    made, cells = found(), some()
    for seed in range(3):
        rng = np.random.default_rng(seed)
        pick = rng.permutation(len(cells))[:200]
        part = children.of_cells(cells[pick], SPEC, 42)
        for k, of in enumerate(pick):
            a, b = part.places.take(part.cell == k), made.places.take(made.cell == of)
            assert a.x0_m.tolist() == b.x0_m.tolist()
            assert a.y0_m.tolist() == b.y0_m.tolist()
            assert a.epsg.tolist() == b.epsg.tolist()


def test_the_words_that_fill_are_splitmix64_for_ever():
    # The reference implementation from the state 1234567 (Vigna, splitmix64.c).
    words = children._words(np.array([1234567], dtype=np.uint64), 0, 3)
    assert words.tolist() == [[6457827717110365317, 3203168211198807973, 9817491932198370423]]
    assert (children._words(np.array([1234567], dtype=np.uint64), 2, 1) == words[:, 2:]).all()
    assert children._starts(np.array([906994]), 42).tolist() == [11803925557444876833]


@pytest.mark.slow
def test_no_cells_and_no_fill(caplog):
    none = np.empty(0, dtype=np.int64)
    assert len(children.of_cells(none, SPEC, 1).cell) == 0
    far = era5_cells.numbers_at(np.array([0.0, 10.0, 10.0]), np.array([-85.0, -89.75, 62.0]))
    with caplog.at_level(logging.INFO):
        assert children.of_cells(far, SPEC.model_copy(update={"count": 1}), 1).cell.tolist() == [2, 2]
    assert "2 in 1 cells that it left without; none in 2 cells (2 beyond UTM)" in caplog.text
    assert len(children.of_cells(far, SPEC.model_copy(update={"count": 1, "fill": 0}), 1).cell) == 0
