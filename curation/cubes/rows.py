"""What was measured of a slab's patches as one object: a row of JSON for each patch, in a Zarr array of text. Pure.

One object, whatever is measured: at 10^5 slabs in a bucket each more would be 10^5 requests. What was not measured is left
out of a row, numbers are written so that they come back to the last bit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from curation.cubes.chunks import decode_chunk, encode_chunk
from curation.recipe.facts import FILL, Fact


def encode(rows: Sequence[Mapping[str, Any]], facts: Sequence[Fact], slots: int) -> bytes:
    """The stored object of a slab's rows, the same for the same values.

    Args:
        rows: per slot, fact → value (None or left out where not measured).
        facts: those that are stored; others of the rows are not.
        slots: how many rows a slab has room for; those beyond the given ones are empty text.
    """
    plain = {f.name: _plain(f, f.column([r.get(f.name) for r in rows], len(rows))) for f in facts}
    texts = [_text({name: column[slot] for name, column in plain.items()}) for slot in range(len(rows))]
    return encode_chunk(np.array([*texts, *[""] * (slots - len(rows))], object), (slots,), "str")


def columns(stored: bytes, facts: Sequence[Fact], slots: int) -> dict[str, NDArray[Any]]:
    """Fact → its column of a slab, (slots,) or (slots, axis), as `Fact.column` has it; other facts are passed over.

    Raises:
        RuntimeError, TypeError, ValueError: the bytes are no rows of such facts: see `chunks.UNDECODED`.
    """
    rows = [json.loads(text) if text else {} for text in decode_chunk(stored, (slots,), "str").tolist()]
    if not all(isinstance(row, dict) for row in rows):
        raise TypeError("a row that is no JSON object")
    try:
        return {f.name: _column(f, [row.get(f.name) for row in rows], slots) for f in facts}
    except (LookupError, OverflowError) as err:
        raise ValueError(f"{type(err).__name__}: {err}") from err


def hashes(columns: Mapping[str, NDArray[Any]], facts: Sequence[Fact]) -> list[str]:
    """What a ledger keeps of each row of facts: xxh3-128 of the values as they are stored, hexadecimal.

    It proves a row alone, whatever else stands in the object: a build that was stopped may have written a slab once more,
    with other patches tried, before its ledger line.

    Args:
        columns: fact → its column, as `columns` gives them.
        facts: all of the cube's, in its order.
    """
    names = "\n".join(f.name for f in facts).encode()
    cells = zip(*(f.cells(columns[f.name]) for f in facts), strict=True)
    return [xxhash.xxh3_128_hexdigest(names + b"".join(row)) for row in cells]


def _column(fact: Fact, values: Sequence[Any], slots: int) -> NDArray[Any]:
    found = fact.column(values, slots)
    if fact.type == "string" and not all(isinstance(value, str) for value in found.ravel()):
        raise TypeError(f"{fact.name}: a value that is no text")
    return found


def _plain(fact: Fact, column: NDArray[Any]) -> list[Any]:
    """A column as values of JSON; None where nothing was measured."""
    fill = FILL[fact.type]
    if fact.axis is None:
        return [_value(v, fill) for v in column.tolist()]
    return [_without_end([_value(v, fill) for v in row]) for row in column.tolist()]


def _value(value: Any, fill: Any) -> Any:
    """A number or text; None where it is what stands for nothing. Infinity, which JSON has not, is text."""
    if value == fill or value != value:
        return None
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _without_end(values: list[Any]) -> list[Any] | None:
    """The values up to the last that was measured; None where none was."""
    while values and values[-1] is None:
        values.pop()
    return values or None


def _text(row: Mapping[str, Any]) -> str:
    known = {name: value for name, value in row.items() if value is not None}
    return json.dumps(known, separators=(",", ":"), allow_nan=False)
