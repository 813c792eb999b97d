"""Derived arrays, from a cube to a batch."""

import json
import math
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from curation.cli import main
from curation.format.index import Index
from curation.model import Location
from curation.pack import derive, shard
from curation.places import grid
from curation.recipe.dataset import Dataset, load_dataset
from curation.recipe.schema import Recipe
from tests import world as tiny
from tests.run import Curate

DERIVED = """
[derived]
ndvi = "(s2.b08 - s2.b04) / (s2.b08 + s2.b04)"
ratio = { formula = "10 * log10(s1.vh / s1.vv)", unit = "dB", title = "VH by VV" }
high = "dem.height - 100"
gone = "1 / (dem.height - 123)"
"""


@pytest.fixture(scope="module")
def derived(built: Curate, tmp_path_factory: pytest.TempPathFactory) -> Curate:
    """The tiny world, packed again with derived arrays."""
    folder = tmp_path_factory.mktemp("derived")
    world = tiny.World(folder / "world")
    (world.folder / "places.csv").write_bytes((built.world.folder / "places.csv").read_bytes())
    world.recipe.write_text(tiny.RECIPE + DERIVED)
    mine = Curate(world, folder / "root")
    shutil.copytree(built.root, mine.root)
    flags = ["--dataset", str(world.recipe), "--root", str(mine.root), "--catalog", str(built.world.catalog)]
    assert main.main(["pack", *flags, "--scheduler", "none"]) == 0
    return mine


def index_of(root: Path) -> Index:
    return Index.from_bytes((root / "shards" / "index.json").read_bytes())


@pytest.mark.torch
def test_batches_have_what_numpy_makes_of_the_same_pixels(derived: Curate):
    from curation.stream.open import open_shards

    samples = list(open_shards(str(derived.folder / "shards"), "train"))
    assert len(samples) == 7
    for sample in samples:
        optical = sample["s2l2a_10m"].numpy().astype(np.float64)
        red, nir = optical[:, 2:3], optical[:, 3:4]
        np.testing.assert_allclose(sample["ndvi"].numpy(), (nir - red) / (nir + red), rtol=1e-6)
        vv, vh = (sample["s1rtc_10m"].numpy()[:, n : n + 1].astype(np.float64) / 100 for n in (0, 1))
        assert np.abs(sample["ratio"].numpy() - (vh - vv)).max() < 0.011  # of power, before it is rounded to hundredths
        assert sample["ndvi_ok"].tolist() == sample["ratio_ok"].tolist() == [True, True]
        assert sample["ndvi_time"].tolist() == sample["s2l2a_time"].tolist()
        assert sample["ratio_time"].tolist() == sample["s1rtc_time"].tolist()  # which the formula names first
        assert sample["high"].shape == (1, 16, 16)
        assert (sample["high"] == 23).all()
        assert (sample["gone"] == derive.NODATA).all()  # divided by zero


def test_the_index_says_what_it_is_and_counts_what_is_valid_alone(derived: Curate, built: Curate):
    index = index_of(derived.folder)
    entry = index.arrays["ndvi"]
    assert (entry.source, entry.seasons, entry.unit, entry.res_m) == ("ndvi", ("summer", "autumn"), "1", 10)
    assert index.arrays["ratio"].unit == "dB"
    assert index.sources["ratio"].title == "ratio: VH by VV"
    assert index.sources["ndvi"].licence == index.sources["s2l2a"].licence
    assert index.statistics["high"]["high"].mean == 23
    assert index.statistics["gone"]["gone"].count == 0
    assert index.release_digest != index_of(built.folder).release_digest


def test_what_was_there_stays_and_the_whole_is_verified(derived: Curate, built: Curate, capsys):
    old, new = index_of(built.folder), index_of(derived.folder)
    assert {n: a for n, a in new.arrays.items() if n in old.arrays} == old.arrays
    assert {n: s for n, s in new.statistics.items() if n in old.arrays} == old.statistics
    assert main.main(["verify", "--dataset", str(derived.world.recipe), "--root", str(derived.root)]) == 0, (
        capsys.readouterr()
    )


