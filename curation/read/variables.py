"""Variables of netCDF-4 files: how they are found and what their attributes say."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

import h5py
import numpy as np

from curation.errors import ReadError
from curation.read import hdfchunk
from curation.read.beginnings import TIFFS, what_it_is

MOST_TILE_BYTES = 256 * 2**20
"""Of one decoded chunk, and of the window that one cell needs: the largest that are published have 85 MB, an orbit's."""

MOST_ROW_BYTES = 16 * 2**20
"""Of one scanline, as its shape has it: of OLCI's 4865 footprints it has 39 kB."""

STRIP_BYTES, _STRIP_ROWS, AROUND = 512 * 2**10, 16, 64
"""Of a decoded chunk of more bytes only some strips of so many rows are kept: those asked for, and so many rows around.

Some products have each variable in one chunk, 85 MB of an orbit: a slab's orbits would push one another out, and each be
fetched again for every cell. The cells of a slab lie within a few hundred kilometres, which are 64 scanlines."""

BAND_BYTES = 16 * 2**10
"""What is read at a time of a variable that is stored in one piece."""

_MOST_LINKS = 64

_DEFAULT_FILL: dict[str, float] = {
    "float32": 9.969209968386869e36,
    "float64": 9.969209968386869e36,
    "int16": -32767,
    "uint16": 65535,
    "int32": -2147483647,
    "uint32": 4294967295,
}
"""What netCDF writes where nothing was written, of variables that declare no fill value; of bytes there is none."""


class SwathWindow(NamedTuple):
    """Rows and columns of a swath, from the first to before the last."""

    row0: int
    row1: int
    col0: int
    col1: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.row1 - self.row0, self.col1 - self.col0


