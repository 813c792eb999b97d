"""What a band is, whatever source and catalog call it, as `[bands]` of `stac_queries/<source>.toml` states it. Pure."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from curation.recipe.strict import StrictTable

Centre = Annotated[float, Field(gt=0)]


class BandSpec(StrictTable):
    """A band's canonical name, and where it lies in the spectrum."""

    name: str = Field(pattern=r"^[a-z0-9_-]+(\.[a-z0-9_-]+)+$", max_length=100)
    """The sensor's and the band's: `s2.b04`, `s1.vv`. The same in whatever product and catalog it comes."""
    centre_nm: Centre | None = None
    """Centre wavelength, nanometres; left out where there is none (heights, classes, columns of a gas)."""
    width_nm: Centre | None = None
    """Full width at half maximum, nanometres."""
    centre_mhz: Centre | None = None
    """Centre frequency of a radar, MHz."""
    width_mhz: Centre | None = None
    """Bandwidth of a radar, MHz."""

    @model_validator(mode="after")
    def _of_one_spectrum(self) -> Self:
        for unit in ("nm", "mhz"):
            if (getattr(self, f"centre_{unit}") is None) != (getattr(self, f"width_{unit}") is None):
                raise ValueError(f"expected both 'centre_{unit}' and 'width_{unit}', or neither")
        if self.centre_nm is not None and self.centre_mhz is not None:
            raise ValueError("expected 'centre_nm' of light or 'centre_mhz' of a radar: not both")
        return self
