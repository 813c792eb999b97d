"""The store of monthly means: opens as public ones do, and has what the climate is."""

from __future__ import annotations

import numpy as np
import pytest
import requests
import xarray as xr
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from curation.embedded.service import era5
from curation.embedded.world import climate
from curation.embedded.world.grids import Grid
from curation.read import monthly
from curation.store.objects import Store


def _url(earth) -> str:
    return f"{earth.url.removesuffix('/stac')}/archive/{era5.PATH}"


@pytest.mark.slow
def test_it_is_read_over_http_as_the_climate_has_it(earth):
    variables = {era5.PRECIPITATION: "m", era5.TEMPERATURE: "K"}
    lon, lat = np.array([6.0, -46.5, 179.99]), np.array([51.25, -23.5, -16.5])
    found = monthly.read(Store(_url(earth)), lon, lat, variables, [2021])
    assert found.missing == (None,) * 3
    for k, (x, y) in enumerate([(6.0, 51.25), (313.5, -23.5), (180.0, -16.5)]):
        at, height = (np.array([x]), np.array([y])), climate.height_m(Grid(4326, x - 0.1, y + 0.1, 0.2, 0.2, 1, 1))
        for month in range(1, 13):
            rain = climate.precipitation_m(at[1], at[0], 2021, month)
            warm = climate.temperature_k(at[1], height, 2021, month)
            assert found.values[k, month - 1].tolist() == pytest.approx([rain.item(), warm.item()], rel=1e-6)
    assert monthly.read(Store(_url(earth)), lon[:1], lat[:1], variables, [2021]).identity == found.identity


def test_it_has_the_form_of_the_public_ones():
    every = {k: default_buffer_prototype().buffer.from_bytes(v) for k, v in era5._metadata().items()}
    found = xr.open_zarr(MemoryStore(every), chunks=None, consolidated=True)
    assert dict(found.sizes) == {"time": 36, "latitude": 721, "longitude": 1440}
    assert found.latitude.values[[0, -1]].tolist() == [90, -90]
    assert found.longitude.values[[0, -1]].tolist() == [0, 359.75]
    assert str(found.time.values[13])[:10] == "2021-02-01"
    assert {n: v.attrs["units"] for n, v in found.data_vars.items()} == {era5.TEMPERATURE: "K", era5.PRECIPITATION: "m"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "key", ["2m_temperature/36.0.0", "2m_temperature/01.0.0", "2m_temperature/0.0.1", "nothing", ""]
)
def test_what_it_has_not_is_a_404(earth, key: str):
    assert requests.get(f"{_url(earth)}/{key}", timeout=30).status_code == 404
