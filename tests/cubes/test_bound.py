"""A recipe grows: by seasons, places, regions and sources. What stands stays, and is not read again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from curation import pipeline
from curation.build import slab
from curation.cubes import creation, open_cube
from curation.errors import DamageError, StorageError
from curation.format.index import Index
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


@pytest.mark.slow
@pytest.mark.parametrize("published", fast([20], [0, 1, 20, 60]))
def test_killed_while_a_cube_takes_places_up_the_same_command_goes_on(
    small: Curate, published: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert small("build", "--season", "static") == 0
    placed(small, slice(0, 25))

    def stopped(cube, store, pixels):
        made = creation._objects(cube, pixels)
        for key in sorted(made)[:published]:
            store.publish(within(cube.prefix, key), made[key])
        raise StorageError("no room")

    with monkeypatch.context() as only_now:
        only_now.setattr(pipeline.creation, "create", stopped)
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


@pytest.mark.slow
def test_a_source_is_for_new_seasons_or_its_season_is_built_again(
    small: Curate, tried: list[str], capsys: pytest.CaptureFixture[str]
):
    changed(small, lambda text: text.replace("dynamicworld = { required = false }\n", ""))
    changed(small, lambda text: text.replace('seasonal = "dynamicworld"\n', ""))
    placed(small, slice(0, 2))
    assert small() == 0
    standing = objects(small, "cubes")
    text = small.world.recipe.read_text()
    changed(small, lambda text: text.replace("dem = {}", "dem = {}\ndynamicworld = { required = false }"))
    assert small() == 2
    said = capsys.readouterr().err
    assert "[sources.dynamicworld] seasons" in said
    assert "delete both cubes/europe/summer.zarr and ledger/europe/summer" in said
    small.world.recipe.write_text(text)
    changed(small, lambda text: text.replace("[sources]", f"{AUTUMN}\n[sources]").replace("s1rtc = {}", KEEPS))
    changed(
        small,
        lambda text: text.replace("dem = {}", 'dem = {}\ndynamicworld = { seasons = ["autumn"], required = false }'),
    )
    tried.clear()
    assert small() == 0
    assert {t.split("/")[0] for t in tried} == {"autumn"}
    assert {k: v for k, v in objects(small, "cubes").items() if k in standing} == standing


def test_what_its_pixels_follow_from_is_refused_as_before(small: Curate, capsys: pytest.CaptureFixture[str]):
    placed(small, slice(0, 1))
    assert small("build", "--season", "summer") == 0
    changed(small, lambda text: text.replace("2021-06-01, end", "2021-06-02, end"))
    assert small("build", "--season", "summer") == 2
    assert "What changed: seasons.summer.start was" in capsys.readouterr().err
    changed(small, lambda text: text.replace("2021-06-02, end", "2021-06-01, end"))
    changed(small, lambda text: text.replace('seasonal = "dynamicworld"\n', ""))
    changed(small, lambda text: text.replace("dynamicworld = { required = false }\n", ""))
    assert small("build", "--season", "summer") == 2
    assert "sources.dynamicworld" in capsys.readouterr().err
