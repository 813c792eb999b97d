"""What a unit says of stored numbers: how many times the quantity they are. Pure."""

from __future__ import annotations

import re

_TIMES = re.compile(r"\s*×\s*([0-9]+(?:\.[0-9]+)?)$")
"""How units end of what is stored a number of times: `reflectance × 10000`."""


def scale_of(unit: str) -> float:
    """What stored numbers of a unit are to be multiplied by: 0.0001 of `reflectance × 10000`, else 1."""
    found = _TIMES.search(unit)
    return 1 / float(found[1]) if found else 1.0


def quantity(unit: str) -> str:
    """The unit of stored numbers once they are scaled: `reflectance` of `reflectance × 10000`."""
    return _TIMES.sub("", unit)
