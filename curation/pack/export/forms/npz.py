"""numpy's own: a file per patch, season and array, without pickles."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from curation.pack.export.patch import Layer
from curation.pack.export.pieces import OfPatches
from curation.recipe.units import scale_of


@dataclass(frozen=True, slots=True)
class Npz(OfPatches):
    """Arrays that `numpy.load` opens.

    `pixels` is (band, y, x) as stored; beside it `bands`, `canonical`, `epsg`, `transform` (affine, six numbers), `nodata`,
    `scale`, `x` and `y` (pixel centres in the CRS), and `tags`, JSON of what GeoTIFFs have as tags.
    """

    name: ClassVar[str] = "npz"
    suffix: ClassVar[str] = "npz"

    def file(self, layer: Layer) -> bytes:
        """All bands of an array."""
        return _file(layer)


def _file(layer: Layer) -> bytes:
    pixels, spec, array, where = layer.pixels(), layer.spec, layer.array, layer.transform
    out = io.BytesIO()
    np.savez_compressed(
        out,
        pixels=pixels,
        bands=np.array(array.bands),
        canonical=np.array([spec.band(b).name for b in array.bands]),
        epsg=np.int32(layer.patch.place.epsg),
        transform=np.array(where[:6]),
        nodata=np.array(array.nodata, pixels.dtype),
        scale=np.float64(scale_of(array)),
        x=where.c + where.a * (np.arange(pixels.shape[2]) + 0.5),
        y=where.f + where.e * (np.arange(pixels.shape[1]) + 0.5),
        tags=np.array(json.dumps(layer.tags(), sort_keys=True, ensure_ascii=False)),
    )
    return out.getvalue()
