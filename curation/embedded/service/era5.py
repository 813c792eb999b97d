"""Monthly means of the world's climate as a Zarr store, in the form that ERA5 is published in.

Zarr format 2 with consolidated metadata, dimensions time, latitude (from north to south) and longitude (0 to 360), nodes
0.25° apart, a chunk a month, which is made when it is asked for; names and units of the variables as ERA5 has them.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from curation.embedded.world import climate
from curation.embedded.world.grids import Grid

PATH = "era5-monthly.zarr"
"""Below the archive's root."""

YEARS = (2020, 2021, 2022)
"""Those that scenes of the regions are of."""

STEP_DEG = 0.25

TEMPERATURE, PRECIPITATION = "2m_temperature", "total_precipitation"

_VARIABLES = {
    TEMPERATURE: {"units": "K", "long_name": "2 metre temperature"},
    PRECIPITATION: {"units": "m", "long_name": "Total precipitation, a day's sum"},
}
Floats = NDArray[np.float64]

_DIMENSIONS = ("time", "latitude", "longitude")


def nodes() -> tuple[Floats, Floats]:
    """Longitudes and latitudes of the nodes, degrees, as the store has them."""
    lon: Floats = STEP_DEG * np.arange(round(360 / STEP_DEG), dtype=np.float64)
    lat: Floats = 90 - STEP_DEG * np.arange(round(180 / STEP_DEG) + 1, dtype=np.float64)
    return lon, lat


def month(name: str, step: int) -> NDArray[np.float32]:
    """A variable's monthly mean, (latitude, longitude), in its unit.

    Args:
        name: of the variable.
        step: months since the first.
    """
    (lon, lat), year, number = nodes(), YEARS[step // 12], step % 12 + 1
    if name == PRECIPITATION:
        return climate.precipitation_m(lat, lon, year, number).astype(np.float32)
    return climate.temperature_k(lat, _heights(), year, number).astype(np.float32)


@functools.cache
def _heights() -> Floats:
    lon, lat = nodes()
    half = STEP_DEG / 2
    return climate.height_m(Grid(4326, lon[0] - half, lat[0] + half, STEP_DEG, STEP_DEG, len(lat), len(lon)))


def content(key: str) -> bytes | None:
    """The bytes of a key of the store; None where it has none such."""
    name, _, chunk = key.partition("/")
    step, *rest = chunk.split(".")
    if name in _VARIABLES and rest == ["0", "0"] and step.isdecimal() and step == str(int(step)):
        return month(name, int(step)).tobytes() if int(step) < 12 * len(YEARS) else None
    return _metadata().get(key)


@functools.cache
def _metadata() -> dict[str, bytes]:
    """Metadata and coordinates, which are small; of the variables nothing is written."""
    store = MemoryStore()
    root = zarr.create_group(
        store, zarr_format=2, attributes={"title": "Monthly means of an embedded Earth: no real place"}
    )
    lon, lat = nodes()
    months = np.arange(np.datetime64(f"{YEARS[0]}-01"), np.datetime64(f"{YEARS[-1] + 1}-01"))
    hours = (months.astype("datetime64[h]") - np.datetime64("1900-01-01T00", "h")).astype(np.int64)
    axes: dict[str, tuple[NDArray[Any], dict[str, str]]] = {
        "time": (hours, {"units": "hours since 1900-01-01", "calendar": "proleptic_gregorian"}),
        "latitude": (lat.astype(np.float32), {"units": "degrees_north"}),
        "longitude": (lon.astype(np.float32), {"units": "degrees_east"}),
    }
    for name, (values, attributes) in axes.items():
        made = root.create_array(
            name, shape=values.shape, chunks=values.shape, dtype=values.dtype, compressors=None, fill_value=None,
            attributes={"_ARRAY_DIMENSIONS": [name], **attributes},
        )  # fmt: skip
        made[:] = values
    for name, attributes in _VARIABLES.items():
        root.create_array(
            name, shape=(len(months), len(lat), len(lon)), chunks=(1, len(lat), len(lon)), dtype="<f4", compressors=None,
            fill_value=np.nan, attributes={"_ARRAY_DIMENSIONS": [*_DIMENSIONS], **attributes},
        )  # fmt: skip
    zarr.consolidate_metadata(store, zarr_format=2)
    return asyncio.run(_all(store))


async def _all(store: MemoryStore) -> dict[str, bytes]:
    out = {}
    async for key in store.list():
        data = await store.get(key, default_buffer_prototype())
        assert data is not None
        out[key] = data.to_bytes()
    return out
