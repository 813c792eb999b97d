"""What a recipe excludes is never used, and told where it would have been."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import xarray as xr
from affine import Affine
from pyproj import Transformer

from curation.outcomes import Status
from curation.store.ledger import Ledger
from tests import world as tiny
from tests.build.dates import CLOUD, HERE, RADAR, Dates, built, outcomes, reason
from tests.run import Curate

PLACES = ((0, 0), (0, 1), (1, 0), (1, 1))


def cube(curate: Curate) -> dict[str, dict[str, Any]]:
    """Location id → name → all that the cube holds of it."""
    opened = xr.open_zarr(curate.folder / "cubes" / "europe" / "summer.zarr").load()
    names = [str(n) for n in opened.variables if "patch" in opened[n].dims]
    return {
        str(opened.id.values[i]): {n: opened[n].isel(patch=i).values.tolist() for n in names}
        for i in range(opened.sizes["patch"])
    }


def several(folder: Path) -> tuple[Dates, str]:
    """Four places; the scene that serves most is the first choice of two of them. Its id."""
    mine = Dates(folder, PLACES)
    bad = mine.mask("2021-07-15", {(1, 0): {CLOUD: 0.05}, (1, 1): {CLOUD: 0.5}})
    mine.mask("2021-07-16", {(0, 0): {CLOUD: 0.02}, (0, 1): {CLOUD: 0.5}, (1, 1): {CLOUD: 0.25}})
    mine.mask("2021-07-17", {p: {CLOUD: 0.5} for p in PLACES} | {(0, 1): {CLOUD: 0.08}})
    mine.mask("2021-08-10", {(1, 1): {CLOUD: 0.5}, (0, 0): {CLOUD: 0.06}}, cloud_pct=20)
    mine.radar("2021-07-16")
    mine.radar("2021-08-10")
    return mine, bad


def test_what_is_excluded_is_never_used_and_changes_nothing_else(tmp_path: Path):
    mine, bad = several(tmp_path)
    before = mine.ready(sources=RADAR, max_candidates=3)
    before()
    mine.ready(sources=RADAR, max_candidates=3, exclude=[bad, "S2A_nobody"])
    after = Curate(mine, tmp_path / "after")
    after()
    one, other = outcomes(before), outcomes(after)
    used = {i for i, o in one.items() if bad in o.sources["s2l2a"].scenes}
    assert used == {tiny.name(0, 0), tiny.name(0, 1)}
    assert other[tiny.name(0, 0)].sources["s2l2a"].scenes == ("S2A_20210716",)
    assert other[tiny.name(0, 1)].sources["s2l2a"].scenes == ("S2A_20210717",)
    stored, again = cube(before), cube(after)
    for name in one.keys() - used:
        assert one[name] == other[name], "the hashes of its pixels as well"
        assert repr(stored[name]) == repr(again[name])
    assert one[tiny.name(1, 1)].reason == "exhausted:s2l2a", "what is excluded counts as if it were read"
    ledger = Ledger.replay(after.store, "europe", "summer")
    assert [r.excluded for r in ledger.slabs.values()] == [(bad,), (bad,)]


def test_an_id_that_excludes_nothing_is_told_and_one_that_does_is_not(tmp_path: Path, capsys):
    mine, bad = several(tmp_path)
    curate = mine.ready(exclude=[bad, bad[:-1] + "X", "S1_other"])
    assert curate() == 0
    said = [x for x in capsys.readouterr().err.splitlines() if "excludes nothing" in x]
    told = [re.search(r"exclude: '(.*)' is in no search of this dataset", x)[1] for x in said]
    assert sorted(told) == sorted([bad[:-1] + "X", "S1_other"])
    assert any("did you mean S2A_2021" in x for x in said)
    mine.ready(exclude=[bad])
    assert curate() == 0
    assert "excludes nothing" not in capsys.readouterr().err


def test_patches_that_have_an_excluded_scene_keep_it_and_the_summary_counts_them(tmp_path: Path, capsys):
    mine, bad = several(tmp_path)
    curate = mine.ready()
    assert curate("build", "--limit", "1") == 0
    mine.ready(exclude=[bad])
    capsys.readouterr()
    assert curate() == 0, "the cube that was begun goes on"
    assert "1 patch built before with scenes that the recipe now excludes; they stay in" in capsys.readouterr().out
    found = outcomes(curate)
    first = [i for i, o in found.items() if bad in o.sources["s2l2a"].scenes]
    assert len(first) == 1
    assert curate("verify") == 0
    assert curate("pack") == 0
    release = json.loads((curate.folder / "manifest" / "release.json").read_text())
    assert release["recipe"]["search"] == {"exclude": [bad], "local": []}


def test_where_all_that_might_be_used_is_excluded_that_is_the_reason(dates: Dates):
    only = dates.mask("2021-07-15", {})
    radar = dates.radar("2021-07-15")
    assert reason(dates.ready(sources=RADAR, exclude=[only])) == "excluded:s2l2a"
    dates.ready(sources=RADAR, exclude=[radar])
    assert reason(Curate(dates, dates.folder / "radar")) == "excluded:s1rtc"


def spoilt(mine: Dates, name: str) -> None:
    """Makes an item one that cannot be read."""
    next(i for i in mine.items if i["id"] == name)["properties"]["platform"] = ["S2A"]


def test_where_none_passes_an_item_that_cannot_be_read_might_have_until_it_is_excluded(dates: Dates):
    dates.mask("2021-07-15", {CLOUD: 0.5})
    lost = dates.mask("2021-07-16", {})
    spoilt(dates, lost)
    outcome = built(dates.ready())
    assert (outcome.status, outcome.code) == (Status.FAILED, "unreadable_item")
    assert lost in str(outcome.cause)
    dates.ready(exclude=[lost])
    assert reason(Curate(dates, dates.folder / "without")) == "cloudy:s2l2a"


def test_a_partner_that_cannot_be_read_is_no_gap_in_time(dates: Dates):
    dates.mask("2021-07-15", {})
    dates.radar("2021-08-10")
    spoilt(dates, dates.radar("2021-07-15"))
    outcome = built(dates.ready(sources=RADAR), "s1rtc")
    assert (outcome.status, outcome.code) == (Status.FAILED, "unreadable_item")


def test_an_item_that_cannot_be_read_takes_nothing_from_a_patch_that_is_ok(dates: Dates):
    dates.mask("2021-07-15", {})
    spoilt(dates, dates.mask("2021-07-16", {}))
    assert reason(dates.ready()) == "ok"


def test_an_item_that_cannot_be_read_and_is_excluded_is_told_as_that(tmp_path: Path):
    mine = Dates(tmp_path)
    mine.maps()
    spoilt(mine, mine.mask("2021-07-15", {}))
    spoilt(mine, "dem")
    curate = mine.ready(sources="dem = {}", exclude=["dem", "S2A_20210715"])
    curate("build", "--season", "all")
    assert outcomes(curate)[tiny.name(*HERE)].reason == "excluded:s2l2a"
    assert outcomes(curate, "static")[tiny.name(*HERE)].reason == "excluded:dem", "what lies there is no sea"


def test_what_the_ledger_says_was_excluded_stays_while_patches_built_so_are_kept(tmp_path: Path):
    mine, bad = several(tmp_path)
    curate = mine.ready(exclude=[bad])
    assert curate("build", "--limit", "1") == 0
    mine.ready()
    assert curate() == 0
    assert (bad,) in [r.excluded for r in Ledger.replay(curate.store, "europe", "summer").slabs.values()]


def test_heights_that_are_excluded_are_no_sea(tmp_path: Path):
    mine = Dates(tmp_path)
    mine.mask("2021-07-15", {})
    mine.maps()
    curate = mine.ready(sources="dem = {}", exclude=["dem"])
    curate("build", "--season", "static")
    assert outcomes(curate, "static")[tiny.name(*HERE)].reason == "excluded:dem"


def test_heights_beside_what_is_excluded_are_no_sea(tmp_path: Path):
    mine = Dates(tmp_path)
    mine.mask("2021-07-15", {})
    mine.maps()
    dem = next(i for i in mine.items if i["id"] == "dem")
    # Another item ends within the place: east of it there would be sea, were the excluded one not there.
    west, south, _, north = dem["bbox"]
    (x, y), res = tiny.corner(*HERE), 1 / 3600
    middle = Transformer.from_crs(tiny.EPSG, 4326, always_xy=True).transform(x + 240, y - 240)[0]
    shape = (round((north - south) / res), round((middle - west) / res))
    heights = np.full(shape, 7, "f4")
    href = mine.raster("west.tif", heights, Affine(res, 0, west, 0, -res, north), "EPSG:4326")
    box = shapely.geometry.mapping(shapely.box(west, south, west + shape[1] * res, north))
    mine.items.append({**dem, "id": "west", "geometry": box, "assets": {"data": {"href": href}}})
    curate = mine.ready(sources="dem = {}", exclude=["dem"])
    curate("build", "--season", "static")
    source = outcomes(curate, "static")[tiny.name(*HERE)].sources["dem"]
    assert (source.code, source.value) == ("nodata", pytest.approx(0.5, abs=0.05))
