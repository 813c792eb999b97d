"""Scene labels: class fractions, and what is present. Pure.

A gap is never a class: fractions are of the labelled pixels, and what is not known is None, never zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.errors import ReadError
from curation.recipe.sources import ClassSpec


def class_fractions(codes: NDArray[Any], classes: Sequence[ClassSpec], nodata: float) -> tuple[NDArray[Any], float]:
    """Share of each class among the labelled pixels, (class,) float32 in the order of the legend, and the labelled share.

    Where nothing is labelled the shares are NaN.

    Raises:
        ReadError: a code is in neither the legend nor nodata: the map is not what the source says it is.
    """
    values, counts = np.unique(codes, return_counts=True)
    by_code = dict(zip(values.tolist(), counts.tolist(), strict=True))
    by_code.pop(int(nodata), None)
    if unknown := set(by_code) - {c.code for c in classes}:
        raise ReadError(
            f"class codes {sorted(unknown)}: not in the legend {[c.code for c in classes]}; "
            "the map is of another product or version than the source says"
        )
    labelled = sum(by_code.values())
    shares = np.array([by_code.get(c.code, 0) for c in classes], np.float32)
    valid = labelled / codes.size
    return (shares / labelled if labelled else np.full(len(classes), np.nan, np.float32)), valid


def label_fractions(shares: NDArray[Any], classes: Sequence[ClassSpec], names: Sequence[str]) -> NDArray[Any]:
    """Class shares added up per scene label, (label,) float32 in the order of `names`; NaN where the shares are.

    A class whose label is not among `names` counts for none of them.
    """
    out = np.zeros(len(names), np.float32)
    for share, spec in zip(shares, classes, strict=True):
        label = spec.label or spec.name
        if label in names:
            out[list(names).index(label)] += share
    return np.full(len(names), np.nan, np.float32) if np.isnan(shares).any() else out


def multi_hot(fractions: NDArray[Any], valid: float, min_fraction: float, min_valid: float) -> list[int] | None:
    """0 or 1 per label; None where too little of the patch is labelled to know.

    A label is present where its fraction is above zero and at least `min_fraction`.
    """
    if np.isnan(fractions).any() or valid < min_valid:
        return None
    return [int(f > 0 and f >= min_fraction) for f in fractions]
