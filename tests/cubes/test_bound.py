"""A recipe grows: by seasons, places, regions and sources. What stands stays, and is not read again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import xarray as xr

from curation import pipeline
from curation.build import slab, walk
from curation.cubes import columns, creation, open_cube, open_patch
from curation.cubes.cube import FACTS, Cube
from curation.errors import ConfigError, DamageError, StorageError
from curation.format.index import Index
from curation.outcomes import Status
from curation.store.ledger import Ledger
from curation.store.paths import within
from tests import world as tiny
from tests.properties import fast
from tests.run import Curate

AUTUMN = "autumn = { start = 2021-09-01, end = 2021-12-01 }\n"
KEEPS = 's1rtc = { direction_from = ["summer"] }'
FIRST = 10


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Season and id of every patch that is built."""
    seen: list[str] = []
    real = slab.build_patch

    def spy(its, place):
        seen.append(f"{its.season}/{place.id}")
        return real(its, place)

    monkeypatch.setattr(slab, "build_patch", spy)
    return seen


@pytest.fixture
def small(world: tiny.World, tmp_path: Path) -> Curate:
    """The first places of the tiny world alone, in summer alone."""
    mine = Curate(world.from_afar(tmp_path / "own"), tmp_path / "root")
    changed(mine, lambda text: text.replace(AUTUMN, ""))
    placed(mine, slice(0, FIRST))
    return mine


def changed(curate: Curate, how: Callable[[str], str]) -> None:
    before = curate.world.recipe.read_text()
    after = how(before)
    assert after != before
    curate.world.recipe.write_text(after)


def placed(curate: Curate, rows: slice) -> None:
    """Has some of the tiny world's places in the file."""
    head, *lines = Path(curate.world.folder.parent / "all.csv").read_text().splitlines()
    (curate.world.folder / "places.csv").write_text("\n".join([head, *lines[rows]]) + "\n")


