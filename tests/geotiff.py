"""GeoTIFFs as a stranger has them in a folder: written by rasterio, pixels as they are told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine


def write(
    path: Path,
    pixels: np.ndarray,
    *,
    west: float,
    north: float,
    res_m: float,
    crs: str | None = "EPSG:32632",
    tags: Mapping[str, str] | None = None,
    **how: Any,
) -> None:
    """Writes (band, y, x), or (y, x) of one band, with its north-west corner there; `how` is GDAL's profile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = pixels if pixels.ndim == 3 else pixels[None]
    count, height, width = bands.shape
    profile = {
        "driver": "GTiff",
        "count": count,
        "height": height,
        "width": width,
        "dtype": bands.dtype,
        "crs": crs,
    } | how
    with rasterio.open(path, "w", transform=Affine(res_m, 0, west, 0, -res_m, north), **profile) as file:
        file.write(bands)
        file.update_tags(**(tags or {}))
