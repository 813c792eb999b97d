"""The recipe of floods on rasters with known answers: each pixel is of the image it is called after, and in its place."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import shapely
import xarray as xr

from curation.format.payload import decode
from curation.model import Location
from curation.pack import terrain
from curation.places import grid
from curation.read.reader import Asset, Reader
from curation.recipe.dataset import load_dataset
from tests import floods
from tests.floods import Floods
from tests.processes import started
from tests.run import TOLD, ended
from tests.world import World

pytestmark = pytest.mark.slow  # two seconds for what is made

SEASONS = ("pre2", "pre1", "post")
SQUARES = {f"{event}-{n}": first + n for event, (first, end) in floods.EVENTS.items() for n in range(end - first)}
"""Id of each place → its square."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Floods:
    """Built and packed."""
    its = floods.make(tmp_path_factory.mktemp("floods"))
    assert [its(), its("pack")] == [0, 0]
    return its


@pytest.fixture(scope="module")
def samples(made: Floods) -> pd.DataFrame:
    """The table of samples of both sides, by id."""
    sides = (pq.read_table(made.folder / f"shards/{side}/samples.parquet").to_pandas() for side in ("train", "val"))
    return pd.concat(side.assign(split=name) for side, name in zip(sides, ("train", "val"), strict=True)).set_index(
        "id"
    )


