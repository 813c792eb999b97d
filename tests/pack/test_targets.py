"""The target of samples: from a column of the file of places to a batch that torch learns from."""

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.utils.data import DataLoader

from curation.errors import ConfigError
from curation.format.index import Index
from curation.format.target import TargetEntry
from curation.pack import targets
from curation.places.locations import Locations
from curation.recipe.dataset import Dataset, load_dataset
from curation.recipe.schema import Recipe
from curation.report import page
from curation.report.survey import survey
from curation.stream.open import open_shards
from tests import world as tiny
from tests.run import Curate

EXAMPLE = load_dataset("ssl4eo-s12-ml")


def dataset(tmp_path, **labels) -> Dataset:
    places = {"sampler": "file", "file": "places.csv"}
    raw = EXAMPLE.recipe.model_dump() | {"places": places, "labels": {"column": "crop", **labels}}
    return Dataset(Recipe.model_validate(raw), EXAMPLE.specs, tmp_path / "recipe.toml")


def holding(values: list) -> Locations:
    n = len(values)
    row = {"id": [f"p{k}" for k in range(n)], "lon": [8.0] * n, "lat": [50.0] * n, "epsg": [32632] * n}
    row |= {"x0_m": [0.0] * n, "y0_m": [0.0] * n, "size_m": [60.0] * n, "region": ["r"] * n}
    return Locations(Locations.of_columns(row).table.append_column("crop", pa.array(values)))


@pytest.mark.parametrize(
    ("values", "labels", "want"),
    [
        (["rice", None, "maize", "rice"], {}, ("maize", "rice")),
        ([30, None, 4], {}, (4, 30)),
        ([True, None], {}, (1,)),
        ([False, True], {}, (0, 1)),
        ([0.5, None, 3.0], {}, None),
        ([30, 4], {"target": "number"}, None),
        ([3.0, 1.0, None], {"target": "classes"}, (1, 3)),
        (["a", None], {"classes": ["b", "a"]}, ("b", "a")),
        ([1, 2], {"classes": [2, 1]}, (2, 1)),
    ],
)
def test_a_column_is_classes_or_a_number(tmp_path, values, labels, want):
    assert targets.of(dataset(tmp_path, **labels), holding(values)) == TargetEntry("crop", want)


@pytest.mark.parametrize(
    ("values", "labels", "said"),
    [
        (pd.to_datetime(["2021-06-15"]).tz_localize("UTC").tolist(), {}, "it holds times, expected classes"),
        (["a"], {"target": "number"}, "it holds text, such as 'a', expected numbers"),
        ([0.5], {"target": "classes"}, "it holds 0.5, expected whole numbers of classes"),
        ([2**60], {}, "expected whole numbers of classes"),
        (["a", "c"], {"classes": ["b", "a"]}, "it holds 'c', which is none of 'classes'"),
        (["1"], {"classes": ["1", 2]}, "classes: 2, expected text, as it holds"),
        (["Maize", "maize ", "rye"], {}, "'Maize', 'maize ' differ in case or spaces alone"),
        (list(range(10_001)), {}, "it holds 10001 values, expected 10000 classes at most"),
        ([None, None, "x"], {"classes": ["y"]}, "it holds 'x', which"),
    ],
)
def test_what_can_be_no_target_is_refused(tmp_path, values, labels, said):
    with pytest.raises(ConfigError, match=said):
        targets.of(dataset(tmp_path, **labels), holding(values))


def test_a_column_without_a_value_is_no_target(tmp_path):
    places = holding(["x", "y"])
    empty = Locations(places.table.set_column(len(places.table.schema) - 1, "crop", pa.nulls(2, pa.string())))
    with pytest.raises(ConfigError, match="it holds nothing for any of 2 locations"):
        targets.of(dataset(tmp_path), empty)


GROWS = ["rye", "oats", None, "rye", "oats", "rye", "oats", "rye"]
CROP = dict(zip([tiny.name(r, c) for r in (0, 1) for c in range(4)], GROWS, strict=True))
"""Of the places that become samples, and of one that does not; all others grow hops."""


@pytest.fixture(scope="module")
def labelled(built: Curate, tmp_path_factory: pytest.TempPathFactory) -> Curate:
    """The tiny world, packed again by a recipe that has a target: nothing is built anew."""
    folder = tmp_path_factory.mktemp("labelled")
    shutil.copytree(built.world.folder, folder / "own")
    mine = Curate(tiny.World(folder / "own"), folder / "root")
    shutil.copytree(built.root, mine.root)
    table = pd.read_csv(folder / "own/places.csv")
    ids = [tiny.name(r, c) for r in range(tiny.LATTICE) for c in range(tiny.LATTICE)]
    table["Crop"] = [CROP.get(i, "hops") for i in ids]
    table["yield_t"] = np.arange(len(table)) / 2
    table.to_csv(folder / "own/places.csv", index=False)
    mine.world.recipe.write_text(tiny.RECIPE.replace("[labels]", '[labels]\ncolumn = "crop"'))
    assert mine("pack") == 0
    return mine


