"""Means of orbits through the whole of a build: of one version of the processor, with number, spread and days."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
import xarray as xr

from curation.cli import main
from tests import world as tiny
from tests.swaths import FILL, GEOLOCATIONS

RECIPE = """
name = "air"
title = "A few cells, one of them seen"
seed = 7
[grid]
size_deg = 0.25
[places]
sampler = "era5-cells"
count = 100
regions = ["europe"]
[seasons]
july = { start = 2021-07-01, end = 2021-08-01 }
[sources]
s5p-no2 = {}
[split]
val_fraction = 0.0
"""


def orbit(path: Path, lon: float, lat: float, value: float) -> None:
    """A file of Sentinel-5P in which all of a cell is one column, and one footprint in nine is cloudy, and another value."""
    y, x = np.mgrid[0.5:-0.51:-0.1, -0.5:0.51:0.1]
    quality, column = np.full(x.shape, 100, "u1"), np.full(x.shape, value, "f4")
    quality[::3, ::3], column[::3, ::3] = 74, 9.0
    corners = [(-0.05, 0.05), (0.05, 0.05), (0.05, -0.05), (-0.05, -0.05)]
    with h5py.File(path, "w") as file:
        product, geo = file.create_group("PRODUCT"), file.create_group(GEOLOCATIONS)
        for name, data in (("latitude", lat + y), ("longitude", lon + x)):
            product.create_dataset(name, data=data[None].astype("f4")).attrs["_FillValue"] = np.array([FILL])
        made = product.create_dataset("qa_value", data=quality[None])
        made.attrs["scale_factor"], made.attrs["_FillValue"] = np.float32(0.01), np.array([255], "u1")
        made = product.create_dataset("nitrogendioxide_tropospheric_column", data=column[None])
        made.attrs["units"], made.attrs["_FillValue"] = "mol m-2", np.array([FILL])
        for name, at, axis in (("longitude_bounds", lon + x, 0), ("latitude_bounds", lat + y, 1)):
            geo.create_dataset(name, data=np.stack([at + c[axis] for c in corners], -1)[None].astype("f4"))


class Air(tiny.World):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.recipe.write_text(RECIPE)
        self.flags = ["--dataset", str(self.recipe), "--root", str(folder / "root"), "--scheduler", "none"]
        assert main.main(["locate", *self.flags[:4]]) == 0
        (table,) = (folder / "root").rglob("locations*.parquet")
        columns = ["id", "lon", "lat", "region"]
        self.place = next(row for row in pq.read_table(table, columns=columns).to_pylist() if row["region"] == "europe")

    def orbit(self, number: int, version: str, mode: str, value: float) -> None:
        """An orbit of the day of its number."""
        lon, lat = self.place["lon"], self.place["lat"]
        when = dt.datetime(2021, 7, number, 12, 30, tzinfo=dt.UTC)
        name = (
            f"S5P_{mode}_L2__NO2____{when:%Y%m%dT%H%M%S}_{when:%Y%m%dT%H%M%S}_{number:05d}_03_{version}_20220101T000000"
        )
        orbit(self.folder / f"{name}.nc", lon, lat, value)
        more: dict[str, Any] = {"s5p__product_name": "no2", "s5p__processing_mode": mode, "sat__absolute_orbit": number}
        outline = shapely.box(lon - 0.5, lat - 0.5, lon + 0.5, lat + 0.5)
        self.item("sentinel-5p-l2-netcdf", name, when, outline, {"no2": f"{name}.nc"}, **more)

    def built(self, *flags: str) -> xr.Dataset:
        self.catalog.write_text(json.dumps({"type": "FeatureCollection", "features": self.items}))
        assert main.main(["build", *self.flags, "--catalog", str(self.catalog), *flags]) == 0
        cube = xr.open_zarr(self.folder / "root/air/cubes/europe/july.zarr").load().set_index(patch="id")
        return cube.sel(patch=[self.place["id"]])


@pytest.fixture
def air(tmp_path: Path) -> Air:
    return Air(tmp_path)


def seen(cube: xr.Dataset, name: str) -> np.ndarray:
    """The pixels that are not under a cloudy footprint."""
    pixels = cube[name].values
    valid = pixels != -32768
    assert 0.7 < valid.mean() < 1
    return pixels[valid]


OLD, NEW = "020301", "020400"


def test_a_mean_is_of_the_version_that_was_processed_again_with_number_spread_and_days(air: Air):
    for n in range(1, 7):
        air.orbit(n, OLD, "OFFL", 5e-4)
        if n > 1:  # one was forgotten
            air.orbit(n, NEW, "RPRO", n * 1e-5)
    cube = air.built()
    assert cube.reason.values.tolist() == ["ok"]
    assert np.allclose(seen(cube, "s5p-no2_28px"), 4e-5, rtol=1e-5)  # of 2 … 6: nothing of the old, nor of cloud
    assert np.allclose(seen(cube, "s5p-no2_std_28px"), np.sqrt(2) * 1e-5, rtol=1e-4)
    count = cube["s5p-no2_count_28px"].sel({"s5p-no2_count_28px_band": "days"})
    assert set(np.unique(count)) == {0, 5}
    facts = {n: cube[f"s5p-no2_{n}"].values.tolist() for n in ("orbits", "days", "version", "mode")}
    assert facts == {"orbits": [5], "days": [5], "version": ["02.04.00"], "mode": ["RPRO"]}
    assert cube["s5p-no2_other_version_orbits"].values.tolist() == [1]
    assert cube["s5p-no2_min_quality"].values.tolist() == [0.75]
    assert "clear-sky bias" in cube["s5p-no2_28px"].attrs["comment"]


@pytest.mark.parametrize(("first", "version", "orbits", "others"), [(6, "02.03.01", 5, 1), (4, "02.04.00", 3, 3)])
def test_where_the_processor_changes_within_a_season_the_mean_is_of_one_of_the_two(air, first, version, orbits, others):
    for n in range(1, 7):
        air.orbit(n, OLD if n < first else NEW, "OFFL", 1e-4 if n < first else 3e-4)
    cube = air.built()
    assert cube["s5p-no2_version"].values.tolist() == [version]
    assert cube["s5p-no2_orbits"].values.tolist() == [orbits]
    assert cube["s5p-no2_other_version_orbits"].values.tolist() == [others]
    assert np.allclose(seen(cube, "s5p-no2_28px"), 1e-4 if version == "02.03.01" else 3e-4, rtol=1e-5)
    assert np.allclose(seen(cube, "s5p-no2_std_28px"), 0, atol=1e-9)


def test_where_all_of_a_version_is_excluded_the_next_is_used(air: Air):
    for n in range(1, 4):
        air.orbit(n, OLD, "OFFL", 1e-4)
        air.orbit(n, NEW, "RPRO", 3e-4)
    names = [i["id"] for i in air.items if "RPRO" in i["id"]]
    air.recipe.write_text(RECIPE + f"[search]\nexclude = {json.dumps(names)}\n")
    cube = air.built()
    assert cube["s5p-no2_version"].values.tolist() == ["02.03.01"]
    assert np.allclose(seen(cube, "s5p-no2_28px"), 1e-4, rtol=1e-5)
