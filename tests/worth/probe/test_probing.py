"""`curate probe` on shards whose labels follow from their pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from curation.cli.main import main
from curation.errors import ConfigError, UnaskedCodeError
from curation.pack.export.of_shards import index_of
from curation.recipe.dataset import load_dataset
from curation.store.objects import Store
from curation.worth.features import making
from curation.worth.probe import probing
from curation.worth.probe.probing import ProbedDataset, ProbeOptions
from tests.stream.conftest import NO_SUMMER_RADAR, NO_WINTER, key_of
from tests.worth.probe.conftest import NAME, TRAIN, UNKNOWN, VAL, hot

pytestmark = pytest.mark.torch  # of random convolutions, which are always beside what is asked for

FEW = {"draws": 40, "heads": ("linear",), "k": 3, "arrays": ("s2l2a_10m",)}
ROWS = 2 * (TRAIN + VAL) - 1  # a season is lacking


def probed(root: Path, *asked: str, run_code: bool = False, **how) -> ProbedDataset:
    options = ProbeOptions(**{**FEW, "labels": "seasonal", **how})
    return probing.probed(load_dataset(NAME), Store(root / NAME), asked, options, run_code=run_code)


def test_what_costs_nothing_is_told_beside_controls_and_labels_that_follow_from_pixels_are_known(root):
    found = probed(root).found
    purposes = {r.encoder: r.purpose for r in found.results}
    assert purposes == {
        "handmade": "asked",
        "convolutions": "baseline",
        "metadata": "control",
        "handmade, labels shuffled": "control",
    }
    assert found.of("handmade", "linear").main.value > 0.95
    assert found.of("metadata", "linear").main.value < 0.7
    seen = {p.other: p.difference.is_seen for p in found.pairs}
    assert seen["metadata"]
    assert seen["handmade, labels shuffled"]
    assert (found.rows, found.places, found.unlabelled) == (ROWS - 1, TRAIN + VAL, 1)
    assert len(found.folds) == 3
    groups = {(g.domain, g.group) for g in found.of("handmade", "linear").groups}
    assert {("continent", "Europe"), ("continent", "Asia"), ("season", "summer"), ("season", "winter")} <= groups
    assert any(domain == "climate_zone" for domain, _ in groups)


def test_the_split_s_own_sides_are_scored_where_they_are_asked_for_and_a_class_that_val_lacks_is_told(root):
    found = probed(root, sides=("train", "val")).found
    assert found.places == VAL
    assert found.rows == 2 * VAL
    assert found.untold == ("built",)
    assert len(found.folds) == 1


ENCODER = """
import numpy as np

def {name}(arrays):
    return np.stack([v.mean((2, 3))[:, 0] for v in arrays.values()], 1)
