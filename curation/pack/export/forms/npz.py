"""numpy's own: a file per patch, season and array, without pickles."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from curation.pack.export.patch import ExportPatch, scale_of
from curation.pack.export.pieces import OfPatches


@dataclass(frozen=True, slots=True)
class Npz(OfPatches):
    """Arrays that `numpy.load` opens.

    `pixels` is (band, y, x) as stored; beside it `bands`, `canonical`, `epsg`, `transform` (affine, six numbers), `nodata`,
    `scale`, `x` and `y` (pixel centres in the CRS), and `tags`, JSON of what GeoTIFFs have as tags.
    """

    name: ClassVar[str] = "npz"
    suffix: ClassVar[str] = "npz"

    def of_patch(self, patch: ExportPatch) -> Iterator[tuple[str, bytes]]:
        """A file per array."""
        for name in patch.arrays:
            yield self.key(patch, name), _file(patch, name)


def _file(patch: ExportPatch, name: str) -> bytes:
    pixels, (spec, array), where = patch.pixels(name), patch.arrays[name], patch.transform(name)
    out = io.BytesIO()
    np.savez_compressed(
        out,
        pixels=pixels,
        bands=np.array(array.bands),
        canonical=np.array([spec.band(b).name for b in array.bands]),
        epsg=np.int32(patch.place.epsg),
        transform=np.array(where[:6]),
        nodata=np.array(array.nodata, pixels.dtype),
        scale=np.float64(scale_of(array.unit)),
        x=where.c + where.a * (np.arange(pixels.shape[2]) + 0.5),
        y=where.f + where.e * (np.arange(pixels.shape[1]) + 0.5),
        tags=np.array(json.dumps(patch.tags(name), sort_keys=True, ensure_ascii=False)),
    )
    return out.getvalue()
