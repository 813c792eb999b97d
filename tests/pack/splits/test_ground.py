"""No ground in train and in val: measured on footprints, in a projection about where they lie, whatever drew them."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import CRS, Transformer

from curation.errors import ConfigError
from curation.pack.split import sides
from curation.pack.splits.blocks import Blocks
from curation.places import draw, era5_cells, grid, grids
from curation.places.grids import Places
from curation.places.locations import Locations
from curation.places.regions import Region, from_bbox
from curation.recipe.dataset import Dataset, load_dataset
from curation.recipe.schema import Recipe

EXAMPLE = load_dataset("ssl4eo-s12-ml")
CELLS = load_dataset("ssl4eo-s")


def dataset(sampler: dict, size_m: float, folder: Path | None = None, **rule) -> Dataset:
    """The example with other places, footprints and split."""
    raw = EXAMPLE.recipe.model_dump() | {"places": sampler | {"regions": ["europe"]}, "grid": {"size_m": size_m}}
    raw["split"] = {"val_fraction": 0.4, "block_deg": 0.1, "buffer_km": 0.06} | rule
    return Dataset(Recipe.model_validate(raw), EXAMPLE.specs, (folder or EXAMPLE.path.parent) / "recipe.toml")


Split = tuple[Locations, np.ndarray]
"""Locations and their sides."""


def drawn(spec: Dataset, asked: Sequence[Region] | None = None) -> Split:
    found = draw.draw(spec, asked)
    return found, sides(spec.recipe, found)


def given_here(folder: Path, found: Places, size_m: float, **rule) -> Split:
    """Footprints as a file gives them, overlapping or not."""
    frame = pd.DataFrame({"id": [f"p{n}" for n in range(len(found))]})
    for name in ("epsg", "x0_m", "y0_m"):
        frame[name] = getattr(found, name)
    frame.to_csv(folder / "places.csv", index=False)
    return drawn(dataset({"sampler": "file", "file": "places.csv"}, size_m, folder, **rule))


def outlines(found: Locations, lon: float, lat: float) -> np.ndarray:
    """Footprints in the equal-area projection about a point, by densified sides."""
    about = CRS.from_proj4(f"+proj=laea +lat_0={lat} +lon_0={lon} +datum=WGS84")
    out = []
    for place in found:
        south, east = place.y0_m - place.size_m, place.x0_m + place.size_m
        box = shapely.segmentize(shapely.box(place.x0_m, south, east, place.y0_m), place.size_m / 8)
        move = grid.transformer(place.epsg, about.to_wkt())
        out.append(shapely.transform(box, move.transform, interleaved=False))
    return np.array(out, dtype=object)


def apart_m(split: Split, lon: float, lat: float) -> float:
    """Least distance of a train and a val footprint near a point, metres; 0 where they share ground."""
    found, side = split
    shapes = outlines(found, lon, lat)
    train, val = shapes[side == "train"], shapes[side == "val"]
    if not len(train) or not len(val):
        return float("inf")
    _, metres = shapely.STRtree(val).query_nearest(train, return_distance=True)
    return float(metres.min())


def scattered(lon: float, lat: float, size_m: float, seed: int, count: int = 150) -> Places:
    """Footprints about a point, some on top of each other, in its zone and in a neighbour's."""
    rng = np.random.default_rng(seed)
    east, north = rng.uniform(-16_000, 16_000, (2, count)) / 111_000
    lats = np.clip(lat + north, -79.9, 83.9)
    lons = grids.wrap(lon + east / np.cos(np.radians(lats)))
    here = grids.snap(lons, lats, 60)
    zone = np.where(rng.random(count) < 0.3, (here.epsg % 100) % 60 + 1, here.epsg % 100)  # out of its zone: turned
    epsg = here.epsg // 100 * 100 + zone
    x0, y0 = np.empty(count), np.empty(count)
    for code, rows in grids.by_value(epsg):
        x, y = Transformer.from_crs(4326, code, always_xy=True).transform(lons[rows], lats[rows])
        x0[rows], y0[rows] = np.round(x - size_m / 2), np.round(y + size_m / 2)
    return grids.of_grids(epsg, x0, y0, size_m)


