"""What edges say: whether the nodes that they join are alike, beyond chance. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.places.grids import Ints

MOST_TRIES = 1000


def of_labels(src: Ints, dst: Ints, shares: NDArray[Any]) -> dict[str, float]:
    """Homophily and Moran's I of nodes by their label fractions; edges of nodes without any do not count.

    Args:
        src: senders.
        dst: receivers.
        shares: (n, label), NaN where unknown.
    """
    known = ~np.isnan(shares).any(axis=1)
    some = known[src] & known[dst]
    src, dst = src[some], dst[some]
    largest = np.where(known, np.nan_to_num(shares, nan=-1).argmax(axis=1), -1)
    moran = [morans_i(src, dst, np.where(known, column, np.nan)) for column in shares.T]
    found = [m for m in moran if not np.isnan(m)]
    return {
        "homophily": homophily(src, dst, largest),
        "morans_i": float(np.mean(found)) if found else float("nan"),
        "edges": float(len(src)),
    }


def homophily(src: Ints, dst: Ints, labels: Ints) -> float:
    """Share of edges whose ends have one label, minus that of ends which are dealt anew; NaN without edges."""
    if not len(src):
        return float("nan")
    count = int(labels.max()) + 1
    one, other = (np.bincount(labels[ends], minlength=count) / len(src) for ends in (src, dst))
    return float(np.mean(labels[src] == labels[dst]) - one @ other)


def morans_i(src: Ints, dst: Ints, values: NDArray[Any]) -> float:
    """Moran's I with a weight of 1 per edge; NaN where nothing varies."""
    known = ~np.isnan(values)
    if not known.any() or not len(src):
        return float("nan")
    apart = np.where(known, values - values[known].mean(), 0.0).astype(np.float64)
    power = (apart[known] ** 2).mean()
    return float((apart[src] * apart[dst]).mean() / power) if power > 0 else float("nan")


def means(group: Ints, values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Mean of the known rows of each group; NaN where there is none."""
    known = ~np.isnan(values).any(axis=1)
    n = np.bincount(group[known], minlength=count)
    sums = [np.bincount(group[known], column[known], count) for column in values.T]
    with np.errstate(invalid="ignore"):
        return np.stack([s / np.where(n, n, np.nan) for s in sums], axis=1).astype(np.float32)


def shuffled(src: Ints, dst: Ints, seed: int) -> tuple[Ints, Ints]:
    """The edges with other partners: each node sends and receives as many as before, and none to itself.

    What a model gains by the true edges over these is by who is joined with whom, and not by how many are.

    Args:
        src: senders.
        dst: receivers.
        seed: of the draw.

    Raises:
        ValueError: no such edges are found: nearly all lead to or from one node.
    """
    draw = np.random.default_rng(seed)
    out = draw.permutation(src)
    for _ in range(MOST_TRIES):
        loops = np.flatnonzero(out == dst)
        if not len(loops):
            order = np.lexsort([out, dst])
            return out[order], dst[order]
        other = draw.integers(len(out), size=len(loops))
        for one, two in zip(loops.tolist(), other.tolist(), strict=True):
            out[one], out[two] = out[two], out[one]
    raise ValueError(f"{len(loops)} of {len(src)} edges still join a node with itself after {MOST_TRIES} tries")
