"""Who lies near whom, on the ground and as numbers, in bounded memory: exact, block by block. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from curation.places.grids import Floats, Ints
from curation.places.nearby import EARTH_RADIUS_KM, unit

RADIUS_M = 1000 * EARTH_RADIUS_KM

BLOCK_PAIRS = 1 << 22
"""Pairs that are looked at together: 32 MB an array of them."""

Values = NDArray[np.float32]
"""Samples as numbers [N, D]."""


def identical(values: Values) -> Ints:
    """Of each row the number of the first row with the very same bytes [N]; its own where there is none before it."""
    rows = np.ascontiguousarray(values + np.float32(0))  # of 0 there are two, which are equal
    as_bytes = rows.view(np.dtype((np.void, rows.dtype.itemsize * max(rows.shape[1], 1)))).ravel()
    _, first, which = np.unique(as_bytes, return_index=True, return_inverse=True)
    return np.asarray(first[which.ravel()], np.int64)


def near_pairs(lon: Floats, lat: Floats, reach_m: float, block: int = BLOCK_PAIRS) -> Iterator[tuple[Ints, Ints]]:
    """All pairs of places a < b whose centres lie no further apart than a reach, each once, a block at a time.

    They are found as points in space, so that nothing is special about the antimeridian and the poles.

    Args:
        lon: degrees [N].
        lat: degrees [N].
        reach_m: along a great circle of the mean radius.
        block: most pairs of a block; a place that has more neighbours than that is a block of its own.
    """
    points = unit(lon, lat)
    tree = cKDTree(points)
    chord = 2 * np.sin(min(reach_m / RADIUS_M, np.pi) / 2) * (1 + 1e-12)
    counts = np.asarray(tree.query_ball_point(points, chord, return_length=True), np.int64)
    for start, end in _blocks(counts, block):
        found = tree.query_ball_point(points[start:end], chord, return_sorted=True)
        a = np.repeat(np.arange(start, end), counts[start:end])
        b = np.concatenate([np.asarray(f, np.int64) for f in found]) if len(found) else np.empty(0, np.int64)
        yield a[a < b], b[a < b]


def _blocks(counts: Ints, most: int) -> Iterator[tuple[int, int]]:
    """Runs of rows with no more than so many pairs together, of one row at least."""
    ends, start = np.cumsum(counts), 0
    while start < len(counts):
        before = ends[start - 1] if start else 0
        end = max(int(np.searchsorted(ends, before + most, side="right")), start + 1)
        yield start, end
        start = end


def apart(values: Values, a: Ints, b: Ints, block: int = BLOCK_PAIRS) -> Floats:
    """Root mean square of what two rows differ in, of each pair [P]."""
    out = np.empty(len(a))
    step = max(block // max(values.shape[1], 1), 1)
    for i in range(0, len(a), step):
        differ = values[a[i : i + step]].astype(np.float64) - values[b[i : i + step]]
        out[i : i + step] = np.sqrt((differ**2).mean(axis=1)) if values.shape[1] else 0.0
    return out


def nearest_elsewhere(values: Values, points: Floats, rows: Ints, reach_m: float) -> Floats:
    """Of some rows how far, as numbers, the most alike row is that lies beyond a reach on the ground and is no copy of it.

    Exact: against all rows, a block at a time.

    Args:
        values: [N, D].
        points: where they lie, on the unit sphere [N, 3].
        rows: those that are asked about [Q].
        reach_m: along a great circle.

    Returns:
        Root mean square of the difference [Q]; infinite where there is no such row.
    """
    within = np.cos(min(reach_m / RADIUS_M, np.pi))
    best = np.full(len(rows), np.inf)
    mine, step = values[rows].astype(np.float64), max(BLOCK_PAIRS // max(len(rows), 1), 1)
    norms = (mine**2).sum(axis=1)
    for start in range(0, len(values), step):
        other = values[start : start + step].astype(np.float64)
        square = norms[:, None] + (other**2).sum(axis=1)[None] - 2 * mine @ other.T
        near = points[rows] @ points[start : start + step].T >= within
        copies = square <= 1e-9 * np.maximum(norms[:, None], 1e-9)
        best = np.minimum(best, np.where(near | copies, np.inf, np.maximum(square, 0)).min(axis=1, initial=np.inf))
    return np.asarray(np.sqrt(best / max(values.shape[1], 1)))


def standardised(values: Values, block: int = 1 << 16) -> Values:
    """The same with mean 0 and standard deviation 1 in each column; 0 where a column is constant, or a value is none.

    In float64 and by two passes, a block of rows at a time.
    """
    n, wide = values.shape
    parts = [slice(i, i + block) for i in range(0, n, block)]
    total, count = np.zeros(wide), np.zeros(wide)
    for part in parts:
        fine = np.isfinite(values[part])
        total, count = total + np.where(fine, values[part], 0).sum(axis=0, dtype=np.float64), count + fine.sum(axis=0)
    mean = total / np.maximum(count, 1)
    square = np.zeros(wide)
    for part in parts:
        square += (np.where(np.isfinite(values[part]), values[part] - mean, 0.0) ** 2).sum(axis=0)
    spread = np.sqrt(square / np.maximum(count, 1))
    flat = spread <= 1e-6 * np.maximum(np.abs(mean), 1e-30)
    out = np.empty((n, wide), np.float32)
    for part in parts:
        scaled = (values[part] - mean) / np.where(flat, 1, spread)
        out[part] = np.where(np.isfinite(values[part]) & ~flat, scaled, 0)
    return out


def reduced(values: Values, most: int, block: int = 1 << 16) -> Values:
    """Rows as their largest principal components [N, at most `most`], not scaled: distances shrink a little, none grows.

    By the covariance, which is added up block by block, so that nothing is held twice.
    """
    n, wide = values.shape
    if wide <= most:
        return values
    mean = sum((values[i : i + block].sum(axis=0, dtype=np.float64) for i in range(0, n, block)), np.zeros(wide)) / n
    second = np.zeros((wide, wide))
    for i in range(0, n, block):
        centred = values[i : i + block] - mean
        second += centred.T @ centred
    axes = np.linalg.eigh(second)[1][:, ::-1][:, :most]
    return np.concatenate([((values[i : i + block] - mean) @ axes).astype(np.float32) for i in range(0, n, block)])
