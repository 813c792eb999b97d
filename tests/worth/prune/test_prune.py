"""The flow that a user expects: pack, prune, pack again, verify; undone, everything is as it was."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.api.folder import load
from curation.cli import main
from curation.errors import ConfigError
from curation.format.index import INDEX, Index
from curation.store import paths
from curation.worth.prune.gather import JudgedRelease, candidates
from curation.worth.prune.rules import PruneRules
from curation.worth.prune.write import undo
from tests.run import Curate


@pytest.fixture
def mine(built: Curate, tmp_path: Path) -> Curate:
    return built.copy(tmp_path)


def index_of(curate: Curate) -> Index:
    return Index.from_bytes((curate.folder / "shards" / INDEX).read_bytes(), "")


def ids_of(curate: Curate) -> list[str]:
    table = curate.folder / "shards" / index_of(curate).splits["train"].samples_table.name
    return sorted(pq.read_table(table)["id"].to_pylist())


def vectors(curate: Curate, path: Path, same: dict[int, int]) -> str:
    """A table of numbers, in which some samples are the very same as others."""
    ids = ids_of(curate)
    values = np.random.default_rng(0).normal(size=(len(ids), 5))
    for one, other in same.items():
        values[one] = values[other]
    pq.write_table(pa.table({"key": ids, "vector": list(values)}), path)
    return str(path)


@pytest.fixture
def asked(mine: Curate, tmp_path: Path) -> list[str]:
    """Flags by which the samples 3 and 5, in order of their ids, are copies of 1."""
    return ["--with", vectors(mine, tmp_path / "v.parquet", {3: 1, 5: 1}), "--rules", "duplicates"]


def printed(curate: Curate, capsys: pytest.CaptureFixture[str], verb: str, *flags: str, code: int = 0) -> str:
    capsys.readouterr()
    assert curate(verb, *flags) == code
    its = capsys.readouterr()
    return its.out if code in (0, 1) else its.err


def test_what_is_pruned_is_left_out_by_the_next_packing_and_verified_and_comes_back(mine, asked, capsys):
    ids, first = ids_of(mine), mine.hashes()

    said = printed(mine, capsys, "prune", *asked, "--dry-run")
    assert "duplicate:exact" in said
    assert "nothing is written" in said
    assert not (mine.folder / paths.PRUNE).exists()
    assert printed(mine, capsys, "verify")

    assert str(mine.folder / paths.PRUNED) in printed(mine, capsys, "prune", *asked)
    assert mine.hashes() == first
    assert "leaves out 2 samples, the shards do not follow it yet" in printed(mine, capsys, "verify", code=1)

    assert "duplicate:exact 2" in printed(mine, capsys, "pack")
    left_out = set(ids) - set(ids_of(mine))
    assert len(left_out) == 2
    assert left_out < {ids[1], ids[3], ids[5]}
    index = index_of(mine)
    assert index.counts["dropped"]["duplicate:exact"] == 2
    assert index.counts["pruned"]["judged"] == len(ids)
    dropped = pq.read_table(mine.folder / paths.DROPPED).to_pandas().set_index("id")["reason"]
    assert {i for i in left_out if dropped[i] == "duplicate:exact"} == left_out
    assert "all as recorded" in printed(mine, capsys, "verify")
    assert mine("report") == 0
    page = (mine.folder / "report.html").read_text()
    assert "duplicate:exact" in page
    assert "pack again" not in page

    record = json.loads((mine.folder / paths.PRUNED).read_text())
    table = pq.read_table(mine.folder / paths.PRUNE / record["table"]["name"]).to_pandas().set_index("id")
    assert sorted(table.index) == ids  # each has its scores, those that stay, too
    twins = set(table.loc[sorted(left_out), "twin"])
    assert len(twins) == 1
    assert twins == {ids[1], ids[3], ids[5]} - left_out
    assert table["information"].notna().all()

    assert "follows decisions of an earlier" in printed(mine, capsys, "prune", *asked, code=2)
    assert "is gone" in printed(mine, capsys, "prune", "--undo")
    assert "brings the samples back" in printed(mine, capsys, "verify", code=1)
    mine("pack")
    assert mine.hashes() == first
    assert "nothing to undo" in printed(mine, capsys, "prune", "--undo")
    assert "all as recorded" in printed(mine, capsys, "verify")


def test_the_same_release_and_flags_give_the_same_bytes(mine, asked):
    def files() -> dict[str, bytes]:
        return {f.name: f.read_bytes() for f in (mine.folder / paths.PRUNE).iterdir()}

    mine("prune", *asked)
    first = files()
    assert len(first) == 2
    mine("prune", *asked, "--seed", "1", "--least-overlap", "0.5")
    other = files()
    assert (len(other) == 2 and other.keys() | first.keys() != first.keys()) or other != first
    mine("prune", *asked)
    assert files() == first


def test_decisions_of_another_release_are_refused_before_anything_is_packed(mine, asked, capsys, tmp_path):
    mine("prune", *asked)
    before = mine.hashes()
    recipe = mine.folder.parent / "recipe" / "recipe.toml"
    recipe.parent.mkdir()
    for file in mine.world.recipe.parent.glob("*.csv"):
        (recipe.parent / file.name).write_bytes(file.read_bytes())
    text = mine.world.recipe.read_text()

    def pack_by(text: str) -> str:
        recipe.write_text(text)
        args = ["--dataset", str(recipe), "--root", str(mine.root), "--catalog", str(mine.world.catalog)]
        capsys.readouterr()
        assert main.main(["pack", *args, "--scheduler", "none"]) == 2
        return capsys.readouterr().err

    said = pack_by(text.replace('seasonal = "dynamicworld"', 'seasonal = "dynamicworld"\nmin_fraction = 0.2'))
    assert "are others than were judged" in said
    taken = ids_of(mine)[0]
    assert "would be no samples now" in pack_by(f'{text}\n[exclude.ids]\n"{taken}" = "haze"\n')
    assert mine.hashes() == before


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda prune, record: (prune / record["table"]["name"]).write_bytes(b"x"), "is not what was recorded"),
        (lambda prune, record: (prune / record["table"]["name"]).unlink(), "is recorded but not there"),
        (lambda prune, record: (prune / "prune.json").write_text("{"), "not JSON"),
        (lambda prune, record: (prune / "prune.json").write_text('{"format": "x"}'), "expected format"),
        (
            lambda prune, record: (prune / "prune.json").write_text(json.dumps(record | {"dropped": {"crowded": 1}})),
            "its table of {'duplicate:exact': 2}",
        ),
    ],
)
def test_damaged_decisions_are_a_fault_and_no_packing(mine, asked, capsys, damage, said):
    mine("prune", *asked)
    mine("pack")
    folder = mine.folder / paths.PRUNE
    damage(folder, json.loads((folder / "prune.json").read_text()))
    assert said in printed(mine, capsys, "verify", code=1)
    capsys.readouterr()
    assert mine("pack") == 1
    assert said in capsys.readouterr().err
    assert undo(mine.store) == 0
    assert not list(folder.iterdir())


def test_shards_of_others_than_those_that_stay_are_a_fault(mine, asked, capsys):
    mine("prune", *asked)
    mine("pack")
    folder = mine.folder / paths.PRUNE
    record = json.loads((folder / "prune.json").read_text())
    dropped = mine.folder / paths.DROPPED
    listed = pq.read_table(dropped)
    reasons = ["crowded" if r == "duplicate:exact" else r for r in listed["reason"].to_pylist()]
    at = listed.schema.get_field_index("reason")
    field = listed.schema.field(at)
    pq.write_table(listed.set_column(at, field, pa.array(reasons, field.type)), dropped)
    assert "tells" in (said := printed(mine, capsys, "verify", code=1))
    assert "left out as duplicate:exact" in said

    # As if another had been left out: the record is whole, and the index is made to follow it.
    table = pq.read_table(folder / record["table"]["name"]).to_pandas()
    out, stays = table["reason"].notna(), table["reason"].isna().idxmax()
    table.loc[out.idxmax(), "reason"], table.loc[stays, "reason"] = None, "duplicate:exact"
    sink = io.BytesIO()
    table.to_parquet(sink, index=False)
    (folder / record["table"]["name"]).write_bytes(sink.getvalue())
    record["table"] |= {"sha256": hashlib.sha256(sink.getvalue()).hexdigest(), "size": len(sink.getvalue())}
    text = json.dumps(record)
    (folder / "prune.json").write_text(text)
    where = mine.folder / "shards" / INDEX
    index = json.loads(where.read_text())
    index["counts"]["pruned"]["record_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    where.write_text(json.dumps(index))
    said = printed(mine, capsys, "verify", code=1)
    assert "which is packed (1 such samples)" in said
    assert "which is not packed (1 such samples)" in said
    assert "counts.pruned is not what" in said


def test_samples_are_gathered_with_their_labels_sizes_and_dates(mine, asked):
    made = load(str(mine.world.recipe), mine.root)
    features = made.embed(asked[1]).found.features
    its = candidates(mine.dataset, JudgedRelease.load(mine.store), features)
    assert its.ids == tuple(ids_of(mine))
    assert set(its.side_m) == {480.0}
    seasons = set(features.seasons.tolist())
    assert its.values.shape == (len(its.ids), 5 * len(seasons))
    assert its.labels is not None
    assert its.labels.several
    names = index_of(mine).label_names
    assert len(its.labels.names) % len(names) == 0
    assert any(n.startswith("static:") for n in its.labels.names)
    table = pq.read_table(mine.folder / "shards" / index_of(mine).splits["train"].samples_table.name).to_pandas()
    for name, there in zip(table["id"], table["labels_static"], strict=True):
        row = its.labels.present[its.ids.index(name)]
        at = [k for k, n in enumerate(its.labels.names) if n.startswith("static:")]
        if there is None:
            assert np.isnan(row[at]).all()
        else:
            assert {its.labels.names[k].partition(":")[2] for k in at if row[k]} == set(there)
    assert (its.sizes > 0).any(axis=1).all()
    every = np.arange(len(its.ids))
    assert its.same_scenes(every, every).all()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--rules", "duplicate"], "did you mean duplicates?"),
        (["--alike", "-1"], "expected a share"),
        (["--same-overlap", "2"], "expected a share"),
        (["--keep", "0.5"], "give both or neither"),
        (["--rules", "balance"], "give both or neither"),
        (["--rules", "balance", "--keep", "0.5", "--balance", "climate"], "expected of density, label, region"),
        (["--splits", "trian"], "did you mean train?"),
        (["--undo", "--dry-run"], "give one of them"),
        (["--block-deg", "0"], "more than 0"),
        (["--block-deg", "9", "--rules", "mislabelled"], "say smaller blocks"),
    ],
)
def test_what_cannot_be_asked_is_told(mine, asked, capsys, flags, said):
    assert said in printed(mine, capsys, "prune", *asked[:2], *flags, code=2)


def test_nothing_packed_is_told(mine, capsys):
    (mine.folder / "shards" / INDEX).unlink()
    with pytest.raises(ConfigError, match="pack"):
        load(str(mine.world.recipe), mine.root).prune(PruneRules())


def test_rules_are_plain_values():
    its = PruneRules(keep=0.5)
    assert json.loads(json.dumps(its.to_json())).keys() == {f.name for f in dataclasses.fields(its)}


def test_all_rules_can_be_asked_of_a_small_dataset(mine, capsys):
    said = printed(mine, capsys, "prune", "--rules", "duplicates,mislabelled,information,balance", "--keep", "0.5")
    left = [line.split() for line in said.splitlines() if line.startswith("all ")]
    assert left == [["all", "3", "7", "42.9%"]]  # 4 of 7 are half of them, rounded to even
    record = json.loads((mine.folder / paths.PRUNED).read_text())
    names = pq.read_table(mine.folder / paths.PRUNE / record["table"]["name"]).schema.names
    assert {"alike", "twin", "label_margin", "information", "cluster", "stratum"} <= set(names)
