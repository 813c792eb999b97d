"""The sets that codes of a mask are in."""

from __future__ import annotations

from collections.abc import Sequence

CODE_SETS = ("clear", "doubtful", "snow", "cloudy", "invalid")
"""Keys of a source that say what the codes of its mask are."""


def check_codes(codes: Sequence[int], nodata: float | None, invalid: Sequence[int]) -> None:
    """Passes where each code that a mask may hold is in one set.

    Args:
        codes: of all sets.
        nodata: the mask's; None where the source has no mask.
        invalid: the codes of that set.

    Raises:
        ValueError: one is in two of them, or the mask's nodata is none of the invalid.
    """
    if twice := sorted({c for c in codes if codes.count(c) > 1}):
        raise ValueError(f"codes {twice} are in two of {', '.join(CODE_SETS)}, or twice in one: each belongs to one")
    if nodata is None:
        if codes:
            raise ValueError(f"{', '.join(CODE_SETS)} are codes of an array with role 'mask', which is not there")
        return
    if nodata not in invalid:
        raise ValueError(f"the mask's nodata {nodata:g} is not among the 'invalid' codes {invalid}")
