"""Measured values, drawn by their bands: reflectances, radiances, and any other field."""

from __future__ import annotations

from curation.build.pixels import RasterKind


class Optical(RasterKind):
    """A raster of measured values."""
