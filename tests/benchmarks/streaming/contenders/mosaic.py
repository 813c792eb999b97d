"""MosaicML streaming: `ndarray` columns of fixed shape, or `bytes` columns that `numpy.frombuffer` reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import harness
import numpy as np
import torch
from harness import Batch, Options
from torch.utils.data import DataLoader, default_collate

# MosaicML imports torchvision, whose published wheel does not fit a CPU build of torch: its operators are missing, and it
# stops at the first of them that it describes. None is used here.
_library = torch.library.Library("torchvision", "DEF")
for _name in ("nms", "qnms"):
    _library.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from streaming import MDSWriter, StreamingDataset  # noqa: E402  # after the line above

DTYPES = {"s2": np.uint16, "s1": np.int16, "dem": np.int16, "worldcover": np.uint8, "dynamicworld": np.uint8}
SHAPES = {
    "s2": (4, 12, 264, 264),
    "s1": (4, 2, 264, 264),
    "dem": (1, 264, 264),
    "worldcover": (1, 264, 264),
    "dynamicworld": (4, 1, 264, 264),
}


def write(source: Path, folder: Path, variant: str) -> None:
    """Shards of MosaicML's default size."""
    columns = {"key": "str", "meta": "json"}
    for name, dtype in DTYPES.items():
        shape = ",".join(map(str, SHAPES[name]))
        columns[name] = f"ndarray:{np.dtype(dtype).name}:{shape}" if variant == "ndarray" else "bytes"
    with MDSWriter(out=str(folder), columns=columns, size_limit=1 << 28) as out:
        for key, arrays, meta in (s for path in harness.tars(source) for s in harness.tar_samples(path)):
            values = {n: arrays[n] if variant == "ndarray" else arrays[n].tobytes() for n in harness.NAMES}
            out.write({"key": key, "meta": json.loads(meta)} | values)


class _Data(StreamingDataset):  # type: ignore[misc]
    def __init__(self, options: Options) -> None:
        super().__init__(local=options.at, batch_size=options.batch, shuffle=False)
        self.options = options

    def __getitem__(self, index: Any) -> Any:
        sample = super().__getitem__(index)
        arrays = {n: sample[n] for n in harness.NAMES}
        if self.options.variant == "bytes":
            arrays = {n: np.frombuffer(a, DTYPES[n]).reshape(SHAPES[n]) for n, a in arrays.items()}
        crop = None
        if self.options.crop:
            arrays, crop = harness.cropped(arrays)
        return sample["key"], {n: torch.from_numpy(a) for n, a in arrays.items()}, crop


def _collate(samples: list[Any]) -> Batch:
    keys, arrays, crops = zip(*samples, strict=True)
    return list(keys), default_collate(list(arrays)), None if crops[0] is None else list(crops)


def loader(options: Options) -> Iterable[Batch]:
    """torch's loader, as MosaicML recommends."""
    return DataLoader(
        _Data(options),
        batch_size=options.batch,
        num_workers=options.workers,
        persistent_workers=options.workers > 0,
        collate_fn=_collate,
    )


if __name__ == "__main__":
    harness.main(write, loader)
