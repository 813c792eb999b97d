"""Folders of files without any STAC: which files they have, and the digest by which they are known."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from curation.errors import ConfigError
from curation.store import local

GEOTIFF = (".tif", ".tiff")
"""What files of a folder are called that is a catalog without any STAC."""

SHAPES = (".gpkg", ".geojson", ".shp", ".parquet", ".geoparquet")
"""What vector files of such a folder are called; `.json` is what lies beside one and says more of it."""

HEAD_BYTES = 2**14
"""Of a GeoTIFF, and as much of its end: where its header is, with what it says of itself."""

MOST_JSON_BYTES = 512 * 2**20
"""Of a catalog in one JSON file, which is held whole: some 200,000 items. STAC-GeoParquet is read in batches."""


def geotiffs(path: Path) -> list[Path]:
    """The GeoTIFFs in a folder and below it, in order."""
    return _called(path, GEOTIFF)


def vectors(path: Path) -> list[Path]:
    """The vector files in a folder and below it, in order; of a Shapefile its `.shp`."""
    return _called(path, SHAPES)


def _called(path: Path, endings: Iterable[str]) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.suffix.lower() in endings and p.is_file())


def heads(path: Path, tiffs: list[Path]) -> str:
    """Digest of a folder of GeoTIFFs: of their names, sizes and both ends, and of what lies beside them in JSON."""
    found = hashlib.sha256()
    for part in sorted([*tiffs, *_called(path, (".json",))]):
        size = part.stat().st_size
        with part.open("rb") as file:
            head = file.read(HEAD_BYTES if part.suffix.lower() in GEOTIFF else MOST_JSON_BYTES)
            file.seek(max(size - HEAD_BYTES, 0))
            found.update(f"{part.relative_to(path).as_posix()} {size} ".encode() + head + file.read(HEAD_BYTES))
    return found.hexdigest()


def contents(path: Path, pattern: str, where: str) -> str:
    """Digest of the vector files of a folder that are called so, or of one file: of names, all bytes, and JSON beside them.

    Args:
        path: the folder.
        pattern: as `FileForm` has it.
        where: what errors begin with.

    Raises:
        ConfigError: no file is called so.
    """
    if path.is_file():
        return _digest(path.parent, local.parts(path))
    every = vectors(path)
    mine = [p for p in every if re.search(pattern, p.relative_to(path).as_posix())]
    if not mine:
        seen = f"such as {every[0].relative_to(path).as_posix()!r}" if every else "which has none"
        raise ConfigError(
            f"{where}: none of the vector files ({', '.join(SHAPES)}) in {path}, {seen}, is called as {pattern!r} says: "
            "mend the pattern, or the folder"
        )
    return _digest(path, sorted({*(part for p in mine for part in local.parts(p)), *_called(path, (".json",))}))


def _digest(folder: Path, parts: Iterable[Path]) -> str:
    """Digest of the names of files, from a folder on, and of all of their bytes."""
    found = hashlib.sha256()
    for part in parts:
        found.update(f"{part.relative_to(folder).as_posix()} {part.stat().st_size} ".encode())
        with part.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


def content(path: Path, parts: Iterable[Path]) -> str:
    """Digest of a file's content; of a folder's files, whose gigabytes are not read, of their names, sizes and footers.

    A Parquet footer holds the sizes, places and extremes of all its columns.
    """
    found = hashlib.sha256()
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    for part in parts:
        size = part.stat().st_size
        with part.open("rb") as file:
            file.seek(max(size - 8, 0))
            length = int.from_bytes(file.read(4), "little")
            file.seek(max(size - 8 - length, 0))
            found.update(f"{part.relative_to(path).as_posix()} {size} ".encode() + file.read())
    return found.hexdigest()
