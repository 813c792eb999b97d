"""netCDF-4 by the conventions of CF: a file per patch, season and array, a variable per band."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyproj
import xarray as xr

from curation.pack.export.patch import Layer
from curation.pack.export.pieces import OfPatches
from curation.recipe.units import quantity, scale_of


@dataclass(frozen=True, slots=True)
class Netcdf4(OfPatches):
    """netCDF as xarray, GDAL and QGIS open it.

    A variable per band over (y, x), by the band's name, with `_FillValue`, `scale_factor` where numbers are scaled, and
    `grid_mapping`; `spatial_ref` has the CRS as CF and as WKT, and GDAL's transform. Attributes say where pixels come from.
    """

    name: ClassVar[str] = "netcdf"
    suffix: ClassVar[str] = "nc"

    def file(self, layer: Layer) -> bytes:
        """All bands of an array."""
        return _file(layer)


def _file(layer: Layer) -> bytes:
    pixels, spec, array, place = layer.pixels(), layer.spec, layer.array, layer.patch.place
    where, crs = layer.transform, pyproj.CRS.from_epsg(place.epsg)
    height, width = pixels.shape[1:]
    scale = scale_of(array)
    codes = layer.codes()
    variables: dict[str, Any] = {}
    for band, plane in zip(array.bands, pixels, strict=True):
        its = spec.band(band)
        attributes: dict[str, Any] = {"long_name": f"{spec.title}, {band}", "canonical": its.name, **its.attributes}
        attributes |= {"grid_mapping": "spatial_ref", "units": quantity(array)}
        attributes["_FillValue"] = plane.dtype.type(array.nodata)
        if scale != 1:
            attributes["scale_factor"] = scale
        if codes:
            attributes["flag_values"] = np.array(list(codes), plane.dtype)
            attributes["flag_meanings"] = " ".join(n.replace(" ", "_") for n, _ in codes.values())
        variables[band] = (("y", "x"), plane, attributes)
    kind = ("longitude", "latitude") if crs.is_geographic else ("projection_x_coordinate", "projection_y_coordinate")
    unit = "degrees" if crs.is_geographic else "m"
    x = where.c + where.a * (np.arange(width) + 0.5)
    y = where.f + where.e * (np.arange(height) + 0.5)
    grid = {**crs.to_cf(), "spatial_ref": crs.to_wkt(), "GeoTransform": " ".join(map(repr, where.to_gdal()))}
    coords: dict[str, Any] = {
        "x": ("x", x, {"axis": "X", "standard_name": kind[0], "units": unit}),
        "y": ("y", y, {"axis": "Y", "standard_name": kind[1], "units": unit}),
        "spatial_ref": ((), np.int32(0), grid),
    }
    dataset = xr.Dataset(variables, coords, {"Conventions": "CF-1.11", **layer.tags()})
    packed = {band: {"zlib": True, "complevel": 6, "shuffle": True} for band in array.bands}
    own = packed | {axis: {"_FillValue": None} for axis in ("x", "y")}
    file = io.BytesIO()  # on a disk that is full HDF5 ends the process
    # What is scaled is written as it is stored: xarray would scale it once more.
    dataset.to_netcdf(file, engine="h5netcdf", encoding=own)
    return file.getvalue()
