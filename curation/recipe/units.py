"""What an array's stored numbers are of the quantity that it is in. Pure."""

from __future__ import annotations

from curation.recipe.arrays import ArraySpec
from curation.recipe.values import stored_times


def scale_of(array: ArraySpec) -> float:
    """What an array's stored numbers are to be multiplied by: 0.0001 of `reflectance × 10000`."""
    return 1 / stored_times(array, array.unit)[0]


def quantity(array: ArraySpec) -> str:
    """The unit of an array's stored numbers once they are scaled: `reflectance` of `reflectance × 10000`."""
    return stored_times(array, array.unit)[1]
