"""Where sun and satellite stood, and which satellite it was: from items to cubes, tables, and sides of the split."""

import json
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr

from curation.cli import main
from curation.format.index import Index
from curation.model import Location
from curation.outcomes import PatchOutcome, SourceOutcome, Status
from curation.pack import derive, split
from curation.pack.splits.platform import Platform
from curation.places.locations import Locations
from curation.recipe.dataset import Dataset, load_dataset
from tests import world as tiny
from tests.run import Curate

RECIPE = tiny.recipe(
    "A tiny world whose items say where the sun stood",
    """s2l2a = { bands = ["B04", "B08"], angles = true }
dem = { res_m = 10 }
""",
    """[split]
rule = "platform"
source = "s2l2a"
val = ["sentinel-2b", "sentinel-2z"]
buffer_km = 0.1

[derived]
light = { terrain = "cos-incidence" }
shade = { terrain = "shadow", sun = "s2l2a" }
""",
    seasons=f"{tiny.SUMMER}\nautumn = {{ start = 2021-09-01, end = 2021-12-01, anchor = 2021-10-10 }}",
)

SAID = {
    "2021-07-10": {"view:sun_elevation": 60.5, "view:sun_azimuth": -170.0, "view:incidence_angle": 7.0},
    "2021-07-16": {"view:sun_elevation": 60.5, "view:sun_azimuth": "south", "platform": "S2B"},
    "2021-10-10": {"s2:mean_solar_zenith": 62.0, "s2:mean_solar_azimuth": 171.0},
}


@pytest.fixture(scope="module")
def told(world: tiny.World, tmp_path_factory: pytest.TempPathFactory) -> Curate:
    """Places of the tiny world, built and packed of items that say more."""
    folder = tmp_path_factory.mktemp("angles")
    mine = world.from_afar(folder / "world")
    for item in mine.items:
        if item["collection"] == "sentinel-2-l2a":
            item["properties"] |= SAID[item["properties"]["datetime"][:10]]
    mine.catalog.write_text(json.dumps({"type": "FeatureCollection", "features": mine.items}))
    mine.recipe.write_text(f"{RECIPE}\n[search]\nlocal = [{json.dumps(str(world.folder))}]\n")
    curate = Curate(mine, folder / "root")
    assert curate("build") == 0
    assert curate("pack") == 0
    return curate


def table_of(curate: Curate, split: str) -> dict[str, dict]:
    rows = pq.read_table(curate.folder / "shards" / split / "samples.parquet").to_pylist()
    return {row["id"]: row for row in rows}


@pytest.mark.slow
def test_facts_of_a_patch_are_what_its_scene_s_item_says(told: Curate):
    cube = xr.open_zarr(told.folder / "cubes/europe/summer.zarr").set_index(patch="id")
    west = cube.sel(patch=tiny.name(1, 0))
    assert "20210710" in str(west.s2l2a_scenes.values)
    east = cube.isel(patch=["20210716" in str(s) for s in cube.s2l2a_scenes.values]).isel(patch=0)
    assert str(east.s2l2a_platform.values) == "sentinel-2b"
    assert (float(west.s2l2a_sun_zenith_deg), float(west.s2l2a_sun_azimuth_deg)) == (29.5, 190)
    assert (float(west.s2l2a_view_zenith_deg), str(west.s2l2a_platform.values)) == (7, "sentinel-2a")
    assert str(west.s2l2a_angles_unknown.values) == ""
    assert np.isnan(east.s2l2a_sun_azimuth_deg)  # one that cannot be costs itself alone
    assert float(east.s2l2a_sun_zenith_deg) == 29.5
    assert str(east.s2l2a_angles_unknown.values) == ("view:sun_azimuth is 'south', expected a number from -180 to 360")


@pytest.mark.slow
def test_samples_have_them_by_season_in_their_table_and_in_what_they_tell(told: Curate):
    rows = table_of(told, "train")
    row = rows[tiny.name(1, 0)]
    assert (row["s2l2a_platform_summer"], row["s2l2a_platform_autumn"]) == ("sentinel-2a", "sentinel-2a")
    assert (row["s2l2a_sun_zenith_deg_summer"], row["s2l2a_sun_zenith_deg_autumn"]) == (29.5, 62)
    assert row["s2l2a_off_nadir_deg_summer"] is None
    with tarfile.open(min((told.folder / "shards/train").glob("*.tar"))) as tar:
        metas = [json.load(tar.extractfile(m)) for m in tar if m.name.endswith("meta.json")]
    its = next(m for m in metas if m["id"] == tiny.name(1, 0))["seasons"]["autumn"]["sources"]["s2l2a"]
    assert (its["sun_zenith_deg"], its["sun_azimuth_deg"], its["platform"]) == (62, 171, "sentinel-2a")


