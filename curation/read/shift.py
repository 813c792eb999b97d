"""Residual misregistration between two sources, measured. Pure.

Phase correlation of gradient magnitudes (edges are what optical and radar images share), with a parabola through the peak
for the part below a pixel.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.recipe.bounds import LEAST_PX, MAX_SHIFT_PX

FALSE_ACCEPTS = 0.01
"""Fewer of unrelated pairs have a peak of `least_peak` (`tests/read/test_shift.py` measures it)."""

PEAK, PEAK_SMALL = 4.3, 5200.0
"""Of `least_peak`: of many pixels the greatest of the window's correlations stands out by chance by some 4 deviations; the
fewer there are, the more it is itself of what it is compared with. Fitted to the 99th percentiles of pairs of noise, of
fields made up coarse and fine, of fields with speckle, and of real Sentinel-2 with Sentinel-1 of another place. The greatest
of these was 8.6 at 32 px, 7.4 at 40, 6.6 at 48, 5.5 at 64, 4.8 at 80, 4.7 at 96, 4.6 at 132, 4.2 at 176, 4.1 at 224 and 264.
"""

SMOOTH_PX = 1.0
"""Standard deviation of the Gaussian that the correlation is smoothed by."""


def shift_px(reference: NDArray[Any], other: NDArray[Any]) -> tuple[float, float, float]:
    """How far `other` lies from `reference`: x (east) and y (south) in pixels, and how sharp the peak is.

    Good to about a tenth of a pixel where the peak is sharp. The sharpness is the peak's height over the standard
    deviation of the correlation around it: below `least_peak` the shift says little. All are NaN where an image has no
    structure.

    Args:
        reference: (y, x), finite.
        other: (y, x), finite, same shape.

    Raises:
        ValueError: the shapes differ or are too small for the search window.
    """
    if reference.shape != other.shape or min(reference.shape) < LEAST_PX:
        raise ValueError(f"shapes {reference.shape} and {other.shape}: expected equal, at least {LEAST_PX} px")
    a, b = _edges(reference), _edges(other)
    if a is None or b is None:
        return (float("nan"),) * 3
    cross = np.conj(np.fft.rfft2(a)) * np.fft.rfft2(b)
    size = np.abs(cross)
    cross /= np.maximum(size, 1e-12 * size.max())
    cross *= _smoothing(*a.shape)
    surface = np.fft.fftshift(np.fft.irfft2(cross, s=a.shape))
    cy, cx = (n // 2 for n in a.shape)
    window = surface[cy - MAX_SHIFT_PX : cy + MAX_SHIFT_PX + 1, cx - MAX_SHIFT_PX : cx + MAX_SHIFT_PX + 1]
    py, px = np.unravel_index(int(window.argmax()), window.shape)
    y, x = int(py) + cy - MAX_SHIFT_PX, int(px) + cx - MAX_SHIFT_PX
    rows, cols = np.ogrid[: a.shape[0], : a.shape[1]]
    near = np.maximum(np.abs(rows - cy), np.abs(cols - cx)) <= 2 * MAX_SHIFT_PX
    beside = near & (np.maximum(np.abs(rows - y), np.abs(cols - x)) > 3 * SMOOTH_PX)
    peak = float(surface[y, x] / surface[beside].std())
    dx = _vertex(surface[y, x - 1], surface[y, x], surface[y, x + 1])
    dy = _vertex(surface[y - 1, x], surface[y, x], surface[y + 1, x])
    return x - cx + dx, y - cy + dy, peak


def least_peak(px: int) -> float:
    """The sharpness from which on a shift says something, of images of so many pixels a side.

    Fewer than `FALSE_ACCEPTS` of unrelated pairs reach it, whatever the size.
    """
    return PEAK + PEAK_SMALL / px**2


def _edges(image: NDArray[Any]) -> NDArray[Any] | None:
    """Gradient magnitude under a Hann window; None where the image is flat."""
    gy, gx = np.gradient(image.astype(np.float64))
    edges = np.hypot(gx, gy)
    spread = edges.std()
    if spread == 0:
        return None
    out: NDArray[Any] = (edges - edges.mean()) / spread * _hann(*edges.shape)
    return out


@functools.lru_cache(maxsize=8)
def _hann(height: int, width: int) -> NDArray[Any]:
    """(y, x) Hann window; read-only."""
    return _read_only(np.outer(np.hanning(height), np.hanning(width)))


@functools.lru_cache(maxsize=8)
def _smoothing(height: int, width: int) -> NDArray[Any]:
    """What multiplies a real transform of (y, x), so that the correlation is smoothed by a Gaussian; read-only.

    The peak then is one, of which a parabola finds the top three times as well; speckle harms less.
    """
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    return _read_only(np.exp(-2 * (np.pi * SMOOTH_PX) ** 2 * (fx**2 + fy**2)))


def _read_only(values: NDArray[Any]) -> NDArray[Any]:
    values.flags.writeable = False
    return values


def _vertex(left: float, mid: float, right: float) -> float:
    """Where the parabola through three equidistant heights has its top, from the middle one."""
    bend = left - 2 * mid + right
    return 0.0 if bend >= 0 else float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5))