ANYWHERE = st.tuples(
    st.one_of(st.sampled_from([-180.0, -179.99, 179.98, 0.0, 6.0, 42.0]), st.floats(-180, 179.9)),
    st.one_of(st.sampled_from([-79.7, -0.02, 0.0, 72.0, 83.7]), st.floats(-79.7, 83.7)),
)
SOME = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.slow
@SOME
@given(ANYWHERE, st.sampled_from([480.0, 2640.0, 9960.0]), st.sampled_from([0.06, 2.0]), st.integers(0, 99))
def test_given_footprints_share_no_ground(tmp_path, where, size_m, buffer_km, seed):
    found = given_here(tmp_path, scattered(*where, size_m, seed), size_m, buffer_km=buffer_km)
    assert apart_m(found, *where) >= 0.99 * 1000 * buffer_km  # the sphere is no ellipsoid


@SOME
@given(ANYWHERE, st.sampled_from([480.0, 9960.0]), st.sampled_from([0.06, 2.0]), st.integers(0, 99))
@pytest.mark.slow
def test_by_a_column_neither_do_they(where, size_m, buffer_km, seed):
    at = scattered(*where, size_m, seed)
    columns = {k: getattr(at, k) for k in ("lon", "lat", "epsg", "x0_m", "y0_m")}
    own = np.random.default_rng(seed).choice(["a", "b", "c"], len(at), p=[0.05, 0.05, 0.9])
    ids = [f"p{n}" for n in range(len(at))]
    found = Locations.of_columns({"id": ids, **columns, "size_m": np.full(len(at), size_m), "region": own})
    rule = {"rule": "column", "val": ["a", "b"], "buffer_km": buffer_km}
    raw = EXAMPLE.recipe.model_dump() | {"grid": {"size_m": size_m}, "split": rule}
    side = sides(Recipe.model_validate(raw), found)
    assert ((side == "val") == (own != "c")).all()  # none of val is given up
    assert apart_m((found, side), *where) >= 0.99 * 1000 * buffer_km


def test_sides_are_there_and_as_near_as_they_may_be(tmp_path):
    # A buffer that gives up all of train would hold everything above.
    nearest, sides = [], set()
    for seed in range(5):
        found = given_here(tmp_path, scattered(9.0, 48.0, 960.0, seed, 400), 960.0)
        nearest.append(apart_m(found, 9.0, 48.0))
        sides |= set(found[1].tolist())
    assert sides == {"train", "val", "buffer"}
    assert min(nearest) < 1000


@pytest.mark.parametrize("lonlat", [(179.9, 51.9), (6.0, 50.0), (-71.9, -0.1)])
@pytest.mark.parametrize("size_m", [2640.0, 9960.0])
def test_places_that_cover_a_region_share_no_ground(lonlat, size_m):
    lon, lat = lonlat
    east = (lon + 0.5 + 180) % 360 - 180
    found = drawn(dataset({"sampler": "grid"}, size_m), [from_bbox(f"{lon},{lat},{east},{lat + 0.4}")])
    assert set(found[1].tolist()) >= {"val"}
    assert apart_m(found, lon, lat) >= 50


@pytest.mark.slow
def test_drawn_places_share_no_ground():
    found = drawn(dataset({"sampler": "gaussian-cities", "count": 200, "cities": 1, "std_km": 15.0}, 2640.0))
    lon, lat = found[0].column("lon").mean(), found[0].column("lat").mean()
    assert set(found[1].tolist()) == {"train", "val", "buffer"}
    assert apart_m(found, lon, lat) >= 50


