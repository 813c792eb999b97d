"""What a swath product is, as a source states it. Pure."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    Field,
    model_validator,
)

from curation.recipe.strict import StrictTable


def _variable(value: str) -> str:
    file, colon, path = value.partition(":")
    if not (file and colon and path.strip("/")):
        raise ValueError(f"{value!r}: expected '<file>:<path of the variable in it>', such as 'data:PRODUCT/latitude'")
    return value


Variable = Annotated[str, AfterValidator(_variable)]
"""A variable of a scene: `<file>:<path>`, the file one of those that `files` names."""


class FlagCode(StrictTable):
    """A code of the mask, and the flags that make a footprint be it."""

    code: int = Field(ge=0, le=255)
    any: list[str] = Field(min_length=1)
    """Names as in the variable's `flag_meanings` (CF conventions section 3.5): one of them set is enough."""


class QualityLimit(StrictTable):
    """The least quality that is used, from a version of the processor on."""

    since: str = Field(pattern=r"^\d{2}\.\d{2}\.\d{2}$")
    """The first version that it holds for, such as `02.04.00`."""
    least: float = Field(ge=0, le=1)
    """Footprints of less are left out."""
    source: str = Field(min_length=1)
    """Who says so, and where."""


class SwathSpec(StrictTable):
    """Keys of `kind = "swath"`: how a scene's files say where footprints are, what was seen there, and how good that is."""

    files: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")]] = Field(min_length=1)
    """What a scene has assets for."""
    footprint_km: float = Field(gt=0)
    """The farthest that a footprint extends on the ground, corner to corner at the swath's edges: train and val are as far
    apart (`[split] buffer_km`), so that none of them has a part in both."""
    latitude: Variable
    """Of the footprints' centres, (rows, columns) behind any axes of length 1, degrees north."""
    longitude: Variable
    """Likewise, degrees east."""
    latitude_bounds: Variable | None = None
    """Of their four corners, (rows, columns, 4), in order around; left out, corners follow from neighbouring centres."""
    longitude_bounds: Variable | None = None
    quality: Variable | None = None
    """How good a footprint is, 0 to 1 once unpacked."""
    min_quality: list[QualityLimit] = Field(default_factory=list)
    """By version of the processor, the oldest first; of an older one, or of one that is not known, the strictest holds."""
    variables: dict[str, Variable]
    """Band → variable, in the order of the bands."""
    flags: Variable | None = None
    """Bits of which the mask is made."""
    codes: list[FlagCode] = Field(default_factory=list)
    """The first that fits is the footprint's code."""
    otherwise: int = Field(default=1, ge=0, le=255)
    """The code of a footprint that none of them fits."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        used = {v.partition(":")[0] for v in self.named.values()}
        if unknown := sorted(used - set(self.files)):
            raise ValueError(f"variables of files {unknown}, which 'files' does not name: {self.files}")
        if idle := sorted(set(self.files) - used):
            raise ValueError(f"files {idle} hold nothing that is read")
        if (self.latitude_bounds is None) != (self.longitude_bounds is None):
            raise ValueError("expected both of 'latitude_bounds' and 'longitude_bounds', or neither")
        if (self.quality is None) != (not self.min_quality):
            raise ValueError("expected both of 'quality' and 'min_quality', or neither")
        since = [limit.since for limit in self.min_quality]
        if since != sorted(set(since)):
            raise ValueError(f"'min_quality' has the versions {since}: expected each once, the oldest first")
        if (self.flags is None) != (not self.codes):
            raise ValueError("expected both of 'flags' and 'codes', or neither")
        return self

    @property
    def named(self) -> dict[str, str]:
        """Every variable that it names, by what it is for: the name of the key, or `variables.<band>`."""
        keys = ("latitude", "longitude", "latitude_bounds", "longitude_bounds", "quality", "flags")
        own = {k: v for k in keys if (v := getattr(self, k)) is not None}
        return own | {f"variables.{band}": v for band, v in self.variables.items()}
