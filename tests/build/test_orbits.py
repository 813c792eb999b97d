"""Where a radar scene's orbit is from, and which slice of which satellite it is; and recipes that want precise orbits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from curation.errors import ConfigError
from curation.recipe.dataset import load_dataset
from curation.store.ledger import Ledger
from tests import world as tiny
from tests.run import Curate

WANTED = 's1rtc = { orbits = "precise" }'


@pytest.fixture
def mine(world: tiny.World, tmp_path: Path) -> Curate:
    return Curate(world.from_afar(tmp_path / "world"), tmp_path / "root")


def told(mine: Curate, recipe: str | None, **orbits: str | None) -> None:
    """The world whose radar scenes say where their orbits are from, by direction, and a recipe for it."""
    found = json.loads(mine.world.catalog.read_text())
    for n, item in enumerate(i for i in found["features"] if i["collection"] == "sentinel-1-rtc"):
        source = orbits[item["properties"]["sat:orbit_state"]]
        item["properties"] |= {"s1:slice_number": str(14 + n)} | ({"s1:orbit_source": source} if source else {})
    mine.world.catalog.write_text(json.dumps(found))
    if recipe is not None:
        text = mine.world.recipe.read_text()
        assert "s1rtc = {}" in text
        mine.world.recipe.write_text(text.replace("s1rtc = {}", recipe))


def cube(mine: Curate) -> xr.Dataset:
    return xr.open_zarr(mine.folder / "cubes/europe/summer.zarr").set_index(patch="id")


def reasons(mine: Curate) -> dict[str, str]:
    """Patch → what became of its radar, where its optical scene was looked at at all."""
    outcomes = Ledger.replay(mine.store, "europe", "summer").outcomes()
    return {o.id: o.sources["s1rtc"].code or "ok" for o in outcomes if o.sources["s1rtc"].code != "upstream"}


@pytest.mark.slow
def test_a_patch_says_where_its_radar_s_orbit_is_from_and_which_slice_of_which_satellite_it_is(mine: Curate):
    told(mine, None, ascending="AUX_RESORB", descending="POEORB")
    assert mine("build", "--season", "summer") == 0
    patch = cube(mine).sel(patch=tiny.name(0, 0))
    assert str(patch.s1rtc_orbit_state.values) == "ascending"
    found = [str(patch[f"s1rtc_{fact}"].values) for fact in ("orbit_source", "slice", "platform")]
    assert found == ["RESORB", "14", "sentinel-1a"]


@pytest.mark.slow
def test_a_recipe_that_wants_precise_orbits_takes_no_other_nor_the_direction_that_has_none(mine: Curate):
    # The descending scene of July covers the north alone; by the counts of all scenes the places keep to ascending.
    told(mine, WANTED, ascending="RESORB", descending="poeorb")
    assert mine("build", "--season", "summer") == 0
    stored = cube(mine)
    north = {
        tiny.name(r, c) for r in range(5) for c in range(4) if tiny.corner(r, c)[1] - tiny.SIZE_M >= tiny.Y0 - 3_000
    }
    ok = {str(p) for p in stored.patch.values[stored.s1rtc_status.values == 1]}
    assert ok
    assert ok <= north
    assert {str(v) for v in stored.s1rtc_orbit_source.values[np.isin(stored.patch.values, list(ok))]} == {"POEORB"}
    left = {p: why for p, why in reasons(mine).items() if p not in north and not p.startswith(tiny.name(0, 4)[:13])}
    assert left
    assert set(left.values()) == {"orbit_imprecise"}


@pytest.mark.slow
def test_a_scene_that_says_nothing_of_its_orbit_is_not_taken_for_a_precise_one(mine: Curate):
    told(mine, WANTED, ascending=None, descending=None)
    assert mine("build", "--season", "summer") == 0
    assert "orbit_unstated" in set(reasons(mine).values())
    assert not (cube(mine).s1rtc_status.values == 1).any()


def test_a_dry_run_says_that_precise_orbits_alone_are_used(mine: Curate, capsys: pytest.CaptureFixture[str]):
    told(mine, WANTED, ascending="POEORB", descending="POEORB")
    assert mine("build", "--dry-run") == 0
    assert "Of s1rtc only scenes of precise orbits are used (POEORB)." in capsys.readouterr().out


def test_precise_orbits_are_of_a_radar_alone_and_change_the_digest(mine: Curate, tmp_path: Path):
    text = mine.world.recipe.read_text()
    plain = load_dataset(str(mine.world.recipe)).pixels_digest(
        dict.fromkeys(load_dataset(str(mine.world.recipe)).specs, "c"), {}
    )
    mine.world.recipe.write_text(text.replace("s1rtc = {}", WANTED))
    dataset = load_dataset(str(mine.world.recipe))
    assert dataset.pixels_digest(dict.fromkeys(dataset.specs, "c"), {}) != plain
    assert "orbits" not in json.dumps(load_dataset("ssl4eo-s12-ml").pixels_parts(dict.fromkeys(dataset.specs, "c"), {}))
    mine.world.recipe.write_text(text.replace("dem = {}", 'dem = { orbits = "precise" }'))
    with pytest.raises(
        ConfigError, match=r"\[sources\.dem\] orbits = 'precise': scenes of Copernicus DEM GLO-30 do not say"
    ):
        load_dataset(str(mine.world.recipe))
