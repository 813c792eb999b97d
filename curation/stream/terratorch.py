"""Shards for TerraTorch: a data module that its config files name, with batches as its tasks take them.

```yaml
data:
  class_path: curation.stream.terratorch.GeoDataModule
  init_args: {shards: shards/my-set, arrays: [s2l2a_10m], mask: worldcover_10m, classes: [10, 20, 30, 40], batch_size: 8}
```

Batches are `image` (float32), `mask` (int64, numbers of classes) or `label`, and `filename`, the sample's key: what else
stood there TerraTorch would hand to the model. Wants `pip install 'curation[lightning]'`; of TerraTorch nothing is imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from curation.errors import ConfigError, extras
from curation.format.names import LABEL
from curation.stream.lightning import Base
from curation.stream.open import open_shards
from curation.stream.torchgeo import GeoSamples

STAGES: Mapping[str, tuple[str, ...]] = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
"""Stage of Lightning's trainer → what it reads."""


class GeoDataModule(Base):
    """Train, val and test of one season of a dataset, image by image."""

    def __init__(
        self,
        shards: str | Path,
        arrays: list[str],
        mask: str | None = None,
        classes: list[int] | None = None,
        unknown: int = -1,
        season: str | None = None,
        batch_size: int = 8,
        num_workers: int = 4,
        normalize: bool = True,
        train: str = "train",
        val: str = "val",
        test: str = "test",
        opening: dict[str, Any] | None = None,
    ) -> None:
        """Says what is read; nothing is opened yet.

        Args:
            shards: a folder or URL.
            arrays: which make the image, in order.
            mask: the class map that is to be told; without one the target or scene labels are, as `label`.
            classes: codes of the map in the order of their numbers, from 0; codes as they are where None.
            unknown: the number of what is of none of these: TerraTorch's `ignore_index`.
            season: which one; the first of the dataset where None.
            batch_size: of the loaders.
            num_workers: likewise.
            normalize: by the statistics of train.
            train: the split that is shuffled, and learnt from; its last batch is left out where it is not full.
            val: the one that is validated on; where a dataset has no samples of it: none.
            test: likewise.
            opening: what else `open_shards` is told (`crop_px` …).

        Raises:
            ConfigError: Lightning is not installed; a class is named twice, or none.
        """
        extras.check("lightning", "GeoDataModule")
        if classes is not None and (not classes or len(set(classes)) != len(classes)):
            raise ConfigError(f"GeoDataModule: classes = {classes}: expected codes of the map, each once")
        super().__init__()
        self.shards, self.batch_size, self.num_workers = shards, batch_size, num_workers
        self.splits = {"train": train, "val": val, "test": test}
        self.classes, self.unknown = classes, unknown
        self.how: dict[str, Any] = {"season": season, "mask": mask, "normalize": normalize} | (opening or {})
        self.arrays = arrays
        self.datasets: dict[str, GeoSamples] = {}
        """Those opened, by what they are for."""

    def setup(self, stage: str) -> None:
        """Opens what a stage wants; what is open stays open. Raises ConfigError as `GeoSamples` does."""
        there = open_shards(self.shards, self.splits["train"]).index.splits
        for name in STAGES.get(stage, ()):
            split = self.splits[name]
            has_none = split == name != "train" and (split not in there or not there[split].samples)
            if name not in self.datasets and not has_none:
                self.datasets[name] = GeoSamples(self.shards, split, self.arrays, **self.how)

    def _loader(self, name: str) -> Any:
        """The loader of an open split; an empty list where there is no such, which Lightning takes for none."""
        if name not in self.datasets:
            return []
        return DataLoader(
            self.datasets[name],
            batch_size=self.batch_size,
            shuffle=name == "train",
            drop_last=name == "train",
            num_workers=self.num_workers,
            collate_fn=self.batch,
        )

    def train_dataloader(self) -> Any:
        """Shuffled."""
        return self._loader("train")

    def val_dataloader(self) -> Any:
        """In order."""
        return self._loader("val")

    def test_dataloader(self) -> Any:
        """In order."""
        return self._loader("test")

    def batch(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Samples of `GeoSamples` as one batch: image, mask or label, and keys as `filename`."""
        out: dict[str, Any] = {"image": torch.stack([s["image"] for s in samples])}
        if "mask" in samples[0]:
            out["mask"] = self._numbers(torch.stack([s["mask"] for s in samples]))
        elif LABEL in samples[0]:
            out[LABEL] = torch.stack([s[LABEL] for s in samples])
        return out | {"filename": [s["key"] for s in samples]}

    def _numbers(self, codes: torch.Tensor) -> torch.Tensor:
        """Numbers of classes by codes (int64, any shape)."""
        if self.classes is None:
            return codes
        out = torch.full_like(codes, self.unknown)
        for number, code in enumerate(self.classes):
            out[codes == code] = number
        return out
