"""Files of the Tortilla form (specification 0.5.0), and of TACO's first version, which begins alike: many files in one.

It begins with a mark of two bytes and, little-endian in 8 bytes each, where its table begins and how long that is; the table
is Parquet, a row for each item with its id, its form, where its bytes begin and how many they are. An item of the form
`TORTILLA` is such a file itself, whose numbers are told from its own beginning. Nothing is unpacked.
"""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors.causes import one_line

ENDINGS = (".tortilla", ".taco")
ID, FORM, OFFSET, LENGTH = "tortilla:id", "tortilla:file_format", "tortilla:offset", "tortilla:length"

_MARKS = (b"#y", b"WX")
"""What they begin with: a Tortilla, and a TACO."""
_HEAD = struct.Struct("<2sqq")
_MOST_TABLE_BYTES = 2**30
_DEEPEST = 8
"""Files within files; of those that are published one lies in another."""


@functools.cache  # as of tars: as many as the addresses that are told from them
def members(path: str, _mtime_ns: int, _size: int) -> dict[str, tuple[int, int]]:
    """Item that is a file → its first byte, and how many it has. Of an item in an item `sample_1/s2`.

    Raises:
        ValueError: it is no such file, is cut, or has two items of one name.
    """
    out: dict[str, tuple[int, int]] = {}
    with Path(path).open("rb") as file:
        for name, span in _walk(file, (0, _size), ""):
            if name in out:
                raise ValueError(f"two items are called {name!r}")
            out[name] = span
    return out


def rows(path: Path) -> list[dict[str, Any]]:
    """What the table of a file says of each of its items. Raises ValueError as `members` does."""
    with path.open("rb") as file:
        found: list[dict[str, Any]] = _table(file, (0, path.stat().st_size), "").to_pylist()
    return found


def _walk(file: BinaryIO, span: tuple[int, int], within: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Items of the file that lies in a span of another, and of those in it."""
    table = _table(file, span, within)
    for name, form, offset, length in zip(*(table[c].to_pylist() for c in (ID, FORM, OFFSET, LENGTH)), strict=True):
        if not isinstance(name, str) or not all(type(n) is int and n >= 0 for n in (offset, length)):
            raise ValueError(f"item {within}{name!r}: {offset!r}, {length!r}, expected a text and numbers from 0 on")
        if offset + length > span[1]:
            raise ValueError(f"item {within}{name}: ends at byte {offset + length} of {span[1]}: the file is cut")
        if form != "TORTILLA":
            yield f"{within}{name}", (span[0] + offset, length)
        elif within.count("/") < _DEEPEST:
            yield from _walk(file, (span[0] + offset, length), f"{within}{name}/")
        else:
            raise ValueError(f"item {within}{name}: more than {_DEEPEST} files lie in one another")


def _table(file: BinaryIO, span: tuple[int, int], within: str) -> pa.Table:
    """The table of the file that lies in a span of another."""
    file.seek(span[0])
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size or not head.startswith(_MARKS):
        raise ValueError(f"{within or 'it'} begins with {head[:2]!r}, expected one of {', '.join(map(repr, _MARKS))}")
    _, offset, length = _HEAD.unpack(head)
    if offset < 0 or not 0 < length <= _MOST_TABLE_BYTES or offset + length > span[1]:
        raise ValueError(
            f"the table of {within or 'it'} is at {offset}, of {length} bytes, of {span[1]}: the file is cut"
        )
    file.seek(span[0] + offset)
    try:
        table = pq.read_table(io.BytesIO(file.read(length)))
    except (pa.ArrowException, OSError) as err:  # of bytes in memory: damage
        raise ValueError(f"the table of {within or 'it'} is no Parquet: {one_line(err)}") from err
    if missing := {ID, FORM, OFFSET, LENGTH} - set(table.column_names):
        raise ValueError(f"the table of {within or 'it'} has no {', '.join(sorted(missing))}")
    return table
