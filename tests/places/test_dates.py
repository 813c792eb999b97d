"""Columns that seasons lie around: dates, or nothing; all else is told before anything is drawn, searched or read."""

import pytest

from curation.cubes import selection
from curation.errors import ConfigError
from curation.places import regions
from curation.recipe.dataset import Dataset, load_dataset
from curation.store.objects import Store
from tests.recipe.test_seasons import recipe


def told(tmp_path, *dates: str) -> str:
    """What is said of a file of places with these dates, which is then not kept."""
    made = _made(tmp_path, *dates)
    store = Store(tmp_path / "store")
    with pytest.raises(ConfigError) as caught:
        selection.locations(made, store, [regions.find("world")])
    assert not list(store.list(""))
    return str(caught.value)


def _made(tmp_path, *dates: str) -> Dataset:
    rows = "".join(f"p{n},{8 + n},50,{date}\n" for n, date in enumerate(dates))
    (tmp_path / "places.csv").write_text(f"id,lon,lat,flood\n{rows}")
    return recipe(tmp_path)


def test_days_and_times_in_any_zone_are_dates_and_some_places_may_have_none(tmp_path):
    made = _made(tmp_path, "2021-06-15", "2021-06-15T23:30:00-05:00", "")
    found = selection.locations(made, Store(tmp_path / "store"), [regions.find("world")])["world"]
    names = {p.id: (w := made.recipe.season("post").window(p)) and w.name for p in found}
    assert names == {"p0": "post.20210615-20210627", "p1": "post.20210616-20210628", "p2": None}


@pytest.mark.parametrize(
    ("dates", "want"),
    [
        (("2021-06-15", "soon"), "holds string, such as '2021-06-15' of location p0; expected days or times"),
        (("", "20210615"), "holds int64, such as 20210615 of location p1; expected days or times"),
        (("", ""), "holds nothing for any of 2 locations"),
        (("2021-06-15", "0201-06-15"), "holds 201-06-15 of location p1; expected a date from 1900 to before 2100"),
        (("2021-06-15", "2100-01-01"), "holds 2100-01-01 of location p1; expected a date from 1900 to before 2100"),
    ],
)
def test_what_is_no_date_is_told_with_a_place_that_has_it(tmp_path, dates, want):
    said = told(tmp_path, *dates)
    assert said.startswith(
        f"{tmp_path / 'recipe.toml'}: [seasons.pre] around = 'flood': the column of places.csv {want}"
    )


def test_a_season_that_is_set_around_another_column_later_is_looked_at_again(tmp_path):
    (tmp_path / "places.csv").write_text("id,lon,lat,flood,label\na,8,50,2021-06-15,wet\n")
    made, store = recipe(tmp_path, columns='["flood", "label"]'), Store(tmp_path / "store")
    world = [regions.find("world")]
    selection.locations(made, store, world)
    other = (tmp_path / "recipe.toml").read_text().replace('around = "flood"', 'around = "label"')
    (tmp_path / "recipe.toml").write_text(other)
    with pytest.raises(
        ConfigError, match=r"around = 'label': the column of places\.csv holds string, such as 'wet' of lo"
    ):
        selection.locations(load_dataset(str(tmp_path)), store, world)
