"""Patches of fields and lines: around the centre of each, or as many squares as cover it."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import ConfigError
from curation.places import draw, grid, rows, shapes
from curation.places.regions import find
from curation.recipe.dataset import load_dataset
from tests.places.test_tablefile import recipe
from tests.properties import examples

UTM = 32632
HERE = (500_000, 5_600_000)
SQUARE_M = 2640.0


def local(*corners: tuple[float, float]) -> list[tuple[float, float]]:
    return [(HERE[0] + x, HERE[1] + y) for x, y in corners]


U = shapely.Polygon(
    local((0, 0), (9000, 0), (9000, 9000), (8000, 9000), (8000, 1000), (1000, 1000), (1000, 9000), (0, 9000))
)
FIELD = shapely.Polygon(local((20_000, 0), (26_000, 0), (20_000, 6_000)))
BENT = shapely.LineString(local((0, 20_000), (0, 30_000), (2_000, 30_000)))


def frame(shapes_: list, crs: int = UTM, **more) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(more, geometry=shapes_, crs=crs)


def in_utm(lon, lat, epsg: int = UTM) -> np.ndarray:
    return np.column_stack(grid.transformer(4326, epsg).transform(lon, lat))


@pytest.mark.parametrize("crs", [UTM, 4326, 3035])
def test_the_centre_of_a_field_is_in_it_and_that_of_a_line_in_the_middle_of_its_length(crs):
    table = frame([U, FIELD, BENT, shapely.Point(local((7, 8))[0])]).to_crs(crs)
    xy = in_utm(*shapes.centres(table, "x"))
    tolerance = 1.0 if crs == UTM else 30.0  # an edge that is straight in one CRS is none in another
    assert U.buffer(tolerance).contains(shapely.Point(xy[0]))
    np.testing.assert_allclose(xy[1], np.array(local((22_000, 2_000))[0]), atol=tolerance)
    np.testing.assert_allclose(xy[2], np.array(local((0, 26_000))[0]), atol=tolerance)
    np.testing.assert_allclose(xy[3], np.array(local((7, 8))[0]), atol=0.01)


def test_a_field_across_the_antimeridian_lies_there():
    folded = shapely.Polygon([(179.99, -17.0), (-179.99, -17.0), (-179.99, -16.98), (179.99, -16.98)])
    cut = shapely.union_all([shapely.box(179.99, -17.0, 180, -16.98), shapely.box(-180, -17.0, -179.99, -16.98)])
    lon, lat = shapes.centres(frame([folded, cut], 4326), "x")
    assert (np.abs(lon) > 179.999).all()
    np.testing.assert_allclose(lat, -16.99, atol=1e-3)
    places, of = shapes.covering(frame([folded], 4326), SQUARE_M, "x")
    assert set(places.epsg.tolist()) == {32701, 32760}
    assert (np.abs(places.lon) > 179.9).all()
    assert set(of.tolist()) == {0}


@settings(max_examples=examples(15), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 9000)), min_size=3, max_size=6, unique=True))
def test_squares_cover_a_field_and_each_of_them_touches_it(corners):
    field = shapely.make_valid(shapely.Polygon(local(*corners)))
    if field.area < 1:
        return
    line = shapely.LineString(local(*corners))
    for shape in (field, line):
        places, of = shapes.covering(frame([shape]), SQUARE_M, "x")
        assert set(places.epsg.tolist()) == {UTM}
        boxes = shapely.box(places.x0_m, places.y0_m - SQUARE_M, places.x0_m + SQUARE_M, places.y0_m)
        assert shape.difference(shapely.union_all(boxes).buffer(0.5)).is_empty
        assert (shapely.distance(boxes, shape) < 2.5).all()
        assert len({(x, y) for x, y in zip(places.x0_m, places.y0_m, strict=True)}) == len(places) == len(of)


def test_each_square_knows_its_row_and_what_stands_in_it(tmp_path):
    frame([FIELD, BENT], id=["tri", "bent"], crop=["rye", None]).to_file(tmp_path / "a.gpkg")
    spec = recipe(tmp_path, "a.gpkg", shapes="cover")
    found = draw.draw(spec)
    counted = {name: sum(p.id.startswith(f"{name}-") for p in found) for name in ("tri", "bent")}
    assert [p.id for p in found] == [f"{name}-{k}" for name, n in counted.items() for k in range(n)]
    assert min(counted.values()) > 3
    assert {(p.id.split("-")[0], p.columns["crop"], p.columns["row_of_file"]) for p in found} == {
        ("tri", "rye", 1), ("bent", None, 2)
    }  # fmt: skip
    account = rows.of(spec, [find("world")])
    assert account.summary == f"a.gpkg: 2 rows: {len(found)} locations, 0 dropped; columns crop, row_of_file"
    (one, other) = draw.draw(recipe(tmp_path, "a.gpkg", shapes="centre"))
    assert (one.id, other.id, dict(one.columns)) == ("tri", "bent", {"crop": "rye"})
    assert FIELD.contains(shapely.Point(in_utm(one.lon, one.lat)))


def test_a_square_of_two_fields_is_the_first_ones_and_the_other_is_told(tmp_path):
    beside = [
        shapely.box(*HERE, HERE[0] + 100, HERE[1] + 100),
        shapely.box(HERE[0] + 100, HERE[1], HERE[0] + 200, HERE[1] + 100),
    ]
    frame(beside).to_file(tmp_path / "a.gpkg")
    found = rows.of(recipe(tmp_path, "a.gpkg", shapes="cover"), [find("world")])
    assert {(d.row, d.reason) for d in found.dropped} == {(2, "same_grid")}
    assert found.count == 2
    assert found.locations >= 1


@pytest.mark.parametrize(
    ("table", "how", "said"),
    [
        (frame([FIELD]), None, r"strays .* say \[places\] shapes = 'centre'"),
        (frame([BENT]), None, r"geometries are \['LineString'\]: .* say \[places\] shapes = 'centre'"),
        (
            frame([shapely.MultiPoint([(8, 50), (9, 50)])], 4326),
            "centre",
            "row 1: MultiPoint: expected one of Point, LineS",
        ),
        (frame([shapely.box(8, 84.5, 9, 85)], 4326), "centre", r"row 1: latitudes 84.5 to 85, expected -80 to 84"),
        (frame([FIELD], None), "cover", "the geometry has no CRS"),
        (frame([FIELD, shapely.Polygon()]), "cover", "row 2: its geometry is empty"),
        (frame([shapely.box(0, 0, 1000, 1000)], 4326), "centre", "row 1: "),
    ],
)
def test_shapes_that_have_no_place_are_told_with_their_row(tmp_path, table, how, said):
    table.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match=said):
        draw.draw(recipe(tmp_path, "a.parquet", **({"shapes": how} if how else {})))


def test_a_table_without_shapes_has_none(tmp_path):
    (tmp_path / "a.csv").write_text("lon,lat\n8,50\n")
    with pytest.raises(ConfigError, match="the file has no geometry, expected shapes; leave it out"):
        draw.draw(recipe(tmp_path, "a.csv", shapes="cover"))


TILE_M = 2240.0
"""Of 224 pixels of 10 m."""


def squares(places) -> np.ndarray:
    return shapely.box(places.x0_m, places.y0_m - TILE_M, places.x0_m + TILE_M, places.y0_m)


@settings(max_examples=examples(20), deadline=None)
@given(
    st.sampled_from([(11.98, 44.6), (34.4, -19.9), (67.9, 27.4), (179.97, -16.98), (-0.02, 0.01)]),
    st.lists(st.tuples(st.floats(-0.08, 0.08), st.floats(-0.08, 0.08)), min_size=3, max_size=6, unique=True),
)
def test_squares_tile_an_area_without_gap_or_overlap_each_on_the_lattice_of_one_zone(at, corners):
    area = shapely.make_valid(shapely.Polygon([(at[0] + x, at[1] + y) for x, y in corners]))
    if area.area < 1e-6 or area.geom_type not in ("Polygon", "MultiPolygon"):
        return
    places, of, pct = shapes.side_by_side(frame([area], 4326), TILE_M, "x")
    (epsg,) = set(places.epsg.tolist())
    middle = shapely.box(*area.bounds).centroid
    assert epsg == grid.utm_epsg(middle.x, middle.y)
    base = 10_000_000 if epsg >= 32700 else 0
    np.testing.assert_array_equal(places.x0_m % TILE_M, 0)
    np.testing.assert_array_equal((places.y0_m - base) % TILE_M, 0)
    assert len({*zip(places.x0_m.tolist(), places.y0_m.tolist(), strict=True)}) == len(places) == len(of)
    # The lattice without two of a square has no overlap. No gap: what squares cover of the area comes to all of it.
    fine = shapely.segmentize(area, 0.001)
    there = shapely.make_valid(
        shapely.transform(fine, lambda xy: np.column_stack(grid.transformer(4326, epsg).transform(*xy.T)))
    )
    np.testing.assert_allclose(pct.sum() / 100 * TILE_M**2, there.area, rtol=1e-4)
    assert there.difference(shapely.union_all(squares(places)).buffer(0.5)).is_empty
    assert (pct > 0).all()
    assert (pct <= 100).all()


EAST_OF_6 = shapely.box(5.95, 51.2, 6.10, 51.3)
"""Across the edge of zones 31 and 32, more of it in 32."""


def test_squares_of_an_event_have_its_columns_and_the_covered_share_and_small_shares_are_dropped(tmp_path):
    table = frame([EAST_OF_6, EAST_OF_6, EAST_OF_6], 4326, id=["a", "b", "c"], event=["e1", "e2", "e2"])
    table["date"] = ["2021-07-15", "2021-08-20T06:00:00Z", "2021-08-20T06:00:00Z"]
    table.to_file(tmp_path / "events.gpkg")
    recipe(tmp_path, "events.gpkg", shapes="tile", least_covered_pct=40)
    text = (tmp_path / "recipe.toml").read_text().replace("2640", "2240")
    around = '[seasons]\npost = { around = "date", days = [0, 12] }\n'
    (tmp_path / "recipe.toml").write_text(text.replace("[seasons]\n", around))
    dataset = load_dataset(str(tmp_path))
    found = rows.of(dataset, [find("world")])
    reasons = {(d.row, d.reason) for d in found.dropped}
    assert reasons == {(1, "little_covered"), (2, "little_covered"), (3, "little_covered"), (3, "same_grid")}
    kept = list(draw.draw(dataset))
    assert found.locations == len(kept)
    assert {p.columns["event"] for p in kept} == {"e1", "e2"}
    assert {p.id.rpartition("-")[0] for p in kept} == {"a", "b"}
    assert {p.epsg for p in kept} == {32632}
    shares = np.array([p.columns["covered_pct"] for p in kept])
    assert (shares >= 40).all()
    assert (shares == 100).any()
    assert (shares < 100).any()
    # Two events of one place have its squares both, each with a date of its own; two maps of one date once.
    grids_of = {e: {(p.x0_m, p.y0_m) for p in kept if p.columns["event"] == e} for e in ("e1", "e2")}
    assert grids_of["e1"] == grids_of["e2"]
    assert len(kept) == 2 * len(grids_of["e1"])


@pytest.mark.parametrize("how", ["centre", "cover", "tile"])
def test_where_shapes_are_found_by_their_row_no_column_of_the_file_says_another(tmp_path, how):
    frame([FIELD, FIELD], id=["a", "b"], row_of_file=[2, 1]).to_file(tmp_path / "a.gpkg")
    with pytest.raises(
        ConfigError, match=r"a.gpkg: column 'row_of_file': what tells of which row.*rename it in the file"
    ):
        draw.draw(recipe(tmp_path, "a.gpkg", shapes=how, numbered=True))
    its = {p.columns.get("row_of_file") for p in draw.draw(recipe(tmp_path, "a.gpkg", shapes=how))}
    assert its <= {1, 2}  # it is the file's own then


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (frame([FIELD], event=["e"]), r"wants the id of each area"),
        (frame([FIELD, FIELD.buffer(1)], id=["e", "e"]), r"rows 1 and 2: the same id 'e'"),
        (frame([FIELD, BENT], id=["a", "b"]), r"row 2: LineString without an area"),
        (frame([shapely.box(5, 50, 12, 51)], 4326, id=["a"]), r"row 1: 7° wide, expected at most 6°"),
        (frame([FIELD], id=["a"], covered_pct=[1.0]), r"column 'covered_pct': squares of areas have one"),
    ],
)
def test_areas_that_cannot_be_tiled_are_told(tmp_path, table, said):
    table.to_file(tmp_path / "a.gpkg")
    with pytest.raises(ConfigError, match=said):
        rows.of(recipe(tmp_path, "a.gpkg", shapes="tile"), [find("world")])
