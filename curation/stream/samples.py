"""Samples by location id or row, in any order: for evaluation, samplers, and looking at one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch.utils.data

from curation.errors import ConfigError
from curation.stream.batch import Batch, Shape
from curation.stream.filling import Filling
from curation.stream.layout import Layout
from curation.stream.opening import OpenSplit
from curation.stream.reading import Check


class SampleMap(torch.utils.data.Dataset[dict[str, Any]]):
    """A split as a mapping: `len(view)`, `view["utm32n-501360-5629020"]`, `view[0]`."""

    def __init__(self, opened: OpenSplit, layout: Layout, seed: int, check: Check) -> None:
        self._opened = opened
        self._layout = layout
        self._seed = seed
        self._check: Check = check
        self._rows: dict[str, int] | None = None
        self._filling: Filling | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_rows": None, "_filling": None}

    @property
    def ids(self) -> list[str]:
        """Location ids, by row."""
        return [str(i) for i in self._opened.ids.to_pylist()]

    def __len__(self) -> int:
        return self._opened.entry.samples

    def __contains__(self, key: object) -> bool:
        return key in self._row_of()

    def __getitem__(self, key: str | int) -> dict[str, Any]:
        """The sample, as `open_shards` documents it; what is drawn of it (seasons, crops) is always the same.

        Raises:
            KeyError: there is no such id in the split.
            IndexError: there is no such row.
            DamageError: what is stored of it is not what was packed.
        """
        if isinstance(key, str):
            if key not in self._row_of():
                raise KeyError(f"{self._opened.url}: no sample {key!r} in split {self._opened.split!r}")
            row = self._row_of()[key]
        elif isinstance(key, int | np.integer):
            row = int(key) + (len(self) if key < 0 else 0)
            if not 0 <= row < len(self):
                raise IndexError(f"row {key}: expected below {len(self)}")
        else:
            raise ConfigError(f"sample {key!r}: expected a location id or a row")
        if self._filling is None:
            self._filling = Filling(self._opened, self._layout, self._check)
        batch = Batch(Shape.of(self._layout, 1), None)
        self._filling.fill(batch, 0, row, row, seed=self._seed, epoch=0)
        return batch.sample()

    def _row_of(self) -> dict[str, int]:
        if self._rows is None:
            self._rows = {key: row for row, key in enumerate(self.ids)}
        return self._rows
