"""Monthly means at points: which node, which month, and what is never taken for a value."""

from __future__ import annotations

import functools
import shutil
import threading
import tracemalloc
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import ReadError
from curation.errors.codes import Code
from curation.places import era5_cells
from curation.read import monthly
from curation.store.objects import Store
from tests import zarrs
from tests.properties import examples

TEMPERATURE = {"2m_temperature": "K"}
ANY_LON, ANY_LAT = np.array([6.2, -60.4]), np.array([51.3, -3.1])


def read(path: Path | str, lon=ANY_LON, lat=ANY_LAT, variables=TEMPERATURE, years=(2021,)) -> monthly.Monthly:
    return monthly.read(Store(path), np.asarray(lon, float), np.asarray(lat, float), variables, list(years))


@pytest.fixture(scope="module")
def globe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zarrs.write(zarrs.dataset(), tmp_path_factory.mktemp("globe") / "monthly.zarr")


def expected(lon: float, lat: float) -> np.ndarray:
    """By hand, of a globe with nodes 1° apart: the twelve months of the second year."""
    return np.arange(12, 24) * 1e6 + round(90 - lat) * 1e3 + round(lon % 360) % 360


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("consolidated", [True, False])
def test_each_format_gives_the_nodes_of_the_cells_that_points_lie_in(
    tmp_path: Path, zarr_format: int, consolidated: bool
):
    path = zarrs.write(zarrs.dataset(), tmp_path / "z", zarr_format, consolidated=consolidated)
    found = read(path)
    assert found.values.shape == (2, 12, 1)
    assert found.missing == (None, None)
    for its, lon, lat in zip(found.values[..., 0], ANY_LON, ANY_LAT, strict=True):
        assert its.tolist() == expected(lon, lat).tolist()


@pytest.mark.parametrize(
    "form",
    ["south first", "from -180", "permuted", "valid_time", "chunks through time", "packed"],
)
def test_other_forms_of_the_same_store_give_the_same(globe: Path, tmp_path: Path, form: str):
    made, encoding = zarrs.dataset(), {}
    match form:
        case "south first":
            made = made.sortby("latitude")
        case "from -180":
            made = made.assign_coords(longitude=(made.longitude + 180) % 360 - 180).sortby("longitude")
        case "permuted":
            made = made.transpose("longitude", "time", "latitude")
        case "valid_time":
            made = made.rename(time="valid_time")
        case "chunks through time":
            encoding = {"chunks": (24, 30, 30)}
        case "packed":
            encoding = {"dtype": "int32", "scale_factor": 0.5, "_FillValue": -(2**31)}
    path = zarrs.write(made, tmp_path / "z", **encoding)
    variables = {"total_precipitation": "m", "2m_temperature": "K"}
    assert np.array_equal(read(path, variables=variables).values, read(globe, variables=variables).values)


@settings(max_examples=examples(100))
@given(st.lists(st.tuples(st.floats(-540, 540), st.floats(-90, 90)), min_size=1, max_size=20))
def test_a_point_has_the_node_of_the_era5_cell_that_it_lies_in(points: list[tuple[float, float]]):
    lon, lat = np.array(points).T
    lon = np.round(lon * 8) / 8  # edges of cells are whole eighths of a degree, which are exact
    lat = np.round(lat * 8) / 8
    nodes = xr.DataArray(
        np.zeros((1, 721, 1440)),
        dims=("time", "latitude", "longitude"),
        coords={"latitude": 90 - np.arange(721) / 4, "longitude": np.arange(1440) / 4},
    )
    row, north = monthly._nearest(nodes, "", "latitude", lat)
    column, east = monthly._nearest(nodes, "", "longitude", lon)
    assert north.all()
    assert east.all()
    at_lon, at_lat = era5_cells.nodes(era5_cells.numbers_at(lon, lat))
    assert np.array_equal(nodes.latitude.values[row], at_lat)
    assert np.array_equal(nodes.longitude.values[column] % 360, at_lon % 360)


def test_several_years_are_averaged_month_by_month(globe: Path):
    both = read(globe, years=(2021, 2020)).values
    assert np.array_equal(both, (read(globe, years=(2020,)).values + read(globe).values) / 2)