def test_a_sample_tells_scenes_and_time_of_what_it_was_derived_of(derived: Curate):
    with tarfile.open(min((derived.folder / "shards" / "train").glob("*.tar"))) as tar:
        meta = json.load(tar.extractfile(next(iter(tar))))
    summer = meta["seasons"]["summer"]["sources"]
    assert summer["ndvi"] == {"valid_fraction": 1, **{k: summer["s2l2a"][k] for k in ("scenes", "time")}}
    assert summer["ratio"]["scenes"] == summer["s1rtc"]["scenes"]
    assert meta["static"]["sources"]["gone"] == {
        "valid_fraction": 0,
        "scenes": meta["static"]["sources"]["dem"]["scenes"],
    }


def test_what_is_derived_of_children_is_told_of_each_child():
    cells = load_dataset("ssl4eo-s")
    raw = cells.recipe.model_dump() | {"derived": {"ndvi": "(s2.b08 - s2.b04) / (s2.b08 + s2.b04)"}}
    dataset = Dataset(Recipe.model_validate(raw), cells.specs, Path("recipe.toml"))
    assert shard.array_entries(dataset)["ndvi"].of_children

    def place(sources: dict) -> dict:
        return {"static": {"sources": {}}, "seasons": {"summer": {"sources": sources}}}

    first, second = ({"s2l2a": {"scenes": [name], "time": "2021-07-10T10:30:00Z"}} for name in "ab")
    meta = place({}) | {"children": [place(first), place(second)]}
    pixels = np.full((1, 2, 2), np.float32(0.5))
    pixels[0, 0, 0] = derive.NODATA
    derive.add_facts(meta, {"child1.ndvi.summer": pixels}, "npy", dataset)
    assert second["ndvi"] == {"valid_fraction": 0.75, "scenes": ["b"], "time": "2021-07-10T10:30:00Z"}
    assert "ndvi" not in first
    assert not meta["seasons"]["summer"]["sources"]


def test_what_has_no_data_or_no_number_is_nodata_and_no_value_is_taken_for_it(built: Curate, tmp_path):
    (tmp_path / "places.csv").write_bytes((built.world.folder / "places.csv").read_bytes())
    (tmp_path / "recipe.toml").write_text(
        tiny.RECIPE + DERIVED + 'same = "dem.height * -1"\nslope = { terrain = "slope" }\n'
    )
    dataset = load_dataset(str(tmp_path / "recipe.toml"))
    x, y = tiny.corner(0, 0)
    lon, lat = grid.transformer(tiny.EPSG, 4326).transform(x, y)
    place = Location("p", lon, lat, tiny.EPSG, x, y, tiny.SIZE_M, "europe")
    optical = np.zeros((4, 48, 48), "uint16")
    optical[2:, 1:] = np.array([[1000], [3000]])[..., None]
    optical[3, 5, 5] = 0  # nodata of one band
    found = derive.calculated(dataset.derived["ndvi"], {"s2l2a_10m": optical}, place, {})
    assert found is not None
    assert found.dtype == np.float32
    want = np.full((1, 48, 48), np.float32(0.5))
    want[0, 0] = want[0, 5, 5] = derive.NODATA
    np.testing.assert_array_equal(found, want)
    heights = np.full((1, 16, 16), 32768.0, "float32")
    heights[0, :, 3] = -32768
    same = derive.calculated(dataset.derived["same"], {"dem_30m": heights}, place, {})
    assert same is not None
    assert (same != derive.NODATA).sum() == 15 * 16
    assert math.isclose(same.max(), -32768, rel_tol=1e-6)
    steep = derive.calculated(dataset.derived["slope"], {"dem_30m": heights}, place, {})
    assert steep is not None
    assert set(np.unique(steep).tolist()) == {derive.NODATA, 0.0}  # nothing of the void's number
    heights[0, 0, 0] = 123
    gone = derive.calculated(dataset.derived["gone"], {"dem_30m": heights}, place, {})
    assert gone is not None
    assert gone[0, 0, 0] == derive.NODATA  # divided by zero
    assert derive.calculated(dataset.derived["ratio"], {"dem_30m": heights}, place, {}) is None
