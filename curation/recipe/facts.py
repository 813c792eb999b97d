"""What is measured of a patch beside its pixels, as a value: a measured coordinate of the cube. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from curation.outcomes import Status

FactType = Literal["float32", "time", "string", "uint8", "int16"]

FILL: dict[str, Any] = {"float32": np.nan, "time": np.nan, "string": "", "uint8": 0, "int16": -1}
"""What stands where nothing was measured."""

DTYPE: dict[str, str] = {"float32": "float32", "time": "float64", "string": "str", "uint8": "uint8", "int16": "int16"}
"""How each type is stored; times are seconds since 1970 in float64, whose NaN opens as NaT."""

TYPE: dict[str, FactType] = {
    "float32": "float32",
    "float64": "time",
    "string": "string",
    "uint8": "uint8",
    "int16": "int16",
}
"""What Zarr's metadata call each type's dtype → the type."""

TIME_ATTRIBUTES = {"units": "seconds since 1970-01-01", "calendar": "proleptic_gregorian"}
"""What Zarr's readers know a time by."""


def step_axis(source: str) -> str:
    """What the time axis of a source is called, of its arrays and of what is measured at each step."""
    return f"{source}_step"


@dataclass(frozen=True, slots=True)
class Fact:
    """One measured coordinate."""

    name: str
    type: FactType
    meaning: str
    """One sentence, with unit."""
    axis: str | None = None
    """A second dimension, where it has one."""
    along: tuple[str, ...] = ()
    """Names along it."""
    count: int = 0
    """How long it is, where nothing along it has a name: steps of time."""

    @property
    def length(self) -> int:
        """How long the second dimension is."""
        return len(self.along) or self.count

    def at_steps(self, axis: str, count: int) -> Fact:
        """The same of each step of a time axis; of a patch with fewer there is nothing beyond its own."""
        return dataclasses.replace(self, axis=axis, count=count)

    @property
    def attributes(self) -> dict[str, Any]:
        """Its Zarr attributes."""
        out: dict[str, Any] = {"long_name": self.meaning}
        if self.type == "time":
            out |= TIME_ATTRIBUTES
        if self.name.endswith("status"):
            out |= {
                "flag_values": [int(s) for s in Status],
                "flag_meanings": " ".join(s.name.lower() for s in Status),
            }
        return out

    def column(self, rows: Sequence[Any | None], length: int) -> NDArray[Any]:
        """The fact of a slab's patches as stored: (length,) or (length, axis), filled where a row, or a part, is None.

        A row of a second dimension may have fewer values than that is long.
        """
        dtype = object if self.type == "string" else DTYPE[self.type]
        shape = (length,) if self.axis is None else (length, self.length)
        out = np.full(shape, FILL[self.type], dtype)
        for slot, value in enumerate(rows):
            if value is not None and self.axis is None:
                out[slot] = value
            elif value is not None:
                out[slot, : len(value)] = [FILL[self.type] if v is None else v for v in value]
        if out.dtype.kind == "f":
            out[np.isnan(out)] = FILL[self.type]  # one NaN of many, so that the same row has the same bytes
        return out

    def cells(self, column: NDArray[Any]) -> list[bytes]:
        """The bytes that a hash takes of each row of a column: little-endian values; of text its length and its UTF-8."""
        if self.type == "string":
            rows = [[str(value).encode() for value in row] for row in column.reshape(len(column), self.length or 1)]
            return [b"".join(len(text).to_bytes(4, "little") + text for text in texts) for texts in rows]
        return [row.tobytes() for row in column.astype(column.dtype.newbyteorder("<"), copy=False)]


@dataclass(frozen=True, slots=True)
class Number:
    """A number that is known of patches, for people."""

    title: str
    """What it is, with its unit, and the recipe's limit."""
    fact: str
    times: float = 1
