"""TerraTorch's own command trains a step on shards, by a config file that names our data module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration import environment
from tests.integration.conftest import beside_terratorch
from tests.run import Curate

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

CODES = [10, 20, 30, 40, 50, 60, 80]

CONFIG = """
seed_everything: 0
trainer:
  accelerator: cpu
  max_steps: 1
  limit_val_batches: 1
  num_sanity_val_steps: 0
  logger: false
  enable_checkpointing: false
  enable_progress_bar: false
  default_root_dir: {folder}
data:
  class_path: curation.stream.terratorch.GeoDataModule
  init_args:
    shards: {shards}
    arrays: [s2l2a_10m]
    mask: worldcover_10m
    classes: {codes}
    batch_size: 4
    num_workers: 0
    opening: {{crop_px: 32, crop: center}}
model:
  class_path: terratorch.tasks.SemanticSegmentationTask
  init_args:
    model_factory: SMPModelFactory
    model_args:
      model: Unet
      backbone: resnet18
      pretrained: false
      bands: [BLUE, GREEN, RED, NIR_NARROW]
      in_channels: 4
      num_classes: {count}
    loss: ce
    ignore_index: -1
    optimizer: AdamW
    lr: 0.001
"""

TRAIN = f"""{environment.TORCHVISION}
import sys, warnings
warnings.simplefilter("ignore")
from terratorch.cli_tools import build_lightning_cli
cli = build_lightning_cli(["fit", "--config", sys.argv[1]])
batch = next(iter(cli.datamodule.train_dataloader()))
print("BATCH", sorted(batch), tuple(batch["image"].shape), batch["image"].dtype, batch["mask"].dtype)
print("MASK", sorted(set(batch["mask"].unique().tolist())))
print("STEPS", cli.trainer.global_step)
"""


def test_a_config_of_terratorch_trains_a_step_on_shards(built: Curate, tmp_path: Path):
    site = beside_terratorch("terratorch", "TerraTorch")
    shards = built.folder / "shards"
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.format(folder=tmp_path, shards=shards, codes=CODES, count=len(CODES)))
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(config)],
        env=os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{root}", "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=800,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line.split(" ", 1) for line in done.stdout.splitlines()]
    said = {name: rest[0] for name, *rest in lines if name in ("BATCH", "MASK", "STEPS")}
    assert said["BATCH"] == "['filename', 'image', 'mask'] (4, 4, 32, 32) torch.float32 torch.int64"
    assert said["STEPS"] == "1"
    numbers = set(json.loads(said["MASK"]))
    assert numbers <= {-1, *range(len(CODES))}
    assert max(numbers) >= 0
