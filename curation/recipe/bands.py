"""What a band is, whatever its source calls it: as `stac_queries/bands.toml`, or a source of one's own, has it. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from curation.format.bands import BandEntry, Kind, ResponseEntry
from curation.recipe.strict import StrictTable

Above0 = Annotated[float, Field(gt=0)]
CommonName = Literal[
    "pan", "coastal", "blue", "green", "yellow", "red", "rededge", "nir", "nir08", "nir09", "cirrus", "swir16", "swir22",
    "lwir", "lwir11", "lwir12",
]  # fmt: skip
"""Those of STAC's extension `eo` that all its versions have (https://github.com/stac-extensions/eo)."""
NAME = r"^[a-z0-9_-]+(\.[a-z0-9_-]+)+$"
"""Of a band: the sensor's, or a product's of it, and the band's."""


class BandFacts(StrictTable):
    """What may be said of a band."""

    centre_nm: Above0 | None = None
    """Centre wavelength, nanometres; left out where there is none (heights, classes, columns of a gas)."""
    width_nm: Above0 | None = None
    """Full width at half maximum, nanometres."""
    centre_mhz: Above0 | None = None
    """Centre frequency of a radar, MHz."""
    width_mhz: Above0 | None = None
    """Bandwidth of a radar, MHz."""
    kind: Kind | None = None
    """What it is a measure of."""
    sensor: str | None = None
    """The instrument."""
    unit: str | None = None
    """Of what is measured, before it is scaled and stored."""
    polarisation: str | None = Field(default=None, pattern="^[HV][HV]$")
    """Of a radar: sent, received."""
    native_m: Above0 | None = None
    """Side of a pixel as the sensor sees it, metres."""
    common_name: CommonName | None = None
    """What STAC's extension `eo` calls it."""
    fomo: int | None = Field(default=None, ge=0, le=36)
    """Its number in FoMo's list of channels."""
    dofa_um: Above0 | None = None
    """What DOFA is told in place of its wavelength, micrometres, where that is not `centre_nm`."""
    platforms: dict[str, Annotated[list[Above0], Field(min_length=2, max_length=2)]] = Field(default_factory=dict)
    """Satellite, as STAC calls it → centre and width, nanometres, where these are others than `centre_nm` and `width_nm`."""

    @property
    def stated(self) -> dict[str, Any]:
        """What is said, without what is not."""
        return self.model_dump(exclude_unset=True, exclude={"name", "of", "variable"})


class BandSpec(BandFacts):
    """A band's canonical name, and where it lies in the spectrum."""

    name: str = Field(pattern=NAME, max_length=100)
    """The sensor's and the band's: `s2.b04`, `s1.vv`. The same in whatever product and catalog it comes."""

    @property
    def entry(self) -> BandEntry:
        """The same as an index of shards says it."""
        platforms = tuple(ResponseEntry(name, *its) for name, its in self.platforms.items())
        return BandEntry(**self.model_dump(exclude={"platforms"}), platforms=platforms)

    @property
    def attributes(self) -> dict[str, str | float]:
        """What files say of it beside its name, numbers and texts: of it as a whole, where it is known."""
        return self.model_dump(exclude_none=True, exclude={"name", "unit", "platforms"})

    @model_validator(mode="after")
    def _of_one_spectrum(self) -> Self:
        _ = self.entry  # which says what is wrong with it
        return self