@pytest.fixture(scope="module")
def pixels(made: Floods) -> dict[str, dict[str, np.ndarray]]:
    """Id of a sample → name of an array (`s1post_10m.post`) → its pixels, as shards have them."""
    out: dict[str, dict[str, np.ndarray]] = {}
    for path in sorted(made.folder.glob("shards/*/*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, rest = member.name.partition(".")
                name = rest.partition(".npy")[0]
                if name != rest:
                    data = tar.extractfile(member)
                    assert data is not None
                    out.setdefault(key, {})[name] = decode(data.read(), "npy.blosc", member.name)
    return out


def dropped(made: Floods) -> dict[str, str]:
    """Id of what became no sample → why."""
    table = pq.read_table(made.folder / "manifest/dropped.parquet").to_pandas()
    return dict(zip(table.id, table.reason, strict=True))


def image_of(square: int, season: str) -> str:
    """The image that a season is to have there: where one lacks a pixel, the one before it stands in."""
    if ("pre1", square) in floods.HOLES:
        return {"pre1": "pre2", "pre2": "decoy-older"}.get(season, season)
    return season


def test_each_image_is_the_one_it_is_called_after_to_the_pixel(pixels):
    assert len(pixels) == 5
    for name, arrays in pixels.items():
        for season in SEASONS:
            want = floods.crop(image_of(SQUARES[name], season), SQUARES[name])
            np.testing.assert_array_equal(arrays[f"s1{season}_10m.{season}"], want, err_msg=f"{name} {season}")


def test_images_are_after_and_twice_before_of_one_orbit_and_none_of_the_day_itself(made):
    for season in SEASONS:
        cube = xr.open_zarr(made.folder / f"cubes/world/{season}.zarr").load()
        for k, name in enumerate(cube.id.values.tolist()):
            if cube.status.values[k] != 1:
                continue
            when, orbit, _ = floods.PASSES[image_of(SQUARES[name], season)]
            assert cube[f"s1{season}_time"].values[k] == np.datetime64(when)
            assert cube[f"s1{season}_relative_orbit"].values[k] == orbit == 95


def test_labels_are_the_pixels_within_their_edges_and_nodata_outside_of_what_was_mapped(pixels):
    found = set()
    for name, arrays in pixels.items():
        labels = arrays["water_10m.post"][0]
        np.testing.assert_array_equal(labels, floods.labels(name.partition("-")[0], SQUARES[name]), err_msg=name)
        found |= set(labels.ravel().tolist())
    assert found == {0, 1, 2, 3}


def test_where_an_image_lacks_a_pixel_another_stands_in_or_there_is_no_sample(made, pixels):
    # Of `pre1` the one before stands in (`image_of`); labels are of the image after, for which no other does.
    assert dropped(made)["one-1"] == "incomplete:post (nodata:s1post)"
    assert "one-1" not in pixels
    for arrays in pixels.values():
        images = [values for name, values in arrays.items() if name.startswith("s1")]
        assert len(images) == 3
        assert all((image > 0).all() for image in images)
    stated = json.loads((made.folder / "shards/index.json").read_text())["statistics"]
    assert all(band["min"] > 0 for name, its in stated.items() if name.startswith("s1") for band in its.values())


def test_a_plane_has_one_slope_where_tiles_of_the_dem_meet_and_beside_a_void_of_it(made, pixels):
    assert "far-2" in pixels  # which 12° east runs through
    for name, arrays in pixels.items():
        known = arrays["slope"] != -32768
        assert known.all() == (SQUARES[name] != floods.VOID)
        assert known.mean() > 0.998
        assert np.abs(arrays["slope"][known] - floods.RISE).max() < 1e-3
    stated = json.loads((made.folder / "shards/index.json").read_text())["statistics"]
    assert stated["dem_10m"]["height"]["min"] > 2_000
    assert abs(stated["slope"]["slope"]["max"] - floods.RISE) < 1e-3


STEP = {0: 1.0, 44: 1.0, 45: 1.0, 49: 1.0, 50: 1.5, 59: 1.5, 60: 2.0, -1: 1.0}
"""Latitude of a tile's southern edge → arc seconds from column to column: those of GLO-30."""


@pytest.mark.parametrize("lat", [0.5, 0.0, 45.0, 50.0, 60.0])
def test_a_seam_of_tiles_and_of_their_latitude_bands_does_not_show_in_slope(tmp_path: Path, lat: float):
    epsg, x0, y0 = grid.snapped(12.0, lat, floods.SIDE)
    lon, middle = grid.transformer(epsg, 4326).transform(x0 + floods.SIDE / 2, y0 - floods.SIDE / 2)
    at, world, tiles = Location("p", lon, middle, epsg, x0, y0, floods.SIDE, "r"), World(tmp_path), []
    box = (lon - 0.06, middle - 0.03, lon + 0.06, middle + 0.03)
    for west in (11, 12):
        for south in {int(np.floor(edge)) for edge in box[1::2]}:
            place, height, width = floods.tile(west, south, STEP[south] / 3600, box)
            data = floods.heights(place, height, width, (lon, middle))
            tiles.append(Asset(str(tmp_path / world.raster(f"{west}-{south}.tif", data, place, "EPSG:4326")), "none"))
    assert len(tiles) == (2 if lat == 0.5 else 4)
    array = load_dataset("kuro-siwo").specs["dem"].arrays[0].model_copy(update={"res_m": 10.0})
    for order in (tiles, tiles[::-1]):
        with Reader("") as reader:
            heights, _ = reader.read(order, array, at)
        found = terrain.slope(heights.astype(np.float64), grid.ground_axes(at, 10.0))
        assert np.abs(found - floods.RISE).max() < 1e-3


def test_no_event_is_on_both_sides_and_none_within_the_buffer_of_the_other_side(made, samples):
    assert samples.groupby("event").split.nunique().to_dict() == {"one": 1, "far": 1}
    assert {*samples[samples.event == "one"].split} == {"val"}
    ground = {
        side: shapely.union_all([shapely.box(s * floods.SIDE, 0, (s + 1) * floods.SIDE, floods.SIDE) for s in squares])
        for side, squares in samples.assign(square=samples.index.map(SQUARES)).groupby("split").square
    }
    assert shapely.distance(ground["train"], ground["val"]) >= 5_000
    # `near` would be of train, and would share no ground with `one`: it lies within the buffer.
    assert dropped(made)["near-0"] == "buffer"


def test_an_event_that_has_no_sample_is_told_by_name(made, capsys):
    assert made("pack") == 0
    said = capsys.readouterr().err
    assert "column 'flood': 'flood-near' has no sample: buffer 1" in said
    assert "flood-one" not in said
    assert "flood-far" not in said
    assert dropped(made) == {
        "near-0": "buffer",
        "one-0": "little_covered",
        "one-1": "incomplete:post (nodata:s1post)",
    }


KILLED = """
import os, signal
from curation.store import objects
real, calls = objects.Store.publish, []
def publish(self, key, data):
    calls.append(key)
    if len(calls) == {n}:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, key, data)
objects.Store.publish = publish
"""
"""Kills the process as it is about to publish its n-th object."""


def test_a_job_that_is_killed_goes_on_and_ends_with_the_same_bytes(made: Floods, tmp_path: Path):
    mine = Floods(made.world, tmp_path / "root")
    for verb, n in (("build", 25), ("pack", 2)):
        command = mine.arguments(verb)
        code = (
            f"{TOLD}import sys\nfrom curation.cli.main import main\n{KILLED.format(n=n)}\nsys.exit(main({command!r}))\n"
        )
        with started([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            said = ended(process)
        assert process.returncode == -signal.SIGKILL, said[-2000:]
        assert mine(verb) == 0
    assert mine("verify") == 0
    assert mine.hashes() == made.hashes()
