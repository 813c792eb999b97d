"""Seasons around a date of each location, end to end: a CSV with dates, cubes, shards, and what each says of windows."""

import datetime as dt
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import curation
from curation.cli import main
from curation.cubes import contents, selection, windows
from curation.cubes.cube import Cube
from curation.model import Location, iso
from curation.outcomes import PatchOutcome, Status
from curation.places.locations import Locations
from curation.report import measurements, page, show, survey
from curation.report.estimate import estimates
from curation.scenes.candidates import wanted
from curation.store.ledger import Ledger
from curation.store.objects import Store
from curation.work.run import Run
from tests import world as tiny
from tests.loopback import serving
from tests.properties import examples
from tests.recipe.test_seasons import recipe
from tests.run import Curate
from tests.scenes.catalog import Served

DAYS = {"pre": (-30, -1), "post": (0, 20)}
SEASONS = """[seasons]
pre = { around = "event_date", days = [-30, -1], anchor_day = -1 }
post = { around = "event_date", days = [0, 20] }
"""
# Of the tiny world there is Sentinel-2 of 10 July (10:30 UTC), 16 July (cloudy over the columns 0 to 2) and 10 October, and
# Sentinel-1 of 11 July (rows 0 to 2), 12 July, 12 October (rows 0 and 1) and 20 November, all of 2021.
EVENTS = {
    (1, 3): ("2021-07-14", "ok", "ok"),  # radar of the days before the post window is near enough to the 16th
    (1, 0): ("2021-07-14", "ok", "cloudy:s2l2a"),
    (1, 2): ("2021-10-01", "no_scene:s2l2a", "ok"),
    (0, 1): ("2021-07-15T23:30:00-05:00", "ok", "cloudy:s2l2a"),  # the 16th in UTC, which is day 0
    (0, 2): ("2021-07-10T23:59:59Z", "no_scene:s2l2a", "ok"),  # the scene of the day itself, hours before
    (0, 0): ("2021-07-31", "ok", "no_scene:s2l2a"),
    (2, 2): ("", "no_date:s2l2a", "no_date:s2l2a"),
    (0, 3): ("2024-02-29", "no_scene:s2l2a", "no_scene:s2l2a"),
}
"""Row and column of a location → what the file says, and what becomes of it before and after."""


def write(folder: Path, change: Callable[[str], str] = lambda text: text) -> None:
    rows = (f"{x},{y},{tiny.EPSG},{its[0]}" for spot, its in EVENTS.items() for x, y in [tiny.corner(*spot)])
    (folder / "places.csv").write_text(change("\n".join(["x0_m,y0_m,epsg,event_date", *rows]) + "\n"))


def dated(world: tiny.World, folder: Path) -> tiny.World:
    """The tiny world with events."""
    made = world.from_afar(folder)
    recipe = made.recipe.read_text()
    start, end = recipe.index("[seasons]"), recipe.index("[sources]")
    recipe = recipe[:start] + SEASONS + recipe[end:]
    recipe = recipe.replace('file = "places.csv"', 'file = "places.csv"\ncolumns = ["event_date"]')
    made.recipe.write_text(recipe.replace("[pack]\n", '[pack]\ncomplete = "some"\n'))
    write(folder)
    return made


