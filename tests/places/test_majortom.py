"""Cells of Major TOM's grid: those of published files and values, and of the published rule point by point."""

from __future__ import annotations

import math

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer

from curation.places import majortom
from tests.scenes import recorded


def one(lon: float, lat: float, cell_km: float = 10) -> str:
    return majortom.ids(np.array([lon]), np.array([lat]), cell_km)[0]


@pytest.mark.parametrize(
    ("lon", "lat", "cell_km", "name"),
    [
        (-111.6556, 40.5829, 10, "451U_946L"),  # of Core-S2L2A, by whose metadata it is in S2B … T12TVK
        (0.001, 0.001, 10, "0U_0R"),
        (-0.001, -0.001, 10, "1D_1L"),
        (-178.892, -63.121, 1000, "8D_7R"),  # an odd row: the easternmost goes on across the antimeridian
    ],
)
def test_cells_are_called_as_the_published_values_say(lon, lat, cell_km, name):
    assert one(lon, lat, cell_km) == name


def test_files_that_are_named_by_their_cell_lie_in_it():
    folder = recorded.folder()
    if folder is None:
        pytest.skip("no files of TerraMesh: CURATION_SHARED")
    files = sorted((folder / "terramind" / "DEM").glob("*.tif"))
    assert len(files) == 3
    for path in files:
        with rasterio.open(path) as file:
            x, y = file.xy(file.height // 2, file.width // 2)
            lon, lat = Transformer.from_crs(file.crs, 4326, always_xy=True).transform(x, y)
        assert one(lon, lat) == "_".join(path.stem.split("_")[:2])


@given(st.floats(-180, 179.9999), st.floats(-84.9, 84.9), st.sampled_from([10, 100, 1000]))
def test_cells_are_those_of_the_published_rule(lon, lat, cell_km):
    # As its code has it: all edges listed and sorted, and the last that lies before the point.
    rows = math.ceil(math.pi * 6378.137 / cell_km)
    south = np.sort(np.mod(np.linspace(-90, 90, rows + 1)[:-1], 180) - 90)
    row = int(np.searchsorted(south, lat)) - 1
    columns = math.ceil(2 * math.pi * 6378.137 * math.cos(south[row] * math.pi / 180) / cell_km)
    west = np.sort(np.mod(np.linspace(-180, 180, columns + 1)[:-1], 360) - 180)
    column = (int(np.searchsorted(west, lon)) - 1) % columns
    if min(abs(lat - south).min(), abs(lon - west).min()) < 1e-9:
        return  # on an edge: which side is of rounding
    up, right = row - int(np.searchsorted(south, -1e-9)), column - int(np.searchsorted(west, -1e-9))
    name = f"{abs(up)}{'U' if up >= 0 else 'D'}_{abs(right)}{'R' if right >= 0 else 'L'}"
    assert one(lon, lat, cell_km) == name
