"""Monthly means of ERA5 as an annotation: what each sample has, what a release knows of its origin, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from curation.cubes import selection
from curation.errors import ConfigError
from curation.format.index import Index
from curation.pack.annotate import foreseen
from curation.pack.annotations.era5_monthly import Means
from curation.read import monthly
from curation.recipe.dataset import load_dataset
from curation.store.objects import Store
from curation.stream.open import open_shards
from tests import world as tiny
from tests import zarrs
from tests.pack.test_annotate import checked, embedded, own
from tests.run import Curate

VARIABLES = {"2m_temperature": "K", "total_precipitation": "m"}
CLIMATE = """
[annotations.climate]
function = "era5_monthly"
type = "numbers"
shape = [12, 2]
[annotations.climate.zarr]
url = "monthly.zarr"
variables = { 2m_temperature = "K", total_precipitation = "m" }
years = [2021]
"""


def with_climate(built: Curate, tmp_path: Path, recipe: str = CLIMATE) -> tuple[Curate, Path]:
    """The built world with the annotation, and the folder of its store."""
    mine = own(built, tmp_path, recipe)
    return mine, zarrs.write(around(built), mine.world.folder / "monthly.zarr")


def around(built: Curate) -> xr.Dataset:
    """A grid with so narrow cells around the tiny world that most places have one of their own."""
    places = selection.everywhere(built.dataset, built.store)
    lon, lat = (places.column(name) for name in ("lon", "lat"))
    step = 0.004
    return zarrs.dataset(
        np.arange(lat.max() + 0.1, lat.min() - 0.1, -step), np.arange(lon.min() - 0.1, lon.max() + 0.1, step)
    )


def index_of(mine: Curate) -> Index:
    return Index.from_bytes((mine.folder / "shards" / "index.json").read_bytes())


def climates(folder: Path) -> dict[str, np.ndarray]:
    batches = list(open_shards(folder, batch_size=3, shuffle=False))
    return {k: v for b in batches for k, v in zip(b["key"], b["climate"].numpy(), strict=True)}


@pytest.mark.slow
def test_each_sample_has_the_months_of_its_place(built: Curate, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    mine, zarr = with_climate(built, tmp_path)
    assert mine("pack") == 0
    found = climates(mine.folder)
    index = index_of(mine)
    places = {p.id: p for p in selection.everywhere(mine.dataset, mine.store)}
    for key, values in found.items():
        place = places[key]
        truth = monthly.read(Store(zarr), np.array([place.lon]), np.array([place.lat]), VARIABLES, [2021]).values[0]
        assert np.array_equal(values, truth)
    assert len({v.tobytes() for v in found.values()}) > 1
    its = index.counts["read"]["climate"]
    assert its["variables"] == VARIABLES
    told = index.annotations["climate"]
    assert told.names == tuple(VARIABLES)
    assert [(b.name, b.kind, b.unit) for b in told.canonical] == [
        ("era5.t2m", "climate", "K"),
        ("era5.tp", "climate", "m"),
    ]
    assert (its["zarr"], its["cell"], its["years"], its["missing"]) == ("monthly.zarr", "nearest", [2021], {})
    assert mine("verify") == 0
    assert mine("report") == 0
    assert "pack again" not in (mine.folder / "report.html").read_text()

    first = mine.hashes()
    moved = mine.world.folder / "elsewhere"
    shutil.move(zarr, moved)
    text = mine.world.recipe.read_text()
    mine.world.recipe.write_text(text.replace('"monthly.zarr"', '"elsewhere"'))
    assert mine("pack") == 0
    again = mine.hashes()
    assert [k for k in first if first[k] != again[k]] == ["shards/index.json"]  # which tells what it is called
    assert index_of(mine).release_digest == index.release_digest

    made = around(built)
    made["2m_temperature"][15] = np.nan  # April 2021
    shutil.rmtree(moved)
    zarrs.write(made, moved)
    capsys.readouterr()
    assert mine("pack") == 0
    other = index_of(mine)
    assert other.release_digest != index.release_digest
    assert other.counts["read"]["climate"]["missing"] == {"no_value": len(found)}
    assert "some values are missing, NaN: no_value" in capsys.readouterr().err
    for key, values in climates(mine.folder).items():
        assert np.isnan(values[3, 0])
        assert np.array_equal(np.delete(values.ravel(), 6), np.delete(found[key].ravel(), 6))


@pytest.mark.slow
def test_a_store_that_is_not_as_the_recipe_says_packs_nothing(
    built: Curate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    mine, zarr = with_climate(built, tmp_path, CLIMATE.replace("2021", "2024"))
    before = mine.hashes()
    assert mine("build") == 0
    assert "annotation climate: as things are, pack will refuse it: " in capsys.readouterr().err
    assert mine("pack") == 1
    assert "0 steps of 2024-01, expected one" in capsys.readouterr().err
    shutil.rmtree(zarr)
    assert mine("pack") == 1
    assert "is no Zarr store" in capsys.readouterr().err
    assert mine.hashes() == before


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "shape = [12, 2]",
            "shape = [2, 12]",
            r"expected 'numbers' and \[12, 2\]: months, and the variables 2m_temperature",
        ),
        ('type = "numbers"', 'type = "vectors"', "expected 'numbers'"),
        ('function = "era5_monthly"', 'function = "caption"', r"annotations.climate.zarr. is for 'era5_monthly' alone"),
        ("[annotations.climate.zarr]", "[annotations.other.zarr]", r"\[annotations.other\] function: missing"),
        ("years = [2021]", "years = [21]", "years: 21: expected years from 1900 to 2100, each once"),
        ("years = [2021]", "years = [2021, 2021]", "years: 2021: expected years"),
        ("years = [2021]", "year = [2021]", "did you mean"),
    ],
)
def test_a_recipe_that_cannot_mean_it_is_refused(tmp_path: Path, old: str, new: str, says: str):
    world = tiny.World(tmp_path)
    world.recipe.write_text(tiny.RECIPE + CLIMATE.replace(old, new))
    with pytest.raises(ConfigError, match=says):
        checked(world.recipe)


def test_means_are_lists_of_a_sample_alone_and_none_where_there_are_none():
    values = np.arange(3 * 12 * 2.0).reshape(3, 12, 2)
    values[1, 4, 0] = np.nan
    means = Means(["b", "a", "c"], values)
    assert (list(means), len(means)) == (["b", "a", "c"], 3)
    assert means["a"][4] == [None, 33.0]
    assert json.loads(json.dumps(means["c"])) == values[2].tolist()
    with pytest.raises(KeyError):
        means["d"]


def test_what_packing_would_refuse_is_foreseen_without_a_sample(tmp_path: Path):
    world = tiny.World(tmp_path)
    trees = '[annotations.genus]\nfunction = "classes_within"\ntype = "numbers"\nshape = [1]\n'
    world.recipe.write_text(tiny.RECIPE + CLIMATE + trees)

    def lines() -> list[str]:
        dataset = load_dataset(str(world.recipe))
        return foreseen(dataset, embedded(dataset))

    climate, genus = lines()
    assert climate.startswith("annotation climate: as things are, pack will refuse it: ")
    assert "monthly.zarr: is no Zarr store" in climate
    assert genus.startswith("annotation genus: as things are, pack will refuse it: ")
    assert "names no table" in genus
    zarr = zarrs.write(zarrs.dataset(first="2019-01"), tmp_path / "monthly.zarr")
    assert "0 steps of 2021-01, expected one" in lines()[0]
    shutil.rmtree(zarr)
    zarrs.write(zarrs.dataset(), zarr)
    assert lines() == [genus]


def test_a_recipe_without_a_store_is_told_what_to_say(tmp_path: Path):
    world = tiny.World(tmp_path)
    world.recipe.write_text(tiny.RECIPE + CLIMATE.partition("[annotations.climate.zarr]")[0])
    with pytest.raises(ConfigError, match=r"names no store: say \[annotations.climate.zarr\] url, variables and years"):
        checked(world.recipe)


def test_where_the_store_lies_is_in_no_digest_and_what_is_read_of_it_is(tmp_path: Path):
    def digest(recipe: str) -> str:
        world = tiny.World(tmp_path)
        world.recipe.write_text(tiny.RECIPE + recipe)
        return load_dataset(str(world.recipe)).release_digest()

    own = digest(CLIMATE)
    assert digest(CLIMATE.replace('"monthly.zarr"', '"https://host/era5.zarr"')) == own
    assert digest(CLIMATE + '[annotations.climate.zarr.by_catalog]\nembedded = "x"\n') == own
    assert digest(CLIMATE.replace("[2021]", "[2020, 2021]")) != own
