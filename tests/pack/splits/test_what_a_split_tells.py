"""A world whose answer is known: labels follow from a feature and from ground that is alike nearby.

A model learns the ground by heart where it has seen it. What it is worth elsewhere is known, since the same world can be
made again in another place. A random split overstates that; one that is buffered as far as ground is alike tells it.
"""

from __future__ import annotations

import numpy as np
import pytest

from curation.pack import split
from curation.places.domains import block
from curation.places.nearby import EARTH_RADIUS_KM
from curation.recipe.schema import Recipe
from curation.report import variogram
from tests.pack.splits.test_domain_rules import BASE, places

SCALE_KM = 150.0
"""Of the ground: its correlation at a distance d is exp(-d² / 2 · scale²)."""

RANGE_KM = SCALE_KM * np.sqrt(2 * np.log(20))
"""Where 95 % of the variogram's sill is reached."""

KM_PER_DEG = np.pi * EARTH_RADIUS_KM / 180


class Ground:
    """A smooth random field, by Fourier features: another one for each seed."""

    def __init__(self, rng: np.random.Generator, waves: int = 300) -> None:
        self.w = rng.normal(0, 1 / SCALE_KM, (2, waves))
        self.phase = rng.uniform(0, 2 * np.pi, waves)

    def at(self, xy_km: np.ndarray) -> np.ndarray:
        return np.sqrt(2 / len(self.phase)) * np.cos(xy_km @ self.w + self.phase).sum(axis=1)


def world(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Longitudes, latitudes, features (count, 9), labels, and the ground itself; near the equator, where it is flat."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform([0, -7.5], [60, 7.5], (count, 2))
    km = xy * KM_PER_DEG
    ground, looks = Ground(rng).at(km), [Ground(rng).at(km) for _ in range(8)]
    own = rng.normal(size=count)
    features = np.column_stack([own, *looks])
    return xy[:, 0], xy[:, 1], features, own + 1.5 * ground > 0, ground


def right(train: np.ndarray, labels: np.ndarray, asked: np.ndarray, answers: np.ndarray, k: int = 7) -> np.ndarray:
    """Which of the answers the k nearest neighbours give."""
    apart = (asked**2).sum(1)[:, None] + (train**2).sum(1)[None] - 2 * asked @ train.T
    near = np.argpartition(apart, k, axis=1)[:, :k]
    return (labels[near].mean(axis=1) > 0.5) == answers


def interval(ok: np.ndarray, of_block: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Of the mean, 95 %, by drawing whole blocks: places of one are no independent trials."""
    of = [ok[of_block == b] for b in np.unique(of_block)]
    means = [np.concatenate([of[k] for k in rng.integers(0, len(of), len(of))]).mean() for _ in range(500)]
    low, high = np.percentile(means, [2.5, 97.5]).tolist()
    return low, high


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_random_split_overstates_what_a_buffered_one_tells_truly(seed: int):
    lon, lat, x, y, ground = world(seed, 5000)
    known = variogram.of(lon, lat, ground[:, None])
    assert known is not None
    assert known.range_km == pytest.approx(RANGE_KM, rel=0.3)
    rng = np.random.default_rng(seed)
    rule = {"rule": "blocks", "block_deg": 5.0, "val_fraction": 0.25, "buffer_km": float(RANGE_KM)}
    mine = Recipe.model_validate(BASE | {"split": rule, "seed": seed})
    side = split.sides(mine, places(lon, lat, [""] * len(lon)))
    train, val = side == "train", side == "val"
    assert train.sum() > 400
    ok = right(x[train], y[train], x[val], y[val])
    low, high = interval(ok, block.names(lon[val], lat[val], 5.0), rng)
    # As many at random, from all over.
    order = rng.permutation(len(lon))
    some, others = order[: train.sum()], order[train.sum() : train.sum() + val.sum()]
    random = right(x[some], y[some], x[others], y[others]).mean()
    # What the very model is worth where it is new: the same law, other ground.
    truth = np.mean([right(x[train], y[train], *world(100 * seed + k, 1500)[2:4]).mean() for k in range(8)])
    assert low - 0.01 <= truth <= high + 0.01, (low, truth, high)
    assert random > truth + 0.05, (random, truth)
    assert random > high
