"""Versions, which are not numbers: 05.10 is newer than 05.09, and 2.10 than 2.9. Pure."""

from __future__ import annotations

import re
from typing import Any

_FORMS = (
    r"N?(?P<major>\d{2})\.(?P<minor>\d{2})",  # 05.10: as products state it
    r"N?(?P<major>\d{2})(?P<minor>\d{2})",  # N0510, 0510: as products are named
    r"(?P<major>\d)\.(?P<minor>\d{2})",  # 2.08: the leading zero lost, as in a number
    r"(?P<major>\d)(?P<minor>\d{2})",  # 301: likewise
    r"(?P<major>\d{1,2})\.(?P<minor>0)",  # 5.0: whatever zero was lost
)

_OF_TESTS = (99, 99)
"""What test runs of the processor call themselves: it says nothing of the radiometry."""


class UnknownVersionError(ValueError):
    """A text or number that names no version, or might name several."""


def baseline(value: Any) -> str:
    """A Sentinel-2 processing baseline as products state it, `05.10`; of a text or a number of an item.

    `5.1` might be 05.01, or 05.10 whose zero was lost: it is refused, as is what names no baseline.

    Raises:
        UnknownVersionError: it is none, or not only one.
    """
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        text = str(value).strip()
        for form in _FORMS:
            if found := re.fullmatch(form, text, re.ASCII):
                major, minor = int(found["major"]), int(found["minor"])
                if major and (major, minor) != _OF_TESTS:
                    return f"{major:02d}.{minor:02d}"
    raise UnknownVersionError(f"processing baseline {value!r}: expected one such as '05.10' or 'N0510'")


def dotted(text: str) -> str:
    """A version in one form: `02.04.01` of `020401`, as names of Sentinel-5P's files have it; others as they are."""
    return f"{text[:2]}.{text[2:4]}.{text[4:]}" if re.fullmatch(r"\d{6}", text, re.ASCII) else text


def order(text: str | None) -> tuple[int, ...]:
    """What versions are compared by: the numbers in the text, in order; nothing is the oldest.

    `v2.10` is newer than `2.9`, and `2.9.1` than `2.9`.
    """
    return tuple(int(part) for part in re.findall(r"[0-9]+", text or ""))
