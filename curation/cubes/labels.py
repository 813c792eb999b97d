"""Scene labels: class fractions, and what is present. Pure.

A gap is never a class: fractions are of the labelled pixels, and what is not known is None, never zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.errors import ReadError
from curation.errors.codes import Code
from curation.recipe.pictures import ClassSpec


class UnmaskedMapError(ReadError):
    """A class map in which a missing pixel cannot be told from a class."""

    code = Code.UNMASKED_MAP


def check_gaps(gaps: float | bool, classes: Sequence[ClassSpec], nodata: float, where: str) -> None:
    """Passes where a missing pixel of a class map cannot be one of a class.

    Exports of Earth Engine write 0 for masked pixels, without a word in the header, unless they are told otherwise: cloud of
    Dynamic World, whose class 0 is water.

    Args:
        gaps: how its file tells what is missing: True by a mask, False not at all, or its nodata value.
        classes: the legend.
        nodata: what a gap is in the source's arrays.
        where: the file.

    Raises:
        UnmaskedMapError: 0 is a class, and the file tells nothing; or its nodata value is a class.
    """
    names = {c.code: c.name for c in classes}
    if gaps is True:
        return
    if gaps is False and 0 in names:
        found = f"declares neither nodata nor a mask, and 0 is {names[0]!r}: masked pixels, which are 0 in exports"
    elif gaps is not False and gaps in names:
        found = f"declares {gaps:g} as nodata, which is {names[int(gaps)]!r}: missing pixels"
    else:
        return
    raise UnmaskedMapError(
        f"{where}: {found}, cannot be told from it. Export it again from Earth Engine with unmask({nodata:g}, false) and "
        f"formatOptions {{noData: {nodata:g}}}; where no masked pixel is {0 if gaps is False else gaps:g} in it, declare "
        f"that alone: gdal_edit.py -a_nodata {nodata:g} FILE"
    )


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


def pixel_share(shares: NDArray[Any], labelled: float, counts: Sequence[int]) -> float:
    """Share of some classes among all pixels of a patch, labelled or not: 0 where nothing is labelled.

    Args:
        shares: of each class among the labelled pixels, as `class_fractions` gives them.
        labelled: share of these.
        counts: numbers of the classes that count.
    """
    return float(np.sum(shares[list(counts)], dtype=np.float64)) * labelled if labelled > 0 else 0.0


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
