"""What a file is by its first bytes. Pure."""

from __future__ import annotations

from curation.errors.printable import shown

HDF5 = b"\x89HDF\r\n\x1a\n"
"""What HDF5 files begin with, netCDF-4 among them."""

TIFFS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""What TIFFs begin with, of both byte orders, BigTIFFs behind."""

_FORMATS = (
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000 (image/jp2)"),
    (b"\xff\x4f\xff\x51", "JPEG 2000 (a bare codestream, image/x-jp2-codestream), which says nowhere where it lies"),
    (b"\x89PNG\r\n\x1a\n", "PNG (image/png), which is not read here"),
    (b"\xff\xd8\xff", "JPEG (image/jpeg), which is not read here"),
    (b"GIF8", "GIF (image/gif), which is not read here"),
    (b"RIFF", "RIFF, WebP (image/webp) perhaps, which is not read here"),
    (b"PK\x03\x04", "a zip archive (application/zip), which has to be unpacked"),
    (b"PK\x05\x06", "an empty zip archive (application/zip)"),
    (b"\x1f\x8b", "gzip (application/gzip), which has to be unpacked"),
    (b"BZh", "bzip2 (application/x-bzip2), which has to be unpacked"),
    (b"\x28\xb5\x2f\xfd", "Zstandard (application/zstd), which has to be unpacked"),
    (b"\xfd7zXZ\0", "xz (application/x-xz), which has to be unpacked"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive (application/x-7z-compressed), which has to be unpacked"),
    (b"CDF\x01", "netCDF of the classic format (application/x-netcdf), which is not read here"),
    (b"CDF\x02", "netCDF of the classic format (application/x-netcdf), which is not read here"),
    (b"CDF\x05", "netCDF of the classic format (application/x-netcdf), which is not read here"),
    (b"\x0e\x03\x13\x01", "HDF4 (application/x-hdf), which is not read here"),
    (HDF5, "HDF5 (application/x-hdf5), netCDF-4 perhaps"),
    (b"GRIB", "GRIB (application/wmo-GRIB2), which is not read here"),
    (b"SQLite format 3\0", "SQLite, GeoPackage (application/geopackage+sqlite3) perhaps, which is not read here"),
    (b"PAR1", "Parquet (application/vnd.apache.parquet), which is no raster"),
    (b"%PDF", "PDF (application/pdf), which is no raster"),
    (b"version https://git-lfs", "a pointer of Git LFS (text/plain), not the file that it stands for"),
)
"""What files of other formats begin with, and what they are, with their media type."""


def what_it_is(head: bytes) -> str | None:
    """What a file is that is no TIFF, for a person, by its first bytes; None where they tell nothing, or it is one."""
    if not head:
        return "is empty"
    if head.startswith(TIFFS):
        return None
    for begins, what in _FORMATS:
        if head.startswith(begins):
            return f"is {what}"
    if head[:256].lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"{", b"[")):
        return f"is a page or a message, not data ({shown(head[:4096].decode('ascii', 'replace'))})"
    return None
