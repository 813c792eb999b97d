"""Arrays of one footprint onto one grid, in the reader or on a GPU: pixels nest exactly, so that only factors matter."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

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
    if pixels.device.type == "cpu" and not pixels.requires_grad and pixels.dtype is not torch.bfloat16:
        return torch.from_numpy(_bilinear(pixels.numpy(), factor, nodata))
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
    hole = pixels.isnan() if math.isnan(nodata) else pixels == nodata
    return hole if bool(hole.any()) else None


def _bilinear(pixels: NDArray[Any], factor: int, nodata: float | None) -> NDArray[Any]:
    """As `upsample` has it, in numpy: in pieces that stay in the cache, which takes half of what torch does."""
    *front, height, width = pixels.shape
    out = np.empty((*front, height * factor, width * factor), pixels.dtype)
    planes, fine = pixels.reshape(-1, height, width), out.reshape(-1, height * factor, width * factor)
    for plane, into in zip(planes, fine, strict=True):
        hole = None if nodata is None else np.isnan(plane) if math.isnan(nodata) else plane == nodata
        if nodata is None or hole is None or not hole.any():
            _plane(plane, factor, into)
            continue
        sums, weight = np.empty(into.shape, np.float32), np.empty(into.shape, np.float32)
        _plane(np.where(hole, 0, plane), factor, sums)
        _plane(~hole, factor, weight)
        sums /= np.maximum(weight, np.float32(1e-6), out=weight)
        np.copyto(into, sums if into.dtype.kind == "f" else np.rint(sums, out=sums), casting="unsafe")
        np.copyto(into.reshape(height, factor, width, factor), nodata, "unsafe", where=hole[:, None, :, None])
    return out


def _plane(plane: NDArray[Any], factor: int, into: NDArray[Any]) -> None:
    """One band, whose pixels all count: along rows first, of which there are few yet, and then between them."""
    height, width = plane.shape
    padded = np.empty((height, width + 2), np.float32)
    padded[:, 1:-1], padded[:, 0], padded[:, -1] = plane, plane[:, 0], plane[:, -1]
    wide = np.empty((height + 2, width * factor), np.float32)
    _between(padded.T, factor, wide[1:-1].T)
    wide[0], wide[-1] = wide[1], wide[-2]
    _between(wide, factor, into)


def _between(padded: NDArray[np.float32], factor: int, into: NDArray[Any]) -> None:
    """Along the first axis: `factor` places between the centres of neighbours, one more of which stands at each end."""
    sums = np.empty_like(padded[1:-1])  # in the same order in memory
    for step in range((factor + 1) // 2):
        far = 0.5 - (step + 0.5) / factor  # from a pixel's centre: as far before it as, of another place, behind it
        own, its = padded[1:-1] * np.float32(1 - far), padded * np.float32(far)
        for at, neighbours in ((step, its[:-2]), (factor - 1 - step, its[2:])):
            np.add(own, neighbours, out=sums)
            np.copyto(into[at::factor], sums if into.dtype.kind == "f" else np.rint(sums, out=sums), casting="unsafe")


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
