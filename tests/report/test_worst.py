"""The worst patches by a fact, and the places that somebody takes out for it."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path

import geopandas as gpd
import pytest
import xarray as xr

from curation.errors import ConfigError
from curation.report import worst
from curation.stream.open import open_shards
from tests import world as tiny
from tests.run import Curate

COMPLETE = {tiny.name(r, c) for r in (0, 1) for c in range(4)} - {tiny.name(0, 3)}


@pytest.fixture
def mine(built: Curate, tmp_path: Path) -> Curate:
    """A copy that has a recipe of its own."""
    shutil.copytree(built.world.folder, tmp_path / "own", ignore=shutil.ignore_patterns("*.tif"))
    return Curate(tiny.World(tmp_path / "own"), built.copy(tmp_path / "root").root)


def samples(curate: Curate) -> set[str]:
    return {s["key"] for s in open_shards(str(curate.folder / "shards"), "train")}


def test_the_worst_are_drawn_and_what_is_printed_takes_them_out(mine: Curate, tmp_path: Path, capsys):
    cube = xr.open_zarr(mine.folder / "cubes" / "europe" / "summer.zarr")
    ok = cube[["status", "s1rtc_gap_days", "id"]].load()
    ok = ok.isel(patch=ok.status.values == 1)
    found = sorted(
        zip(ok.s1rtc_gap_days.values.tolist(), ok.id.values.tolist(), strict=True), key=lambda v: (-abs(v[0]), v[1])
    )
    page = tmp_path / "worst.html"
    flags = ["--by", "gap_days", "--n", "3", "--season", "summer", "--out", str(page)]
    assert mine("worst", *flags) == 0
    said = capsys.readouterr().out
    names = re.findall(r"^europe/summer/(\S+)", said, re.MULTILINE)
    assert names == [name for _, name in found[:3]]
    html = page.read_text()
    assert html.count("<img ") >= 3
    assert all(name in html for name in names)

    pasted = re.search(r"\[exclude\.ids\]\n(?:.+\n)+", said).group()
    assert set(tomllib.loads(pasted)["exclude"]["ids"]) == set(names)
    mine.world.recipe.write_text(f"{tiny.RECIPE}\n{pasted}")
    assert mine("worst", *flags) == 0
    assert not set(re.findall(r"^europe/summer/(\S+)", capsys.readouterr().out, re.MULTILINE)) & set(names)


@pytest.mark.slow
def test_what_is_excluded_is_counted_with_its_reason_and_the_next_of_the_draw_takes_its_place(
    mine: Curate, built: Curate, capsys: pytest.CaptureFixture[str]
):
    order = [tiny.name(r, c) for r in range(tiny.LATTICE) for c in range(tiny.LATTICE)]
    first = [name for name in order if name in COMPLETE]
    mine.world.recipe.write_text(f"{tiny.RECIPE}target = 3\n")
    assert mine("pack") == 0
    assert samples(mine) == set(first[:3])
    digest = mine.dataset.release_digest()
    (mine.world.folder / "out.csv").write_text(f"id,reason,who\n{first[2]},a ship,me\n")
    mine.world.recipe.write_text(
        f'{tiny.RECIPE}target = 3\n[exclude]\nfile = "out.csv"\n'
        f'[exclude.ids]\n"{first[0]}" = "haze"\n"{first[0]}x" = "typo"\n'
    )
    assert mine.dataset.release_digest() != digest
    capsys.readouterr()
    assert mine("pack") == 0
    assert re.search(rf"{first[0]}x.*excludes nothing; did you mean {first[0]}", capsys.readouterr().err)
    assert samples(mine) == {first[1], first[3], first[4]}
    index = json.loads((mine.folder / "shards" / "index.json").read_text())
    assert index["counts"]["dropped"]["taken_out"] == 2
    assert index["counts"]["taken_out"] == {"haze": 1, "a ship": 1}
    dropped = gpd.read_parquet(mine.folder / "manifest" / "dropped.parquet").set_index("id")
    assert dropped.loc[first[0], ["reason", "note"]].tolist() == ["taken_out", "haze"]
    assert mine("verify") == 0
    assert mine("report") == 0
    assert "taken_out" in (mine.folder / "report.html").read_text()
    # Who says nothing of it has what was there before.
    assert "exclude" not in json.loads((built.folder / "manifest" / "release.json").read_text())["recipe"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,why\na,b\n", r"lacks \['reason'\]"),
        ("id,reason\na,\n", "row 1 has id 'a' and reason ''"),
        ("id,reason\na,b\na,c\n", "row 2: a is excluded already"),
    ],
)
def test_a_file_that_gives_no_reason_is_refused(mine: Curate, text: str, said: str, capsys):
    (mine.world.folder / "out.csv").write_text(text)
    mine.world.recipe.write_text(f'{tiny.RECIPE}[exclude]\nfile = "out.csv"\n')
    assert mine("pack") == 2
    assert re.search(said, capsys.readouterr().err)


def test_what_there_is_not_is_told_with_what_was_meant(built: Curate):
    def asked(by: str, region: str = "all", season: str = "all"):
        return worst.write(built.dataset, built.store, by, 1, region, season, None)

    with pytest.raises(ConfigError, match="did you mean clear_fraction"):
        asked("clear_fracton")
    with pytest.raises(ConfigError, match=r"sources have it: say which: .*s1rtc_valid_fraction"):
        asked("valid_fraction", season="summer")
    with pytest.raises(ConfigError, match="did you mean europe"):
        asked("gap_days", "eurpe")
    with pytest.raises(ConfigError, match="did you mean summer"):
        asked("gap_days", season="sumer")
