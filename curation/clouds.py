"""How much of a patch its mask calls clear, valid or doubtful. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def fraction(mask: NDArray[Any], codes: Sequence[int]) -> float:
    """Share of a mask's pixels (any shape, at least one) that hold one of the codes, 0 to 1."""
    return float(np.isin(mask, codes).mean())
