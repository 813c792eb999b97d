"""Seasons by a rule: the same as the table that one would write by hand, to the digest."""

import datetime as dt
import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.cubes.selection import asked_seasons
from curation.errors import ConfigError
from curation.recipe.dataset import Dataset, load_dataset
from curation.recipe.season_rules import listed

STARTER = load_dataset("starter").path.read_text()
DAYS = st.dates(dt.date(1900, 1, 1), dt.date(2098, 12, 31))


def recipe(folder: Path, seasons: str) -> Dataset:
    """The starter recipe with other seasons: a rule, or a table."""
    rule = seasons.startswith("seasons")
    start, end = STARTER.index("[seasons]"), STARTER.index("[sources]")
    text = STARTER[:start] + ("" if rule else seasons + "\n") + STARTER[end:]
    folder.mkdir(exist_ok=True)
    (folder / "recipe.toml").write_text((seasons + "\n" if rule else "") + text)
    return load_dataset(str(folder))


BY_HAND = {
    "monthly from 2019-12-01 to 2020-04-01": """
        2019-12 = { start = 2019-12-01, end = 2020-01-01 }
        2020-01 = { start = 2020-01-01, end = 2020-02-01 }
        2020-02 = { start = 2020-02-01, end = 2020-03-01 }
        2020-03 = { start = 2020-03-01, end = 2020-04-01 }""",
    "quarterly 2021": """
        2021-q1 = { start = 2021-01-01, end = 2021-04-01 }
        2021-q2 = { start = 2021-04-01, end = 2021-07-01 }
        2021-q3 = { start = 2021-07-01, end = 2021-10-01 }
        2021-q4 = { start = 2021-10-01, end = 2022-01-01 }""",
    "yearly 2018/2020": """
        2018 = { start = 2018-01-01, end = 2019-01-01 }
        2019 = { start = 2019-01-01, end = 2020-01-01 }
        2020 = { start = 2020-01-01, end = 2021-01-01 }""",
    "every 16 days from 2021-06-10 to 2021-08-01": """
        2021-06-10 = { start = 2021-06-10, end = 2021-06-26 }
        2021-06-26 = { start = 2021-06-26, end = 2021-07-12 }
        2021-07-12 = { start = 2021-07-12, end = 2021-07-28 }
        2021-07-28 = { start = 2021-07-28, end = 2021-08-01 }""",
}


@pytest.mark.parametrize("rule", BY_HAND)
def test_a_rule_is_the_table_written_by_hand_to_the_digest(rule, tmp_path):
    by_rule = recipe(tmp_path / "rule", f'seasons = "{rule}"')
    by_hand = recipe(tmp_path / "hand", f"[seasons]{BY_HAND[rule]}")
    assert by_rule.recipe == by_hand.recipe
    assert list(by_rule.recipe.seasons) == list(by_hand.recipe.seasons)
    catalogs = dict.fromkeys(by_rule.recipe.sources, "here")
    assert by_rule.pixels_digest(catalogs, {}) == by_hand.pixels_digest(catalogs, {})
    assert by_rule.places_digest() == by_hand.places_digest()
    assert by_rule.release_digest() == by_hand.release_digest()


def test_how_many_a_year_has():
    assert {rule: len(listed(f"{rule} 2021")) for rule in ("monthly", "quarterly", "yearly", "every 16 days")} == {
        "monthly": 12, "quarterly": 4, "yearly": 1, "every 16 days": 23,
    }  # fmt: skip
    assert list(listed("monthly 2020/2021"))[::12] == ["2020-01", "2021-01"]


@given(DAYS, st.integers(1, 400), st.integers(1, 400))
def test_runs_of_days_tile_what_is_asked_for(start, days, length):
    end = start + dt.timedelta(days=length)
    found = listed(f"every {days} days from {start} to {end}")
    windows = [(w["start"], w["end"]) for w in found.values()]
    assert windows[0][0] == start
    assert windows[-1][1] == end
    assert all(a[1] == b[0] for a, b in itertools.pairwise(windows))
    assert {(b - a).days for a, b in windows[:-1]} <= {days}
    assert 0 < (windows[-1][1] - windows[-1][0]).days <= days
    assert list(found) == [str(a) for a, _ in windows]
    assert all(re.fullmatch("[a-z0-9_-]+", name) for name in found)


@given(st.sampled_from(["monthly", "quarterly", "yearly"]), st.integers(1900, 2099), st.integers(0, 30))
def test_calendar_seasons_hold_each_day_of_their_years_once(word, first, more):
    last = min(first + more, 2099)
    held = [
        day
        for w in listed(f"{word} {first}/{last}").values()
        for day in range(w["start"].toordinal(), w["end"].toordinal())
    ]
    assert held == list(range(dt.date(first, 1, 1).toordinal(), dt.date(last + 1, 1, 1).toordinal()))
    assert all(w["start"].day == 1 for w in listed(f"{word} {first}/{last}").values())


@pytest.mark.parametrize(
    ("rule", "want"),
    [
        ("montly 2021", "did you mean monthly? expected \"monthly 2021\", \"quarterly 2019/2022\", \"yearly 2018/2021\", "),
        ("weekly 2021", "expected \"monthly 2021\", "),
        ("monthly", "expected \"monthly 2021\", "),
        ("monthly 2021-2022", "expected \"monthly 2021\", "),
        ("every 16 2021", "expected \"monthly 2021\", "),
        ("monthly 2 days 2021", "expected \"monthly 2021\", "),
        ("every 0 days 2021", "every 0 days: expected 1 or more"),
        ("every 1 day 1990/2021", "more than 1,000 seasons, each a cube of its own"),
        ("monthly 1900/2099", "more than 1,000 seasons, each a cube of its own"),
        ("yearly 2021/2018", "years 2021 to 2018: expected from 1900 to 2099"),
        ("yearly 1899", "years 1899 to 1899: expected from 1900 to 2099"),
        ("monthly from 2021-04-02 to 2021-10-01", "2021-04-02: seasons of 'monthly' begin on the 1st of a month: say"),
        ("quarterly from 2021-01-01 to 2021-05-01", "2021-05-01: seasons of 'quarterly' begin on 1 January, April, July"),
        ("every 5 days from 2021-02-30 to 2021-10-01", "from 2021-02-30 to 2021-10-01: day "),
        ("every 5 days from 2021-10-01 to 2021-10-01", "from 2021-10-01 to 2021-10-01: expected the earlier day first"),
    ],
)  # fmt: skip
def test_one_line_says_what_is_wrong_and_names_the_forms(rule, want, tmp_path):
    with pytest.raises(ConfigError) as caught:
        recipe(tmp_path, f'seasons = "{rule}"')
    assert str(caught.value).startswith(f"{tmp_path / 'recipe.toml'}: seasons = {rule!r}: {want}")


def test_a_rule_below_a_table_is_told_where_it_belongs(tmp_path):
    (tmp_path / "recipe.toml").write_text(STARTER.replace("size_m = 2640", 'size_m = 2640\nseasons = "monthly 2021"'))
    with pytest.raises(ConfigError, match=r"\[grid\] seasons: no such key; write it above the first \[section\]"):
        load_dataset(str(tmp_path))


def test_a_wrong_season_is_told_those_that_the_rule_gives(tmp_path):
    made = recipe(tmp_path, 'seasons = "monthly 2021"')
    assert asked_seasons(made, "2021-02,2021-11") == ["static", "2021-02", "2021-11"]
    with pytest.raises(
        ConfigError, match=r"season '2021-13'.* expected one of 2021-01, 2021-02, .*, 2021-12, static or"
    ):
        asked_seasons(made, "2021-13")
