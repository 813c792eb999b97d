"""Which kinds of files are read, by the media types that catalogs state. Pure."""

from __future__ import annotations

from typing import Any

from curation.errors.printable import shown

NOT_READ = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/gif": "GIF",
    "image/webp": "WebP",
    "image/jxl": "JPEG XL",
    "image/jpx": "JPEG 2000, extended (JPX)",
    "image/j2c": "a bare codestream of JPEG 2000, which says nowhere where it lies",
    "image/x-jp2-codestream": "a bare codestream of JPEG 2000, which says nowhere where it lies",
    "application/x-hdf": "HDF4",
    "application/grib": "GRIB",
    "application/wmo-grib2": "GRIB",
    "application/x-grib": "GRIB",
    "application/vnd+zarr": "Zarr",
    "application/vnd.zarr": "Zarr",
    "application/x-zarr": "Zarr",
    "application/zip": "a zip archive",
    "application/gzip": "gzip",
    "application/x-tar": "a tar archive",
    "application/x-safe": "a SAFE folder",
    "application/vnd.apache.parquet": "Parquet",
    "application/x-parquet": "Parquet",
    "application/geo+json": "GeoJSON",
    "application/geopackage+sqlite3": "GeoPackage",
    "application/vnd.laszip+copc": "a point cloud (COPC)",
    "application/json": "JSON",
    "application/xml": "XML",
    "application/pdf": "PDF",
    "text/html": "a page",
    "text/xml": "XML",
}
"""Media type (of STAC's best practices, IANA's list, and catalogs that have their own) → what it is that nothing here reads.
Others may be anything: TIFF, JP2 and netCDF are stated in many ways, and what a file is its first bytes say."""


def check(stated: Any) -> None:
    """Passes where the media type of an asset is of something that is read, or may be, or where none is stated.

    Raises:
        TypeError: it is no text.
        ValueError: it is of something that is not read.
    """
    if stated is None:
        return
    if not isinstance(stated, str):
        raise TypeError(f"the media type of an asset is {shown(stated)}, expected text")
    what = NOT_READ.get(stated.split(";")[0].strip().lower())
    if what is not None:
        raise ValueError(
            f"its assets are {what} ({shown(stated)}), expected TIFF, JP2 or netCDF; choose another asset or catalog"
        )
