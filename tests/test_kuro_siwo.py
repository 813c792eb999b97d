"""Triplets of floods on the embedded Earth, looked at from outside: the recipe as it is shipped, with fewer patches."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import shapely
import xarray as xr

from tests import flooded
from tests.flooded import FLOOD, NONE, PERMANENT, SEASONS, UNKNOWN

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # what is made once takes a minute, beside other tests more

DAY = np.timedelta64(1, "D")
EQUAL_AREA = "ESRI:54034"
SIDES = {"train": {"po-2021"}, "val": {"buzi-2021"}, "test": {"indus-2021"}}


@pytest.fixture(scope="module")
def recipe(run_folder: Path) -> Path:
    """The folder of the recipe."""
    return flooded.recipe(run_folder)


@pytest.fixture(scope="module")
def made(run_folder: Path, rendering: Path) -> Path:
    """The dataset's folder."""
    return flooded.made(run_folder, rendering)


@pytest.fixture(scope="module")
def cubes(made: Path) -> dict[str, xr.Dataset]:
    return {s: xr.open_zarr(made / f"cubes/world/{s}.zarr").load() for s in (*SEASONS, "static")}


@pytest.fixture(scope="module")
def events(recipe: Path) -> gpd.GeoDataFrame:
    return gpd.read_file(recipe / "events.geojson").set_index("event")


def events_of(post: xr.Dataset) -> np.ndarray:
    return np.array([name.partition("-")[0] for name in post.id.values.tolist()])


def test_every_triplet_is_after_and_twice_before_its_event_of_one_orbit_and_of_three_scenes(cubes):
    ids = cubes["post"].id.values.tolist()
    assert len(ids) > 12
    assert {*events_of(cubes["post"]).tolist()} == {"ev101", "ev102", "ev103", "ev104"}
    assert all((cubes[s].status.values == 1).all() and cubes[s].id.values.tolist() == ids for s in SEASONS)
    pre2, pre1, post = (cubes[s][f"s1{s}_time"].values for s in SEASONS)
    date = cubes["post"].date.values
    assert (post >= date + DAY).all()
    assert (date - DAY > pre1).all()
    assert (pre1 > pre2).all()
    for fact in ("relative_orbit", "orbit_state"):
        found = [cubes[s][f"s1{s}_{fact}"].values for s in SEASONS]
        assert (found[0] == found[1]).all()
        assert (found[1] == found[2]).all()
    scenes = np.stack([cubes[s][f"s1{s}_scenes"].values for s in SEASONS])
    assert all(len(set(column)) == 3 for column in scenes.T.tolist())
    # What was nearer is of another orbit, or of the day itself before the flood began: the first is of the very day before.
    orbits = set(cubes["post"].s1post_relative_orbit.values.tolist())
    assert orbits == {95, 174, 78}


def test_one_event_lies_across_a_zones_edge_in_one_zone_and_one_in_the_south(cubes):
    post = cubes["post"]
    for event in set(events_of(post)):
        mine = post.isel(patch=events_of(post) == event)
        (epsg,) = set(mine.epsg.values.tolist())
        grids = {(x, y) for x, y in zip(mine.x0_m.values.tolist(), mine.y0_m.values.tolist(), strict=True)}
        assert len(grids) == len(mine.patch)
        assert all((x % 2240, (y - 10_000_000 * (epsg > 32700)) % 2240) == (0, 0) for x, y in grids)
    west = post.isel(patch=events_of(post) == "ev101").lon.values
    assert west.min() < 12 < west.max()
    assert (post.lat.values < 0).any()


def test_labels_are_nodata_outside_of_their_area_and_nowhere_inside_and_images_lack_nothing(cubes, events):
    post = cubes["post"]
    outside = 0
    for k, event in enumerate(events_of(post)):
        patch = post.isel(patch=k)
        labels = patch.water_10m.values[0]
        area = gpd.GeoSeries([events.geometry[event]], crs=4326).to_crs(int(patch.epsg)).iloc[0]
        y, x = np.meshgrid(
            *(float(patch[c]) - s * (5 + 10 * np.arange(224)) for c, s in (("y0_m", 1), ("x0_m", -1))), indexing="ij"
        )
        near = (
            shapely.distance(shapely.points(x, y), area.exterior) < 15
        )  # an edge that is straight in degrees is none here
        within = shapely.contains_xy(area, x, y)
        assert set(labels[~within & ~near].tolist()) <= {UNKNOWN}
        assert UNKNOWN not in labels[within & ~near]
        outside += int((~within & ~near).sum())
    assert outside > 1000
    for season in SEASONS:
        image = cubes[season][f"s1{season}_10m"].values
        assert np.isfinite(image).all()
        assert (image > 0).all()


