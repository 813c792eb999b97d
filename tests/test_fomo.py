"""Forests on the embedded Earth, looked at from outside: the recipe as it is shipped, of fewer places and one season."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from curation.cli import main
from curation.embedded.service import era5
from curation.format.index import Index
from curation.recipe.files import folder as shipped
from curation.stream.open import open_shards
from tests.once import one_at_a_time

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # what is made once takes a minute, beside other tests more

PLACES = """id,lon,lat
rhine-wood,6.061,51.230
rhine-edge,6.083,51.160
rhine-field,6.122,51.402
paulo-wood,-46.756,-23.457
paulo-grove,-46.651,-23.493
paulo-town,-46.694,-23.617
"""
TREELESS = {"rhine-field", "paulo-town"}
"""Of which the map has less than a fifth of trees."""
GIVEN = """[places]
sampler = "file"
file = "places.csv"

"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped one, of places that are given and of one season."""
    recipe = tmp_path_factory.mktemp("recipe") / "fomo"
    shutil.copytree(shipped("manifests") / "fomo", recipe)
    text = (recipe / "recipe.toml").read_text()
    text, count = re.subn(r"\[places\]\n.*?(?=\[seasons\])", GIVEN, text, flags=re.DOTALL)
    text, seasons = re.subn(r"^bare = .*\n", "", text, flags=re.MULTILINE)
    assert (count, seasons) == (1, 1)
    (recipe / "recipe.toml").write_text(text)
    (recipe / "places.csv").write_text(PLACES)
    return recipe


@pytest.fixture(scope="module")
def made(recipe: Path, rendering: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    where = ["--dataset", str(recipe), "--root", str(root), "--catalog", "embedded", "--scheduler", "none"]
    with one_at_a_time(rendering):
        assert main.main(["build", *where]) == 0
    assert main.main(["pack", *where]) == 0
    return root / "fomo"


@pytest.fixture(scope="module")
def samples(made: Path) -> dict[str, dict[str, np.ndarray]]:
    """Key → entry → what batches of both splits have."""
    out = {}
    for split in ("train", "val"):
        for batch in open_shards(made, split, batch_size=2, shuffle=False):
            arrays = {k: v.numpy() for k, v in batch.items() if hasattr(v, "numpy")}
            out |= {key: {n: a[k] for n, a in arrays.items()} for k, key in enumerate(batch["key"])}
    return out


@pytest.fixture(scope="module")
def places(made: Path) -> dict[str, tuple[float, float]]:
    """Key of each sample → longitude and latitude."""
    tables = [pq.read_table(f, columns=["id", "lon", "lat"]).to_pylist() for f in made.glob("shards/*/samples.parquet")]
    return {row["id"]: (row["lon"], row["lat"]) for rows in tables for row in rows}


def test_places_with_little_forest_are_dropped_and_told(made: Path, samples):
    dropped = {d["id"]: d["reason"] for d in pq.read_table(made / "manifest/dropped.parquet").to_pylist()}
    assert {k for k, reason in dropped.items() if reason == "incomplete:static (few_of_class:worldcover)"} == TREELESS
    assert len(samples) >= 2
    assert not TREELESS & set(samples)
    for key, its in samples.items():
        trees = np.isin(its["worldcover_10m"], [10, 95]).mean()
        assert trees >= 0.2, key


def test_a_sample_has_all_sensors_at_their_own_metres(samples):
    for its in samples.values():
        shapes = {n: its[n].shape[-3:] for n in its if n.endswith("m")}
        assert shapes == {
            "s2l2a_10m": (4, 128, 128),
            "s2l2a_20m": (6, 64, 64),
            "s2l2a_60m": (2, 22, 22),
            "s2l2a_scl_20m": (1, 64, 64),
            "s1rtc_10m": (2, 128, 128),
            "dem_30m": (1, 43, 43),
            "worldcover_10m": (1, 128, 128),
        }


def test_the_climate_is_that_of_the_nearest_node(samples, places):
    lon, lat = era5.nodes()
    for key, its in samples.items():
        x, y = places[key]
        row, column = np.abs(lat - y).argmin(), np.abs((lon - x + 180) % 360 - 180).argmin()
        for month in range(12):
            truth = [era5.month(n, 12 + month)[row, column] for n in (era5.TEMPERATURE, era5.PRECIPITATION)]
            assert its["climate"][month].tolist() == [float(v) for v in truth]


def test_genera_are_those_of_the_table_near_the_place(made: Path, samples, places):
    trees = pd.read_csv(shipped("manifests") / "fomo" / "trees.csv")
    index = Index.from_bytes((made / "shards/index.json").read_bytes())
    classes = index.counts["read"]["genus"]["classes"]
    seen = 0
    for key, (lon, lat) in places.items():
        its = samples[key]
        within = trees[(abs(trees.longitude - lon) < 0.0085) & (abs(trees.latitude - lat) < 0.0053)]
        assert bool(its["genus_ok"]) == (len(within) > 0)
        if len(within):  # all rows of a place lie well within its footprint, of which this is a part
            assert its["genus"].tolist() == [int((within.genus == c).sum()) for c in classes]
            seen += 1
    assert seen >= 1


def test_every_byte_is_as_recorded(recipe: Path, made: Path):
    assert main.main(["verify", "--dataset", str(recipe), "--root", str(made.parent)]) == 0
