"""A new rule of the split, as somebody would write it: one file beside the others, and the recipe that names it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from curation.errors import ConfigError
from curation.pack import split, splits
from curation.recipe.dataset import load_dataset
from tests import world as tiny
from tests.run import Curate

IN_SEASON = '''
"""What was found in one of the recipe's seasons is val, what in another train."""

from typing import Literal

import numpy as np
import pyarrow.compute as pc

from curation.pack.sides import Rule, buffered_sides


class InSeason(Rule):
    """By the season that a date of the location lies in."""

    rule: Literal["in-season"]
    date: str
    season: str

    @property
    def columns(self):
        return (self.date,)

    def check(self, recipe):
        super().check(recipe)
        if self.season not in recipe.seasons:
            raise ValueError(f"split.season = {self.season!r}: expected one of {list(recipe.seasons)}")

    def sides(self, places, recipe):
        its, dates = recipe.seasons[self.season], places.table[self.date]
        within = pc.and_(pc.greater_equal(dates, its.start), pc.less(dates, its.end))
        return buffered_sides(places, np.asarray(within.combine_chunks().fill_null(False), dtype=bool), recipe)

    def unmatched(self, places):
        return [] if places.table[self.date].null_count == 0 else ["date: some location here has none: it is train"]
'''


@pytest.fixture
def rewritten(built: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Curate]:
    """Gives a copy of the tiny dataset with another rule, of which the first place has a date in autumn, and one none."""
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits/in_season.py").write_text(IN_SEASON)
    monkeypatch.setattr(splits, "__path__", [*splits.__path__, str(tmp_path / "splits")])
    shutil.copytree(built.world.folder, tmp_path / "own")
    world = tiny.World(tmp_path / "own")
    places = pd.read_csv(tmp_path / "own/places.csv")
    places["found"] = ["2021-09-01", None, *["2021-08-31"] * (len(places) - 2)]
    places.to_csv(tmp_path / "own/places.csv", index=False)

    def rewrite(rule: str) -> Curate:
        recipe = tiny.RECIPE.replace('file = "places.csv"', 'file = "places.csv"\ncolumns = ["found"]')
        world.recipe.write_text(recipe.replace("val_fraction = 0.0", rule))
        return Curate(world, tmp_path / "root")

    return rewrite


@pytest.mark.slow
def test_a_new_rule_is_one_file_and_the_recipe_that_names_it(built: Curate, rewritten, capsys):
    mine = rewritten('rule = "in-season"\ndate = "found"\nseason = "autumn"\nbuffer_km = 0.5')
    shutil.copytree(built.root, mine.root)
    key = "manifest/locations.parquet"
    ids = pq.read_table(mine.folder / key)["id"].to_pylist()  # in the order of the file
    (mine.folder / key).unlink()  # another column is another draw, of the same places
    assert mine("locate") == 0
    planned = dict(zip(*(pq.read_table(mine.folder / key)[c].to_pylist() for c in ("id", "split")), strict=True))
    assert [i for i in ids if planned[i] == "val"] == ids[:1]
    assert set(planned.values()) == {"train", "val", "buffer"}
    capsys.readouterr()
    assert mine("pack") == 0
    assert "[split] date: some location here has none: it is train" in capsys.readouterr().err
    assert split.packed_sides(mine.store) == {i: planned[i] for i in split.packed_sides(mine.store)}
    release = json.loads((mine.folder / "manifest/release.json").read_text())
    assert release["samples"]["val"] == 1
    assert release["samples"]["train"] > 0
    assert release["recipe"]["split"] == {
        **{"rule": "in-season", "date": "found", "season": "autumn"},
        **{"buffer_km": 0.5, "unshared": []},
    }
    (mine.folder / "shards/index.json").unlink()
    assert mine("report") == 0  # cubes do not say when places were found: the draw does
    assert "split not known" not in (mine.folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ('rule = "in-seson"', "[split]: no such rule 'in-seson'; did you mean in-season? known: blocks, column, folds, "),
        ('rule = "in-season"\ndate = "found"', "[split] season: missing; add it"),
        ('rule = "in-season"\ndate = "fund"\nseason = "autumn"', "split: column 'fund': expected 'region', or one of"),
        ('rule = "in-season"\ndate = "found"\nseason = "spring"', "split.season = 'spring': expected one of ['summer',"),
        ('rule = "in-season"\ndat = "found"', "'in-season' has no key 'dat'; did you mean date? known keys: buffer_km, d"),
        ('rule = ["blocks"]', "[split]: no such rule ['blocks']"),
    ],
)  # fmt: skip
def test_what_it_cannot_be_is_told_with_what_is_allowed(rewritten, rule: str, said: str):
    recipe = rewritten(rule).world.recipe
    with pytest.raises(ConfigError) as err:
        load_dataset(str(recipe))
    assert said in str(err.value)
    assert str(recipe) in str(err.value)