def window(text: str, season: str, margin_days: int = 0) -> tuple[dt.datetime, dt.datetime] | None:
    """From when until before when, by hand."""
    if not text:
        return None
    date = dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
    date = (date if date.tzinfo else date.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    day, (first, last) = date.replace(hour=0, minute=0, second=0, microsecond=0), DAYS[season]
    margin = dt.timedelta(days=margin_days)
    return day + dt.timedelta(days=first) - margin, day + dt.timedelta(days=last + 1) + margin


@pytest.fixture(scope="module")
def events(world: tiny.World, tmp_path_factory: pytest.TempPathFactory) -> Curate:
    """Built and packed; nobody changes it."""
    curate = Curate(dated(world, tmp_path_factory.mktemp("dated")), tmp_path_factory.mktemp("built-dated"))
    assert curate() == 0
    assert curate("pack") == 0
    return curate


def outcomes(curate: Curate, season: str) -> dict[str, PatchOutcome]:
    return {o.id: o for o in Ledger.replay(curate.store, "europe", season).outcomes()}


def test_each_location_is_built_from_its_own_days(events):
    for n, season in enumerate(DAYS):
        found = outcomes(events, season)
        assert {i: o.label for i, o in found.items()} == {tiny.name(*s): its[1 + n] for s, its in EVENTS.items()}
    # What has no time needs no date, and no date is settled: there is nothing to try again.
    nowhen = tiny.name(2, 2)
    assert {o.status for o in outcomes(events, "static").values()} == {Status.OK}
    assert outcomes(events, "pre")[nowhen].status is Status.ABSENT


def test_cubes_and_shards_say_windows_and_scenes_lie_in_them(events):
    cube = curation.open_cube(events.folder, "europe")
    assert cube["season"].values.tolist() == ["pre", "post"]
    metas = {}
    for path in sorted((events.folder / "shards").rglob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith("meta.json"):
                    value = json.load(tar.extractfile(member))
                    metas[value["id"]] = value
    checked = 0
    for spot, (text, *_) in EVENTS.items():
        place = cube.sel(location=tiny.name(*spot))
        meta = metas.pop(tiny.name(*spot))  # of (2, 2) and (0, 3) there is what has no time
        for season in DAYS:
            here, want = place.sel(season=season), window(text, season)
            if want is None:
                assert all(np.isnat(here[n].values) for n in windows.DATED)
                assert season not in meta["seasons"]
                continue
            said = [np.datetime64(t.replace(tzinfo=None), "ns") for t in want]
            assert [here["window_start"].values, here["window_end"].values] == said
            ok = int(here["status"]) == Status.OK
            assert ok == (season in meta["seasons"])
            if not ok:
                continue
            entry = meta["seasons"][season]
            assert entry["window"] == [iso(t) for t in want]
            for source, margin in (("s2l2a", 0), ("s1rtc", 12)):
                start, end = window(text, season, margin)
                taken = dt.datetime.fromisoformat(entry["sources"][source]["time"].replace("Z", "+00:00"))
                assert start <= taken < end
                assert here[f"{source}_time"].values == np.datetime64(taken.replace(tzinfo=None), "ns")
                checked += 1
    assert (metas, checked) == ({}, 14)


def test_other_readers_know_the_windows_as_times(events):
    alone = xr.open_zarr(events.folder / "cubes/europe/post.zarr")
    k = alone["id"].values.tolist().index(tiny.name(0, 1))
    assert alone["date"].values[k] == np.datetime64("2021-07-16T04:30:00")
    assert alone["window_start"].values[k] == np.datetime64("2021-07-16")
    assert np.isnat(alone["date"].values[alone["id"].values.tolist().index(tiny.name(2, 2))])
    assert not set(windows.DATED) & set(xr.open_zarr(events.folder / "cubes/europe/static.zarr").variables)


def test_a_cube_gives_its_dates_back_to_whoever_reads_it_without_the_draw(events):
    for season in DAYS:
        found = contents.opened(events.dataset, events.store, "europe", season)
        for place in found.cube.locations:
            spot = next(s for s in EVENTS if tiny.name(*s) == place.id)
            its = found.cube.its.window(place)
            assert (None if its is None else (its.start, its.end)) == window(EVENTS[spot][0], season)
    assert events("verify") == 0


def test_searches_are_one_for_each_window_as_the_estimate_said(events, tmp_path):
    saved = [s.key.split("/")[2:4] for s in events.store.list("scenes")]
    days = {n: {w[0].strftime("%Y%m%d") for t, *_ in EVENTS.values() if (w := window(t, n))} for n in DAYS}
    assert sorted(w for source, w in saved if source == "s2l2a" and w.startswith("post")) == sorted(
        f"post.{d}-{dt.datetime.strptime(d, '%Y%m%d') + dt.timedelta(days=20):%Y%m%d}" for d in days["post"]
    )
    fresh = Store(tmp_path)
    run = Run(events.dataset, events.catalogs, fresh, None, None)
    asked = selection.asked_regions(events.dataset, events.catalogs, "europe")
    told = {e.season: e.searches for e in estimates(run, asked, list(DAYS)).cubes}
    for season, searches in told.items():
        # Radar keeps to one orbit direction, and is searched in all seasons for that.
        assert searches == sum(source == "s1rtc" or w.startswith(season) for source, w in saved if w != "static")
    assert not list(fresh.list(""))


@pytest.mark.slow
def test_the_same_comes_of_an_api(events, tmp_path):
    served = Served(events.world.items)
    with serving(served.answer) as url:
        mine = Curate(events.world, tmp_path)
        assert main.main([*mine.arguments("build", "--season", "pre"), "--catalog", url]) == 0
    assert {i: (o.label, o.chunks) for i, o in outcomes(mine, "pre").items()} == {
        i: (o.label, o.chunks) for i, o in outcomes(events, "pre").items()
    }
    asked = [s["datetime"] for s in served.searches if s["collections"] == ["sentinel-2-l2a"]]
    want = {w for t, *_ in EVENTS.values() if (w := window(t, "pre"))}
    last = dt.timedelta(milliseconds=1)
    assert set(asked) == {f"{iso(s)}/{(e - last).strftime('%Y-%m-%dT%H:%M:%S')}.999Z" for s, e in want}  # page by page


def test_another_date_of_a_location_is_refused_wherever_the_old_one_was_used(world, events, tmp_path, capsys):
    own = dated(world, tmp_path / "world")
    mine = Curate(own, tmp_path / "root")
    shutil.copytree(events.root, mine.root)
    assert mine() == 0
    assert "settled already" in capsys.readouterr().err
    write(own.folder, lambda text: text.replace("2021-10-01", "2021-10-02"))
    for verb in ("build", "pack"):
        assert mine(verb) != 0
        said = capsys.readouterr().err
        assert "europe/pre" in said or "europe/post" in said
        assert "locations" in said
    # A date that is only told otherwise is the same instant.
    write(own.folder, lambda text: text.replace("2021-10-01", "2021-10-01T00:00:00Z"))
    assert mine() == 0


@pytest.mark.slow
def test_pictures_and_pages_tell_windows(events, tmp_path, capsys):
    cube = contents.opened(events.dataset, events.store, "europe", "post")
    for spot, want in (
        ((0, 1), [("event_date", "2021-07-16T04:30:00Z"), ("window", "2021-07-16 to before 2021-08-06")]),
        ((2, 2), [("event_date", "none")]),
    ):
        facts = show._facts(cube, cube.outcomes[tiny.name(*spot)], "")
        assert [f for f in facts if f[0] in ("event_date", "window")] == want
    assert events("show", f"europe/post/{tiny.name(1, 3)}", "--out", str(tmp_path / "post.png")) == 0
    found = survey.survey(events.dataset, events.store)
    chart = measurements.dates(found)
    assert chart is not None
    assert "post s2l2a: 3 patches, 2021-07-10 to 2021-10-10" in chart.svg
    assert ("seasons", "pre days -30…-1 of event_date, post days 0…20 of event_date") in page._facts(found, None)


# --- dates of other seasons, which decide pixels by way of the orbit direction ----------------------------------------

TWO = """[seasons]
pre = { around = "event_date", days = [-30, -1], anchor_day = -1 }
summer = { start = 2021-06-01, end = 2021-09-01 }
post = { around = "later", days = [0, 20] }
"""
# With 12 days more each way radar of `pre` is that of 11 July (descending) and 12 July (ascending), of `summer` as well.
FALL, EARLY = "2021-11-20", "2021-06-09"
"""Dates whose `post` has one radar scene: that of 20 November, ascending; or that of 11 July."""
SPOTS = [(1, 1), (1, 2), (1, 3)]


def both(world: tiny.World, folder: Path, later: str) -> tiny.World:
    """The tiny world with two columns of dates; `later` of the first location is given."""
    made = world.from_afar(folder)
    text = made.recipe.read_text()
    start, end = text.index("[seasons]"), text.index("[sources]")
    columns = 'file = "places.csv"\ncolumns = ["event_date", "later"]'
    made.recipe.write_text((text[:start] + TWO + text[end:]).replace('file = "places.csv"', columns))
    rows = [
        f"{x},{y},{tiny.EPSG},2021-07-14,{'' if spot == SPOTS[2] else later if spot == SPOTS[0] else FALL}"
        for spot in SPOTS
        for x, y in [tiny.corner(*spot)]
    ]
    (folder / "places.csv").write_text("\n".join(["x0_m,y0_m,epsg,event_date,later", *rows]) + "\n")
    return made


def radar(curate: Curate, season: str, spot: tuple[int, int] = SPOTS[0]) -> str:
    """The day of the radar scene of a patch."""
    (scene,) = outcomes(curate, season)[tiny.name(*spot)].sources["s1rtc"].scenes
    return scene.split("_")[3][:8]


@pytest.fixture(scope="module")
def fall(world: tiny.World, tmp_path_factory: pytest.TempPathFactory) -> Curate:
    """Built; nobody changes it."""
    curate = Curate(both(world, tmp_path_factory.mktemp("two"), FALL), tmp_path_factory.mktemp("built-two"))
    assert curate() == 0
    return curate


@pytest.mark.slow
def test_a_date_of_another_season_that_decides_pixels_is_refused_as_ones_own_is(world, fall, tmp_path, capsys):
    early = Curate(both(world, tmp_path / "early", EARLY), tmp_path / "afresh")
    assert early() == 0
    for season in ("pre", "summer"):  # the direction of most scenes changes with `later`, so its pixels do
        assert (radar(fall, season), radar(early, season)) == ("20210712", "20210711")
        assert radar(fall, season, SPOTS[1]) == radar(early, season, SPOTS[1])
    mine = Curate(early.world, tmp_path / "root")
    shutil.copytree(fall.root, mine.root)
    (mine.folder / "manifest/locations.parquet").unlink()
    capsys.readouterr()
    for season in ("pre", "summer", "post"):
        assert mine("build", "--season", season) != 0
        said = capsys.readouterr().err
        assert f"europe/{season}" in said
        assert "locations" in said
    assert mine("build", "--season", "static") == 0  # what has no time follows from no date
    assert mine("pack") != 0


@pytest.mark.slow
def test_a_cube_gives_the_dates_of_others_back_and_readers_know_them_as_times(fall):
    ids = [tiny.name(*s) for s in SPOTS]
    later = dict(zip(ids, [FALL, FALL, None], strict=True))
    for season, held in {
        "pre": ["date", "window_start", "window_end", "date_of_post"],
        "summer": ["date_of_pre", "date_of_post"],
        "post": ["date", "window_start", "window_end", "date_of_pre"],
        "static": [],
    }.items():
        found = contents.opened(fall.dataset, fall.store, "europe", season).cube
        for place in found.locations if held else ():
            said = {column: None if value is None else f"{value:%Y-%m-%d}" for column, value in place.columns.items()}
            assert said == {"event_date": "2021-07-14", "later": later[place.id]}
        alone = xr.open_zarr(fall.folder / f"cubes/europe/{season}.zarr")
        assert [n for n in alone.variables if "date" in str(n) or "window" in str(n)] == sorted(held)
    assert fall("verify") == 0
    cube = curation.open_cube(fall.folder, "europe").sel(location=ids)
    for season in ("pre", "summer", "post"):
        want = [FALL, FALL, "NaT"] if season != "post" else ["NaT"] * 3
        assert np.array_equal(
            cube["date_of_post"].sel(season=season).values, np.array(want, "datetime64[ns]"), equal_nan=True
        )


COLUMNS = ("a", "b", "c")


@given(
    st.lists(st.sampled_from([*COLUMNS, None]), min_size=1, max_size=4),
    st.sampled_from(["", "s1rtc = {}", "s1rtc = { seasons = ['s0'] }"]),
    st.dictionaries(st.sampled_from(COLUMNS), st.dates(dt.date(1990, 1, 1), dt.date(2030, 1, 1)), max_size=3),
    st.sampled_from(COLUMNS),
)
@settings(max_examples=examples(200))
@pytest.mark.slow
def test_what_binds_a_cube_changes_with_a_date_where_its_searches_do_and_nowhere_else(
    tmp_path_factory, arounds, radar, dates, changed
):
    folder = tmp_path_factory.mktemp("bound")
    lines = [
        f"s{n} = {{ around = '{c}', days = [0, 9] }}"
        if c
        else f"s{n} = {{ start = 2021-0{n + 1}-01, end = 2021-06-01 }}"
        for n, c in enumerate(arounds)
    ]
    made = recipe(folder, "[seasons]\n" + "\n".join(lines), str(list(COLUMNS)), {"s1rtc = {}": radar})
    before = {c: dates.get(c) and dt.datetime.combine(dates[c], dt.time(), dt.UTC) for c in COLUMNS}
    after = before | {changed: (before[changed] or dt.datetime(2020, 1, 1, tzinfo=dt.UTC)) + dt.timedelta(days=400)}
    one, other = (
        Location("a", 8.0, 50.0, 32632, 0.0, 0.0, made.recipe.grid.size, "europe", columns=c) for c in (before, after)
    )
    for season in made.cube_seasons():
        searched = [[(s.name, w, c) for s, w, c in wanted(made, season, [p])] for p in (one, other)]
        bound = [Cube(made, "europe", season, Locations.of([p])).locations_digest for p in (one, other)]
        assert (bound[0] == bound[1]) == (searched[0] == searched[1])
