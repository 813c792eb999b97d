"""The hemisphere of a place. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.places.grids import Floats

NORTH, SOUTH = "north", "south"


def find(lat: Floats) -> NDArray[Any]:
    """`north` or `south` of latitudes, (n,); the equator is of the north."""
    return np.where(np.asarray(lat) >= 0, NORTH, SOUTH)
