"""An array as NumPy writes it: pixels alone."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np

from curation.read.chipform import Axes, ChipPixels, ChipReader, in_order


class Npy(ChipReader):
    """One array; pickled objects are refused, since reading them executes them."""

    name: Literal["npy"] = "npy"
    axes: Axes = "byx"
    """Which axis is which."""

    def _decoded(self, data: bytes, address: str, band: str) -> ChipPixels:
        return ChipPixels(in_order(np.load(io.BytesIO(data), allow_pickle=False), self.axes, address))
