"""What a linear probe says of samples at places that it has not seen: the probabilities that labels are doubted by. Pure."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from curation.places.grids import Floats, Ints
from curation.worth.probe import folds, heads
from curation.worth.probe.folds import PlaceFold
from curation.worth.probe.rows import ProbeRows, ProbeTask
from curation.worth.prune.neighbours import Values

FOLDS = 5
"""How many folds of blocks of the sphere."""

MOST_FITTED = 20_000
"""Samples that a probe is fitted on: of more, so many are drawn, which bounds memory and time."""


def place_folds(
    rows: ProbeRows, learned: NDArray[np.bool_], side_deg: float, apart_rad: float, seed: int
) -> list[PlaceFold]:
    """Folds in which every sample is scored once, by a probe that is fitted on samples that may be learned from alone.

    Args:
        rows: a row per sample.
        learned: whether a sample may be learned from [N].
        side_deg: of blocks, degrees of latitude.
        apart_rad: nearer than which to a scored sample none is fitted on, radians.
        seed: of which blocks come together.

    Raises:
        ConfigError: there are fewer blocks than folds, or nothing is left to learn from.
    """

    def only(numbers: Ints) -> Ints:
        its = numbers[learned[numbers]]
        if len(its) > MOST_FITTED:
            its = np.sort(np.random.default_rng(seed).choice(its, MOST_FITTED, replace=False))
        return its

    found = folds.of_blocks(rows, FOLDS, side_deg, apart_rad, seed)
    return [dataclasses.replace(f, fit=only(f.fit), tuned_on=only(f.tuned_on), tuning=only(f.tuning)) for f in found]


def cross_fitted(
    values: Values, present: NDArray[np.float32], names: tuple[str, ...], chosen: list[PlaceFold], *, several: bool
) -> Floats:
    """Probability of each class of each sample [N, C], each by the probe of the fold that it is scored in.

    Args:
        values: [N, D].
        present: 1 or 0, NaN where it is not known, which nothing is learned from [N, C].
        names: of the classes.
        chosen: the folds.
        several: whether a sample may be of several classes (a logistic each), or is of one (a softmax of all).
    """
    out = np.full(present.shape, np.nan)
    for columns in _alike(present):
        truth = present[:, columns].astype(np.float64)
        task = ProbeTask("labels", "classes" if several else "class", tuple(names[c] for c in columns), truth)
        for fold in chosen:
            fit, tuned_on, tuning = (r[task.is_known[r]] for r in (fold.fit, fold.tuned_on, fold.tuning))
            if not (len(tuned_on) and len(tuning)):
                continue  # nothing is known to learn from: nothing is said
            its = PlaceFold(fit, fold.scored, tuned_on, tuning)
            out[np.ix_(fold.scored, columns)] = heads.fitted_and_asked("linear", values, task, its).predicted
    return out


def _alike(present: NDArray[np.float32]) -> list[Ints]:
    """Columns that are known of the same samples, together: those of a season, mostly."""
    known = np.isfinite(present)
    _, which = np.unique(known, axis=1, return_inverse=True)
    return [np.flatnonzero(which.ravel() == n) for n in range(int(which.max(initial=-1)) + 1)]
