"""What a rendered file depends on beside its name: a mark of all that renders. Nobody has to remember to change it."""

from __future__ import annotations

import ast
import hashlib
import platform
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import h5py
import pyproj
import rasterio
import shapely

ROOT = "curation.embedded.archive.archive"
"""The module that renders; what it imports of ours, however far off, renders with it."""

_PACKAGES = Path(__file__).parents[3]
"""Where our packages lie."""

_CHARACTERS = 12
"""Of the hash that a mark keeps: 48 bits, for a folder's name."""


@cache
def rendering() -> str:
    """A mark of what renders: sources, packages, and the libraries and the kind of machine beneath them."""
    files, foreign = closure(ROOT)
    found = hashlib.sha256()
    for path in files:
        found.update(f"{path.relative_to(_PACKAGES).as_posix()}\n".encode() + path.read_bytes() + b"\n")
    for name in foreign:
        found.update(f"{name} {metadata.version(name)}\n".encode())
    found.update(f"{libraries()} {platform.machine()}\n".encode())
    return found.hexdigest()[:_CHARACTERS]


def libraries() -> str:
    """Versions of the libraries in C that do the work, which need not be those that a package was published with."""
    return (
        f"gdal {rasterio.__gdal_version__} geos {shapely.geos_version_string} proj {pyproj.proj_version_str} "
        f"hdf5 {h5py.version.hdf5_version}"
    )


def closure(root: str) -> tuple[list[Path], list[str]]:
    """Files of our modules that a module imports, itself among them, and names of the packages of others; both in order.

    A module's table (`tables`) is a file of its own.
    """
    files: dict[str, Path] = {}
    foreign: set[str] = set()
    left = [root]
    while left:
        module = left.pop()
        if module in files:
            continue
        top = module.partition(".")[0]
        if top != root.partition(".")[0]:
            foreign |= {top} - sys.stdlib_module_names
            continue
        path = _file(module)
        if path is None:
            continue  # a name in the module that is asked for it
        files[module] = path
        left += [folder] if "." in (folder := module.rpartition(".")[0]) else []
        left += _imported(path)
    beside = [path.with_suffix(".toml") for path in files.values()]
    return sorted([*files.values(), *(path for path in beside if path.is_file())]), sorted(foreign)


def _file(module: str) -> Path | None:
    path = _PACKAGES.joinpath(*module.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def _imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
    return found
