"""Loops of others over our shards: Lightning with a data module, `datasets` of Hugging Face."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curation.errors import ConfigError
from curation.stream import open_shards
from curation.stream.huggingface import iterable
from curation.stream.lightning import ShardDataModule
from tests.integration.conftest import needed
from tests.stream.conftest import make_shards

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]

BAND = "s2l2a_10m"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frameworks") / "shards"
    make_shards(folder, {"train": [4, 4, 4, 1], "val": [2]})
    return folder


@pytest.fixture
def lightning() -> Any:
    needed("a Lightning data module", "" if _has("lightning") else "no lightning in this Python")
    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    return lightning


def fitted(
    lightning: Any, data: ShardDataModule, epochs: int, save: Path | None = None, begin: Path | None = None
) -> Any:
    """A model that has seen the data, and wrote down what; a checkpoint of its end, and the one that it began with."""

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(4))
            self.seen: dict[str, list[list[str]]] = {"train": [[] for _ in range(epochs)], "val": [], "test": []}

        def training_step(self, batch: dict[str, Any], _: int) -> torch.Tensor:
            own = (~batch["is_pad"]).tolist()
            self.seen["train"][self.current_epoch] += [k for k, o in zip(batch["key"], own, strict=True) if o]
            return (batch[BAND].float().mean((0, 1, 3, 4)) * self.weight).sum()

        def validation_step(self, batch: dict[str, Any], _: int) -> None:
            self.seen["val"].append(batch["key"])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=1e-6)

    module = Module()
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data, ckpt_path=begin)
    if save is not None:
        trainer.save_checkpoint(save)
    return module


@pytest.mark.parametrize("workers", [0, 2])
def test_lightning_sees_each_sample_once_an_epoch_in_another_order(lightning: Any, packed: Path, workers: int):
    data = ShardDataModule(packed, batch_size=4, num_workers=workers, fields=[BAND])
    module = fitted(lightning, data, epochs=3)
    ids = sorted(open_shards(packed, "train").by_id().ids)
    assert [sorted(keys) for keys in module.seen["train"]] == [ids] * 3
    assert len({tuple(keys) for keys in module.seen["train"]}) == 3
    assert module.weight.abs().sum() > 0
    val = [k for keys in module.seen["val"] for k in keys]
    assert set(val) == set(open_shards(packed, "val").by_id().ids)
    assert "test" not in data.datasets  # which this dataset has not


def test_a_run_from_a_checkpoint_has_the_epochs_of_an_undisturbed_one(lightning: Any, packed: Path, tmp_path: Path):
    def data() -> ShardDataModule:
        return ShardDataModule(packed, batch_size=4, num_workers=0, fields=[BAND])

    whole = fitted(lightning, data(), 4).seen["train"]
    first = fitted(lightning, data(), 2, save=tmp_path / "two.ckpt").seen["train"]
    rest = fitted(lightning, data(), 4, begin=tmp_path / "two.ckpt").seen["train"]
    assert first == whole[:2]
    assert rest == [[], [], *whole[2:]]


def test_a_dataset_without_val_is_fitted_without(lightning: Any, tmp_path: Path):
    make_shards(tmp_path / "shards", {"train": [4]})
    data = ShardDataModule(tmp_path / "shards", batch_size=2, num_workers=0, fields=[BAND])
    assert fitted(lightning, data, epochs=1).seen["val"] == []


def test_hugging_face_s_rows_are_the_reader_s(packed: Path):
    needed("an IterableDataset", "" if _has("datasets") else "no datasets in this Python")
    how = {"fields": [BAND], "seasons": ["summer"]}
    rows = iterable(open_shards(packed, "train", **how))
    reader = open_shards(packed, "train", **how).by_id()
    count = 0
    for row in rows.with_format("numpy"):
        theirs = reader[str(row["key"])]
        assert np.array_equal(row[BAND], theirs[BAND].numpy())
        assert row["lon"] == theirs["lon"]
        count += 1
    assert count == len(reader) == 13
    assert [len(b["key"]) for b in rows.batch(5)] == [5, 5, 3]


def test_each_iteration_is_the_next_epoch(packed: Path):
    needed("an IterableDataset", "" if _has("datasets") else "no datasets in this Python")
    rows = iterable(open_shards(packed, "train", fields=[BAND], shuffle=True))
    first, second = ([str(row["key"]) for row in rows] for _ in range(2))
    assert sorted(first) == sorted(second)
    assert first != second
    with pytest.raises(ConfigError, match="open it without batch_size"):
        iterable(open_shards(packed, "train", batch_size=2))


def test_what_would_leave_out_rows_is_refused(packed: Path):
    needed("an IterableDataset", "" if _has("datasets") else "no datasets in this Python")
    from datasets.distributed import split_dataset_by_node

    rows = iterable(open_shards(packed, "train", fields=[BAND]))
    for workers in (0, 1):
        read = list(torch.utils.data.DataLoader(rows, batch_size=None, num_workers=workers))
        assert len({row["key"] for row in read}) == 13
    with pytest.raises(ConfigError, match="Hugging Face asks one alone"):
        list(torch.utils.data.DataLoader(rows, batch_size=None, num_workers=2))
    with pytest.raises(ConfigError, match="leave out split_dataset_by_node"):
        list(split_dataset_by_node(rows, rank=0, world_size=2))


def _has(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
