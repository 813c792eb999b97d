"""Which pixels of a member a crop is made of, and how they become what the layout wants."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from curation.stream.layout import ArrayLayout
from curation.stream.resample import Upsample, upsample


class Cut(NamedTuple):
    """What is looked at of a member's pixels, as stored, and where the crop begins in what these become."""

    top: int
    bottom: int
    left: int
    right: int
    row: int
    column: int


def cut(place: ArrayLayout, corner: tuple[int, int], mode: Upsample | None) -> Cut:
    """The cut of a crop, within the array.

    Args:
        place: the array.
        corner: first row and column, in finest pixels.
        mode: how coarser arrays come onto the finest grid.
    """
    factor, size, (row, column) = place.factor, place.size_px, corner
    if not place.fine or factor == 1:
        row, column = (row, column) if place.fine else (row // factor, column // factor)
        return Cut(row, row + size, column, column + size, 0, 0)
    margin = 1 if _how(place, mode) == "bilinear" else 0  # a neighbour on each side is all that it looks at
    top, left = (max(at // factor - margin, 0) for at in corner)
    bottom, right = (
        min(-(-(at + size) // factor) + margin, side) for at, side in zip(corner, place.entry.shape[1:], strict=True)
    )
    return Cut(top, bottom, left, right, row - top * factor, column - left * factor)


def spans(place: ArrayLayout, cuts: Iterable[Cut]) -> list[tuple[int, int]] | None:
    """(first byte, the one behind the last) in a member's `.npy` of its header and of what cuts look at; None: all."""
    bands, height = place.entry.shape[:2]
    rows = {(w.top, min(w.bottom, height)) for w in cuts}
    if (0, height) in rows:
        return None
    start, line = len(place.header), place.stored_bytes // (bands * height)
    its = [
        (start + (b * height + top) * line, start + (b * height + bottom) * line)
        for b in range(bands)
        for top, bottom in rows
    ]
    return [(0, start), *its]


def put(place: ArrayLayout, pixels: NDArray[Any], seen: Cut, out: NDArray[Any], mode: Upsample | None) -> None:
    """Writes a cut of (band, y, x) pixels as the layout wants them; others are not looked at."""
    own, size = pixels[..., seen.top : seen.bottom, seen.left : seen.right], place.size_px
    if place.fine and place.factor > 1:
        coarse = torch.from_numpy(np.require(own, requirements="W"))
        own = upsample(coarse, place.factor, _how(place, mode), place.entry.nodata).numpy()
        own = own[..., seen.row : seen.row + size, seen.column : seen.column + size]
    if place.scale is None or place.shift is None:
        if place.dtype is torch.bfloat16:
            out[...] = bfloat16(own.astype(np.float32))
        else:
            np.copyto(out, own, casting="unsafe")
        return
    target = np.empty(own.shape, np.float32) if place.dtype is torch.bfloat16 else out
    np.multiply(own, place.scale, out=target)
    target += place.shift
    missing = np.isnan(own) if math.isnan(place.entry.nodata) else own == place.entry.nodata
    if missing.any():
        target[missing] = 0.0
    if target is not out:
        out[...] = bfloat16(target)


def _how(place: ArrayLayout, mode: Upsample | None) -> Upsample:
    """Classes and masks have nothing in between."""
    return "bilinear" if mode == "bilinear" and place.entry.role == "data" else "nearest"


def bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The bits of bfloat16, which numpy does not have."""
    return torch.from_numpy(values).to(torch.bfloat16).view(torch.uint16).numpy()


def nodata_as_stored(place: ArrayLayout) -> Any:
    """What a pixel without data is, in the dtype that memory of a batch has in numpy."""
    return bfloat16(np.array([place.nodata], np.float32))[0] if place.dtype is torch.bfloat16 else place.nodata
