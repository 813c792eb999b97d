"""Which scenes a place may use where its season lies around a date of its own: those of its own window, and no others."""

import datetime as dt
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import embedded
from curation.errors.codes import Code
from curation.model import Location, iso
from curation.outcomes import Status
from curation.places import draw
from curation.recipe import catalogs
from curation.recipe.dataset import Dataset, load_dataset
from curation.recipe.schema import Recipe
from curation.scenes import candidates
from curation.scenes.cells import cell_of
from curation.scenes.saved import Searches
from curation.store.objects import Store
from tests.properties import examples

EXAMPLE = load_dataset("ssl4eo-s12-ml")
DAY = dt.timedelta(days=1)
SEASONS = {
    "pre": {"around": "flood", "days": [-30, -1]},
    "post": {"around": "flood", "days": [0, 12], "anchor_day": 0},
}
YEAR = {"year": {"start": dt.datetime(2020, 12, 1, tzinfo=dt.UTC), "end": dt.datetime(2021, 12, 1, tzinfo=dt.UTC)}}


def made(folder: Path, seasons: dict = SEASONS) -> Dataset:
    """Sentinel-1 and -2 at the places of a file, in seasons around a column of it."""
    places = {"sampler": "file", "file": "places.csv", "columns": ["flood"], "regions": ["world"]}
    sources = {"s2l2a": {}, "s1rtc": {}}
    none = {"labels": {}, "seasons": seasons, "places": places, "sources": sources}
    return Dataset(Recipe.model_validate(EXAMPLE.recipe.model_dump() | none), EXAMPLE.specs, folder / "recipe.toml")


# --- which searches are wanted --------------------------------------------------------------------------------------

SPOTS = [(7.3, 51.2), (7.31, 51.2), (7.9, 51.9), (-179.99, 16.4), (179.99, 16.4), (-46.6, -23.5), (0.0, 83.9)]
DATES = st.sampled_from([dt.datetime(*d, tzinfo=dt.UTC) for d in ((2020, 2, 29), (2020, 12, 31, 23), (2021, 1, 1))])


@st.composite
def given_places(draw_from: st.DrawFn) -> list[Location]:
    spots = draw_from(st.lists(st.tuples(st.sampled_from(SPOTS), st.none() | DATES), max_size=12))
    return [
        Location(f"p{n}", lon, lat, 32632, 0.0, 0.0, 480.0, "world", columns={"flood": date})
        for n, ((lon, lat), date) in enumerate(spots)
    ]


@given(given_places(), st.sampled_from(["pre", "post", "year"]))
@settings(max_examples=examples(200))
def test_each_distinct_window_of_a_cell_is_one_search_and_none_is_wider_than_a_place_s_own(places, season):
    dataset = made(Path(), SEASONS | YEAR)
    gap = dataset.recipe.quality.max_gap_days * DAY
    days = {name: its["days"] for name, its in SEASONS.items()}

    def window(name: str, date: dt.datetime | None, margin: dt.timedelta) -> tuple[dt.datetime, dt.datetime] | None:
        """By hand."""
        if name in YEAR:
            return YEAR[name]["start"] - margin, YEAR[name]["end"] + margin
        if date is None:
            return None
        day = dt.datetime(date.year, date.month, date.day, tzinfo=dt.UTC)
        return day + days[name][0] * DAY - margin, day + (days[name][1] + 1) * DAY + margin

    want = set()
    for place in places:
        # Radar is looked for beside the optical scene, and in all seasons: it keeps to one orbit direction.
        asked = [("s2l2a", season, 0 * DAY), *(("s1rtc", name, gap) for name in ("pre", "post", "year"))]
        found = [(source, name, window(name, place.columns["flood"], margin)) for source, name, margin in asked]
        want |= {(source, name, w, cell_of(place)) for source, name, w in found if w is not None}
    got = candidates.wanted(dataset, season, places)
    assert {(s.name, w.name.partition(".")[0], (w.start, w.end), cell) for s, w, cell in got} == want
    assert len(got) == len(want)
    keys = {(s.name, w.name, cell.name, cell.reach_deg): (w.start, w.end) for s, w, cell in got}
    assert len(keys) == len(got)  # no saved search can be taken for another


