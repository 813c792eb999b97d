"""Zarr stores of monthly means as tests write them: a value says which step, row and column it is of."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

UNITS = {"2m_temperature": "K", "total_precipitation": "m"}


def dataset(
    lat: np.ndarray | None = None, lon: np.ndarray | None = None, first: str = "2020-01", months: int = 24
) -> xr.Dataset:
    """Monthly means over a grid, by default of the whole globe with nodes 1° apart.

    A temperature is `1e6 · step + 1e3 · row + column`, rows counted from the first latitude; precipitation is its negative.
    """
    lat = np.arange(90.0, -91.0, -1.0) if lat is None else lat
    lon = np.arange(0.0, 360.0, 1.0) if lon is None else lon
    start = np.datetime64(first, "M")
    time = np.arange(start, start + months).astype("datetime64[ns]")
    codes = np.arange(months)[:, None, None] * 1e6 + np.arange(len(lat))[:, None] * 1e3 + np.arange(len(lon))
    dims = ("time", "latitude", "longitude")
    its = {n: (dims, codes * sign, {"units": UNITS[n]}) for n, sign in zip(UNITS, (1, -1), strict=True)}
    return xr.Dataset(its, {"time": time, "latitude": lat, "longitude": lon})


def write(made: xr.Dataset, path: Path, zarr_format: int = 2, *, consolidated: bool = True, **encoding: Any) -> Path:
    """Writes the store; `encoding` is of each of its variables."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # consolidated metadata are in no specification of format 3
        made.to_zarr(
            path,
            zarr_format=zarr_format,
            consolidated=consolidated,
            encoding={str(n): encoding for n in made.data_vars},
        )
    return path
