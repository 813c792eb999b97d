"""Arrays of one footprint onto one grid, in the reader or on a GPU: pixels nest exactly, so that only factors matter."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch

from curation.errors import ConfigError

Upsample = Literal["nearest", "bilinear"]


def upsample(pixels: torch.Tensor, factor: int, mode: Upsample, nodata: float | None = None) -> torch.Tensor:
    """The pixels `factor` times as fine, on whatever device they are.

    `nearest` repeats them. `bilinear` interpolates between their centres, and beyond the outermost ones repeats them
    (`torch.nn.functional.interpolate`, `align_corners=False`). Pixels without data are left out of every mean and
    stay what they are: a hole neither grows, shrinks nor bleeds.

    Args:
        pixels: (…, y, x), of any dtype; codes of masks and classes only with `nearest`.
        factor: ≥ 1.
        mode: how.
        nodata: the value that means 'no data'; None where there is none.

    Returns:
        (…, y * factor, x * factor), of the same dtype; whole numbers are rounded, halves to even.

    Raises:
        ConfigError: an unknown mode, or a factor below 1.
    """
    if factor < 1:
        raise ConfigError(f"upsample: factor {factor}, expected ≥ 1")
    if mode not in ("nearest", "bilinear"):
        raise ConfigError(f"upsample: mode {mode!r}, expected 'nearest' or 'bilinear'")
    if factor == 1:
        return pixels
    if mode == "nearest":
        return _repeated(pixels, factor)
    exact = pixels.to(torch.float32)
    hole = None if nodata is None else _holes(exact, nodata)
    if hole is None:
        out = _interpolated(exact, factor)
    else:
        weight = _interpolated((~hole).to(torch.float32), factor)
        out = _interpolated(exact.masked_fill(hole, 0.0), factor) / weight.clamp(min=1e-6)
        out = out.masked_fill(_repeated(hole, factor), math.nan if nodata is None else nodata)
    return out.to(pixels.dtype) if pixels.is_floating_point() else out.round_().to(pixels.dtype)


def _holes(pixels: torch.Tensor, nodata: float) -> torch.Tensor | None:
    """Where there is no data; None where there is some everywhere."""
    if pixels.device.type != "cpu":
        hole = pixels.isnan() if math.isnan(nodata) else pixels == nodata
        return hole if bool(hole.any()) else None
    plain = pixels.detach().numpy()  # ten times as fast as torch's
    found = np.isnan(plain) if math.isnan(nodata) else plain == nodata
    return torch.from_numpy(found) if found.any() else None


def _repeated(pixels: torch.Tensor, factor: int) -> torch.Tensor:
    *front, height, width = pixels.shape
    if pixels.device.type != "cpu" or pixels.requires_grad:
        wide = pixels[..., :, None, :, None].expand(*front, height, factor, width, factor)
        return wide.reshape(*front, height * factor, width * factor)
    # numpy copies with such strides six times as fast as torch does. It lacks bfloat16, whose bits do as well.
    plain = (pixels.view(torch.int16) if pixels.dtype is torch.bfloat16 else pixels).numpy()
    rows = np.empty((*front, height, 1, width, factor), plain.dtype)
    for i in range(factor):
        rows[..., 0, :, i] = plain
    fine = np.empty((*front, height, factor, width * factor), plain.dtype)
    fine[...] = rows.reshape(*front, height, 1, width * factor)
    return torch.from_numpy(fine.reshape(*front, height * factor, width * factor)).view(pixels.dtype)


def _interpolated(pixels: torch.Tensor, factor: int) -> torch.Tensor:
    *front, height, width = pixels.shape
    planes = pixels.reshape(1, -1, height, width)
    out = torch.nn.functional.interpolate(planes, scale_factor=factor, mode="bilinear", align_corners=False)
    return out.reshape(*front, height * factor, width * factor)