@pytest.mark.torch
@pytest.mark.slow
def test_light_on_level_ground_is_the_cosine_of_the_sun_s_zenith(told: Curate):
    from curation.stream.open import open_shards

    samples = {s["key"]: s for s in open_shards(str(told.folder / "shards"), "train")}
    light, shade = (samples[tiny.name(1, 0)][name].numpy() for name in ("light", "shade"))
    assert light.shape == shade.shape == (2, 1, 48, 48)
    for season, zenith in enumerate((29.5, 62.0)):
        assert np.abs(light[season] - np.cos(np.radians(zenith))).max() < 1e-5
    assert (shade == 0).all()
    assert samples[tiny.name(1, 0)]["light_time"].tolist() == samples[tiny.name(1, 0)]["s2l2a_time"].tolist()
    assert samples[tiny.name(1, 0)]["shade_ok"].tolist() == [True, True]


def asking(folder: Path) -> Dataset:
    (folder / "recipe.toml").write_text(RECIPE)
    return load_dataset(str(folder / "recipe.toml"))


def test_without_the_sun_nothing_is_known_of_light_and_shadow(tmp_path):
    its = asking(tmp_path).derived
    x, y = tiny.corner(0, 0)
    place = Location("p", 6.8, 54.4, tiny.EPSG, x, y, tiny.SIZE_M, "europe")
    heights = {"dem_10m": np.zeros((1, 48, 48), "float32")}
    for facts in ({}, {"s2l2a_sun_zenith_deg": 30.0}, {"s2l2a_sun_azimuth_deg": 30.0, "s2l2a_sun_zenith_deg": None}):
        for name, nodata in (("light", derive.NODATA), ("shade", derive.NO_CODE)):
            found = derive.calculated(its[name], heights, place, facts)
            assert found is not None
            assert (found == nodata).all()


def test_where_the_source_that_tells_the_sun_is_not_there_nothing_is_derived_of_it(tmp_path):
    light = asking(tmp_path).derived["light"]
    for status, may in ((Status.OK, True), (Status.REJECTED, False)):
        outcome = PatchOutcome("p", Status.OK, {"s2l2a": SourceOutcome(status)})
        assert derive.may_have(light, "summer", outcome) is may
        assert not derive.may_have(light, None, outcome)
    assert not derive.may_have(light, "summer", PatchOutcome("p", Status.OK, {}))
    failed = {"s2l2a": SourceOutcome(Status.OK), "s1rtc": SourceOutcome(Status.FAILED, "ReadError")}
    assert not derive.may_have(light, "summer", PatchOutcome("p", Status.FAILED, failed))  # though s2l2a is ok


@pytest.mark.slow
def test_samples_of_satellites_of_both_sides_are_used_for_neither(told: Curate, capsys):
    index = Index.from_bytes((told.folder / "shards/index.json").read_bytes())
    # Summer is of 2B in the east, autumn of 2A everywhere.
    assert index.splits["val"].samples == 0
    train = {i for i, row in table_of(told, "train").items() if row["s2l2a_platform_summer"] == "sentinel-2a"}
    assert train == set(table_of(told, "train")) != set()
    assert index.counts["dropped"]["buffer"] > 0
    assert told("pack") == 0
    said = capsys.readouterr().err
    assert "scenes of satellites of both sides: they are used for neither" in said
    assert "no scene of s2l2a here is of 'sentinel-2z', but of sentinel-2a, sentinel-2b; a typo?" in said


def test_who_does_not_ask_has_no_such_facts_and_no_such_split(built: Curate, tmp_path, capsys):
    cube = xr.open_zarr(built.folder / "cubes/europe/summer.zarr")
    assert not [n for n in cube.coords if "sun_" in str(n) or str(n) == "s2l2a_platform"]
    mine = built.copy(tmp_path / "root")
    for name in ("places.csv", "recipe.toml"):
        shutil.copy(built.world.folder / name, tmp_path / name)
    rule = 'rule = "platform"\nsource = "s2l2a"\nval = ["sentinel-2b"]'
    (tmp_path / "recipe.toml").write_text(tiny.RECIPE.replace("val_fraction = 0.0", rule))
    flags = ["--dataset", str(tmp_path / "recipe.toml"), "--root", str(mine.root), "--scheduler", "none"]
    assert main.main(["pack", *flags, "--catalog", str(built.world.catalog)]) == 2
    assert "no cube tells: say angles = true in [sources.s2l2a]" in capsys.readouterr().err


def test_each_combination_of_satellites_has_its_side():
    combinations = (["b"], ["a"], ["a", "b"], ["b", ""], ["a", ""], [], ["b", "b"])
    places = Locations.of(
        Location(f"p{n}", 8 + n, 50, 32632, 400_000 + 90_000 * n, 5_600_000, 480, "r") for n in range(len(combinations))
    )
    table = places.table.append_column("s_platform", pa.array(combinations, pa.list_(pa.string())))
    rule = Platform(source="s", val=["b"])
    recipe = load_dataset("ssl4eo-s12-ml").recipe.model_copy(update={"split": rule})
    sides = rule.sides(Locations(table), recipe).tolist()
    assert sides == ["val", "train", "buffer", "buffer", "buffer", "buffer", "val"]
    assert Counter(rule.sides(places, recipe).tolist()) == {"": len(combinations)}  # not known yet
    assert split.planned(recipe, places).about == "planned by the recipe, known once shards are packed"
    with pytest.raises(ValueError, match=r"split.source = 's' is not in \[sources\]"):
        rule.check(recipe)
    assert len(rule.unmatched(Locations(table))) == 2
