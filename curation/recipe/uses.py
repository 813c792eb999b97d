"""A source as a recipe uses it: what its table in the recipe says otherwise than the source's own file. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from curation.errors import ConfigError
from curation.recipe.schema import UseSpec
from curation.recipe.sources import SourceSpec


def picked(spec: SourceSpec, use: UseSpec, path: Path) -> SourceSpec:
    """The source with the pick that the recipe says, checked as that of its file is; as it is where the recipe says none.

    Args:
        spec: the source, as its file says it or as this gave it.
        use: its table in the recipe.
        path: the recipe, which errors name.

    Raises:
        ConfigError: there is no such pick, it has no such key, or it wants what the source has not.
    """
    if use.pick is None:
        return spec
    own = {name: getattr(spec, name) for name in type(spec).model_fields}
    try:
        return type(spec).model_validate(own | {"pick": use.pick})
    except ValidationError as err:
        raise ConfigError("; ".join(f"{path}: {_where(spec.name, e)}" for e in err.errors())) from err


def _where(source: str, error: Any) -> str:
    """What is wrong, and with which key of the pick, as the recipe has it."""
    keys = [str(k) for k in error["loc"] if k != "pick"]
    at = f"[sources.{source}.pick] {'.'.join(keys)}" if keys else f"[sources.{source}] pick"
    return f"{at}: {error['msg'].removeprefix('Value error, ')}"
