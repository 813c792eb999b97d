"""Seasons around a date: which days they are, how they are said, and what is refused."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import ConfigError
from curation.model import DatedSeason, FixedSeason, Location, Window
from curation.recipe.dataset import Dataset, load_dataset
from curation.recipe.seasons import EARLIEST, LATEST, MOST_DAYS
from tests.properties import examples

STARTER = load_dataset("starter").path.read_text()
DAY = dt.timedelta(days=1)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda m: dt.timezone(dt.timedelta(minutes=m)))
DATES = st.datetimes(EARLIEST.replace(tzinfo=None), LATEST.replace(tzinfo=None), timezones=ZONES)


def place(date: dt.datetime | None) -> Location:
    return Location("a", 8.0, 50.0, 32632, 0.0, 0.0, 480.0, "europe", columns={"flood": date})


def days(window: Window) -> set[dt.date]:
    """Each UTC day of which any second is in the window, found by looking at every hour of many days."""
    first = window.start - 3 * DAY
    hours = (first + dt.timedelta(hours=n) for n in range(24 * ((window.end - window.start).days + 6)))
    return {hour.date() for hour in hours if window.holds(hour)}


@given(DATES, st.integers(-40, 40), st.integers(0, 40), st.data())
@settings(max_examples=examples(100))
def test_its_days_are_whole_utc_days_counted_from_that_of_the_date(date, first, more, data):
    anchor = data.draw(st.none() | st.integers(first, first + more))
    window = DatedSeason("post", "flood", first, first + more, anchor).window(place(date))
    assert window is not None
    of_date = dt.date(*date.astimezone(dt.UTC).timetuple()[:3])
    want = {of_date + n * DAY for n in range(first, first + more + 1)}
    assert days(window) == want
    assert (window.start, window.end) == tuple(
        dt.datetime(d.year, d.month, d.day, tzinfo=dt.UTC) for d in (min(want), max(want) + DAY)
    )
    if anchor is None:
        assert window.anchor - window.start == window.end - window.anchor
    else:
        assert (window.anchor.date(), window.anchor.hour) == (of_date + anchor * DAY, 0)
    assert window.start <= window.anchor < window.end
    # Its name says which days, and no season of a recipe can have it.
    assert window.name == f"post.{min(want):%Y%m%d}-{max(want):%Y%m%d}"


def test_leap_days_and_ends_of_years():
    season = DatedSeason("pre", "flood", -1, 1)
    for date, start, end in (
        ((2020, 2, 29), (2020, 2, 28), (2020, 3, 2)),
        ((2020, 2, 28), (2020, 2, 27), (2020, 3, 1)),
        ((2021, 2, 28), (2021, 2, 27), (2021, 3, 2)),
        ((2021, 1, 1), (2020, 12, 31), (2021, 1, 3)),
    ):
        window = season.window(place(dt.datetime(*date, 23, 59, 59, tzinfo=dt.UTC)))
        assert (window.start, window.end) == tuple(dt.datetime(*d, tzinfo=dt.UTC) for d in (start, end))


def test_a_place_without_a_date_has_no_window_and_another_kind_of_value_is_an_error():
    season = DatedSeason("pre", "flood", -30, -1)
    assert season.window(place(None)) is None
    with pytest.raises(TypeError, match="location a: flood is 'soon', expected an instant"):
        season.window(place("soon"))
    with pytest.raises(KeyError):
        DatedSeason("pre", "fire", -30, -1).window(place(None))


@given(DATES, st.integers(0, 60))
def test_more_each_way_changes_neither_anchor_nor_name(date, margin):
    season = DatedSeason("pre", "flood", -30, -1)
    one, more = season.window(place(date)), season.widened(margin * DAY).window(place(date))
    assert (more.start, more.end) == (one.start - margin * DAY, one.end + margin * DAY)
    assert (more.name, more.anchor) == (one.name, one.anchor)


@given(st.sampled_from([EARLIEST, LATEST]), st.sampled_from([-MOST_DAYS, MOST_DAYS]))
def test_the_earliest_and_the_latest_are_within_what_python_can_say(date, far):
    window = DatedSeason("pre", "flood", far, far).widened(MOST_DAYS * DAY).window(place(date))
    assert window.interval.count("T") == 2


def test_a_fixed_season_is_the_same_wherever_it_is_asked():
    season = load_dataset("starter").recipe.season("summer")
    assert isinstance(season, FixedSeason)
    assert season.column is None
    assert season.window(place(None)) == season.window(place(EARLIEST)) == season.always


# --- how they are said ---------------------------------------------------------------------------------------------

DATED = """
[seasons]
pre = { around = "flood", days = [-30, -1], anchor_day = -1 }
post = { around = "flood", days = [0, 12] }
"""


def recipe(
    tmp_path: Path, seasons: str = DATED, columns: str = '["flood"]', change: Mapping[str, str] | None = None
) -> Dataset:
    """The starter recipe with seasons around a column of a file of places, and what is to be changed in its text."""
    start, end = STARTER.index("[places]"), STARTER.index("[sources]")
    places = f'[places]\nsampler = "file"\nfile = "places.csv"\ncolumns = {columns}\n'
    path = tmp_path / "recipe.toml"
    rest = STARTER[end:]
    for old, new in (change or {}).items():
        assert rest.count(old) == 1
        rest = rest.replace(old, new)
    path.write_text(f"{STARTER[:start]}{places}{seasons}\n{rest}")
    return load_dataset(str(path))


def test_a_recipe_says_them_beside_fixed_ones(tmp_path):
    made = recipe(tmp_path, DATED + "summer = { start = 2021-06-01, end = 2021-09-01 }\n")
    assert made.recipe.season("pre") == DatedSeason("pre", "flood", -30, -1, -1)
    assert made.recipe.season("post") == DatedSeason("post", "flood", 0, 12)
    assert made.recipe.season("static").window(place(None)) == Window(
        "static", *(dt.datetime(2021, m, 1, tzinfo=dt.UTC) for m in (6, 9)), dt.datetime(2021, 7, 17, tzinfo=dt.UTC)
    )
    # Where no season is the same everywhere, what has no time needs none.
    alone = recipe(tmp_path)
    assert alone.recipe.season("static").window(place(None)) is not None
    here = dict.fromkeys(made.recipe.sources, "here")
    assert alone.pixels_digest(here, {}) != made.pixels_digest(here, {})
    text = DATED.replace("[0, 12]", "[0, 13]")
    assert recipe(tmp_path, text).pixels_digest(here, {}) != alone.pixels_digest(here, {})


@pytest.mark.parametrize(
    ("old", "new", "want"),
    [
        ('"flood", days = [0, 12]', '"fire", days = [0, 12]', "seasons.post.around = 'fire': expected one of [places] col"),
        ("[0, 12]", "[12, 0]", "[seasons.post]: days = [12, 0]: the first lies after the last"),
        ("[0, 12]", "[0]", "[seasons.post] days = [0]: List should have at least 2 items"),
        ("[0, 12]", "[0, 12.5]", "[seasons.post.days] 1 = 12.5: Input should be a valid integer"),
        ("[0, 12]", "[0, 99999]", "[seasons.post.days] 1 = 99999: Input should be less than or equal to 36525"),
        ("anchor_day = -1", "anchor_day = 0", "[seasons.pre]: anchor_day = 0: lies outside of days = [-30, -1]"),
        ("anchor_day", "anchor", "[seasons.pre] anchor: no such key; did you mean anchor_day? known keys: anchor_day, ar"),
        (', days = [0, 12]', "", "[seasons.post] days: missing; add it"),
        ("days = [0, 12]", "start = 2021-06-01", "[seasons.post] days: missing; add it; "),
        ('around = "flood", days = [0, 12]', "days = [0, 12]", "[seasons.post] around: missing; add it"),
        ('{ around = "flood", days = [0, 12] }', "7", "[seasons] post"),
    ],
)  # fmt: skip
def test_one_line_says_what_is_wrong(tmp_path, old, new, want):
    assert DATED.count(old) == 1
    with pytest.raises(ConfigError) as caught:
        recipe(tmp_path, DATED.replace(old, new))
    said = str(caught.value).removeprefix(f"{tmp_path / 'recipe.toml'}: ")
    assert said.startswith(want)
    assert "\n" not in said


def test_its_column_is_one_that_locations_carry(tmp_path):
    with pytest.raises(ConfigError, match=r"seasons.pre.around = 'flood': expected one of \[places\] columns.*: \[\]"):
        recipe(tmp_path, columns="[]")
