"""Where a TIFF lies, by its tags."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from typing import Any

import numpy as np
import rasterio
import tifffile
from affine import Affine
from rasterio.io import MemoryFile

_WHERE = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)
"""Tags that say where a file lies, and what 'no data' is: GeoTIFF 1.1 section 7.1, and GDAL's own two."""

_ORIGINS = (33922, 34264)
"""Those of them without one of which nothing says where the first pixel is: a tie point, or a whole transform."""

_FARTHEST = 1e9
"""No CRS of the Earth has coordinates so large: once around it are 4e7 metres."""

_MOST_PLACES = 1024
"""That are kept."""

_places: OrderedDict[Any, tuple[rasterio.crs.CRS | None, Affine, float | None]] = OrderedDict()
_places_lock = threading.Lock()


def is_place(transform: Affine) -> bool:
    """Whether a transform lays pixels out on Earth; GDAL gives the identity to a file that states none."""
    is_finite = bool((np.abs(tuple(transform)) < _FARTHEST).all())  # not a number is not, either
    return is_finite and not transform.is_degenerate and transform != Affine.identity()


def place(page: Any) -> tuple[rasterio.crs.CRS | None, Affine, float | None]:
    """CRS, transform and nodata of a page, as GDAL reads them of a file of one pixel that has the page's tags.

    Most files of a scene have the same.
    """
    tags = [page.tags[code] for code in _WHERE if code in page.tags]
    values = {t.code: tuple(t.value.tolist()) if isinstance(t.value, np.ndarray) else t.value for t in tags}  # many are
    key = (str(page.dtype), *values.items())
    with _places_lock:
        if key in _places:
            _places.move_to_end(key)
            return _places[key]
    extra = [
        (t.code, int(t.dtype), 0 if t.dtype == tifffile.DATATYPE.ASCII else t.count, values[t.code], True) for t in tags
    ]
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((1, 1), np.dtype(page.dtype).newbyteorder("=")), extratags=extra, metadata=None)
    with MemoryFile(file.getvalue()) as memory, memory.open() as dataset:
        # Of a file that states the size of a pixel alone GDAL says that it begins at the CRS's origin: nobody said so.
        transform = dataset.transform if any(code in values for code in _ORIGINS) else Affine.identity()
        found = dataset.crs, transform, dataset.nodatavals[0]
    with _places_lock:
        _places[key] = found
        while len(_places) > _MOST_PLACES:
            _places.popitem(last=False)
    return found
