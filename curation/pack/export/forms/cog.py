"""Cloud-optimised GeoTIFFs: as GeoTIFFs, with overviews where a patch is larger than a block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from curation.pack.export.forms.geotiff import BLOCK_PX, Geotiff
from curation.pack.export.patch import Layer


@dataclass(frozen=True, slots=True)
class Cog(Geotiff):
    """A GeoTIFF by GDAL's driver `COG`. Overviews of codes are of their nearest pixels, of all else averages."""

    name: ClassVar[str] = "cog"
    driver: ClassVar[str] = "COG"

    def options(self, layer: Layer) -> dict[str, object]:
        """Tiles as GeoTIFFs have them, and overviews."""
        resampling = "nearest" if layer.is_codes else "average"
        return {"blocksize": BLOCK_PX, "overview_resampling": resampling, "level": 6, "predictor": "yes"}
