"""What a forecast on a graph is held against, and how sure a difference is: what `curation.examples.graph` tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import nn

Floats = NDArray[Any]

DRAWS = 2000
"""Of places, with replacement, for each interval."""

FEWEST = 10
"""Places that an interval wants: draws of fewer are too much alike, and an interval too narrow."""

NEAREST = 8
"""Known places that inverse distance weighs."""

TO_BE_SEEN = 1.96 + 0.84
"""Standard errors of a difference that 80 of 100 such trials would tell from none, at 5 %."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better one forecast is than another, of the same places."""

    gain: float
    """1 - its mean squared error over that of the other."""
    low: float
    high: float
    """Between these lie 95 % of what other draws of places would come to; NaN of too few."""
    least: float
    """The gain that would be told from none in 80 of 100 trials: the power of this one."""

    def __str__(self) -> str:
        if np.isnan(self.low):
            return f"{self.gain:+.1%} (fewer than {FEWEST} cells: no interval, nothing was shown)"
        return f"{self.gain:+.1%} ({self.low:+.1%} to {self.high:+.1%}; power: {self.least:.1%} would be seen)"


def compared(one: Floats, other: Floats, seed: int) -> Difference:
    """Squared errors of one forecast beside another's.

    Args:
        one: of each place, mean over seeds.
        other: of the same places.
        seed: of the draws.
    """
    gain = float(1 - one.mean() / other.mean())
    if len(one) < FEWEST:
        return Difference(gain, np.nan, np.nan, np.nan)
    rows = np.random.default_rng(seed).integers(len(one), size=(DRAWS, len(one)))
    drawn = 1 - one[rows].mean(axis=1) / other[rows].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Difference(gain, float(low), float(high), float(TO_BE_SEEN * drawn.std()))


def inverse_distance(xyz: Floats, values: Floats, known: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> Floats:
    """Of each wanted place the mean of the nearest known ones, by one over the square of the chord.

    Args:
        xyz: unit vectors of all places.
        values: of all; those of `known` are looked at.
        known: where values are given.
        wanted: where they are told.
    """
    k = min(NEAREST, int(known.sum()))
    far, which = cKDTree(xyz[known]).query(xyz[wanted], k=list(range(1, k + 1)))
    weight = 1 / np.maximum(far, 1e-9) ** 2
    return np.asarray((weight * values[known][which]).sum(axis=1) / weight.sum(axis=1))


def of_coordinates(
    xyz: Floats, values: Floats, known: NDArray[np.bool_], wanted: NDArray[np.bool_], seed: int, steps: int
) -> Floats:
    """What a network of two layers that is given unit vectors alone, within the box of the known ones, makes of them."""
    torch.manual_seed(seed)
    middle, wide = xyz[known].mean(axis=0), max(float(np.abs(xyz[known] - xyz[known].mean(axis=0)).max()), 1e-9)
    x = torch.tensor((xyz - middle) / wide, dtype=torch.float32)
    y = torch.tensor(values, dtype=torch.float32)
    net = nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    best = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-2)
    rows = torch.tensor(known)
    for _ in range(steps):
        loss = nn.functional.mse_loss(net(x[rows])[:, 0], y[rows])
        best.zero_grad()
        loss.backward()
        best.step()
    with torch.no_grad():
        return np.asarray(net(x[torch.tensor(wanted)])[:, 0].numpy(), np.float64)
