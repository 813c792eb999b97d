"""Seeded randomness: power-law fields, hashes of integers, and buffers of white noise that are dealt out by offset."""

from __future__ import annotations

import zlib
from functools import cache
from typing import TypeVar

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Floats = NDArray[np.float32]
T = TypeVar("T", bound=np.generic)

_BUFFER = 1 << 22


def seed_of(*parts: object) -> int:
    """A 32-bit seed that follows from the parts alone (Python's own hash differs from process to process)."""
    return zlib.crc32("/".join(map(str, parts)).encode())


def power_law(shape: tuple[int, int], slope: float, seed: int, cut: float = 0.0) -> Floats:
    """A periodic Gaussian field with amplitude falling as frequency^-slope; float32, mean 0, variance 1.

    Args:
        shape: rows, columns.
        slope: of the amplitude spectrum; 1 is rough, 2 smooth.
        seed: what it follows from.
        cut: wavelengths longer than 1/cut pixels are levelled off (0: none).
    """
    rows, cols = (scipy.fft.next_fast_len(n, real=True) for n in shape)
    white = np.random.default_rng(seed).standard_normal((rows, cols), dtype=np.float32)
    fy = scipy.fft.fftfreq(rows).astype(np.float32)[:, None]
    fx = scipy.fft.rfftfreq(cols).astype(np.float32)[None, :]
    square = fy * fy + fx * fx
    floor = max(cut, 0.7 / max(rows, cols)) ** 2
    gain = np.maximum(square, np.float32(floor)) ** np.float32(-slope / 2)
    gain[0, 0] = 0
    field: Floats = scipy.fft.irfft2(scipy.fft.rfft2(white) * gain, s=(rows, cols))[: shape[0], : shape[1]]
    field -= field.mean()
    field /= field.std()
    return np.ascontiguousarray(field, dtype=np.float32)


def hash_u32(value: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """A well-mixed uint32 of each uint32 (the lowbias32 mixer)."""
    out = value.copy()
    out ^= out >> np.uint32(16)
    out *= np.uint32(0x7FEB352D)
    out ^= out >> np.uint32(15)
    out *= np.uint32(0x846CA68B)
    out ^= out >> np.uint32(16)
    return out


@cache
def _normal() -> Floats:
    return np.random.default_rng(1).standard_normal(_BUFFER, dtype=np.float32)


@cache
def _speckle(looks: float) -> Floats:
    return (np.random.default_rng(2).standard_gamma(looks, _BUFFER, dtype=np.float32) / np.float32(looks)).astype(
        np.float32
    )


def _dealt(buffer: Floats, shape: tuple[int, int], seed: int) -> Floats:
    size = shape[0] * shape[1]
    if size > buffer.size // 2:
        raise ValueError(f"noise of {shape}: expected at most {buffer.size // 2} values; take it in strips")
    start = (seed * 2654435761 % 2**32) % (buffer.size - size)
    out: Floats = buffer[start : start + size].reshape(shape)
    return out


def normal(shape: tuple[int, int], seed: int) -> Floats:
    """White Gaussian noise of variance 1: a view of a fixed buffer, not to be written to."""
    return _dealt(_normal(), shape, seed)


def speckle(shape: tuple[int, int], seed: int, looks: float) -> Floats:
    """Multiplicative noise of mean 1 (gamma distributed, variance 1/looks): a view, not to be written to."""
    return _dealt(_speckle(looks), shape, seed)


@cache
def texture(slope: float = 1.1, size: int = 1024) -> Floats:
    """One periodic square field for everything that only needs grain; shared, not to be written to."""
    return power_law((size, size), slope, seed=3, cut=1 / 64)


def rolled(field: NDArray[T], shape: tuple[int, int], seed: int) -> NDArray[T]:
    """A periodic field cut to `shape` from a start that follows from the seed."""
    rng = np.random.default_rng(seed)
    moved = np.roll(field, [int(rng.integers(n)) for n in field.shape], axis=(0, 1))
    times = [-(-n // size) for n, size in zip(shape, field.shape, strict=True)]
    return np.tile(moved, times)[: shape[0], : shape[1]]


def tiled(field: NDArray[T], row: int, col: int, shape: tuple[int, int]) -> NDArray[T]:
    """`shape` of a periodic field, from a row and column on: what is cut of one whole fits together."""
    rows, cols = (
        np.arange(start, start + n) % size for start, n, size in zip((row, col), shape, field.shape, strict=True)
    )
    out: NDArray[T] = field[rows[:, None], cols]
    return out


def normal_like(shape: tuple[int, int], seed: int) -> Floats:
    """White Gaussian noise of a large shape, dealt in strips: float32, a new array."""
    out = np.empty(shape, dtype=np.float32)
    for start in range(0, shape[0], 256):
        stop = min(start + 256, shape[0])
        out[start:stop] = normal((stop - start, shape[1]), seed_of(seed, "rows", start))
    return out
