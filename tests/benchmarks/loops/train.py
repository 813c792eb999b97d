"""One rank of a training loop, by a framework: `python train.py SHARDS NOTES LOOP OPENED`; run by `__main__` alone.

Writes what it was given, `NOTES/<rank>.json`: for each epoch the keys of its samples, pads left out.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader

from curation.stream.dataset import ShardDataset
from curation.stream.open import open_shards

EPOCHS, WORKERS = 3, 2


def opened(shards: str) -> ShardDataset:
    """Train, as most would open it."""
    return open_shards(shards, batch_size=4, fields=["dem_30m"], shuffle=True, seed=5, dtype=torch.float32)


def loader(dataset: ShardDataset) -> DataLoader[Any]:
    """As shards/README.md says."""
    return DataLoader(dataset, batch_size=None, num_workers=WORKERS, persistent_workers=True)


def keys(batch: dict[str, Any]) -> list[str]:
    """Of the samples that are no repeats."""
    return [k for k, pad in zip(batch["key"], batch["is_pad"].tolist(), strict=True) if not pad]


def seen_in(batches: Iterable[Any]) -> list[list[str]]:
    """Per epoch, what a plain loop gets; nobody calls `set_epoch`."""
    return [[k for batch in batches for k in keys(batch)] for _ in range(EPOCHS)]


class Model(torch.nn.Module):
    """One weight, and what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.seen: list[list[str]] = [[] for _ in range(EPOCHS)]

    def forward(self, batch: dict[str, Any]) -> torch.Tensor:
        """A loss."""
        return (self.weight * batch["dem_30m"]).mean()


def plain(shards: str, before: bool) -> list[list[str]]:
    """torchrun and nothing else."""
    dataset = opened(shards) if before else None
    dist.init_process_group("gloo")
    return seen_in(loader(dataset or opened(shards)))


def by_environment(shards: str, before: bool) -> list[list[str]]:
    """torchrun, and nobody makes a process group."""
    return seen_in(loader(opened(shards)))


def lightning(shards: str, before: bool) -> list[list[str]]:
    """Lightning: the data are there before its process group, or are made in a hook after it."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = Model()

        def training_step(self, batch: dict[str, Any], _: int) -> torch.Tensor:
            self.model.seen[self.current_epoch] += keys(batch)
            return self.model(batch)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=1e-9)

        def train_dataloader(self) -> DataLoader[Any]:
            return loader(opened(shards))

    module = Module()
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        max_epochs=EPOCHS,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, *([loader(opened(shards))] if before else []))
    return module.model.seen


def accelerate(shards: str, before: bool, *, prepare: bool = False, dispatch: bool | None = None) -> list[list[str]]:
    """accelerate: model and optimizer are prepared, the DataLoader is not."""
    from accelerate import Accelerator
    from accelerate.utils import DataLoaderConfiguration, find_batch_size, send_to_device

    dataset = opened(shards) if before else None
    accelerator = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(dispatch_batches=dispatch))
    model = Model()
    ready, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=1e-9))
    batches = loader(dataset or opened(shards))
    if prepare:
        batches = accelerator.prepare(batches)
    for epoch in range(EPOCHS):
        for batch in batches:
            assert find_batch_size(batch) == 4
            moved = send_to_device(batch, accelerator.device)
            model.seen[epoch] += keys(moved)
            accelerator.backward(ready(moved))
            optimizer.step()
    return model.seen


def prepared(shards: str, before: bool) -> list[list[str]]:
    """accelerate, with the DataLoader in `prepare`: refused."""
    return accelerate(shards, before, prepare=True)


def prepared_sharded(shards: str, before: bool) -> list[list[str]]:
    """The same where each process iterates: refused, too."""
    return accelerate(shards, before, prepare=True, dispatch=False)


def transformers(shards: str, before: bool, *, plain_loader: bool = True) -> list[list[str]]:
    """transformers.Trainer, with the DataLoader as it is."""
    from transformers import Trainer, TrainingArguments

    dataset = opened(shards) if before else None

    class Training(Trainer):
        def get_train_dataloader(self) -> DataLoader[Any]:
            return loader(self.train_dataset) if plain_loader else super().get_train_dataloader()

        def compute_loss(self, model: Any, inputs: dict[str, Any], **_: Any) -> torch.Tensor:
            self.model.seen[int(self.state.epoch or 0)] += keys(inputs)
            return model(inputs)

    arguments = TrainingArguments(
        output_dir=os.environ["NOTES"],
        use_cpu=True,
        num_train_epochs=EPOCHS,
        learning_rate=1e-9,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        ddp_find_unused_parameters=False,
    )
    model = Model()
    Training(model=model, args=arguments, train_dataset=dataset or opened(shards)).train()
    return model.seen


def transformers_own(shards: str, before: bool) -> list[list[str]]:
    """transformers.Trainer, with the DataLoader that it makes: refused."""
    return transformers(shards, before, plain_loader=False)


def main() -> None:
    """The command."""
    shards, notes, loop, when = sys.argv[1:]
    warnings.filterwarnings("ignore")
    os.environ["NOTES"] = notes
    try:
        found: Any = globals()[loop](shards, when == "before")
    except Exception as err:  # noqa: BLE001 - told to who started this, which knows what is expected
        found = f"{type(err).__name__}: {str(err).strip().splitlines()[-1]}"
    rank = int(os.environ.get("RANK") or os.environ.get("LOCAL_RANK", "0"))
    (Path(notes) / f"{rank}.json").write_text(json.dumps(found))
    if isinstance(found, str):
        os._exit(0)  # the other rank may be waiting for this one
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