def test_pixels_of_flood_have_the_area_of_their_polygons(cubes, recipe):
    post = cubes["post"]
    for event in set(events_of(post)):
        mine = post.isel(patch=events_of(post) == event)
        table = gpd.read_file(recipe / f"maps/{mine.water_scenes.values[0]}.geojson").to_crs(EQUAL_AREA)
        parts = {c: shapely.make_valid(table.geometry[table["class"] == c].to_numpy()) for c in ("flood", "permanent")}
        water = shapely.union_all(parts["permanent"])
        flood = shapely.difference(shapely.union_all(parts["flood"]), water)
        squares = [
            shapely.segmentize(shapely.box(x, y - 2240, x + 2240, y), 200)
            for x, y in zip(mine.x0_m.values.tolist(), mine.y0_m.values.tolist(), strict=True)
        ]
        ground = gpd.GeoSeries(squares, crs=int(mine.epsg[0])).to_crs(EQUAL_AREA).union_all()
        wanted = shapely.area(shapely.intersection(flood, ground))
        found = 100 * int((mine.water_10m.values == FLOOD).sum())
        assert wanted > 1e6
        assert found == pytest.approx(wanted, rel=0.01)
        assert (mine.water_mended.values.sum() > 0) or event != "ev103"


def test_labels_belong_to_the_image_after_the_flood_and_not_to_a_later_one(cubes):
    post = cubes["post"]
    assert (np.abs(post.water_gap_days.values) < 1e-3).all()
    assert (post.water_time.values.astype("datetime64[m]") == post.s1post_time.values.astype("datetime64[m]")).all()
    assert (post.water_event.values == events_of(post)).all()
    assert set(post.water_version.values.tolist()) == {"1"}  # the second is of the next image


def test_images_lie_on_their_labels_to_the_pixel(cubes):
    # Water is dark. Where images are moved against labels edges of water get lighter and what lies beside it darker.
    labels = cubes["post"].water_10m.values[:, 0]
    for season in SEASONS:
        decibels = 10 * np.log10(cubes[season][f"s1{season}_10m"].values[:, 0])
        wet = (labels == PERMANENT) | ((labels == FLOOD) if season == "post" else np.zeros_like(labels, bool))
        dry = labels == NONE
        inner = (slice(None), slice(2, -2), slice(2, -2))
        steps = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        moved = {step: np.roll(decibels, step, (1, 2))[inner] for step in steps}
        contrast = {s: m[dry[inner]].mean() - m[wet[inner]].mean() for s, m in moved.items()}
        assert max(contrast, key=lambda s: contrast[s]) == (0, 0)


def test_no_flood_is_on_both_sides_and_samples_have_their_events_columns(made, events):
    tables = {side: pq.read_table(made / f"shards/{side}/samples.parquet").to_pandas() for side in SIDES}
    assert {side: {*table.flood} for side, table in tables.items()} == SIDES
    every = pd.concat(tables.values())
    for column in ("country", "climate", "flood"):
        assert (every[column].to_numpy() == events[column][every.event].to_numpy()).all()
    assert (every.covered_pct >= 85).all()
    assert {*every.climate} == {"temperate", "tropical", "arid"}


def test_statistics_are_of_train_alone_and_know_no_nodata(made, cubes):
    index = json.loads((made / "shards/index.json").read_text())
    static, post = cubes["static"], cubes["post"]
    train = np.isin(events_of(post), ["ev101", "ev102"])
    stated = index["statistics"]
    heights = static.dem_10m.values[train]
    assert stated["dem_10m"]["height"]["min"] == pytest.approx(float(heights.min()))
    assert stated["dem_10m"]["height"]["mean"] == pytest.approx(float(heights.mean(dtype=np.float64)), rel=1e-6)
    assert 0 <= stated["slope"]["slope"]["min"] < stated["slope"]["slope"]["mean"] < 0.3
    images = post.s1post_10m.values[train]
    for k, band in enumerate(("VV", "VH")):
        mean = float(images[:, k].mean(dtype=np.float64))
        assert stated["s1post_10m"][band]["mean"] == pytest.approx(mean, rel=1e-4)
