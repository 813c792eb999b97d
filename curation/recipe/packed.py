"""How arrays stand in shards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

Dtype = Literal["uint8", "uint16", "int16", "float32"]


@dataclass(frozen=True, slots=True)
class Packed:
    """How an array stands in shards, where that is not as in cubes."""

    dtype: Dtype
    unit: str
    nodata: float
    convention: str | None
    """What else must be known of the numbers."""
    floor: int
    """Stands for all values that are too low to be told."""
    of: Callable[[NDArray[Any]], NDArray[Any]]
    """The array of a cube's, in the same shape."""
