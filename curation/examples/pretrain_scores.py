"""What `pretrain.py` has learnt, told by probes of its features: for each seed, and over all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from curation.worth.probe import compare, folds, intervals, lines
from curation.worth.probe.compare import Comparison, ProbeRules
from curation.worth.probe.rows import ProbedEncoder, ProbeRows, ProbeTask

PROBE = ProbeRules(heads=("linear",))
"""How features are probed; all draws are by its seed, so that seeds of trainings are compared on the same places."""

Columns = dict[str, Any]
"""Of locations and seasons: `x` (features), `labels`, `shares`, `places`, `seasons`, `lon`, `lat`; each of as many rows."""


def probed(train: list[Columns], val: list[Columns], arms: Sequence[str], names: Sequence[str]) -> list[Comparison]:
    """Probes of each arm's features fitted on train and scored on val: of the classes, and of their shares.

    Args:
        train: of each arm, of the same rows.
        val: likewise.
        arms: names, that of the encoder before training first.
        names: of labels.
    """
    both = {n: np.concatenate([train[0][n], val[0][n]]) for n in train[0]}
    sides = np.repeat(["train", "val"], [len(train[0]["x"]), len(val[0]["x"])])
    lon, lat = (both[n].astype(np.float64) for n in ("lon", "lat"))
    rows = ProbeRows(both["places"], both["places"], both["seasons"], lon, lat, sides)
    encoders = [
        ProbedEncoder(arm, np.concatenate([a["x"], b["x"]]), "asked" if number else "baseline")
        for number, (arm, a, b) in enumerate(zip(arms, train, val, strict=True))
    ]
    fold = folds.of_sides(
        rows, "train", "val", 1.0, 0.0, PROBE.seed
    )  # which keep off each other's ground by the recipe
    hot, shares = (both[n].astype(np.float64) for n in ("labels", "shares"))
    tasks = (ProbeTask("labels", "classes", tuple(names), hot), ProbeTask("shares", "number", tuple(names), shares))
    return [compare.compared(rows, task, encoders, fold, PROBE) for task in tasks]


def of_seed(found: Sequence[Comparison]) -> Iterator[str]:
    """Scores of one seed, a line each."""
    for its in found:
        for r in its.results:
            said = f"linear probe on {its.rows} patches of {its.places} places of val: {its.main} {r.main}"
            yield f"{r.encoder:32}  {said}"


def summary(found: Sequence[Sequence[Comparison]], pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Scores over all seeds, and by how much one arm is above another, a line each.

    Args:
        found: of each seed what `probed` gives.
        pairs: names of arms.
    """
    for of_task in zip(*found, strict=True):
        first = of_task[0]
        yield f"{first.main}, mean of {len(found)} seeds (lowest to highest); of who knows nothing {first.chance:.3f}"
        for r in first.results:
            values = np.array([its.of(r.encoder, "linear").main.value for its in of_task])
            yield f"  {r.encoder:32}  {values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"
        yield from (f"  {first.main}: {over_seeds(of_task, *pair)}" for pair in pairs)


def over_seeds(found: Sequence[Comparison], arm: str, other: str) -> str:
    """By how much an arm is above another one, over seeds and places, in words."""
    ours, theirs = ([its.of(name, "linear") for its in found] for name in (arm, other))
    values = np.array([a.main.value - b.main.value for a, b in zip(ours, theirs, strict=True)])
    draws = np.stack([a.main_draws - b.main_draws for a, b in zip(ours, theirs, strict=True)])
    its = intervals.over_seeds(values, draws, PROBE.seed)
    each = " ".join(f"{v:+.3f}" for v in its.each)
    return f"{arm} above {other}: {lines.difference(its.mean)}; by seed {each}, sign test p {its.signs_p:.2f}"
