"""In which order the steps of a mix come, and what of each part: pure functions of (samples, weights, seed, epoch). No I/O.

Each step of a part has a moment: the position in the part's own order that it begins at, moved on by chance within the
step, divided by the part's rate. Steps come by their moments. So parts are spread over the epoch by their rates, as evenly
as chance within a step allows; nothing depends on ranks' speed; and what is left of an epoch follows from where each part
stands, so that it may be gone on with by other ranks and batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.stream import plan
from curation.stream.plan import Remainder


@dataclass(frozen=True, slots=True)
class Course:
    """One part of a mix in an epoch."""

    seed: int
    """Its own."""
    samples: int
    """Positions of the epoch."""
    rate: float
    """How fast its positions go by, beside those of the other parts."""
    together: int
    """Positions of a step, over all ranks."""


def shares(
    samples: Mapping[str, int], weights: Mapping[str, float] | None, temperature: float | None
) -> dict[str, float]:
    """Name of a part → its share of what is drawn, adding up to 1.

    Args:
        samples: how many each part has.
        weights: in proportion to which they are drawn, one of each part.
        temperature: in proportion to samples ** (1 / temperature): 1 (where both are None) draws by size, more of it makes
            small parts come oftener, infinity all parts alike.

    Raises:
        ConfigError: both are given; a part has no weight, or one that is not above 0; a temperature that is not above 0.
    """
    if weights is not None and temperature is not None:
        raise ConfigError(f"weights = {dict(weights)} with temperature = {temperature}: give one of them")
    if weights is not None and set(weights) != set(samples):
        raise ConfigError(f"weights of {sorted(map(str, weights))}: expected one of each part: {sorted(samples)}")
    if weights is not None and (wrong := {n: w for n, w in weights.items() if not _is_above_0(w) or w == math.inf}):
        raise ConfigError(f"weights: {wrong}: expected numbers above 0; leave out what is not to be read")
    if temperature is not None and not _is_above_0(temperature):
        raise ConfigError(
            f"temperature = {temperature!r}: expected a number above 0; 1 draws by size, math.inf all alike"
        )
    if weights is None:
        # Of the largest, so that no power is more than a number can be.
        most, power = max(samples.values()), 1 / (temperature or 1)
        weights = {n: (count / most) ** power for n, count in samples.items()}
    total = math.fsum(weights.values())
    found = {n: weights[n] / total for n in samples}
    if none := [n for n, share in found.items() if not share]:
        raise ConfigError(f"{none} would never be drawn: expected weights, or a temperature, that leave some of each")
    return found


def _is_above_0(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def quotas(of: Mapping[str, float], total: int) -> dict[str, int]:
    """Name of a part → how many of `total` samples are its, by its share: whole numbers adding up to `total`.

    Each is its share of the total rounded down or up (largest remainders; of equal ones those first that come first).

    Raises:
        ConfigError: a part would have none.
    """
    exact = {n: share * total for n, share in of.items()}
    found = {n: math.floor(v) for n, v in exact.items()}
    for name in sorted(of, key=lambda n: found[n] - exact[n])[: total - sum(found.values())]:
        found[name] += 1
    if none := [n for n, count in found.items() if count < 1]:
        raise ConfigError(
            f"{none} would have none of the {total} samples of an epoch: give more weight, or more epoch_samples"
        )
    return found


def lasting(samples: int, first: int, count: int, order: Callable[[int], NDArray[np.int64]]) -> NDArray[np.int64]:
    """Rows of a part that is drawn from without end, each as often as any other: int64, (count,).

    It is gone through again and again, each time in another order.

    Args:
        samples: that it has.
        first: so many were drawn before.
        count: how many are wanted.
        order: gives all of its rows in the order of a lap, by its number.
    """
    laps = range(first // samples, -(-(first + count) // samples))
    rows = np.concatenate([order(lap) for lap in laps]) if laps else np.empty(0, np.int64)
    begin = first - (first // samples) * samples
    return rows[begin : begin + count]


def interleaved(
    courses: Sequence[Course], start: Sequence[int], *, epoch: int, remainder: Remainder = "mask"
) -> NDArray[np.int64]:
    """The number of the part that each step of an epoch is of, in order: int64, (steps,).

    Steps of one part come in its own order. What is left after some of them is what comes from where they end.

    Args:
        courses: the parts.
        start: position at which each begins.
        epoch: another epoch has another order.
        remainder: as of `plan.steps`.
    """
    parts, moments = [], []
    for number, (course, begin) in enumerate(zip(courses, start, strict=True)):
        count = plan.steps(course.samples, world_size=1, batch=course.together, start=begin, remainder=remainder)
        at = begin + np.arange(count, dtype=np.int64) * course.together
        within = plan.chances(at, "moments", course.seed, epoch) * course.together
        parts.append(np.full(count, number, np.int64))
        moments.append((at + within) / course.rate)
    order = np.argsort(np.concatenate(moments), kind="stable")  # of equal moments the part that comes first
    return np.concatenate(parts)[order]


def consumed(
    courses: Sequence[Course], start: Sequence[int], steps: int, *, epoch: int, remainder: Remainder = "mask"
) -> tuple[int, ...]:
    """The position of each part after so many steps: pads of a part's last step are beyond its end.

    Raises:
        ConfigError: there are not so many steps.
    """
    order = interleaved(courses, start, epoch=epoch, remainder=remainder)
    if steps > len(order):
        raise ConfigError(f"state_dict(steps={steps}): expected at most {len(order)}, which is all of this epoch")
    done = np.bincount(order[:steps], minlength=len(courses)).tolist()
    return tuple(begin + n * course.together for begin, n, course in zip(start, done, courses, strict=True))
