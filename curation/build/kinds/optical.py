"""Measured values, drawn by their bands: reflectances, radiances, and any other field."""

from __future__ import annotations

from typing import ClassVar

from curation.build.pixels import RasterKind


class Optical(RasterKind):
    """A raster of measured values."""

    composes: ClassVar[bool] = True