@dataclass(frozen=True, slots=True)
class Variable:
    """What a file says of one of its variables."""

    path: str
    shape: tuple[int, ...]
    lead: int
    """Axes of length 1 before rows and columns."""
    dtype: np.dtype[Any]
    tile: tuple[int, int]
    """Rows and columns that are read at a time: those of a chunk, or a band of what is stored in one piece."""
    at: int | None
    """Of what is stored in one piece, where; None where it was never written."""
    is_chunked: bool
    is_compact: bool
    """Its values stand in its header (HDF5's layout COMPACT), and came with it."""
    fills: tuple[float, ...]
    """Packed values that mean 'no data'."""
    low: float | None
    """Least packed value that is valid."""
    high: float | None
    scale: Any
    offset: Any
    unit: str | None
    flags: dict[str, tuple[int, int]]
    """Flag → mask and value (CF conventions section 3.5)."""

    @property
    def rows(self) -> int:
        """Along the track."""
        return self.shape[self.lead]

    @property
    def cols(self) -> int:
        """Across."""
        return self.shape[self.lead + 1]

    @property
    def strip(self) -> int:
        """Rows of a tile that are kept together: all, unless it is large."""
        th, tw = self.tile
        size = th * tw * math.prod(self.shape[self.lead + 2 :]) * self.dtype.itemsize
        return th if size <= STRIP_BYTES else _STRIP_ROWS

    def strips(self, tile: tuple[int, int], window: SwathWindow, around: int = 0) -> range:
        """Strips of a tile that a window touches, with so many rows around."""
        top = tile[0] * self.tile[0]
        r0 = max(window.row0 - around, top) - top
        r1 = min(window.row1 + around, top + self.tile[0], self.rows) - top
        return range(r0 // self.strip, (r1 - 1) // self.strip + 1)

    def tiles(self, window: SwathWindow) -> list[tuple[int, int]]:
        """(row, column), in tiles, of those that a window touches."""
        th, tw = self.tile
        rows = range(window.row0 // th, (window.row1 - 1) // th + 1)
        return [(r, c) for r in rows for c in range(window.col0 // tw, (window.col1 - 1) // tw + 1)]


def kind_of(head: bytes) -> str:
    """What a file is that is no HDF5, for a person."""
    if head.startswith(TIFFS):
        return "is a TIFF, a raster: give its source another kind than 'swath' in its file"
    return what_it_is(head) or f"begins with {head[:8]!r}"


def find(h5: h5py.File, path: str) -> h5py.Dataset | str:
    """A variable, or what there is on the way to it. No link out of the file is followed: it would open a local one."""
    node: Any = h5
    names, links = deque(path.strip("/").split("/")), 0
    while names:
        name = names.popleft()
        if not isinstance(node, h5py.Group):
            return f"{node.name} is no group"
        link = node.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            return f"{name} is a link to another file, which is not followed"
        if isinstance(link, h5py.SoftLink):
            links += 1
            if links > _MOST_LINKS:
                return f"{name} is a link that leads nowhere"
            node = h5 if link.path.startswith("/") else node
            names.extendleft(reversed([n for n in link.path.split("/") if n not in ("", ".")]))
            continue
        if link is None or name not in node:
            return f"{'the file' if node.name == '/' else node.name} has {', '.join(sorted(node)) or 'nothing'}"
        node = node[name]
    return (
        node if isinstance(node, h5py.Dataset) else f"{node.name} is a group, of {', '.join(sorted(node)) or 'nothing'}"
    )


def described(dataset: h5py.Dataset, path: str, href: str, axes: int) -> Variable:
    """What a file says of a variable.

    Raises:
        ReadError: it has other axes, is not of numbers, or is stored as is not read here.
    """
    shape = tuple(map(int, dataset.shape or ()))
    lead = len(shape) - axes
    if lead < 0 or set(shape[:lead]) - {1} or 0 in shape or dataset.dtype.kind not in "iuf":
        expected = "rows and columns" if axes == 2 else "rows, columns and corners"
        raise ReadError(
            f"{href}: {path} is {' × '.join(map(str, shape)) or 'a single value'} of {dataset.dtype}, expected numbers in "
            f"{expected}, behind axes of length 1"
        )
    plan = dataset.id.get_create_plist()
    layout = plan.get_layout()
    _check_stored(plan, path, href)
    is_chunked = dataset.chunks is not None
    if (row := math.prod(shape[lead + 1 :]) * dataset.dtype.itemsize) > MOST_ROW_BYTES:
        raise ReadError(
            f"{href}: {path} is {' × '.join(map(str, shape))}: {row} bytes a scanline, expected {MOST_ROW_BYTES} at most; "
            "the file is damaged, or no swath's"
        )
    if dataset.chunks is not None and (size := math.prod(dataset.chunks) * dataset.dtype.itemsize) > MOST_TILE_BYTES:
        raise ReadError(
            f"{href}: {path} is chunked as {tuple(map(int, dataset.chunks))}: {size} bytes each, expected {MOST_TILE_BYTES} "
            "at most; rewrite it in smaller chunks"
        )
    if dataset.chunks is not None:
        chunk: tuple[int, ...] = tuple(dataset.chunks)
        if any(c < n for c, n in zip(chunk[lead + 2 :], shape[lead + 2 :], strict=True)):
            raise ReadError(
                f"{href}: {path} is chunked as {chunk}: corners of one footprint in several chunks are not read"
            )
        tile = (int(chunk[lead]), int(chunk[lead + 1]))
    else:
        tile = (max(BAND_BYTES // max(row, 1), 1), shape[lead + 1])
    attrs = dataset.attrs
    native = dataset.dtype.newbyteorder("=")
    fills = [float(x) for k in ("_FillValue", "missing_value") if k in attrs for x in np.ravel(attrs[k])]
    if "_FillValue" not in attrs and native.name in _DEFAULT_FILL:
        fills.append(_DEFAULT_FILL[native.name])
    valid = list(np.ravel(attrs["valid_range"])) if "valid_range" in attrs else []
    low, high = valid if len(valid) == 2 else (_one(attrs.get("valid_min")), _one(attrs.get("valid_max")))
    unit = _text(attrs.get("units"))
    return Variable(
        path,
        shape,
        lead,
        native,
        tile,
        dataset.id.get_offset() if layout == h5py.h5d.CONTIGUOUS else None,
        is_chunked,
        layout == h5py.h5d.COMPACT,
        tuple(fills),
        None if low is None else float(low),
        None if high is None else float(high),
        _one(attrs.get("scale_factor")),
        _one(attrs.get("add_offset")),
        unit,
        _flags(attrs),
    )


def _check_stored(plan: Any, path: str, href: str) -> None:
    """Passes where a variable's values are in its file, packed by filters that are here: by its list of creation properties.

    Raises:
        ReadError: they are not: HDF5 would give fill values for what it does not find.
    """
    layout = plan.get_layout()
    elsewhere = "external" if plan.get_external_count() else "virtual" if layout == h5py.h5d.VIRTUAL else ""
    if elsewhere:
        raise ReadError(
            f"{href}: {path} is {elsewhere}: its values are in other files, which are not read here; rewrite it with its "
            "values inside"
        )
    if layout not in (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED):
        raise ReadError(f"{href}: {path} has HDF5's storage layout {layout}, which is not read here")
    for n in range(plan.get_nfilters()):
        number, _, _, name = plan.get_filter(n)
        if number not in hdfchunk.FILTERS or not h5py.h5z.filter_avail(number):
            filter_name = name.decode("utf-8", "replace") or "without a name"
            raise ReadError(
                f"{href}: {path} is packed by HDF5's filter {number} ({filter_name}), which is not read here; "
                "rewrite it with deflate"
            )


def _one(value: Any) -> Any:
    """The number that an attribute holds, in its own type, which may come as an array of one."""
    return None if value is None else np.ravel(value)[0]


def _text(value: Any) -> str | None:
    if value is None:
        return None
    value = np.ravel(value)[0] if isinstance(value, np.ndarray) else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _flags(attrs: Any) -> dict[str, tuple[int, int]]:
    """Flag → mask and value, of the attributes flag_meanings, flag_masks and flag_values."""
    meanings = (_text(attrs.get("flag_meanings")) or "").split()
    masks = [int(m) for m in np.ravel(attrs["flag_masks"])] if "flag_masks" in attrs else None
    values = [int(v) for v in np.ravel(attrs["flag_values"])] if "flag_values" in attrs else masks
    if values is None or len(values) != len(meanings) or (masks is not None and len(masks) != len(meanings)):
        return {}
    return {m: (-1 if masks is None else masks[i], values[i]) for i, m in enumerate(meanings)}
