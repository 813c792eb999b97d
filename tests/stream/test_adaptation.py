"""A source with labels and a target without, step by step: each of the source once an epoch, no label of the target."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.utils.data import DataLoader

from curation.errors import ConfigError
from curation.stream import open_shards
from curation.stream.adaptation import LABELS, open_adaptation
from tests.stream.conftest import make_shards

BAND = "s2l2a_10m"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("adaptation") / "shards"
    make_shards(out, {"train": [4, 4, 4], "val": [2], "test": [3, 3]})
    return out


@pytest.mark.parametrize("workers", [0, 2])
def test_steps_are_aligned_and_the_target_goes_on_in_another_order(folder: Path, workers: int):
    pairs = open_adaptation(folder, "train", "test", batch_size=2, fields=[BAND])
    assert len(pairs) == 6
    ids = {part: set(open_shards(folder, part).by_id().ids) for part in ("train", "test")}
    orders = []
    for _ in range(2):
        steps = list(DataLoader(pairs, batch_size=None, num_workers=workers))
        assert len(steps) == 6
        source, target = (Counter(k for step in steps for k in step[of]["key"]) for of in ("source", "target"))
        assert source == Counter(ids["train"])  # each once
        assert set(target) <= ids["test"]
        assert target.total() == 12
        if workers == 0:
            assert set(target.values()) == {2}  # two epochs of six
        orders.append([tuple(step["source"]["key"]) for step in steps])
    assert orders[0] != orders[1]


def test_what_tells_the_target_s_labels_is_withheld_and_pixels_are_the_reader_s(folder: Path):
    dataset = open_shards(folder, "test")
    reader = dataset.by_id()
    maps = [name for name, entry in dataset.index.arrays.items() if entry.role == "classes"]
    assert maps
    for step in open_adaptation(folder, batch_size=3):
        assert set(step["target"]).isdisjoint([*LABELS, "label", *maps])
        assert {"labels", *maps} <= set(step["source"])
        for row, key in enumerate(step["target"]["key"]):
            assert torch.equal(step["target"][BAND][row], reader[key][BAND])


def test_more_can_be_withheld_and_what_leaves_nothing_is_refused(folder: Path):
    step = next(iter(open_adaptation(folder, batch_size=2, fields=[BAND, "dem_30m"], withhold=["dem_30m", "lon"])))
    assert "dem_30m" in step["source"]
    assert {"dem_30m", "lon"}.isdisjoint(step["target"])
    assert "lat" in step["target"]
    with pytest.raises(ConfigError, match="nothing of the target is left"):
        open_adaptation(folder, batch_size=2, fields=[BAND], withhold=[BAND])
    with pytest.raises(ConfigError, match="no split 'tset'"):
        open_adaptation(folder, target="tset", batch_size=2)


def skew(folder: Path) -> None:
    """The first sample of test is of another label than all others."""
    table, path = folder / "test/samples.parquet", folder / "index.json"
    rows = pq.read_table(table)
    for name in (c for c in rows.column_names if c.startswith("fractions_")):
        shares = [[float(k == (0 if row else 2)) for k in range(3)] for row in range(rows.num_rows)]
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(shares))
    pq.write_table(rows, table)
    index, data = json.loads(path.read_text()), table.read_bytes()
    its = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    index["splits"]["test"]["samples_table"] |= its
    path.write_text(json.dumps(index))


def test_neither_built_in_captions_nor_balance_tell_labels_of_the_target(tmp_path: Path):
    make_shards(tmp_path, {"train": [4, 4], "test": [3, 3]}, texts=lambda split, n: [f"{split} {n}"])
    skew(tmp_path)
    drawn = Counter(
        k for step in open_shards(tmp_path, "test", batch_size=3, shuffle=True, balance=True) for k in step["key"]
    )
    assert max(drawn.values()) > 1, "as many of the rare label as of others"
    own = open_adaptation(tmp_path, batch_size=3, fields=[BAND, "captions"], balance=True)
    assert own.source.index == own.target.index
    plain = open_adaptation(tmp_path, batch_size=3, fields=[BAND])
    for balanced, step in zip(own, plain, strict=True):
        assert len(balanced["target"]["captions"]) == 3, "texts of the user's own are the user's to withhold"
        assert balanced["target"]["key"] == step["target"]["key"], "drawn by labels"
    index = json.loads((tmp_path / "index.json").read_text())
    index["counts"]["read"] = {"captions": {"words": "en", "words_sha256": "0", "identity": "0"}}
    (tmp_path / "index.json").write_text(json.dumps(index))
    for fields in (None, [BAND, "captions"]):
        step = next(iter(open_adaptation(tmp_path, batch_size=3, fields=fields)))
        assert "captions" in step["source"]
        assert BAND in step["target"]
        assert "captions" not in step["target"]


def test_a_worker_without_a_batch_of_the_target_is_told(folder: Path):
    pairs = open_adaptation(folder, "train", "val", batch_size=2, fields=[BAND])
    with pytest.raises(ConfigError, match="a worker has no batch of the target"):
        list(DataLoader(pairs, batch_size=None, num_workers=2))
