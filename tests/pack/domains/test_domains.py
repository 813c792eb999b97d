"""What samples are told to be of: columns of the samples table, numbers in batches; nothing else of a release changes."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from torch.utils.data import DataLoader

from curation.errors import ConfigError, DamageError
from curation.format.index import Index
from curation.outcomes import PatchOutcome, SourceOutcome, Status
from curation.pack.domains import gather, known
from curation.pack.domains.domain import BuiltPatch
from curation.recipe import domains
from curation.recipe.dataset import load_dataset
from curation.recipe.schema import Recipe
from curation.stream import Part, open_mix
from curation.stream.open import open_shards
from tests import world as tiny
from tests.run import Curate

TABLE = """
[domains]
columns = ["country", "continent", "climate_zone", "hemisphere", "split_block", "elevation_band", "season", "year",
  "platform"]
block_deg = 0.01

[domains.files.biome]
file = "biomes.geojson"
column = "BIOME_NAME"
"""


def asking(built: Curate, folder: Path, table: str = TABLE) -> Curate:
    """A copy of the dataset, packed as it was, whose recipe now asks for domains."""
    shutil.copytree(built.world.folder, folder / "own")
    world = tiny.World(folder / "own")
    world.recipe.write_text(tiny.RECIPE + table)
    lon, lat = (pq.read_table(built.folder / "manifest/locations.parquet")[k].to_numpy() for k in ("lon", "lat"))
    middle = float(np.median(lon))
    west, east = (
        shapely.box(a, lat.min() - 1, b, lat.max() + 1) for a, b in ((middle - 1, middle), (middle, middle + 1))
    )
    shapes = {"BIOME_NAME": ["Heath", "Salt marsh"], "geometry": [west, east]}
    gpd.GeoDataFrame(shapes, crs=4326).to_file(world.folder / "biomes.geojson", driver="GeoJSON")
    mine = Curate(world, folder / "root")
    shutil.copytree(built.root, mine.root)
    return mine


@pytest.fixture(scope="module")
def mine(built: Curate, tmp_path_factory: pytest.TempPathFactory) -> Curate:
    own = asking(built, tmp_path_factory.mktemp("domains"))
    assert own("pack") == 0
    return own


def tars(its: Curate) -> dict[str, tuple[bytes, int]]:
    """Of each shard its bytes, and when it was written."""
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted((its.folder / "shards").rglob("*.tar"))}


def index_of(its: Curate) -> Index:
    return Index.from_bytes((its.folder / "shards/index.json").read_bytes())


@pytest.mark.slow
def test_domains_are_columns_beside_shards_that_stay_byte_for_byte(built: Curate, mine: Curate):
    assert {k: v for k, (v, _) in tars(mine).items()} == {k: v for k, (v, _) in tars(built).items()}
    before, after = index_of(built), index_of(mine)
    assert before.content_sha256 == after.content_sha256
    assert before.pixels_digest == after.pixels_digest
    assert before.release_digest != after.release_digest
    assert before.domains == {}
    assert b"domain" not in (built.folder / "shards/index.json").read_bytes()
    table = pq.read_table(mine.folder / "shards/train/samples.parquet")
    # At 54.4° N, 7° E: the German Bight, where no polygon of a country lies; heights of the world's own.
    assert set(table["domain_country"].to_pylist()) == {None}
    assert set(table["domain_hemisphere"].to_pylist()) == {"north"}
    assert set(table["domain_season"].to_pylist()) <= {"summer", "autumn", "autumn|summer"}
    assert set(table["domain_year"].to_pylist()) == {"2021"}
    assert set(table["domain_biome"].to_pylist()) <= {"Heath", "Salt marsh", "Heath|Salt marsh"}
    assert after.counts["domains"]["country"]["train"] == {"?at_sea": table.num_rows}
    assert len(after.domains["split_block"].values) > 1
    assert mine("verify") == 0


@pytest.mark.slow
def test_a_shard_is_not_made_again_where_a_recipe_asks_for_other_domains(mine: Curate):
    before = tars(mine)
    text = mine.world.recipe.read_text()
    mine.world.recipe.write_text(text.replace('"country", ', ""))
    try:
        assert mine("pack") == 0
        assert tars(mine) == before
        assert "country" not in index_of(mine).domains
    finally:
        mine.world.recipe.write_text(text)
        assert mine("pack") == 0


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "world_size"), [(0, 1), (2, 2)])
def test_batches_have_the_number_of_each_sample_s_domain_in_any_worker_and_rank(mine: Curate, workers, world_size):
    where, asked = str(mine.folder / "shards"), ["biome", "country", "split_block"]
    table = pq.read_table(mine.folder / "shards/train/samples.parquet").to_pylist()
    found: dict[str, dict[str, int]] = {}
    for rank in range(world_size):
        data = open_shards(
            where, batch_size=2, shuffle=True, domains=asked, fields=["dem_30m"], rank=rank, world_size=world_size
        )
        for batch in DataLoader(data, batch_size=None, num_workers=workers):
            for n, key in enumerate(batch["key"]):
                assert str(batch["domain_biome"].dtype) == "torch.int64"
                found[key] = {d: int(batch[f"domain_{d}"][n]) for d in asked}
    values = index_of(mine).domains
    assert found == {
        row["id"]: {d: -1 if row[f"domain_{d}"] is None else values[d].values.index(row[f"domain_{d}"]) for d in asked}
        for row in table
    }
    assert {v["biome"] for v in found.values()} >= {0, 1}
    one = open_shards(where, domains=["biome"]).by_id()[0]
    assert int(one["domain_biome"]) == found[one["key"]]["biome"]
    assert "domain_biome" not in open_shards(where).by_id()[0]
    for batch in open_mix({"heights": Part(where, arrays=["dem_30m"], domains=["biome"])}, batch_size=2):
        assert batch["domain_biome"].tolist() == [found[key]["biome"] for key in batch["key"]]


@pytest.mark.slow
def test_a_domain_that_is_not_there_is_told_with_those_that_are(mine: Curate, built: Curate):
    where = str(mine.folder / "shards")
    with pytest.raises(ConfigError, match=r"no domain 'biom'; did you mean biome\? known: biome, climate_zone"):
        open_shards(where, domains=["biom"])
    with pytest.raises(ConfigError, match=r"say \[domains\] in the recipe"):
        open_shards(str(built.folder / "shards"), domains=["biome"])
    with pytest.raises(ConfigError, match=r"such as \['biome'\]"):
        open_shards(where, domains="biome")


@pytest.mark.slow
def test_a_table_that_tells_what_the_index_does_not_is_damage(mine: Curate, tmp_path):
    shutil.copytree(mine.folder / "shards", tmp_path / "shards")
    file = tmp_path / "shards/index.json"
    value = json.loads(file.read_text())
    value["domains"]["biome"]["values"] = ["Heath"]
    file.write_text(json.dumps(value))
    with pytest.raises(DamageError, match="domain_biome: 'Salt marsh' is none of the values that the index has"):
        open_shards(str(tmp_path / "shards"), domains=["biome"])


def patch(scenes: tuple[str, ...] = (), **row: object) -> BuiltPatch:
    outcome = PatchOutcome("a", Status.OK, {"s2": SourceOutcome(Status.OK, scenes=scenes)})
    return BuiltPatch("s2", "summer", outcome, {f"s2_{k}" if k != "elevation_mean_m" else k: v for k, v in row.items()})


def test_what_patches_tell():
    def told(name: str, its: BuiltPatch) -> list[str]:
        return sorted({*known.DOMAINS[name].of_patch(its)})

    assert told("season", patch()) == ["summer"]
    assert told("year", patch(time=1.6e9)) == ["2020"]
    assert told("year", patch(time=float("nan"))) == []
    steps = np.array([1.6e9, 1.65e9, np.nan, np.nan])
    assert told("year", patch(time=steps, steps=2)) == ["2020", "2022"]
    assert told("year", patch(time=1.6e9, dates="2019-12-28 2021-01-07")) == ["2019", "2021"]
    swaths = tuple(f"S5P_RPRO_L2__NO2____{y}1231T105318_{y}1231T123448_x" for y in (2020, 2021))
    assert told("year", patch(swaths, time=1.6e9)) == ["2020", "2021"]
    night = ("S2A_MSIL2A_20201231T235959_N0500_R008_T31UFS_x",)  # of one scene its own time says it
    assert told("year", patch(night, time=1609459210.0)) == ["2021"]
    assert told("platform", patch(("S2A_MSIL2A_20210716T103629_N0500_R008_T31UFS_x",))) == ["sentinel-2a"]
    assert told("platform", patch(("S2A_MSIL2A_x",), platform="sentinel-2b")) == ["sentinel-2b"]
    assert told("platform", patch(("tile-of-mine",))) == []
    assert told("orbit_direction", patch(orbit_state="ascending")) == ["ascending"]
    assert told("orbit_direction", patch(orbits="ascending-37 descending-8 -0")) == ["ascending", "descending"]
    assert told("orbit_direction", patch(orbits=3)) == []  # of a mean of swaths, how many
    assert told("processing_baseline", patch(baseline="")) == []
    assert told("processing_baseline", patch(baselines="02.14 05.00")) == ["02.14", "05.00"]
    assert told("processing_baseline", patch(baseline="05.00")) == ["05.00"]
    assert told("elevation_band", patch(elevation_mean_m=3200.0)) == ["3000-4500 m"]
    assert told("elevation_band", patch()) == []


def test_a_season_is_had_by_any_source_and_all_else_is_told_by_the_first_that_tells_it(monkeypatch):
    def of(season: str, **status: Status) -> SimpleNamespace:
        sources = {s: SourceOutcome(its) for s, its in status.items()}
        row = {"s1_time": 1.65e9, "s2_time": 1.6e9}
        outcome = PatchOutcome("a", Status.OK, sources)
        return SimpleNamespace(
            cube=SimpleNamespace(season=season), place=SimpleNamespace(id="a"), outcome=outcome, row=row
        )

    patches = [of("summer", s2=Status.OK, s1=Status.OK), of("winter", s2=Status.REJECTED, s1=Status.OK)]
    monkeypatch.setattr(gather, "each_patch", lambda *_: patches)
    run = SimpleNamespace(dataset=SimpleNamespace(recipe=SimpleNamespace(domains=None, sources=["s2", "s1"])))
    found = gather._of_patches(run, SimpleNamespace(cubes={}), ["season", "year"])
    assert found == {
        "season": {"a": {"summer": {"summer"}, "winter": {"winter"}}},
        "year": {"a": {"summer": {"2020"}}},
    }


def test_each_domain_is_known_to_recipes_and_of_places_or_of_patches():
    assert [*known.DOMAINS] == [*domains.OF_PLACES, *domains.OF_PATCHES]
    for name, domain in known.DOMAINS.items():
        assert (domain.of_places is not None) == (name in domains.OF_PLACES)
        assert (domain.of_patch is not None) == (name in domains.OF_PATCHES)


BASE = load_dataset("ssl4eo-s12-ml").recipe.model_dump()


def test_a_digest_has_the_tables_by_which_domains_are_told_and_none_where_nothing_is(tmp_path):
    path = tmp_path / "recipe.toml"
    assert "domains" not in load_dataset("ssl4eo-s12-ml").recipe.model_dump()

    def parts(**table: object) -> dict:
        return domains.parts(Recipe.model_validate(BASE | {"domains": table}), path)

    assert parts(columns=["hemisphere"])["atlas"] == {}
    assert [*parts(columns=["climate_zone"])["atlas"]] == ["climate.png", "land.npy"]
    assert "countries.shp" in parts(columns=["continent"])["atlas"]
    (tmp_path / "b.geojson").write_text("{}")
    own = {"files": {"biome": {"file": "b.geojson", "column": "x"}}, "columns": ["year"]}
    before = parts(**own)["files"]
    (tmp_path / "b.geojson").write_text("{ }")
    assert parts(**own)["files"] != before


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"columns": ["contnent"]}, "no domain 'contnent'; did you mean continent"),
        ({"files": {"country": {"file": "a", "column": "b"}}}, "none of the domains that are known"),
        ({"sources": {"continent": "s2l2a"}}, "expected one of those that scenes tell"),
        ({"sources": {"season": "s2l2a"}}, "expected one of those that scenes tell: year"),
        ({"sources": {"year": "s9"}}, "'s9' is not in"),
    ],
)
def test_a_table_that_means_nothing_is_refused(table, said):
    with pytest.raises(ValueError, match=said):
        Recipe.model_validate(BASE | {"domains": table})


def test_a_column_of_the_user_s_is_not_taken_for_a_domain():
    its = Recipe.model_validate(BASE | {"domains": {"columns": ["year"]}})
    assert its.column_fault("domain_year") == "a domain of samples is called so"
    assert its.column_fault("domain_country") == ""
    split = {"rule": "leave-out", "domain": "country", "test": ["FRA"]}
    assert Recipe.model_validate(BASE | {"split": split}).column_fault("domain_country") != ""


def test_a_file_of_the_user_s_is_refused_with_what_it_lacks(tmp_path):
    shapes = gpd.GeoDataFrame({"name": ["a"], "geometry": [shapely.Point(0, 0)]}, crs=4326)
    shapes.to_file(tmp_path / "points.geojson", driver="GeoJSON")
    (tmp_path / "no.geojson").write_text("nothing")
    at = np.array([0.0])
    for file, said in (
        ("points.geojson", "expected polygons with a CRS and a column"),
        ("no.geojson", "cannot be read as"),
    ):
        table = {"files": {"biome": {"file": file, "column": "name"}}}
        its = Recipe.model_validate(BASE | {"domains": table})
        with pytest.raises(ConfigError, match=said):
            known.of_file("biome", at, at, its, tmp_path / "recipe.toml")


def test_a_point_on_the_edge_of_two_polygons_is_of_both_and_one_of_none_unknown(tmp_path):
    shapes = [shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1), shapely.box(5, 5, 6, 6)]
    frame = gpd.GeoDataFrame({"name": ["a|b", "?c", None], "geometry": shapes}, crs=4326).to_crs(3857)
    frame.to_file(tmp_path / "a.gpkg")
    its = Recipe.model_validate(BASE | {"domains": {"files": {"biome": {"file": "a.gpkg", "column": "name"}}}})
    found = known.of_file(
        "biome", np.array([0.5, 1.5, 5.5, 9.0]), np.array([0.5] * 2 + [5.5, 9.0]), its, tmp_path / "r"
    )
    assert found.tolist() == ["a/b", "c", "?unknown", "?unknown"]
    assert Counter(found)["?unknown"] == 2
