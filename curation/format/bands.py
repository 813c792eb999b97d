"""What a band is, as an index says it, and that lists of bands belong to one another. Pure."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from curation.errors import DamageError
from curation.format.strict import BandName, Count, Number, StrictObject, Text

Kind = Literal["optical", "radar", "elevation", "gas", "aerosol", "climate", "classes"]

_WITH_CENTRE: dict[str, str] = {"optical": "nm", "radar": "mhz"}
"""Kinds of bands that lie in the spectrum, and the unit in which it is told where. Others have no place in it: not 0."""

_LIGHT = 299_792_458.0
"""Speed of light, m/s (exact, by the definition of the metre)."""


class ResponseEntry(StrictObject, frozen=True):
    """Where a band of one of several satellites lies."""

    platform: Text
    """As STAC calls it: `sentinel-2b`."""
    centre_nm: Number
    width_nm: Number


class BandEntry(StrictObject, frozen=True):
    """What a band is, whatever its source calls it: what makes bands of several datasets comparable.

    What comes after `width_mhz` is left out of an index where it is not known.
    """

    name: BandName
    """The sensor's and the band's, such as `s2.b04` or `s1.vv`; the same in whatever product it comes."""
    centre_nm: Number | None = None
    """Centre wavelength, nanometres; null where it has none."""
    width_nm: Number | None = None
    """Full width at half maximum, nanometres."""
    centre_mhz: Number | None = None
    """Centre frequency of a radar, MHz; null where it has none."""
    width_mhz: Number | None = None
    """Bandwidth of a radar, MHz."""
    kind: Kind | None = None
    """What it is a measure of."""
    sensor: Text | None = None
    """The instrument."""
    unit: Text | None = None
    """Of what it measures, before it is scaled and stored."""
    polarisation: Text | None = None
    """Of a radar: sent, received."""
    native_m: Number | None = None
    """Side of a pixel as the sensor sees it, metres."""
    common_name: Text | None = None
    """What STAC's extension `eo` calls it: `red`, `swir16`."""
    fomo: Count | None = None
    """Its number in FoMo's list of 37."""
    dofa_um: Number | None = None
    """What DOFA is told in place of its wavelength, micrometres, where that is not `centre_nm`."""
    platforms: tuple[ResponseEntry, ...] = ()
    """Where it lies on other satellites than `centre_nm` is of."""

    def __post_init__(self) -> None:
        """Raises ValueError where there is no such band."""
        centres = {"nm": (self.centre_nm, self.width_nm), "mhz": (self.centre_mhz, self.width_mhz)}
        for unit, (centre, width) in centres.items():
            is_possible = centre is None if width is None else centre is not None and centre > 0 and width > 0
            if not is_possible:
                raise ValueError(
                    f"centre_{unit}, width_{unit}: got {centre}, {width}, expected both above 0, or neither"
                )
        there = [unit for unit, (centre, _) in centres.items() if centre is not None]
        if len(there) > 1:
            raise ValueError("expected 'centre_nm' of light or 'centre_mhz' of a radar: not both")
        if there and self.kind is not None and there[0] != _WITH_CENTRE.get(self.kind):
            raise ValueError(
                f"centre_{there[0]}: got {centres[there[0]][0]}, expected none: a band of kind {self.kind!r} has no such "
                "place in the spectrum"
            )
        for key in ("native_m", "dofa_um"):
            if (value := getattr(self, key)) is not None and not value > 0:
                raise ValueError(f"{key}: got {value}, expected above 0, or null")

    @property
    def is_optical(self) -> bool:
        """Whether it is of light."""
        return self.kind == "optical"

    def wavelength_nm(self, platform: str | None = None) -> float | None:
        """Centre wavelength, nanometres, of a satellite where it is known of that; None where the band has none.

        Of a radar it is the speed of light over its frequency: 55.5 million of C band.
        """
        if self.centre_mhz is not None:
            return _LIGHT / self.centre_mhz * 1e3
        return next((p.centre_nm for p in self.platforms if p.platform == platform), self.centre_nm)

    @property
    def for_dofa_um(self) -> float | None:
        """What DOFA is told in place of a wavelength, micrometres; None where it has nothing for such a band."""
        return self.dofa_um if self.dofa_um is not None or self.centre_nm is None else self.centre_nm / 1000


LATER = tuple(BandEntry.__struct_fields__[5:])
"""What an index leaves out of a band where it is not known: older ones do not have it."""


def in_order(where: str, positions: Mapping[str, int]) -> tuple[str, ...]:
    """Bands in the order of their positions along an axis.

    Args:
        where: for errors.
        positions: band → which it is, from 0.

    Raises:
        DamageError: a position is taken twice, or none has it.
    """
    bands = tuple(sorted(positions, key=lambda band: positions[band]))
    if [positions[band] for band in bands] != list(range(len(bands))):
        raise DamageError(
            f"{where}: bands at {reprlib.repr(sorted(positions.values()))}, expected 0 to {len(bands) - 1}, each once: "
            "say of each plane of the file which band it is"
        )
    return bands


def check_aligned(
    where: str,
    bands: Sequence[str],
    lists: Mapping[str, Sequence[Any] | Mapping[str, Any] | int],
    do: str = "say of each which band it is of",
) -> None:
    """Passes where whatever goes with bands has one entry for each of them.

    Args:
        where: whose bands they are, for errors.
        bands: their names, in the order of the axis.
        lists: what it is called → a list in that order, a mapping by their names, or how many planes an array has.
        do: what is to be done where it is not so.

    Raises:
        DamageError: a band is named twice, or one of the lists has another length, or is of other bands. Both are told.
    """
    if twice := sorted({band for band in bands if list(bands).count(band) > 1}):
        raise DamageError(f"{where}: bands {reprlib.repr(twice)} twice, expected each once: {do}")
    for name, its in lists.items():
        if isinstance(its, Mapping):
            lacks, more = [b for b in bands if b not in its], sorted(its.keys() - set(bands))
            if lacks or more:
                raise DamageError(
                    f"{where}: {name} without {reprlib.repr(lacks)} and of {reprlib.repr(more)} besides, expected one for "
                    f"each band, {reprlib.repr(list(bands))}: {do}"
                )
        elif (count := its if isinstance(its, int) else len(its)) != len(bands):
            raise DamageError(
                f"{where}: {len(bands)} bands, {name} of {count}: expected as many, in the order of "
                f"{reprlib.repr(list(bands))}: {do}"
            )
