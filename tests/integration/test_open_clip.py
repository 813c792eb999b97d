"""A view as open_clip's own loader reads it: as many samples as are stated, over ranks and workers, none skipped."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import world as tiny
from tests.integration import environment
from tests.integration.conftest import needed
from tests.run import Curate

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

RANKS, WORKERS, BATCH = 2, 2, 3

MORE = """
complete = "any"

[annotations.caption]
function = "mine.py:caption"
type = "text"
"""

CAPTION = """
def caption(sample):
    return f"place {sample.key.rsplit('-', 2)[1]} {sample.key.rsplit('-', 1)[1]}"
"""

READ = """
import argparse, json, logging, os, sys, warnings
import torch
# The wheel's compiled operators want a torch with CUDA; of its Python parts alone two of them are asked for by name.
library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import open_clip
from open_clip_train.data import get_dataset_size, get_wds_dataset

class Listening(logging.Handler):
    def emit(self, record):
        line = "SAID " + record.getMessage().replace("\\n", " ")[:1000] + "\\n"
        os.write(2, line.encode())  # at once: what two workers say at the same time are two lines, on a pipe
logging.getLogger().addHandler(Listening())  # of workers, too, which are forked
train, val, rank, ranks, workers, batch = sys.argv[1:]
args = argparse.Namespace(
    train_data=train, val_data=val, train_num_samples=None, val_num_samples=get_dataset_size(val)[0],
    dataset_resampled=False, train_data_upsampling_factors=None, seed=0, rank=int(rank), world_size=int(ranks),
    workers=int(workers), batch_size=int(batch),
)
preprocess = open_clip.image_transform(32, is_train=False, mean=(0, 0, 0), std=(1, 1, 1))
tokenizer = open_clip.get_tokenizer("ViT-B-32")
is_train = int(ranks) > 1
info = get_wds_dataset(args, preprocess, is_train, tokenizer=tokenizer)
texts = []
for images, tokens in info.dataloader:
    assert images.shape[1:] == (3, 32, 32) and images.isfinite().all() and images.std() > 0, images.shape
    texts += [open_clip.decode(t).replace("<start_of_text>", "").split("<end_of_text>")[0].strip() for t in tokens]
print(json.dumps({"texts": texts, "stated": info.dataloader.num_samples}))
"""


@pytest.fixture(scope="module")
def trainer() -> Path:
    """Where open_clip lies."""
    folder = environment.open_clip_of(Path(os.environ.get(environment.VARIABLE, "")))
    needed("a view read by open_clip", "" if folder.is_dir() else f"no {folder}: run `make test-integration`")
    return folder


@pytest.fixture(scope="module")
def pictures(trainer: Path, built: Curate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A view of twelve samples in four tars."""
    world = tiny.World(tmp_path_factory.mktemp("own"))
    for name in ("recipe.toml", "items.json", "places.csv"):
        (world.folder / name).write_bytes((built.world.folder / name).read_bytes())
    recipe = world.recipe.read_text().replace("samples_per_shard = 5", "samples_per_shard = 20")
    world.recipe.write_text(recipe + MORE)
    (world.folder / "mine.py").write_text(CAPTION)
    mine = dataclasses.replace(built.copy(tmp_path_factory.mktemp("root")), world=world)
    assert mine("pack", "--run-code") == 0
    to = tmp_path_factory.mktemp("view") / "clip"
    summer = ("--season", "summer", "--select", f"id != {tiny.name(0, 3)}")  # which is cloudy then
    flags = (*summer, "--limit", "12", "--per-tar", str(BATCH), "--scheduler", "none")
    assert mine("view", "clip", "--to", str(to), *flags) == 0
    return to


def read(trainer: Path, folder: Path, ranks: int) -> list[dict]:
    """What each rank's loader gives; of one rank as of val, of several as of train."""
    urls = json.loads((folder / "view.json").read_text())["splits"]["train"]["urls"]
    with ThreadPoolExecutor(ranks) as pool:
        return list(pool.map(lambda rank: _rank(trainer, f"{folder}/{urls}", rank, ranks), range(ranks)))


def _rank(trainer: Path, data: str, rank: int, ranks: int) -> dict:
    env = os.environ | {"RANK": str(rank), "WORLD_SIZE": str(ranks), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(trainer)}
    command = [sys.executable, "-c", READ, data, data, *map(str, (rank, ranks, WORKERS, BATCH))]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    said = [line for line in done.stderr.splitlines() if "SAID" in line]
    return json.loads(done.stdout.splitlines()[-1]) | {"said": said}


def test_open_clip_reads_as_many_as_are_stated_each_once_over_two_ranks_and_two_workers(trainer: Path, pictures: Path):
    sizes = json.loads((pictures / "sizes.json").read_text())
    assert len(sizes) == RANKS * WORKERS
    found = read(trainer, pictures, RANKS)
    every = Counter(text for its in found for text in its["texts"])
    assert len(every) == sum(every.values()) == sum(sizes.values()) == 12
    assert [its["stated"] for its in found] == [12, 12]
    assert [its["said"] for its in found] == [[], []], "nothing is skipped"
    assert all(len(its["texts"]) == 6 for its in found)


def test_a_picture_that_is_damaged_is_skipped_by_it_and_the_count_shows_it(
    trainer: Path, pictures: Path, tmp_path: Path
):
    """So that the test above can fail."""
    for file in pictures.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes().replace(b"\xff\xd8\xff", b"\0\0\0", 1))
    (cut,) = read(trainer, tmp_path, 1)
    assert len(cut["texts"]) == 8
    assert len(cut["said"]) == len(json.loads((pictures / "sizes.json").read_text())) == 4, "one of each tar"
    assert all(line.startswith("SAID Handling webdataset error") and line.endswith("Ignoring.") for line in cut["said"])