def test_a_batch_has_the_number_of_the_class_and_all_columns(labelled: Curate):
    index = open_shards(labelled.folder / "shards", "train").index
    assert index.target == TargetEntry("crop", ("hops", "oats", "rye"))  # hops became no sample, and keep their number
    samples = {s["key"]: s for s in open_shards(labelled.folder / "shards", "train")}
    assert set(samples) == {key for key in CROP if key != tiny.name(0, 3)}
    for key, sample in samples.items():
        want = CROP[key]
        number = -100 if want is None else index.target.classes.index(want)
        assert (sample["label"], sample["label_ok"]) == (number, want is not None)
        assert sample["crop"] == (want or "")
        assert 0 <= sample["yield_t"] < 13
    assert index.counts["target"] == {
        "train": {"known": 6, "unknown": 1, "classes": {"hops": 0, "oats": 3, "rye": 3}},
        "val": {"known": 0, "unknown": 0, "classes": {"hops": 0, "oats": 0, "rye": 0}},
    }
    table = pq.read_table(labelled.folder / "shards/train/samples.parquet")
    assert dict(zip(table["id"].to_pylist(), table["crop"].to_pylist(), strict=True)) == {k: CROP[k] for k in samples}


def test_cross_entropy_learns_from_a_batch_as_it_comes(labelled: Curate):
    torch.manual_seed(0)
    data = open_shards(labelled.folder / "shards", batch_size=7, normalize=True, fields=["s2l2a_10m"])
    batch = next(iter(data))
    image, label = batch["s2l2a_10m"][:, 0].flatten(1), batch["label"]
    model = torch.nn.Linear(image.shape[1], len(data.index.target.classes))
    optimizer, loss_of = torch.optim.Adam(model.parameters(), 1e-4), torch.nn.CrossEntropyLoss()
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = loss_of(model(image), label)  # -100 is what it passes over
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    ok = batch["label_ok"]
    assert ok.sum() == 6
    assert (model(image).argmax(1) == label)[ok].all()


def test_classes_are_balanced_by_how_many_samples_have_them(labelled: Curate):
    data = open_shards(labelled.folder / "shards", batch_size=7, balance=True)
    ids = [s["key"] for s in data.by_id()]
    weight = dict(zip(ids, data._opened.weights, strict=True))
    of = {crop: sum(weight[k] for k in ids if CROP[k] == crop) for crop in ("rye", "oats")}
    assert of["rye"] == pytest.approx(of["oats"]) == pytest.approx(3 / 7)
    assert sorted(label for batch in data for label in batch["label"].tolist())[0] in (-100, 1)


def test_what_torchgeo_wants_is_a_transform(labelled: Curate):
    def known(batch):
        own = batch["label_ok"] & ~batch["is_pad"]
        return {"image": batch["s2l2a_10m"][own, 0], "label": batch["label"][own]}

    data = open_shards(labelled.folder / "shards", batch_size=4, normalize=True, transform=known, fields=["s2l2a_10m"])
    batches = list(DataLoader(data, batch_size=None, num_workers=1))
    assert sorted(n for b in batches for n in b["label"].tolist()) == [1, 1, 1, 2, 2, 2]
    assert {tuple(b["image"].shape[1:]) for b in batches} == {(4, 48, 48)}


@pytest.mark.slow
def test_another_legend_is_another_release_and_writes_no_shard_anew(labelled: Curate, tmp_path, capsys):
    shutil.copytree(labelled.world.folder, tmp_path / "own")
    mine = Curate(tiny.World(tmp_path / "own"), tmp_path / "root")
    shutil.copytree(labelled.root, mine.root)
    assert mine("pack") == 0  # a copy has other file marks than receipts tell
    before = json.loads((mine.folder / "shards/index.json").read_text())
    places = mine.world.folder / "places.csv"
    places.write_text(places.read_text().replace("hops", "Alfalfa"))
    capsys.readouterr()
    assert mine("pack") == 0
    out = capsys.readouterr().out
    assert "label crop: train 6 known, 1 unknown (Alfalfa 0, oats 3, rye 3); val 0 known, 0 unknown (" in out
    assert "(2 shards made before)" in out
    after = json.loads((mine.folder / "shards/index.json").read_text())
    assert after["target"] == {"column": "crop", "classes": ["Alfalfa", "oats", "rye"]}
    assert after["digests"]["release"] != before["digests"]["release"]
    assert after["content_sha256"] == before["content_sha256"]
    assert mine("verify") == 0
    index = Index.from_bytes((mine.folder / "shards/index.json").read_bytes())
    assert "note" not in dict(page._facts(survey(mine.dataset, mine.store), index))
    places.write_text(places.read_text().replace("Alfalfa", "hops"))
    (mine.folder / "manifest/locations.parquet").unlink()
    assert mine("locate") == 0
    assert "packed by other labels" in dict(page._facts(survey(mine.dataset, mine.store), index))["note"]


def test_nothing_changes_where_there_is_no_target(built: Curate):
    assert "target" not in json.loads((built.folder / "shards/index.json").read_text())
    assert "label" not in next(iter(open_shards(built.folder / "shards", "train", batch_size=2)))