def test_a_saved_search_is_called_by_its_days_and_that_of_a_fixed_season_by_its_name(tmp_path):
    dataset = made(tmp_path, SEASONS | YEAR)
    searches = Searches(dataset, catalogs.Catalogs(catalogs.resolve("earth-search")), Store(tmp_path))
    date = dt.datetime(2021, 3, 1, tzinfo=dt.UTC)
    place = Location("a", 7.3, 51.2, 32632, 0.0, 0.0, 480.0, "world", columns={"flood": date})
    keys = [searches._key(*w) for s in ("year", "post") for w in candidates.wanted(dataset, s, [place])[:1]]
    slug = searches.catalogs.default.slug
    assert keys == [
        f"scenes/{slug}/s2l2a/year/n51e007.json.gz",
        f"scenes/{slug}/s2l2a/post.20210301-20210313/n51e007.json.gz",
    ]


# --- what they give, by a real catalog ------------------------------------------------------------------------------

PLACES = [
    # São Paulo, and the Lower Rhine, where `scenes.toml` of the embedded Earth has these dates.
    ("paulo-1", -46.70, -23.55, "2021-04-15", {"pre": ["04-10"], "post": ["04-20"]}),
    ("paulo-2", -46.70, -23.53, "2021-01-15T23:30:00-05:00", {"pre": ["12-31", "01-15"], "post": ["01-25"]}),
    ("paulo-3", -46.68, -23.55, "", {}),
    ("rhine-1", 6.02, 51.13, "2021-06-16", {"pre": ["05-31", "06-15"], "post": []}),
    ("rhine-2", 6.03, 51.13, "2021-01-01", {"pre": ["12-12", "12-27"], "post": ["01-11"]}),
]
"""Id, longitude, latitude, date, and the days on which Sentinel-2 took scenes of no more than 90 % cloud in each season."""


@pytest.fixture(scope="module")
def earth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded.serve(tmp_path_factory.mktemp("earth")) as url:
        yield url


@pytest.mark.slow
def test_each_place_gets_the_scenes_of_its_own_window(earth, tmp_path):
    (tmp_path / "places.csv").write_text(
        "id,lon,lat,flood\n" + "".join(f"{i},{lon},{lat},{date}\n" for i, lon, lat, date, _ in PLACES)
    )
    dataset, whole = made(tmp_path), made(tmp_path, YEAR)
    catalog = catalogs.resolve("embedded", served_at=earth)
    searches, all_year = (
        Searches(d, catalogs.Catalogs(catalog), Store(tmp_path / n)) for n, d in (("own", dataset), ("year", whole))
    )
    places = list(draw.draw(dataset))
    all_year.run(candidates.wanted(whole, "year", places))
    every = candidates.of_slab(whole, all_year, "year", places)
    gap = dataset.recipe.quality.max_gap_days * DAY
    for season in ("pre", "post"):
        searches.run(candidates.wanted(dataset, season, places))
        found = candidates.of_slab(dataset, searches, season, places)
        for place, (name, *_, text, days) in zip(places, PLACES, strict=True):
            assert place.id == name
            optical, radar = found["s2l2a"][name], found["s1rtc"][name]
            if not text:
                assert {(c.code, c.status, c.scenes) for c in (optical, radar)} == {(Code.NO_DATE, Status.ABSENT, ())}
                continue
            assert sorted({f"{s.time:%m-%d}" for s in optical.scenes}) == sorted(days[season])
            date = dt.datetime.fromisoformat(text)
            date = date.replace(tzinfo=date.tzinfo or dt.UTC).astimezone(dt.UTC)
            first, last = SEASONS[season]["days"]
            start = date.replace(hour=0, minute=0) + first * DAY
            end = start + (last + 1 - first) * DAY
            for source, candidates_, margin in (("s2l2a", optical, 0 * DAY), ("s1rtc", radar, gap)):
                # The same as of the whole year, cut to the window afterwards.
                of_year = {s.id for s in every[source][name].scenes if start - margin <= s.time < end + margin}
                assert {s.id for s in candidates_.scenes} == of_year
            # Of equal cloud the nearest to the season's own anchor comes first, not to another place's.
            anchor = date.replace(hour=0, minute=0) if season == "post" else start + (end - start) / 2
            for group in optical.groups:
                gaps = [abs(s.time - anchor) for s in group]
                assert gaps == sorted(gaps)


def test_the_days_told_above_are_those_of_the_embedded_earth_s_table():
    table = tomllib.loads((Path(embedded.__file__).parent / "archive" / "scenes.toml").read_text())
    text = str(table)
    for *_, days in PLACES:
        for day in {d for its in days.values() for d in its}:
            assert any(f"{year}-{day}" in text for year in (2020, 2021)), day
    assert iso(YEAR["year"]["end"]) > "2021-11"