@pytest.mark.parametrize("chunks", [(1, 60, 60), (36, 10, 10)])
def test_many_places_and_years_are_read_in_parts_to_the_same_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunks: tuple[int, ...]
):
    made = zarrs.dataset(np.arange(60.0, 0.0, -1.0), np.arange(0.0, 60.0), "2020-01", 36)
    path = zarrs.write(made, tmp_path / "z", chunks=chunks)
    lon, lat = (found.ravel() for found in np.meshgrid(made.longitude.values, made.latitude.values))
    monkeypatch.setattr(monthly, "MOST_VALUES", 4000)
    tracemalloc.start()
    try:
        found = read(path, np.r_[lon, lon], np.r_[lat, lat], years=(2022, 2020)).values[..., 0]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    codes = made["2m_temperature"].values.reshape(3, 12, -1)
    assert np.array_equal(found, np.tile((codes[2] + codes[0]).T / 2, (2, 1)))
    assert peak < 10e6  # all at once would take 30


def test_a_place_beyond_a_store_and_one_without_a_value_are_nan_with_their_reasons(tmp_path: Path):
    made = zarrs.dataset(lat=np.arange(60.0, 40.0, -1.0), lon=np.arange(-10.0, 20.0, 1.0))
    made["2m_temperature"][14, 9, 16] = np.nan  # March 2021, 51°N 6°E
    found = read(zarrs.write(made, tmp_path / "z"), [6.2, 7.0, 25.0, -10.4, -10.6], [51.3, 51.0, 51.0, 60.4, 50.0])
    assert found.missing == (Code.NO_VALUE, None, Code.OUTSIDE_STORE, None, Code.OUTSIDE_STORE)
    assert np.isnan(found.values[0, :, 0]).tolist() == [month == 2 for month in range(12)]
    assert np.isnan(found.values[[2, 4]]).all()
    assert found.values[3, 0, 0] == 12e6


def without_april(path: Path, zarr_format: int) -> Path:
    gone = path / "2m_temperature" / ("15.0.0" if zarr_format == 2 else "c/15/0/0")
    assert gone.exists()
    gone.unlink()
    return path


PACKED = {"dtype": "int32", "scale_factor": 0.5, "_FillValue": -(2**31)}
WHOLE = (1, 181, 360)


@pytest.mark.parametrize(
    ("zarr_format", "encoding"),
    [
        (2, {"_FillValue": np.nan}),
        (3, {"_FillValue": np.nan}),
        (3, {"_FillValue": None}),  # xarray has it fill with NaN all the same
        (2, PACKED),
        (3, PACKED | {"fill_value": -(2**31)}),
        (3, {"dtype": "float32", "_FillValue": np.float32(9.96921e36), "fill_value": np.float32(9.96921e36)}),
    ],
)
def test_a_chunk_that_is_gone_is_missing_where_it_fills_so(tmp_path: Path, zarr_format: int, encoding: dict):
    path = zarrs.write(zarrs.dataset(), tmp_path / "z", zarr_format, chunks=WHOLE, **encoding)
    found = read(without_april(path, zarr_format))
    assert set(found.missing) == {Code.NO_VALUE}
    assert np.isnan(found.values[0, :, 0]).tolist() == [month == 3 for month in range(12)]


@pytest.mark.parametrize(
    ("zarr_format", "encoding"),
    [
        (2, {"_FillValue": None}),
        (3, {"_FillValue": None, "fill_value": 0.0}),
        (3, {"_FillValue": np.nan, "fill_value": 0.0}),
        (3, PACKED | {"fill_value": 0}),
    ],
)
def test_a_chunk_that_is_gone_is_an_error_where_it_fills_with_a_number(
    tmp_path: Path, zarr_format: int, encoding: dict
):
    path = zarrs.write(zarrs.dataset(), tmp_path / "z", zarr_format, chunks=WHOLE, **encoding)
    assert read(path).missing == (None, None)
    with pytest.raises(ReadError, match="is not there, and its array fills with a number"):
        read(without_april(path, zarr_format))


