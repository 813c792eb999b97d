"""Many seasons by a rule: what is built, why nothing is packed, what is to be written, and the page and batches of them."""

from pathlib import Path

import pytest

import curation
from curation.errors import ConfigError
from curation.stream.open import open_shards
from tests import world as tiny

RULE = "every 10 days from 2021-06-01 to 2021-11-01"
HELD = {"2021-07-01", "2021-07-11", "2021-10-09"}
"""Those of its 16 seasons in which the tiny world has a scene."""
RECIPE = f"""
name = "many"
title = "Many seasons"
seed = 7
seasons = "{RULE}"
grid = {{ size_px = 32, res_m = 10 }}
places = {{ sampler = "file", file = "places.csv" }}
sources = {{ s2l2a = {{ bands = ["B02", "B8A"] }} }}
split = {{ val_fraction = 0.0 }}
"""


@pytest.fixture(scope="module")
def recipe(world: tiny.World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three places, built: the cloud of the second date lies over two of them."""
    own = world.from_afar(tmp_path_factory.mktemp("many") / "world")
    corners = [tiny.corner(1, 1), tiny.corner(3, 2), tiny.corner(1, 3)]
    lines = [f"{x},{y},{tiny.EPSG}" for x, y in corners]
    (own.folder / "places.csv").write_text("\n".join(["x0_m,y0_m,epsg", *lines]) + "\n")
    own.recipe.write_text(f'{RECIPE}[search]\nlocal = ["{world.folder}"]\n')
    made(own.recipe).build()
    return own.recipe


def made(recipe: Path) -> curation.DatasetFolder:
    return curation.load(recipe, recipe.parent / "root", catalog=str(recipe.parent / "items.json"), scheduler="none")


def test_where_no_place_has_every_season_it_is_said_what_each_has_and_what_to_write(recipe: Path):
    with pytest.raises(ConfigError) as caught:
        made(recipe).pack()
    said = str(caught.value)
    assert "found no location that is complete, of 3: incomplete:2021-06-01 (" in said
    assert 'write complete = "any" in [pack], by which 3 locations would be samples' in said
    assert "Patches that are ok: 2021-06-01 0, 2021-06-11 0, 2021-06-21 0, 2021-07-01 3, 2021-07-11 1, " in said


@pytest.mark.slow
def test_the_others_are_masked_in_batches_and_the_page_shows_them_all(recipe: Path):
    recipe.write_text(recipe.read_text().replace("[search]", '[pack]\ncomplete = "any"\n[search]'))
    own = made(recipe)
    own.pack()
    assert own.verify().ok
    train = open_shards(recipe.parent / "root" / "many", batch_size=3)
    batch = next(iter(train))
    names = list(own.dataset.recipe.seasons)
    assert len(names) == 16
    assert batch["s2l2a_10m"].shape == (3, 16, 1, 32, 32)
    assert batch["s2l2a_20m"].shape == (3, 16, 1, 16, 16)
    held = batch["season_ok"]
    assert {names[i] for i in held.any(0).nonzero().flatten().tolist()} == HELD
    assert (batch["s2l2a_10m"][~held] == 0).all()
    assert (batch["s2l2a_10m"][held] != 0).all()
    assert (batch["s2l2a_time"][held] > 0).all()
    page = own.report()._repr_html_()
    assert all(name in page for name in names)