@pytest.fixture(autouse=True)
def every_place(world: tiny.World, tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_bytes((world.folder / "places.csv").read_bytes())


def objects(curate: Curate, prefix: str) -> dict[str, bytes]:
    return {s.key: curate.store.get(s.key) for s in curate.store.list(prefix)}


def outcomes(curate: Curate) -> dict[tuple[str, str], object]:
    """(season, id) → what became of each patch, with the hashes of its chunks."""
    seasons = ("static", "summer", "autumn")
    return {(s, o.id): o for s in seasons for o in Ledger.replay(curate.store, "europe", s).outcomes()}


@pytest.mark.slow
def test_what_has_grown_is_what_is_built_at_once_and_nothing_that_stands_is_built_again(
    built: Curate, small: Curate, tried: list[str], capsys: pytest.CaptureFixture[str]
):
    assert small() == 0
    first = outcomes(small)
    standing, searches = objects(small, "cubes"), objects(small, "scenes")
    tried.clear()

    # A season: what decides the one orbit direction of those that stand is to be said.
    changed(small, lambda text: text.replace("[sources]", f"{AUTUMN}\n[sources]"))
    assert small() == 2
    assert 'direction_from = ["summer"]' in capsys.readouterr().err
    changed(small, lambda text: text.replace("s1rtc = {}", KEEPS))
    assert small() == 0
    assert {t.split("/")[0] for t in tried} == {"autumn"}
    assert len(tried) == FIRST
    after = objects(small, "cubes")
    assert {k: after[k] for k in standing} == standing
    assert {k for k in objects(small, "scenes").keys() - searches if "/autumn/" not in k} == set()
    assert {k: v for k, v in objects(small, "scenes").items() if k in searches} == searches
    before = outcomes(small)
    tried.clear()

    # Places, once and again: a slab that had room is filled up, others follow.
    for rows in (slice(0, 18), slice(0, 25)):
        placed(small, rows)
        assert small() == 0
    assert sorted(tried) == sorted(f"{s}/{i}" for s, i in outcomes(small).keys() - before.keys())
    assert len(tried) == 3 * 15
    assert {key: outcomes(small)[key] for key in first} == first
    assert {key: its.chunks for key, its in outcomes(small).items()} == {
        key: its.chunks for key, its in outcomes(built).items()
    }
    assert small("verify") == 0
    assert small("pack") == 0
    tried.clear()
    assert small() == 0
    assert tried == []
    assert content(small) == content(built)
    found = open_cube.open_cube(small.folder, "europe")
    assert sorted(found.location.values) == sorted(tiny.name(r, c) for r in range(5) for c in range(5))


def content(curate: Curate) -> str:
    return Index.from_bytes((curate.folder / "shards" / "index.json").read_bytes(), "index.json").content_sha256


@pytest.mark.slow
def test_another_region_is_taken_up(small: Curate, tried: list[str]):
    assert small("build", "--season", "static") == 0
    standing = objects(small, "cubes")
    tried.clear()
    changed(small, lambda text: text.replace('regions = ["europe"]', 'regions = ["world", "europe"]'))
    assert small("build", "--season", "static") == 0
    assert len(tried) == FIRST
    after = objects(small, "cubes")
    assert {k: after[k] for k in standing} == standing
    assert {k.split("/")[1] for k in after} == {"europe", "world"}


def stopped_after(published: int) -> Callable[..., NoReturn]:
    """Creates a cube's own objects up to some, and then there is no room."""

    def stopped(cube, store, pixels, columns):
        made = creation._objects(cube, pixels)
        for key in sorted(made)[:published]:
            store.publish(within(cube.prefix, key), made[key])
        raise StorageError("no room")

    return stopped


@pytest.mark.slow
@pytest.mark.parametrize("published", fast([20], [0, 1, 20, 60]))
def test_killed_while_a_cube_takes_places_up_the_same_command_goes_on(
    small: Curate, published: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert small("build", "--season", "static") == 0
    placed(small, slice(0, 25))

    with monkeypatch.context() as only_now:
        only_now.setattr(pipeline.creation, "create", stopped_after(published))
        assert small("build", "--season", "static") == 1
    capsys.readouterr()
    assert small("verify") == 1
    said = capsys.readouterr().out
    assert "is being given more locations" in said
    assert "FAULT" not in said
    with pytest.raises(DamageError, match=r"being given more locations.*the same command"):
        open_cube.open_cube(small.folder, "europe")
    assert small("build", "--season", "static") == 0
    assert small("verify") == 0
    assert open_cube.open_cube(small.folder, "europe").sizes["location"] == 25


@pytest.mark.slow
def test_places_that_stand_stay_and_what_takes_them_away_is_refused(small: Curate, capsys: pytest.CaptureFixture[str]):
    assert small("build", "--season", "static") == 0
    before = objects(small, "")
    for rows, said in ((slice(0, 5), "10 stand, and the recipe has 5"), (slice(5, 25), "number 1 is")):
        placed(small, rows)
        assert small("build", "--season", "static") == 2
        assert said in capsys.readouterr().err
    assert objects(small, "") == before
    small.store.delete("manifest/locations.parquet")  # by which it is known: the cube knows, too
    assert small("build", "--season", "static") == 2
    assert "locations is" in capsys.readouterr().err


LATER = ("s1rtc = {}\n", "dem = {}\n", "dynamicworld = { required = false }\n", 'seasonal = "dynamicworld"\n')
"""What a recipe lacks at first, and is given later."""


def lacking(curate: Curate, *lines: str) -> str:
    """The recipe as it was, before these lines were taken out of it."""
    whole = curate.world.recipe.read_text()
    for line in lines:
        changed(curate, lambda text, line=line: text.replace(line, ""))
    return whole


@pytest.fixture
def bands_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Id of every patch of which bands of the scene that others go with are read."""
    seen: list[str] = []
    real = walk.read_bands

    def spy(slab, patch, source, scene):
        seen.append(patch.location.id)
        return real(slab, patch, source, scene)

    monkeypatch.setattr(walk, "read_bands", spy)
    return seen


def test_sources_that_are_added_come_to_what_is_built_at_once_and_what_stands_is_not_read_again(
    built: Curate, world: tiny.World, tmp_path: Path, bands_read: list[str], capsys: pytest.CaptureFixture[str]
):
    mine = Curate(world.from_afar(tmp_path / "own"), tmp_path / "root")
    whole = lacking(mine, *LATER)
    assert mine() == 0
    before, standing = outcomes(mine), objects(mine, "cubes")
    bands_read.clear()
    mine.world.recipe.write_text(whole.replace("max_gap_days = 12", "max_gap_days = 11"))
    assert mine() == 2
    said = capsys.readouterr().err
    assert "What changed: quality.max_gap_days was 12" in said
    assert "A source can be added to a cube where nothing else of it changes" in said
    assert objects(mine, "cubes") == standing
    mine.world.recipe.write_text(whole)
    assert mine("build", "--limit", "3") == 0  # the rest of what has begun to grow is pending, and told so
    assert mine("verify") == 0
    assert mine("pack") == 1
    assert "(pending)" in capsys.readouterr().err
    assert mine() == 0
    assert outcomes(mine) == outcomes(built)
    assert mine("verify") == 0
    assert mine("pack") == 0
    assert content(mine) == content(built)

    # Bands are read of patches alone that were not ok, or take another scene for what is added.
    ok = {i for (_, i), o in before.items() if o.status is Status.OK}
    other = {
        i
        for (s, i), o in before.items()
        if s != "static" and o.sources["s2l2a"].scenes != outcomes(built)[s, i].sources["s2l2a"].scenes
    }
    assert {i for i in bands_read if i in ok} <= other
    after = objects(mine, "cubes")
    kept = [k for k in standing if "/s2l2a_10m/c/" in k and after[k] == standing[k]]
    assert kept


def test_no_column_says_what_is_not_so_while_a_cube_is_given_sources(
    world: tiny.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mine = Curate(world.from_afar(tmp_path / "own"), tmp_path / "root")
    whole = lacking(mine, *LATER)
    assert mine("build", "--season", "summer") == 0
    mine.world.recipe.write_text(whole)

    def said_falsely() -> set[int]:
        """Places of which columns say something, and another thing than the ledger, or what that does not say."""
        raw = xr.open_zarr(mine.folder / "cubes/europe/summer.zarr", decode_times=False).load()
        known = {o.id: (int(o.status), " ".join(o.sources["s2l2a"].scenes)) for o in ledger().outcomes()}
        told = zip(raw.id.values.tolist(), raw.status.values.tolist(), raw.s2l2a_scenes.values.tolist(), strict=True)
        return {n for n, (name, *its) in enumerate(told) if its != [0, ""] and tuple(its) != known.get(name)}

    def ledger() -> Ledger:
        return Ledger.replay(mine.store, "europe", "summer")

    real = columns.publish

    def stopped(cube: Cube, *how: Any) -> str:
        if cube.season == "summer":
            raise StorageError("no room")
        return real(cube, *how)

    def killed(*flags: str) -> None:
        with monkeypatch.context() as only_now:
            only_now.setattr(pipeline.columns, "publish", stopped)
            assert mine("build", "--season", "summer", *flags) == 1

    killed("--limit", "5")
    assert said_falsely() == set()
    assert mine("build", "--season", "summer", "--limit", "9") == 0  # the rest lacks what is added
    assert said_falsely() == set()
    killed()
    assert said_falsely() == set()
    assert mine("build", "--season", "summer") == 0
    raw = xr.open_zarr(mine.folder / "cubes/europe/summer.zarr", decode_times=False)
    assert raw.status.values.tolist() == [int(o.status) for o in ledger().outcomes()]
    assert mine("verify") == 0


@pytest.fixture
def breakable(small: Curate, world: tiny.World) -> Curate:
    """As `small`, with radar images and heights of its own."""
    for item in small.world.items:
        for asset in item["assets"].values():
            for folder in ("s1", "dem"):
                asset["href"] = asset["href"].replace(f"{world.folder}/{folder}/", f"{small.world.folder}/{folder}/")
    for folder in ("s1", "dem"):
        shutil.copytree(world.folder / folder, small.world.folder / folder)
    small.world.catalog.write_text(json.dumps({"type": "FeatureCollection", "features": small.world.items}))
    return small


@pytest.mark.slow
def test_a_source_that_fails_or_is_stopped_while_it_is_added_leaves_what_stands(
    breakable: Curate,
    bands_read: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
):
    small = breakable
    whole = lacking(small, *LATER[:2])
    assert small() == 0
    standing = outcomes(small)
    ok = {i for (s, i), o in standing.items() if s == "summer" and o.status is Status.OK}
    small.world.recipe.write_text(whole)
    for folder in ("s1", "dem"):
        (small.world.folder / folder).rename(tmp_path / folder)

    # Stopped while the cubes' own objects are written anew; then nothing that is added can be read.
    with monkeypatch.context() as only_now:
        only_now.setattr(pipeline.creation, "create", stopped_after(20))
        assert small() == 1
    assert small("verify") == 1
    assert "FAULT" not in capsys.readouterr().out
    bands_read.clear()
    assert small() == 1
    found = outcomes(small)
    for key, its in standing.items():
        if its.status is Status.OK:
            assert found[key].chunks.items() >= its.chunks.items()
            assert found[key].label in (
                "failed ReadError:s1rtc",
                "failed ReadError:dem",
                "ok",
            )  # of sea there is no DEM
    assert {found["summer", i].status for i in ok} == {Status.FAILED}
    assert small("verify") == 0
    with pytest.raises(ConfigError, match="has no pixels: it is failed"):
        open_patch.open_patch(small.folder, f"europe/summer/{min(ok)}")

    # They can be, and a build is stopped between the objects and the line that records them; then it goes on.
    for folder in ("s1", "dem"):
        (tmp_path / folder).rename(small.world.folder / folder)
    bands_read.clear()
    with monkeypatch.context() as only_now:
        only_now.setattr(Ledger, "append", no_room)
        assert small() == 1
    assert ok.isdisjoint(bands_read)
    capsys.readouterr()
    assert small("verify") == 1
    assert "FAULT" not in capsys.readouterr().out
    assert small("build", "--limit", "1") == 0  # of what failed the rest of the slab is not tried, nor known any more
    assert small("verify") == 0
    assert small() == 0
    assert small("verify") == 0
    at_once = Curate(small.world, tmp_path / "at once")
    assert at_once() == 0
    assert outcomes(small) == outcomes(at_once)


@pytest.mark.slow
def test_a_slab_that_fails_as_a_whole_while_it_is_given_a_source_keeps_what_stands(
    small: Curate,
    bands_read: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
):
    placed(small, slice(0, 4))  # of which the last is refused
    whole = lacking(small, *LATER[:2])
    assert small() == 0
    standing, before = outcomes(small), objects(small, "cubes")
    ok = {i for (s, i), o in standing.items() if s == "summer" and o.status is Status.OK}
    assert 0 < len(ok) < 4
    small.world.recipe.write_text(whole)

    def lost(job: object) -> NoReturn:
        raise RuntimeError("its worker was lost")

    with monkeypatch.context() as only_now:
        only_now.setattr(pipeline, "build_slab", lost)
        assert small() == 1
    found = outcomes(small)
    assert {o.label for o in found.values()} == {"failed RuntimeError:slab"}
    for key, its in standing.items():  # no pixel is lost, and none is of the source that nobody has read
        assert (found[key].chunks, found[key].facts) == (its.chunks, its.facts if its.chunks else "")
    slabs = {k: v for k, v in before.items() if "/c/" in k and ("_10m/" in k or "_20m/" in k or f"/{FACTS}/" in k)}
    assert len(slabs) > 3
    assert {k: v for k, v in objects(small, "cubes").items() if k in slabs} == slabs
    capsys.readouterr()
    assert small("verify") == 0
    with pytest.raises(ConfigError, match="has no pixels: it is failed"):
        open_patch.open_patch(small.folder, f"europe/summer/{min(ok)}")
    assert small("report") == 0
    bands_read.clear()
    assert small() == 0
    assert ok.isdisjoint(bands_read)
    assert small("verify") == 0
    at_once = Curate(small.world, tmp_path / "at once")
    assert at_once() == 0
    assert outcomes(small) == outcomes(at_once)


def test_stopped_before_any_of_a_source_is_recorded_a_cube_may_stay_without_it(
    small: Curate, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    placed(small, slice(0, 2))
    given = lacking(small, *LATER)
    without = small.world.recipe.read_text()
    assert small("build", "--season", "summer") == 0
    before, stood = objects(small, "cubes"), outcomes(small)

    def stopped(recipe: str, published: int) -> None:
        small.world.recipe.write_text(recipe)
        with monkeypatch.context() as only_now:
            only_now.setattr(pipeline.creation, "create", stopped_after(published))
            assert small("build", "--season", "summer") == 1
        assert "no room" in capsys.readouterr().err

    # Stopped once while it is given sources, and once more while it goes back.
    stopped(given, 20)
    stopped(without, 0)
    with pytest.raises(DamageError, match="being given more locations or sources"):
        open_cube.open_cube(small.folder, "europe")
    small.world.recipe.write_text(without)
    assert small("build", "--season", "summer") == 0
    assert (objects(small, "cubes"), outcomes(small)) == (before, stood)
    assert small("verify") == 0

    # By what it was given it goes on as well, and then it has that.
    stopped(given, 20)
    small.world.recipe.write_text(given)
    assert small("build", "--season", "summer") == 0
    assert {s for o in outcomes(small).values() for s in o.sources} > {s for o in stood.values() for s in o.sources}
    small.world.recipe.write_text(without)
    assert small("build", "--season", "summer") == 2
    assert "What changed: " in capsys.readouterr().err


def no_room(*_: object) -> None:
    raise StorageError("no room")


def test_what_its_pixels_follow_from_is_refused_as_before(small: Curate, capsys: pytest.CaptureFixture[str]):
    placed(small, slice(0, 1))
    assert small("build", "--season", "summer") == 0
    recipe = small.world.recipe.read_text()
    series = 'series = { of = "s2l2a", seasons = ["autumn"], pick = { name = "all", steps = 4096 } }'
    changed(
        small,
        lambda text: text.replace("s1rtc = {}", f"{KEEPS}\n{series}").replace("[sources]", f"{AUTUMN}\n[sources]"),
    )
    assert small("build", "--season", "summer") == 2
    assert "has slabs of 4 patches, and by the recipe they have 2" in capsys.readouterr().err
    small.world.recipe.write_text(recipe)
    changed(small, lambda text: text.replace("2021-06-01, end", "2021-06-02, end"))
    assert small("build", "--season", "summer") == 2
    assert "What changed: seasons.summer.start was" in capsys.readouterr().err
    changed(small, lambda text: text.replace("2021-06-02, end", "2021-06-01, end"))
    changed(small, lambda text: text.replace('seasonal = "dynamicworld"\n', ""))
    changed(small, lambda text: text.replace("dynamicworld = { required = false }\n", ""))
    assert small("build", "--season", "summer") == 2
    assert "sources.dynamicworld" in capsys.readouterr().err
