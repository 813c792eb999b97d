"""Shards as a Lightning data module: `Trainer.fit(model, ShardDataModule("shards/ssl4eo-s12-ml", batch_size=32))`.

Wants `pip install 'curation[lightning]'`. Ranks are found as `open_shards` finds them, so that Lightning's own sampler has
nothing to do, and each epoch has another order, a run that goes on from a checkpoint the one that an undisturbed run has. Of
a checkpoint within an epoch Lightning begins the loader anew: who wants the samples that come next saves
`data.datasets["train"].state_dict(steps)` beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader

from curation.errors import extras
from curation.stream.dataset import ShardDataset
from curation.stream.open import open_shards

if TYPE_CHECKING:

    class Base:
        """What Lightning's data modules begin with."""

else:
    try:
        from lightning.pytorch import LightningDataModule as Base
    except ModuleNotFoundError:  # told where a module is made, and not where this file is imported
        Base = object


class ShardDataModule(Base):
    """Train, val and test of a dataset of shards.

    >>> data = ShardDataModule("shards/ssl4eo-s12-ml", batch_size=32, fields=["s2l2a_10m"], dtype=torch.float32)
    >>> Trainer(max_epochs=10).fit(model, data)
    """

    def __init__(
        self,
        shards: str | Path,
        *,
        batch_size: int = 32,
        num_workers: int = 4,
        train: str = "train",
        val: str | None = "val",
        test: str | None = "test",
        seed: int = 0,
        loader: dict[str, Any] | None = None,
        **opening: Any,
    ) -> None:
        """Says what is read; nothing is opened yet.

        Args:
            shards: a folder or URL.
            batch_size: of each rank.
            num_workers: of each of the loaders.
            train: the split that is shuffled, and learnt from.
            val: the one that is validated on; None, or `val` of a dataset that has not such: none.
            test: likewise, with `test`.
            seed: of the order, and of what is drawn.
            loader: what else each DataLoader is told (`pin_memory`, `prefetch_factor` …).
            opening: what else `open_shards` is told of every split (`fields`, `seasons`, `transform` …).

        Raises:
            ConfigError: Lightning is not installed.
        """
        extras.check("lightning", "ShardDataModule")
        super().__init__()
        self.shards = shards
        self._train = train
        self.splits: dict[str, str | None] = {"train": train, "val": val, "test": test}
        self.opening = {"batch_size": batch_size, "seed": seed} | opening
        self.loader: dict[str, Any] = {
            "num_workers": num_workers,
            "persistent_workers": num_workers > 0,
            **(loader or {}),
        }
        self.datasets: dict[str, ShardDataset] = {}
        """Those opened, by what they are for."""

    def setup(self, stage: str) -> None:
        """Opens what a stage wants; what is open stays open."""
        for name in {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}.get(stage, ()):
            if name not in self.datasets and (split := self._split(name)) is not None:
                self.datasets[name] = open_shards(self.shards, split, shuffle=name == "train", **self.opening)

    def _split(self, name: str) -> str | None:
        """The split that it is for. The usual name of one need not be there; one of the user's own is opened, or refused."""
        split = self.splits[name]
        is_own = split != name
        if name == "train" or split is None or is_own:
            return split
        train = self.datasets.get("train") or open_shards(self.shards, self._train)
        splits = train.index.splits
        return split if split in splits and splits[split].samples else None

    def _loader(self, name: str) -> Any:
        """The loader of an open split; an empty list where there is no such, which Lightning takes for none."""
        return DataLoader(self.datasets[name], batch_size=None, **self.loader) if name in self.datasets else []

    def train_dataloader(self) -> Any:
        """Shuffled; another order each epoch, which is the trainer's."""
        if (trainer := getattr(self, "trainer", None)) is not None:
            self.datasets["train"].set_epoch(trainer.current_epoch)
        return self._loader("train")

    def val_dataloader(self) -> Any:
        """In the order of the shards."""
        return self._loader("val")

    def test_dataloader(self) -> Any:
        """In the order of the shards."""
        return self._loader("test")
