"""Files of models, by their names: which runtime executes one, and which version of it is installed. None is opened here."""

from __future__ import annotations

import contextlib
from importlib import metadata
from pathlib import Path
from typing import Literal

from curation.errors import ConfigError, extras

Runtime = Literal["onnxruntime", "torch"]

MOST_BYTES = 2**31
"""Of a model file, which is held whole."""


def runtime_of(name: str, where: str) -> Runtime:
    """The runtime of a file of that name. Raises ConfigError where there is none, or ONNX's is not installed."""
    suffix = Path(name).suffix.lower()
    if suffix == ".onnx":
        extras.check("onnx", where)
        return "onnxruntime"
    if suffix in (".pt", ".pth", ".ts"):
        return "torch"
    raise ConfigError(
        f"{where}: its name ends in {suffix or 'nothing'!r}, expected .onnx, or .pt, .pth or .ts (TorchScript)"
    )


def version_of(runtime: Runtime, where: str) -> str:
    """A runtime with its version, `onnxruntime 1.20.1`. Raises ConfigError where it is not installed."""
    for package in (runtime, f"{runtime}-gpu"):  # which has the same modules
        with contextlib.suppress(metadata.PackageNotFoundError):
            return f"{runtime} {metadata.version(package)}"
    raise ConfigError(f"{where}: wants {runtime}, which is not installed: pip install {runtime}")
