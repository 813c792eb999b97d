"""Exports as those open them that they are for: `datasets` of Hugging Face, litData, and pystac by the schemas it has."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pystac
import pytest

from tests import world as tiny
from tests.integration.conftest import needed
from tests.run import Curate

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

OPENED = """
import json, sys
from datasets import load_dataset
folder, file = sys.argv[1:]
out = {}
for way, rows in (
    ("folder", load_dataset(folder, split="train")),
    ("files", load_dataset("parquet", data_files=file, split="train")),
):
    row = rows.with_format("numpy")[rows["id"].index(sys.stdin.readline().strip())] if way == "folder" else rows[0]
    out[way] = {
        "rows": rows.num_rows,
        "features": {n: repr(f) for n, f in rows.features.items()},
    }
    if way == "folder":
        pixels = row["s2l2a_10m_summer"]
        out[way] |= {"pixels": pixels.tolist()}
streamed = load_dataset(folder, split="train", streaming=True)
out["streamed"] = [row["id"] for row in streamed]
print(json.dumps(out))
"""


STREAMED = """
import json, sys
from litdata import StreamingDataLoader, StreamingDataset
keys = []
for sample in StreamingDataset(sys.argv[1], shuffle=False):
    keys.append(sample["key"])
    if sample["key"] == sys.argv[2]:
        pixels = sample["s2l2a_10m_summer"]
        assert json.loads(sample["meta"])["id"] == sample["key"]
loader = StreamingDataLoader(StreamingDataset(sys.argv[1]), batch_size=1, num_workers=2)
print(json.dumps({"keys": keys, "pixels": pixels.tolist(), "loaded": [k for b in loader for k in b["key"]]}))
"""


def exported(built: Curate, form: str, to: Path) -> Path:
    assert built("export", "--format", form, "--to", str(to), "--scheduler", "none") == 0
    return to


def test_hugging_face_opens_the_folder_and_its_files(built: Curate, tmp_path: Path):
    needed("Parquet opened by `datasets`", "" if _has("datasets") else "no datasets in this Python")
    to = exported(built, "parquet", tmp_path / "out")
    env = os.environ | {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    command = [sys.executable, "-c", OPENED, str(to), str(to / "data" / "train-*.parquet")]
    done = subprocess.run(
        command, env=env, input=f"{tiny.name(1, 1)}\n", capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    index = json.loads((built.folder / "shards/index.json").read_text())
    assert told["folder"]["rows"] == told["files"]["rows"] == index["splits"]["train"]["samples"]
    assert told["folder"]["features"] == told["files"]["features"]
    assert told["folder"]["features"]["s2l2a_10m_summer"] == "Array3D(shape=(4, 48, 48), dtype='uint16')"
    assert np.array_equal(np.array(told["folder"]["pixels"])[0], tiny.crop(tiny.dn("B02", 10), 10, 1, 1))
    assert len(told["streamed"]) == told["folder"]["rows"]


def test_litdata_streams_each_sample_alone_and_with_workers(built: Curate, tmp_path: Path):
    needed("chunks streamed by litData", "" if _has("litdata") else "no litdata in this Python")
    to = exported(built, "litdata", tmp_path / "out")
    command = [sys.executable, "-c", STREAMED, str(to / "train"), tiny.name(1, 1)]
    env = os.environ | {"HOME": str(tmp_path)}  # it keeps chunks below it
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    index = json.loads((built.folder / "shards/index.json").read_text())
    assert len(set(told["keys"])) == len(told["keys"]) == index["splits"]["train"]["samples"]
    assert sorted(told["loaded"]) == sorted(told["keys"])
    assert np.array_equal(np.array(told["pixels"])[0], tiny.crop(tiny.dn("B02", 10), 10, 1, 1))


def test_each_file_of_a_stac_collection_is_valid_by_the_schemas_of_its_version(built: Curate, tmp_path: Path):
    needed("STAC validated by pystac", "" if _has("jsonschema") else "no jsonschema in this Python")
    to = exported(built, "stac", tmp_path / "out")
    collection = pystac.Collection.from_file(str(to / "collection.json"))
    every = [collection, *collection.get_children()]
    every += list(collection.get_items(recursive=True))
    assert len(every) > 40
    for each in every:
        value = each.to_dict(include_self_link=False, transform_hrefs=False)
        # Schemas of extensions lie elsewhere; those of STAC itself come with pystac.
        assert pystac.validation.validate_dict(value, extensions=[]), each.id


def _has(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
