"""`[sources.<source>.mask]` of a recipe: a model of the user's that says what is cloud, in place of the mask or with it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from curation.recipe.strict import StrictTable

SetName = Literal["clear", "doubtful", "snow", "cloudy", "invalid"]
"""What a pixel of a mask may be."""


class MaskModelSpec(StrictTable):
    """A model: what it is given, and what its classes mean."""

    model: str = Field(min_length=1)
    """Its file, in the recipe's folder: `.onnx`, or TorchScript (`.pt`, `.pth`, `.ts`)."""
    bands: list[str] = Field(min_length=1)
    """Of its input, in order: the source's names for them, or the canonical ones of its `[bands]`."""
    output: list[SetName] = Field(min_length=2)
    """Of each class of its output, in order, what a pixel of it is."""
    scale: float | list[float] = 1.0
    """What the source's numbers, without any offset, are multiplied by, of all bands or of each."""
    offset: float | list[float] = 0.0
    """What is added then, likewise."""
    res_m: float | None = Field(default=None, gt=0)
    """Pixels of its input and of the mask, metres; where left out those of the source's own mask."""
    multiple_px: int = Field(default=1, gt=0, le=1024)
    """What the side of its input must be a multiple of: patches are mirrored beyond their south and east edges for it."""
    joined: bool = False
    """Whether a pixel is what the source's own mask and the model say that is worse, rather than what the model says."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if twice := sorted({b for b in self.bands if self.bands.count(b) > 1}):
            raise ValueError(f"bands: {twice} stand there twice; name each once")
        if "clear" not in self.output or set(self.output) <= {"clear", "invalid"}:
            raise ValueError(f"output: {self.output}: expected one that is 'clear', and one that is not")
        for key, value in (("scale", self.scale), ("offset", self.offset)):
            if isinstance(value, list) and len(value) != len(self.bands):
                raise ValueError(
                    f"{key}: {len(value)} numbers for {len(self.bands)} bands; say one for all, or one each"
                )
        if 0 in (self.scale if isinstance(self.scale, list) else [self.scale]):
            raise ValueError("scale = 0 makes one number of all")
        return self

    def of_each(self, value: float | list[float]) -> list[float]:
        """`scale` or `offset`, of each band."""
        return value if isinstance(value, list) else [value] * len(self.bands)
