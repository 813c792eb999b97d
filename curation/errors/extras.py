"""What is installed only where it is asked for: the extras of `pyproject.toml`, and what to say where one is missing."""

from __future__ import annotations

import importlib.util
from typing import Literal

from curation.errors import ConfigError

Extra = Literal["earth", "dashboard", "earthengine", "onnx", "lightning", "huggingface", "graph", "pyg"]

MODULES: dict[Extra, tuple[str, ...]] = {
    "earth": ("stac_fastapi", "fastapi", "starlette", "uvicorn", "platformdirs"),
    "dashboard": ("bokeh",),
    "earthengine": ("ee", "google", "httplib2"),
    "onnx": ("onnxruntime",),
    "lightning": ("lightning",),
    "huggingface": ("datasets",),
    "graph": ("networkx", "h3"),
    "pyg": ("torch_geometric",),
}
"""What is imported of each extra's packages."""


def missing(extra: Extra) -> list[str]:
    """Modules of an extra that cannot be imported here; none: it is installed."""
    return [name for name in MODULES[extra] if not _found(name)]


def install(extra: Extra) -> str:
    """The command that installs an extra."""
    return f"pip install 'curation[{extra}]'"


def check(extra: Extra, what: str) -> None:
    """Passes where an extra is installed.

    Args:
        extra: which.
        what: what a person asked for that wants it, for the error.

    Raises:
        ConfigError: it is not; what is missing, and the command that installs it, are told.
    """
    if lacks := missing(extra):
        raise ConfigError(f"{what}: wants packages that are not installed ({', '.join(lacks)}): {install(extra)}")


def _found(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False
