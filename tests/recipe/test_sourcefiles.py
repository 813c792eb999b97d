"""Sources of a user's own, beside a recipe: they override or add, and are part of what the dataset is."""

from __future__ import annotations

from pathlib import Path

import pytest

from curation.errors import ConfigError
from curation.recipe import files, sourcefiles
from curation.recipe.catalogs import Catalogs, pixels_digest, pixels_parts, resolve
from curation.recipe.dataset import Dataset, load_dataset
from curation.recipe.digests import changes
from tests.run import Curate

QUERIES = files.folder("stac_queries")
STARTER = (files.folder("manifests") / "starter/recipe.toml").read_text()


def dataset(folder: Path, recipe: str = STARTER, **own: str) -> Dataset:
    """The starter recipe, with sources of its own: name → TOML."""
    (folder / "sources").mkdir(exist_ok=True)
    for name, text in own.items():
        (folder / "sources" / f"{name}.toml").write_text(text)
    (folder / "recipe.toml").write_text(recipe)
    return load_dataset(str(folder))


def text(name: str) -> str:
    return (QUERIES / f"{name}.toml").read_text()


CATALOGS = Catalogs(resolve("planetary-computer"))


def test_a_source_beside_the_recipe_comes_before_the_one_that_is_shipped_and_changes_the_digest(tmp_path):
    shipped = dataset(tmp_path)
    own = dataset(tmp_path, dem=text("dem").replace("nodata = -32768", "nodata = -9999"))
    assert own.specs["dem"].arrays[0].nodata == -9999
    assert own.specs["s2l2a"] == shipped.specs["s2l2a"]
    (said,) = changes(pixels_parts(shipped, CATALOGS), pixels_parts(own, CATALOGS))
    assert said.startswith("sources.dem (stac_queries).arrays was ")
    same = dataset(tmp_path, dem=text("dem"))  # who copies a file has the same dataset
    assert pixels_digest(same, CATALOGS) == pixels_digest(shipped, CATALOGS)


def test_a_source_that_nobody_ships_is_one_like_any_other_and_told_as_ones_own(tmp_path):
    soil = text("dem").replace('name = "dem"', 'name = "soil"').replace('kind = "elevation"', 'kind = "optical"')
    made = dataset(tmp_path, STARTER.replace("s2l2a = {}", "soil = {}\ns2l2a = {}"), soil=soil, dem=text("dem"))
    assert made.specs["soil"].arrays[0].bands == ["height"]
    told = sourcefiles.of_ones_own(made.recipe.sources, made.path)
    assert told == ("Sources of your own: soil (sources/soil.toml), dem (sources/dem.toml, in place of stac_queries/).")
    assert sourcefiles.of_ones_own(load_dataset("starter").recipe.sources, load_dataset("starter").path) == ""


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"dem": text("dem") + "colour = 1\n"}, "sources/dem.toml: [catalogs.cdse] colour: no such key"),
        ({"dem": text("dem").replace('"dem"', '"dme"')}, "sources/dem.toml: name = 'dme': expected 'dem', as its file"),
        ({"dem": "name = "}, "sources/dem.toml: not TOML"),
        # What names code is found among the files of this package alone.
        (
            {"dem": text("dem").replace('"elevation"', '"..os"')},
            "sources/dem.toml: kind = '..os': no such name '..os'; known: classes, ",
        ),
    ],
)
def test_what_is_wrong_names_the_file(tmp_path, own, expected):
    with pytest.raises(ConfigError) as err:
        dataset(tmp_path, **own)
    assert str(err.value).startswith(f"{tmp_path}/{expected}")


def test_a_misspelt_name_is_looked_for_among_ones_own_too(tmp_path):
    soil = text("dem").replace('name = "dem"', 'name = "soil"')
    with pytest.raises(ConfigError, match=r"\[sources.sol\]: no such source; did you mean soil\? known sources: dem, "):
        dataset(tmp_path, STARTER.replace("s2l2a = {}", "sol = {}\ns2l2a = {}"), soil=soil)


def test_a_dry_run_tells_which_sources_are_ones_own(world, tmp_path, capsys):
    made = world.from_afar(tmp_path / "afar")
    (made.folder / "sources").mkdir()
    (made.folder / "sources/dem.toml").write_text(text("dem"))
    assert Curate(made, tmp_path / "root")("build", "--dry-run") == 0
    assert "Sources of your own: dem (sources/dem.toml, in place of stac_queries/)." in capsys.readouterr().out
