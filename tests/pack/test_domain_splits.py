"""Splits by domains, packed from cubes alone: what is shared is left out or refused, and the release proves it."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from curation.places.nearby import EARTH_RADIUS_KM, unit
from curation.stream.open import open_shards
from tests import world as tiny
from tests.run import Curate

BIOMES = """
[domains]
columns = ["split_block", "hemisphere"]
block_deg = 0.01

[domains.files.biome]
file = "biomes.geojson"
column = "name"
"""


RECIPE = tiny.RECIPE.replace("[pack]", '[pack]\ncomplete = "any"')


class Splits:
    """A copy of the tiny world, packed by one rule after another; its archive is gone."""

    def __init__(self, built: Curate, folder: Path) -> None:
        shutil.copytree(built.world.folder, folder / "own")
        world = tiny.World(folder / "own")
        for raster in world.folder.rglob("*.tif"):
            raster.unlink()
        self.its = Curate(world, folder / "root")
        shutil.copytree(built.root, self.its.root)
        world.recipe.write_text(RECIPE)
        assert self.its("pack") == 0
        lon, lat = (np.array([row[k] for row in self.table()]) for k in ("lon", "lat"))
        west, east = lon.min() - 0.01, lon.max() + 0.01
        cut = [lat.min() - 0.1, *np.quantile(lat, [0.2, 0.65]), 90]
        names = ["south", "middle", "north"]
        shapes = [shapely.box(west, a, east, b) for a, b in itertools.pairwise(cut)]
        gpd.GeoDataFrame({"name": names, "geometry": shapes}, crs=4326).to_file(world.folder / "biomes.geojson")

    def pack(self, rule: str, least: int = 1) -> int:
        text = RECIPE.replace("val_fraction = 0.0", f"buffer_km = 0.06\nleast_samples = {least}\n{rule}")
        self.its.world.recipe.write_text(text + BIOMES)
        return self.its("pack")

    def table(self) -> list[dict]:
        index = json.loads((self.its.folder / "shards/index.json").read_text())
        tables = {
            s: pq.read_table(self.its.folder / "shards" / e["samples_table"]["name"])
            for s, e in index["splits"].items()
        }
        return [row | {"split": split} for split, table in tables.items() for row in table.to_pylist()]

    def by_part(self) -> dict[str, Counter[str]]:
        out: dict[str, Counter[str]] = {}
        for row in self.table():
            out.setdefault(row["split"], Counter())[row["domain_biome"]] += 1
        return out

    def dropped(self) -> Counter[str]:
        return Counter(pq.read_table(self.its.folder / "manifest/dropped.parquet")["reason"].to_pylist())

    def release(self, **split: object) -> None:
        """Has the release state another rule than it was packed by."""
        self.state(json.loads(self._release.read_text())["recipe"]["split"] | split)

    def state(self, rule: dict) -> None:
        value = json.loads(self._release.read_text())
        value["recipe"]["split"] = rule
        self._release.write_text(json.dumps(value))

    @property
    def _release(self) -> Path:
        return self.its.folder / "manifest/release.json"


@pytest.fixture(scope="module")
def splits(built: Curate, tmp_path_factory: pytest.TempPathFactory) -> Splits:
    return Splits(built, tmp_path_factory.mktemp("splits"))


LEAVE = 'rule = "leave-out"\ndomain = "biome"\ntest = ["south"]\nval_fraction = 0.0\n'


@pytest.mark.slow
def test_what_is_left_out_is_in_test_alone_and_no_pixel_of_the_archive_is_read(splits: Splits, capsys):
    assert splits.pack(f"{LEAVE}unshared = []") == 0
    found = splits.by_part()
    assert set(found["test"]) == {"south"}
    assert set(found["train"]) <= {"middle", "north", "middle|north"}
    assert splits.its("verify") == 0
    loose = sum(found["train"].values())
    # A wider buffer drops train beside test, and says why; nothing becomes of another part.
    assert splits.pack(f"{LEAVE}unshared = []".replace("val_fraction", "buffer_km = 0.5\nval_fraction")) == 2  # twice
    capsys.readouterr()
    text = splits.its.world.recipe.read_text().replace("buffer_km = 0.06\n", "")
    splits.its.world.recipe.write_text(text)
    assert splits.its("pack") == 0
    wide = splits.by_part()
    assert wide["test"] == found["test"]
    assert 0 < sum(wide["train"].values()) < loose
    assert splits.dropped()["buffer"] > 0
    assert splits.its("verify") == 0
    # And a release that says it keeps more apart than it does is found out.
    splits.release(buffer_km=5.0)
    capsys.readouterr()
    assert splits.its("verify") == 1
    assert "of two parts of the split have less than 5 km of ground between them" in capsys.readouterr().out


@pytest.mark.slow
def test_scenes_of_both_sides_are_left_out_and_too_few_left_of_train_are_an_error(splits: Splits, capsys):
    assert splits.pack(f"{LEAVE}unshared = []") == 0
    before = (splits.its.folder / "shards/index.json").read_bytes()
    assert splits.pack(LEAVE, least=5) == 2
    assert "expected 5 at least (least_samples)" in capsys.readouterr().err
    assert (splits.its.folder / "shards/index.json").read_bytes() == before
    splits.release(unshared=["all"])
    assert splits.its("verify") == 1
    assert "of 's2l2a' are in more than one part of the split" in capsys.readouterr().out
    splits.release(unshared=["era5-cell"])
    assert splits.its("verify") == 1
    assert "of 'era5-cell' are in more than one part of the split" in capsys.readouterr().out
    splits.release(rule="no such rule")
    assert splits.its("verify") == 1
    assert "its split cannot be read, and so not be proven" in capsys.readouterr().out
    assert splits.pack(LEAVE) == 0
    assert splits.dropped()["shared:s2l2a"] > 0
    assert splits.its("verify") == 0


@pytest.mark.slow
def test_a_domain_without_a_sample_is_an_error_that_says_which_and_how_many(splits: Splits, capsys):
    assert (
        splits.pack(LEAVE.replace('domain = "biome"\ntest = ["south"]', 'domain = "hemisphere"\ntest = ["south"]')) == 2
    )
    said = capsys.readouterr().err
    assert "test: hemisphere 'south' has 0 samples, expected 1 at least" in said
    assert "test: leave out more values, or others with more samples" in said
    assert "samples of each hemisphere: north " in said


@pytest.mark.slow
def test_five_parts_and_their_control_which_has_as_many_samples_of_train(splits: Splits, capsys):
    rule = 'rule = "wilds"\ndomain = "biome"\ntest = ["north"]\nval = ["south"]\nid_fraction = 0.3\nblock_deg = 0.01\n'
    rule += 'unshared = []\nscheme = "{}"\n'
    assert splits.pack(rule.format("official")) == 0
    assert set(splits.by_part()) == {"train", "id_val", "id_test", "val", "test"}
    assert splits.its("verify") == 0
    assert splits.pack(rule.format("official-half")) == 0
    half, dropped = splits.by_part(), splits.dropped()
    assert dropped["mixed-to-test"] > 0
    assert splits.pack(rule.format("mixed-to-test")) == 0
    mixed = splits.by_part()
    assert mixed["test"] == half["test"]
    assert mixed["train"].total() == half["train"].total()
    assert mixed["train"]["north"] > 0 == half["train"]["north"]
    assert splits.dropped()["equal_size"] > 0
    assert splits.its("verify") == 0
    # Stated as if it had none of what is left out, or by a rule of other parts, that is found out.
    splits.release(scheme="official-half")
    assert splits.its("verify") == 1
    splits.state({"rule": "blocks"})
    capsys.readouterr()
    assert splits.its("verify") == 1
    assert "samples are of id_test, id_val, test, expected of train, val" in capsys.readouterr().out


@pytest.mark.slow
def test_a_table_of_samples_that_is_another_is_a_fault_and_nothing_of_it_is_believed(splits: Splits, capsys):
    assert splits.pack(f"{LEAVE}unshared = []") == 0
    where = splits.its.folder / "shards/test/samples.parquet"
    whole = pq.read_table(where)
    starts = np.arange(0, 2 * whole.num_rows + 1, 2, "<i4").tobytes()
    text = pa.StringArray.from_buffers(whole.num_rows, pa.py_buffer(starts), pa.py_buffer(b"\xff\xfe" * whole.num_rows))
    at = whole.schema.get_field_index("domain_hemisphere")
    for table in (pa.table({"id": ["x"]}), whole.set_column(at, "domain_hemisphere", text)):  # no UTF-8
        pq.write_table(table, where)
        capsys.readouterr()
        assert splits.its("verify") == 1
        assert f"FAULT {where}: has " in capsys.readouterr().out


@pytest.mark.slow
def test_a_domain_that_a_place_is_not_of_is_found_out(splits: Splits, capsys):
    assert splits.pack(f"{LEAVE}unshared = []") == 0
    shards, manifest = splits.its.folder / "shards", splits.its.folder / "manifest/release.json"
    index, release = (json.loads(f.read_text()) for f in (shards / "index.json", manifest))
    entry = index["splits"]["test"]["samples_table"]
    table = pq.read_table(shards / entry["name"])
    at = table.schema.get_field_index("domain_hemisphere")
    wrong = table.set_column(at, "domain_hemisphere", pa.array(["south"] * table.num_rows))
    pq.write_table(wrong, shards / entry["name"])
    data = (shards / entry["name"]).read_bytes()
    entry |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (shards / "index.json").write_text(json.dumps(index))
    release["index_sha256"] = hashlib.sha256((shards / "index.json").read_bytes()).hexdigest()
    manifest.write_text(json.dumps(release))
    capsys.readouterr()
    assert splits.its("verify") == 1
    said = capsys.readouterr().out
    assert f"{table.num_rows} samples told to be of another hemisphere than they are" in said


@pytest.mark.slow
def test_folds_are_parts_that_are_read_by_name(splits: Splits, capsys):
    assert splits.pack('rule = "folds"\nk = 3\nunshared = []\ntolerance = 0.0') == 0
    found = splits.by_part()
    assert set(found) == {"fold0", "fold1", "fold2"}
    assert splits.its("verify") == 0
    ids = [
        s["key"]
        for fold in found
        for s in open_shards(str(splits.its.folder / "shards"), fold, domains=["split_block"])
    ]
    assert sorted(ids) == sorted(row["id"] for row in splits.table())
    assert splits.its("report") == 0
    page = (splits.its.folder / "report.html").read_text()
    assert '<section id="split">' in page
    # Each part is drawn, counted, and as far from the others as brute force has it.
    rows = splits.table()
    xyz = unit(*(np.array([row[k] for row in rows]) for k in ("lon", "lat")))
    part = np.array([row["split"] for row in rows])
    for fold in found:
        apart = np.linalg.norm(xyz[part == fold][:, None] - xyz[part != fold][None], axis=-1).min(axis=1)
        km = np.percentile(EARTH_RADIUS_KM * apart, [0, 5, 50, 100])
        cells = "".join(f'<td class="n">{v:,.3g}</td>' for v in km)
        assert f'<tr><td>{fold}</td><td class="n">{(part == fold).sum()}</td>{cells}</tr>' in page
        assert f"{fold} {(part == fold).sum()}" in page
    assert "labels of places" in page.lower()


@pytest.mark.slow
def test_union_of_parts_and_what_is_dropped_is_all_with_reasons(splits: Splits):
    assert splits.pack(f"{LEAVE}unshared = []") == 0
    every = set(pq.read_table(splits.its.folder / "manifest/locations.parquet")["id"].to_pylist())
    packed = {row["id"] for row in splits.table()}
    dropped = pq.read_table(splits.its.folder / "manifest/dropped.parquet", columns=["id", "reason"]).to_pylist()
    assert packed | {d["id"] for d in dropped} == every
    assert packed & {d["id"] for d in dropped} == set()
    assert all(d["reason"] for d in dropped)


SEASON = 'rule = "leave-out"\ndomain = "season"\ntest = ["autumn"]\nblock_deg = 0.01\nval_fraction = 0.0\n'


def members(splits: Splits) -> dict[str, dict[str, set[str]]]:
    """Part → key of each sample → seasons of which its tar has members, and what its `meta.json` says of them."""
    out: dict[str, dict[str, set[str]]] = {}
    for tar in sorted((splits.its.folder / "shards").rglob("*.tar")):
        with tarfile.open(tar) as file:
            for member in file:
                key, *rest = member.name.split(".")
                if rest[0] == "meta":
                    content = file.extractfile(member)
                    assert content is not None
                    out.setdefault(tar.parent.name, {})[key] = set(json.loads(content.read())["seasons"])
        with tarfile.open(tar) as file:
            for member in file:
                key, *rest = member.name.split(".")
                if len(rest) > 1 and rest[1] in ("summer", "autumn"):  # array, season, encoding
                    assert rest[1] in out[tar.parent.name][key], member.name
    return out


@pytest.mark.slow
def test_a_season_is_left_out_of_train_to_the_byte_and_test_has_it_alone_elsewhere(splits: Splits, capsys):
    assert splits.pack(f"{SEASON}test_fraction = 0.4\nunshared = []") == 0
    found = members(splits)
    assert set(found) == {"train", "test"}
    assert all(its == {"summer"} for its in found["train"].values())
    assert all(its == {"autumn"} for its in found["test"].values())
    assert min(map(len, found.values())) > 1
    assert {*found["train"]}.isdisjoint(found["test"])  # never the same place
    assert splits.its("verify") == 0
    # Each pixel of train's season is that of the sample which has both, and so is each of test's.
    shards = str(splits.its.folder / "shards")
    batch = {part: list(open_shards(shards, part)) for part in found}
    for part, season in (("train", 0), ("test", 1)):
        for sample in batch[part]:
            assert sample["s2l2a_ok"].tolist() == [season == n for n in range(2)]
            assert not sample["s2l2a_10m"][1 - season].any()
            assert sample["s2l2a_10m"][season].any()
    told = {row["id"]: row["domain_season"] for row in splits.table()}
    assert {told[i] for i in found["train"]} == {"summer"}
    assert {told[i] for i in found["test"]} == {"autumn"}
    assert splits.its("report") == 0
    # A release that says that another season is left out is found out by what tars have.
    splits.release(test=["summer"])
    capsys.readouterr()
    assert splits.its("verify") == 1
    assert "of season 'summer' in train, which is left out for test" in capsys.readouterr().out


@pytest.mark.slow
def test_no_share_of_a_season_reaches_samples_that_do_not_have_it(splits: Splits):
    shares = "[pack.shares]\nof_summer = { source = 'dynamicworld', season = 'summer' }\n"
    cover = "cover = { source = 'worldcover', classes = ['tree_cover'] }\n"

    def told(rule: str, limit: str = "") -> dict[str, dict]:
        text = RECIPE.replace("val_fraction = 0.0", f"buffer_km = 0.06\nleast_samples = 1\nunshared = []\n{rule}")
        splits.its.world.recipe.write_text(f"{text}\n{shares}{limit}{cover}{BIOMES}")
        assert splits.its("pack") == 0
        return {row["id"]: row for row in splits.table()}

    every = told(LEAVE)
    rule = f"{SEASON}test_fraction = 0.4".replace('["autumn"]', '["summer"]')
    apart = told(rule)
    learnt = [name for name, row in apart.items() if row["split"] == "train"]
    assert any(every[name]["of_summer"] is not None for name in learnt if name in every)
    assert all(apart[name]["of_summer"] is None for name in learnt)
    assert any(row["of_summer"] is not None for row in apart.values())
    assert all(row["cover"] is not None for row in apart.values())
    # Nor is one of train left out for what its summer has.
    limited = told(rule, "all = { source = 'dynamicworld', season = 'summer', most_pct = 0 }\n")
    assert [name for name, row in limited.items() if row["split"] == "train"] == learnt
    assert len(limited) < len(apart)


@pytest.mark.slow
def test_seasons_of_wilds_and_of_what_scenes_tell(splits: Splits, capsys):
    rule = SEASON.replace("leave-out", "wilds").replace("val_fraction = 0.0", 'val = ["autumn"]\nid_fraction = 0.2')
    rule = rule.replace('test = ["autumn"]', 'test = ["winter"]')
    assert splits.pack(f"{rule}unshared = []") == 2
    assert "no season is called 'winter'; there are: summer, autumn" in capsys.readouterr().err
    text = 'rule = "leave-out"\ndomain = "year"\nby_season = true\ntest = ["2021"]\nblock_deg = 0.01\nunshared = []'
    assert (
        splits.pack(f"{text}\nval_fraction = 0.0") == 2
    )  # all seasons are of that year: nothing is left to learn from
    said = capsys.readouterr().err
    assert "train has 0 samples" in said
    assert "samples of each year: 2021" in said


@pytest.mark.slow
def test_a_value_that_a_file_has_not_is_told_before_anything_is_asked(splits: Splits, capsys):
    splits.pack(f"{LEAVE}unshared = []")
    for rule in (
        LEAVE.replace('["south"]', '["suth"]'),
        'rule = "wilds"\ndomain = "biome"\ntest = ["north"]\nval = ["suth"]',
    ):
        text = RECIPE.replace("val_fraction = 0.0", f"buffer_km = 0.06\n{rule}") + BIOMES
        splits.its.world.recipe.write_text(text)
        capsys.readouterr()
        assert splits.its("build", "--dry-run") == 2
        said = capsys.readouterr().err
        assert "no biome is called 'suth'; did you mean south? there are: middle, north, south" in said
        assert splits.its("pack") == 2
        assert "no biome is called 'suth'" in capsys.readouterr().err


@pytest.mark.slow
def test_no_folder_of_a_part_stands_that_is_no_more(splits: Splits):
    assert splits.pack('rule = "folds"\nk = 2\nunshared = []\ntolerance = 9.0') == 0
    folders = lambda: {p.name for p in (splits.its.folder / "shards").iterdir() if p.is_dir()}  # noqa: E731 - both times
    assert {"fold0", "fold1"} <= folders()
    assert splits.pack(f"{LEAVE}unshared = []") == 0
    assert folders() == {"train", "test"}


WILDS = 'rule = "wilds"\ndomain = "biome"\ntest = ["north"]\nval = ["south"]\nid_fraction = 0.3\n'
WILDS += "block_deg = 0.01\nunshared = []"


def facts(splits: Splits) -> dict:
    out: dict = json.loads((splits.its.folder / "split.json").read_text())
    return out


@pytest.mark.slow
def test_the_report_tells_how_unlike_labels_are_and_weighs_id_test_to_be_like_test(splits: Splits):
    assert splits.pack(WILDS) == 0
    assert splits.its("report") == 0
    its, page = facts(splits), (splits.its.folder / "report.html").read_text()
    parts = {"train", "id_val", "id_test", "val", "test"}
    assert set(its["labels"]) == parts
    rows = splits.table()
    names = json.loads((splits.its.folder / "shards/index.json").read_text())["label_names"]
    shares: dict[str, list] = {}
    for row in rows:  # by the table alone: mean of the seasons that are known, each place as shares of one
        known = [row[c] for c in row if c.startswith("fractions_") and row[c] is not None]
        mean = np.mean(known, axis=0) if known else np.zeros(len(names))
        if mean.sum() > 0:
            shares.setdefault(row["split"], []).append((row["id"], mean / mean.sum()))
    for part, of in shares.items():
        assert its["labels"][part]["places"] == len(of)
        assert list(its["labels"][part]["shares"].values()) == pytest.approx(np.mean([m for _, m in of], axis=0))
    assert len(its["divergence_of_parts"]) == 10
    assert {tuple(p["groups"]) for p in its["divergence_of_domains"]} == {
        ("middle", "north"),
        ("middle", "south"),
        ("north", "south"),
    }
    assert all(0 <= p["js_bits"] <= 1 and p["chance_bits"] <= p["chance_95_bits"] for p in its["divergence_of_parts"])
    assert [(m["part"], m["like"]) for m in its["matched"]] == [("id_test", "test"), ("id_val", "val")]
    weights = its["matched"][0]["weights"]
    assert {*weights} == {i for i, _ in shares["id_test"]}
    assert np.mean([*weights.values()]) == pytest.approx(1)
    assert its["score"]["is_baseline"]
    for said in (
        "How unlike labels are: parts",
        "How unlike labels are: biome",
        "Score by distance to the nearest place",
    ):
        assert said in page


@pytest.mark.slow
def test_scores_and_features_of_ones_own_are_drawn_by_distance_and_strange_ones_are_told(
    splits: Splits, capsys, tmp_path
):
    assert splits.pack(WILDS) == 0
    judged = [row for row in splits.table() if row["split"] != "train"]
    xyz = {
        s: unit(*(np.array([r[k] for r in splits.table() if (r["split"] == "train") is s]) for k in ("lon", "lat")))
        for s in (True, False)
    }
    km = EARTH_RADIUS_KM * np.linalg.norm(xyz[False][:, None] - xyz[True][None], axis=-1).min(axis=1)
    lines = [
        "key,season,score",
        *(
            f"{r['id']},{s},{1 - d / 10 + e}"
            for r, d in zip(judged, km, strict=True)
            for s, e in (("a", 0.01), ("b", -0.01))
        ),
    ]
    (tmp_path / "scores.csv").write_text("\n".join([*lines, "nobody,a,0.5", f"{judged[0]['id']},c,nan"]) + "\n")
    pq.write_table(
        pa.table(
            {
                "id": [r["id"] for r in splits.table()],
                "x": [r["lon"] for r in splits.table()],
                "name": ["a"] * len(splits.table()),
            }
        ),
        tmp_path / "features.parquet",
    )
    given = ("--scores", str(tmp_path / "scores.csv"), "--features", str(tmp_path / "features.parquet"))
    assert splits.its("report", *given) == 0
    its = facts(splits)["score"]
    assert (its["is_baseline"], its["strange"], its["passed_over"]) == (False, 1, 1)
    by_part = {p: [1 - d / 10 for r, d in zip(judged, km, strict=True) if r["split"] == p] for p in its["by_part"]}
    for part, mean in its["by_part"].items():
        assert mean["places"] == len(by_part[part])  # and not rows of seasons
        assert mean["value"] == pytest.approx(np.mean(by_part[part]), abs=1e-6)
        assert mean["low"] <= mean["value"] <= mean["high"]
        (at,) = its["at"][part]
        assert at["km"][0] == pytest.approx(min(10 * (1 - v) for v in by_part[part]), rel=1e-6)
    assert {(part, like) for part, like, _ in its["weighted"]} == {("id_test", "test"), ("id_val", "val")}
    if its["trend"] is not None:
        assert its["trend"]["rank_correlation"] == pytest.approx(-1, abs=1e-6)
    assert "features" in facts(splits)["variograms"]
    assert "eatures of places" in (splits.its.folder / "report.html").read_text()
    out = tmp_path / "page.html"
    assert splits.its("report", "--out", str(out), *given) == 0
    assert json.loads((tmp_path / "page.split.json").read_text())["score"] == its
    capsys.readouterr()
    for text, said in (
        ("key,score\nnobody,1\n", "none is of a sample that is judged here; expected ids of samples of"),
        ("key,scre\nx,1\n", "no column 'score' of numbers; did you mean scre? there are: scre"),
        ("name,score\nx,1\n", "expected one of keys: key, id, sample"),
    ):
        (tmp_path / "odd.csv").write_text(text)
        assert splits.its("report", "--scores", str(tmp_path / "odd.csv")) == 2
        assert said in capsys.readouterr().err
    assert splits.its("report", "--scores", str(tmp_path / "none.csv")) == 2
    assert "no such file" in capsys.readouterr().err
