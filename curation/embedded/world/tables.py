"""What is data and no code: tables in TOML, each beside the module that reads it and of its name."""

from __future__ import annotations

import string
import tomllib
from pathlib import Path
from typing import Any

_PLACE = string.Formatter()


def beside(module: str) -> dict[str, Any]:
    """The table of a module, whose `__file__` is given; in TOML's order."""
    return tomllib.loads(Path(module).with_suffix(".toml").read_text(encoding="utf-8"))


def filled(template: Any, **values: Any) -> Any:
    """A template of dicts, lists and texts with its places filled, in keys too.

    A text that is nothing but a place, such as "{scene.tile.name}", becomes the value itself, of whatever type. Within a
    text values are written as `str.format` does: "{file.made:%Y-%m-%d}".

    Raises:
        KeyError or AttributeError: there is no such value.
    """
    if isinstance(template, dict):
        return {k.format_map(values): filled(v, **values) for k, v in template.items()}
    if isinstance(template, list):
        return [filled(v, **values) for v in template]
    if not isinstance(template, str):
        return template
    parts = list(_PLACE.parse(template))
    if len(parts) == 1 and parts[0] == ("", parts[0][1], "", None) and parts[0][1] is not None:
        return _PLACE.get_field(parts[0][1], (), values)[0]
    return template.format_map(values)
