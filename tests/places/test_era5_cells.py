import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import ConfigError
from curation.model import Location
from curation.places import era5_cells, grid, land
from curation.recipe.places import PlacesSpec

ALL = np.arange(era5_cells.ROWS * era5_cells.COLUMNS)
SPEC = PlacesSpec(sampler="era5-cells", regions=["europe"])


def cell(number: int) -> Location:
    found = era5_cells.grids(np.array([number]))
    row = (found.lon[0], found.lat[0], era5_cells.EPSG, found.x0_m[0], found.y0_m[0], 0.25)
    return Location(era5_cells.ids(np.array([number]))[0], *row, "r")


# --- numbers, nodes and ids ----------------------------------------------------------------------------------------


def test_the_published_cell_has_its_number():
    lon, lat = era5_cells.nodes(np.array([906994]))
    assert (lon[0], lat[0]) == (128.5, 67.25)
    assert era5_cells.numbers_at(np.array([128.5]), np.array([67.25])).tolist() == [906994]
    assert era5_cells.ids(np.array([906994])) == ["era5-0906994"]


@pytest.mark.slow
def test_every_node_is_its_own_cell_and_every_id_its_own_number():
    lon, lat = era5_cells.nodes(ALL)
    assert (lon.min(), lon.max(), lat.min(), lat.max()) == (-180, 179.75, -90, 90)
    assert (era5_cells.numbers_at(lon, lat) == ALL).all()
    assert (era5_cells.numbers_at(lon + 360, lat) == ALL).all()
    names = era5_cells.ids(ALL)
    assert len(set(names)) == len(ALL) == 1_038_240
    assert {len(n) for n in names} == {12}
    assert [era5_cells.number(n) for n in names[::97]] == ALL[::97].tolist()


@given(st.integers(1440, len(ALL) - 1441), st.floats(-0.125, 0.1249999), st.floats(-0.125, 0.1249999))
def test_a_point_lies_in_the_cell_whose_edges_are_around_it(number, east, north):
    lon, lat = (float(v[0]) for v in era5_cells.nodes(np.array([number])))
    at = era5_cells.numbers_at(np.array([lon + east]), np.array([lat + north]))
    assert at.tolist() == [number]


@given(st.text(max_size=14) | st.from_regex(r"\Aera5-[0-9]{0,9}\Z"))
def test_what_is_no_id_of_a_cell_is_refused(text):
    if len(text) == 12 and text.startswith("era5-") and text[5:].isascii() and int(text[5:]) < len(ALL):
        assert era5_cells.ids(np.array([era5_cells.number(text)])) == [text]
    else:
        with pytest.raises(ValueError, match="expected that of an ERA5 cell"):
            era5_cells.number(text)


# --- footprints and pixels -----------------------------------------------------------------------------------------


@given(st.integers(1440, len(ALL) - 1441))
def test_the_footprint_is_the_square_of_degrees_about_the_node(number):
    at = cell(number)
    outline = grid.footprint(at)
    assert outline.bounds == (at.lon - 0.125, at.lat - 0.125, at.lon + 0.125, at.lat + 0.125)
    assert outline.equals(shapely.box(*outline.bounds))


def test_a_cell_on_the_antimeridian_runs_on_and_never_folds():
    at = cell(int(era5_cells.numbers_at(np.array([180.0]), np.array([67.5]))[0]))
    assert at.lon == -180
    assert (at.x0_m, at.y0_m) == (-180.125, 67.625)
    assert grid.footprint(at).bounds == (-180.125, 67.375, -179.875, 67.625)


@given(st.integers(1440, len(ALL) - 1441), st.sampled_from([28, 96, 960]))
def test_pixels_are_degrees_and_fill_the_cell(number, size_px):
    at = cell(number)
    box = grid.geobox(at, 0.25 / size_px)
    assert box.shape == (size_px, size_px)
    assert box.crs.epsg == 4326
    assert box.affine.a == -box.affine.e == 0.25 / size_px
    west, south, east, north = box.boundingbox.bbox
    assert np.allclose([west, south, east, north], grid.footprint(at).bounds, rtol=0, atol=1e-9)
    # Cropped out of a grid that it lies on, and only then.
    step = 0.25 / size_px
    over = grid.geobox(cell(number - 1440), step).affine
    assert grid.offset_px(at, over, 4326, step) == (0, -size_px)
    assert grid.offset_px(at, over.translation(step / 3, 0) * over, 4326, step) is None


# --- land ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_so_many_cells_have_land():
    # Of the published grid, by Natural Earth's 110 m coastline, 356,233 (1,440 of them at the south pole); grown by half a
    # degree 393,460. The 1 km mask has more islands, and ice shelves elsewhere.
    assert era5_cells.with_land().sum() == 363_660
    assert era5_cells.with_land(0.5).sum() == 419_729
    assert not era5_cells.with_land(0.5)[[0, -1]].any()


@pytest.mark.parametrize("buffer_deg", [0.0, 0.125, 0.5])
def test_a_cell_counts_where_any_point_of_it_is_land(buffer_deg):
    counts = era5_cells.with_land(buffer_deg).ravel()
    rng = np.random.default_rng(0)
    # Coasts, the antimeridian and the rows beside the poles, each by every mask cell within.
    numbers = [*rng.choice(ALL[1440:-1440], 150), *(np.array([340, 300, 281, 650]) * 1440), 1440, 719 * 1440 + 5]
    coast = np.flatnonzero(counts[1440:-1441] != counts[1441:-1440]) + 1440
    for number in [*numbers, *rng.choice(coast, 150)]:
        lon, lat = (float(v[0]) for v in era5_cells.nodes(np.array([number])))
        half = 15 + round(120 * buffer_deg)
        at = (np.arange(-half, half) + 0.5) / 120
        x, y = np.meshgrid(lon + at, lat + at)
        assert counts[number] == land.is_land(x, y)[np.abs(y) < 90].any()


# --- the order -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_order_is_seeded_and_a_shorter_draw_the_beginning_of_a_longer():
    whole = era5_cells.drawn(SPEC, 42)
    assert whole[:5].tolist() == GOLDEN
    assert len(set(whole.tolist())) == len(whole) == 363_660
    assert (era5_cells.drawn(SPEC, 42) == whole).all()
    assert (era5_cells.drawn(SPEC.model_copy(update={"count": 1000}), 42) == whole[:1000]).all()
    assert (era5_cells.drawn(SPEC, 43) != whole).mean() > 0.99


def test_other_land_changes_no_two_cells_order():
    narrow, wide = era5_cells.drawn(SPEC, 1), era5_cells.drawn(SPEC.model_copy(update={"land_buffer_deg": 0.25}), 1)
    assert len(wide) > len(narrow)
    assert (wide[np.isin(wide, narrow)] == narrow).all()


def test_more_cells_than_there_are_are_refused():
    with pytest.raises(ConfigError, match="only 363,660 cells have land; ask for fewer"):
        era5_cells.drawn(SPEC.model_copy(update={"count": 363_661}), 1)


GOLDEN = [880049, 797521, 770178, 891916, 540878]