def test_shards_may_lack_chunks_where_they_fill_with_nan_alone(tmp_path: Path):
    made = zarrs.dataset()
    made["2m_temperature"][15] = np.nan  # a chunk that is all fill is left out of its shard
    shards = {"chunks": WHOLE, "shards": (24, 181, 360)}
    found = read(zarrs.write(made, tmp_path / "nan", 3, **shards, _FillValue=np.nan))
    assert np.isnan(found.values[0, :, 0]).tolist() == [month == 3 for month in range(12)]
    for name, encoding in {"float": {"_FillValue": np.nan, "fill_value": 0.0}, "packed": PACKED}.items():
        path = zarrs.write(made, tmp_path / name, 3, **shards, **encoding)
        with pytest.raises(ReadError, match=r"2m_temperature: is in shards, and fills with 0.*or its _FillValue"):
            read(path)


def test_a_store_that_fills_with_zero_is_refused(tmp_path: Path):
    path = zarrs.write(zarrs.dataset(), tmp_path / "z", _FillValue=0.0)
    with pytest.raises(ReadError, match="fills with 0, so that what is missing cannot be told from a value"):
        read(path)


@pytest.mark.parametrize(
    ("changed", "variables", "years", "says"),
    [
        ({}, {"2m_temp": "K"}, [2021], "has no variable '2m_temp'; did you mean 2m_temperature"),
        ({}, {"2m_temperature": "degC"}, [2021], "is in K, expected 'degC'"),
        ({}, TEMPERATURE, [2023], "0 steps of 2023-01, expected one, the month's mean; it has 2020-01 to 2021-12"),
        ({"lat": np.array([50.0, 49.0, 47.0])}, TEMPERATURE, [2021], "latitude: expected even steps"),
    ],
    ids=["variable", "unit", "year", "grid"],
)
def test_what_is_not_as_the_recipe_says_is_told(tmp_path: Path, changed: dict, variables: dict, years: list, says: str):
    path = zarrs.write(zarrs.dataset(**changed), tmp_path / "z")
    with pytest.raises(ReadError, match=says):
        read(path, variables=variables, years=years)


def test_steps_that_are_no_months_and_axes_of_levels_are_told(tmp_path: Path):
    made = zarrs.dataset()
    daily = xr.concat([made, made.isel(time=[15]).assign_coords(time=[np.datetime64("2021-04-02", "ns")])], "time")
    with pytest.raises(ReadError, match=r"2 steps of 2021-04, expected one.*resample\(time='1MS'\)"):
        read(zarrs.write(daily, tmp_path / "daily"))
    with pytest.raises(ReadError, match=r"has the dimensions \['latitude', 'level', 'longitude', 'time'\]"):
        read(zarrs.write(made.expand_dims("level"), tmp_path / "levels"))


def test_what_is_no_store_is_told(tmp_path: Path, globe: Path):
    with pytest.raises(ReadError, match="is no Zarr store"):
        read(tmp_path)
    damaged = tmp_path / "damaged"
    shutil.copytree(globe, damaged)
    for chunk in (damaged / "2m_temperature").iterdir():
        if not chunk.name.startswith("."):
            chunk.write_bytes(b"no chunk")
    with pytest.raises(ReadError, match="cannot be read as a Zarr store"):
        read(damaged)


def test_a_store_is_known_by_its_metadata_wherever_it_lies(globe: Path, tmp_path: Path):
    there = tmp_path / "elsewhere"
    shutil.copytree(globe, there)
    assert read(there).identity == read(globe).identity
    other = zarrs.dataset()
    other.attrs["title"] = "another"
    assert read(zarrs.write(other, tmp_path / "other")).identity != read(globe).identity


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def served(globe: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Files, directory=str(globe.parent))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_server_is_read_as_a_folder_is(globe: Path, served: str):
    far, near = read(f"{served}/{globe.name}"), read(globe)
    assert np.array_equal(far.values, near.values)
    assert far.identity == near.identity
    with pytest.raises(ReadError, match="no consolidated metadata") as caught:
        read(f"{served}/nothing.zarr?sig=SECRET")
    assert "SECRET" not in str(caught.value)