def cells_at(numbers: np.ndarray, **rule) -> Split:
    """Cells with the split that a recipe says."""
    at = era5_cells.grids(numbers)
    spec = Blocks(**({"val_fraction": 0.4, "block_deg": 1.0, "buffer_km": 36.0} | rule))
    columns = {k: getattr(at, k) for k in ("lon", "lat", "epsg", "x0_m", "y0_m")}
    same = {"size_m": np.full(len(numbers), 0.25), "region": ["here"] * len(numbers)}
    found = Locations.of_columns({"id": era5_cells.ids(numbers), **columns, **same})
    return found, sides(CELLS.recipe.model_copy(update={"split": spec}), found)


@SOME
@given(
    st.one_of(st.sampled_from([1, 2, 719, 718]), st.integers(1, 719)),
    st.one_of(st.sampled_from([0, 1439]), st.integers(0, 1439)),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.integers(0, 9),
)
@pytest.mark.slow
def test_cells_share_no_ground_at_the_poles_and_the_antimeridian_either(row, column, block_deg, turn):
    rows = np.clip(np.arange(row - 6, row + 7), 1, 719)
    wide = min(int(8 / max(np.cos(np.radians(rows[6] * 0.25 - 90)), 0.02)), 700)
    columns = (np.arange(column - wide, column + wide + 1, max(wide // 8, 1)) + turn) % 1440
    found = cells_at(np.unique(rows[:, None] * 1440 + columns[None, :]), block_deg=block_deg)
    lon, lat = column * 0.25 - 180, rows[6] * 0.25 - 90
    assert apart_m(found, lon, lat) >= 0.99 * 36_000


def test_a_split_follows_from_the_footprint_whatever_else_is_asked_for(tmp_path):
    every = scattered(-180.0, -17.0, 2640.0, 3)
    found = given_here(tmp_path, every, 2640.0)
    few = given_here(tmp_path, every.take(np.arange(40, 60)), 2640.0)
    assert few[1].tolist() == found[1][40:60].tolist()


def test_a_footprint_that_its_crs_makes_larger_than_its_side_says_is_refused(tmp_path):
    # Polar stereographic, true at 70°N, at the equator: a metre is 0.5 m of ground; LAEA far from its centre shrinks it.
    far = grids.of_grids(np.array([3035]), np.array([9_500_000.0]), np.array([1_000_000.0]), 2640.0)
    with pytest.raises(ConfigError, match=re.escape("its CRS shrinks the ground there") + ".*give it in UTM"):
        given_here(tmp_path, far, 2640.0)
    near = grids.of_grids(np.array([3035]), np.array([4_321_000.0]), np.array([3_210_000.0]), 2640.0)
    assert len(given_here(tmp_path, near, 2640.0)[0]) == 1


def recipe_with(example: Dataset, sources: Sequence[str], **rule) -> Dataset:
    raw = example.recipe.model_dump()
    raw |= {"sources": {k: raw["sources"][k] for k in sources}, "split": rule, "labels": {}}
    if raw["children"]:
        raw["children"]["sources"] = [s for s in raw["children"]["sources"] if s in sources]
    return Dataset(Recipe.model_validate(raw), example.specs, example.path)


@pytest.mark.parametrize(
    ("example", "sources", "least"),
    [
        (EXAMPLE, ["s2l2a", "s1rtc", "dem"], 0.06),
        (EXAMPLE, ["dem"], 0.03),
        (CELLS, ["s2l2a", "dem"], 0.06),
        (CELLS, ["s2l2a", "s3olci"], 1.5),
        (CELLS, ["s2l2a", "s5p-no2"], 36),
    ],
)
def test_a_buffer_below_the_widest_pixel_of_any_source_is_refused_with_what_would_do(example, sources, least):
    for too_small in (0.0, 0.9 * least):
        with pytest.raises(ConfigError, match=re.escape(f"say buffer_km = {least:g}, or more")):
            recipe_with(example, sources, val_fraction=0.1, buffer_km=too_small)
    assert recipe_with(example, sources, val_fraction=0.1, buffer_km=float(least)).recipe.split.buffer_km == least
    for alone in (0.0, 1.0):
        recipe_with(example, sources, val_fraction=alone, buffer_km=0.0)
