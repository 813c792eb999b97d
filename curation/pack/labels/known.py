"""What is known of a patch's labels where they come from a file: the form in which shards and reports are told. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.cubes import labels
from curation.recipe.pictures import ClassSpec
from curation.recipe.schema import LabelsSpec

LISTED = "listed labels"
"""Stands among the facts of a patch whose labels come from a file: `unknown()`, `stated(…)` or `measured(…)`. No fact of a
cube is called so (it has a space)."""


@dataclass(frozen=True, slots=True)
class Known:
    """The labels of a patch, as far as they are known."""

    multi_hot: list[int] | None
    """0 or 1 of each label; None where unknown."""
    fractions: NDArray[Any] | None
    """Share of the labelled pixels of each label, (label,) float32; None where that was not measured."""
    valid_fraction: float | None
    """Share of the pixels that are labelled; None where that was not measured."""


def unknown() -> dict[str, Any]:
    """The file says nothing of the patch."""
    return {}


def stated(names: Sequence[str]) -> dict[str, Any]:
    """These labels and no others are there; how much of each nobody has measured."""
    return {"labels": sorted(names)}


def measured(shares: Sequence[float], valid_fraction: float) -> dict[str, Any]:
    """The share of each class of the legend among the labelled pixels, and of the pixels that are labelled."""
    return {"shares": list(shares), "valid_fraction": valid_fraction}


def of_entry(
    entry: Mapping[str, Any], legend: Sequence[ClassSpec], names: Sequence[str], rules: LabelsSpec
) -> Known | None:
    """The labels that an entry under `LISTED` tells; None where it tells nothing.

    Args:
        entry: of `unknown`, `stated` or `measured`.
        legend: the classes that shares are of.
        names: the labels, in order.
        rules: from which share on a label is there.
    """
    if "labels" in entry:
        there = set(entry["labels"])
        return Known([int(n in there) for n in names], None, None)
    if "shares" in entry:
        fractions = labels.label_fractions(np.asarray(entry["shares"], np.float32), legend, names)
        valid = float(entry["valid_fraction"])
        return Known(labels.multi_hot(fractions, valid, rules.min_fraction, rules.min_valid), fractions, valid)
    return None
