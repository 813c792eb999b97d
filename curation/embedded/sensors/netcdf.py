"""netCDF-4 files, written through HDF5 so that equal input gives equal bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from curation.embedded.world import tables

Attributes = Mapping[str, Any]

NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable.{:10d}"
"""What netCDF calls the scale of a dimension that has no values."""


def create(path: Path) -> h5py.File:
    """A new file to write to; groups, variables and attributes keep the order in which they are made."""
    return h5py.File(path, "w", track_order=True)


def group(parent: h5py.Group, name: str, attributes: Attributes | None = None) -> h5py.Group:
    """The group of that path below `parent`, made with those above it if it is not there, with attributes added."""
    made = parent
    for part in name.split("/"):
        made = made[part] if part in made else made.create_group(part, track_order=True)
    annotate(made, attributes or {})
    return made


def attributes(template: Mapping[str, Any], **values: Any) -> Attributes:
    """Attributes of a table, its places filled; of a number the table states the type: `{ int32 = 1 }`.

    One whose value is None is left out.
    """
    found = {name: _typed(value) for name, value in tables.filled(template, **values).items()}
    return {name: value for name, value in found.items() if value is not None}


def _typed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, number),) = value.items()
    return None if number is None else np.dtype(kind).type(number)


def annotate(to: h5py.Group | h5py.Dataset, attributes: Attributes) -> None:
    """Sets attributes as netCDF's C library does: text of fixed length, numbers as arrays of one dimension."""
    for name, value in attributes.items():
        to.attrs[name] = np.bytes_(value.encode()) if isinstance(value, str) else np.atleast_1d(value)


def dimension(
    parent: h5py.Group,
    name: str,
    size: int,
    values: NDArray[Any] | None = None,
    attributes: Attributes | None = None,
) -> h5py.Dataset:
    """A dimension: with `values` its coordinate variable, without them a bare one."""
    if values is None:
        scale = parent.create_dataset(name, shape=(size,), dtype=">f4", track_order=True)
        scale.make_scale(NO_VARIABLE.format(size))
    else:
        scale = parent.create_dataset(name, data=values, track_order=True)
        scale.make_scale(name)
    annotate(scale, attributes or {})
    return scale


def variable(
    parent: h5py.Group,
    name: str,
    values: NDArray[Any],
    dimensions: Sequence[h5py.Dataset],
    attributes: Attributes | None = None,
    *,
    fill: Any = None,
    chunks: tuple[int, ...] | None = None,
) -> h5py.Dataset:
    """A variable along those dimensions.

    Args:
        parent: its group.
        name: its name.
        values: what it holds.
        dimensions: one for each axis, from this group or one above it.
        attributes: its attributes, without `_FillValue`.
        fill: what stands for a missing value; None where none is missing.
        chunks: shape of its chunks, each shuffled, deflated and check-summed; None writes it in one piece.
    """
    packed: dict[str, Any] = (
        {"chunks": chunks, "compression": "gzip", "compression_opts": 3, "shuffle": True, "fletcher32": True}
        if chunks
        else {}
    )
    if fill is not None:
        packed["fillvalue"] = values.dtype.type(fill)
    made = parent.create_dataset(name, data=values, track_order=True, **packed)
    for axis, scale in enumerate(dimensions):
        made.dims[axis].attach_scale(scale)
    if fill is not None:
        annotate(made, {"_FillValue": values.dtype.type(fill)})
    annotate(made, attributes or {})
    return made


def texts(parent: h5py.Group, name: str, values: Sequence[str], dimensions: Sequence[h5py.Dataset]) -> h5py.Dataset:
    """A variable of strings of any length; `values` run through the dimensions, the last fastest."""
    shape = tuple(d.shape[0] for d in dimensions)
    made = parent.create_dataset(
        name, data=np.array(values, dtype=object).reshape(shape), dtype=h5py.string_dtype("utf-8"), track_order=True
    )
    for axis, scale in enumerate(dimensions):
        made.dims[axis].attach_scale(scale)
    return made


def rounded(values: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """The values with so many bits of mantissa: what is only noise below them would not compress."""
    drop = 23 - bits
    raw = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    half, mask = np.uint32(1 << (drop - 1)), np.uint32(0xFFFFFFFF << drop & 0xFFFFFFFF)
    out: NDArray[np.float32] = ((raw + half) & mask).view(np.float32)
    return out
