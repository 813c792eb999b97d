"""Which code and packages wrote a shard."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
from pathlib import Path

import rasterio


def versions() -> dict[str, str]:
    """Versions of what pixels and bytes depend on."""
    packages = ("curation", "numpy", "zarr", "numcodecs", "rasterio", "pyproj")
    return {p: importlib.metadata.version(p) for p in packages} | {"gdal": rasterio.__gdal_version__}


_WRITERS = (
    "pack",
    "format",
    "build/kinds",
    "cubes/labels.py",
    "places/grid.py",
    "read/backscatter.py",
    "read/shift.py",
)
"""Folders and files of this package that what stands in a tar is made by."""

_NO_WRITERS = {"export", "graph"}
"""Folders of `pack/` that read tars, and make none."""


@functools.cache
def written_by() -> str:
    """A mark of what writes a tar: our files that do, and the versions. Nobody has to remember to change it.

    A tar that an earlier release made is made again, since the index that names it tells of this one.
    """
    found = hashlib.sha256(json.dumps(versions(), sort_keys=True).encode())
    package = Path(__file__).parents[1]
    for path in [package / name for name in _WRITERS]:
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            if _NO_WRITERS.isdisjoint(file.relative_to(package).parts):
                found.update(file.read_bytes())
    return found.hexdigest()