"""


def test_a_function_of_ones_own_is_probed_where_its_code_is_asked_for_and_never_else(root, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(ENCODER.format(name="first_band"))
    with pytest.raises(UnaskedCodeError, match=r"mine\.py"):
        probed(root, f"{file}:first_band")
    found = probed(root, f"{file}:first_band", run_code=True).found
    its = found.of("first_band", "linear")
    assert (its.purpose, its.features) == ("asked", 1)
    assert found.of("handmade", "linear").purpose == "baseline"
    first, others = its.of_classes["trees"].value, [its.of_classes[n].value for n in ("water", "built")]
    assert first > 0.95  # what the first band tells
    assert max(others) < 0.7
    mine = {p.other: p.difference for p in found.pairs}
    assert set(mine) == {"handmade", "convolutions", "metadata", "first_band, labels shuffled"}
    assert mine["handmade"].high < 0
    assert its.digest


def test_of_a_table_of_vectors_rows_that_it_lacks_are_left_out_of_all_and_told(root, tmp_path):
    pairs = [(n, s) for n in range(TRAIN + VAL) for s in ("winter", "summer") if n != 20]
    truth = [[float(v) for v in hot(*p)] for p in reversed(pairs)]
    table = {"key": [key_of(n) for n, _ in reversed(pairs)], "season": [s for _, s in reversed(pairs)], "vector": truth}
    pq.write_table(pa.table(table), tmp_path / "truth.parquet")
    found = probed(root, str(tmp_path / "truth.parquet"))
    assert found.found.rows == ROWS - 3
    assert found.notes == ("2 rows left out, which not all features have",)
    assert found.found.of("truth", "linear").main.value == 1  # in whatever order the table has them
    assert found.found.of("truth", "linear").main.value >= found.found.of("handmade", "linear").main.value


def test_only_seasons_and_so_many_places_that_are_asked_for(root):
    found = probed(root, seasons=("winter",), most_places=40)
    assert (found.found.places, found.found.rows) == (40, 40)
    assert found.notes[-1].startswith("40 of 63 places, drawn by the seed")  # one has no winter
    again = probed(root, seasons=("winter",), most_places=40)
    assert again.to_json() == found.to_json()
    assert probed(root, seasons=("winter",), most_places=40, seed=1).to_json() != found.to_json()
    assert NO_WINTER != NO_SUMMER_RADAR != UNKNOWN


def test_numbers_and_targets_are_probed_as_such(root):
    found = probed(root, labels="height_m").found
    assert (found.form, found.main) == ("number", "R2")
    found = probed(root, labels="auto").found
    assert (found.task, found.form, found.main) == ("crop", "class", "accuracy")
    assert found.unlabelled == 2


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"heads": ("lineer",)}, "--probe lineer: did you mean linear"),
        ({"heads": ()}, "--probe: names no probe"),
        ({"seasons": ("sumer",)}, "--season sumer: did you mean summer"),
        ({"sides": ("train", "test")}, "--sides test: expected of train, val"),
        ({"k": 1}, "--folds 1: expected 2 or more"),
        ({"block_deg": 0.0}, "--block-deg 0: expected more than 0"),
        ({"by": ("biome",)}, "--by biome: "),
    ],
)
def test_what_cannot_be_is_told_by_its_flag(root, how, said):
    with pytest.raises(ConfigError, match=said):
        probed(root, **how)


def test_labels_of_children_are_refused_and_not_those_of_their_cells(root, monkeypatch):
    store = Store(root / NAME)
    made = [making.made(store, making.way_of(way), arrays=["s2l2a_10m"]).features for way in probing.BASELINES]
    index = replace(index_of(store), children=2)
    with pytest.raises(ConfigError, match="samples have children, whose labels stand in no table"):
        probing._compared(
            load_dataset(NAME), store, index, made, ["asked", "baseline"], ProbeOptions(labels="seasonal")
        )


def test_the_command_prints_a_table_and_writes_all_of_it(root, tmp_path, capsys):
    out = tmp_path / "probe.json"
    where = ["--dataset", NAME, "--root", str(root)]
    how = ["--labels", "seasonal", "--folds", "3", "--draws", "40", "--probe", "knn", "--arrays", "s2l2a_10m"]
    assert main(["probe", *where, *how, "--out", str(out)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].split()[:4] == ["encoder", "is", "probe", "mAP"]
    assert said[1].startswith("handmade ")
    text = "\n".join(said)
    assert f"{ROWS - 1} rows of {TRAIN + VAL} places scored, in 3 folds" in text
    assert "knn: handmade above metadata: +" in text
    assert "1 row left out, of which it is not known" in text
    found = json.loads(out.read_text())
    assert (found["dataset"], found["rows"], found["how"]["seed"]) == ("demo", ROWS - 1, 0)
    assert (found["how"]["arrays"], found["how"]["labels"], found["notes"]) == (["s2l2a_10m"], "seasonal", [])
    assert found["how"]["apart_km"] == pytest.approx(2 * 2.64 / np.sqrt(2) * 1.05 + 1)
    its = next(r for r in found["results"] if r["encoder"] == "handmade")
    assert len(its["digest"]) > 20
    assert its["scores"]["mAP"]["low"] <= its["scores"]["mAP"]["value"] <= its["scores"]["mAP"]["high"]
    assert {g["domain"] for g in its["groups"]} == {"continent", "climate_zone", "season"}
    assert sum(f["scored_places"] for f in found["folds"]) == TRAIN + VAL


def test_bad_use_is_one_line_and_code_2(root, capsys):
    where = ["probe", "--dataset", NAME, "--root", str(root)]
    assert main([*where, "--labels", "crp"]) == 2
    assert "--labels crp: did you mean crop" in capsys.readouterr().err.splitlines()[-1]
    for wrong in ("train", "train,train", "train,val,test"):
        with pytest.raises(SystemExit, match="2"):
            main([*where, "--sides", wrong])
        assert "expected two sides of the split" in capsys.readouterr().err
