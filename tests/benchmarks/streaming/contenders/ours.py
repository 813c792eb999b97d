"""`curation.stream`: `ten` delivers what peers deliver, `native` as stored, `nearest`/`bilinear` upsample it on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import harness
from harness import Batch, Options
from torch.utils.data import DataLoader

from curation.stream.open import open_shards

NAMES = {
    "s2l2a_10m": "s2_10m",
    "s2l2a_20m": "s2_20m",
    "s2l2a_60m": "s2_60m",
    "s1rtc_10m": "s1",
    "dem_10m": "dem",
    "dem_30m": "dem",
    "worldcover_10m": "worldcover",
    "dynamicworld_10m": "dynamicworld",
}
NATIVE_CROP = 228
"""The smallest multiple of 6 px (60 m) that is no less than what peers deliver."""


class _Batches:
    """Iterable again and again."""

    def __init__(self, options: Options) -> None:
        how: dict[str, Any] = {}
        if options.variant in ("nearest", "bilinear"):
            how["upsample"] = options.variant
        if options.crop:
            how |= {"draw_seasons": 1, "crop_px": NATIVE_CROP if options.variant == "native" else harness.CROP}
        data = open_shards(options.at, "train", batch_size=options.batch, check="xxh3", **how)
        keep = options.workers > 0
        self.loader = DataLoader(data, batch_size=None, num_workers=options.workers, persistent_workers=keep)
        self.names = NAMES | ({"s2l2a_10m": "s2"} if options.variant == "ten" else {})
        self.crop = options.crop

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.loader:
            keys = ["" if pad else k for k, pad in zip(batch["key"], batch["is_pad"].tolist(), strict=True)]
            crops = None
            if self.crop:
                cut = zip(batch["season"][:, 0].tolist(), batch["crop_yx"].tolist(), strict=True)
                crops = [(season, y, x) for season, (y, x) in cut]
            yield keys, {self.names[n]: batch[n] for n in self.names if n in batch}, crops


def loader(options: Options) -> Iterable[Batch]:
    """Batches in reused buffers, hashes checked."""
    return _Batches(options)


if __name__ == "__main__":
    harness.main(None, loader)
