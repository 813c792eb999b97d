"""Where a TIFF lies, by its tags."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import rasterio
import tifffile
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.io import MemoryFile

T = TypeVar("T")

_WHERE = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)
"""Tags that say where a file lies, and what 'no data' is: GeoTIFF 1.1 section 7.1, and GDAL's own two."""

_ORIGINS = (33922, 34264)
"""Those of them without one of which nothing says where the first pixel is: a tie point, or a whole transform."""

_FARTHEST = 1e9
"""No CRS of the Earth has coordinates so large: once around it are 4e7 metres."""


def is_place(transform: Affine) -> bool:
    """Whether a transform lays pixels out on Earth; GDAL gives the identity to a file that states none."""
    is_finite = bool((np.abs(tuple(transform)) < _FARTHEST).all())  # not a number is not, either
    return is_finite and not transform.is_degenerate and transform != Affine.identity()


def moved(transform: Affine, col: int, row: int) -> Affine:
    """The transform of a window whose first pixel is that of a column and row: to the last bit as rasterio has it."""
    a, b, c, d, e, f = transform[:6]
    return Affine(a, b, c + ((a * col + b * row + c) - c), d, e, f + ((d * col + e * row + f) - f))


def place(page: Any) -> tuple[rasterio.crs.CRS | None, Affine, float | None]:
    """CRS, transform and nodata of a page, as GDAL reads them of a file of one pixel that has the page's tags.

    Most files of a scene have the same.
    """
    tags = (page.tags[code] for code in _WHERE if code in page.tags)
    return _place(str(page.dtype), tuple((t.code, int(t.dtype), t.count, _hashable(t.value)) for t in tags))


def tie_points(page: Any) -> tuple[list[GroundControlPoint], rasterio.crs.CRS | None]:
    """Ground control points of a page and their CRS, as GDAL reads them; none of a page that has a transform."""
    tags = (page.tags[code] for code in _WHERE if code in page.tags)
    found, crs = _read(
        str(page.dtype),
        tuple((t.code, int(t.dtype), t.count, _hashable(t.value)) for t in tags),
        lambda dataset: dataset.gcps,
    )
    return found, crs


def _hashable(value: Any) -> Any:
    """A tag's value; of many numbers it is an array."""
    return tuple(value.tolist()) if isinstance(value, np.ndarray) else value


@functools.lru_cache(maxsize=1024)
def _place(
    dtype: str, tags: tuple[tuple[int, int, int, Any], ...]
) -> tuple[rasterio.crs.CRS | None, Affine, float | None]:
    """The same of code, type, count and value of each tag."""

    def read(dataset: Any) -> tuple[rasterio.crs.CRS | None, Affine, float | None]:
        # Of a file that states the size of a pixel alone GDAL says that it begins at the CRS's origin: nobody said so.
        transform = dataset.transform if any(t[0] in _ORIGINS for t in tags) else Affine.identity()
        return dataset.crs, transform, dataset.nodatavals[0]

    return _read(dtype, tags, read)


def _read(dtype: str, tags: tuple[tuple[int, int, int, Any], ...], use: Callable[[Any], T]) -> T:
    """What `use` makes of a file of one pixel that has the tags, as GDAL opens it."""
    extra = [(code, kind, 0 if kind == tifffile.DATATYPE.ASCII else n, value, True) for code, kind, n, value in tags]
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((1, 1), np.dtype(dtype).newbyteorder("=")), extratags=extra, metadata=None)
    with MemoryFile(file.getvalue()) as memory, memory.open() as dataset:
        return use(dataset)
