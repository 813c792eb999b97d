"""JSON as catalogs write it: one value that is none costs what holds it, not all that came with it. Pure."""

from __future__ import annotations

import json
from typing import Any


def decoded(data: bytes) -> str:
    """The text of an answer or a file. A byte that is no UTF-8 becomes half a character, which nothing takes for text."""
    return data.decode("utf-8", "surrogateescape")


def parsed(text: str) -> Any:
    """What a text of JSON says, with what RFC 8259 leaves open or Python has no number for, to be judged where it is used.

    So are halves of characters, `NaN`, numbers beyond any float and numbers of more digits than Python takes: both of the
    latter are as good as endless.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, parse_int=_int)


def _int(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:  # Python's limit on digits
        return float("-inf" if digits.startswith("-") else "inf")
