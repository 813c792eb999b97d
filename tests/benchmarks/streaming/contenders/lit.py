"""litData: raw tensors in chunks of 64 MB. `raw`; `huge` is the same with huge pages, which the runner asks glibc for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import harness
import litdata
import torch
from harness import Batch, Options
from torch.utils.data import default_collate


def _of_tar(path: str) -> Iterator[dict[str, Any]]:
    for key, arrays, meta in harness.tar_samples(Path(path)):
        yield {"key": key, "meta": json.loads(meta)} | {n: torch.from_numpy(arrays[n]) for n in harness.NAMES}


def write(source: Path, folder: Path, variant: str) -> None:
    """Written with litData's own `optimize`, by one worker, so that samples keep their order."""
    del variant
    inputs = [str(p) for p in harness.tars(source)]
    litdata.optimize(_of_tar, inputs=inputs, output_dir=str(folder), chunk_bytes="64MB", num_workers=1)


class _Data(litdata.StreamingDataset):
    crop = False

    def __getitem__(self, index: Any) -> Any:
        sample = super().__getitem__(index)
        arrays = {n: sample[n] for n in harness.NAMES}
        crop = None
        if self.crop:
            arrays, crop = harness.cropped(arrays)
        return sample["key"], arrays, crop


def _collate(samples: list[Any]) -> Batch:
    keys, arrays, crops = zip(*samples, strict=True)
    return list(keys), default_collate(list(arrays)), None if crops[0] is None else list(crops)


def loader(options: Options) -> Iterable[Batch]:
    """litData's own loader."""
    data = _Data(options.at, shuffle=False, drop_last=False)
    data.crop = options.crop
    return litdata.StreamingDataLoader(
        data,
        batch_size=options.batch,
        num_workers=options.workers,
        persistent_workers=options.workers > 0,
        collate_fn=_collate,
    )


if __name__ == "__main__":
    harness.main(write, loader)
