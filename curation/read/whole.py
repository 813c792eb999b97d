"""Small files that are read whole: what beside pixels says something of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from curation.errors import PassingError, ReadError
from curation.read import ranges
from curation.read.ranges import ChangedError
from curation.read.sparse import BrokenError, SparseFile

T = TypeVar("T")


def parsed(file: SparseFile, href: str, parse: Callable[[bytes], T], most_bytes: int, tries: int) -> T:
    """What `parse` makes of all bytes of a file; it is read anew where that raises BrokenError, or where it has changed.

    Raises:
        ReadError: it cannot be had, has more bytes than `most_bytes`, or cannot be parsed, read `tries` times.
    """
    with ranges.blamed(href):
        for attempt in range(tries):
            try:
                if (size := file.head().size) > most_bytes:
                    raise ReadError(f"{href}: has {size} bytes, expected {most_bytes} at most")
                return parse(file.read(0, size))
            except (BrokenError, ChangedError) as err:
                file.forget()
                if attempt == tries - 1:
                    kind = PassingError if isinstance(err, PassingError) else ReadError
                    raise kind(f"{href}: {err}; it was asked for {tries} times") from err
        raise AssertionError("unreachable")
