"""What all TOML models have in common. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
)

Fraction = Annotated[float, Field(ge=0, le=1)]


def _name(value: str) -> str:
    if not value.replace("-", "").isalnum() or value != value.lower():
        raise ValueError(f"{value!r}: expected lower-case letters, digits and '-'")
    return value


Name = Annotated[str, AfterValidator(_name)]


class StrictTable(BaseModel):
    """A table of a TOML file: an unknown key or a value of another type is an error; a value once read never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
