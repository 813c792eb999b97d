"""Floods of the embedded Earth as a release: sides, shares of classes, what is told of labels, and the published layout."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
import xarray as xr

from curation.cli import main
from tests import flooded
from tests.flooded import FLOOD, PERMANENT, SEASONS, UNKNOWN

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # what is made once takes a minute, beside other tests more

SIDES = ("train", "val", "test")


@pytest.fixture(scope="module")
def made(run_folder: Path, rendering: Path) -> Path:
    """The dataset's folder, which other files of tests share."""
    return flooded.made(run_folder, rendering)


@pytest.fixture(scope="module")
def cubes(made: Path) -> dict[str, xr.Dataset]:
    found = {s: xr.open_zarr(made / f"cubes/world/{s}.zarr").load() for s in (*SEASONS, "static")}
    return {s: cube.set_index(patch="id") for s, cube in found.items()}


@pytest.fixture(scope="module")
def rows(made: Path) -> dict[str, dict[str, Any]]:
    tables = [pq.read_table(made / f"shards/{side}/samples.parquet").to_pylist() for side in SIDES]
    return {row["id"]: row for table in tables for row in table}


def metas(made: Path) -> Iterator[dict[str, Any]]:
    for shard in sorted((made / "shards").glob("*/*.tar")):
        with tarfile.open(shard) as tar:
            yield from (json.load(tar.extractfile(m)) for m in tar if m.name.endswith("meta.json"))


def test_shares_of_each_sample_are_those_of_its_labels(cubes, rows):
    assert len(rows) > 12
    for name, row in rows.items():
        labels = cubes["post"].water_10m.sel(patch=name).values
        for column, there in (
            ("pcovered", labels != UNKNOWN),
            ("pwater", labels == PERMANENT),
            ("pflood", labels == FLOOD),
        ):
            assert row[column] == round(100 * there.mean(), 4)
        # By the centres of pixels and by the area's own shape it is the same, to what its edge makes of it.
        assert row["pcovered"] == pytest.approx(row["covered_pct"], abs=0.5)
    assert max(r["pflood"] for r in rows.values()) > 5


def test_there_is_a_test_side_and_a_part_for_what_has_no_labels(made, rows):
    index = json.loads((made / "shards/index.json").read_text())
    counts = {side: its["samples"] for side, its in index["splits"].items()}
    assert [*counts] == ["test", "train", "unlabelled", "val"]
    assert all(counts[side] > 0 for side in SIDES)
    assert counts["unlabelled"] == 0  # here each event has a map
    assert sum(counts.values()) == len(rows)
    recorded = pq.read_table(made / "manifest/split.parquet").to_pylist()
    assert {r["split"] for r in recorded} == {*SIDES}


def test_each_sample_tells_satellite_orbit_and_time_of_its_images_and_of_what_year_permanent_water_is(made):
    told = list(metas(made))
    for meta in told:
        for season in SEASONS:
            its = meta["seasons"][season]["sources"][f"s1{season}"]
            assert its["platform"].startswith("sentinel-1")
            assert its["relative_orbit"] == meta["seasons"]["post"]["sources"]["s1post"]["relative_orbit"]
        # The gap that the recipe states: at least a whole day before the event's own lies between.
        begin = np.datetime64(meta["columns"]["date"][:10])
        for season in ("pre1", "pre2"):
            time = np.datetime64(meta["seasons"][season]["sources"][f"s1{season}"]["time"].rstrip("Z"))
            assert begin - time > np.timedelta64(1, "D")
        water = meta["seasons"]["post"]["sources"]["water"]
        is_there = meta["columns"]["pwater"] > 0
        if is_there:
            assert (water["permanent_source"], water["permanent_year"]) == ("embedded map of waters", "2021")
        assert (water["version"], water["event"]) == ("1", meta["columns"]["event"])
    assert any(meta["columns"]["pwater"] > 0 for meta in told)


def exported(run_folder: Path, made: Path, to: Path) -> dict[str, dict[str, Any]]:
    """Samples of the published layout by their grid, as loaders find them; `kind` of each is its side."""
    where = flooded.arguments(run_folder, made.parent)
    flags = [a for a in where if a not in ("--catalog", "embedded")]
    assert main.main(["export", "--format", "kuro-siwo", "--to", str(to), *flags]) == 0
    found = {}
    for side in SIDES:
        for grid, its in json.loads((to / f"grid_dict_{side}.json").read_text()).items():
            folder = to / "data" / its["path"]
            info = json.loads((folder / "info.json").read_text())
            products = {}
            for said in info["datasets"].values():
                with rasterio.open(folder / f"{said['name']}.tif") as src:
                    products["_".join(said["name"].split("_")[:2])] = src.read(1)
                    assert (src.crs.to_epsg(), src.nodata) == (info["epsg"], said["nodata"])
                    corner = src.transform.c, src.transform.f
            found[grid] = info | {"kind": side, "products": products, "zone": its["clz"], "corner": corner}
    return found


def test_who_loads_the_published_set_finds_each_field_with_the_pixels_of_this_one(
    made: Path, cubes, rows, run_folder: Path, tmp_path: Path, capsys
):
    found = exported(run_folder, made, tmp_path / "out")
    assert {its["location"] for its in found.values()} == rows.keys()
    zones = {"tropical": 1, "arid": 2, "temperate": 3}
    for its in found.values():
        name, products = its["location"], its["products"]
        row = rows[name]
        assert its["split"] == its["kind"]
        for image, season in (("MS1", "post"), ("SL1", "pre1"), ("SL2", "pre2")):
            stored = cubes[season][f"s1{season}_10m"].sel(patch=name).values
            for k, product in enumerate(("IVV", "IVH")):
                assert np.array_equal(products[f"{image}_{product}"], stored[k])
        assert np.array_equal(products["MK0_MLU"], cubes["post"].water_10m.sel(patch=name).values[0])
        assert np.array_equal(products["MK0_DEM"], cubes["static"].dem_10m.sel(patch=name).values[0])
        assert (products["MK0_SLOPE"] >= 0).all()
        # Validity: images lack nothing (`min_valid = 1.0`), so that all that is not labelled lies outside of the area.
        assert (products["MK0_MNA"] == 1).all()
        for share in ("pcovered", "pwater", "pflood"):
            assert its[share] == row[share]
        assert (its["actid"], its["zone"]) == (row["event"], zones[row["climate"]])
        assert its["flood_date"] == f"{row['date']:%Y-%m-%d %H:%M:%S}"
        patch = cubes["post"].sel(patch=name)
        assert its["corner"] == (float(patch.x0_m), float(patch.y0_m))
