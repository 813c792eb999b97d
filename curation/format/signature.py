"""What makes a batch homogeneous: the signature of an array, its channels, and a choice of these. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.errors import ConfigError
from curation.format.bands import BandEntry, check_aligned
from curation.format.index import ArrayEntry, BandStatistics, Index


@dataclass(frozen=True, slots=True)
class Signature:
    """What arrays must have in common to be of one batch: two of one signature mean the same, pixel by pixel."""

    bands: tuple[str, ...]
    """Canonical names, in the order of the band axis."""
    size_px: tuple[int, int]
    """Height and width."""
    ground_m: float | None
    """Side of a pixel, metres; None where the footprint is in degrees."""
    unit: str
    """Of what is stored."""
    level: str | None
    """`TOA` or `BOA`: where reflectance is of; None where that is no question, or not known."""
    convention: str | None
    """What else must be known of the numbers: `gamma0, dB`; None where that is no question, or not known."""
    platform: str | None = None
    """The satellite whose spectral response it is, as STAC calls it, where arrays of several are told apart."""

    @property
    def digest(self) -> str:
        """sha256 of it in canonical JSON, hexadecimal. What is not known of a satellite is no part of it."""
        value = asdict(self)
        if self.platform is None:
            del value["platform"]
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def bands_of(entry: ArrayEntry) -> tuple[BandEntry, ...]:
    """What an index says of each band of an array, in order; of one packed by version 2 `<source>.<band>`, no more."""
    return entry.canonical or tuple(BandEntry(f"{entry.source}.{band.lower()}") for band in entry.bands)


def signature_of(entry: ArrayEntry, platform: str | None = None) -> Signature:
    """The signature of an array of an index, of a satellite where one is named.

    Args:
        entry: what the index says of it.
        platform: whose spectral response it is, as STAC calls it; None where satellites are not told apart.
    """
    return Signature(
        bands=tuple(band.name for band in bands_of(entry)),
        size_px=(entry.shape[1], entry.shape[2]),
        ground_m=entry.res_m,
        unit=entry.unit,
        level=entry.level,
        convention=entry.convention,
        platform=platform,
    )


def wavelengths_nm(bands: Sequence[BandEntry], platform: str | None = None) -> list[float | None]:
    """Centre wavelength of each band, nanometres; None of what has none (heights, gases, codes), and never 0.

    Args:
        bands: as `bands_of` gives them.
        platform: of which satellite, where that is known; else of the first of its kind.
    """
    return [band.wavelength_nm(platform) for band in bands]


@dataclass(frozen=True, slots=True)
class Channels:
    """The band axis of an array, or a choice of it: names, wavelengths and statistics stay with the pixels they are of."""

    signature: Signature
    entries: tuple[BandEntry, ...]
    """What each band is."""
    statistics: tuple[BandStatistics | None, ...]
    """Of each band, in units as stored; None where the index has none."""
    planes: tuple[int, ...]
    """Which plane of the array as stored each of them is."""
    names: tuple[str, ...]
    """What the source calls them."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Canonical names."""
        return self.signature.bands

    @property
    def wavelength_nm(self) -> NDArray[np.float32]:
        """Centre wavelengths, nanometres: float32, (band,); NaN where a band has none."""
        found = wavelengths_nm(self.entries, self.signature.platform)
        return np.array([np.nan if nm is None else nm for nm in found], np.float32)

    @property
    def dofa_um(self) -> NDArray[np.float32]:
        """What DOFA is told in place of wavelengths, micrometres: float32, (band,); NaN where there is nothing."""
        found = [band.for_dofa_um for band in self.entries]
        return np.array([np.nan if um is None else um for um in found], np.float32)

    @property
    def mean(self) -> NDArray[np.float32]:
        """Means of train, in units as stored: float32, (band,); NaN where the index has none."""
        return self._statistic("mean")

    @property
    def std(self) -> NDArray[np.float32]:
        """Standard deviations likewise."""
        return self._statistic("std")

    def select(self, bands: Sequence[str]) -> Channels:
        """These bands in this order: a subset, another order, or both.

        Args:
            bands: canonical names, or the source's.

        Raises:
            ConfigError: one is not there, or stands twice; those that there are are listed.
        """
        at = {name: i for names in (self.names, self.bands) for i, name in enumerate(names)}
        if unknown := [band for band in bands if band not in at]:
            raise ConfigError(f"bands: no {unknown}; expected some of: {', '.join(self.bands)}")
        chosen = [at[band] for band in bands]
        if not chosen or len(set(chosen)) != len(chosen):
            raise ConfigError(f"bands = {list(bands)}: expected at least one, and each once")
        mine = self.signature
        names = tuple(self.bands[i] for i in chosen)
        return Channels(
            Signature(names, mine.size_px, mine.ground_m, mine.unit, mine.level, mine.convention, mine.platform),
            tuple(self.entries[i] for i in chosen),
            tuple(self.statistics[i] for i in chosen),
            tuple(self.planes[i] for i in chosen),
            tuple(self.names[i] for i in chosen),
        )

    def of(self, pixels: Any) -> Any:
        """These bands of an array as it is stored or delivered, (…, band, y, x), a tensor or of NumPy: the same kind."""
        return pixels[..., list(self.planes), :, :]

    def _statistic(self, name: str) -> NDArray[np.float32]:
        found = [None if one is None else getattr(one, name) for one in self.statistics]
        return np.array([np.nan if value is None else value for value in found], np.float32)


def channels_of(index: Index, array: str, platform: str | None = None) -> Channels:
    """All channels of an array of an index, in its order.

    Raises:
        ConfigError: there is no such array.
    """
    if array not in index.arrays:
        raise ConfigError(f"no array {array!r}; expected one of: {', '.join(sorted(index.arrays))}")
    entry, known = index.arrays[array], index.statistics.get(array, {})
    found = tuple(known.get(band) for band in entry.bands)
    bands, count = bands_of(entry), len(entry.bands)
    check_aligned(array, entry.bands, {"canonical": bands, "planes": entry.shape[0], "statistics": found})
    return Channels(signature_of(entry, platform), bands, found, tuple(range(count)), tuple(entry.bands))
